#!/usr/bin/env bash
# zip 9.8.1 (Rust) loses the first entry of a valid archive if that entry's name has one certain length.
#
# Versions: zip 9.8.1 with default features off, rustc 1.95, Python 3.11 (which makes the archives and reads them right).
#
# An archive may have the ZIP64 records of its end, 56 and 20 bytes, whether they are needed or not; PyTorch's
# `torch.save` always writes them (seen with 2.9.1). Where something stands in front of an archive, readers find the
# offset by comparing where the list of entries should end with where the end record is. The crate takes the 76 bytes of
# the ZIP64 records for such an offset, and believes it if a record of an entry stands there. That is so if the first
# entry's record has 76 bytes as well: 46 and a name of 30 characters, such as `torchvision-reference/data.pkl`. Then the
# first entry is not in the list. A name of any other length is read right, and so is every one if the offset is said
# to be 0 (`ArchiveOffset::Known(0)`).
#
# Seen on 2026-11-27:
#   name of 29: 2 of 2 entries; told that the offset is 0: 2
#   name of 30: an error; told that the offset is 0: 2
#   name of 31: 2 of 2 entries; told that the offset is 0: 2
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > make.py <<'PYTHON'
import binascii, struct, zipfile

def archive(path, names):
    body, listed = b"", b""
    for name in names:
        data, name = b"content", name.encode()
        fields = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 33, binascii.crc32(data), len(data), len(data), len(name), 0)
        listed += b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHLL", 0, 0, 0, 0, len(body)) + name
        body += b"PK\3\4" + fields + name + data
    n, size, at = len(names), len(listed), len(body)
    end64 = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, n, n, size, at)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, at + size, 1)
    end = b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, n, n, size, at, 0)
    open(path, "wb").write(body + listed + end64 + locator + end)
    with zipfile.ZipFile(path) as it:
        assert it.testzip() is None and it.namelist() == names

for length in (29, 30, 31):
    archive(f"{length}.zip", ["x" * (length - 9) + "/data.pkl", "x" * (length - 9) + "/version"])
PYTHON
python3 make.py
mkdir -p src
cat > Cargo.toml <<'TOML'
[package]
name = "entries"
version = "0.0.0"
edition = "2024"
[dependencies]
zip = { version = "=9.8.1", default-features = false }
TOML
cat > src/main.rs <<'RUST'
use std::fs::File;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

fn main() {
    for length in [29, 30, 31] {
        let open = || File::open(format!("{length}.zip")).unwrap();
        let plain = ZipArchive::new(open()).map_or(-1, |it| it.len() as i64);
        let known = Config { archive_offset: ArchiveOffset::Known(0) };
        let known = ZipArchive::with_config(known, open()).map_or(-1, |it| it.len() as i64);
        println!("{length} {plain} {known}");
    }
}
RUST
CARGO_TARGET_DIR="$folder/target" cargo run --quiet > seen.txt
cat seen.txt
[ "$(cat seen.txt | grep -v '^30 ')" = "$(printf '29 2 2\n31 2 2')" ]
read -r _ plain known < <(grep '^30 ' seen.txt)
[ "$plain" != 2 ] && [ "$known" = 2 ]
