"""Python environments with pinned packages, made once: for programs that Ferrite is held against and that need their own."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import List


def environment(folder: Path, stamp: str, packages: List[str]) -> Path:
    """The Python in `folder` with `packages`, which is made if the file `stamp` in it does not say that it is there."""
    written, python = folder / stamp, folder / "bin/python"
    wanted = f"{sys.version_info.major}.{sys.version_info.minor} {' '.join(packages)}\n"
    if not written.exists() or written.read_text() != wanted:
        print("installing " + " ".join(packages), file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
        written.write_text(wanted)
    return python
