# Everything that a developer or CI runs, from three environments that are made from their lock files:
#   .venv              the project, its tests and checks                  (requirements/dev.txt)
#   .venv-engine       the embedded engine and the SAM CLI                (requirements/engine.txt)
#   .venv-interpreter  a second interpreter of the state machines         (requirements/interpreter.txt)
# and three more that their own targets make: .venv-lock (make lock), .venv-mutants (make mutants) and .venv-site (make site).
# An environment is made once, and again when its lock file changes.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# a file's content as a number, for the stamps: times change with every clone, contents don't
sum = $(shell cksum < $(1) | cut -d ' ' -f 1)

DEV    := .venv/.made-$(call sum,requirements/dev.txt)
ENGINE := .venv-engine/.made-$(call sum,requirements/engine.txt)
INTERPRETER := .venv-interpreter/.made-$(call sum,requirements/interpreter.txt)
LOCK   := .venv-lock/.made-$(call sum,requirements/lock.txt)
MUTANT := .venv-mutants/.made-$(call sum,requirements/mutants.txt)
SITE   := .venv-site/.made-$(call sum,requirements/site.txt)
SELF   := .venv/.installed-$(call sum,requirements/dev.txt)-$(call sum,pyproject.toml)

CODE    := layers functions cli tools tests examples
PRESENT  = $(wildcard $(CODE))

# the SAM CLI as it is run here: no telemetry, no account, its own environment's Python first on the PATH
SAM := PATH="$(CURDIR)/.venv-engine/bin:$$PATH" SAM_CLI_TELEMETRY=0 AWS_REGION=us-east-1 .venv-engine/bin/sam

# $(call make-venv,DIRECTORY,LOCK FILE,HOW LONG): Python 3.13 and no other, because that is what the functions run on in AWS
# The bytecode is made at once, on all cores: the engine starts each function as a process of its own, and where Python may not write
# (PYTHONDONTWRITEBYTECODE, as in many containers) every one of them would compile boto3 anew, 0.4 s each.
define make-venv
	@python=; \
	for candidate in $(PYTHON) python3.13 python3; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Tagship needs Python 3.13: install it, or say where it is (make PYTHON=/path/to/python3.13)." \
	       "Neither $(if $(PYTHON),$(PYTHON)$(comma) )python3.13 nor python3 on the PATH is Python 3.13." >&2; exit 1; \
	fi; \
	echo "setting up $(1) (once, $(3))"; \
	rm -rf $(1); \
	"$$python" -m venv $(1) || { rm -rf $(1); echo "Python's venv module is missing: install python3.13-venv." >&2; exit 1; }; \
	$(1)/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-compile --require-hashes -r $(2)
	@$(1)/bin/python -m compileall -qq -j 0 $(1)/lib || :  # some packages carry templates that are no Python
	@touch $@
endef
comma := ,

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
	  printf '  make %-9s %s\n' "$$name" "$$text"; done

.PHONY: demo
demo: setup ## start the embedded engine, deploy Tagship and release a sample application three times (TARGET=static-site for another kind, KEEP=1 leaves it running, STEP=1 lets you approve)
	@.venv/bin/python -m tools.demo $(if $(TARGET),--target $(TARGET)) $(if $(filter-out 0,$(KEEP)),--keep) $(if $(filter-out 0,$(STEP)),--step)

.PHONY: test
test: setup ## run every test (ARGS="tests/unit -k lock" for some of them)
	@.venv/bin/pytest --numprocesses 2 --dist loadgroup --quiet --durations 20 --durations-min 5 $(ARGS)

.PHONY: matrix
matrix: setup ## run every cell of the fault matrix in process, a third of them on the embedded engine, and a custom target's defects there
	@TAGSHIP_WHOLE_MATRIX=1 .venv/bin/pytest --numprocesses 2 --dist loadgroup --quiet tests/flow/test_matrix.py tests/flow/test_slow_matrix.py tests/integration/test_matrix.py tests/integration/test_custom.py $(ARGS)

