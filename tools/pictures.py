#!/usr/bin/env python3
"""Make the pictures of the README anew, from the experiments that it describes.

    docs/report.png    the top of the report of the default suite, as Chromium shows it in a window of a fixed size
    docs/faces.png     the first faces of each expression that the suite's experiments see

The suite is carried out first, in a folder of its own below target/pictures, so that the report shows nothing else; what is
finished there is not done again. The folder is named after what decides its content, the files of the experiments and the keys
of their steps, and folders of older suites are removed. A picture is written under another name and renamed.
"""

import argparse
import csv
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
KEYS = "tests/golden/keys.txt"

# Width and height of the window, in pixels, that the report is shown in.
WINDOW = (1050, 1560)
# Longest time that Chromium may take, in seconds.
TIMEOUT_S = 120
CHROMIUM = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
CHROMIUM_PACKAGE = "sudo apt-get install chromium"

# Whose faces are shown, how many of each class, how many times as wide as they are, and how wide the lines between them.
EXPERIMENT = "frozen"
COLUMNS = 12
ENLARGED = 2
LINE = 1
WHITE = 255


class PictureError(Exception):
    """Something that the user has to put right."""


class Gray(NamedTuple):
    """A picture of gray levels, row by row."""

    width: int
    height: int
    pixels: bytes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "docs", metavar="DIR", help="where the pictures are put (default: docs)")
    parser.add_argument("--ferrite", type=Path, default=ROOT / "target/release/ferrite", metavar="FILE", help="the program (default: that of `make build`)")
    parser.add_argument("--chromium", metavar="PROGRAM", help="the browser (default: the first of " + ", ".join(CHROMIUM) + " that is there)")
    arguments = parser.parse_args()
    try:
        # Known before minutes of training, not after them.
        browser = chromium(arguments.chromium)
        runs = folder_of_suite(ROOT, ROOT / "target/pictures")
        sweep(arguments.ferrite, runs)
        arguments.into.mkdir(parents=True, exist_ok=True)
        written(arguments.into / "report.png", lambda at: photograph(browser, runs / "index.html", at))
        written(arguments.into / "faces.png", lambda at: at.write_bytes(png(faces(runs))))
    except PictureError as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pictures: interrupted; run the same command again", file=sys.stderr)
        return 130
    return 0


def chromium(named: Optional[str], find: Callable[[str], Optional[str]] = shutil.which) -> str:
    """The browser's program."""
    for name in [named] if named else CHROMIUM:
        found = find(name)
        if found:
            return found
    missing = f"there is no program `{named}`" if named else "Chromium is missing"
    raise PictureError(f"{missing}, which shows the report: install it with `{CHROMIUM_PACKAGE}`, or name it with --chromium PROGRAM")


def folder_of_suite(root: Path, below: Path) -> Path:
    """Where the suite's runs are. Removes the runs of other versions of it."""
    suite = root / "experiments"
    files = sorted([*suite.glob("*.toml"), *suite.glob("base/*.toml"), root / KEYS])
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root)} {len(content)}\n".encode() + content)
    name = digest.hexdigest()[:12]
    for other in below.glob("*"):
        if other.name != name:
            shutil.rmtree(other)
    # A report is called as the folder around its runs is.
    return below / name / "ferrite" / "runs"


def sweep(ferrite: Path, runs: Path) -> None:
    """Carries out what is not finished of the suite, and writes its report."""
    if not ferrite.is_file():
        raise PictureError(f"there is no {ferrite}: run `make build` first")
    runs.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([ferrite.resolve(), "sweep", "--runs", runs], cwd=ROOT)
    if done.returncode != 0:
        raise PictureError(f"the suite ended with {done.returncode}, so there is no report of all of it")


def command_line(browser: str, page: Path, into: Path, profile: Path) -> List[str]:
    """How Chromium is told to photograph the top of a page, on its own and with a profile that nobody else uses."""
    return [
        browser,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--force-device-scale-factor=1",
        f"--user-data-dir={profile}",
        f"--window-size={WINDOW[0]},{WINDOW[1]}",
        f"--screenshot={into}",
        page.resolve().as_uri(),
    ]


