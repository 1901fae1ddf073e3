# The two commands are `make demo` and `make test`.

CARGO ?= cargo
PREFIX ?= $(HOME)/.local
CARGO_TARGET_DIR ?= target
DIR ?= tests/conformance
N ?= 20
BENCHES := append handshake
SEEDS ?= 1000

.DEFAULT_GOAL := help
.PHONY: help demo test conformance bench $(addprefix bench-,$(BENCHES)) torture simulate docs install lint fmt programs

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
	$(CARGO) build --quiet --release -p provider-resources
	$(CARGO) bench --quiet -p provider-protocol --bench handshake -- \
		$(abspath $(CARGO_TARGET_DIR))/release/terraform-provider-lockstep

bench-%:
	@echo "no benchmark is named $*; there are: $(BENCHES)" >&2; exit 2

torture: programs ## Kill lockstepd N times at random moments; SEED=... repeats a run
	@tests/acceptance/tools
	@$(CARGO_TARGET_DIR)/debug/torture $(N) $(SEED)

simulate: ## Simulate SEEDS runs in which everything fails, or DAYS of a hundred stages; SEED=... tells one
	@RUST_BACKTRACE=0 $(CARGO) run --quiet --release -p simulation --bin simulate -- --seeds $(SEEDS) \
		$(if $(SEED),--seed $(SEED)) $(if $(DAYS),--days $(DAYS)) $(if $(BUG),--bug $(BUG))

docs: ## Write the pages that come from schemas and types, and build the crates' documentation
	UPDATE=1 $(CARGO) test --quiet -p reconciler-api --test openapi
	UPDATE=1 $(CARGO) test --quiet -p provider-resources --test provider pages
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

install: ## Install the three programs below PREFIX (default: ~/.local)
	$(CARGO) install --locked --root $(PREFIX) --path reconciler/daemon
	$(CARGO) install --locked --root $(PREFIX) --path reconciler/cli
	$(CARGO) install --locked --root $(PREFIX) --path provider/resources

lint: ## Check formatting and lints
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

programs:
	@$(CARGO) build --workspace --bins
