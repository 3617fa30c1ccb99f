package watcher

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	kube "github.com/kconfd/kconfd/test/cluster"
	"github.com/kconfd/kconfd/test/process"
)

// mirrorCases are Services and Endpoints in namespace NS, and the endpoints of service
// "db" that a cluster has for them.
func mirrorCases() map[string]struct{ objects, want string } {
	const (
		service = "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{name: sql, port: 3306}]}}\n---\n"
		one     = "{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{name: sql, port: 3306}]}]}"
	)
	labelled := func(labels, annotations string) string {
		return strings.Replace(one, "{name: db}", "{name: db, labels: {"+labels+"}, annotations: {"+annotations+"}}", 1)
	}
	return map[string]struct{ objects, want string }{
		"one address": {service + one, "192.0.2.1 sql:3306/TCP ready"},
		"every field": {
			service + `
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets:
- addresses:
  - {ip: 192.0.2.1, hostname: db-1, nodeName: node-a, targetRef: {kind: Pod, name: db-1, namespace: NS, uid: 0aa1}}
  notReadyAddresses:
  - {ip: 192.0.2.2, targetRef: {kind: Pod, name: db-2}}
  ports: [{name: sql, port: 3306, appProtocol: mysql}, {name: syslog, port: 514, protocol: UDP}]`,
			"192.0.2.1 sql:3306/TCP:mysql syslog:514/UDP ready pod=db-1 uid=0aa1 host=db-1 node=node-a\n192.0.2.2 sql:3306/TCP:mysql syslog:514/UDP pod=db-2",
		},
		"several subsets": {
			service + `
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets:
- {addresses: [{ip: 192.0.2.1}, {ip: 192.0.2.2}], ports: [{name: sql, port: 3306}]}
- {addresses: [{ip: 192.0.2.3}], ports: [{name: sql, port: 13306}]}
- {addresses: [{ip: 192.0.2.1}], ports: [{name: admin, port: 33062}]}`,
			"192.0.2.1 admin:33062/TCP sql:3306/TCP ready\n192.0.2.2 sql:3306/TCP ready\n192.0.2.3 sql:13306/TCP ready",
		},
		"both IP families": {service + "{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.1}, {ip: 'fd00::1'}], ports: [{name: sql, port: 3306}]}]}", "192.0.2.1 sql:3306/TCP ready\nfd00::1 sql:3306/TCP ready"},
		"one pod, two families": {service + `
apiVersion: v1
kind: Endpoints
metadata: {name: db}
subsets:
- addresses: [{ip: 192.0.2.1, targetRef: {kind: Pod, name: db-1, uid: "1"}}, {ip: 'fd00::1', targetRef: {kind: Pod, name: db-1, uid: "1"}}]
  ports: [{name: sql, port: 3306}]`, "192.0.2.1,fd00::1 sql:3306/TCP ready pod=db-1 uid=1"},
		"no ports":                  {service + "{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.1}]}]}", "192.0.2.1 ready"},
		"a port without a name":     {service + "{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 3306}]}]}", "192.0.2.1 :3306/TCP ready"},
		"nobody":                    {service + "{apiVersion: v1, kind: Endpoints, metadata: {name: db}}", ""},
		"labels":                    {service + labelled("app: db", "a: b"), "192.0.2.1 sql:3306/TCP ready"},
		"not to be mirrored":        {service + labelled(`endpointslice.kubernetes.io/skip-mirror: "true"`, ""), ""},
		"mirrored all the same":     {service + labelled(`endpointslice.kubernetes.io/skip-mirror: "false"`, ""), "192.0.2.1 sql:3306/TCP ready"},
		"an election":               {service + labelled("", `control-plane.alpha.kubernetes.io/leader: "{}"`), ""},
		"no Service":                {one, ""},
		"a Service of another name": {strings.Replace(service, "name: db", "name: web", 1) + one, ""},
		"a Service with a selector": {strings.Replace(service, "{ports", "{selector: {app: db}, ports", 1) + one, ""},
		"an empty selector":         {strings.Replace(service, "{ports", "{selector: {}, ports", 1) + one, "192.0.2.1 sql:3306/TCP ready"},
		"a slice besides": {service + one + `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-own, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: sql, port: 3306, protocol: TCP}]
endpoints: [{addresses: [192.0.2.1]}, {addresses: [192.0.2.9]}]`, "192.0.2.1 sql:3306/TCP ready\n192.0.2.9 sql:3306/TCP ready"},
		"an external name": {"{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {type: ExternalName, externalName: db.example.com}}\n---\n" + one, "192.0.2.1 sql:3306/TCP ready"},
	}
}

