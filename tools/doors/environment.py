"""The Python environment with the programs that exports are for: `.doors`, made once, with pinned versions."""

import os
import sys
from pathlib import Path

# Behind all others: names of modules there are names of modules here, too.
sys.path.append(str(Path(__file__).parents[1]))

from pinned import environment

FOLDER = Path(".doors")
PACKAGES = ["tensorboard==2.21.0", "mlflow==3.17.2", "onnx==1.23.2", "onnxruntime==1.32.0", "imageio-ffmpeg==0.8.1"]


def enter() -> None:
    """Goes on in the environment, which is made first if it is not there."""
    if Path(sys.prefix).resolve() == FOLDER.resolve():
        return
    python = environment(FOLDER, "ferrite-doors.txt", PACKAGES)
    os.execv(python, [str(python), *sys.argv])
