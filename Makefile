# What people and CI run. Needs cargo, and for the tests root on Debian: deploy/lab/up installs and starts what is missing.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.PHONY: test lint advisories bench lab-up lab-down

LAB_ENV = $${LAB_DIR:-$${TMPDIR:-/tmp}/farmhand-lab}/farmhand.env
# Tests wait for services more than they compute, so a few more than the machine has cores.
RUST_TEST_THREADS ?= $(shell n=$$(nproc); echo $$((n < 4 ? 4 : n)))
export RUST_TEST_THREADS

# The binary that process tests start is built with the tests, in one go: on its own it would get its dependencies compiled
# a second time, without the features that the tests add.
test: lab-up
	. $(LAB_ENV); \
	cargo build --workspace --bins --tests; \
	cargo test --workspace

# Also run by CI before the tests. cargo-deny is used where it is installed.
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	if cargo deny --version > /dev/null 2>&1; then cargo deny --all-features check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources are not checked (cargo install --locked cargo-deny)"; fi

# Apart from lint: it fetches RustSec's database from GitHub, and its answer changes without a change of ours.
advisories:
	cargo deny --all-features check advisories

# Ratios to the bare floor: docs/benchmarks.md. Binary and benchmark are built in one go for the reason given above, and
# the binary is the release one: its memory and its start are measured. PARTS="workflows" measures only that.
bench: lab-up
	. $(LAB_ENV); \
	cargo build --release -p farmhand -p tests --bin farmhand --bench farmhand; \
	cargo bench -p farmhand -p tests --bench farmhand -- $(PARTS)

lab-up:
	deploy/lab/up > /dev/null

lab-down:
	deploy/lab/down
