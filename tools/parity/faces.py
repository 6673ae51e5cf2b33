"""Faces that are found in pictures, against OpenCV's FaceDetectorYN with the same network."""

import csv
import math
import os
import sys
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy
import torch
from exchange import Claim, Comparison, Task
from torch import Tensor

MODEL = Path(os.environ.get("FERRITE_DETECTOR") or ".detector/face_detection_yunet_2023mar.onnx").resolve()
TABLE = Path("data/fer2013.csv")
PICTURES = 200
SCORE = 0.6
OVERLAP = 0.3


def opencv(pictures: List[numpy.ndarray]) -> Tensor:
    """Rows of picture, left, top, width, height, score, landmarks, in Ferrite's order."""
    rows = []
    for index, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        detector = cv2.FaceDetectorYN.create(str(MODEL), "", (width, height), SCORE, OVERLAP, 5000)
        _, found = detector.detect(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) if picture.ndim == 2 else picture)
        rows += [[index, *face[:4], face[14], *face[4:14]] for face in ([] if found is None else found)]
    return torch.tensor(numpy.asarray(rows, dtype=numpy.float32).reshape(-1, 16))


def claims(ours: Tensor, theirs: Tensor, what: str) -> List[Claim]:
    """That both found the same faces, each in the same place."""
    if ours.shape != theirs.shape or not torch.equal(ours[:, 0], theirs[:, 0]):
        return [Claim(f"faces in {what}: {len(ours)} are found, and {len(theirs)} by FaceDetectorYN", math.inf, 0.0)]
    differences = (ours - theirs).abs()
    parts: List[Tuple[str, slice, float]] = [("rectangles, pixels", slice(1, 5), 1.0), ("landmarks, pixels", slice(6, 16), 1.0), ("scores", slice(5, 6), 1e-3)]
    return [Claim(f"{len(ours)} faces in {what}: {part}, against FaceDetectorYN", differences[:, columns].max().item(), limit) for part, columns, limit in parts]


def look(width: int) -> dict:
    # Further looks are Ferrite's own; FaceDetectorYN takes one.
    yunet = {"sizes": [width], "score": SCORE, "overlap": OVERLAP, "looks": 1}
    return {"model": str(MODEL), "detector": {"yunet": yunet}}


def drawn(folder: Path) -> Comparison:
    """Two drawn faces in each picture, whose height is no multiple of 32."""
    frames = {"count": PICTURES, "height": 150, "width": 224}
    (output,) = yield [Task({"drawn_faces": {"frames": frames, "look": look(frames["width"])}})]
    pictures = [it.byte().numpy() for it in output["images"]]
    return claims(output["faces"], opencv(pictures), f"{PICTURES} pictures with drawn faces")


def real(folder: Path) -> Comparison:
    """Faces of FER2013, enlarged by OpenCV for both sides."""
    if not TABLE.exists():
        print(f"no real faces are compared: {TABLE} is not there", file=sys.stderr)
        yield []
        return []
    with TABLE.open(newline="") as file:
        texts = [it["pixels"] for it, _ in zip(csv.DictReader(file), range(PICTURES))]
    faces = [numpy.array(it.split(), dtype=numpy.uint8).reshape(48, 48) for it in texts]
    pictures = [cv2.resize(it, (224, 224), interpolation=cv2.INTER_LINEAR) for it in faces]
    images = torch.from_numpy(numpy.stack(pictures)).unsqueeze(-1)
    (output,) = yield [Task({"faces": look(224)}, {"images": images})]
    return claims(output["faces"], opencv(pictures), f"{len(pictures)} pictures of FER2013")


PADDING, ENLARGE_TO = 0.25, 192


def cascades(pictures: List[numpy.ndarray]) -> Tensor:
    """Rows of picture, left, top, width, height, windows, as OpenCV's Python binding finds them in padded, enlarged pictures."""
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    rows = []
    for index, picture in enumerate(pictures):
        longer = max(picture.shape)
        padding = round(longer * PADDING)
        seen = cv2.copyMakeBorder(picture, padding, padding, padding, padding, cv2.BORDER_REPLICATE)
        factor = max(ENLARGE_TO / longer, 1.0)
        size = [round(it * factor) for it in seen.shape[::-1]]
        found = cascade.detectMultiScale2(cv2.resize(seen, size), scaleFactor=1.1, minNeighbors=5)
        faces = sorted(zip(*found), key=lambda it: -it[1])
        rows += [[index, *(place / factor - shift for place, shift in zip(box, (padding, padding, 0, 0))), count] for box, count in faces]
    return torch.tensor(numpy.asarray(rows, dtype=numpy.float32).reshape(-1, 6))


def haar(folder: Path) -> Comparison:
    """Cascades, where Ferrite is built with OpenCV: its version is the system's, the other one is that of the Python package."""
    if "opencv" not in os.environ.get("FERRITE_FEATURES", ""):
        print("no cascades are compared: say FEATURES=opencv", file=sys.stderr)
        yield []
        return []
    frames = {"count": PICTURES, "height": 150, "width": 224}
    (output,) = yield [Task({"drawn_faces": {"frames": frames, "look": {"model": "", "detector": {"haar": {}}}}})]
    pictures = [it.byte().numpy() for it in output["images"]]
    ours, theirs = output["faces"][:, :6], cascades(pictures)
    if ours.shape != theirs.shape or not torch.equal(ours[:, 0], theirs[:, 0]):
        return [Claim(f"faces by cascades: {len(ours)} are found, and {len(theirs)} by OpenCV's Python binding", math.inf, 0.0)]
    difference = (ours - theirs).abs().max().item()
    return [Claim(f"{len(ours)} faces by cascades: rectangles in pixels and windows, against OpenCV's Python binding", difference, 1.0)]


COMPARISONS = {it.__name__: it for it in (drawn, real, haar)}
