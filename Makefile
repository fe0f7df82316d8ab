# `make help` lists the commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
UV := $(BIN)/uv
UV_VERSION := 0.13.9
CHART_VERSION := 1.22.0
COMPILE = $(UV) pip compile -q --universal $(if $(KEEP),,--upgrade) --generate-hashes --python-version 3.11 \
  --custom-compile-command "make lock"

export PYTHONPATH := $(CURDIR):$(CURDIR)/include:$(CURDIR)/plugins
export PYTHONDONTWRITEBYTECODE :=
export UV_LINK_MODE := copy
# The system's certificates, not those that come with uv and pip (before 24.2): where a proxy inspects TLS, its
# authority is only there.
export UV_SYSTEM_CERTS := true
SYSTEM_CERTS := import ssl; paths = ssl.get_default_verify_paths(); print(paths.cafile or paths.capath or "")

LOCAL := $(BIN)/python -m ocr_local

# What these commands take. Another name on their command line is a mistake that would pass unseen.
TAKES_run := DATASET QUERY IMAGE_COLUMN OUTPUT BATCH_SIZE LIMIT ALLOW
TAKES_retry := RUN DAG
TAKES_up := ALLOW
TAKES_airflow := ARGS
TAKEN := $(foreach goal,$(MAKECMDGOALS),$(TAKES_$(goal)))
CLOSEST = import difflib, sys; print(*difflib.get_close_matches(sys.argv[1].upper(), sys.argv[2:], 1))
ifneq ($(TAKEN),)
  STRANGE := $(filter-out $(TAKEN) PYTHON LOCAL,$(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
  MEANT := $(if $(STRANGE),$(shell "$(PYTHON)" -c '$(CLOSEST)' '$(firstword $(STRANGE))' $(TAKEN)))
  $(if $(STRANGE),$(error make $(MAKECMDGOALS) takes no $(STRANGE)$(if $(MEANT),; did you mean $(MEANT)?,: it takes $(TAKEN))))
endif

# What the command line gives is text, whatever stands in it: $(value) keeps make from reading it, and commands take it
# from the environment, so that the shell does not read it either.
GIVEN := DATASET QUERY IMAGE_COLUMN OUTPUT BATCH_SIZE LIMIT ALLOW RUN DAG ROUNDS SEED MODEL ENGINE IMAGES LABELS \
  BENCH_JSON ARGS SETS SYSTEMS BEFORE ROWS WIDE_ROWS DOCUMENTS PAGES COUNT SMALL LARGE SHOW BATCHES
$(foreach name,$(GIVEN),$(if $(value $(name)),$(eval override $(name) := $$(value $(name)))$(eval export $(name))))
# $(call option,NAME,option): the option with what NAME was given, if anything.
option = $(if $($(1)),$(2)="$$$(1)")

.DEFAULT_GOAL := help
.PHONY: help run retry up airflow down test test-quick chaos fuzz format docs install install-dev chart lock env clean models \
  calibrate bench-accuracy bench-ocr bench-agreement bench-cores bench-fetch bench-fleet bench-memory bench-order bench-run \
  bench-scale bench-startup bench-viewing screenshots

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1\t/' | expand -t 24

run: install ## Run the demo, or DATASET=… [QUERY= IMAGE_COLUMN= OUTPUT= BATCH_SIZE= LIMIT= ALLOW=]
	@$(LOCAL) run $(call option,DATASET,--dataset) $(call option,QUERY,--query) $(call option,ALLOW,--allow) \
	  $(call option,IMAGE_COLUMN,--image-column) $(call option,OUTPUT,--output) \
	  $(call option,BATCH_SIZE,--batch-size) $(call option,LIMIT,--limit)

retry: install ## Try what failed in a run again, in place: RUN= [DAG=]
	@test -n "$$RUN" || { echo "make retry RUN=the run's name, as in output/"; exit 1; }
	@$(LOCAL) retry $(call option,RUN,--run) $(call option,DAG,--dag)

up: install ## Start Airflow with its UI and keep it running: [ALLOW=]
	@$(LOCAL) up $(call option,ALLOW,--allow)

airflow: install ## Give the Airflow that `make up` started a command: ARGS="dags list"
	@$(LOCAL) airflow $(call option,ARGS,--args)

down: ## Stop what `make up` started
	@test ! -x $(BIN)/python || $(LOCAL) down

READING_TESTS := tests/demo tests/merging tests/ocr tests/pipeline

test: install-dev ## Run every check: ruff, mypy, tests with branch coverage
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/coverage erase
	@# Tests with Airflow wait most of their time, and others take one core: three lots run beside each other, and what
	@# the first two say follows. Those with Airflow go first, as they notice how busy the machine is.
	@said=$$(mktemp -d); \
	  $(BIN)/coverage run -m pytest tests/e2e > "$$said/airflow" 2>&1 & airflow=$$!; \
	  nice -n 4 $(BIN)/coverage run -m pytest $(READING_TESTS) > "$$said/reading" 2>&1 & reading=$$!; \
	  nice -n 4 $(BIN)/mypy && nice -n 4 $(BIN)/coverage run -m pytest $(addprefix --ignore=,tests/e2e $(READING_TESTS)); others=$$?; \
	  wait $$reading; reading=$$?; wait $$airflow; airflow=$$?; \
	  cat "$$said"/*; rm -r "$$said"; test $$others$$reading$$airflow = 000
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-quick: install-dev ## Run what answers in two minutes: ruff, mypy, tests without Airflow, browser and slow models
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@$(BIN)/mypy & types=$$!; $(BIN)/pytest -m unit; tested=$$?; wait $$types && exit $$tested

chaos: install-dev ## Kill, break and compare runs, round after round: [ROUNDS=10 SEED=]
	CRASH_EVERY=1 $(BIN)/pytest -q tests/pipeline/test_crash_points.py
	$(BIN)/python -m tests.e2e.chaos $(call option,ROUNDS,--rounds) $(call option,SEED,--seed)

fuzz: install-dev ## Feed damaged images and odd answers to what reads them, some ten minutes of each: [CASES=]
	FUZZ_CASES=$(or $(CASES),1000000) $(BIN)/pytest -q tests/images/test_fuzz.py
	FUZZ_CASES=$(or $(CASES),1000000) $(BIN)/pytest -q tests/fetch/test_fetch_odd_answers.py -k whatever

format: install-dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install-dev ## Rewrite the tables of the documentation that are made from the code
	$(BIN)/python -m tests.contract

screenshots: install-dev ## Make the pictures of the documentation anew, from a run of the demo
	$(BIN)/python scripts/screenshots.py

install: $(VENV)/.installed ## Make the environment in .venv from the lock

install-dev: $(VENV)/.installed-dev

models: install ## Download a model into $OCR_MODELS or PaddleX's cache: MODEL=tiny [ENGINE=paddle]
	@$(BIN)/python -m ocr_pipeline.ocr.hub $(call option,ENGINE,--engine) $(if $(MODEL),"$$MODEL")

calibrate: install ## Note the ranges for reading in 8 bits of a model, from drawn pages: [MODEL=small]
	@$(BIN)/python scripts/calibrate.py "$${MODEL:-small}"

env: ## Make .env, the secrets and settings of docker-compose.yaml
	@"$(PYTHON)" scripts/make_env.py

chart: ## Get the Airflow chart, with Helm; make test then checks deploy/helm against it
	helm pull airflow --repo https://airflow.apache.org --version $(CHART_VERSION) --untar --untardir .chart
	cp .chart/airflow/values.schema.json .chart/airflow/LICENSE .chart/airflow/NOTICE tests/deployment/airflow-chart/

lock: $(UV) ## Update every lock from pyproject.toml and benchmarks/*.in; KEEP=1 changes only what has to
	$(COMPILE) --all-extras pyproject.toml -o requirements.txt
	$(COMPILE) --group dev -c requirements.txt -o requirements-dev.txt
	$(COMPILE) --overrides benchmarks/overrides.txt benchmarks/requirements-peers.in -o benchmarks/requirements-peers.txt
	$(COMPILE) benchmarks/requirements-fetch.in -o benchmarks/requirements-fetch.txt
	$(COMPILE) benchmarks/requirements-indra.in -o benchmarks/requirements-indra.txt

bench-accuracy: $(VENV)/.installed $(PEERS)/.installed $(PEERS)-indra/.installed ## Compare how well sets of pages are read: SETS=folder [PAGES= SYSTEMS= BEFORE= BENCH_JSON=]
	@test -n "$$SETS" || { echo "make bench-accuracy SETS=folder"; exit 1; }
	$(BIN)/python -m benchmarks.accuracy --peers $(PEERS)/bin/python --indra $(PEERS)-indra/bin/python \
	  --sets="$$SETS" $(call option,PAGES,--pages) $(call option,SYSTEMS,--systems) $(call option,BEFORE,--before) \
	  $(call option,BENCH_JSON,--json)

bench-ocr: $(VENV)/.installed $(PEERS)/.installed $(PEERS)-indra/.installed ## Compare reading with its peers: IMAGES= LABELS= [BENCH_JSON=]
	@test -n "$$IMAGES" -a -n "$$LABELS" || { echo "make bench-ocr IMAGES=folder LABELS=folder"; exit 1; }
	@command -v tesseract > /dev/null || apt-get install -y -q tesseract-ocr
	$(BIN)/python -m benchmarks.ocr --peers $(PEERS)/bin/python --indra $(PEERS)-indra/bin/python \
	  --images="$$IMAGES" --labels="$$LABELS" $(call option,BENCH_JSON,--json)

bench-scale: $(VENV)/.installed-dev ## Plan and merge ten million rows, or ROWS=; run a million with nothing to read, or IMAGES=
	$(BIN)/python -m benchmarks.scale $(call option,ROWS,--rows); missed=$$?; \
	  $(BIN)/python -m benchmarks.wide $(call option,WIDE_ROWS,--rows) $(call option,DOCUMENTS,--documents) || missed=1; \
	  $(BIN)/python -m benchmarks.overhead $(call option,IMAGES,--images) && exit $$missed

bench-fleet: $(VENV)/.installed-dev ## Send 1,000 batches, or BATCHES=, through PostgreSQL, Redis and Celery; kill a worker; compare one with two
	$(BIN)/python -m benchmarks.fleet $(call option,BATCHES,--batches)

bench-cores: $(VENV)/.installed ## Simulate reading on 2, 8, 16 and 64 cores
	$(BIN)/python -m benchmarks.cores

bench-memory: $(VENV)/.installed ## Show resident memory over 5,000 images of mixed shapes, or IMAGES=
	$(BIN)/python -m benchmarks.memory $(call option,IMAGES,--images)

bench-startup: $(VENV)/.installed ## Show the time from a task's start to its first image read
	$(BIN)/python -m benchmarks.startup

bench-viewing: $(VENV)/.installed-dev ## Ask a run of a million rows, or VIEWING_ROWS=, what its pages ask
	$(BIN)/python -m benchmarks.viewing $(if $(VIEWING_ROWS),--rows $(VIEWING_ROWS))

bench-agreement: $(VENV)/.installed ## Compare what ours reads with what stock PaddleOCR reads: IMAGES= [SHOW=1]
	@test -n "$$IMAGES" || { echo "make bench-agreement IMAGES=folder"; exit 1; }
	$(BIN)/python -m benchmarks.agreement --images="$$IMAGES" $(if $(SHOW),--show)

bench-order: $(VENV)/.installed $(PEERS)-indra/.installed ## Compare the order in which pages of many layouts are read: [PAGES=2]
	@command -v tesseract > /dev/null || apt-get install -y -q tesseract-ocr
	$(BIN)/python -m benchmarks.order --indra $(PEERS)-indra/bin/python $(call option,PAGES,--pages)

bench-run: $(VENV)/.installed ## Compare a whole run with the engine alone: IMAGES=folder [COUNT=500]
	@test -n "$$IMAGES" || { echo "make bench-run IMAGES=folder"; exit 1; }
	$(BIN)/python -m benchmarks.run $(call option,COUNT,--images) -- "$$IMAGES"

bench-fetch: $(VENV)/.installed $(PEERS)-fetch/.installed ## Compare fetching with img2dataset: [SMALL= LARGE= ROUNDS= BENCH_JSON=]
	$(BIN)/python -m benchmarks.fetch --peer $(PEERS)-fetch/bin/python $(call option,SMALL,--small) \
	  $(call option,LARGE,--large) $(call option,ROUNDS,--rounds) $(call option,BENCH_JSON,--json)

clean: down ## Remove the environment, Airflow's home and the demo; results in output/ stay
	rm -rf $(VENV) $(PEERS)* .airflow .demo

$(UV):
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit((3, 11) > v[:2] or v[:2] > (3, 13))' || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { \
	  echo "Python cannot make an environment here; on Debian: apt-get install python3-venv"; exit 1; }
	@PIP_CERT="$${PIP_CERT:-$$($(BIN)/python -c '$(SYSTEM_CERTS)')}" \
	  $(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

# The lock is complete, so nothing is resolved. --no-config: `tool.uv`'s overrides are for making
# the lock; read here they would take a newer release than it names, and fail on its hashes.
$(VENV)/.installed: requirements.txt | $(UV)
	@echo "Installing the environment (about 1.8 GB, once) ..."
	@$(UV) pip install -q --no-config --python $(BIN)/python --no-deps --require-hashes -r requirements.txt
	@touch $@

$(PEERS)/.installed: benchmarks/requirements-peers.txt | $(UV)
	@$(UV) venv -q --clear --python $(BIN)/python $(PEERS)
	@$(UV) pip install -q --no-config --python $(PEERS)/bin/python --no-deps --require-hashes -r $<
	@touch $@

$(PEERS)-fetch/.installed: benchmarks/requirements-fetch.txt | $(UV)
	@$(UV) venv -q --clear --python $(BIN)/python $(PEERS)-fetch
	@$(UV) pip install -q --no-config --python $(PEERS)-fetch/bin/python --no-deps --require-hashes -r $<
	@touch $@

$(PEERS)-indra/.installed: benchmarks/requirements-indra.txt | $(UV)
	@$(UV) venv -q --clear --python $(BIN)/python $(PEERS)-indra
	@$(UV) pip install -q --no-config --python $(PEERS)-indra/bin/python --no-deps --require-hashes -r $<
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@$(UV) pip install -q --no-config --python $(BIN)/python --no-deps --require-hashes -r requirements-dev.txt
	@touch $@
