# Everything runs from .venv, which `setup` makes once: a second call finds the stamp newer than what it was made from.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DATA ?=
# What `demo` ends with; `make demo SHOW=` and `DRIFT=` leave it out. The show needs to know what truly suits a shopper, which real photos do not tell.
SHOW ?= $(if $(DATA),,show)
DRIFT ?= darker_photos

# Processes that run the tests; much of a test is waiting for a server to start.
WORKERS ?= 2
# File by file, in their order: those that run whole lines come first, and the many short ones fill what is left.
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

TRITON := .venv-triton
TRITON_PYTHON ?= /usr/bin/python3.11
PROMETHEUS := .prometheus

export PATH := $(CURDIR)/$(BIN):$(PATH):$(CURDIR)/$(PROMETHEUS)/usr/bin

.PHONY: setup system-deps triton-test-env prometheus-test-env images-test-env demo test pytest proofs lint bench chaos clean

setup: $(STAMP)

# torch first and pinned: asked for later, through another package, pip would take the newest build with its CUDA packages.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

system-deps:
	sudo=$$(test "$$(id -u)" = 0 || echo sudo); \
	$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends chromium python3.11-venv

# A real Triton server for the tests, in an environment of its own: the wheel that brings one wants numpy below 2 and Debian's Python.
triton-test-env: $(TRITON)/.installed

$(TRITON)/.installed:
	test -x $(TRITON)/bin/python || $(TRITON_PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/pip install --quiet nvidia-pytriton==0.7.0 'numpy<2' "$$(grep '^onnxruntime==' constraints.txt)"
	touch $@

# The programs that the alert rules are tried against, unpacked and not installed: Debian's packages would start servers for everybody.
prometheus-test-env: $(PROMETHEUS)/.installed

$(PROMETHEUS)/.installed: tests/monitoring/routes/alertmanager.sh
	mkdir -p $(PROMETHEUS)/usr/libexec
	cd $(PROMETHEUS) && apt-get download -qq prometheus prometheus-alertmanager prometheus-node-exporter prometheus-pushgateway
	for package in $(PROMETHEUS)/*.deb; do dpkg -x $$package $(PROMETHEUS) && rm $$package || exit 1; done
	mv $(PROMETHEUS)/usr/bin/prometheus-alertmanager $(PROMETHEUS)/usr/libexec/alertmanager
	install -m 755 $< $(PROMETHEUS)/usr/bin/prometheus-alertmanager
	touch $@

# The environments of the images for the tests of k8s/; they need nothing of `setup`, so that both can go on side by side.
images-test-env:
	$(PYTHON) -m tests.k8s.install .images

demo: setup
	vitrine source $(if $(DATA),folder "$(DATA)",simulate)
	vitrine retrain
	$(if $(SHOW),vitrine $(SHOW))
	$(if $(DRIFT),vitrine drift rehearse $(DRIFT))
	@echo "Look at it: $(BIN)/vitrine serve --port 8080, then open http://127.0.0.1:8080/"

test: lint pytest

pytest: setup
	$(PYTEST) -m 'not proof'

# What `test` leaves out: whole lines on work pools, over a bad network, over real photos; each takes minutes.
proofs: setup
	$(PYTEST) -m proof --timeout 1800

lint: setup
	ruff check .
	ruff format --check .
	mypy

bench: setup
	$(BIN)/python -m tests.bench

chaos: setup
	$(BIN)/python -m tests.chaos $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

clean:
	mkdir -p data && find data -mindepth 1 -maxdepth 1 ! -name snapshot.json ! -name history.json -exec rm -rf {} +
	rm -rf models bundle reports runs .vitrine build .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find components flows monitoring tests -name __pycache__ -type d -prune -exec rm -rf {} +
