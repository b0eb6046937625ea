# Two commands do everything on a fresh machine: `make demo` and `make test`.
#
#   make setup TORCH_INDEX=https://…   takes torch from an index of your choice (a CPU or CUDA build)
#   make demo BENCH_FLAGS="--devices cuda:0"

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
BENCH_FLAGS ?=
PYTEST_FLAGS ?= -n auto
SOAK_FLAGS ?=
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
MAIN_JOB = --methods slowvae,betavae --datasets natural_sprites --references --seeds 3 --budget quick
REFERENCE = --methods slowvae,betavae --datasets natural_sprites,dsprites,shapes3d,kitti_masks --references --seeds 3

.PHONY: help setup demo test soak lint types reference perf picture clean

help:
	@echo "make demo   set up, run slowvae and betavae on natural_sprites (3 seeds), print the table   about 12 minutes"
	@echo "make test   set up, run the tests"
	@echo "make setup  only the environment in $(VENV)"
	@echo "make soak   the long tests: kills, stops, hostile methods and files (hours; docs/reliability.md)"
	@echo "make lint types   ruff and mypy        make perf   measure speed against the plain way"
	@echo "make picture      the README's picture of the leaderboard, drawn anew (needs Chromium)"
	@echo "make reference    fill results/ and leaderboards/: four data sets, about 25 minutes"

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bench needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) install -q -c constraints.txt --index-url $(TORCH_INDEX) torch)
	$(PIP) install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(VENV)/bin/bench run $(MAIN_JOB) --results results/demo $(BENCH_FLAGS)

reference: setup
	$(VENV)/bin/bench run $(REFERENCE) $(BENCH_FLAGS)
	$(VENV)/bin/bench leaderboard

test: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest $(PYTEST_FLAGS)

soak: setup
	$(VENV)/bin/python -m pytest -m slow tests $(SOAK_FLAGS)
	BENCH_FUZZ=20000 $(VENV)/bin/python -m pytest tests/fuzz $(SOAK_FLAGS)

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/mypy

perf: setup
	$(VENV)/bin/python -m benchmarks

picture: setup
	$(VENV)/bin/bench leaderboard
	$(VENV)/bin/python -m benchmarks.leaderboard_picture

clean:
	rm -rf $(VENV) build dist *.egg-info results/demo
