//! Weight files made by hand, piece by piece: what they hold is what their tests say.

mod choice;
mod formats;
mod keras;
mod mutation;
mod objects;
mod refusals;

use std::io::{Cursor, Write};
use std::path::PathBuf;

use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::model::weights::file::TensorFile;

/// A file of its own for each test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, bytes: &[u8]) -> Result<TensorFile, String> {
        self.open_part(bytes, None)
    }

    fn open_part(&self, bytes: &[u8], asked: Option<&str>) -> Result<TensorFile, String> {
        let path: PathBuf = self.0.path().join("w.pth");
        std::fs::write(&path, bytes).unwrap();
        let file = TensorFile::open_part(&path, asked);
        file.map_err(|it| it.to_string().replace(path.to_str().unwrap(), "w"))
    }
}

/// Pieces of pickles, as Python's protocol 2 writes them.
mod make {
    pub(super) fn text(it: &str) -> Vec<u8> {
        [b"X", &(it.len() as u32).to_le_bytes()[..], it.as_bytes()].concat()
    }

    pub(super) fn int(it: i64) -> Vec<u8> {
        [&[0x8a, 8], &it.to_le_bytes()[..]].concat()
    }

    pub(super) fn name(module: &str, name: &str) -> Vec<u8> {
        format!("c{module}\n{name}\n").into_bytes()
    }

    pub(super) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
        [b"(", &items.concat()[..], b"t"].concat()
    }

    pub(super) fn call(callee: Vec<u8>, arguments: &[Vec<u8>]) -> Vec<u8> {
        [callee, tuple(arguments), b"R".to_vec()].concat()
    }

    pub(super) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let items = items.iter().flat_map(|(key, value)| [text(key), value.clone()]);
        [b"}(", &items.collect::<Vec<_>>().concat()[..], b"u"].concat()
    }

    pub(super) fn sizes(items: &[i64]) -> Vec<u8> {
        tuple(&items.iter().map(|it| int(*it)).collect::<Vec<_>>())
    }

    pub(super) fn storage(kind: &str, key: &str, elements: i64) -> Vec<u8> {
        let parts = [text("storage"), name("torch", kind), text(key), text("cpu"), int(elements)];
        [tuple(&parts), b"Q".to_vec()].concat()
    }

    pub(super) fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
        let hooks = call(name("collections", "OrderedDict"), &[]);
        let flag = b"\x89".to_vec();
        let arguments = [storage, int(offset), sizes(shape), sizes(strides), flag, hooks];
        call(name("torch._utils", "_rebuild_tensor_v2"), &arguments)
    }

    pub(super) fn pickle(value: &[u8]) -> Vec<u8> {
        [b"\x80\x02", value, b"."].concat()
    }
}

use make::{dict, int, pickle, storage, tensor, text};

/// A file in the zip format, not compressed, as PyTorch writes it.
fn zipped(value: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    archived(value, storages, CompressionMethod::Stored)
}

fn archived(value: &[u8], storages: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    archived_as("archive", value, storages, method)
}

/// A zip archive whose entries lie in the folder `root`: PyTorch calls it after the file.
fn archived_as(
    root: &str,
    value: &[u8],
    storages: &[(&str, &[u8])],
    method: CompressionMethod,
) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(method);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("{root}/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", &pickle(value));
    add("byteorder", b"little");
    for (key, bytes) in storages {
        add(&format!("data/{key}"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

/// A file in the format before 1.6; each storage has its number of elements.
fn legacy(value: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let machine = dict(&[("protocol_version", int(1001)), ("little_endian", b"\x88".to_vec())]);
    let keys: Vec<_> = storages.iter().map(|(key, _, _)| text(key)).collect();
    let keys = [b"](", &keys.concat()[..], b"e"].concat();
    let parts = [magic.to_vec(), int(1001), machine, value.to_vec(), keys];
    let mut file = parts.map(|it| pickle(&it)).concat();
    for (_, elements, bytes) in storages {
        file.extend_from_slice(&elements.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|it| it.to_le_bytes()).collect()
}

/// What both formats hold in most tests: six numbers as `w`, read row by row and column by column.
fn six() -> (Vec<u8>, Vec<u8>) {
    let rows = tensor(storage("FloatStorage", "0", 6), 0, &[2, 3], &[3, 1]);
    let columns = tensor(storage("FloatStorage", "0", 6), 0, &[3, 2], &[1, 3]);
    let last = tensor(storage("FloatStorage", "0", 6), 5, &[], &[]);
    let value = dict(&[("rows", rows), ("columns", columns), ("last", last)]);
    (value, bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
}

/// A file in the zip format that holds `value`, where tensors are views on a storage of one number.
fn one_number(value: &[u8]) -> Vec<u8> {
    zipped(value, &[("0", &bytes(&[7.0]))])
}

/// One number as a tensor.
fn one() -> Vec<u8> {
    tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1])
}

/// As many tensors, called `<prefix>0`, `<prefix>1`, ….
fn many(prefix: &str, count: usize) -> Vec<u8> {
    let names: Vec<String> = (0..count).map(|it| format!("{prefix}{it}")).collect();
    dict(&names.iter().map(|it| (it.as_str(), one())).collect::<Vec<_>>())
}

/// Checks that a pickle is refused in both formats, and with which words.
#[track_caller]
fn check_refused(value: &[u8], says: &str) {
    let numbers = bytes(&[1.0, 2.0, 3.0, 4.0]);
    let files = [zipped(value, &[("0", &numbers)]), legacy(value, &[("0", 4, &numbers)])];
    for file in files {
        let error = Place::new().open(&file).unwrap_err();
        assert!(error.contains(says), "`{says}` is not in {error}");
    }
}
