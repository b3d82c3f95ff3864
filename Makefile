# One command a chore. `make demo` and `make test` need Python 3.11+ and nothing else.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# Half of a test's time it waits, for a disk or for another process: so two of them a processor.
JOBS   ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))

.DEFAULT_GOAL := help
ORACLE := $(VENV)/.oracle
PEERS  := $(VENV)/.peers
FUSE   := $(VENV)/.faults
READER := $(VENV)/.signals
TOLD   := $(VENV)/.documents
EXIFTOOL := $(VENV)/.exiftool
BROWSER := $(VENV)/.browser
WARM   := $(VENV)/.warm
ENGINES := $(VENV)/recipes
STORES := $(VENV)/stores
GO     := /usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
.PHONY: help setup demo serve test test-postgres test-install test-oracle test-log test-signals test-documents test-browser test-recipes test-s3 check faults bench bench-browser bench-filter bench-full bench-recall bench-log decoders docs lock clean

help: ## list the chores
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with everything that demo, tests and docs need

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Caveat needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make virtual environments here; on Debian: apt-get install python3-venv"; exit 1; }
	$(PIP) --require-hashes -r constraints.txt
	$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

# The reference of PDQ comes as a source distribution only.
$(ORACLE): $(STAMP) constraints-oracle.txt
	@command -v g++ >/dev/null || { echo "The reference of PDQ is built with a C++ compiler; on Debian: apt-get install g++"; exit 1; }
	$(PIP) --require-hashes --no-deps --no-build-isolation -r constraints-oracle.txt
	@touch $@

$(PEERS): $(ORACLE) constraints-bench.txt
	$(PIP) --require-hashes -r constraints-bench.txt
	@touch $@

# The code of Go's checksum database, with the compiler, as Debian packs them.
$(GO):
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "Go's own code checks the log; on Debian: apt-get install golang-go golang-golang-x-mod-dev"; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go golang-golang-x-mod-dev >/dev/null

# Files of real sites come in a source distribution; with it what Google reads them with.
$(READER): $(STAMP) constraints-signals.txt
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --dest $(VENV)/signals \
	  --require-hashes --no-deps --no-binary protego --no-build-isolation -r constraints-signals.txt
	$(PIP) --no-deps --no-index --find-links $(VENV)/signals jwm-robotstxt
	@touch $@

# Those who wrote the formats of documents, with what they read them with.
$(TOLD): $(STAMP) constraints-documents.txt
	$(PIP) --require-hashes --no-build-isolation -r constraints-documents.txt
	@touch $@

# ExifTool of this year: Debian's cannot write the Data Mining property.
$(EXIFTOOL): $(STAMP) tests/third_party/signals/exiftool/package-lock.json
	@{ command -v npm && command -v perl; } >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || \
	  { echo "ExifTool reads and writes XMP beside us; it comes by npm; on Debian: apt-get install npm perl"; exit 1; }
	@{ command -v npm && command -v perl; } >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm perl >/dev/null; }
	@mkdir -p $(VENV)/exiftool
	cp tests/third_party/signals/exiftool/package.json tests/third_party/signals/exiftool/package-lock.json $(VENV)/exiftool
	npm ci --prefix $(VENV)/exiftool --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# Chromium as Debian packs it, what drives it, and axe, which knows what keeps people out.
$(BROWSER): $(STAMP) constraints-browser.txt tests/web/browser/package-lock.json
	@{ command -v npm && command -v chromium; } >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || \
	  { echo "The pages are tested in Chromium, with axe, which comes by npm; on Debian: apt-get install chromium npm"; exit 1; }
	@{ command -v npm && command -v chromium; } >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium npm >/dev/null; }
	@mkdir -p $(VENV)/browser
	cp tests/web/browser/package.json tests/web/browser/package-lock.json $(VENV)/browser
	npm ci --prefix $(VENV)/browser --ignore-scripts --no-audit --no-fund --silent
	$(PIP) --require-hashes -r constraints-browser.txt
	@touch $@

