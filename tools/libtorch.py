#!/usr/bin/env python3
"""Put LibTorch, the C++ library that Ferrite trains on, into a folder of the project.

LibTorch comes out of PyTorch's own Python wheel. pip is asked where that wheel is, so the user's
mirrors, proxies and PIP_* settings hold; this script downloads it (an interrupted download goes on
where it stopped), compares it with the SHA-256 written down below, and unpacks the few files that a
program needs. Python is needed for this set-up only.

The files keep their paths from the wheels, because the libraries look for each other by relative path:

    .libtorch/torch/lib          LibTorch           (also reachable as .libtorch/lib)
    .libtorch/torch/include      its headers        (also reachable as .libtorch/include)
    .libtorch/nvidia/*/lib       NVIDIA's libraries
    .libtorch/ferrite-libtorch.json   the stamp: what lies here, written last

A second call that finds the right stamp returns at once. A set LIBTORCH variable is respected: the
LibTorch it names is used, and nothing is fetched.
"""

import argparse
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

VERSION = "2.9.1"
STAMP = "ferrite-libtorch.json"

# The tag of the wheel that is fetched, whatever Python runs this script: LibTorch itself is the same in all.
PYTHON_OF_WHEEL = "3.11"
MANYLINUX = ["manylinux_2_28", "manylinux_2_27", "manylinux_2_25", "manylinux_2_17", "manylinux2014", "manylinux_2_12", "manylinux2010"]
OLDEST_GLIBC = (2, 28)

ATTEMPTS = 6
TIMEOUT_S = 60
CHUNK = 1 << 20
PIP_PACKAGE = "sudo apt-get install python3-pip"
COMPILER_PACKAGE = "sudo apt-get install build-essential"


class Wheel(NamedTuple):
    """A wheel, what it must hash to, its size in bytes, and which of its files are taken."""

    requirement: str
    sha256: str
    size: int
    members: Tuple[str, ...]


class Plan(NamedTuple):
    """How LibTorch for one kind of machine is put together."""

    wheels: Tuple[Wheel, ...]
    # The wheel's own libtorch.so insists on CUDA; a CPU-only folder gets a substitute that does not.
    substitute_libtorch: bool
    unpacked_bytes: int


def nvidia(name: str, version: str, size: int, sha256: str, members: str = "nvidia/*/lib/*") -> Wheel:
    """One of the CUDA 12 wheels that PyTorch's x86-64 wheel requires."""
    return Wheel(f"nvidia-{name}-cu12=={version}", sha256, size, (members,))


