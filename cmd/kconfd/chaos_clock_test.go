package main

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A skew is the wall clock of single processes: it differs from the machine's,
// and may jump. What tells time in a process is code that the kernel maps into
// it, the vDSO. A process of a skew has other code there, which asks the kernel
// and adds a number that stands behind it.
//
// It is made for amd64. The monotonic clock is as it was.
type skew struct {
	mu sync.Mutex
	by time.Duration
	at uintptr // of the number, in the process that runs
}

// clockStub is clock_gettime(edi, rsi) with the number behind it added to the
// seconds of clock 0.
func clockStub() []byte {
	return []byte{
		0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
		0x0f, 0x05, // syscall
		0x85, 0xff, // test edi, edi
		0x75, 0x0a, // jne over
		0x48, 0x8b, 0x0d, 0x06, 0x00, 0x00, 0x00, // mov rcx, [number]
		0x48, 0x01, 0x0e, // add [rsi], rcx
		0xc3,       // over: ret
		0x90, 0x90, // number:
	}
}

// start starts a command by the clock.
func (s *skew) start(cmd *exec.Cmd) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Ptrace = true // it stops before its first instruction
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	err := s.replace(pid)
	return errors.Join(err, syscall.PtraceDetach(pid))
}

// replace puts the code in place of the kernel's.
func (s *skew) replace(pid int) error {
	if err := awaitStop(pid); err != nil {
		return err
	}
	entry, err := clockEntry(pid)
	if err != nil {
		return fmt.Errorf("looking for the clock of a process: %w", err)
	}
	stub := clockStub()
	s.at = entry + uintptr(len(stub))
	if _, err := syscall.PtracePokeData(pid, entry, append(stub, s.number()...)); err != nil {
		return fmt.Errorf("replacing the clock of a process: %w", err)
	}
	return nil
}

// number is what is added.
func (s *skew) number() []byte {
	return binary.LittleEndian.AppendUint64(nil, uint64(int64(s.by/time.Second)))
}

func awaitStop(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for a process to stop: %w", err)
		case !status.Stopped():
			return fmt.Errorf("waiting for a process to stop: %v", status)
		default:
			return nil
		}
	}
}

// clockEntry is where the code of clock_gettime begins in a process.
func clockEntry(pid int) (uintptr, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err != nil {
			return 0, err
		}
		code := make([]byte, to-from)
		if _, err := syscall.PtracePeekData(pid, from, code); err != nil {
			return 0, err
		}
		offset, err := symbolIn(code, "__vdso_clock_gettime")
		return from + offset, err
	}
	return 0, errors.New("there is no vDSO")
}

func symbolIn(code []byte, name string) (uintptr, error) {
	file, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return 0, err
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return 0, err
	}
	for _, s := range symbols {
		if s.Name == name {
			return uintptr(s.Value), nil
		}
	}
	return 0, fmt.Errorf("there is no %q", name)
}

// jump changes what is added, in a process that runs by this clock and in those
// that are started later.
func (s *skew) jump(pid int, by time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
	if pid == 0 {
		return nil
	}
	// Not by ptrace: whoever waits for the process's end would be told of a stop.
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("setting the clock of a process: %w", err)
	}
	defer memory.Close()
	if _, err := memory.WriteAt(s.number(), int64(s.at)); err != nil {
		return fmt.Errorf("setting the clock of a process: %w", err)
	}
	return nil
}

// jump has the kconfd's clock be off by so much.
func (k *keeper) jump(by time.Duration) error { return k.clock.jump(k.pid(), by) }

// A process of a skew has its wall clock, from the start and after a jump.
func TestSkew(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Logf("not made for %s", runtime.GOARCH)
		return
	}
	t.Parallel()
	d := newDir(t, colourFiles())
	s := &skew{by: -40 * time.Minute}
	cmd := exec.Command("kconfd", filed(d)...)
	log, err := os.Create(d.file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := s.start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	shows := func(by time.Duration, actions string) {
		t.Helper()
		d.awaitFile("actions", actions)
		lines := strings.Split(strings.TrimSpace(d.read("log")), "\n")
		text, _, _ := strings.Cut(strings.TrimPrefix(lines[len(lines)-1], "time="), " ")
		at, err := time.Parse(time.RFC3339Nano, text)
		if off := at.Sub(time.Now().Add(by)); err != nil || off.Abs() > 10*time.Minute {
			t.Errorf("the clock is off by %s and %s (%v)", by, off, err)
		}
	}
	shows(-40*time.Minute, "blue\n")
	if err := s.jump(cmd.Process.Pid, 20*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	d.write("objects.yaml", settings("green"))
	shows(20*24*time.Hour, "blue\ngreen\n")
}