.PHONY: check
check: setup ## what CI runs: format, lint, types, template, tests
	@echo "format";   .venv/bin/ruff format --check --quiet $(PRESENT)
	@echo "lint";     .venv/bin/ruff check --quiet $(PRESENT)
	@echo "types";    .venv/bin/mypy --no-error-summary
	@echo "template"; .venv/bin/cfn-lint template.yaml examples/storefront/template.yaml examples/static-site/template.yaml examples/cloudformation/template.yaml examples/step-functions/template.yaml
	@$(SAM) validate --lint --template template.yaml >/dev/null
	@echo "tests";    $(MAKE) test

.PHONY: format
format: setup ## put every file into the project's format and mend what the linter can mend
	@.venv/bin/ruff check --quiet --fix-only $(PRESENT); .venv/bin/ruff format --quiet $(PRESENT)

.PHONY: bench
bench: setup ## measure how long a release, its gates and its health checks take on this machine
	@.venv/bin/python -m tools.bench $(ARGS)

.PHONY: acceptance
acceptance: setup ## release into a stage of its own in a real account, ask what only an account shows, remove it (PROFILE=… REGION=…)
	@.venv/bin/python -m tools.acceptance $(if $(PROFILE),--profile $(PROFILE)) $(if $(REGION),--region $(REGION)) $(ARGS)

.PHONY: mutants
mutants: setup $(MUTANT) ## break the code that decides, a little at a time, and tell which breaks no test notices (ARGS="--room lock")
	@.venv/bin/python -m tools.mutants $(ARGS)

.PHONY: docs
docs: setup ## renew what the documents take from the definitions, the template, the schemas and the commands
	@.venv/bin/tagship schemas && .venv/bin/python -m tools.draw && .venv/bin/python -m tools.reference

.PHONY: site
site: $(SITE) ## build the documents as a site with search, in build/site/html
	@.venv-site/bin/python -m tools.site

.PHONY: wheel
wheel: $(DEV) ## build the command line as one wheel, in dist/ (pipx install dist/tagship-*.whl)
	@rm -rf build/lib build/bdist.* dist
	@.venv/bin/python -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build/lib build/bdist.*; ls dist/*.whl

.PHONY: lock
lock: $(LOCK) ## renew the lock files after a change to a *.in file (UPGRADE=1 takes the newest versions of everything)
	@for file in requirements/lock requirements/cli requirements/dev requirements/engine requirements/interpreter requirements/mutants requirements/site layers/tagship/requirements layers/signin/requirements; do \
	  echo "locking $$file.txt"; \
	  .venv-lock/bin/uv pip compile --quiet --no-config --no-header --no-emit-index-url --no-emit-find-links \
	    --universal --python-version "$$(case $$file in requirements/cli) echo 3.12;; *) echo 3.13;; esac)" --generate-hashes $(if $(filter-out 0,$(UPGRADE)),--upgrade) \
	    --output-file "$$file.txt" "$$file.in" || exit 1; \
	done

.PHONY: setup
setup: ## make the three environments, which every other target does by itself
	@$(MAKE) --silent --jobs 3 $(SELF) $(ENGINE) $(INTERPRETER)  # side by side, which takes two thirds of the time

.PHONY: clean
clean: ## remove the environments, what was built and the engine's state
	@rm -rf .venv .venv-engine .venv-interpreter .venv-lock .venv-mutants .venv-site .mutants .aws-sam .tagship build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(PRESENT) -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEV): requirements/dev.txt
	$(call make-venv,.venv,$<,about a minute)

$(ENGINE): requirements/engine.txt
	$(call make-venv,.venv-engine,$<,about a minute)

$(INTERPRETER): requirements/interpreter.txt
	$(call make-venv,.venv-interpreter,$<,some seconds)

$(LOCK): requirements/lock.txt
	$(call make-venv,.venv-lock,$<,a few seconds)

$(MUTANT): requirements/mutants.txt
	$(call make-venv,.venv-mutants,$<,about a minute)

$(SITE): requirements/site.txt
	$(call make-venv,.venv-site,$<,some seconds)

# so that .venv/bin/tagship runs the code in this directory
$(SELF): $(DEV) pyproject.toml
	@.venv/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable . && touch $@
