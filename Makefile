# Commands of the project. `make` without arguments lists them.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Without this, the output of a playbook reaches a pipe or a log late.
export PYTHONUNBUFFERED := 1

# The commands do the same in every environment. Variables of Ansible stay if they change only the output, hold secrets, or configure
# SSH. `make` ignores and reports the others.
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
# Ansible requires a UTF-8 locale that is installed.
UTF8 := $(firstword $(filter C.UTF-8 C.utf8 en_US.UTF-8 en_US.utf8,$(shell locale -a 2> /dev/null)))
ifneq ($(UTF8),)
export LC_ALL := $(UTF8)
endif

# Inventory of the cluster: a directory in inventory/, or any other. `make up` remembers it for all commands. Empty, and without a
# remembered one, scripts/choose_inventory selects one and prints the reason.
INVENTORY ?=
# V=1 shows Ansible's own output.
V ?=
# For `make adopt`: the directory of a Django project, and the name of its site. An empty one is that of the directory.
PROJECT ?=
SITE ?=
# Further arguments for ansible-playbook, for example ARGS='--check --diff'. They may contain secrets.
ARGS =
export INVENTORY V REPLICAS PROJECT SITE
unexport ARGS
play = exec scripts/play
# Without an inventory nothing runs, because Ansible would take an empty one for the present directory and execute its programs.
CONFIRM =
choose = inventory="$$(scripts/choose_inventory $(CONFIRM) "$$INVENTORY")" && test -n "$$inventory"
# Ansible ignores an ansible.cfg in a directory that every user can write to.
adopt up down scale url password pin sbom bench prove: export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help
.PHONY: help adopt up down scale url password pin sbom audit test test-projects lint bench prove lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile
	@echo "Options: INVENTORY=inventory/NAME, V=1 for Ansible's own output, ARGS='--check --diff'"

adopt: .venv/complete ## Write the inventory of a Django project, which is only read: make adopt PROJECT=~/shop
	@$(play) adopt playbooks/adopt.yml -- $(ARGS)

up: .venv/complete ## Deploy the site and create its cluster, or apply changes
	@$(play) up playbooks/site.yml -- $(ARGS)

down: .venv/complete ## Remove the site, its data, and the cluster that make up created
	@$(play) down playbooks/teardown.yml --extra-vars 'teardown_data=purge teardown_cluster=true' -- $(ARGS)

scale: .venv/complete ## Change the number of web pods until the next make up: make scale REPLICAS=5
	@$(play) scale playbooks/scale.yml --extra-vars 'web_replicas=$(REPLICAS)' -- $(ARGS)

url: .venv/complete ## Show the site URL, the admin URL, and a kubectl command
	@$(play) url playbooks/url.yml -- $(ARGS)

password: .venv/complete ## Show the admin password
	@$(play) password playbooks/password.yml -- $(ARGS)

pin: .venv/complete ## Pin the inventory to its current cluster, so that no run changes another one
	@$(play) pin playbooks/pin.yml -- $(ARGS)

sbom: .venv/complete ## Write an SBOM of the site's images (CycloneDX) into sbom.cdx.json
	@scripts/make_tool_venv sbom scripts/sbom/requirements.txt
	@$(play) sbom playbooks/sbom.yml -- $(ARGS)

audit: sbom ## Scan the images and the lock files for known vulnerabilities; needs a network
	@.venv/sbom/bin/python scripts/sbom/audit.py sbom.cdx.json django_polls/requirements.txt requirements.txt

test: .venv/complete ## Run all tests: linters, unit tests, site tests, and the roles on a real cluster
	@python tests/run.py

test-projects: .venv/complete ## Deploy five public projects on a test cluster, and test them; takes about 40 minutes
	@python tests/run.py projects

lint: .venv/complete ## Check the style, types, and language of all files
	@python tests/run.py lint

bench: CONFIRM := --confirm-bench
bench: .venv/complete ## Measure playbooks and pods on the cluster, and write the figures into docs and README.md
	@$(choose) && echo "Inventory: $${inventory#"$$PWD/"}" && python bench/bench.py "$$inventory" $(PARTS)

prove: .venv/complete ## Inject failures under load; count failed requests and lost votes
	@$(choose) && echo "Inventory: $${inventory#"$$PWD/"}" && python bench/prove.py "$$inventory" $(ROWS) $(addprefix --rate=,$(RATE)) \
	  $(addprefix --upgrade-from=,$(UPGRADE_FROM))

lock: .venv/complete ## Update the lock files of the tools, the SBOM, the security tests, and the projects
	@for lock in requirements scripts/sbom/requirements tests/security/requirements tests/projects/requirements; do \
	  uv pip compile --quiet --generate-hashes --universal --python-version 3.12 --no-header --no-annotate \
	    --output-file $$lock.txt $$lock.in || exit 1; \
	done
	@for lock in tests/projects/constraints/*.in; do \
	  uv pip compile --quiet --universal --python-version 3.13 --no-header --no-annotate --output-file $${lock%.in}.txt $$lock || exit 1; \
	done

.venv/complete: requirements.txt scripts/make_venv scripts/find_python
	@scripts/make_venv
