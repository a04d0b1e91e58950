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
.PHONY: help build venv test e2e lint fmt fuzz kernels faults soak bench demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile build/nbpress
	go build -o build/nbpress ./cmd/nbpress

venv: .venv/made ## make .venv, the Python of demo and tests

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

test: venv ## run every test, on real kernels, with the race detector
	$(if $(RACE),,@echo "make test: no C compiler ($$(go env CC)), so without the race detector")
	go test $(RACE) -timeout 30m $(GOTESTFLAGS) ./...

e2e: venv ## only the scripts that use the program as people do
	go test $(RACE) $(GOTESTFLAGS) -run TestScript ./cmd/nbpress

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
faults: venv ## kill agents at each point FAULTS (1) times and KILLS (40) times at random, fill disks, stop clocks and remotes
	NBPRESS_FAULTS=$(FAULTS) NBPRESS_KILLS=$(KILLS) go test -count=1 -run TestFaults -v -parallel 2 -timeout 3h ./cmd/nbpress

soak: kernels ## kernels, then faults at each point 20 times and 500 times at random: an hour
	$(MAKE) --no-print-directory faults FAULTS=20 KILLS=500

bench: venv build build/peers/made ## measure every speed that is promised, beside its peer
	go run ./internal/bench

demo: ## the whole flow on the example reports, from Git to HTML
	@$(SIDE_BY_SIDE) venv build
	deploy/demo/demo.sh

clean: ## remove what was built
	rm -rf build .venv
