#!/usr/bin/env python3
"""Test the crates of the workspace that need no LibTorch: those of which no dependency leads to torch-sys.

`cargo metadata` says which they are, so a crate that gains or loses LibTorch needs no change here.
"""

import json
import subprocess
import sys
from typing import Dict, List, Set

LIBTORCH = "torch-sys"


def crates_without_libtorch(metadata: Dict) -> List[str]:
    """The names of the workspace's crates from which no dependency, of tests included, leads to LibTorch."""
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    dependencies = {
        node["id"]: [it["pkg"] for it in node["deps"]] for node in metadata["resolve"]["nodes"]
    }
    return sorted(
        names[member]
        for member in metadata["workspace_members"]
        if all(names[it] != LIBTORCH for it in reached(member, dependencies))
    )


def reached(start: str, dependencies: Dict[str, List[str]]) -> Set[str]:
    """`start` and everything that it depends on."""
    found, waiting = {start}, [start]
    while waiting:
        new = [it for it in dependencies.get(waiting.pop(), []) if it not in found]
        found.update(new)
        waiting.extend(new)
    return found


def main() -> int:
    metadata = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked"], check=True, stdout=subprocess.PIPE
    )
    crates = crates_without_libtorch(json.loads(metadata.stdout))
    if not crates:
        print("every crate of the workspace needs LibTorch: there is nothing to test without it")
        return 0
    packages = [argument for it in crates for argument in ("--package", it)]
    return subprocess.run(["cargo", "test", "--locked", *packages, *sys.argv[1:]]).returncode


if __name__ == "__main__":
    sys.exit(main())
