"""The Python environment with the programs that exports are for: `.doors`, made once, with pinned versions."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(".doors")
PACKAGES = ["tensorboard==2.21.0", "mlflow==3.17.2", "onnx==1.23.2", "onnxruntime==1.32.0", "imageio-ffmpeg==0.8.1"]


def enter() -> None:
    """Goes on in the environment, which is made first if it is not there."""
    python = FOLDER / "bin/python"
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    stamp = FOLDER / "ferrite-doors.txt"
    wanted = f"{sys.version_info.major}.{sys.version_info.minor} {' '.join(PACKAGES)}\n"
    if not stamp.exists() or stamp.read_text() != wanted:
        print("installing " + " ".join(PACKAGES), file=sys.stderr, flush=True)
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES], check=True)
        stamp.write_text(wanted)
    os.execv(python, [str(python), *sys.argv])
