//! A weight file that is open: its tensors by name, read one by one from the mapped file.
//!
//! What a file is, is told by its content, never by its name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::SafeTensors;

use crate::error::{Error, Result};
use crate::mapped;
use crate::model::weights::dtype::Dtype;
use crate::model::weights::pytorch::{self, Archive};

/// What wraps a network and then stands before every name.
const PREFIXES: [&str; 3] = ["module.", "model.", "_orig_mod."];

/// Tensors by name.
pub(super) type Tensors = BTreeMap<String, Stored>;

/// What a header says besides tensors.
type Facts = BTreeMap<String, String>;

/// The formats that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// What `torch.save` writes since PyTorch 1.6.
    PytorchZip,
    /// What it wrote before.
    PytorchLegacy,
}

impl Format {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PytorchZip => "PyTorch (zip)",
            Self::PytorchLegacy => "PyTorch (before 1.6)",
        }
    }
}

/// An open weight file.
#[derive(Debug)]
pub struct TensorFile {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub format: Format,
    /// What its header says besides tensors; PyTorch's files have none.
    pub facts: Facts,
    tensors: Tensors,
    bytes: Bytes,
    archive: Option<Archive>,
    /// The entry of the archive that was read last: tensors may share one.
    last: RefCell<(String, Rc<Vec<u8>>)>,
}

/// The mapped content of a file.
#[derive(Debug, Clone)]
pub(super) struct Bytes(Arc<Mmap>);

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A tensor of a file, known to lie within it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Elements from one position to the next, in each dimension.
    pub(super) strides: Vec<usize>,
    /// Its first element.
    pub(super) offset: usize,
    pub(super) home: Home,
}

/// Where a storage lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In these bytes of the file.
    Bytes(Range<usize>),
    /// In this entry of the archive.
    Entry(String),
}

/// A tensor as a file lists it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listed<'a> {
    /// Its name, without what wraps the whole network.
    pub name: &'a str,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
}

impl TensorFile {
    /// Opens the file at `path`: safetensors, or one of PyTorch's two formats.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read; [`Error::Weights`] if it is none of these, is cut off or
    /// damaged, or asks for anything but tensors.
    pub fn open(path: &Path) -> Result<Self> {
        let map = mapped::map(path).map_err(Error::file("cannot read", path))?;
        let bytes = Bytes(Arc::new(map));
        let wrong = |message| refused(path, message);
        let mut archive = None;
        let mut facts = BTreeMap::new();
        let (format, tensors) = if pytorch::is_zip(bytes.as_ref()) {
            let (tensors, opened) = pytorch::open_zip(bytes.clone()).map_err(wrong)?;
            archive = Some(opened);
            (Format::PytorchZip, tensors)
        } else if pytorch::is_legacy(bytes.as_ref()) {
            let tensors = pytorch::open_legacy(bytes.as_ref()).map_err(wrong)?;
            (Format::PytorchLegacy, tensors)
        } else {
            let (tensors, said) = open_safetensors(bytes.as_ref()).map_err(wrong)?;
            facts = said;
            (Format::Safetensors, tensors)
        };
        let (path, last) = (path.to_owned(), RefCell::default());
        Ok(Self { path, format, facts, tensors: unwrapped(tensors), bytes, archive, last })
    }

