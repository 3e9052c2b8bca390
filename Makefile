# Every command is a line here. `make` alone lists them.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# What a playbook prints is seen at once, also in a pipe and in a log.
export PYTHONUNBUFFERED := 1

# The cluster to work on, a folder in inventory/; empty lets scripts/choose_inventory pick one and say why.
INVENTORY ?=
play = inventory="$$(scripts/choose_inventory $(INVENTORY))" && ansible-playbook --inventory "$$inventory"

.DEFAULT_GOAL := help
.PHONY: help up down scale url password pin sbom audit test lint bench prove lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

up: .venv/complete ## Start the cluster and deploy the site; run it again at any time
	@$(play) playbooks/site.yml

down: .venv/complete ## Remove the site and its data, and the cluster if this made it
	@$(play) playbooks/teardown.yml --extra-vars 'teardown_data=purge teardown_cluster=true' && rm -f .state/inventory

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
	@python bench/bench.py "$$(scripts/choose_inventory $(INVENTORY))"

prove: .venv/complete ## Break a site in a dozen ways while people vote, and count what they lost
	@python bench/prove.py "$$(scripts/choose_inventory $(INVENTORY))" $(ROWS) $(addprefix --rate=,$(RATE)) \
	  $(addprefix --upgrade-from=,$(UPGRADE_FROM))

lock: .venv/complete ## Pin the tools in all requirements.in anew, with hashes
	@for lock in requirements scripts/sbom/requirements tests/security/requirements; do \
	  uv pip compile --quiet --generate-hashes --universal --python-version 3.12 --no-header --no-annotate \
	    --output-file $$lock.txt $$lock.in || exit 1; \
	done

.venv/complete: requirements.txt scripts/make_venv scripts/find_python
	@scripts/make_venv
