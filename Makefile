# The commands of this project. Each sets up what it needs; `make help` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
AWS    := $(VENV)/.ready-aws
DEV    := $(VENV)/.ready-dev
# checkov pins so much that it gets an environment of its own.
CHECKOV := .venv-checkov/.ready
# Ansible too: it is a program of the operator's, 500 MB with its collections.
ANSIBLE := .venv-ansible/.ready
# What checks the workflows: linters, and the Go that builds one of them and goes again.
LINT := .venv-lint/.ready
# What makes a site of docs/, and of the pages beside it.
DOCS := .venv-docs/.ready

.DEFAULT_GOAL := help
.PHONY: help demo lambda zips ansible supplies rehearse test test-fast test-infra test-infra-fast test-machines test-hosts test-faults test-mistakes check check-infra docs format bench clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(READY) ## Start a real Kafka, run some thousand orders through the shop, prove the outcome.
	@$(BIN)/shopstream demo

lambda: $(AWS) ## The same with the services as Lambda functions, 2,000 orders (needs CPython 3.13 on x86_64 Linux).
	@$(BIN)/shopstream run --on lambda --orders 2000

zips: $(READY) ## Build the Lambda functions' zips into build/lambdas.
	@$(BIN)/python scripts/build_zips.py

ansible: $(ANSIBLE) ## Install the Ansible that configures a deployment's hosts, into .venv-ansible.

test: $(DEV) ## Pass all tests, on the real Kafka too.
	$(BIN)/python -m pytest -m "not infra and not hosts and not rehearsal" -n 2 --dist loadfile --durations 10 --durations-min 5

test-fast: $(DEV) ## Pass the tests that need no Kafka.
	$(BIN)/python -m pytest -m "not kafka and not infra and not hosts and not rehearsal"

test-infra: check-infra ## Pass the tests of the deployment (needs terraform 1.11 and CPython 3.13, no account).
	$(BIN)/python -m pytest -m infra -n 2 --dist loadfile --durations 10 --durations-min 5

test-infra-fast: check-infra ## The same without the deployments on the stand-in for AWS, which a rehearsal has too.
	$(BIN)/python -m pytest -m "infra and not deployment" -n 2 --dist loadfile --durations 10 --durations-min 5

test-machines: $(DEV) ## Boot machines, crash them, cut them off, see that nothing is left (root, Debian or Ubuntu).
	$(BIN)/python -m pytest tests/test_hosts_machines.py

test-hosts: $(DEV) $(ANSIBLE) ## The same, and run the playbooks on a deployment's machines.
	$(BIN)/python -m pytest -m "hosts and not faults"

test-faults: $(DEV) $(ANSIBLE) ## The same, and hurt the machines while orders flow: 45 minutes more.
	$(BIN)/python -m pytest -m hosts

supplies: $(DEV) ## Fetch and put together what the rehearsal's machines install, as far as it is not there.
	@$(BIN)/shopstream rehearse --only supplies

rehearse: $(DEV) $(ANSIBLE) ## Take the whole deployment through a life on this machine, and judge it (root, terraform).
	@$(BIN)/shopstream rehearse

test-mistakes: $(DEV) $(ANSIBLE) ## Plant twelve mistakes in a rehearsal, and see each of them caught: 25 to 40 minutes.
	$(BIN)/python -m pytest -m "rehearsal and faults"

check: $(DEV) $(ANSIBLE) $(LINT) $(DOCS) ## Format, lint, types, topology, reference, syntax of the playbooks, workflows, documentation.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/shopstream topology check
	$(BIN)/python scripts/reference.py --check
	@scripts/check_ansible.sh
	@.github/linters/check.sh
	@scripts/build_docs.sh

check-infra: $(DEV) $(CHECKOV) $(ANSIBLE) ## Format, validity and tests of the Terraform, checkov's and ansible-lint's rules.
	@scripts/check_infra.sh
	@scripts/check_ansible.sh --lint

docs: $(DOCS) ## Build the documentation into build/docs; what leads nowhere in it is an error.
	@scripts/build_docs.sh

format: $(DEV) ## Put the code into shape.
	$(BIN)/ruff check --fix --exit-zero --quiet
	$(BIN)/ruff format

bench: $(DEV) ## Measure: start of the cluster, and the audit.
	$(BIN)/python bench/up.py
	$(BIN)/python bench/audit.py

clean: ## Remove what this Makefile made: the virtual environment and caches. Stops the local cluster first.
	-@test ! -x $(BIN)/shopstream || $(BIN)/shopstream down --wipe
	-@test ! -d .shopstream || chmod -R u+w .shopstream  # the unpacked functions are read-only
	rm -rf $(VENV) .venv-checkov .venv-ansible .venv-lint .venv-docs build .shopstream .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Plain venv and pip: nothing has to be installed by hand. Every download is checked against its hash.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: Python 3.11 or later is needed; name one: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(READY): requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "installing what requirements.txt pins"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(AWS): requirements-aws.txt $(READY)
	@echo "installing what requirements-aws.txt pins"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-aws.txt
	@touch $@

$(DEV): requirements-dev.txt $(READY)
	@echo "installing what requirements-dev.txt pins"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(AWS)  # it holds the other too

$(CHECKOV): requirements-checkov.txt
	@echo "installing what requirements-checkov.txt pins"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-checkov.txt
	@touch $@

$(ANSIBLE): requirements-ansible.txt
	@echo "installing what requirements-ansible.txt pins"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-ansible.txt
	@touch $@

$(LINT): requirements-lint.txt .github/linters/go.mod .github/linters/go.sum .github/linters/build.sh
	@echo "installing what requirements-lint.txt pins, building actionlint"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-lint.txt
	@.github/linters/build.sh
	@touch $@

$(DOCS): requirements-docs.txt
	@echo "installing what requirements-docs.txt pins"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-docs.txt
	@touch $@
