#!/usr/bin/env bash
# PyPI's package `hyperqueue` does not bring the program `hq`, though it holds a whole server and worker.
#
# Versions: hyperqueue 0.27.0, Python 3.11, Linux on x86-64.
#
# Wheels of programs in Rust usually install the program (ruff, uv, maturin). This one has no script and no executable file at all:
# `pip install hyperqueue` leaves no `hq`, so whatever calls `hq submit` or `hq server start` still needs a download of the
# project's releases. The server and the workers are in the extension module all the same: LocalCluster starts both
# within the Python process and carries out programs.
#
# Seen on 2026-11-28: no entry point, no executable among the package's files, and a job of LocalCluster that ended well.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check hyperqueue==0.27.0
cat > look.py <<'PYTHON'
import os
from importlib.metadata import distribution
from pathlib import Path

from hyperqueue import Job, LocalCluster

package = distribution("hyperqueue")
files = [Path(package.locate_file(it)) for it in package.files]
programs = [it.name for it in files if it.is_file() and it.suffix != ".so" and os.access(it, os.X_OK)]
print("entry points:", list(package.entry_points), "executables:", programs)
assert not package.entry_points and not programs, "the package brings a program now"

with LocalCluster() as cluster:
    cluster.start_worker()
    job = Job()
    job.program(["sh", "-c", "echo done > done"])
    cluster.client().wait_for_jobs([cluster.client().submit(job)])
print("a job of LocalCluster wrote:", Path("done").read_text().strip())
PYTHON
python/bin/python look.py
