# `make` lists the targets. Each makes what it needs: Python 3.11+ and make are enough.

.DEFAULT_GOAL := help
# What reads the sources alone may run side by side; all other targets wait for each other.
ifneq ($(MAKECMDGOALS),static)
.NOTPARALLEL:
endif
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
# Further arguments for the program behind a target: make test ARGS="-k payment -x"
ARGS ?=
SOURCES := $(wildcard service tests demo examples)
SQL := $(wildcard service/database/sql service/database/migrations)

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: venv ## shows the service at work, from a fine to a paid fine
	@$(BIN)/python -m demo $(ARGS)

.PHONY: check
check: venv ## everything that CI checks
	@$(MAKE) --jobs 2 static
	@$(MAKE) test

.PHONY: static
static: types format-check lint dead-code imports sql-lint ## the checks that run no test

# ARGS that select tests: a file or folder, or an option that chooses. What is selected runs in pytest's
# own process, where `-x` and `--pdb` do what they say.
SELECTING := -k% -m% --lf --last-failed --nf --new-first --sw --stepwise --deselect% --ignore% --co --collect-only
SELECTION := $(strip $(filter $(SELECTING) tests% %.py,$(ARGS)) $(findstring ::,$(ARGS)))
# Tests side by side; the workers share one PostgreSQL and one Kafka. There are more of them than small machines have
# cores, because tests wait for servers and for the programs that they start.
WORKERS ?= $(if $(SELECTION),0,4)
PARALLEL := --numprocesses $(WORKERS) --dist worksteal

.PHONY: test
test: venv ## all tests; ARGS="-k payment -x" selects
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) $(ARGS)

.PHONY: coverage
coverage: venv ## all tests with branch coverage, which takes half as long again
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL) \
	  --cov=service --cov-branch --cov-report=term --cov-fail-under=90

.PHONY: test-fast
test-fast: venv ## rules, contracts and laws: no services, fewer generated examples; a minute
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -m "not slow" tests/unit tests/laws tests/contracts $(ARGS)

.PHONY: test-slow
test-slow: venv ## the tests that wait long or take 100 000 rows; each has a small form in `make test`
	$(BIN)/python -m pytest -m slow --timeout 3600 $(PARALLEL) $(ARGS)

.PHONY: contracts
contracts: venv ## tests of the contracts alone
	$(BIN)/python -m pytest tests/contracts -q $(ARGS)

.PHONY: laws
laws: venv ## the laws on many more generated histories
	HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest --timeout 0 $(PARALLEL) tests/laws $(ARGS)

.PHONY: drill
drill: venv ## restores a backup as the runbook says, on servers of its own, and compares the books
	@$(BIN)/python -m tests.drill $(ARGS)

# SAMPLE mutants of all, chosen by SEED: another seed, another sample.
SAMPLE ?= 400
SEED ?= 1

.PHONY: mutation
mutation: venv ## tests the tests: a sample of small faults in the rules and the XML
	@$(BIN)/python -m tests.mutation --sample $(SAMPLE) --seed $(SEED) $(ARGS)

.PHONY: mutation-all
mutation-all: venv ## the same with all faults that it can make
	@$(BIN)/python -m tests.mutation $(ARGS)

.PHONY: audit
audit: venv ## judges the topics and tables of DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS and BURSAR_TOPIC_PREFIX
	@$(BIN)/python -m tests.auditor $(ARGS)

# The rows of the fault matrix on real processes, and simulated histories; ONLY names a row, or a pattern of rows.
ONLY ?=
PROCESSES ?= 1
FAULT_WORKERS ?= 3
# Rows have tests in other folders as well, of which the slow ones are left out.
FAULT_FILES = tests/faults $(shell grep -rl --include 'test_*.py' 'mark\.fault' tests | grep -v tests/faults/)
FAULTS_PYTEST = $(BIN)/python -m pytest $(FAULT_FILES) -m fault --timeout 1200 --fault-report var/faults --fault-processes $(PROCESSES)

.PHONY: faults
faults: venv ## every row of the fault matrix, then simulated histories; ONLY=name, PROCESSES=2; under 40 minutes
ifneq ($(ONLY),)
	$(FAULTS_PYTEST) --fault-rows '$(ONLY)' $(ARGS)
else
	@status=0; \
	$(FAULTS_PYTEST) --numprocesses $(FAULT_WORKERS) --dist loadgroup $(ARGS) || status=1; \
	$(BIN)/python -m tests.simulator --count $(or $(COUNT),100) --jobs 2 || status=1; \
	$(BIN)/python -m tests.simulator --restores --events 6 --count $(or $(COUNT),50) --jobs 2 || status=1; \
	exit $$status
endif

.PHONY: faults-random
faults-random: venv ## faults at random, round after round, for MINUTES, from SEED on
	@$(BIN)/python -m tests.faults.random_run --minutes $(MINUTES) --seed $(SEED) $(ARGS)

# Simulated histories; a seed that fails is printed with the command that runs it again.
.PHONY: simulate
simulate: venv ## simulated histories in which much goes wrong; COUNT says how many, ARGS="--seed 5000" the first
	@$(BIN)/python -m tests.simulator --count $(or $(COUNT),2000) --jobs 2 $(ARGS)

