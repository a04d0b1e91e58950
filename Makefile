# What people do with nbpress. `make` lists it.
PYTHON       ?= python3
FUZZTIME     ?= 10s
NOTEBOOKS    ?= 300
FAULTS       ?= 1
KILLS        ?= 40
GOTESTFLAGS  ?=
REQUIREMENTS := kernel-image/kernel-requirements.txt internal/testenv/requirements.txt

# The race detector needs a C compiler.
RACE = $(shell command -v "$$(go env CC)" >/dev/null && echo -race)

# venv and build side by side, also where nobody said -j.
SIDE_BY_SIDE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j2)

.DELETE_ON_ERROR:
.PHONY: help build venv test scripts e2e lint fmt fuzz kernels faults soak bench bench-pods demo s3server demo-s3 clean cluster kernel-image agent-image test-images kernel-lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile build/nbpress
	go build -o build/nbpress ./cmd/nbpress

venv: .venv/made ## make .venv, the Python of demo and tests

s3server: build/versitygw build/toxiproxy-server ## build the S3 server of tests and demo, and what spoils the line to it

# From a module of their own, which pins them: ours need not know what they are made of.
build/versitygw: PROGRAM = github.com/versity/versitygw/cmd/versitygw
build/toxiproxy-server: PROGRAM = github.com/Shopify/toxiproxy/v2/cmd/server
build/versitygw build/toxiproxy-server: internal/testenv/s3server/go.mod internal/testenv/s3server/go.sum
	go -C internal/testenv/s3server build -ldflags=-s -o $(CURDIR)/$@ $(PROGRAM)

# Removed and made anew when a requirement changes, so that nothing old stays in it.
.venv/made: $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || { \
		echo "make venv: $(PYTHON) is not a Python 3.10 to 3.13 (what the pinned numpy and pandas are built for)" \
			"with the modules venv and ensurepip (Debian, Ubuntu: apt-get install python3-venv)." \
			"Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	.venv/bin/python -m bash_kernel.install --sys-prefix >/dev/null
	@touch $@

test: venv s3server ## run every test, on real kernels, with the race detector
	$(if $(RACE),,@echo "make test: no C compiler ($$(go env CC)), so without the race detector")
	go test $(RACE) -timeout 45m $(GOTESTFLAGS) ./...

scripts: venv s3server ## only the scripts that use the program as people do
	go test $(RACE) $(GOTESTFLAGS) -run TestScript ./cmd/nbpress

e2e: venv s3server ## run the scenarios on a real Kubernetes: of KUBECONFIG, else one started here (root); E2E=part of a name
	deploy/e2e.sh $(if $(RACE),,-race=false) $(if $(E2E),-only '$(E2E)')

lint: ## gofmt, go vet, staticcheck, module files: anything to say is a failure
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { \
		echo "$$unformatted"; echo "make lint: not as gofmt writes it; run 'make fmt'" >&2; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff

fmt: ## format the Go code
	gofmt -w .

fuzz: ## fuzz every parser of outside bytes for FUZZTIME (10s), two at a time
	.ci/fuzz $(FUZZTIME)

# The peers of the benchmark, apart from what the tests use.
build/peers/made: internal/bench/requirements.txt
	rm -rf build/peers
	$(PYTHON) -m venv build/peers
	build/peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

kernels: venv ## execute NOTEBOOKS (300) one after another, then 8 at a time, and look what stays
	NBPRESS_SOAK=$(NOTEBOOKS) go test -count=1 -run TestSoak -v -timeout 40m ./runner

# Two rigs at a time: kernels need a processor each.
faults: venv s3server ## kill agents at each point FAULTS (1) times and KILLS (40) times at random, fill disks, stop clocks and remotes
	NBPRESS_FAULTS=$(FAULTS) NBPRESS_KILLS=$(KILLS) go test -count=1 -run TestFaults -v -parallel 2 -timeout 3h ./cmd/nbpress

soak: kernels ## kernels, then faults at each point 20 times and 500 times at random: an hour
	$(MAKE) --no-print-directory faults FAULTS=20 KILLS=500

bench: venv build build/peers/made ## measure every speed that is promised, beside its peer
	go run ./internal/bench

bench-pods: ## measure the start of a pod on the cluster that e2e would use
	deploy/e2e.sh bench

demo: ## the whole flow on the example reports, from Git to HTML
	@$(SIDE_BY_SIDE) venv build
	deploy/demo/demo.sh

demo-s3: ## the same, with a bucket as the store
	@$(SIDE_BY_SIDE) venv build s3server
	deploy/demo/demo.sh s3

cluster: ## start the development cluster, a real Kubernetes on this machine (root)
	deploy/devcluster/devcluster up

kernel-image: ## build/kernel-image.tar, the image of reports' pods (root; BASE=image for another base)
	deploy/images.sh kernel

agent-image: ## build/agent-image.tar, the image of the agent itself (root)
	deploy/images.sh agent

test-images: ## build/bare-image.tar and build/python-image.tar, images that lack something (root)
	deploy/images.sh bare
	deploy/images.sh python

# In a Python of its own, 3.11 as in the image: what is locked depends on it.
kernel-lock: ## renew kernel-image/requirements.lock from kernel-requirements.txt
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	@build/lock/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "make kernel-lock: needs Python 3.11, as in the image: make kernel-lock PYTHON=python3.11" >&2; exit 1; }
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	CUSTOM_COMPILE_COMMAND='make kernel-lock' build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-options -o kernel-image/requirements.lock kernel-image/kernel-requirements.txt

clean: ## remove what was built
	rm -rf build .venv
