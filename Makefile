# What `make` does on a Debian machine with Go. Missing Debian packages are
# installed, which needs root; when nothing is missing, nothing does.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Debian's: the server that the demo runs, and what the tests need besides.
MARIADB  := mariadb-server galera-4
PACKAGES := chromium gcc haproxy libc6-dev iproute2 nginx-light pgbouncer postgresql procps prometheus redis-server rsync s6 supervisor $(MARIADB)

# The control plane for the tests is built from source, once for all checkouts.
KUBERNETES_VERSION := 1.36.3
KUBERNETES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kconfd/kubernetes-$(KUBERNETES_VERSION)
BINARIES   := kube-apiserver etcd kubectl
KUBERNETES_LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=v$(KUBERNETES_VERSION)

CHAOS_ALL := -chaos.rounds=200 -chaos.pause=60s -chaos.bar=5s -chaos.changes=10000

TOOL := go tool -modfile=tools/go.mod

.DELETE_ON_ERROR:
.PHONY: help build run test stress chaos check bench packages mariadb kubernetes clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/kconfd, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kconfd ./cmd/kconfd

run: build mariadb ## the demo
	go run ./test/demo -kconfd bin/kconfd

test: packages check kubernetes build ## all that must hold before a change goes in
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m ./...

stress: ## what is counted about the supervisor, hundreds of times: 25 min
	CGO_ENABLED=1 go test -race -count=1 -tags stress -timeout 30m ./reload ./test/galera
	CGO_ENABLED=1 go test -race -count=1 -tags stress -timeout 30m -run TestCounted ./cmd/kconfd

chaos: packages kubernetes ## 200 faults at the worst moment, and 10,000 changes: 30 min; CHAOS="-flag …" for others
	go test -count=1 -timeout 3h -v -run '^TestChaos' ./cmd/kconfd $(or $(CHAOS),$(CHAOS_ALL))

check: ## formatting, vet, staticcheck, tidy modules
	@unformatted=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "run: $(TOOL) gofumpt -w" $$unformatted >&2; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...
	go mod tidy -diff
	go -C tools mod tidy -diff

bench: build kubernetes ## measure bin/kconfd against a bare watch; BENCH="-flag …" for less or more
	go run ./test/bench $(BENCH)

packages: ## install the Debian packages that tests need and are missing
	@tools/packages $(PACKAGES)

# Any mariadbd and Galera will do for the demo, not only Debian's.
mariadb:
	@{ PATH="$$PATH:/usr/sbin" command -v mariadbd && test -e /usr/lib/galera/libgalera_smm.so; } >/dev/null \
	|| tools/packages $(MARIADB)

kubernetes: $(BINARIES:%=$(KUBERNETES)/%) ## build the control plane for the tests (8 min, once)

$(KUBERNETES)/kube-apiserver: package = k8s.io/kubernetes/cmd/kube-apiserver
$(KUBERNETES)/etcd:           package = go.etcd.io/etcd/server/v3
$(KUBERNETES)/kubectl:        package = k8s.io/kubernetes/cmd/kubectl
$(BINARIES:%=$(KUBERNETES)/%): $(KUBERNETES)/go.sum
	cd test/cluster/binaries && CGO_ENABLED=0 go build -ldflags "$(KUBERNETES_LDFLAGS)" -o $@.new $(package)
	@mv $@.new $@

# A copy that changes only with the content: in a new checkout every file is new.
$(KUBERNETES)/go.sum: test/cluster/binaries/go.sum
	@mkdir -p $(@D)
	@cmp -s $< $@ || cp $< $@

clean: ## remove what `make build` made
	rm -rf bin
