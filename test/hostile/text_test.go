package hostile

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/kconfd/kconfd/test/process"
)

// sidecar is a stage with the resource file and the template of deploy/sidecar, for an
// nginx that listens at a socket and changes nothing outside the stage.
func sidecar(t *testing.T) (s *stage, web string) {
	t.Helper()
	s = newStage(t)
	content, err := os.ReadFile("../../deploy/sidecar/configmap.yaml")
	s.must(err)
	var m corev1.ConfigMap
	s.must(yaml.UnmarshalStrict(content, &m))
	web = s.path("web.sock")
	here := strings.NewReplacer("/run/nginx", s.dir, "listen 8080", "listen unix:"+web, "worker_processes auto;", "worker_processes 1; user root;", `action  = "signal"`, `action = "none"`,
		`signal  = "HUP"`, "", `process = "nginx"`, "")
	s.write("conf.d/nginx.toml", here.Replace(m.Data["nginx.toml"]))
	s.write("templates/nginx.conf.tmpl", here.Replace(m.Data["nginx.conf.tmpl"]))
	return s, web
}

// An endpoint of an EndpointSlice as JSON has it. What is nil is left out.
type endpoint map[string]any

// endpointSlice is an EndpointSlice of the Service shop with a good endpoint and others.
func endpointSlice(port any, others ...endpoint) string {
	content, err := json.Marshal(map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata":    map[string]any{"name": "shop-1", "labels": map[string]string{"kubernetes.io/service-name": "shop"}},
		"addressType": "IPv4", "ports": []any{map[string]any{"name": "http", "port": port}},
		"endpoints": append([]endpoint{{"addresses": []string{"127.0.0.2"}, "targetRef": map[string]string{"kind": "Pod", "name": "good-0"}}}, others...),
	})
	if err != nil {
		panic(err) // texts and numbers always are JSON
	}
	return string(content)
}

// named is an endpoint with the text wherever a name stands.
func named(text string) endpoint {
	return endpoint{
		"addresses": []string{"127.0.0.3"}, "hostname": text, "nodeName": text, "zone": text,
		"targetRef": map[string]string{"kind": "Pod", "name": text},
	}
}

// No text in an EndpointSlice makes a server in nginx: its names are empty, and all else
// is as it would be. The log says so, in one line.
func TestTextsInEndpoints(t *testing.T) {
	for name, text := range texts() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, web := sidecar(t)
			evil := s.path("evil.sock")
			s.write("objects.yaml", endpointSlice(8080, named(strings.ReplaceAll(text, "SOCKET", evil))))
			out, err := s.command("-onetime").CombinedOutput()
			if err != nil {
				t.Fatalf("kconfd: %v\n%s", err, out)
			}
			if n := strings.Count(string(out), `msg="invalid values ignored" object="EndpointSlice default/shop-1"`); n != 1 {
				t.Errorf("the log has %d warnings, want 1:\n%q", n, out)
			}
			if strings.ContainsAny(strings.ReplaceAll(string(out), "\n", ""), "\x00\x1b\r\x7f\u2028") {
				t.Errorf("the log is not printable: %q", out)
			}
			conf := s.read(s.path("nginx.conf"))
			for _, line := range []string{"server 127.0.0.2:8080; # good-0\n", "server 127.0.0.3:8080; # \n"} {
				if !strings.Contains(conf, line) {
					t.Errorf("no %q in\n%s", line, conf)
				}
			}
			s.serves(web, evil)
		})
	}
}

// serves has a real nginx run, which must listen at the one socket and not at the other.
func (s *stage) serves(web, evil string) {
	s.t.Helper()
	nginx := process.Start(s.t, exec.Command("nginx", "-e", "stderr", "-c", s.path("nginx.conf"), "-g", "daemon off;"))
	process.Await(s.t, "nginx answers", func() bool { // it listens before it heeds signals
		conn, err := net.Dial("unix", web)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		n, _ := conn.Read(make([]byte, 1))
		return err == nil && n == 1
	})
	if _, err := os.Lstat(evil); err == nil {
		s.t.Error("nginx has a server that a name brought about")
	}
	nginx.Stop(syscall.SIGQUIT)
}

// What is no address is no endpoint, and the others stay.
func TestAddresses(t *testing.T) {
	s, _ := sidecar(t)
	var bad []endpoint
	for _, address := range addresses() {
		bad = append(bad, endpoint{"addresses": []string{address}})
	}
	s.write("objects.yaml", endpointSlice(8080, bad...))
	if out, err := s.command("-onetime").CombinedOutput(); err != nil || !strings.Contains(string(out), fmt.Sprintf("values=%d", len(bad))) {
		t.Fatalf("%v\n%s", err, out)
	}
	conf := s.read(s.path("nginx.conf"))
	if got := strings.Count(conf, ":8080;"); got != 1 || !strings.Contains(conf, "server 127.0.0.2:8080; # good-0\n") {
		t.Errorf("%d members, want the good one:\n%s", got, conf)
	}
}

// What is no port is not there: the template fails, and the last file stays.
func TestPorts(t *testing.T) {
	s, _ := sidecar(t)
	s.write("objects.yaml", endpointSlice(8080))
	if out, err := s.command("-onetime").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := s.read(s.path("nginx.conf"))
	for _, port := range ports() {
		s.write("objects.yaml", endpointSlice(port))
		out, err := s.command("-onetime", "-timeout", "1s").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "want at least 1, have 0") {
			t.Errorf("port %d: %v\n%s", port, err, out)
		}
		if got := s.read(s.path("nginx.conf")); got != before {
			t.Errorf("port %d: the file is\n%s", port, got)
		}
	}
}

// In the options that deploy/supervised takes from a ConfigMap, and in its table of pods,
// a value stays a value.
func TestTextsInSupervised(t *testing.T) {
	s := newStage(t)
	const from = "../../deploy/supervised/kconfd"
	s.must(os.RemoveAll(s.path("conf.d")))
	s.must(os.RemoveAll(s.path("templates")))
	s.must(os.CopyFS(s.dir, os.DirFS(from)))
	for _, resource := range []string{"server.toml", "pods.toml"} {
		name := filepath.Join("conf.d", resource)
		s.write(name, strings.ReplaceAll(s.read(s.path(name)), "/srv/db", s.dir))
	}
	s.must(os.MkdirAll(s.path("run"), 0o755))
	s.must(os.MkdirAll(s.path("data/cluster"), 0o755))
	plain := 0 // lines of the options with a plain word
	for _, text := range append([]string{"plain"}, slices.Collect(maps.Values(texts()))...) {
		settings, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "mariadb"}, "data": map[string]string{"init_connect": text},
		})
		s.must(err)
		s.write("objects.yaml", string(settings)+"\n---\n"+strings.ReplaceAll(endpointSlice(8080, named(text)), `"shop"`, `"web"`))
		options, err := s.rendered("server.cnf.tmpl")
		lines := strings.Split(strings.TrimSuffix(options, "\n"), "\n")
		if text == "plain" {
			plain = len(lines)
		}
		if err == nil && (len(lines) != plain || !strings.HasPrefix(lines[plain-1], "init_connect = ")) {
			t.Errorf("%q: the options are\n%s", text, options)
		}
		pods, err := s.rendered("pods.csv.tmpl")
		s.must(err)
		if want := "\"127.0.0.3\",\"\",\"\"\n\"127.0.0.2\",\"good-0\",\"\"\n"; text != "plain" && pods != want {
			t.Errorf("%q: the table is\n%s", text, pods)
		}
	}
}

// rendered is what kconfd render prints for a template.
func (s *stage) rendered(template string) (string, error) {
	out, err := exec.CommandContext(s.t.Context(), "kconfd", "render", "-confdir", s.dir, "-manifests", s.path("objects.yaml"), template).Output()
	return string(out), err
}