def photograph(browser: str, page: Path, into: Path) -> None:
    """Writes the picture of a page's top."""
    with tempfile.TemporaryDirectory() as profile:
        try:
            done = subprocess.run(command_line(browser, page, into.resolve(), Path(profile)), capture_output=True, text=True, timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise PictureError(f"{browser} did not show {page} within {TIMEOUT_S} s") from error
    if done.returncode != 0 or not into.is_file():
        raise PictureError(f"{browser} made no picture of {page}:\n{done.stderr.strip()}")
    size = size_of_png(into.read_bytes())
    if size != WINDOW:
        raise PictureError(f"{browser} made a picture of {size[0]} x {size[1]} pixels instead of {WINDOW[0]} x {WINDOW[1]}")


def faces(runs: Path) -> Gray:
    """The first faces of each class in the images of [`EXPERIMENT`], a row for each class."""
    jobs = sorted(runs.glob(f"{EXPERIMENT}/*/job.json"))
    if not jobs:
        raise PictureError(f"there is no run of {EXPERIMENT} in {runs}")
    keys = [it["key"] for it in json.loads(jobs[0].read_text())["chain"] if "dataset" in it["step"]]
    images = runs / ".store/dataset" / keys[0]
    said = json.loads((images / "dataset.json").read_text())
    height, width, channels = said["size"]
    if channels != 1:
        raise PictureError(f"the images of {EXPERIMENT} have {channels} channels; faces are drawn in one")
    with open(images / "items.csv", newline="") as file:
        labels = [int(row["label"]) for row in csv.DictReader(file)]
    first = first_of_each(labels, len(said["classes"]), COLUMNS)
    with open(images / "images.bin", "rb") as file:

        def image(at: int) -> Gray:
            file.seek(at * width * height)
            return Gray(width, height, file.read(width * height))

        return sheet([[image(at) for at in row] for row in first])


def first_of_each(labels: List[int], classes: int, count: int) -> List[List[int]]:
    """The places of the first `count` items of each class."""
    found: Dict[int, List[int]] = {it: [] for it in range(classes)}
    for at, label in enumerate(labels):
        if len(found[label]) < count:
            found[label].append(at)
    return [found[it] for it in range(classes)]


def sheet(rows: List[List[Gray]]) -> Gray:
    """Pictures of one size side by side and enlarged, with white lines around them."""
    some = next(picture for row in rows for picture in row)
    columns = max(len(row) for row in rows)
    cell = (some.width * ENLARGED + LINE, some.height * ENLARGED + LINE)
    width, height = columns * cell[0] + LINE, len(rows) * cell[1] + LINE
    pixels = bytearray([WHITE]) * (width * height)
    for down, row in enumerate(rows):
        for right, picture in enumerate(row):
            for y in range(some.height * ENLARGED):
                line = picture.pixels[(y // ENLARGED) * some.width :][: some.width]
                at = (down * cell[1] + LINE + y) * width + right * cell[0] + LINE
                pixels[at : at + some.width * ENLARGED] = bytes(it for it in line for _ in range(ENLARGED))
    return Gray(width, height, bytes(pixels))


def png(picture: Gray) -> bytes:
    """The picture as a PNG file."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    # Eight bits of gray, not interlaced; every row begins with 0, for it is stored as it is.
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 0, 0, 0, 0)
    rows = (picture.pixels[at : at + picture.width] for at in range(0, len(picture.pixels), picture.width))
    content = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def size_of_png(content: bytes) -> tuple:
    """Width and height of a PNG file's picture."""
    return struct.unpack(">II", content[16:24])


def written(path: Path, write: Callable[[Path], object]) -> None:
    """Lets `write` make a file under another name, and gives it its own once it is whole."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print(f"{path} is written")


if __name__ == "__main__":
    sys.exit(main())
