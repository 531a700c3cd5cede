# make run: set up and open the console.  make test: set up and run every check and test.
# make quick: the linters and the pure tests.
PYTHON ?= python3
BIN := .venv/bin
# test processes side by side; each waits for engines and trainers of its own
JOBS ?= 3
# newest first; the version is checked, so that an old python3 says so instead of failing later
CHECK := import sys; sys.exit(0 if sys.version_info >= (3, 11) else "lcsearch needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ". Try make PYTHON=python3.12.")

.PHONY: run test quick lint format clean

run: .venv/run
	$(BIN)/lcsearch tui

test: .venv/dev lint
	$(BIN)/python -m pytest -n $(JOBS)

# the inner loop: what needs no engine and no training
quick: lint
	$(BIN)/python -m pytest -q -n $(JOBS) -m pure

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/picture.py --check

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -c '$(CHECK)'
	$(PYTHON) -m venv .venv

.venv/run: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[plots,web]'
	touch $@

.venv/dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ .venv/run

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
