# `make demo` and `make test` are all that a newcomer needs; both build .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Start-up without compiled bytecode is three times slower, so compile whatever the caller's shell says.
export PYTHONDONTWRITEBYTECODE :=
N      ?= 300
TARGET  ?= diff
SECONDS ?= 60
SEED    ?= 1

.PHONY: demo demo-services test test-long lint fuzz replay gate-quality bench known-pins requirements clean

$(VENV)/core.stamp: requirements/core.txt pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "LonelyCat needs Python 3.11 or newer"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/core.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/dev.stamp: requirements/dev.txt $(VENV)/core.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

$(VENV)/bench.stamp: requirements/bench.txt $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	touch $@

$(VENV)/fuzz.stamp: requirements/fuzz.txt $(VENV)/dev.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	touch $@

demo: $(VENV)/core.stamp          ## the whole story in a throwaway workspace with a real service
	$(BIN)/lonelycat demo

$(VENV)/services.stamp: requirements/services.txt $(VENV)/core.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/services.txt
	touch $@

demo-services: $(VENV)/core.stamp ## the same with PostgreSQL, Redis and migrations under supervisord; installs what it needs
	@echo 'Installing into $(VENV): PostgreSQL, supervisord, the drivers of PostgreSQL and Redis (requirements/services.txt)'
	@$(MAKE) --no-print-directory $(VENV)/services.stamp
	$(BIN)/python -m lonelycat.interfaces.demo.pair.installing
	$(BIN)/lonelycat demo --services

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint                        ## linters, types, import rules, then every test, with coverage
	$(BIN)/python -m tests.run

test-long: $(VENV)/fuzz.stamp     ## the long harnesses whole
	$(BIN)/python -m tests.run --long

fuzz: $(VENV)/fuzz.stamp          ## make fuzz TARGET=diff SECONDS=60 SEED=1: one parser under the coverage-guided fuzzer
	$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS) --seed $(SEED)

replay: $(VENV)/dev.stamp         ## make replay REPO=path N=300: replay real history through the executor
	$(BIN)/python -m tests.conformance.replay --repo "$(REPO)" --commits $(N)

gate-quality: $(VENV)/dev.stamp   ## make gate-quality REPO=path N=300 [PINS=place of tags]: how the gate judges real history
	$(BIN)/python -m tests.conformance.gate_quality --repo "$(REPO)" --commits $(N) $(if $(PINS),--pins "$(PINS)")

bench: $(VENV)/bench.stamp        ## the benchmark table, as ratios, and the growth curves, into docs/performance.md
	$(BIN)/python -m benchmarks

known-pins: $(VENV)/core.stamp    ## make known-pins FROM=https://github.com: read the tags that are shipped anew
	$(BIN)/python docs/known_pins.py "$(FROM)"

requirements:                     ## compile the pinned, hashed requirement files (needs uv)
	uv pip compile pyproject.toml --group build --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make requirements' --upgrade -o requirements/core.txt
	uv pip compile pyproject.toml --group build --group dev --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make requirements' -c requirements/core.txt --upgrade -o requirements/dev.txt
	uv pip compile pyproject.toml --group build --group bench --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make requirements' -c requirements/core.txt --upgrade -o requirements/bench.txt
	uv pip compile pyproject.toml --extra services-demo --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make requirements' -c requirements/core.txt -c requirements/dev.txt --upgrade -o requirements/services.txt
	uv pip compile --group fuzz --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command 'make requirements' -c requirements/dev.txt --upgrade -o requirements/fuzz.txt

clean:
	rm -rf $(VENV) .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
