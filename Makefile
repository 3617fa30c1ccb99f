# What `make` does on a Debian machine with Go. Missing Debian packages are
# installed, which needs root; when nothing is missing, nothing does.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Debian's: the server that the demo runs, and what the tests need besides.
MARIADB  := mariadb-server galera-4
PACKAGES := chromium curl gcc haproxy libc6-dev iproute2 nginx-light pgbouncer postgresql procps prometheus redis-server rsync s6 supervisor $(MARIADB)

# What a whole cluster needs besides, and what makes its images.
NODE     := buildah containerd containernetworking-plugins crun iproute2 mmdebstrap nftables runc

# The control plane for the tests is built from source, once for all checkouts.
KUBERNETES_VERSION := 1.36.3
KUBERNETES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kconfd/kubernetes-$(KUBERNETES_VERSION)
BINARIES   := kube-apiserver kube-controller-manager etcd kubectl
NODE_BINARIES := kube-scheduler kube-proxy kubelet
KUBERNETES_LDFLAGS := -s -w -X k8s.io/component-base/version.gitVersion=v$(KUBERNETES_VERSION)

E2E_ALL   := -e2e.scalings=20 -e2e.creations=5 -e2e.rounds=5 -e2e.outage=10m -e2e.faults=30m
CHAOS_ALL := -chaos.rounds=200 -chaos.pause=60s -chaos.bar=5s -chaos.changes=10000

TOOL := go tool -modfile=tools/go.mod

.DELETE_ON_ERROR:
.PHONY: help build run test fuzz model model-mutations flaky stress chaos e2e e2e-long check bench packages mariadb kubernetes node clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "%-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## bin/kconfd, static
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/kconfd ./cmd/kconfd

run: build mariadb ## the demo
	go run ./test/demo -kconfd bin/kconfd

test: packages check kubernetes build ## all that must hold before a change goes in
	tools/unraced -timeout 30m
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m ./...

fuzz: ## each fuzz test for a minute; FUZZTIME=… for more
	@tools/fuzz $(FUZZTIME)

model: ## many games of the model of a Galera cluster; GAMES=… SEED=… for others
	go test -count=1 -timeout 12h -v -run '^TestModel(Majority)?$$' ./galera -model.games=$(or $(GAMES),20000) -model.seed=$(or $(SEED),0)

model-mutations: ## the model without each guard of the code, as a table: hours; MUTATION=regexp for some
	go test -count=1 -timeout 24h -v -run '^TestMutations$$' ./galera -model.mutations -model.mutation='$(MUTATION)'

flaky: packages kubernetes build ## each package 10 times on a busy machine, lists tests that failed: hours; PKG=… COUNT=…
	CGO_ENABLED=1 go run ./test/flaky -count $(or $(COUNT),10) $(or $(PKG),./...)

stress: ## what is counted about the supervisor, and slow writers, hundreds of times: 30 min
	CGO_ENABLED=1 go test -race -count=1 -tags stress -timeout 30m ./reload ./test/galera
	CGO_ENABLED=1 go test -race -count=1 -tags stress -timeout 30m -run 'TestCounted|HalfWritten|MiddleOfAWrite' ./cmd/kconfd

chaos: packages kubernetes ## 200 faults at the worst moment, and 10,000 changes: 15 min; CHAOS="-flag …" for others
	go test -count=1 -timeout 3h -v -run '^TestChaos' ./cmd/kconfd $(or $(CHAOS),$(CHAOS_ALL))

e2e: node ## deploy/ in a whole Kubernetes: 10 min; E2E="-flag …", or in your own, see CONTRIBUTING.md
	go test -count=1 -timeout 2h -v -tags e2e ./test/e2e $(E2E)

e2e-long: node ## the same with outages of 10 min, and half an hour of random faults: 2 h
	go test -count=1 -timeout 6h -v -tags e2e ./test/e2e $(or $(E2E),$(E2E_ALL))

check: ## formatting, vet, staticcheck, tidy modules
	@unformatted=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "run: $(TOOL) gofumpt -w" $$unformatted >&2; exit 1; fi
	go vet ./...
	go vet -tags e2e ./test/e2e
	go -C test/e2e/client vet ./...
	$(TOOL) staticcheck ./...
	$(TOOL) staticcheck -tags e2e ./test/e2e
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C test/e2e/client mod tidy -diff

bench: build kubernetes ## measure bin/kconfd against a bare watch; BENCH="-flag …" for less or more
	go run ./test/bench $(BENCH)

packages: ## install the Debian packages that tests need and are missing
	@tools/packages $(PACKAGES)

# Any mariadbd and Galera will do for the demo, not only Debian's.
mariadb:
	@{ PATH="$$PATH:/usr/sbin" command -v mariadbd && test -e /usr/lib/galera/libgalera_smm.so; } >/dev/null \
	|| tools/packages $(MARIADB)

kubernetes: $(BINARIES:%=$(KUBERNETES)/%) ## build the control plane for the tests (8 min, once)

# In the reader's own cluster there is a node, and its image is named.
node: kubernetes
ifndef KCONFD_E2E_IMAGE
node: $(NODE_BINARIES:%=$(KUBERNETES)/%)
	@tools/packages $(NODE)
endif

$(KUBERNETES)/etcd: package = go.etcd.io/etcd/server/v3
$(KUBERNETES)/%: package = k8s.io/kubernetes/cmd/$*
$(BINARIES:%=$(KUBERNETES)/%) $(NODE_BINARIES:%=$(KUBERNETES)/%): $(KUBERNETES)/%: $(KUBERNETES)/go.sum
	cd test/cluster/binaries && CGO_ENABLED=0 go build -ldflags "$(KUBERNETES_LDFLAGS)" -o $@.new $(package)
	@mv $@.new $@

# A copy that changes only with the content: in a new checkout every file is new.
$(KUBERNETES)/go.sum: test/cluster/binaries/go.sum
	@mkdir -p $(@D)
	@cmp -s $< $@ || cp $< $@

clean: ## remove what `make build` made
	rm -rf bin