# The compiled loops, once: or every worker, and every service that it starts, compiles the same ones at once.
$(WARM): $(STAMP) $(wildcard registry/kernels/*.py)
	$(BIN)/python -c 'from registry.lookup import warm_up; warm_up()'
	@touch $@

# Spark, Ray, Daft and DuckDB, in an environment of their own: they want other versions than ours.
$(ENGINES)/.installed: $(STAMP) constraints-recipes.txt
	@command -v java >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || \
	  { echo "Spark runs on Java 17 or newer; on Debian: apt-get install default-jre-headless"; exit 1; }
	@command -v java >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends default-jre-headless >/dev/null; }
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-recipes.txt
	$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# An object store and what reads it, in an environment of its own: they want another python-dateutil than ours.
$(STORES)/.installed: $(STAMP) constraints-stores.txt
	$(PYTHON) -m venv $(STORES)
	$(STORES)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-stores.txt
	$(STORES)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The file system that loses power.
$(FUSE): $(STAMP) constraints-faults.txt
	$(PIP) --require-hashes --no-deps -r constraints-faults.txt
	@touch $@

demo: $(STAMP) ## the whole story on real pictures, with a report to open
	$(BIN)/caveat demo

serve: $(STAMP) ## a registry on http://127.0.0.1:8080, data in ./caveat-data
	$(BIN)/caveat serve

test: $(STAMP) $(WARM) ## the tests, on the embedded database
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

test-postgres: $(STAMP) $(WARM) ## the store and the service on PostgreSQL (Debian's, or CAVEAT_TEST_POSTGRES)
	$(BIN)/python tests/with_postgres.py $(BIN)/python -m pytest -n $(JOBS) --dist loadgroup tests/store tests/api

test-install: $(STAMP) ## each installation by itself: the light client, then each extra that is in use
	$(BIN)/python tests/install_alone.py

test-oracle: $(ORACLE) ## PDQ bit for bit against its reference, built here (wants g++)
	$(BIN)/python -m pytest -q tests/core/oracle

test-log: $(STAMP) $(GO) ## the transparency log read by the code of Go's checksum database (wants golang-go)
	$(BIN)/python -m pytest -q tests/third_party/go

test-signals: $(READER) $(EXIFTOOL) ## the readers of signals beside others' code
	$(BIN)/python -m pytest -q tests/third_party/signals

test-documents: $(TOLD) ## Croissant and SPDX read by mlcroissant and by SPDX's own model
	$(BIN)/python -m pytest -q tests/third_party/documents

test-browser: $(BROWSER) $(WARM) ## the pages in Chromium: light, dark, on a phone, by keyboard, without scripts; axe; hash.js
	$(BIN)/python -m pytest -q tests/web/browser tests/web/hash

test-recipes: $(ENGINES)/.installed ## the recipes for Spark, Ray, Daft and DuckDB, and --engine ray: 700 MB to install, four minutes
	$(ENGINES)/bin/python -m pytest -q tests/recipes

test-s3: $(STORES)/.installed ## datasets at an object store: S3 as moto serves it, kills and failing calls among them
	$(STORES)/bin/python -m pytest -q tests/client/s3

check: $(STAMP) ## lint, types, layers, sizes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

faults: $(FUSE) ## kills, failing calls, full disks, lost power: what was acknowledged is there; ten minutes at most
	@[ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	  { command -v strace && command -v faketime && command -v fusermount3; } >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq --no-install-recommends strace faketime fuse3; }
	$(BIN)/python -m tests.faults.side_by_side

bench: $(PEERS) ## speed beside the peers, as ratios of one run: 10 million hashes, minutes
	$(BIN)/python tests/with_postgres.py $(BIN)/python tests/bench/run.py

bench-full: $(PEERS) ## the same with 80 million hashes: half an hour, 16 GB of memory, 12 GB of disk
	$(BIN)/python tests/with_postgres.py $(BIN)/python tests/bench/run.py --full

bench-recall: $(PEERS) ## how many copies are found, on pictures from Debian's packages; tables and plot in build/
	$(BIN)/python tests/bench/corpus.py
	@mkdir -p build
	$(BIN)/python tests/bench/recall.py --output build/recall.md --plot build/recall.svg

bench-browser: $(BROWSER) $(WARM) ## hash.js beside Python on 800 files in Chromium, after bench-recall; page in build/
	@mkdir -p build
	$(BIN)/python tests/web/hash/compare.py --output build/browser.md

bench-filter: $(ENGINES)/.installed ## a million rows filtered in every way, beside datadiligence: ten minutes
	$(ENGINES)/bin/python tests/bench/filtering.py

bench-log: $(STAMP) $(GO) ## a million events in the log, verified by others and damaged: half an hour; page in build/
	$(BIN)/python tests/third_party/million.py --output build/log.md

docs: $(STAMP) ## the documentation, in docs/_build/html
	$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

# The decoders of hash-own.js, as npm has them: @jsquash/jpeg, png and webp, by the hashes of the lock file.
JSQUASH := $(VENV)/decoders/node_modules/@jsquash
decoders: $(STAMP) ## fetch api/static/decoders again (needs npm)
	@mkdir -p $(VENV)/decoders
	cp api/static/decoders/package.json api/static/decoders/package-lock.json $(VENV)/decoders
	npm ci --prefix $(VENV)/decoders --ignore-scripts --no-audit --no-fund --silent
	cp $(JSQUASH)/jpeg/codec/dec/mozjpeg_dec.js $(JSQUASH)/jpeg/codec/dec/mozjpeg_dec.wasm \
	  $(JSQUASH)/png/codec/pkg/squoosh_png.js $(JSQUASH)/png/codec/pkg/squoosh_png_bg.wasm \
	  $(JSQUASH)/webp/codec/dec/webp_dec.js $(JSQUASH)/webp/codec/dec/webp_dec.wasm \
	  $(JSQUASH)/jpeg/LICENSE api/static/decoders
	cp $(JSQUASH)/jpeg/codec/LICENSE.codec.md api/static/decoders/LICENSE.mozjpeg.md
	cp $(JSQUASH)/webp/codec/LICENSE.codec.md api/static/decoders/LICENSE.libwebp.md

lock: ## refresh constraints.txt (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --extra server --extra parquet --extra fast --extra c2pa --extra model-signing --group dev --group docs pyproject.toml -o constraints.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --no-deps --exclude-newer 2026-11-07 --group oracle -o constraints-oracle.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --constraint constraints.txt --group bench -o constraints-bench.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --constraint constraints.txt --group documents -o constraints-documents.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --constraint constraints.txt --group browser -o constraints-browser.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --no-deps --exclude-newer 2026-11-07 --group faults -o constraints-faults.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --no-deps --exclude-newer 2026-11-07 --group signals -o constraints-signals.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --extra server --extra fast --extra hf --extra ray --group recipes pyproject.toml -o constraints-recipes.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --upgrade --exclude-newer 2026-11-07 --extra server --extra fast --extra s3 --extra ray --group stores pyproject.toml -o constraints-stores.txt

clean: ## remove what the chores made
	rm -rf $(VENV) build dist docs/_build caveat-demo .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
