# `make help` says what there is. Everything here works on a plain machine with Go and make; `make race`
# needs a C compiler as well.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

GO ?= go
BIN ?= bin/bizzscim

# The newest tag and the way from it, "-dirty" with local changes; "dev" outside a git checkout.
VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
# The version is stamped by hand, so that a checkout without git, or owned by somebody else, builds too.
# Nothing here changes how packages are compiled: the Graph SDK takes minutes, once for each set of such
# flags, and tests, builds and `go run` share what is compiled.
BUILDFLAGS := -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'

# How the tests are run: GOTEST can be another runner with go test's arguments, TESTFLAGS adds to them.
GOTEST ?= $(GO) test
TESTFLAGS ?=
# Where concurrency is: not in the command line and the measuring program. pull/graph links the Graph SDK,
# which the race detector would compile again for minutes; what runs at the same time there lies below it.
RACE_PACKAGES = $(shell $(GO) list ./... | grep -v -e '/cmd/' -e '/bench$$' -e '/pull/graph$$')
# What takes long and does one thing after the other has nothing to race with. TestImports reads what `go list` says.
ALONE := ^(TestImports|TestBitFlips$$|TestCost|TestMatrix|TestSchemasKeepTheirPromises|TestConformanceDocument|TestFoldCaseIsSimpleFolding)
FUZZTIME ?= 100000x
CRASH_ROUNDS ?= 100
MODELS ?= 1000

# Tools are built from source at these versions, once for each Go version, outside the tree.
GOLANGCI_LINT_VERSION := v2.15.0
GOTESTSUM_VERSION := v1.13.0
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/bizzscim-tools/$(shell $(GO) env GOVERSION)
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
GOTESTSUM := $(TOOLS)/gotestsum-$(GOTESTSUM_VERSION)/gotestsum

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/bizzscim, stamped with the version
	$(GO) build $(BUILDFLAGS) -o $(BIN) ./cmd/bizzscim

.PHONY: release
release: ## Build bin/bizzscim to be shipped: static, and the same from every checkout
	CGO_ENABLED=0 $(GO) build -trimpath $(BUILDFLAGS) -o $(BIN) ./cmd/bizzscim

.PHONY: demo
demo: build ## Run the server with a simulated directory that keeps changing
	@$(BIN) demo

# The walls are tested without the cache, which does not see the files that `go list` reads.
# The tests in a browser need Node, Chromium and what npm fetches; those behind a proxy need nginx; the
# comparison with other SCIM implementations needs Node and npm. Where one of them is missing, a test says so
# and is skipped, unless BIZZSCIM_REQUIRE names it (chromium,nginx,caddy,node).
BROWSER := console/e2e/node_modules/.package-lock.json
ORACLE := scim/testdata/oracle/node_modules/.package-lock.json
$(BROWSER) $(ORACLE): %/node_modules/.package-lock.json: %/package-lock.json
	cd $(dir $<) && npm ci --no-audit --no-fund --loglevel=error

# auth/optest is a module of its own: the second OpenID Provider and its many modules stay out of ours.
.PHONY: test
test: $(if $(shell command -v npm),$(BROWSER) $(ORACLE)) ## Run all tests
	$(GOTEST) $(TESTFLAGS) -skip '^TestImports' ./...
	$(GOTEST) $(TESTFLAGS) -count=1 -run '^TestImports' ./app
	cd auth/optest && $(GOTEST) $(TESTFLAGS) ./...

.PHONY: screenshots
screenshots: $(BROWSER) ## Take pictures of every page into docs/images
	rm -rf docs/images
	SHOTS=$(CURDIR)/docs/images $(GO) test -count=1 -timeout 30m -run '^TestShots$$' ./console/e2e

.PHONY: openapi
openapi: ## Write the contract of the JSON API into docs/openapi.json
	$(GO) test -count=1 -run '^TestOpenAPIIsCommitted$$' ./api -update

.PHONY: race
race: ## Run the tests under the race detector (needs a C compiler)
	GOGC=100 CGO_ENABLED=1 $(GOTEST) -race -short $(TESTFLAGS) -skip '$(ALONE)' $(RACE_PACKAGES)

.PHONY: crash
crash: ## Kill the server with SIGKILL under load, CRASH_ROUNDS=100 times
	BIZZSCIM_CRASH_ROUNDS=$(CRASH_ROUNDS) $(GOTEST) $(TESTFLAGS) -count=1 -timeout 20m -run '^TestCrash' ./...

.PHONY: models
models: ## Compare with the models over MODELS=1000 histories that nobody has seen
	RAPID_CHECKS=$(MODELS) $(GOTEST) $(TESTFLAGS) -count=1 -timeout 2h -run 'Model|TestAnyOrder' ./directory ./pull ./pull/graph ./scim

# Inputs are counted: a target that is stopped by the clock may say "context deadline exceeded" without having
# found anything (golang/go#75804).
.PHONY: fuzz
fuzz: ## Fuzz every target with FUZZTIME=100000x inputs
	@targets=$$($(GO) test -list '^Fuzz' ./... | \
	  awk '/^Fuzz/ { names[++n] = $$1; next } /^ok/ { for (i = 1; i <= n; i++) print $$2, names[i]; n = 0 }'); \
	if [ -z "$$targets" ]; then echo 'there is no fuzz target'; exit 0; fi; \
	while read -r package name; do \
	  echo "fuzzing $$name in $$package with $(FUZZTIME)"; \
	  $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$package" </dev/null; \
	done <<<"$$targets"

.PHONY: bench
bench: ## Measure against the floors and print the table (several minutes)
	$(GO) run ./bench

.PHONY: cases
cases: ## Replay the recorded client requests against a fresh server (needs ../shared)
	@bash .ci/run cases

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run golangci-lint at the pinned version
	$(GOLANGCI_LINT) run ./...
	cd auth/optest && $(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: ## Format the code
	gofmt -s -w $$(git ls-files --cached --others --exclude-standard -- '*.go')

.PHONY: ci
ci: ## Run everything that decides about a change
	@bash .ci/run

.PHONY: tools gotestsum golangci-lint
tools: gotestsum golangci-lint ## Build the tools (minutes the first time)

gotestsum: $(GOTESTSUM)
	@echo $<

golangci-lint: $(GOLANGCI_LINT)
	@echo $<

# Built aside and moved, so that a build that was interrupted leaves nothing that looks finished.
define build-tool
@echo "building $(@F) $(2) from source" >&2
@mkdir -p $(@D)
@GOBIN=$(@D)/new GOFLAGS= $(GO) install $(1)@$(2)
@mv $(@D)/new/$(@F) $@ && rmdir $(@D)/new
endef

$(GOLANGCI_LINT):
	$(call build-tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(GOLANGCI_LINT_VERSION))

$(GOTESTSUM):
	$(call build-tool,gotest.tools/gotestsum,$(GOTESTSUM_VERSION))

.PHONY: clean
clean: ## Remove what was built and measured here
	rm -rf bin dist coverage.out
