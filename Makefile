# One door for everything; `make` alone lists it. Each target works from a bare checkout.
.DEFAULT_GOAL := help
.PHONY: help install run test check fmt evidence bench lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: ## the environment alone: .venv, from hashed locks
	@sh scripts/install.sh runtime

run: ## demo data and the server on http://127.0.0.1:$${PORT:-8000}; prints a tour to copy
	@sh scripts/install.sh tour
	@exec .venv/bin/belay demo

test: ## the whole suite, on SQLite and on a real PostgreSQL
	@sh scripts/install.sh test
	@sh scripts/services.sh
	@.venv/bin/python -m pytest -q $(ARGS)

check: ## format, lint, types, floors
	@sh scripts/install.sh test
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache

fmt: ## format and sort imports
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix --select I .

evidence: ## the full figures of every demand, as a table (takes long)
	@sh scripts/install.sh test
	@sh scripts/services.sh
	@rm -f instance/evidence.jsonl
	@BELAY_EVIDENCE=1 .venv/bin/python -m pytest -q -p no:randomly -m "races or slow" --timeout 7200 $(ARGS); \
		status=$$?; .venv/bin/python -m tests.evidence; exit $$status

bench: install ## ratios measured in one run; ARGS=--quick for a minute's worth
	@.venv/bin/python -m bench $(ARGS)

lock: ## renew the hashed lock files (maintainers; needs uv)
	@sh scripts/lock.sh

clean: ## remove the environment and everything the server made
	rm -rf .venv instance/* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
