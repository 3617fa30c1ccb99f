package hostile

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kconfd/kconfd/test/process"
)

// A command does not outlive a kconfd that is killed: nobody would end it when its
// time is over.
func TestCommandsOfAKilledKconfd(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"check_cmd", "check_cmd, list"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			line := `check_cmd = "echo $$ >` + s.path("pid") + `; exec sleep 1000"`
			if strings.HasSuffix(key, "list") {
				line = `check_cmd = ["sh", "-c", "echo $$ >` + s.path("pid") + `; exec sleep 1000"]`
			}
			s.group(line)
			s.setValue("blue")
			k := s.start("-wait", "0s")
			process.Await(t, "the check runs", func() bool { return strings.HasSuffix(s.read(s.path("pid")), "\n") })
			pid, err := strconv.Atoi(strings.TrimSpace(s.read(s.path("pid"))))
			s.must(err)
			k.Signal(syscall.SIGKILL)
			process.Await(t, "the check has ended", func() bool {
				stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
				return err != nil || strings.Contains(string(stat), ") Z ")
			})
		})
	}
}
