# make setup   system packages (as root), .venv, the ringfence command; run again at any time
# make run     setup, start Ringfence, build the guide's web + database VPC, probe it, keep serving
# make test    setup, then everything CI runs
# make check   formatting, lint, types, layer contract, generated documents

PORT ?= 4566
VENV := .venv/bin

.PHONY: setup run test check format lock docs differential iam-differential reach-differential reach-smt kernel-differential faults bench clean

setup:
	@scripts/setup.sh

run: setup
	@PORT=$(PORT) scripts/run.sh

test: setup check
	$(VENV)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --durations=40 -m "not slow"

check: setup
	$(VENV)/ruff format --check src tests bench examples scripts
	$(VENV)/ruff check src tests bench examples scripts
	$(VENV)/mypy
	$(VENV)/lint-imports
	$(VENV)/python scripts/coverage_table.py --check docs/operations.md
	$(VENV)/python scripts/authorisation_table.py --check docs/authorisation.md

format:
	$(VENV)/ruff format src tests bench examples scripts
	$(VENV)/ruff check --fix src tests bench examples scripts

docs:
	$(VENV)/python scripts/coverage_table.py docs/operations.md
	$(VENV)/python scripts/authorisation_table.py docs/authorisation.md

differential: setup
	$(VENV)/python -m tests.differential.run

reach-differential: setup
	$(VENV)/python -m tests.differential.run_reach

kernel-differential: setup
	KERNEL_SITES=40 $(VENV)/python -m pytest -n 0 -s tests/differential/test_kernel.py

reach-smt: setup
	$(VENV)/python -m tests.differential.run_smt

# every seeded fault, mutant and change by hand, of which CI has a part
faults: setup
	TAMPERS=all $(VENV)/python -m pytest -n 2 --dist loadfile tests/insight/reach/test_faults.py tests/differential/test_faults.py \
	    tests/differential/test_iam.py tests/dataplane/verify/test_faults.py tests/api/wire/test_documents.py \
	    tests/api/wire/test_codec_mutants.py tests/insight/analyzer tests/e2e/test_ends.py tests/kernel/test_verify.py \
	    tests/e2e/test_hostile_guests.py tests/kernel/test_any_path.py tests/kernel/test_mid_conversation.py \
	    tests/insight/reach/test_smt.py tests/identity/analysis/test_checks.py

iam-differential: setup
	$(VENV)/python -m tests.differential.iam_run

bench: setup
	$(VENV)/python -m bench.compile_world
	$(VENV)/python -m bench.rule_change 300 60
	$(VENV)/python -m bench.eni_creation 300
	$(VENV)/python -m bench.packet_path
	$(VENV)/python -m bench.verify 100 1000

lock:
	scripts/lock.sh

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
