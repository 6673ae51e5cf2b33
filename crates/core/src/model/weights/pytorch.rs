//! PyTorch's files, `.pth` and `.pt`: the zip format that `torch.save` writes since 1.6, and the one before.
//!
//! Both hold a pickle, which [`pickle`] reads as data, and the storages that it refers to.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;

use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;

use crate::error::printable;
use crate::event::weights::Taken;
use crate::model::weights::choice::{Chosen, choose};
use crate::model::weights::dtype::Dtype;
use crate::model::weights::file::{Bytes, Tensors};
use crate::model::weights::pickle::{self, Objects, Tensor, Value};
use crate::model::weights::recognize::{Refusal, recognize_archive, script};
use crate::model::weights::stored::{Home, Stored};

/// A zip archive in memory.
pub(super) type Archive = ZipArchive<Cursor<Bytes>>;

/// What the newer format begins with, as every zip archive does: one with entries, one without.
const ZIPS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// The number that the older format begins with, pickled.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// Into so many bytes it fits under every protocol.
const LONGEST_MAGIC: usize = 64;

/// The version of the older format; there is no other.
const PROTOCOL: i128 = 1001;

/// Scripts save what they wrote down of their training beside the tensors, arrays of NumPy included. A longer
/// pickle is not read.
const LONGEST_PICKLE: usize = 256 << 20;

/// PyTorch does not compress; what others compressed must not fill the memory.
const LARGEST_COMPRESSED: u64 = 1 << 30;

/// The tensors that were taken from a file, and what is to be told about that.
pub(super) struct Content {
    pub(super) tensors: Tensors,
    pub(super) taken: Taken,
    /// What a user asked for that is no state dict of the file; it may be what stands before names.
    pub(super) prefix: Option<String>,
}

pub(super) fn is_zip(bytes: &[u8]) -> bool {
    ZIPS.iter().any(|it| bytes.starts_with(it))
}

pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    let first = &bytes[..bytes.len().min(LONGEST_MAGIC)];
    bytes.starts_with(b"\x80") && pickle::read(first).is_ok_and(|it| it.0 == Value::Int(MAGIC))
}

/// The zip archive that `bytes` are.
///
/// # Errors
/// If it is damaged.
pub(super) fn archive(bytes: Bytes) -> Result<Archive, Refusal> {
    // Where it begins is known. A guess would go wrong: between the list of entries and its end PyTorch writes 76
    // bytes, and if the first entry takes as many in the list, the second is taken for the first.
    let begins = Config { archive_offset: ArchiveOffset::Known(0) };
    let archive = ZipArchive::with_config(begins, Cursor::new(bytes));
    Ok(archive.map_err(|it| broken(&it))?)
}

/// The tensors of a file in the zip format.
///
/// # Errors
/// What the file is or what is wrong with it.
pub(super) fn open_zip(archive: &mut Archive, asked: Option<&str>) -> Result<Content, Refusal> {
    let root = archive.file_names().find_map(|it| {
        let name = it.ok()?;
        let root = name.strip_suffix("/data.pkl")?;
        (!root.contains('/')).then(|| root.to_owned())
    });
    let Some(root) = root else { return Err(recognize_archive(archive)) };
    if archive.index_for_name(&format!("{root}/constants.pkl")).is_some() {
        return Err(script());
    }
    if archive.index_for_name(&format!("{root}/byteorder")).is_some() {
        let order = entry(archive, &format!("{root}/byteorder"), 16)?;
        if order != b"little" {
            return Err("it was written on a machine with another byte order".into());
        }
    }
    let text = entry(archive, &format!("{root}/data.pkl"), LONGEST_PICKLE)?;
    let (value, objects, _) = pickle::read(&text)?;
    let chosen = choose(value, &objects, asked)?;
    let mut sizes = HashMap::new();
    let mut place = |key: &str| {
        let home = format!("{root}/data/{key}");
        let size = match sizes.get(&home) {
            Some(size) => *size,
            None => *sizes.entry(home.clone()).or_insert(entry_size(archive, &home)?),
        };
        Ok::<_, String>((Home::Entry(home), size))
    };
    let read = read_tensors(chosen, &objects, &mut |name, tensor| {
        let storage = objects.storages[tensor.storage];
        let (home, size) = place(storage.key)?;
        let there = size / storage.dtype.map_or(1, |it| it.size().max(1));
        if there != storage.elements {
            return Err(format!(
                "the storage of `{name}` holds {there} numbers instead of {}",
                storage.elements
            ));
        }
        stored(name, tensor, home, (0, size))
    });
    Ok(read)
}

/// The tensors of the state dict that was chosen; `place` finds each.
fn read_tensors(
    chosen: Chosen<'_, '_>,
    objects: &Objects<'_>,
    place: &mut dyn FnMut(&str, &Tensor) -> Result<Stored, String>,
) -> Content {
    let Chosen { items, mut taken, prefix } = chosen;
    let mut tensors = Tensors::new();
    for (name, value) in items {
        let Value::Text(name) = name else { continue };
        let name = printable(name).into_owned();
        let tensor = match value {
            Value::Tensor(index) => place(&name, &objects.tensors[*index]),
            value => match objects.maker(*value) {
                Some(maker) => Err(format!(
                    "`{name}` is made by `{maker}`, which is not carried out; only plain tensors are read"
                )),
                None => continue,
            },
        };
        tensors.insert(name, tensor);
    }
    taken.ignored = objects.ignored();
    Content { tensors, taken, prefix }
}

