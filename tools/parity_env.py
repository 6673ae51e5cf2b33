#!/usr/bin/env python3
"""Make a Python environment in which Ferrite is compared with PyTorch: `.venv`, or with `--newest` `.venv-newest`.

The first has the PyTorch whose LibTorch Ferrite trains on, so that a difference is Ferrite's. The second has the newest one, which
is what a user would install today, and less besides it: it is there to be timed.

On x86-64 a plain `pip install torch` brings several gigabytes of CUDA. The comparisons run on the CPU, so
this script unpacks PyTorch's wheel without its CUDA libraries and links one small library in their place:
it has every name that the rest of PyTorch expects from CUDA, and ends the process with a message if
one of them is ever called. Elsewhere the wheel has no CUDA and pip installs it as it is.

A second call that finds the right stamp returns at once.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

import libtorch
from libtorch import SetupError, Wheel

STAMP = "ferrite-parity.json"
# What PyTorch needs besides.
BELOW_TORCH = "safetensors==0.8.0 numpy pillow scikit-learn pyyaml setuptools filelock typing-extensions sympy networkx jinja2 fsspec".split()


class Release(NamedTuple):
    """A version of PyTorch, and what an environment has beside it."""

    version: str
    # Its x86-64 wheel for each Python: what it must hash to, and its size.
    wheels: Dict[str, Tuple[str, int]]
    # The small CUDA libraries that libtorch_cpu.so needs.
    small: Tuple[Wheel, ...]
    # These name torch as a dependency, and pip would fetch CUDA with it; so they are installed by themselves.
    on_torch: List[str]
    # The others may bring what they like.
    others: List[str]


SAME = Release(
    libtorch.VERSION,
    {
        "3.10": ("9fd35c68b3679378c11f5eb73220fdcb4e6f4592295277fbb657d31fd053237c", 899_794_036),
        "3.11": (libtorch.TORCH_X86_64.sha256, libtorch.TORCH_X86_64.size),
        "3.12": ("27331cd902fb4322252657f3902adf1c4f6acad9dcad81d8df3ae14c7c4f07c4", 899_742_281),
        "3.13": ("524de44cd13931208ba2c4bde9ec7741fd4ae6bfd06409a604fc32f6520c2bc9", 899_749_493),
        "3.14": ("c432d04376f6d9767a9852ea0def7b47a7bbc8e7af3b16ac9cf9ce02b12851c9", 899_747_132),
    },
    libtorch.PLANS["x86_64", "cpu"].wheels[1:],
    ["torchvision==0.24.1", "timm==1.0.31"],
    ["keras==3.15.1", "opencv-python-headless==4.13.0.92", "duckdb", "pandas", "pyarrow", *BELOW_TORCH],
)
NEWEST = Release(
    "2.15.0",
    {
        "3.11": ("48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e", 539_136_850),
        "3.12": ("6d8c86f4e33a9f12a58149bd9b0d64351632b8eb44479be8ff85e5389932dd79", 539_172_785),
        "3.13": ("241fea2bac4ed8351307cd13eca5020fbe231f990891be299cf683897caebfbc", 539_167_086),
        "3.14": ("1412c79b0338ea61fa31e74a59d74e412c56307e226d3c6e61ccd6d4613ffc3f", 539_172_352),
    },
    (
        Wheel("nvidia-cuda-runtime==13.2.75", "72bf454902da594e0b833cadeddc8b7100ce1c7cf7ed9023943931be1aa913b7", 2_321_965, ("nvidia/*/lib/libcudart.so.13",)),
        Wheel("nvidia-cuda-cupti==13.2.75", "f75aca6bef89c625a4076a820302bb06764daa1d21595286f6bee5e237d3a187", 11_986_992, ("nvidia/*/lib/libcupti.so.13",)),
    ),
    ["torchvision==0.29.2", "timm==1.0.31"],
    BELOW_TORCH,
)

LEFT_OUT = ("torch/lib/libtorch_cuda*.so", "torch/lib/libtorch_nvshmem.so", "torch/lib/libcaffe2_nvrtc.so", "torch/bin/protoc*", "torch/test/*")
# The libraries that the substitute stands for, under the names by which they are looked up.
SUBSTITUTED = ("libtorch_cuda.so", "libcudnn.so.9", "libcusparseLt.so.0", "libcufile.so.0")

SUBSTITUTE_SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
void ferrite_no_cuda(void) {
    fputs("this PyTorch was set up without CUDA\n", stderr);
    abort();
}
void *ferrite_storage[64];
void *ferrite_address(void) { return ferrite_storage; }
"""
# Where the options of a process group are missing: PyTorch 2.15 makes some whenever it is loaded, and looks at their class.
OPTIONS = "_ZTIN4c10d16ProcessGroupNCCL7OptionsE"
OPTIONS_CONSTRUCTOR = "_ZN4c10d16ProcessGroupNCCL7OptionsC1Eb"
OPTIONS_SOURCE = f"""
extern char {OPTIONS}[];
static void *ferrite_table[34] = {{ [1] = {OPTIONS}, [2 ... 33] = ferrite_address }};
void ferrite_options(void **made) {{ made[0] = ferrite_table + 2; }}
"""
# What PyTorch calls whenever it is loaded: it stores a function pointer behind the first one's result.
CALLED_AT_LOADING = {"_ZN4c10d15get_gil_checkerEv": "ferrite_address", OPTIONS_CONSTRUCTOR: "ferrite_options"}


