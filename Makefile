# Thin: every target is a command that README shows.  .venv is made on first use.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GAIT := --algorithm=GAIT --learning_rate=0.0001 --orthogonal_init --orthogonal_reg=0.1 --nb_layers=4

.PHONY: run test lint mutants fuzz kill bench bench-quick gpu figures report clean

run: $(VENV)/installed
	@$(BIN)/python run.py $(GAIT) --nb_epochs=5 --precision=float32 \
		$$(test -e results/MNIST_GAIT_OrthoInit_0.1OrthoReg_1Seed_0.0001LR_4L_float32/config.json && echo --load)

test: $(VENV)/installed
	$(BIN)/python -m pytest -n auto --dist worksteal

lint: $(VENV)/installed
	$(BIN)/ruff check .

fuzz: $(VENV)/installed
	FUZZ=2000 $(BIN)/python -m pytest tests/field/test_fuzz.py

kill: $(VENV)/installed
	KILLS=100 $(BIN)/python -m pytest tests/faults/test_kill.py tests/faults/test_main_kill.py -k random

mutants: $(VENV)/installed
	$(BIN)/python tests/mutation.py

figures: $(VENV)/installed
	$(BIN)/python figures/learning_curves.py results/*_*Seed_*

report: $(VENV)/installed
	$(BIN)/python report.py $(wildcard results logs docs/results/runs)

bench: .venv-bench/installed
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv-bench/bin/python benchmarks/speed.py $(BENCH) --markdown=results/speed.md
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE .venv-bench/bin/python benchmarks/dfc_speed.py $(BENCH) --markdown=results/dfc_speed.md

bench-quick: .venv-bench/installed
	@$(MAKE) bench BENCH=--quick

gpu: $(VENV)/installed
	$(BIN)/python benchmarks/gpu.py

$(VENV)/installed: requirements.txt requirements-dev.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	@touch $@

.venv-bench/installed: requirements.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -r benchmarks/requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-bench .pytest_cache .ruff_cache