/// The bytes of an entry of a zip archive, of which there are at most `most`; checked by their sum.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(super) fn entry(archive: &mut Archive, name: &str, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let entry = archive.by_name(name).map_err(|it| broken(&it))?;
    let name = printable(name);
    let read = entry.take(most as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|it| format!("`{name}` in it is damaged ({it})"))?;
    if bytes.len() > most {
        return Err(format!("`{name}` in it is larger than it says, or than it may be"));
    }
    Ok(bytes)
}

/// How many bytes an entry of a zip archive says to have.
///
/// # Errors
/// If it is not there, or cannot be so large.
pub(super) fn entry_size(archive: &mut Archive, name: &str) -> Result<usize, String> {
    let entry = archive.by_name(name).map_err(|it| match it {
        ZipError::FileNotFound => format!("`{}` is not in it", printable(name)),
        it => broken(&it),
    })?;
    let name = printable(name);
    let (packed, size) = (entry.compressed_size(), entry.size());
    if packed != size && size > LARGEST_COMPRESSED {
        return Err(format!("`{name}` in it is compressed and too large"));
    }
    usize::try_from(size).map_err(|_| format!("`{name}` in it is too large"))
}

fn broken(error: &ZipError) -> String {
    format!("it is no complete file of PyTorch's or Keras's ({error})")
}

/// The tensors of a file in the older format: four pickles, then every storage behind its length.
///
/// # Errors
/// What is wrong with the file, as the end of a sentence.
pub(super) fn open_legacy(bytes: &[u8], asked: Option<&str>) -> Result<Content, Refusal> {
    let mut at = 0;
    let mut next = || {
        let end = bytes.len().min(at + LONGEST_PICKLE);
        let (value, objects, taken) = pickle::read(&bytes[at..end])?;
        at += taken;
        Ok::<_, String>((value, objects))
    };
    next()?;
    if next()?.0 != Value::Int(PROTOCOL) {
        return Err("it has a version that PyTorch never had".into());
    }
    let (machine, facts) = next()?;
    if fact(machine, &facts, "little_endian") != Some(Value::Bool(true)) {
        return Err("it was written on a machine with another byte order".into());
    }
    let (value, objects) = next()?;
    let (keys, lists) = next()?;
    let Value::List(keys) = keys else { return Err("it does not list its storages".into()) };
    let chosen = choose(value, &objects, asked)?;
    let homes = storages(bytes, at, &objects, &lists.lists[keys])?;
    Ok(read_tensors(chosen, &objects, &mut |name, tensor| {
        let storage = objects.storages[tensor.storage];
        let home = homes.get(storage.key);
        let home = home.ok_or_else(|| format!("the storage of `{name}` is not in it"))?;
        stored(name, tensor, Home::Bytes(home.clone()), (storage.start, home.len()))
    }))
}

/// Where in `bytes` each storage lies, from `at` on.
fn storages<'a>(
    bytes: &[u8],
    mut at: usize,
    objects: &Objects<'a>,
    keys: &[Value<'a>],
) -> Result<HashMap<&'a str, Range<usize>>, String> {
    let widths = objects.storages.iter().map(|it| (it.key, it.dtype.map_or(1, Dtype::size)));
    let widths: HashMap<&str, usize> = widths.collect();
    let mut homes = HashMap::new();
    for key in keys {
        let Value::Text(key) = key else { return Err("a storage has no name".into()) };
        let (key, width) = widths
            .get_key_value(key)
            .ok_or("it lists a storage that none of its tensors refers to")?;
        let cut = || format!("it is cut off: of {} storages it holds {}", keys.len(), homes.len());
        let count = bytes.get(at..at + 8).and_then(|it| it.first_chunk()).ok_or_else(cut)?;
        let length = usize::try_from(u64::from_le_bytes(*count)).ok();
        let length = length.and_then(|it| it.checked_mul(*width));
        let end = length.and_then(|it| it.checked_add(at + 8)).filter(|it| *it <= bytes.len());
        let end = end.ok_or_else(cut)?;
        homes.insert(*key, at + 8..end);
        at = end;
    }
    Ok(homes)
}

fn fact<'a>(dict: Value<'a>, objects: &Objects<'a>, key: &str) -> Option<Value<'a>> {
    let found = objects.items(dict)?.iter().find(|(it, _)| *it == Value::Text(key));
    found.map(|(_, value)| *value)
}

/// A tensor in its home, of which `size` bytes are there, the first `start` elements not its own.
fn stored(
    name: &str,
    tensor: &Tensor,
    home: Home,
    (start, size): (usize, usize),
) -> Result<Stored, String> {
    let wrong = || {
        format!(
            "`{name}` with shape {:?}, strides {:?} and offset {} does not lie within its storage",
            tensor.shape, tensor.strides, tensor.offset
        )
    };
    let elements = tensor.shape.iter().try_fold(1_usize, |all, it| all.checked_mul(*it));
    let elements = elements.ok_or_else(wrong)?;
    let offset = start.checked_add(tensor.offset).ok_or_else(wrong)?;
    let steps = tensor.shape.iter().zip(&tensor.strides);
    let last = steps.clone().try_fold(offset, |last, (size, stride)| {
        last.checked_add(size.saturating_sub(1).checked_mul(*stride)?)
    });
    let there = size / tensor.dtype.size().max(1);
    // An expanded tensor repeats its elements without having them; saving a network never makes one.
    let fits = elements == 0 || elements <= there && last.is_some_and(|it| it < there);
    if !fits {
        return Err(wrong());
    }
    let (shape, strides) = (tensor.shape.clone(), tensor.strides.clone());
    let offset = if elements == 0 { 0 } else { offset };
    Ok(Stored { dtype: tensor.dtype, shape, strides, offset, home })
}
