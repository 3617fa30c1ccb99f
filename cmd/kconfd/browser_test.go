package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A browser is a headless Chromium with one page, which the test drives over a
// pipe, by the DevTools protocol: JSON, with a zero byte at the end of each message.
type browser struct {
	t       *testing.T
	cmd     *exec.Cmd
	to      *os.File
	session string // of the page

	mu         sync.Mutex
	number     int
	answers    map[int]chan message
	complaints []string // exceptions, and what the page was not allowed to do
}

type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

// startBrowser starts a Chromium that the test's end ends.
func startBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: run: make packages", err)
	}
	its, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, to: to, answers: map[int]chan message{}}
	b.cmd = exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
		"--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage",
		"--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	b.cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	b.cmd.ExtraFiles = []*os.File{its, other} // 3 and 4
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	its.Close()
	other.Close()
	done := make(chan struct{})
	go func() { // until Chromium ends
		defer close(done)
		b.read(from)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // with all its processes
		_ = b.cmd.Wait()
		<-done
		to.Close()
		from.Close()
	})
	b.openPage()
	return b
}

// on makes the test the one that fails, with no complaints so far.
func (b *browser) on(t *testing.T) {
	before := b.t
	b.t = t
	t.Cleanup(func() { b.t = before })
	b.forgive()
}

func (b *browser) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = nil
}

func (b *browser) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(text[:len(text)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch answer := b.answers[m.ID]; {
		case answer != nil:
			answer <- m
			delete(b.answers, m.ID)
		case m.Method == "Runtime.exceptionThrown", m.Method == "Log.entryAdded", m.Method == "Runtime.consoleAPICalled":
			b.complaints = append(b.complaints, string(text[:len(text)-1]))
		}
		b.mu.Unlock()
	}
}

// call asks Chromium for something, and puts what it answers into result.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	answer := make(chan message, 1)
	b.mu.Lock()
	b.number++
	b.answers[b.number] = answer
	text, err := json.Marshal(message{ID: b.number, Session: b.session, Method: method, Params: params})
	b.mu.Unlock()
	if err == nil {
		_, err = b.to.Write(append(text, 0))
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Error != nil {
			b.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if result == nil {
			return
		}
		if err := json.Unmarshal(m.Result, result); err != nil {
			b.t.Fatalf("%s: %v in %s", method, err, m.Result)
		}
	case <-time.After(3 * testPatience):
		b.t.Fatalf("%s: no answer", method)
	}
}

func (b *browser) openPage() {
	b.t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct {
		Session string `json:"sessionId"`
	}
	b.call("Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached)
	b.session = attached.Session
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
}

// look makes the page one of a size in CSS pixels, in a colour scheme: light or dark.
func (b *browser) look(width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
	}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]any{{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
}

// open leaves the page that is open, and whatever it had to complain about, and
// opens another.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": "about:blank"}, nil)
	b.await(`location.href === "about:blank"`)
	b.forgive()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
}

// run evaluates an expression in the page, waits for it if it is a promise, and
// puts its value into result.
func (b *browser) run(expression string, result any) {
	b.t.Helper()
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if e := answer.Exception; e != nil {
		b.t.Fatalf("%s: %s %s", expression, e.Text, e.Exception.Description)
	}
	if result == nil {
		return
	}
	if err := json.Unmarshal(answer.Result.Value, result); err != nil {
		b.t.Fatalf("%s: %v in %q", expression, err, answer.Result.Value)
	}
}

// await waits until an expression holds in the page. It fails with what the page
// shows then.
func (b *browser) await(expression string) {
	b.t.Helper()
	var shows string
	b.run(fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + %d;
		const holds = () => { try { return %s } catch { return false } }; // not loaded yet
		const look = () => holds() ? done("") : Date.now() > end ? done(document.body.innerText || "nothing") : setTimeout(look, 10);
		look();
	})`, testPatience.Milliseconds(), expression), &shows)
	if shows != "" {
		b.t.Fatalf("waited in vain for %s; the page shows\n%s\n%s", expression, shows, strings.Join(b.complained(), "\n"))
	}
}

// text is what the page shows of an element.
func (b *browser) text(selector string) (text string) {
	b.t.Helper()
	b.run(fmt.Sprintf("document.querySelector(%q).innerText", selector), &text)
	return text
}

// complained gives what has gone wrong in the page so far.
func (b *browser) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.complaints...)
}

// screenshot is a PNG of what is seen.
func (b *browser) screenshot() []byte {
	b.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
	image, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		b.t.Fatal(err)
	}
	return image
}
