#!/usr/bin/env bash
# FFmpeg's `fps` filter, asked for a frame every two seconds, does not give the frames of those moments: they are a second late.
#
# Versions: imageio-ffmpeg 0.6.0 (FFmpeg 7.0.2), numpy 2.2.6, Python 3.11.
#
# `-vf fps=1/2` is the usual recipe for sampling a video. A frame of the input goes to the moment of the output that is nearest to
# it, and of all that go to one moment the last is taken: the frame that is labelled 2 s is the one on screen just before 3 s. A
# table of what is in a video and when is so off by half an interval, by 30 s for a frame a minute. With `round=up` the frames are
# those on screen at the moment that they are labelled with, and the first, of 0 s, is there too.
#
# Seen on 2026-11-29 with a video of 25 frames a second, each as gray as its number: the numbers of the frames that came out
#   fps=1/2:          24, 74, 124, 174, 224 (for 0, 2, 4, 6, 8 s)
#   fps=1/2:round=up: 0, 50, 100, 150, 200
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check imageio-ffmpeg==0.6.0 numpy==2.2.6
cat > sampled.py <<'PYTHON'
import subprocess

import imageio_ffmpeg
import numpy

SIDE, COUNT = 16, 250
ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
print("FFmpeg", imageio_ffmpeg.get_ffmpeg_version())
frames = numpy.repeat(numpy.arange(COUNT, dtype=numpy.uint8), SIDE * SIDE).tobytes()
raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{SIDE}x{SIDE}"]
quiet = [ffmpeg, "-hide_banner", "-loglevel", "error"]
subprocess.run([*quiet, *raw, "-r", "25", "-i", "-", "-c:v", "ffv1", "-pix_fmt", "gray", "video.mkv"], input=frames, check=True)


def sampled(filters: str) -> list:
    told = subprocess.run([*quiet, "-i", "video.mkv", "-vf", filters, *raw[:4], "-"], stdout=subprocess.PIPE, check=True)
    return numpy.frombuffer(told.stdout, numpy.uint8).reshape(-1, SIDE * SIDE)[:, 0].tolist()


usual, up = sampled("fps=1/2"), sampled("fps=1/2:round=up")
print("fps=1/2:", usual)
print("fps=1/2:round=up:", up)
assert usual[:5] == [24, 74, 124, 174, 224], usual
assert up[:5] == [0, 50, 100, 150, 200], up
PYTHON
python/bin/python sampled.py