def main() -> int:
    arguments = parse_arguments()
    try:
        if arguments.newest:
            set_up(NEWEST, arguments.into or Path(".venv-newest"), arguments.wheels)
        else:
            set_up(SAME, arguments.into or Path(".venv"), arguments.wheels)
    except SetupError as error:
        return libtorch.fail(str(error))
    except KeyboardInterrupt:
        return libtorch.fail("interrupted; the same command goes on where this one stopped", code=130)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--newest", action="store_true", help=f"PyTorch {NEWEST.version} instead of {SAME.version}")
    parser.add_argument("--into", type=Path, metavar="DIR", help="the environment's folder (default: .venv, or .venv-newest)")
    parser.add_argument(
        "--wheels",
        type=Path,
        default=Path(".libtorch.downloads"),
        metavar="DIR",
        help="where `libtorch.py --keep-wheels` left its wheels; others are downloaded to it. Removed at the end (default: .libtorch.downloads)",
    )
    return parser.parse_args()


def set_up(release: Release, into: Path, downloads: Path) -> None:
    """Make `into` an environment with PyTorch. Does nothing where the stamp says that it is one already."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stamp = {"python": python, "torch": release.version, "packages": release.on_torch + release.others}
    if read_stamp(into) == stamp:
        return
    if into.exists() and any(into.iterdir()) and not (into / "pyvenv.cfg").exists():
        raise SetupError(f"{into} is no Python environment: remove it, or name another folder with --into")
    shutil.rmtree(into, ignore_errors=True)
    make_environment(into)
    pip_install(into, *release.others)
    if platform.machine() == "x86_64":
        install_torch_without_cuda(release, into, python, downloads)
        pip_install(into, "--no-deps", *release.on_torch)
        substitute_cuda(site_packages(into))
        leave_kernels_of_cuda(site_packages(into))
    else:
        pip_install(into, f"torch=={release.version}", *release.on_torch)
    try_importing(into)
    (into / STAMP).write_text(json.dumps(stamp, indent=2) + "\n")
    shutil.rmtree(downloads, ignore_errors=True)
    libtorch.say(f"PyTorch {release.version} for the comparisons is in {into}")


def read_stamp(into: Path) -> Dict[str, object]:
    try:
        return json.loads((into / STAMP).read_text())
    except (OSError, ValueError):
        return {}


def make_environment(into: Path) -> None:
    done = libtorch.run([sys.executable, "-m", "venv", str(into)])
    if done.returncode != 0:
        raise SetupError("Python's venv is missing: install it with `sudo apt-get install python3-venv`")


def site_packages(into: Path) -> Path:
    return next((into / "lib").glob("python*/site-packages"))


def pip_install(into: Path, *arguments: str) -> None:
    libtorch.say("installing " + " ".join(name for name in arguments if not name.startswith("-")))
    command = [str(into / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    if libtorch.run(command, show=True).returncode != 0:
        raise SetupError("pip could not install what the comparisons need; its message is above")


def install_torch_without_cuda(release: Release, into: Path, python: str, downloads: Path) -> None:
    """Unpack PyTorch's wheel, CUDA left out, and the small CUDA libraries that libtorch_cpu.so needs."""
    if python not in release.wheels:
        raise SetupError(f"PyTorch {release.version} has no wheel for Python {python}: run with one of {', '.join(release.wheels)}")
    sha256, size = release.wheels[python]
    torch = Wheel(f"torch=={release.version}", sha256, size, ())
    files = libtorch.fetch((torch, *release.small), "x86_64", downloads, python)
    libtorch.say("unpacking")
    unpack_except(files[0], LEFT_OUT, site_packages(into))
    # Python's zipfile forgets which files are programs; this one is PyTorch's own helper for shared memory.
    (site_packages(into) / "torch" / "bin" / "torch_shm_manager").chmod(0o755)
    for wheel, file in zip(release.small, files[1:]):
        libtorch.unpack(file, wheel.members, site_packages(into))


def unpack_except(file: Path, patterns: Iterable[str], folder: Path) -> None:
    import zipfile

    with zipfile.ZipFile(file) as archive:
        wanted = [name for name in archive.namelist() if not any(fnmatch(name, pattern) for pattern in patterns)]
        archive.extractall(folder, wanted)


# ---------------------------------------------------------------------------------------------------
# The substitute for CUDA


def substitute_cuda(packages: Path) -> None:
    """Link the substitute under the name of each library it stands for."""
    lib = packages / "torch" / "lib"
    versioned, plain = missing_symbols(packages)
    for name in SUBSTITUTED:
        symbols = plain if name == SUBSTITUTED[0] else versioned.get(name, set())
        source = SUBSTITUTE_SOURCE + (OPTIONS_SOURCE if OPTIONS_CONSTRUCTOR in symbols else "")
        link(lib / name, source + definitions(symbols), version=name if name in versioned else None)


def leave_kernels_of_cuda(packages: Path) -> None:
    """Newer versions put kernels of their own in the place of some of CUDA's when they are loaded, and fail without CUDA's."""
    file, call = packages / "torch" / "_native" / "__init__.py", "    registry._register_all_overrides()\n"
    if file.exists():
        text = file.read_text()
        if call not in text:
            raise SetupError(f"{file} is another one than this script knows: it must be told how to load it without CUDA")
        file.write_text(text.replace(call, "    pass\n"))


def missing_symbols(packages: Path) -> Tuple[Dict[str, Set[str]], Set[str]]:
    """The symbols that no library at hand defines: by the library that must have them, and those that any may."""
    lib = packages / "torch" / "lib"
    users = [lib / "libtorch_python.so", lib / "libc10_cuda.so", *(packages / "torchvision").glob("_C*.so")]
    providers = [lib / name for name in ("libtorch_cpu.so", "libc10.so", "libc10_cuda.so", "libshm.so", "libtorch_python.so")]
    providers += (packages / "nvidia").glob("*/lib/*.so*")
    providers += [system_library(name) for name in ("libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6")]
    defined = {symbol.split("@")[0] for file in providers for symbol in dynamic_symbols(file, "--defined-only")}
    versioned: Dict[str, Set[str]] = {}
    plain: Set[str] = set()
    for symbol in {symbol for file in users for symbol in dynamic_symbols(file, "--undefined-only")}:
        name, _, version = symbol.partition("@")
        if name in defined or name.startswith(("Py", "_Py")):
            continue
        if not version:
            plain.add(name)
        elif version in SUBSTITUTED:
            versioned.setdefault(version, set()).add(name)
    return versioned, plain


def system_library(name: str) -> Path:
    """Where the compiler finds this library."""
    return Path(libtorch.run([*compiler(), f"-print-file-name={name}"]).stdout.strip())


def compiler() -> List[str]:
    return (os.environ.get("CC") or "gcc").split()


def dynamic_symbols(file: Path, which: str) -> List[str]:
    """The names in a library's dynamic symbol table, such as `cudnnGetVersion@libcudnn.so.9`.

    Weak symbols that are undefined are no demand: the code that uses them looks whether they are there.
    """
    done = libtorch.run(["nm", "--dynamic", which, str(file)])
    if done.returncode != 0:
        raise SetupError(f"nm cannot read {file}: {done.stderr.strip()}")
    kinds_and_names = (line.split()[-2:] for line in done.stdout.splitlines() if line.strip())
    return [name.replace("@@", "@") for kind, name in kinds_and_names if kind not in "wv"]


def definitions(symbols: Iterable[str]) -> str:
    """Assembly that defines these symbols: type descriptions truly, for PyTorch registers its classes by them
    when it is loaded, and functions as `ferrite_no_cuda`."""
    lines: List[str] = []
    for symbol in sorted(symbols):
        if symbol.startswith("_ZTI"):
            lines += type_description(symbol)
        elif symbol.startswith("_ZTV"):
            lines += [f".globl {symbol}", f".set {symbol}, ferrite_storage"]
        else:
            target = CALLED_AT_LOADING.get(symbol, "ferrite_no_cuda")
            lines += [f".globl {symbol}", f".type {symbol}, @function", f".set {symbol}, {target}"]
    return "".join(f"__asm__({json.dumps(line)});\n" for line in lines)


def type_description(symbol: str) -> List[str]:
    """The std::type_info of a class: what kind of class it is (one without bases), and its name."""
    return [
        ".pushsection .data.rel.ro",
        ".balign 8",
        f".globl {symbol}",
        f".type {symbol}, @object",
        f".size {symbol}, 16",
        f"{symbol}:",
        ".quad _ZTVN10__cxxabiv117__class_type_infoE+16",
        ".quad 1f",
        f'1: .asciz "{symbol[len("_ZTI"):]}"',
        ".popsection",
    ]


def link(output: Path, source: str, version: Optional[str]) -> None:
    """Make a shared library of this C source, its symbols all of one version where one is named."""
    script = output.with_name(output.name + ".map")
    flags = ["-shared", "-fPIC", "-O1", f"-Wl,-soname,{output.name}"]
    if version:
        script.write_text(f"{version} {{ global: *; }};\n")
        flags.append(f"-Wl,--version-script={script}")
    output.unlink(missing_ok=True)
    command = [*compiler(), *flags, "-o", str(output), "-x", "c", "-", "-lstdc++"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    script.unlink(missing_ok=True)
    if done.returncode != 0:
        raise SetupError(f"the C compiler could not link {output.name}:\n{done.stderr.strip()}")


TRIAL = """
import torch, torchvision, timm, numpy, safetensors.torch, sklearn
model = torchvision.models.mobilenet_v2(num_classes=7)
model(torch.randn(2, 3, 32, 32)).sum().backward()
boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
assert len(torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)) == 1
"""


def try_importing(into: Path) -> None:
    """Run a model once: what is missing shows here and not in a comparison."""
    done = libtorch.run([str(into / "bin" / "python"), "-c", TRIAL])
    if done.returncode != 0:
        raise SetupError(f"PyTorch does not run in {into}:\n{done.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
