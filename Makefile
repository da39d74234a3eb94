# The two commands of the README, and what they stand on. Needs Python 3.11 or newer and make.
PYTHON ?= python3
BIN := .venv/bin
RUN ?= runs/quickstart
# For `make bench`: the directory of a Llama such as SmolLM2-135M-Instruct, and the interpreter of TRL's environment.
MODEL ?=
TRL ?=
with_trl := $(if $(TRL),--trl-python "$(TRL)")

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
	$(BIN)/python bench/ppo.py $(with_trl)
ifneq ($(MODEL),)
	$(BIN)/python bench/ppo.py $(with_trl) --model "$(MODEL)" --batch 16 --iterations 1
	$(BIN)/python bench/ppo.py $(with_trl) --model "$(MODEL)" --batch 16 --iterations 1 --lora-rank 16
endif
	$(BIN)/python bench/reward_kwise.py
	$(BIN)/python bench/generate_pretrained.py $(if $(MODEL),--model "$(MODEL)")
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