    /// Its tensors, by name.
    pub fn tensors(&self) -> impl Iterator<Item = Listed<'_>> {
        let tensors = self.tensors.iter();
        tensors.map(|(name, it)| Listed { name, dtype: it.dtype, shape: &it.shape })
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|it| it.shape.as_slice())
    }

    /// The values of the tensor `name` in row-major order, which must be finite floats.
    ///
    /// # Errors
    /// [`Error::Weights`] if it is not there, holds no floats, or its storage is damaged.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let wrong = |message| refused(&self.path, message);
        let tensor =
            self.tensors.get(name).ok_or_else(|| wrong(format!("`{name}` is not in it")))?;
        let storage = match &tensor.home {
            Home::Bytes(range) => &self.bytes.as_ref()[range.clone()],
            Home::Entry(entry) => {
                &self.entry(entry).map_err(|it| wrong(format!("of `{name}`, {it}")))?
            }
        };
        let width = tensor.dtype.size();
        let dense = contiguous(tensor);
        let dense = dense.and_then(|it| storage.get(it.start * width..it.end * width));
        let bytes = dense.map(Cow::Borrowed).or_else(|| gather(tensor, storage).map(Cow::Owned));
        let bytes =
            bytes.ok_or_else(|| wrong(format!("`{name}` does not lie within its storage")))?;
        let values = tensor.dtype.floats(&bytes).ok_or_else(|| {
            wrong(format!("`{name}` is {}; only floats can be weights", tensor.dtype.name()))
        })?;
        match values.iter().find(|it| !it.is_finite()) {
            Some(value) => Err(wrong(format!("`{name}` holds {value}, which is no finite number"))),
            None => Ok(values),
        }
    }

    fn entry(&self, name: &str) -> Result<Rc<Vec<u8>>, String> {
        let mut last = self.last.borrow_mut();
        if last.0 != name {
            let mut archive = self.archive.clone().ok_or("it has no archive")?;
            let size = pytorch::entry_size(&mut archive, name)?;
            let read = pytorch::entry(&mut archive, name, size)?;
            *last = (name.to_owned(), Rc::new(read));
        }
        Ok(Rc::clone(&last.1))
    }
}

/// The tensors of a safetensors file, and what its header says besides.
fn open_safetensors(bytes: &[u8]) -> Result<(Tensors, Facts), String> {
    let incomplete = |it: safetensors::SafeTensorError| {
        format!("it is no complete safetensors file ({it}), and none of PyTorch's")
    };
    SafeTensors::deserialize(bytes).map_err(incomplete)?;
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(incomplete)?;
    let from = header + size_of::<u64>();
    let tensors = metadata.tensors().into_iter().map(|(name, it)| {
        let (start, end) = it.data_offsets;
        let stored = Stored {
            dtype: Dtype::of_safetensors(it.dtype),
            strides: row_major(&it.shape),
            shape: it.shape.clone(),
            offset: 0,
            home: Home::Bytes(from + start..from + end),
        };
        (name, stored)
    });
    let facts = metadata.metadata().clone().unwrap_or_default();
    Ok((tensors.collect(), facts.into_iter().collect()))
}

/// Names without what stands before every one of them because the network was wrapped.
fn unwrapped(mut tensors: Tensors) -> Tensors {
    let everywhere = |it: &Tensors| {
        let mut prefixes = PREFIXES.into_iter();
        prefixes.find(|prefix| !it.is_empty() && it.keys().all(|name| name.starts_with(prefix)))
    };
    while let Some(prefix) = everywhere(&tensors) {
        let short = |(name, it): (String, Stored)| (name[prefix.len()..].to_owned(), it);
        tensors = tensors.into_iter().map(short).collect();
    }
    tensors
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].saturating_mul(shape[dimension]);
    }
    strides
}

/// The elements of a tensor whose values follow each other in row-major order.
fn contiguous(tensor: &Stored) -> Option<Range<usize>> {
    let dense = row_major(&tensor.shape);
    let steps = tensor.shape.iter().zip(&tensor.strides).zip(&dense);
    let fits = steps.into_iter().all(|((size, stride), dense)| *size == 1 || stride == dense);
    let end = tensor.offset + tensor.shape.iter().product::<usize>();
    fits.then_some(tensor.offset..end)
}

/// The bytes of a tensor in row-major order, element by element; none if one lies outside of `storage`.
fn gather(tensor: &Stored, storage: &[u8]) -> Option<Vec<u8>> {
    let width = tensor.dtype.size();
    let elements: usize = tensor.shape.iter().product();
    let mut bytes = Vec::with_capacity(elements * width);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..elements {
        let steps = index.iter().zip(&tensor.strides);
        let at = tensor.offset + steps.map(|(index, stride)| index * stride).sum::<usize>();
        bytes.extend_from_slice(storage.get(at * width..(at + 1) * width)?);
        for dimension in (0..index.len()).rev() {
            index[dimension] += 1;
            if index[dimension] < tensor.shape[dimension] {
                break;
            }
            index[dimension] = 0;
        }
    }
    Some(bytes)
}

/// A weight file that cannot be used, with why.
pub(super) fn refused(path: &Path, message: String) -> Error {
    Error::Weights {
        path: path.to_owned(),
        message,
        help: "download it again, or save it anew: safetensors, or in PyTorch \
               `torch.save(network.state_dict(), path)`"
            .into(),
    }
}
