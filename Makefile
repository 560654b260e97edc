# The only list of commands. PYTHON needs to be 3.11 or newer; everything else is installed into .venv.
PYTHON ?= python3
BILLFOLD = $(PYTHON) -m deploy.local
RUN = $(BILLFOLD) run
N ?= 1
KILLS ?= 100

.DEFAULT_GOAL := help
.PHONY: help demo demo-up demo-down demo-day demo-tour demo-reset up up-data up-reset down test lint verify bench chaos trace lock docs screens

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## the whole product on this machine; Ctrl-C stops it, the data stays
	@$(BILLFOLD) demo
demo-up: ## the same in the background
	@$(BILLFOLD) demo-up
demo-down: ## stop it
	@$(BILLFOLD) demo-down
demo-day: ## move the demo's clock on: N=5 days (1)
	@$(BILLFOLD) demo-day $(N)
demo-tour: ## play dispute, payment, correction, contract and charge in the running demo
	@$(RUN) deploy.local.tour
demo-reset: ## forget the demo's data
	@$(BILLFOLD) demo-reset
up: ## the whole product in containers; KAFKA_IMAGE and others name images
	@$(RUN) deploy.compose up
up-data: ## publish the sample claims and all that belongs to them there
	@$(RUN) deploy.compose data
down: ## remove the containers; the data stays
	@$(RUN) deploy.compose down
up-reset: ## remove the containers with their data
	@$(RUN) deploy.compose reset
test: ## all tests, on real Kafka, PostgreSQL and Chromium
	@$(RUN) pytest -q $(ARGS)
lint: ## ruff, mypy --strict, import directions and conventions
	@$(RUN) ruff check .
	@$(RUN) mypy
	@$(RUN) pytest -q tests/test_tidy.py
verify: ## prove the money rules on the running demo, or on one that plays the tour
	@$(RUN) deploy.local.verify
bench: ## measure against a floor: NAME=intake (all)
	@$(RUN) tests.bench $(NAME)
chaos: ## kill services at random and at named points: KILLS=100 SEED=... REPLICAS=2 BESIDE=<commit of the release before>
	@$(RUN) tests.chaos --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(if $(REPLICAS),--replicas $(REPLICAS)) $(if $(BESIDE),--beside $(BESIDE))
trace: ## one trace as a tree: ID=<trace id>
	@$(BILLFOLD) trace $(ID)
lock: ## pin all packages with hashes into requirements/
	@$(RUN) deploy.local.lock
docs: ## generate docs/events, docs/asyncapi, docs/openapi and docs/traceability.md
	@$(RUN) deploy.docs
screens: ## screenshots of every page at both widths
	@$(RUN) tests.browser.screens
