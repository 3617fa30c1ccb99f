package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long an expected thing may take.
const patience = 10 * time.Second

// A daemon is a kconfd that runs.
type daemon struct {
	cmd   *exec.Cmd
	lines chan string // of its output, without their time; closed at its end
	addr  string      // of its HTTP server
	show  func(string)
}

// start runs cmd. What it prints goes to show while somebody awaits something.
func start(cmd *exec.Cmd, show func(string)) (*daemon, error) {
	// One pipe for both streams keeps their order.
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, lines: make(chan string, 10_000), show: show}
	go d.read(output) // stops when cmd ends; the channel holds more than it will say
	return d, nil
}

func (d *daemon) read(output io.Reader) {
	defer close(d.lines)
	stamp := regexp.MustCompile(`^time=\S+ `)
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		d.lines <- stamp.ReplaceAllString(scanner.Text(), "")
	}
}

// await shows what the daemon says up to a line that has mark in it.
func (d *daemon) await(ctx context.Context, mark string) (string, error) {
	timeout := time.After(patience)
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				return "", fmt.Errorf("kconfd ended, before %q", mark)
			}
			d.show(line)
			if strings.Contains(line, mark) {
				return line, nil
			}
		case <-timeout:
			return "", fmt.Errorf("no %q from kconfd in %s", mark, patience)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// content is how many times kconfd looked at its files and found all in order.
func (d *daemon) content(ctx context.Context) (int, error) {
	metrics, err := fetch(ctx, "http://"+d.addr+"/metrics")
	if err != nil {
		return 0, err
	}
	count := regexp.MustCompile(`kconfd_applies_total{.*outcome="unchanged"} (\d+)`).FindStringSubmatch(metrics)
	if count == nil {
		return 0, nil
	}
	return strconv.Atoi(count[1])
}

// contentMoreThan waits until it did so once more.
func (d *daemon) contentMoreThan(ctx context.Context, before int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if now, err := d.content(ctx); err != nil || now > before {
			return err
		}
		if sleep(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("kconfd did not find its files in order in %s", patience)
		}
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// terminate sends SIGTERM, and shows what the daemon says until its end. The
// error is nil when that is an exit with 0.
func (d *daemon) terminate() error {
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return d.wait()
}

// wait shows what the daemon says until its end.
func (d *daemon) wait() error {
	overdue := time.AfterFunc(patience, d.kill)
	defer overdue.Stop()
	for line := range d.lines {
		d.show(line)
	}
	if err := d.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", d.cmd, err)
	}
	return nil
}

// kill ends what has not ended by itself.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // fails when it has ended
}
