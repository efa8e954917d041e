# Everything runs in a virtual environment of its own; PYTHON makes it (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BENCH ?= .venv-bench
ADDRESS ?= 127.0.0.1:8000

python := $(VENV)/bin/python
pip := -m pip --disable-pip-version-check install --quiet

.PHONY: demo test lint bench bench-check clean

demo: $(VENV)/.demo
	@$(python) manage.py migrate --verbosity 0
	@$(python) manage.py runserver $(ADDRESS)

test: $(VENV)/.dev
	$(python) -m pytest --cov

lint: $(VENV)/.dev
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy

# Forty minutes on a quiet machine: what it measures and writes is in benchmarks/README.md.
bench: $(BENCH)/.bench
	$(BENCH)/bin/python -m benchmarks

bench-check: $(VENV)/.dev
	$(python) -m benchmarks check

clean:
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .pytest_cache .ruff_cache .coverage demo/demo.sqlite3*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say what was installed; a change of pyproject.toml installs again.
%/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer, got " + sys.version.split()[0] + "; try make PYTHON=python3.13")'
	@$(PYTHON) -m venv --clear $*
	@$*/bin/python $(pip) --upgrade "pip>=25.1"
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.made
	@echo "Installing into $(VENV) ..."
	@$(python) $(pip) --editable ".[daphne]"
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/.made
	$(python) $(pip) --editable ".[daphne]" --group dev
	@touch $@

$(BENCH)/.bench: pyproject.toml | $(BENCH)/.made
	$(BENCH)/bin/python $(pip) --editable ".[daphne,uvicorn]" --group bench
	@touch $@
