"""Exports read back by the programs that they are for, videos read through FFmpeg, a server asked by Python: `make test-doors`.

A small sweep is made, its runs are exported, and TensorBoard's readers and board, MLflow's server and client, onnxruntime,
PyTorch and Keras, from the package registry, read back every value. What they should find is read here from the logs and predictions of the runs, without
any code of Ferrite's.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import environment  # noqa: E402

CHECKS = ("tensorboard", "mlflow", "models", "video", "serve")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CHECKS, action="append", help="this program alone")
    parser.add_argument("--program", type=Path, default=Path("target/debug/ferrite"), help="the `ferrite` to test, with its engine beside it")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="work in this folder and leave it there")
    parser.add_argument("--torch", type=Path, default=Path(".venv/bin/python"), help="a Python with torch, torchvision, timm, safetensors and keras")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="class folders to train networks on, instead of drawn faces")
    arguments = parser.parse_args()
    environment.enter()

    import study

    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        # A proxy is for what lies outside.
        os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
        wrong = 0
        for name in arguments.only or CHECKS:
            since = time.monotonic()
            place = study.Place(root / name, arguments.program.resolve())
            check = __import__(f"check_{name}").check
            more = {"torch": arguments.torch.absolute(), "pictures": arguments.pictures} if name == "models" else {}
            try:
                values = check(place, **more)
                print(f"{name}: {values} values are as they should be ({time.monotonic() - since:.0f} s)", flush=True)
            except study.Wrong as error:
                print(f"{name}: {error}", flush=True)
                wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
