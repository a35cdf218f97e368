# Requirements: Rust, a C and C++ compiler, Python 3.10 or later with pip, GNU Make. Everything else is fetched into the user's
# cache ($XDG_CACHE_HOME/ualm or ~/.cache/ualm), pinned and hashed, or built under target/.

PYTHON ?= python3
CARGO  ?= cargo
BUILD  := $(or $(CARGO_TARGET_DIR),target)

# The sound and the words of `make demo`: make demo PROMPT="rain on a roof" DIGITS="nine one"
PROMPT ?= a siren, then a dog barking three times, then applause
DIGITS ?= seven three
SEED   ?= 3
# Duration of `make soak`, and of `make fuzz` for each target.
SECONDS ?= 300
DEMO   := target/demo

# The browser of `make test-page`.
CHROMIUM ?= /usr/bin/chromium

# The target folder of `make install-c`.
PREFIX ?= /usr/local

# ONNX Runtime's library and the exporter's Python, fetched when a target needs them.
LIBRARY     := library=$${ORT_DYLIB_PATH:-$$($(PYTHON) scripts/fetch_onnxruntime.py)}
ENVIRONMENT := python=$$($(PYTHON) scripts/python_environment.py)
TRAINING    := $(PYTHON) scripts/python_environment.py export/train/requirements.txt --source export/train/source-requirements.txt

# All tests are built with the same features, so that nothing is built twice.
TEST        := $(CARGO) test --locked --workspace --all-features
# The program as the tests build it.
PROGRAM     := $(TEST) --quiet --no-run --test program

# A test whose fixtures are missing fails here; `cargo test` alone skips it.
export UALM_REQUIRE_FIXTURES := 1

# Disables the telemetry of ONNX Runtime in Python, which the exporter and its tests use.
export ORT_DISABLE_TELEMETRY := 1
export ORT_TELEMETRY_DISABLED := 1

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: public-api pictures test-docs wheel test-wheel test-interface help demo reference build library fixtures test test-rust test-python test-c test-train train-python train evaluate header install-c lint format bench bench-package bench-peers clean test-openvino test-webgpu test-qnn test-server test-hub test-scale test-valgrind test-threads test-page test-node dist packages test-dist test-debian cross test-cross soak fuzz small-machines test-processors test-systemd

help: ## show this list
	@echo "make TARGET, where TARGET is one of:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name what; do printf '%-18s%s\n' "$$name" "$$what"; done

demo: build ## build, make a sound from a sentence, show it, name it, speak digits and transcribe them
	@$(PYTHON) scripts/demo.py $(BUILD)/release/ualm $(DEMO) --prompt "$(PROMPT)" --digits "$(DIGITS)" --seed $(SEED)

build: library ## build the program, target/release/ualm
	@$(CARGO) build --release --locked

library: ## fetch ONNX Runtime's library
	@$(LIBRARY) && echo "ONNX Runtime: $$library"

test: test-rust test-python test-interface test-server test-docs test-hub ## set everything up and run all tests
	@if $(PYTHON) tests/tools/software_vulkan.py >/dev/null 2>&1; then $(MAKE) test-webgpu; else \
	  echo "note: WebGPU is not tested: make test-webgpu names its requirements"; fi
	@if $(PYTHON) scripts/fetch_onnxruntime.py --flavour qnn --cached >/dev/null 2>&1; then $(MAKE) test-qnn; else \
	  echo "note: QNN is not tested: make test-qnn fetches it, under its own terms"; fi

test-rust: fixtures ## run the tests of the runtime
	@$(LIBRARY) && $(ENVIRONMENT) && ORT_DYLIB_PATH="$$library" PYTHON="$$python" $(TEST)

test-server: fixtures ## run the official OpenAI client, curl and bad clients against the server
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && $(PROGRAM) && \
	  python=$$($(PYTHON) scripts/python_environment.py tests/server/requirements.txt) && \
	  UALM="$(abspath $(BUILD))/debug/ualm" "$$python" -m unittest discover --start-directory tests/server

test-docs: ## run the commands of README.md and docs/ that are marked to be run
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && $(PROGRAM) && \
	  UALM="$(abspath $(BUILD))/debug/ualm" $(PYTHON) -m unittest discover --start-directory tests/docs

