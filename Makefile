# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
BIN := .venv/bin
# One process more than cores: many tests wait for a server. The tests start hundreds of Python processes, which
# compile the package each time where the environment forbids bytecode.
PYTEST := $(BIN)/python -m pytest -n $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )) --dist loadfile
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all check format bundle zoo arm devices devices-quick attack install docs clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

install: .venv/installed  ## create .venv with everything in it

.venv/installed: pyproject.toml oip-conformance/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: edgecnn needs Python 3.11 or later, $(PYTHON) is $$($(PYTHON) --version): make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[pipeline,tensorboard,onnxruntime,openvino,serve,grpc,client,dev]' -e ./oip-conformance
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps 'kserve==0.21.0; python_version < "3.14"'
	@touch $@

demo: install  ## train, export, quantize, verify, predict: the whole road on real digits
	$(BIN)/python scripts/demo.py

test: install  ## the tests, offline, in minutes
	$(PYTEST)

test-all: install  ## the long tests too
	$(PYTEST) -m ''

check: install  ## formatting, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install  ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

zoo: install  ## train the reference models; CATS_VS_DOGS=FOLDER for the one on photographs; hours, resumable
	$(BIN)/python -m scripts.zoo $(if $(CATS_VS_DOGS),--cats-vs-dogs $(CATS_VS_DOGS))

arm: install  ## build the file system of an emulated ARM device, as root, with Debian's packages and the real wheels
	$(BIN)/python -m benchmarks.devices.emulation

devices: install  ## run the device part on five emulated processors, the zoo's bundles too; ZOO=DIR; an hour or more
	$(BIN)/python -m benchmarks.devices.check $(if $(ZOO),--zoo $(ZOO)) $(if $(RESUME),--resume)

devices-quick: install  ## the same for the committed bundle on a Raspberry Pi 4's processor and on Haswell
	$(BIN)/python -m benchmarks.devices.check --quick

attack: install  ## attack `edgecnn serve` with floods on the loopback and check its limits; ONLY="NAME ..."; minutes
	$(BIN)/python -m benchmarks.serving.attack.run $(if $(ONLY),--only $(ONLY))

bundle: install  ## rebuild exported/lenet-digits-int8 and hold it against the committed one
	$(BIN)/python scripts/bundle.py

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

docs: .venv/docs  ## build the documentation in build/site; offline once its packages are installed
	$(BIN)/python -m scripts.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

clean:  ## delete what was built, .venv too
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache
