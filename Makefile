# Needs Python 3.11 to 3.13, make and a package registry. Every path is relative, so the clone may lie anywhere,
# and programs start as `python -m …`: the #! line of an installed script breaks on long paths and spaces.

python := .venv/bin/python
# Ends what it runs when make itself is killed.
guarded := $(python) -I -S huntaze/guard.py TERM -- $(python)

# A stack starts a dozen processes, and each would compile all sources anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo up test soak lint bench lock clean

# An environment whose interpreter has gone is made again.
$(shell $(python) -c '' 2>/dev/null || rm -f .venv/.runtime .venv/.development)

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r name text; do printf '  make %-6s %s\n' "$$name" "$$text"; done

demo: .venv/.runtime ## run a real campaign on the sandbox and print what it did
	@$(guarded) -m huntaze.demo

up: .venv/.runtime ## run the whole stack until Ctrl-C
	@$(guarded) -m huntaze.stack up

test: .venv/.development ## run the tests but those of soak; ARGS="tests/costs -x" narrows them, COVERAGE=1 measures what they cover
	@$(guarded) -m pytest $(or $(ARGS),-n 3 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov --cov-report=term:skip-covered))

soak: .venv/.development ## run the tests in real time: minutes, outages, kills
	@$(guarded) -m pytest -m soak $(ARGS)

lint: .venv/.development ## check style, types, imports and migrations
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m mypy .
	$(python) -c 'from importlinter.cli import lint_imports_command as run; run()'
	$(quietly) manage.py makemigrations --check --dry-run

# Django asks the database whether its history fits, and neither it nor its pool need say that there is none.
quietly := HUNTAZE_LOG_LEVEL=ERROR $(python) -W ignore::RuntimeWarning

bench: .venv/.development ## compare with peers; ONLY=prefix narrows it
	@$(guarded) -m tests.performance $(ONLY)

lock: .venv/.development ## compile requirements*.in to requirements*.txt, with hashes and no registry's name
	$(python) -m uv pip compile $(lock_options) requirements.in -o requirements.txt
	$(python) -m uv pip compile $(lock_options) requirements-dev.in -o requirements-dev.txt

# Extras stay: for one that the file doesn't name, pip may choose a newer release than is locked, and refuse it.
lock_options := --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-annotate --no-header

clean: ## remove the environment and all data of this clone; refuses while it runs
	@if [ -e .venv/.runtime ]; then HUNTAZE_HOME= $(python) -m huntaze.embedded clean; fi
	@rm -rf .venv .venv.lock var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

.venv/.runtime: requirements.txt
	@sh deploy/venv.sh requirements.txt
	@touch $@

.venv/.development: requirements-dev.txt
	@sh deploy/venv.sh requirements-dev.txt
	@touch .venv/.runtime $@
