package main

// The resource file of the demonstration. Galera's nodes tell each other who
// comes and goes, so a real one needs no action; this one's leaves a note.
const resource = `[values]
nodes = "app=pxc"

[[template]]
src       = "my.cnf.tmpl"
dest      = "my.cnf"
check_cmd = 'kconfd galera check -node-address "$POD_IP" {{.src}}'

[reload]
action  = "exec"
command = "echo 'read {{.dest}} again, please' >> notes"
`

// A typo that mariadbd takes for an error, in place of the [values] above.
const typo = `[values]
nodes  = "app=pxc"
mysqld = { max_conections = 500 }
`

// What Kubernetes has when a fourth node is there.
const fourthNode = `apiVersion: v1
kind: Service
metadata:
  name: pxc-node4
  labels: {app: pxc}
spec:
  publishNotReadyAddresses: true
  selector: {node: pxc-node4}
  ports: [{name: mysql, port: 3306}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: pxc-node4-abcde
  labels: {kubernetes.io/service-name: pxc-node4}
addressType: IPv4
ports: [{name: mysql, port: 3306, protocol: TCP}]
endpoints:
- addresses: [10.244.4.24]
  conditions: {ready: false}
  targetRef: {kind: Pod, name: pxc-node4-0}
`
