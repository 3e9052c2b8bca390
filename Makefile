# Every command is a line here. `make` alone lists them.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# What a playbook prints is seen at once, also in a pipe and in a log.
export PYTHONUNBUFFERED := 1

# The commands do the same in every environment. Variables of Ansible stay if they only show more, hold secrets or configure SSH;
# `make` reports the others.
STAY := ANSIBLE_VAULT% ANSIBLE_ASK% ANSIBLE_%PASSWORD_FILE ANSIBLE_SSH% ANSIBLE_PRIVATE_KEY_FILE ANSIBLE_HOST_KEY_CHECKING \
  ANSIBLE_VERBOSITY ANSIBLE_NOCOLOR ANSIBLE_FORCE_COLOR ANSIBLE_DISPLAY% ANSIBLE_STDOUT_CALLBACK ANSIBLE_CALLBACK% \
  ANSIBLE_LOG_PATH ANSIBLE_HOME ANSIBLE_LOCAL_TEMP ANSIBLE_REMOTE_TMP
IGNORED := $(strip $(foreach name,$(filter-out $(STAY),$(filter ANSIBLE_%,$(.VARIABLES))),$(if $(filter environment%,$(origin $(name))),$(name))))
OTHER_PYTHON := $(filter-out PYTHONUNBUFFERED PYTHON_%,$(filter PYTHON%,$(.VARIABLES)))
unexport $(IGNORED) $(OTHER_PYTHON) PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT BASH_ENV ENV CDPATH GLOBIGNORE
unexport DOCKER_DEFAULT_PLATFORM BUILDX_BUILDER KIND_CLUSTER_NAME KIND_EXPERIMENTAL_PROVIDER
ifneq ($(IGNORED),)
$(shell echo "make ignores $(IGNORED) of the environment, because the commands take settings from the inventory and ansible.cfg." >&2)
endif
# Ansible starts in UTF-8 only, and the C locale or one that is not installed is none.
UTF8 := $(firstword $(filter C.UTF-8 C.utf8 en_US.UTF-8 en_US.utf8,$(shell locale -a 2> /dev/null)))
ifneq ($(UTF8),)
export LC_ALL := $(UTF8)
endif

# The cluster to work on, a folder in inventory/; empty lets scripts/choose_inventory pick one and say why.
INVENTORY ?=
export INVENTORY
# Without an inventory nothing runs: Ansible would take an empty one for the present directory, and execute its programs.
choose = inventory="$$(scripts/choose_inventory "$$INVENTORY")" && test -n "$$inventory"
play = $(choose) && ansible-playbook --inventory="$$inventory"
# Ansible ignores an ansible.cfg that it finds in a directory which everybody may write to.
up down scale url password pin sbom bench prove: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help
.PHONY: help up down scale url password pin sbom audit test lint bench prove lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: .venv/complete ## Start the cluster and deploy the site; run it again at any time
	@$(play) playbooks/site.yml

down: .venv/complete ## Remove the site and its data, and the cluster if this made it
	@$(play) playbooks/teardown.yml --extra-vars 'teardown_data=purge teardown_cluster=true' && \
	  scripts/choose_inventory --forget "$$inventory"

scale: .venv/complete ## Run another number of pods: make scale REPLICAS=5
	@$(play) playbooks/scale.yml --extra-vars 'web_replicas=$(REPLICAS)'

url: .venv/complete ## Say how to reach the site and the cluster
	@$(play) playbooks/url.yml

password: .venv/complete ## Show the password of the site's superuser
	@$(play) playbooks/password.yml

pin: .venv/complete ## Write into the inventory which cluster it means, so that no other is ever changed
	@$(play) playbooks/pin.yml

sbom: .venv/complete ## Write what the images of a web pod contain, as CycloneDX, into sbom.cdx.json
	@scripts/make_tool_venv sbom scripts/sbom/requirements.txt
	@$(play) playbooks/sbom.yml

audit: sbom ## Look for known vulnerabilities in the lock files and the images; needs a network
	@.venv/sbom/bin/python scripts/sbom/audit.py sbom.cdx.json django_polls/requirements.txt requirements.txt

test: .venv/complete ## Run every test: lint, unit tests, then the roles on a real cluster
	@python tests/run.py

lint: .venv/complete ## Check style and types of everything
	@python tests/run.py lint

bench: .venv/complete ## Measure the playbooks on the cluster, and put the figures into README.md
	@$(choose) && python bench/bench.py "$$inventory"

prove: .venv/complete ## Break a site in a dozen ways while people vote, and count what they lost
	@$(choose) && python bench/prove.py "$$inventory" $(ROWS) $(addprefix --rate=,$(RATE)) \
	  $(addprefix --upgrade-from=,$(UPGRADE_FROM))

lock: .venv/complete ## Pin the tools in all requirements.in anew, with hashes
	@for lock in requirements scripts/sbom/requirements tests/security/requirements; do \
	  uv pip compile --quiet --generate-hashes --universal --python-version 3.12 --no-header --no-annotate \
	    --output-file $$lock.txt $$lock.in || exit 1; \
	done

.venv/complete: requirements.txt scripts/make_venv scripts/find_python
	@scripts/make_venv
