"""What `ferrite predict` says of a video, held against what it says of the pictures that FFmpeg takes out of it.

FFmpeg itself, of a pinned package, writes the videos and takes every picture out of them; which of these is shown at a moment is computed
here from the rate.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg

from study import Place, Wrong, same

RATE = 25
EVERY = 0.5
SECONDS = 4
# When the second face goes.
GONE = 2.5
KINDS = {"clip.mp4": ["-c:v", "libx264"], "clip.mov": ["-c:v", "mjpeg"], "clip.webm": ["-c:v", "libvpx-vp9"], "clip.avi": ["-c:v", "mpeg4"], "clip.mkv": ["-c:v", "ffv1"]}


def check(place: Place) -> int:
    programs = place.root / "bin"
    programs.mkdir(exist_ok=True)
    shutil.copy(imageio_ffmpeg.get_ffmpeg_exe(), programs / "ffmpeg")
    place.environment["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    detector = place.root / "cache/weights/face_detection_yunet_2023mar.onnx"
    detector.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(".detector/face_detection_yunet_2023mar.onnx", detector)
    place.sweep()
    place.run("data", "draw", "faces", "--each", "1", "--size", "200")
    return sum(video(place, name, codec) for name, codec in KINDS.items()) + cut(place)


def ffmpeg(place: Place, *words: str) -> None:
    subprocess.run([str(place.root / "bin/ffmpeg"), "-v", "error", "-y", *words], cwd=place.root, check=True)


def video(place: Place, name: str, codec: list) -> int:
    """Two faces move; one of them goes."""
    faces = [word for it in ("happy", "sad") for word in ("-loop", "1", "-t", str(SECONDS), "-i", f"faces/{it}/000.png")]
    moves = f"[0][1]overlay=x=20+20*t:y=40[a];[a][2]overlay=x=400-10*t:y=120:enable='lt(t,{GONE})'"
    ffmpeg(place, "-f", "lavfi", "-i", f"color=gray:s=640x360:r={RATE}:d={SECONDS}", *faces, "-filter_complex", moves, "-r", str(RATE), "-pix_fmt", "yuvj420p" if "mjpeg" in codec else "yuv420p", *codec, name)
    folder = place.root / f"pictures of {name}"
    folder.mkdir()
    ffmpeg(place, "-i", name, f"{folder}/%04d.png")
    moments = [EVERY * it for it in range(int(SECONDS / EVERY))]
    # What is shown at a moment began at or before it.
    pictures = [str(folder / f"{int(it * RATE) + 1:04}.png") for it in moments]
    count = 0
    for words in ([], ["--find-faces"]):
        predict = ("predict", "rates/" + run(place), "--json", "--device", "cpu", *words)
        told = [json.loads(it) for it in place.run(*predict, name, "--every", str(EVERY), "--annotate", "sheets").splitlines()]
        alone = [json.loads(it) for it in place.run(*predict, *pictures).splitlines()]
        count += same(f"moments of {name}", [it["seconds"] for it in told], moments)
        count += sum(equal(f"{name} at {it} s", a, b) for it, a, b in zip(moments, told, alone))
    tracks = [[face["track"] for face in sorted(it["faces"], key=lambda face: face["bounds"]["left"])] for it in told]
    # The frame that begins at 2.48 s is shown at 2.5 s, and has both.
    count += same(f"tracks of {name}", tracks, [[1, 2] if it <= GONE else [1] for it in moments])
    if not (place.root / "sheets" / Path(name).with_suffix(".png").name).is_file():
        raise Wrong(f"there is no sheet of {name}")
    shutil.rmtree(place.root / "sheets")
    return count + 1


def run(place: Place) -> str:
    return sorted(it.parent.name for it in (place.root / "runs/rates").glob("*/model.safetensors"))[0]


def equal(what: str, found: dict, expected: dict) -> int:
    """Counts the numbers that are equal but for the order in which LibTorch sums up."""
    pairs = list(zip(found.get("faces", [found]), expected.get("faces", [expected])))
    count = same(f"faces of {what}", len(found.get("faces", [0])), len(expected.get("faces", [0])))
    for a, b in pairs:
        count += same(f"bounds of {what}", a.get("bounds"), b.get("bounds"))
        for name, share in b["probabilities"].items():
            if abs(a["probabilities"][name] - share) > 1e-5:
                raise Wrong(f"{name} of {what} is {a['probabilities'][name]} instead of {share}")
            count += 1
    return count


def cut(place: Place) -> int:
    """A video that ends before its end is told as such, with what could be read of it."""
    ffmpeg(place, "-i", "clip.mp4", "-movflags", "faststart", "-c", "copy", "whole.mp4")
    whole = (place.root / "whole.mp4").read_bytes()
    (place.root / "cut.mp4").write_bytes(whole[: len(whole) * 9 // 10])
    told = place.run("predict", "rates/" + run(place), "cut.mp4", "--csv", code=3)
    if "cut.mp4,0," not in told or "ffmpeg says" not in told:
        raise Wrong(f"of a video that was cut off is said: {told}")
    return 1