TORCH_X86_64 = Wheel(
    f"torch=={VERSION}",
    "d033ff0ac3f5400df862a51bdde9bad83561f3739ea0046e68f5401ebfa67c1b",
    899_821_446,
    ("torch/include/*", "torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/lib/libgomp.so.1"),
)
TORCH_AARCH64 = Wheel(
    f"torch=={VERSION}",
    "62b3fd888277946918cba4478cf849303da5359f0fb4e3bfb86b0533ba2eaf8d",
    104_220_430,
    ("torch/include/*", "torch/lib/libtorch.so", "torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch.libs/*"),
)
CUDA_RUNTIME = nvidia("cuda-runtime", "12.8.90", 954_765, "adade8dcbd0edf427b7204d480d6066d33902cab2a4707dcfc48a2d0fd44ab90")
CUDA_CUPTI = nvidia("cuda-cupti", "12.8.90", 10_248_621, "ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182")
# The headers of the CUDA runtime, which are spread over two wheels: what Ferrite adds to LibTorch for GPUs needs them.
CUDA_HEADERS = (
    CUDA_RUNTIME._replace(members=("nvidia/*/lib/*", "nvidia/*/include/*")),
    nvidia("cuda-nvcc", "12.8.93", 40_128_098, "2d6dc36fb7cb5ac9c0b8825bc13d193c35487a315664007287d0126531238011", "nvidia/*/include/*"),
)
CUDA_OTHERS = (
    nvidia("cuda-nvrtc", "12.8.93", 88_040_029, "a7756528852ef889772a84c6cd89d41dfa74667e24cca16bb31f8f061e3e9994"),
    nvidia("cudnn", "9.10.2.21", 706_758_467, "949452be657fa16687d0930933f032835951ef0892b37d2d53824d1a84dc97a8"),
    nvidia("cublas", "12.8.4.1", 594_346_921, "8ac4e771d5a348c551b2a426eda6193c19aa630236b418086020df5ba9667142"),
    nvidia("cufft", "11.3.3.83", 193_118_695, "4d2dd21ec0b88cf61b62e6b43564355e5222e4a3fb394cac0db101f2dd0d4f74"),
    nvidia("curand", "10.3.9.90", 63_619_976, "b32331d4f4df5d6eefa0554c565b626c7216f87a06a4f56fab27c3b68a830ec9"),
    nvidia("cusolver", "11.7.3.90", 267_506_905, "4376c11ad263152bd50ea295c05370360776f8c3427b30991df774f9fb26c450"),
    nvidia("cusparse", "12.5.8.93", 288_216_466, "1ec05d76bbbd8b61b06a80e1eaf8cf4959c3d4ce8e711b65ebd0443bb0ebb13b"),
    nvidia("cusparselt", "0.7.1", 287_193_691, "f1bb701d6b930d5a7cea44c19ceb973311500847f81b634d802b7b539dc55623"),
    nvidia("nccl", "2.27.5", 322_348_229, "ad730cf15cb5d25fe849c6e6ca9eb5b76db16a80f13f425ac68d8e2e55624457"),
    nvidia("nvshmem", "3.3.20", 124_657_145, "d00f26d3f9b2e3c3065be895e3059d6479ea5c638a3f38c9fec49b1b9dd7c1e5"),
    nvidia("nvtx", "12.8.90", 89_954, "5b17e2001cc0d751a5bc2c6ec6d26ad95913324a4adb86788c944f8ce9ba441f"),
    nvidia("nvjitlink", "12.8.93", 39_254_836, "81ff63371a7ebd6e6451970684f916be2eab07321b73c9d244dc2b4da7f73b88"),
    nvidia("cufile", "1.13.1.3", 1_197_834, "1d069003be650e131b21c932ec3d8969c1715379251f8d23a1860554b1cb24fc"),
)

PLANS: Dict[Tuple[str, str], Plan] = {
    # libtorch_cpu.so of the x86-64 wheel is linked against two small CUDA libraries even on the CPU.
    ("x86_64", "cpu"): Plan(
        (
            TORCH_X86_64,
            CUDA_RUNTIME._replace(members=("nvidia/*/lib/libcudart.so.12",)),
            CUDA_CUPTI._replace(members=("nvidia/*/lib/libcupti.so.12",)),
        ),
        substitute_libtorch=True,
        unpacked_bytes=520_000_000,
    ),
    ("aarch64", "cpu"): Plan((TORCH_AARCH64,), substitute_libtorch=False, unpacked_bytes=380_000_000),
    ("x86_64", "cuda"): Plan(
        (TORCH_X86_64._replace(members=("torch/include/*", "torch/lib/*")), *CUDA_HEADERS, CUDA_CUPTI, *CUDA_OTHERS),
        substitute_libtorch=False,
        unpacked_bytes=6_500_000_000,
    ),
}


class SetupError(Exception):
    """The set-up cannot go on; the message says why and what to do, in one sentence."""


class CannotOpen(Exception):
    """An address could not be opened at all, so trying it again is of no use; pip may know how to."""


# ---------------------------------------------------------------------------------------------------
# From the command line down


def main() -> int:
    arguments = parse_arguments()
    own = os.environ.get("LIBTORCH")
    if own:
        return use_own_libtorch(Path(own))
    try:
        set_up(arguments.into, arguments.device, arguments.keep_wheels)
    except SetupError as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; the same command goes on where this one stopped", code=130)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=Path(".libtorch"), metavar="DIR", help="the folder to fill (default: .libtorch)")
    parser.add_argument(
        "--device",
        choices=["cpu", "cuda"],
        help="the CPU-only library, or the one for NVIDIA GPUs, which takes 11 GB of disk during set-up"
        " (default: the one already there, or else cpu)",
    )
    parser.add_argument("--keep-wheels", action="store_true", help="keep the downloaded wheels in DIR.downloads, where parity_env.py finds them")
    return parser.parse_args()


