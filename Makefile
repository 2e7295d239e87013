# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
# The few commands of the project; `make help` lists them. Everything they make stays in this folder and in the state
# directory that `ansible-playbook reset.yml` empties.

PYTHON ?= python3
VENV := .venv
# What uv downloads stays in this folder too, and is linked from here into every environment.
export UV_CACHE_DIR ?= $(CURDIR)/.uv-cache
DEV := .venv-dev
MEGABYTES = $(shell $(PYTHON) -c 'import json, sys; print(json.load(open("requirements/sizes.json"))["megabytes"]["$(1).txt"])')
# Hashes are required of every package; uv comes with pip, everything else with uv.
INSTALL = $(1)/bin/pip install --quiet --disable-pip-version-check --no-cache-dir --require-hashes --requirement requirements/tools.txt \
	&& $(1)/bin/uv pip sync --quiet --require-hashes --compile-bytecode --python $(1)/bin/python $(2)

# A locale that every system has (ansible refuses one that is not generated), and this folder's own settings.
export LC_ALL := C.UTF-8
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help
.PHONY: help demo venv test lint lock lock-cpu mirror-list reset

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## from a bare machine to a verdict: deploy both arms here, measure them, print the verdict
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, and this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import os, shutil, sys; free = shutil.disk_usage(os.curdir).free / 1e9; \
	  sys.exit(f"{os.getcwd()} has {free:.1f} GB free, and 6 GB are needed for what is downloaded. Make room, or name a folder elsewhere: make demo UV_CACHE_DIR=DIR") \
	  if free < 6 and not os.path.isdir(os.environ["UV_CACHE_DIR"]) else None'
	@echo "This will install, from the configured package index and the distribution:"
	@echo "  $(VENV)/               what ansible-playbook needs      $(call MEGABYTES,controller) MB to download, once"
	@echo "  the state directory  the service's own environment    $(call MEGABYTES,service) MB to download, once (PyTorch)"
	@echo "  apache2-utils, htop  where they are missing           (needs root or sudo)"
	@echo "and then deploy two services on loopback and measure them for about two and a half minutes."
	@$(MAKE) --no-print-directory venv
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ansible-playbook site.yml -e profile=demo
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ansible-playbook benchmark.yml -e profile=demo

venv: $(VENV)/.complete ## make the controller's environment, .venv

$(VENV)/.complete: requirements/tools.txt requirements/controller.txt
	$(PYTHON) -m venv $(VENV)
	$(call INSTALL,$(VENV),requirements/tools.txt requirements/controller.txt)
	@touch $@

test: $(DEV)/.complete ## set up what the tests need, and run all of them
	@tests/install_tools
	@failed=0; \
	$(DEV)/bin/pytest --cache-clear --numprocesses 4 --dist worksteal tests/unit || failed=1; \
	$(DEV)/bin/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not alone" tests/integration || failed=1; \
	$(DEV)/bin/pytest -m alone tests/integration || failed=1; \
	test $$failed = 0 || { echo; echo 'Failed, of all three groups:'; $(DEV)/bin/pytest --quiet --cache-show cache/lastfailed; }; \
	exit $$failed

lint: $(DEV)/.complete ## ansible-lint, yamllint, ruff and mypy
	PATH="$(CURDIR)/$(DEV)/bin:$$PATH" ansible-lint
	$(DEV)/bin/yamllint --strict .
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

$(DEV)/.complete: requirements/dev.txt
	@echo "This will install $(call MEGABYTES,dev) MB of packages into $(DEV)/, and with the distribution's package manager"
	@echo "apache2-utils, htop and chromium where they are missing."
	$(PYTHON) -m venv $(DEV)
	$(call INSTALL,$(DEV),requirements/dev.txt)
	@touch $@

lock: $(VENV)/.complete ## write requirements/*.txt anew from *.in, and measure what they download
	for name in tools controller service dev; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --no-emit-find-links --upgrade requirements/$$name.in --output-file requirements/$$name.txt || exit 1; \
	done
	$(PYTHON) requirements/download_sizes.py $(addprefix requirements/,tools.txt controller.txt service.txt dev.txt) >requirements/sizes.json

lock-cpu: $(VENV)/.complete ## write requirements/service-cpu.txt, where PyTorch's CPU index (CPU_INDEX=...) can be reached
	@test -n "$(CPU_INDEX)" || { echo "Say where the CPU builds are: make lock-cpu CPU_INDEX=ADDRESS (pytorch.org names it)"; exit 1; }
	$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	  --index "$(CPU_INDEX)" --index-strategy unsafe-best-match requirements/service.in --output-file requirements/service-cpu.txt

mirror-list: $(VENV)/.complete ## print what an air-gapped deployment downloads, with checksums
	@$(VENV)/bin/python requirements/mirror_list.py

reset: $(VENV)/.complete ## remove what the demo made on this machine, but for this folder
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" ansible-playbook reset.yml