func inWords(list []*Endpoint) string {
	var lines []string
	for _, e := range list {
		line := strings.Join(e.Addresses, ",")
		for _, p := range e.Ports {
			line += fmt.Sprintf(" %s:%d/%s", p.Name, p.Port, p.Protocol)
			if p.AppProtocol != "" {
				line += ":" + p.AppProtocol
			}
		}
		if e.Ready {
			line += " ready"
		}
		for _, part := range [][2]string{{" pod=", e.Pod}, {" uid=", e.UID}, {" host=", e.Hostname}, {" node=", e.Node}} {
			if part[1] != "" {
				line += part[0] + part[1]
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Endpoints of a Service without a selector are what a cluster would mirror to
// EndpointSlices.
func TestMirroredEndpoints(t *testing.T) {
	for name, c := range mirrorCases() {
		t.Run(name, func(t *testing.T) {
			w := ofManifests(t, strings.ReplaceAll(c.objects, "NS", "default"))
			p := newPage(w, func(r *Reader) (string, error) { list, err := r.endpointsOf("db"); return inWords(list), err })
			p.awaitGot(t, c.want)
		})
	}
}

// The controller of a real cluster makes the same of the same objects.
func TestMirroredEndpointsOfTheController(t *testing.T) {
	t.Parallel()
	program, err := kube.Binary("kube-controller-manager")
	if err != nil {
		t.Fatal(err)
	}
	manager := ""
	theCluster.Use(t, func(c *kube.Cluster) { manager = c.Kubeconfig(t, kube.Admin, "default") })
	var log process.Output
	cmd := exec.Command(program, "--kubeconfig="+manager, "--leader-elect=false", "--secure-port=0",
		"--controllers=endpointslice-mirroring-controller", "--cert-dir="+t.TempDir())
	cmd.Stdout, cmd.Stderr = &log, &log
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to finish
		_ = cmd.Wait()
	})
	for name, c := range mirrorCases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newClusterWorld(t)
			w.put(t, objects(t, w.own, c.objects)...)
			// One that has a mirror says when the controller has been here.
			w.put(t, objects(t, w.own, `
{apiVersion: v1, kind: Service, metadata: {name: zz}, spec: {ports: [{port: 1}]}}
---
{apiVersion: v1, kind: Endpoints, metadata: {name: zz}, subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 1}]}]}`)...)
			watcher := w.watcher(t)
			start(t, watcher)
			p := newPage(watcher, func(r *Reader) (string, error) {
				last, err := r.endpointsOf("zz")
				if err != nil {
					return "", err
				}
				list, err := r.endpointsOf("db")
				return inWords(last) + "\n" + inWords(list), err
			})
			p.awaitGot(t, "192.0.2.1 :1/TCP ready\n"+c.want)
		})
	}
}

// A mirror follows its Endpoints and its Service. lookup sees it as a slice, and slices
// that came from a cluster are no reason for another.
func TestMirrorFollows(t *testing.T) {
	w := newManifestWorld(t)
	w.put(t, objects(t, "shop", mirrorCases()["one address"].objects)...)
	watcher := w.watcher(t)
	start(t, watcher)
	p := newPage(watcher, func(r *Reader) (string, error) {
		list, err := r.endpointsOf("db")
		return inWords(list), err
	})
	p.awaitGot(t, "192.0.2.1 sql:3306/TCP ready")
	w.put(t, object(t, "shop", "{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: [{ip: 192.0.2.7}], ports: [{name: sql, port: 1}]}]}"))
	p.awaitGot(t, "192.0.2.7 sql:1/TCP ready")
	looked := newPage(watcher, func(r *Reader) ([]string, error) {
		all, err := r.lookup("discovery.k8s.io/v1", "EndpointSlice", "shop", "")
		var names []string
		for _, item := range asList(all["items"]) {
			names = append(names, item.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
		return names, err
	})
	looked.await(t, func() string { return diff(1, len(looked.got)) })
	w.put(t, object(t, "shop", "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {a: b}, ports: [{name: sql, port: 3306}]}}"))
	p.awaitGot(t, "")
	w.put(t, object(t, "shop", "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{name: sql, port: 3306}]}}"))
	p.awaitGot(t, "192.0.2.7 sql:1/TCP ready")
	w.put(t, object(t, "shop", `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: db-from-a-cluster
  labels: {kubernetes.io/service-name: db, endpointslice.kubernetes.io/managed-by: endpointslicemirroring-controller.k8s.io}
addressType: IPv4
endpoints: [{addresses: [192.0.2.8]}]`))
	p.awaitGot(t, "192.0.2.8 ready")
	looked.awaitGot(t, []string{"db-from-a-cluster"})
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

// What is more than the controller takes is left out, those that are not ready first.
func TestLargeMirror(t *testing.T) {
	var ready, others []string
	for i := range 990 {
		ready = append(ready, fmt.Sprintf("{ip: 10.0.%d.%d}", i/250, i%250))
	}
	for i := range 20 {
		others = append(others, fmt.Sprintf("{ip: 10.1.0.%d}", i))
	}
	w := ofManifests(t, "{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {ports: [{port: 1}]}}\n---\n"+
		"{apiVersion: v1, kind: Endpoints, metadata: {name: db}, subsets: [{addresses: ["+strings.Join(ready, ", ")+"], notReadyAddresses: ["+strings.Join(others, ", ")+"], ports: [{port: 1}]}]}")
	p := newPage(w, func(r *Reader) ([]int, error) {
		list, err := r.endpointsOf("db")
		return []int{len(list), len(slices.DeleteFunc(slices.Clone(list), func(e *Endpoint) bool { return e.Ready }))}, err
	})
	p.awaitGot(t, []int{1000, 10})
}

// Addresses are read as the controller reads them.
func TestMirroredAddresses(t *testing.T) {
	for given, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "fd00:0::1": "fd00::1", "::ffff:192.0.2.1": "192.0.2.1", "010.000.2.01": "10.0.2.1",
		"db": "", "": "", "192.0.2": "", "192.0..1": "", "fe80::1%eth0": "", "192.0.2.300": "",
	} {
		ip, ok := mirroredIP(given)
		if ok != (want != "") || ok && ip.String() != want {
			t.Errorf("%q: got %v, %v, want %q", given, ip, ok, want)
		}
	}
}
