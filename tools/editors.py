#!/usr/bin/env python3
"""Check experiments as editors do: with taplo, the checker inside Even Better TOML, and the project's JSON schema.

Every experiment of the project and whatever `ferrite new` writes must be accepted, and files with mistakes must not.
taplo is a package of its own, which is installed below target/ once.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import List, Tuple

TAPLO = "0.9.3"
ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "experiments/experiment.schema.json"
FERRITE = ROOT / "target/debug/ferrite"

# Files that must be refused, by what is wrong with them, and what taplo must name.
MISTAKES = [
    ("an unknown key", "abaut = 'x'", "abaut"),
    ("an unknown key in a table", "[data]\nimage_sise = 48", "image_sise"),
    ("an unknown choice", "[model]\nbackbone = 'vgg17'", "vgg17"),
    ("an unknown variant", "[[stages]]\noptimizer = { adamm = {} }", "adamm"),
    ("two variants", "[[stages]]\noptimizer = { adam = {}, sgd = {} }", "adam"),
    ("a setting of another variant", "[[stages]]\noptimizer = { adam = { momentum = 0.9 } }", "momentum"),
    ("a wrong type", "[augment]\nflip = 'yes'", "yes"),
    ("a negative count", "[[stages]]\nepochs = -1", "-1"),
    ("too many numbers", "[augment]\nbrightness = [0.8, 1.0, 1.2]", "brightness"),
]
# Files that say nothing wrong, though parents must say the rest.
FINE = [
    "",
    "extends = 'base'\n[data.source.folder]\npath = 'faces'",
    "[model]\nweights = { file = { path = 'mine.pth' } }\n[model.head]\nlayers = []",
    "[[stages]]\nname = 'a'\ntrainable = { last = 6 }\nschedule = 'constant'\noptimizer = { sgd = { lr = 1 } }",
    "[grid]\n'stages.a.optimizer.adam.lr' = [1e-2, 1e-3]\n'data.limit' = [100]",
]


def taplo() -> Path:
    """The program, installed if it is not there."""
    folder = ROOT / f"target/taplo-{TAPLO}"
    program = folder / "bin/taplo"
    if not program.exists():
        quiet = ["--quiet", "--disable-pip-version-check", "--target", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "install", *quiet, f"taplo=={TAPLO}"], check=True)
    return program


def lint(program: Path, files: List[Path], folder: Path, options: List[str]) -> Tuple[bool, str]:
    """Whether taplo accepts all files, and what it says."""
    command = [str(program), "lint", *options, *map(str, files)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode == 0, done.stdout


def complaints() -> List[str]:
    """What is not as it should be."""
    program, found = taplo(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_schema = ["--no-auto-config", "--schema", SCHEMA.as_uri()]
        experiments = sorted((ROOT / "experiments").rglob("*.toml"))
        for options in (by_schema, []):
            accepted, said = lint(program, experiments, ROOT, options)
            if not accepted:
                found.append(f"an experiment of the project is refused ({' '.join(options) or '.taplo.toml'}):\n{said}")
        for text in FINE:
            (folder / "fine.toml").write_text(text)
            accepted, said = lint(program, [folder / "fine.toml"], folder, by_schema)
            if not accepted:
                found.append(f"this is refused:\n{text}\n{said}")
        for what, text, names in MISTAKES:
            (folder / "wrong.toml").write_text(text)
            accepted, said = lint(program, [folder / "wrong.toml"], folder, by_schema)
            if accepted or names not in said:
                found.append(f"{what} is accepted, or not named:\n{text}\n{said}")
        for it in ("new", "sub/folder/new"):
            subprocess.run([str(FERRITE), "new", it], cwd=folder, check=True, stdout=subprocess.DEVNULL)
            path = folder / f"experiments/{it}.toml"
            accepted, said = lint(program, [path], folder, [])
            path.write_text(path.read_text().replace("about =", "abaut ="))
            noticed, _ = lint(program, [path], folder, [])
            if not accepted or noticed:
                found.append(f"the line at the top of a new experiment leads to no schema, or it is refused: {it}\n{said}")
    return found


if __name__ == "__main__":
    found = complaints()
    print("\n".join(found) or "experiments are accepted, mistakes are not")
    sys.exit(1 if found else 0)