def use_own_libtorch(folder: Path) -> int:
    """Say that the user's own LibTorch is used, or that it is none."""
    if not (folder / "lib" / "libtorch_cpu.so").exists():
        return fail(f"LIBTORCH is set to {folder}, which has no lib/libtorch_cpu.so: correct it, or unset it to have LibTorch fetched")
    say(f"LibTorch is {folder}, as LIBTORCH says")
    return 0


def set_up(into: Path, device: Optional[str], keep_wheels: bool) -> None:
    """Make `into` hold LibTorch for `device`. Does nothing where the stamp says that it does already."""
    machine = platform.machine()
    device = device or str(read_stamp(into).get("device", "cpu"))
    plan = plan_for(machine, device)
    stamp = stamp_of(plan, machine, device)
    if read_stamp(into) == stamp:
        return
    with only_one_at_a_time(into):
        if read_stamp(into) == stamp:
            return
        check_machine(plan, into)
        began = time.monotonic()
        wheels = fetch(plan.wheels, machine, downloads_of(into))
        build(plan, wheels, into, stamp)
        if not keep_wheels:
            shutil.rmtree(downloads_of(into), ignore_errors=True)
        say(f"LibTorch {VERSION} for {device} is in {into} ({time.monotonic() - began:.0f} s)")


def plan_for(machine: str, device: str) -> Plan:
    """The plan for this machine, or a sentence on why there is none."""
    plan = PLANS.get((machine, device))
    if sys.platform == "linux" and plan:
        return plan
    what = f"{platform.system()} on {machine}" + (" with CUDA" if device == "cuda" else "")
    raise SetupError(f"there is no LibTorch {VERSION} to fetch for {what}: install one yourself and set LIBTORCH to its folder")


def stamp_of(plan: Plan, machine: str, device: str) -> Dict[str, object]:
    """What the stamp must say for this plan."""
    return {
        "version": VERSION,
        "device": device,
        "machine": machine,
        "sha256": {wheel.requirement: wheel.sha256 for wheel in plan.wheels},
    }


