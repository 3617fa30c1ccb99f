// Module helm pins the version of Helm whose functions and tests render is compared with.
// It is a module of its own: kconfd is not built with it, and only its source is fetched.
module github.com/kconfd/kconfd/test/helm

go 1.26.0

require helm.sh/helm/v4 v4.3.2
