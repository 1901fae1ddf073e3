# The two commands are `make demo` and `make test`.

CARGO ?= cargo
PREFIX ?= $(HOME)/.local
CARGO_TARGET_DIR ?= target
DIR ?= tests/conformance
DIST ?= $(CARGO_TARGET_DIR)/dist
N ?= 20
SECONDS ?= 60
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# What tells a fuzzer which code an input reached; stable compilers have it all.
COVERAGE := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
BENCHES := append handshake infra land plan preview resume steps
PEERS = $(abspath $(CARGO_TARGET_DIR))/peers
SEEDS ?= 1000
PROVIDER := $(CARGO_TARGET_DIR)/slim/terraform-provider-lockstep
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)

.DEFAULT_GOAL := help
.PHONY: help demo test conformance bench $(addprefix bench-,$(BENCHES)) torture simulate docs fuzz install \
	install-provider release lint fmt programs

help: ## Say what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | \
		awk '{ name = $$1; $$1 = ""; printf "  make %-12s%s\n", name, $$0 }'

demo: ## Show the whole of it on this machine, in a minute; KEEP=1 leaves it up to explore
	@tests/acceptance/tools --install
	@$(CARGO) build --quiet --bins -p reconciler-daemon -p reconciler-cli -p provider-resources -p acceptance
	@KEEP=$(KEEP) $(CARGO_TARGET_DIR)/debug/demo

test: programs ## Run every test, unit to acceptance
	@tests/acceptance/tools
	$(CARGO) test --workspace --no-fail-fast

conformance: ## Run the conformance vectors in DIR (default: tests/conformance)
	@RUST_BACKTRACE=0 LOCKSTEP_CONFORMANCE_DIR=$(abspath $(DIR)) \
		$(CARGO) test --quiet -p acceptance --test conformance -- --exact every_vector_holds --nocapture

bench: $(if $(ID),bench-$(ID),$(addprefix bench-,$(BENCHES))) ## Run the benchmarks, or the one named by ID

bench-append:
	$(CARGO) bench --quiet -p reconciler-store --bench append

bench-handshake:
	$(CARGO) build --quiet --profile slim -p provider-resources
	$(CARGO) bench --quiet -p provider-protocol --bench handshake -- $(abspath $(PROVIDER))

bench-infra:
	ROUNDS=$(ROUNDS) $(CARGO) bench --quiet -p reconciler-effects --bench infra

bench-land:
	$(CARGO) bench --quiet -p reconciler-effects --bench land

bench-plan:
	$(CARGO) build --quiet --release --bin lockstepd
	$(CARGO) build --quiet --profile slim --bin terraform-provider-lockstep --bin terraform-provider-notes
	$(CARGO) build --quiet --bin bench_plan
	@ln -f $(CARGO_TARGET_DIR)/release/lockstepd $(CARGO_TARGET_DIR)/slim/lockstepd
	@LOCKSTEP_BIN_DIR=$(abspath $(CARGO_TARGET_DIR))/slim $(CARGO_TARGET_DIR)/debug/bench_plan $(ROUNDS)

bench-preview:
	$(CARGO) bench --quiet -p reconciler-daemon --bench preview

bench-resume:
	$(CARGO) build --quiet --release --bin lockstepd
	LOCKSTEPD=$(abspath $(CARGO_TARGET_DIR))/release/lockstepd \
		$(CARGO) bench --quiet --profile dev -p reconciler-daemon --bench resume

bench-steps:
	@mkdir -p $(PEERS) && cp reconciler/daemon/benches/peers/* $(PEERS)
	@npm install --prefix $(PEERS) --no-package-lock --no-audit --no-fund --silent || \
		echo "the peers are not installed: lockstepd is measured alone" >&2
	$(CARGO) build --quiet --release --bin lockstepd
	LOCKSTEPD=$(abspath $(CARGO_TARGET_DIR))/release/lockstepd \
		$(CARGO) bench --quiet --profile dev -p reconciler-daemon --bench steps -- $(or $(ROUNDS),3) $(PEERS)

bench-%:
	@echo "no benchmark is named $*; there are: $(BENCHES)" >&2; exit 2

fuzz: ## Fuzz what is decoded: TARGET (default: each in turn) for SECONDS (default: 60)
	@cp Cargo.lock provider/protocol/fuzz/Cargo.lock
	@cd provider/protocol/fuzz && RUSTFLAGS="$(COVERAGE)" CARGO_TARGET_DIR=$(abspath $(CARGO_TARGET_DIR))/fuzz \
		$(CARGO) build --quiet --release --target $(HOST) --bins
	@cd provider/protocol/fuzz && for target in $(or $(TARGET),$(basename $(notdir $(wildcard provider/protocol/fuzz/fuzz_targets/*.rs)))); do \
		mkdir -p $(abspath $(CARGO_TARGET_DIR))/fuzz/found/$$target && \
		$(abspath $(CARGO_TARGET_DIR))/fuzz/$(HOST)/release/$$target -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1 \
			$(abspath $(CARGO_TARGET_DIR))/fuzz/found/$$target corpus/$$target || exit 1; \
	done

torture: programs ## Kill lockstepd N times at random moments, in LANES at once; SEED=... repeats a run
	@tests/acceptance/tools
	@$(CARGO_TARGET_DIR)/debug/torture $(N) $(or $(SEED),$$(date +%N)) $(or $(LANES),1)

simulate: ## Simulate SEEDS runs in which everything fails, or DAYS of a hundred stages; SEED=... tells one
	@RUST_BACKTRACE=0 $(CARGO) run --quiet --release -p simulation --bin simulate -- --seeds $(SEEDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(DAYS),--days $(DAYS)) $(if $(BUG),--bug $(BUG))

docs: ## Write the pages that come from schemas and types, and build the crates' documentation
	UPDATE=1 $(CARGO) test --quiet -p reconciler-api --test openapi
	UPDATE=1 $(CARGO) test --quiet -p reconciler-domain --lib step::schema
	UPDATE=1 $(CARGO) test --quiet -p provider-resources --test provider pages
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

install: install-provider ## Install the daemon and the command line below PREFIX (default: ~/.local), the provider into the local mirror
	$(CARGO) install --locked --root $(PREFIX) --path reconciler/daemon
	$(CARGO) install --locked --root $(PREFIX) --path reconciler/cli

install-provider:
	$(CARGO) build --profile slim --locked -p provider-resources
	provider/package install $(PROVIDER) $(VERSION)

release: ## Build the provider's archive for the registries, with checksums, into DIST (default: target/dist)
	$(CARGO) build --profile slim --locked -p provider-resources
	provider/package archive $(PROVIDER) $(VERSION) $(DIST)

lint: ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

programs:
	@$(CARGO) build --workspace --bins
