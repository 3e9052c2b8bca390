# Every command is a line here. `make` alone lists them.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# The cluster to work on, a folder in inventory/; empty lets scripts/choose_inventory pick one and say why.
INVENTORY ?=
play = ansible-playbook --inventory "$$(scripts/choose_inventory $(INVENTORY))"

.DEFAULT_GOAL := help
.PHONY: help up down url test lint lock

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-6s %s\n", $$1, $$2}' Makefile

up: .venv/complete ## Start the cluster and deploy to it; run it again at any time
	@$(play) playbooks/site.yml

down: .venv/complete ## Remove the cluster with all that is in it
	@$(play) playbooks/teardown.yml && rm -f .state/inventory

url: .venv/complete ## Say how to reach the cluster
	@$(play) playbooks/url.yml

test: .venv/complete ## Run every test: lint, unit tests, then the roles on a real cluster
	@python tests/run.py

lint: .venv/complete ## Check style and types of everything
	@python tests/run.py lint

lock: .venv/complete ## Pin the tools in requirements.in anew, with hashes
	@uv pip compile --quiet --generate-hashes --universal --python-version 3.12 --no-header --no-annotate --output-file requirements.txt requirements.in

.venv/complete: requirements.txt scripts/make_venv scripts/find_python
	@scripts/make_venv