.PHONY: faults-controls
faults-controls: venv ## takes each protection away, to see that tests fail; ARGS="--only lease" one of them
	@$(BIN)/python -m tests.controls $(ARGS)

MINUTES ?= 1

.PHONY: fuzz
fuzz: venv ## fuzzes what reads records, XML, profiles, layouts and settings; MINUTES for each of them
	@$(BIN)/python -m tests.fuzz --minutes $(MINUTES) $(ARGS)

# Anything: one run of the rates alone, in under two minutes.
QUICK ?=

.PHONY: bench
bench: venv ## measures the rates; a quiet machine helps; QUICK=1 makes one run without the large exports
	@$(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(ARGS)

.PHONY: bench-million
bench-million: venv ## an export of a million fines: memory, intake meanwhile; 20 minutes, 15 GB
	@$(BIN)/python -m tests.bench --runs 0 --memory-fines 10000,1000000 $(ARGS)

# The ledger of 5 000 000 fines, and afterwards the exports of `bench-million`.
.PHONY: bench-large
bench-large: venv ## growth: 5 000 000 fines against 10 000; then bench-million's exports; 40 minutes, 20 GB
	@$(BIN)/python -m tests.bench --runs 0 --growth-fines 10000,5000000 --memory-fines 10000,1000000 $(ARGS)

.PHONY: bench-peers
bench-peers: venv ## the service beside Kafka Connect with a JDBC sink; ARGS="--runs 1 --events 5000" is a small form
	@$(BIN)/python -m tests.bench.peers $(ARGS)

.PHONY: reference
reference: venv ## writes the parts of docs/reference that come from the code
	$(BIN)/python -m tests.structure.reference

.PHONY: format
format: venv ## formats the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

.PHONY: format-check
format-check: venv
	$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }

.PHONY: lint
lint: venv ## ruff
	$(BIN)/ruff check .

.PHONY: dead-code
dead-code: venv ## vulture: code that nothing uses
	@$(BIN)/python -m tests.structure.dead_code

.PHONY: counts
counts: venv ## statements, sizes and ignores; ARGS="--way" also traces a fine, "--rev 0.4.0" a revision
	@$(BIN)/python -m tests.structure.count $(ARGS)

.PHONY: types
types: venv ## mypy --strict
	$(BIN)/mypy --strict $(SOURCES)

.PHONY: imports
imports: venv ## the directions of imports
	$(BIN)/lint-imports --no-logo

.PHONY: sql-lint
sql-lint: venv ## sqlfluff
	$(BIN)/sqlfluff lint --disable-progress-bar --processes 0 $(SQL)

.PHONY: services
services: venv ## runs PostgreSQL and Kafka until Ctrl-C and prints their addresses
	@$(BIN)/python -m tests.support.services

# The demo against the containers of compose.yaml, as an operator runs them; their data are deleted afterwards.
POSTGRES_PORT ?= 15432
POSTGRES_PASSWORD ?= bursar
KAFKA_PORT ?= 19092
OPS_PORT ?= 8080

.PHONY: compose-demo
compose-demo: export POSTGRES_PORT := $(POSTGRES_PORT)
compose-demo: export POSTGRES_PASSWORD := $(POSTGRES_PASSWORD)
compose-demo: export KAFKA_PORT := $(KAFKA_PORT)
compose-demo: export OPS_PORT := $(OPS_PORT)
compose-demo: export BURSAR_SERVICES := environment
compose-demo: export BURSAR_DEMO_SERVICE := compose
compose-demo: export DATABASE_URL := postgresql://bursar:$(POSTGRES_PASSWORD)@127.0.0.1:$(POSTGRES_PORT)/bursar
compose-demo: export KAFKA_BOOTSTRAP_SERVERS := 127.0.0.1:$(KAFKA_PORT)
compose-demo: venv ## the demo against `docker compose up`
	@trap 'docker compose down --volumes' EXIT; \
	docker compose up --build --detach --wait && \
	$(BIN)/python -m demo $(ARGS)

# The locks hold for all systems and name no index: pip's and uv's own settings say where packages come from.
UV := .cache/lock/bin/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header --upgrade
UV_NATIVE_TLS ?= true
export UV_NATIVE_TLS

.PHONY: lock
lock: venv $(UV) ## newest versions that pyproject.toml allows, with hashes
	$(LOCK) pyproject.toml --output-file requirements/service.txt
	$(LOCK) pyproject.toml --group dev --output-file requirements/dev.txt
	$(LOCK) requirements/tools.in --output-file requirements/tools.txt
	$(LOCK) requirements/build.in --output-file requirements/build.txt
	$(LOCK) requirements/clocks.in --no-deps --output-file requirements/clocks.txt

$(UV):
	$(BIN)/python -m venv .cache/lock
	.cache/lock/bin/python -m pip install --quiet --disable-pip-version-check uv

.PHONY: venv
venv: ## the environment alone, in .venv
	@.ci/venv

.PHONY: clean
clean: ## removes what the targets made in this checkout
	rm -rf .venv .cache var build dist .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
