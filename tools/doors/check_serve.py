"""What docs/serve.md shows in Python, carried out as it stands there with `requests`, held against `ferrite predict`.

`requests` comes with MLflow.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import requests  # noqa: F401  The example needs it, so it is missed here and not there.

from study import PATIENCE, Place, same

GUIDE = Path("docs/serve.md")
ADDRESS = "http://127.0.0.1:8000/"


def check(place: Place) -> int:
    detector = place.root / "cache/weights/face_detection_yunet_2023mar.onnx"
    detector.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(".detector/face_detection_yunet_2023mar.onnx", detector)
    place.sweep()
    place.run("data", "draw", "faces", "--each", "1", "--size", "200")
    run = place.runs()[0].name
    return sum(asked(place, *words) for words in ([run], [run, "--find-faces"], ["rates", "--find-faces"]))


@contextmanager
def serving(place: Place, *words: str):
    """The address at which a server listens as long as it is needed."""
    started = place.start("serve", *words, "--port", "0", "--device", "cpu")
    try:
        yield started.stdout.readline().strip()
    finally:
        started.send_signal(2)
        place.end(started)


def asked(place: Place, *words: str) -> int:
    example = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL).group(1)
    photo = place.root / "photo.jpg"
    shutil.copy(place.root / "faces/happy/000.png", photo)
    predicted = place.start("predict", *words, "photo.jpg", "--json", "--device", "cpu").communicate(timeout=PATIENCE)[0]
    told = json.loads(predicted)
    with serving(place, *words) as address:
        count = same("the address in the guide", example.count(ADDRESS), 1)
        (place.root / "example.py").write_text(example.replace(ADDRESS, address))
        lines = said(place).stdout.splitlines()
        faces = told.get("faces", [told])
        count += same("the number of faces", len(lines), len(faces))
        for line, face in zip(lines, faces):
            prediction, probability, bounds = line.split(" ", 2)
            count += same("the class", prediction, face["prediction"])
            count += same("its probability", float(probability), face["probabilities"][prediction])
            count += same("where the face is", ast.literal_eval(bounds), face.get("bounds"))
        photo.write_text("no picture")
        refused = said(place)
        count += same("the exit code after a refusal", refused.returncode, 1)
        count += same("why it is refused", refused.stderr.startswith("the picture cannot be used: it is no picture"), True)
    return count


def said(place: Place) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "example.py"], cwd=place.root, capture_output=True, text=True, timeout=PATIENCE)