def read_stamp(into: Path) -> Dict[str, object]:
    """What the stamp says, or nothing where there is none that can be read."""
    try:
        stamp = json.loads((into / STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def downloads_of(into: Path) -> Path:
    return into.with_name(into.name + ".downloads")


class only_one_at_a_time:
    """A lock on the folder around `into`; a second set-up waits and then finds the work done."""

    def __init__(self, into: Path) -> None:
        self.folder = into.absolute().parent

    def __enter__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.handle = os.open(self.folder, os.O_RDONLY)
        except OSError as error:
            raise SetupError(f"cannot use the folder {self.folder}: {error.strerror}") from error
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is running here; waiting for it")
            fcntl.flock(self.handle, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


# ---------------------------------------------------------------------------------------------------
# Checks, before anything is downloaded


def check_machine(plan: Plan, into: Path) -> None:
    """Refuse at once what would fail only after a long download."""
    check_glibc()
    check_pip()
    check_compilers()
    check_not_someone_elses(into)
    check_disk(plan, into)


def check_glibc() -> None:
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < OLDEST_GLIBC:
        oldest = ".".join(map(str, OLDEST_GLIBC))
        raise SetupError(f"LibTorch {VERSION} needs glibc {oldest} or newer, and this system has {name} {version}".rstrip())


def check_pip() -> None:
    if run([sys.executable, "-m", "pip", "--version"]).returncode != 0:
        raise SetupError(f"pip is missing for {sys.executable}: install it with `{PIP_PACKAGE}`")


def check_compilers() -> None:
    """The C compiler links the substitute library; torch-sys needs the C++ compiler later."""
    for language, variable, default in (("C", "CC", "gcc"), ("C++", "CXX", "g++")):
        command = os.environ.get(variable) or default
        if not shutil.which(command.split()[0]):
            raise SetupError(f"the {language} compiler `{command}` is missing: install one with `{COMPILER_PACKAGE}`")


def check_not_someone_elses(into: Path) -> None:
    """Only a folder that carries the stamp of this script may be replaced."""
    if into.exists() and not read_stamp(into) and any(into.iterdir()):
        raise SetupError(f"{into} was not made by this script: remove it, or set LIBTORCH to it to use it as it is")


def check_disk(plan: Plan, into: Path) -> None:
    there = sum(file.stat().st_size for file in downloads_of(into).glob("*"))
    needed = plan.unpacked_bytes + max(0, sum(wheel.size for wheel in plan.wheels) - there)
    free = shutil.disk_usage(into.absolute().parent).free
    if free < needed:
        raise SetupError(f"the set-up needs {gigabytes(needed)} of disk and {into.absolute().parent} has {gigabytes(free)} free: make room there")


# ---------------------------------------------------------------------------------------------------
# Wheels: where they are, and how they come here


def fetch(wheels: Tuple[Wheel, ...], machine: str, downloads: Path, python: str = PYTHON_OF_WHEEL) -> List[Path]:
    """The files of these wheels, each compared with its SHA-256; downloaded where they are not here yet."""
    downloads.mkdir(parents=True, exist_ok=True)
    addresses = ask_pip(wheels, machine, python)
    return [fetch_one(wheel, machine, python, addresses.get(wheel.sha256), downloads) for wheel in wheels]


def ask_pip(wheels: Tuple[Wheel, ...], machine: str, python: str) -> Dict[str, str]:
    """The addresses that pip would install these wheels from, by SHA-256. Empty where pip cannot tell."""
    say("asking pip where the wheels are")
    names = [wheel.requirement for wheel in wheels]
    # `--target` names a folder that is never made: pip wants one when it is asked for another Python's wheels.
    asked = pip("install", "--dry-run", "--ignore-installed", "--report", "-", "--quiet", "--target", "unused", *wheel_choice(machine, python), *names)
    if asked.returncode != 0:
        if "no such option" in asked.stderr:
            return {}
        raise SetupError(f"pip does not find {', '.join(names)}:\n{asked.stderr.strip()}")
    try:
        infos = [item["download_info"] for item in json.loads(asked.stdout)["install"]]
        return {sha256_in_report(info): info["url"] for info in infos}
    except (ValueError, KeyError, TypeError):
        return {}


def sha256_in_report(info: Dict) -> str:
    """The SHA-256 that pip's report gives for a file; older versions of pip have the singular key only."""
    archive = info["archive_info"]
    return archive.get("hashes", {}).get("sha256") or archive["hash"].split("=", 1)[1]


def wheel_choice(machine: str, python: str) -> List[str]:
    """pip's options for the wheels of this machine and that Python, without what they depend on."""
    platforms = [option for tag in MANYLINUX for option in ("--platform", f"{tag}_{machine}")]
    return ["--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", python, *platforms]


def fetch_one(wheel: Wheel, machine: str, python: str, address: Optional[str], downloads: Path) -> Path:
    kept = downloads / f"{wheel.sha256}.whl"
    if not kept.exists():
        file = download_by_address(wheel, address, downloads) if address else None
        file = file or download_by_pip(wheel, machine, python, downloads)
        if file.parent != downloads:
            # It lies in the user's own store of wheels: used from there, never moved or deleted.
            check_hash(file, wheel, delete=False)
            return file
        check_hash(file, wheel, delete=True)
        file.rename(kept)
    return kept


def download_by_address(wheel: Wheel, address: str, downloads: Path) -> Optional[Path]:
    """The file behind `address`, or nothing where it cannot be opened from here."""
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(url2pathname(parts.path))
    part = downloads / f"{wheel.sha256}.part"
    try:
        download(address, part, wheel)
    except CannotOpen as error:
        say(f"{wheel.requirement} cannot be downloaded directly ({error})")
        return None
    return part


def download_by_pip(wheel: Wheel, machine: str, python: str, downloads: Path) -> Path:
    """The file as `pip download` brings it: slower to repeat, but it knows every kind of mirror and log-in."""
    say(f"leaving the download of {wheel.requirement} to pip, which cannot resume it if it is interrupted")
    folder = downloads / "pip"
    shutil.rmtree(folder, ignore_errors=True)
    done = pip("download", "--no-cache-dir", "--dest", str(folder), *wheel_choice(machine, python), wheel.requirement, show=True)
    files = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(files) != 1:
        raise SetupError(f"pip could not download {wheel.requirement}; its message is above")
    return files[0].rename(downloads / f"{wheel.sha256}.part")


def download(address: str, part: Path, wheel: Wheel) -> None:
    """Bring `address` into `part`, going on where an earlier download stopped. Dropped connections are retried."""
    progress = Progress(wheel)
    failures = 0
    while size_of(part) < wheel.size:
        before = size_of(part)
        try:
            continue_download(address, part, progress)
            reason = "the connection closed early"
        except ConnectionError as error:
            reason = str(error)
        if size_of(part) >= wheel.size:
            break
        failures = 0 if size_of(part) > before else failures + 1
        if failures == ATTEMPTS:
            raise SetupError(f"the download of {wheel.requirement} stopped ({reason}): run the same command again to go on where it stopped")
        pause = 2**failures
        progress.end_line()
        say(f"the download was interrupted ({reason}); trying again in {pause} s")
        time.sleep(pause)
    progress.finish(size_of(part))


def continue_download(address: str, part: Path, progress: "Progress") -> None:
    """One connection: ask for what `part` still lacks and append it."""
    import http.client
    import urllib.error
    import urllib.request

    start = size_of(part)
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=certificates()) as answer:
            resumed = answer.status == 206
            if resumed:
                progress.resume(start)
            with open(part, "ab" if resumed else "wb") as file:
                while True:
                    block = answer.read(CHUNK)
                    if not block:
                        return
                    file.write(block)
                    progress.show(file.tell())
    except urllib.error.HTTPError as error:
        if error.code == 416:
            part.unlink()
            raise SetupError(f"the file at {address} is shorter than the one this project was tested with; what was downloaded is deleted") from error
        if error.code >= 500 or error.code == 429:
            raise ConnectionError(f"the server says {error.code}") from error
        raise CannotOpen(f"the server says {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if start:
            raise ConnectionError(str(error.reason)) from error
        raise CannotOpen(str(error.reason)) from error
    except http.client.HTTPException as error:
        raise ConnectionError(type(error).__name__) from error
    except (ConnectionError, TimeoutError) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno is None or is_network(error):
            raise ConnectionError(str(error)) from error
        raise SetupError(f"cannot write {part}: {error.strerror}") from error


def is_network(error: OSError) -> bool:
    """Whether this error comes from the connection; the others come from the disk."""
    import socket
    import ssl

    return isinstance(error, (socket.timeout, ssl.SSLError))


def certificates():
    """The certificates to trust: those that pip or requests were told of, or else the system's."""
    import ssl

    names = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")
    bundle = next((os.environ[name] for name in names if os.environ.get(name)), None)
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise SetupError(f"cannot read the certificates in {bundle}: {error}") from error


def check_hash(file: Path, wheel: Wheel, delete: bool) -> None:
    """Refuse a file that is not the one this project was tested with."""
    found = sha256(file)
    if found == wheel.sha256:
        return
    if delete:
        file.unlink()
    what_now = "it was deleted; run the same command again to download it afresh" if delete else "remove it from your own store of wheels"
    raise SetupError(f"{wheel.requirement} has the wrong SHA-256 ({found} instead of {wheel.sha256}): {what_now}")


def sha256(file: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with open(file, "rb") as opened:
        for block in iter(lambda: opened.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def size_of(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


class Progress:
    """The progress of one download: a line that renews itself on a terminal, a line now and then elsewhere."""

    def __init__(self, wheel: Wheel) -> None:
        self.wheel = wheel
        self.terminal = sys.stderr.isatty()
        self.began = self.shown = time.monotonic()
        self.resumed_at = 0
        if wheel.size > 10 * CHUNK:
            say(f"downloading {wheel.requirement}, {megabytes(wheel.size)}")

    def resume(self, at: int) -> None:
        say(f"going on at {megabytes(at)}")
        self.began, self.resumed_at = time.monotonic(), at

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now - self.shown < (0.2 if self.terminal else 5):
            return
        self.shown = now
        text = self.text(done, now - self.began)
        if self.terminal:
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
        else:
            say(text)

    def text(self, done: int, seconds: float) -> str:
        """Such as ` 34 %  306 of 900 MB  41.2 MB/s  14 s left`."""
        speed = max(done - self.resumed_at, 1) / max(seconds, 1e-3)
        left = max(self.wheel.size - done, 0) / speed
        percent = 100 * done // self.wheel.size
        return f"{percent:3} %  {done / 1e6:.0f} of {megabytes(self.wheel.size)}  {speed / 1e6:.1f} MB/s  {duration(left)} left"

    def end_line(self) -> None:
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def finish(self, done: int) -> None:
        self.end_line()
        seconds = max(time.monotonic() - self.began, 1e-3)
        if self.wheel.size > 10 * CHUNK:
            say(f"downloaded in {duration(seconds)}, {(done - self.resumed_at) / 1e6 / seconds:.1f} MB/s")


# ---------------------------------------------------------------------------------------------------
# The folder


def build(plan: Plan, wheels: List[Path], into: Path, stamp: Dict[str, object]) -> None:
    """Put the folder together beside its place, try it, and move it there in one step."""
    partial = into.with_name(into.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    say("unpacking")
    try:
        for wheel, file in zip(plan.wheels, wheels):
            unpack(file, wheel.members, partial)
        for name in ("lib", "include"):
            (partial / name).symlink_to(f"torch/{name}")
        if plan.substitute_libtorch:
            link_substitute(partial / "torch" / "lib")
        try_loading(partial / "lib")
        (partial / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
        replace(into, partial)
    except OSError as error:
        raise SetupError(f"cannot build {into}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def unpack(file: Path, patterns: Tuple[str, ...], folder: Path) -> None:
    """The members of this wheel that match one of the patterns."""
    import zipfile

    with zipfile.ZipFile(file) as archive:
        for pattern in patterns:
            names = [name for name in archive.namelist() if fnmatch(name, pattern)]
            if not names:
                raise SetupError(f"the wheel {file.name} has no {pattern}")
            archive.extractall(folder, names)


def link_substitute(lib: Path) -> None:
    """A libtorch.so that pulls in the CPU library alone; programs link against it by this name."""
    compiler = (os.environ.get("CC") or "gcc").split()
    flags = ["-shared", "-Wl,--no-as-needed", "-Wl,-soname,libtorch.so", "-Wl,-rpath,$ORIGIN"]
    command = [*compiler, "-o", str(lib / "libtorch.so"), *flags, f"-L{lib}", "-ltorch_cpu", "-lc10"]
    done = run(command)
    if done.returncode != 0:
        raise SetupError(f"the C compiler could not link libtorch.so:\n{done.stderr.strip()}")


def try_loading(lib: Path) -> None:
    """Load the library once, in a process of its own: what is missing shows here and not in a later build."""
    script = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    done = run([sys.executable, "-c", script, str((lib / "libtorch.so").absolute())])
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(f"LibTorch does not load on this system: {reason}")


def replace(into: Path, partial: Path) -> None:
    """Put `partial` where `into` is."""
    old = into.with_name(into.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if into.exists():
        into.rename(old)
    partial.rename(into)
    shutil.rmtree(old, ignore_errors=True)


# ---------------------------------------------------------------------------------------------------
# Small things


def pip(command: str, *arguments: str, show: bool = False) -> subprocess.CompletedProcess:
    """Run the user's pip. Settings of theirs that contradict what is asked here are switched off."""
    environment = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return run([sys.executable, "-m", "pip", command, *arguments], show=show, env=environment)


def run(command: List[str], show: bool = False, env: Optional[Dict[str, str]] = None) -> subprocess.CompletedProcess:
    """Run a command; its output is captured, or shown on stderr."""
    if show:
        return subprocess.run(command, stdout=sys.stderr, env=env, check=False)
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def duration(seconds: float) -> str:
    """Such as `48 s` or `3 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def say(text: str) -> None:
    print(f"{Path(sys.argv[0]).stem}: {text}", file=sys.stderr, flush=True)


def fail(text: str, code: int = 1) -> int:
    print(f"{Path(sys.argv[0]).stem}: error: {text}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