test-hub: ## fetch packages from a local hub that simulates the faults of a real one
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && $(PROGRAM) && \
	  python=$$($(PYTHON) scripts/python_environment.py tests/hub/requirements.txt) && \
	  UALM="$(abspath $(BUILD))/debug/ualm" "$$python" -m unittest discover --start-directory tests/hub

test-scale: fixtures ## fetch Ray, and run examples/scale on this machine
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && $(PROGRAM) && \
	  python=$$($(PYTHON) scripts/python_environment.py examples/scale/ray/requirements.txt) && \
	  UALM="$(abspath $(BUILD))/debug/ualm" "$$python" -m unittest discover --start-directory tests/scale

test-c: fixtures ## run the tests of the C library alone (test-rust includes them)
	@$(LIBRARY) && $(ENVIRONMENT) && export ORT_DYLIB_PATH="$$library" PYTHON="$$python" && $(PROGRAM) && $(TEST) --test c_library

test-openvino: fixtures ## fetch OpenVINO's plugin (50 MB), and run the sound graphs on it
	@library=$$($(PYTHON) scripts/fetch_onnxruntime.py --flavour openvino) && export ORT_DYLIB_PATH="$$library" && \
	  export UALM_TEST_OPENVINO=$$(ls "$$(dirname "$$library")"/*onnxruntime_providers_openvino_plugin.*) && \
	  $(TEST) --test providers openvino -- --nocapture

# The variable ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER enables WebGPU on a CPU.
test-webgpu: fixtures ## fetch WebGPU's plugin (7 MB), and compare it with the CPU on a software driver
	@driver=$$($(PYTHON) tests/tools/software_vulkan.py) && eval "$$driver" && export ORT_WEBGPU_EP_ALLOW_SOFTWARE_ADAPTER=1 && \
	  library=$$($(PYTHON) scripts/fetch_onnxruntime.py --flavour webgpu) && export ORT_DYLIB_PATH="$$library" && \
	  $(TEST) --test devices

# The emulation needs the number of a processor; 60 is the Snapdragon X Elite.
QNN ?= qnn:soc_model=60
test-qnn: fixtures ## fetch Qualcomm's QNN (100 MB; its terms must be accepted), and compare its emulated NPU with the CPU
	@library=$$($(PYTHON) scripts/fetch_onnxruntime.py --flavour qnn) && export ORT_DYLIB_PATH="$$library" UALM_TEST_QNN="$(QNN)" && \
	  $(TEST) --test devices qnn

# Only the programs that are fast enough under valgrind.
test-valgrind: fixtures ## run the C programs of the tests under valgrind
	@$(LIBRARY) && ORT_DYLIB_PATH="$$library" PYTHON="$(PYTHON)" UALM_WATCH=valgrind \
	  $(TEST) --test c_library -- --test-threads=1 wrong_arguments checkpoints

# The library and the standard library are rebuilt with ThreadSanitizer by a nightly compiler with rust-src.
test-threads: fixtures ## run the C tests of threads under ThreadSanitizer (nightly Rust)
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" PYTHON="$(PYTHON)" UALM_WATCH=thread && \
	  $(TEST) --test c_library -- threads_and_callbacks sessions_of_an_engine

# Without backtraces: one keeps 60 MB of debug information in memory, which would look like a leak.
soak: fixtures ## run all kinds of work concurrently, and check for leaks: make soak SECONDS=300 SEED=1
	@$(LIBRARY) && ORT_DYLIB_PATH="$$library" RUST_BACKTRACE=0 UALM_SOAK_SECONDS="$(SECONDS)" UALM_SOAK_SEED="$(SEED)" \
	  $(TEST) --test soak -- --ignored --nocapture

fuzz: fixtures ## run every fuzz target (nightly Rust, cargo-fuzz): make fuzz SECONDS=300
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && for fuzzed in $$($(CARGO) fuzz list); do \
	  mkdir -p target/fuzz-corpus/$$fuzzed && \
	  $(CARGO) +nightly fuzz run $$fuzzed target/fuzz-corpus/$$fuzzed fuzz/corpus/$$fuzzed -- -max_total_time=$(SECONDS) || exit; \
	done

test-page: ## build, and test the page of `ualm serve` in Chromium (CHROMIUM=/usr/bin/chromium; needs Node.js 20 or later)
	@missing=$$(node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1 || echo "Node.js with npm"; \
	  test -x "$(CHROMIUM)" || echo "Chromium at $(CHROMIUM)"); \
	  if [ -n "$$missing" ]; then echo "test-page is skipped: missing $$missing"; else \
	  $(MAKE) build && cd tests/page && npm ci --silent --ignore-scripts && CHROMIUM="$(CHROMIUM)" UALM_PROGRAM="$(abspath $(BUILD))/release/ualm" npm test; fi

test-node: ## build, and run the JavaScript examples with OpenAI's client (needs Node.js 20 or later)
	@if ! node --version >/dev/null 2>&1 || ! npm --version >/dev/null 2>&1; then echo "test-node is skipped: missing Node.js with npm"; else \
	  $(MAKE) build && cd examples/javascript && npm ci --silent --ignore-scripts && cd ../../tests/node && \
	  UALM_PROGRAM="$(abspath $(BUILD))/release/ualm" node --test --test-reporter=spec; fi

reference: ## regenerate parts of docs/: cli.md, c.md, manifest.schema.json, architecture.md
	@UALM_WRITE_REFERENCE=1 $(TEST) --quiet --test program help::
	@UALM_WRITE_REFERENCE=1 $(TEST) --quiet --test library manifest_schema::the_published
	@$(PYTHON) scripts/architecture.py
	@$(PYTHON) scripts/c_reference.py

NIGHTLY ?= nightly
public-api: ## regenerate docs/public-api.txt, the listing of the library's public items (nightly Rust, cargo-public-api)
	@$(CARGO) public-api --version >/dev/null 2>&1 || { echo "cargo-public-api is missing: cargo install --locked cargo-public-api" >&2; exit 1; }
	@$(CARGO) +$(NIGHTLY) public-api --package ualm -sss > docs/public-api.txt

pictures: build ## redraw all pictures of the documents: README's, the examples', the web page's (Node.js and Chromium)
	@$(ENVIRONMENT) && $(LIBRARY) && export ORT_DYLIB_PATH="$$library" && \
	  "$$python" scripts/picture.py $(BUILD)/release/ualm && \
	  "$$python" export/examples.py onnx/default --program $(abspath $(BUILD))/release/ualm
	@missing=$$(npm --version >/dev/null 2>&1 || echo "Node.js with npm"; test -x "$(CHROMIUM)" || echo "Chromium at $(CHROMIUM)"); \
	  if [ -n "$$missing" ]; then echo "docs/page stays as it is, for there is no $$missing"; else \
	  cd tests/page && npm ci --silent --ignore-scripts && \
	  CHROMIUM="$(CHROMIUM)" UALM_PROGRAM="$(abspath $(BUILD))/release/ualm" npm run --silent screenshots; fi

header: ## regenerate ualm.h and ualm.abi in crates/capi/include from crates/capi/src
	@UALM_WRITE_HEADER=1 $(TEST) --quiet --test c_library header::
	@UALM_WRITE_HEADER=1 PYTHON="$(PYTHON)" $(TEST) --quiet --test c_library abi::

small-machines: build ## measure the program in little memory (Linux, with the right to make control groups): make small-machines ARGUMENTS=--smallest
	@$(LIBRARY) && $(PYTHON) benches/small_machines.py --program $(BUILD)/release/ualm --library "$$library" $(ARGUMENTS)

# Emulated x86-64 processors: with AVX2 but without AVX-512 and VNNI, and with SSE alone.
PROCESSORS ?= Haswell Nehalem qemu64
test-processors: build fixtures ## run doctor and the reference tests on emulated older x86-64 processors (qemu-x86_64-static)
	@command -v qemu-x86_64-static >/dev/null || { echo "qemu-x86_64-static is missing (on Debian and Ubuntu: apt install qemu-user-static)" >&2; exit 1; }
	@mkdir -p target/processors && $(CC) -shared -fPIC -O1 -o target/processors/readable_page.so tests/tools/readable_page.c -ldl
	@$(LIBRARY) && export ORT_DYLIB_PATH="$$library" && for processor in $(PROCESSORS); do \
	  qemu="qemu-x86_64-static -E LD_PRELOAD=$(CURDIR)/target/processors/readable_page.so -cpu $$processor" && \
	  echo "as $$processor:" && $$qemu $(BUILD)/release/ualm doctor --model onnx/default && \
	  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$$qemu" $(CARGO) test --release --locked --package ualm \
	    --lib --test library -- product:: reference:: audex:: || exit; \
	done

test-systemd: build ## check examples/systemd with systemd's tools
	@UALM="$(abspath $(BUILD))/release/ualm" $(PYTHON) -m unittest discover --start-directory tests/systemd

install-c: ## install the C library, with files for pkg-config and CMake: make install-c PREFIX=/usr/local
	@$(PYTHON) scripts/install_c_library.py --prefix "$(PREFIX)"

dist: ## build a release archive in target/dist, for this machine or another system: make dist TARGET=aarch64-unknown-linux-gnu
	@$(PYTHON) scripts/dist.py $(TARGET)
	@$(MAKE) packages

# Address of the published archives: make packages RELEASE=https://example.org/me/ualm/releases/download/v0.1.0
export RELEASE ?=
packages: ## write the files with which Homebrew, Scoop, winget and Debian install the archives in target/dist: make packages RELEASE=https://…
	@$(PYTHON) scripts/packages.py

cross: ## build for another system: make cross TARGET=aarch64-unknown-linux-gnu (or x86_64-pc-windows-gnu)
	@test -n "$(TARGET)" || { echo "usage: make cross TARGET=TRIPLE; docs/platforms.md has the list" >&2; exit 2; }
	@$(PYTHON) scripts/cross.py $(TARGET)

test-cross: fixtures ## run the builds of `make cross` in an emulator, and compare with this machine: make test-cross TARGET=…
	@test -n "$(TARGET)" || { echo "usage: make test-cross TARGET=TRIPLE; docs/platforms.md has the list" >&2; exit 2; }
	@$(PYTHON) scripts/cross.py $(TARGET) --test
	@$(MAKE) build && $(LIBRARY) && export ORT_DYLIB_PATH="$$library" UALM_CROSS_TARGET="$(TARGET)" UALM_NATIVE="$(abspath $(BUILD))/release/ualm" && \
	  $(PYTHON) -m unittest discover --start-directory tests/cross

test-dist: dist ## unpack the release archive, and test it with an empty environment (TARGET=…: in an emulator)
	@UALM_DIST_TARGET="$(TARGET)" $(PYTHON) -m unittest discover --start-directory tests/dist

# A wheel contains release builds; `make wheel WHEEL_PROFILE=dev` makes a quick one for development.
WHEEL_PROFILE ?= release
wheel: ## build the Python wheel for this system, in target/wheels: pip install target/wheels/ualm-*.whl
	@python=$$($(PYTHON) scripts/python_environment.py crates/python/build-requirements.txt) && cd crates/python && \
	  UALM_WHEEL_PROFILE="$(WHEEL_PROFILE)" "$$python" -m hatchling build --clean --target wheel --directory "$(CURDIR)/target/wheels"

test-wheel: wheel fixtures ## install the wheel into an empty environment, and test it
	@python=$$($(PYTHON) scripts/python_environment.py tests/wheel/requirements.txt) && \
	  PYTHON="$(PYTHON)" UALM_WHEEL_PROFILE="$(WHEEL_PROFILE)" "$$python" -m unittest discover --start-directory tests/wheel

test-interface: fixtures ## run the tests of the Python interface, with a debug build of the C library
	@$(LIBRARY) && $(ENVIRONMENT) && export ORT_DYLIB_PATH="$$library" && \
	  $(PYTHON) scripts/install_c_library.py --profile dev --prefix target/c-library/prefix >/dev/null && \
	  "$$python" -m unittest discover --start-directory tests/python

SUITE ?= bookworm
test-debian: dist ## check the Debian packages, and install them in Debian's smallest system (needs lintian and mmdebstrap): make test-debian SUITE=trixie
	@lintian --fail-on error target/dist/packages/debian/*.deb
	@UALM_TEST_DEBIAN="$(SUITE)" $(PYTHON) -m unittest discover --start-directory tests/dist --pattern test_root.py

test-python: fixtures ## run the tests of the exporter and of the build scripts
	@$(PYTHON) -m unittest discover --start-directory tests/scripts
	@$(ENVIRONMENT) && "$$python" -m unittest discover --start-directory tests/export

test-train: ## run the tests of the training recipe (fetches PyTorch)
	@python=$$($(TRAINING)) && "$$python" -m unittest discover --start-directory tests/train

train-python: ## print the Python interpreter of the training recipe
	@$(TRAINING)

# NumPy's products are small there: its threads would only wait for one another.
train: ## train the default model (fetches PyTorch; takes hours): make train DATA=recordings WORK=folder [PACKAGE=…] [STAGE=…]
	@test -n "$(DATA)" -a -n "$(WORK)" || { echo "usage: make train DATA=recordings WORK=folder; see export/train/README.md" >&2; exit 2; }
	@python=$$($(TRAINING)) && \
	  OPENBLAS_NUM_THREADS=1 PYTHONPATH=export "$$python" -m train --data "$(DATA)" --work "$(WORK)" $(if $(PACKAGE),--package "$(PACKAGE)") \
	  $(if $(STAGE),--stage $(STAGE)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(DEVICE),--device $(DEVICE)) $(if $(PROCESSES),--processes $(PROCESSES))

evaluate: build ## measure the default package: make evaluate DATA=recordings WORK=folder (fetches the judges)
	@test -n "$(DATA)" -a -n "$(WORK)" || { echo "usage: make evaluate DATA=recordings WORK=folder; see export/train/README.md" >&2; exit 2; }
	@$(LIBRARY) && python=$$($(PYTHON) scripts/python_environment.py export/evaluate-requirements.txt) && \
	  ORT_DYLIB_PATH="$$library" "$$python" export/evaluate.py onnx/default --data "$(DATA)" --work "$(WORK)" $(if $(PROVIDER),--provider $(PROVIDER))

fixtures: ## export the tests' small packages into target/fixtures
	@$(ENVIRONMENT) && "$$python" tests/tools/fixtures.py

lint: ## check format, lints, types, wording, dependencies and other targets; warnings are errors
	@$(CARGO) fmt --version >/dev/null 2>&1 || { echo "rustfmt is missing: rustup component add rustfmt" >&2; exit 1; }
	@$(CARGO) clippy --version >/dev/null 2>&1 || { echo "clippy is missing: rustup component add clippy" >&2; exit 1; }
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --package ualm --no-deps
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --locked --workspace --all-features --no-deps
	@$(CARGO) metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null
	@$(PYTHON) scripts/check_words.py
	@$(PYTHON) scripts/unsafe_dependencies.py
	@$(PYTHON) scripts/check_targets.py
	@python=$$($(PYTHON) scripts/python_environment.py crates/python/lint-requirements.txt) && \
	  "$$python" -m mypy --config-file crates/python/pyproject.toml --cache-dir target/mypy --no-error-summary crates/python/ualm

format: ## format the sources
	@$(CARGO) fmt --all

bench: ## measure the parts that work without a model
	@$(CARGO) bench --locked --package ualm --features internal --bench audio --bench parts

# A package of real size with random weights, made once: make bench-package SIZE=1.5b PRECISION=int4
SIZE      ?= 0.5b
PRECISION ?= int8
RANDOM    := target/random/$(SIZE)-$(PRECISION)

$(RANDOM)/manifest.json:
	@$(ENVIRONMENT) && mkdir -p target/random && "$$python" export/random_package.py --size $(SIZE) --precision $(PRECISION) $(RANDOM)

bench-package: build $(RANDOM)/manifest.json ## measure a package of real size: make bench-package SIZE=0.5b PRECISION=int8
	@$(LIBRARY) && ORT_DYLIB_PATH="$$library" $(BUILD)/release/ualm bench $(RANDOM)

# Both precisions: make bench-peers PEERS_PRECISIONS="int4 int8" JSON=results.json
PEERS_PRECISIONS ?= $(PRECISION)
PEERS_PACKAGES   := $(PEERS_PRECISIONS:%=target/random/$(SIZE)-%)

$(filter-out $(RANDOM)/manifest.json,$(PEERS_PACKAGES:%=%/manifest.json)): target/random/$(SIZE)-%/manifest.json:
	@$(ENVIRONMENT) && mkdir -p target/random && "$$python" export/random_package.py --size $(SIZE) --precision $* $(@D)

bench-peers: build $(PEERS_PACKAGES:%=%/manifest.json) ## measure packages beside PyTorch, onnxruntime-genai and llama.cpp (fetches them, 4 GB; compiles llama.cpp)
	@$(LIBRARY) && ORT_DYLIB_PATH="$$library" $(PYTHON) benches/peers/compare.py $(PEERS_PACKAGES) --size $(SIZE) \
	  --program $(BUILD)/release/ualm $(if $(JSON),--json $(JSON))

clean: ## remove target/; the cache stays
	@rm -rf target
