# `make` lists the targets. What they need beyond Rust (with a C compiler), Python 3.11 and libfaketime is installed inside the checkout.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
# Cargo uses all cores, and two of them at a time wait for each other's lock.
.NOTPARALLEL:

PYTHON ?= python3
# In CI the lock file is the truth; at a desk it follows Cargo.toml.
LOCKED := $(if $(CI),--locked)

# The crates in functions/ that the template deploys.
FUNCTIONS := feedback decide merge apply reconcile inbound audit setup

# All but those of the local AWS and the laws.
UNIT_TESTS := not (package(local-aws) | package(laws))

LOCAL_AWS := .venv/local-aws/.installed
AWS_CLI := .venv/aws-cli/.installed
TOOLS := .venv/tools/.installed
CARGO_TOOLS := .venv/cargo-tools/.installed
NEXTEST := .venv/cargo-tools/bin/cargo-nextest nextest
DENY := .venv/cargo-tools/bin/cargo-deny
SHEAR := .venv/cargo-tools/bin/cargo-shear
export SAM_CLI_TELEMETRY := 0

##@ The two commands, and the end of the first

.PHONY: demo
demo: $(LOCAL_AWS) local ## Real input through the whole stack in two Regions of a local AWS. KEEP=1 leaves it running
	cargo run $(LOCKED) --quiet --bin demo -- $(if $(KEEP),--keep)

.PHONY: demo-stop
demo-stop: ## End what `make demo KEEP=1` left running
	cargo run $(LOCKED) --quiet --bin demo -- --stop

.PHONY: test
test: fmt clippy unit shifted-clock laws doc deny template integration ## Everything that CI runs

##@ Steps of `make test`

.PHONY: fmt
fmt: ## Formatting
	cargo fmt --all --check

.PHONY: clippy
clippy: ## Lints, warnings denied
	cargo clippy $(LOCKED) --workspace --all-targets -- -D warnings

.PHONY: unit
unit: $(CARGO_TOOLS) ## Unit and property tests, and the examples in the documentation
	$(NEXTEST) run $(LOCKED) --workspace -E '$(UNIT_TESTS)'
	cargo test $(LOCKED) --quiet --workspace --doc

# Dates that no test was written for. The slow tests at them: `tests/at-date 2028-02-29 make laws integration demo`.
.PHONY: shifted-clock
shifted-clock: $(CARGO_TOOLS) ## The fast unit tests again, as if it were a leap day, and years from now
	@for date in 2028-02-29 2031-01-01; do \
		echo "as if it were $$date:"; \
		tests/at-date $$date $(NEXTEST) run $(LOCKED) --workspace -E '$(UNIT_TESTS) & not test(convergence::) & not binary(mutations)' \
			--status-level fail --final-status-level fail; \
	done

.PHONY: laws
laws: $(CARGO_TOOLS) ## What must hold of all functions together, over thousands of generated histories
	$(NEXTEST) run $(LOCKED) --workspace -E 'package(laws)'

.PHONY: doc
doc: ## The documentation builds, warnings denied
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --quiet --workspace --no-deps

# Advisories come from a database in the network. Not to reach it is no verdict on the tree; a found advisory is, and fails.
.PHONY: deny
deny: $(CARGO_TOOLS) ## Licences, sources, duplicates, advisories and use of the dependencies
	$(SHEAR)
	$(DENY) $(LOCKED) check licenses sources bans
	@if why=$$(timeout 120 $(DENY) $(LOCKED) fetch db 2>&1); then \
		$(DENY) $(LOCKED) check advisories; \
	else \
		echo "advisories NOT CHECKED: their database could not be fetched ($$(tail -n1 <<<"$$why" | cut -c1-200))"; \
	fi

.PHONY: template
template: $(TOOLS) ## The template: for every Region, as SAM sees it, and its permissions against the code
	.venv/tools/bin/python -B tests/template/check.py
	.venv/tools/bin/sam validate --lint --region us-east-1

.PHONY: integration
integration: $(CARGO_TOOLS) $(LOCAL_AWS) $(AWS_CLI) local ## Tests on the local AWS
	$(NEXTEST) run $(LOCKED) --workspace -E 'package(local-aws)'

.PHONY: test-suppression
test-suppression: $(CARGO_TOOLS) $(LOCAL_AWS) local ## The suppression list's part of the tests alone
	$(NEXTEST) run $(LOCKED) --workspace \
		-E 'package(decide) | package(merge) | package(apply) | package(reconcile) | package(laws) | binary(=suppression)'

##@ Measurements

# The baseline is the same function with what the workspace leaves out: SDK defaults and AWS-LC's jitter entropy.
.PHONY: bench
bench: ## Cold starts, against a build with the SDK's default features
	cargo build $(LOCKED) --release -p feedback
	AWS_LC_SYS_NO_JITTER_ENTROPY=0 cargo build $(LOCKED) --release -p feedback --features sdk-defaults --target-dir target/sdk-defaults
	cargo run $(LOCKED) --quiet --bin cold_start -- --shipped target/release/feedback --baseline target/sdk-defaults/release/feedback

##@ Builds

.PHONY: local
local: ## The functions, the operator's tool and the demo, for this machine
	cargo build $(LOCKED) --workspace --bins

# The build folders are SAM's, Cargo's output is shared with it: the second processor builds only what differs.
.PHONY: sam-build
sam-build: $(TOOLS) ## `sam build` for both processors, and a look at what came out
	rustup target add x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu
	@export PATH="$$PWD/.venv/tools/bin:$$PATH"; \
	for pair in x86_64:62 arm64:183; do \
		architecture=$${pair%:*}; \
		sam build --build-dir .aws-sam/$$architecture --parameter-overrides Architecture=$$architecture; \
		for function in $(FUNCTIONS); do \
			binary=.aws-sam/$$architecture/$${function^}Function/bootstrap; \
			machine=$$(od -An -tu2 -j18 -N2 $$binary | tr -d ' '); \
			if [ "$$machine" != "$${pair#*:}" ]; then echo "$$binary is for ELF machine $$machine, not $$architecture"; exit 1; fi; \
			echo "$$binary: $$architecture, $$(stat -c %s $$binary) bytes"; \
		done; \
	done

##@ Tools

.PHONY: requirements
requirements: .venv/pip-tools/bin/pip-compile ## Pin the Python tools anew, from requirements/*.in
	for name in aws-cli cargo-tools local-aws tools; do \
		CUSTOM_COMPILE_COMMAND="make requirements" $< --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
			--no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
			--output-file requirements/$$name.txt requirements/$$name.in; \
	done

.PHONY: clean
clean: ## Remove everything that was built or installed here
	rm -rf target .aws-sam .venv

# `--no-deps`: the files are complete. With it, older versions of pip do not stumble over extras under --require-hashes.
.venv/%/.installed: requirements/%.txt
	rm -rf .venv/$*
	$(PYTHON) -m venv .venv/$*
	.venv/$*/bin/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r $<
	.venv/$*/bin/pip check --disable-pip-version-check
	touch $@

.venv/pip-tools/bin/pip-compile:
	$(PYTHON) -m venv .venv/pip-tools
	.venv/pip-tools/bin/pip install --quiet --disable-pip-version-check pip-tools==7.6.2

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
.DEFAULT_GOAL := help
