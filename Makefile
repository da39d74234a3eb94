# The two commands of the README, and what they stand on. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/quickstart

.PHONY: quickstart test bench clean

quickstart: .venv/installed
	$(BIN)/preceptor run quickstart --out $(RUN)

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=2 --dist=worksteal

bench: .venv/installed-test
	$(BIN)/python bench/generate.py
	$(BIN)/python bench/pretrain.py
	$(BIN)/python bench/ppo.py
	$(BIN)/python bench/reward_kwise.py
	$(BIN)/python bench/generate_pretrained.py
	$(BIN)/python bench/labeling.py
	$(BIN)/python bench/hygiene.py
	$(BIN)/python bench/intervals.py

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache
