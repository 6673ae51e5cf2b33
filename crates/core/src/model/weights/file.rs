//! A weight file that is open: its tensors by name, read one by one from the mapped file.
//!
//! What a file is, is told by its content, never by its name.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use memmap2::Mmap;
use safetensors::SafeTensors;

use crate::error::{Error, Result, printable};
use crate::event::weights::Taken;
use crate::mapped;
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::weights::dtype::Dtype;
use crate::model::weights::keras;
use crate::model::weights::keras::names::Turned;
use crate::model::weights::pytorch::{self, Archive, Content};
use crate::model::weights::recognize::{Refusal, recognize};
use crate::model::weights::stored::{Home, Stored, contiguous, gather, row_major};

/// Tensors by name, each as it lies in the file or with why it cannot be read.
pub(super) type Tensors = BTreeMap<String, Result<Stored, String>>;

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
    /// A whole model of Keras 3, `.keras`.
    Keras,
    /// HDF5, as Keras writes it (`.weights.h5`, `.h5`).
    KerasHdf5,
}

impl Format {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::PytorchZip => "PyTorch (zip)",
            Self::PytorchLegacy => "PyTorch (before 1.6)",
            Self::Keras => "Keras (.keras)",
            Self::KerasHdf5 => "Keras (HDF5)",
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
    /// What of it is looked at, and what else is in it.
    pub taken: Taken,
    tensors: Tensors,
    bytes: Bytes,
    archive: Option<Archive>,
    /// The layers of a file of Keras's.
    keras: Option<keras::Model>,
    /// A backbone whose layers are all in a file of Keras's that was asked for those of another.
    pub(super) fits: Option<Backbone>,
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

/// A tensor as a file lists it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Listed<'a> {
    /// Its name, as in the file.
    pub name: &'a str,
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
}

impl TensorFile {
    /// Opens the file at `path`: safetensors, or one of PyTorch's or Keras's formats. Of several state dicts the
    /// averaged one is taken, or else the one with the usual name.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read; [`Error::Weights`] if it is none of these, is cut off or damaged, or
    /// holds no tensors.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_part(path, None)
    }

    /// As [`TensorFile::open`], where `state_dict` names the state dict to take: by the keys that lead to it, the
    /// last of them, `.` for the top of the file, or by what stands before the names of its tensors. Of a file of Keras's it
    /// names the model within the model.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read; [`Error::Weights`] if it is no weight file that is read here, or has
    /// no such state dict.
    pub fn open_part(path: &Path, state_dict: Option<&str>) -> Result<Self> {
        let map = mapped::map(path).map_err(Error::file("cannot read", path))?;
        let bytes = Bytes(Arc::new(map));
        let wrong = |refusal: Refusal| refusal.of(path);
        let mut archive = None;
        let mut facts = BTreeMap::new();
        let (mut model, mut of_keras) = (None, BTreeMap::new());
        let mut layers = |it: keras::Content| {
            model = Some(it.model);
            of_keras = it.facts;
            Content { tensors: it.tensors, taken: it.taken, prefix: None }
        };
        let (format, content) = if pytorch::is_zip(bytes.as_ref()) {
            let mut opened = pytorch::archive(bytes.clone()).map_err(wrong)?;
            if keras::is_keras(&opened) {
                let content = keras::open_archive(&mut opened, state_dict).map_err(wrong)?;
                (Format::Keras, layers(content))
            } else {
                let content = pytorch::open_zip(&mut opened, state_dict).map_err(wrong)?;
                archive = Some(opened);
                (Format::PytorchZip, content)
            }
        } else if keras::is_hdf5(bytes.as_ref()) {
            let content = keras::open_file(bytes.clone(), state_dict).map_err(wrong)?;
            (Format::KerasHdf5, layers(content))
        } else if pytorch::is_legacy(bytes.as_ref()) {
            let content = pytorch::open_legacy(bytes.as_ref(), state_dict).map_err(wrong)?;
            (Format::PytorchLegacy, content)
        } else if let Some(refusal) = recognize(bytes.as_ref(), path) {
            return Err(wrong(refusal));
        } else {
            let (tensors, said) =
                open_safetensors(bytes.as_ref()).map_err(|it| wrong(it.into()))?;
            facts = said;
            let prefix = state_dict.filter(|it| *it != ".").map(str::to_owned);
            (Format::Safetensors, Content { tensors, taken: Taken::default(), prefix })
        };
        facts.extend(of_keras);
        let Content { tensors, mut taken, prefix } = content;
        let tensors = match prefix {
            Some(prefix) => below(tensors, &prefix, &mut taken).map_err(wrong)?,
            None => tensors,
        };
        let why = |(name, it): (&String, &Result<Stored, String>)| {
            Some((name.clone(), it.as_ref().err()?.clone()))
        };
        taken.unreadable = tensors.iter().filter_map(why).collect();
        if let (true, Some(why)) =
            (tensors.values().all(Result::is_err), taken.unreadable.values().next())
        {
            return Err(wrong(why.clone().into()));
        }
        let (path, last, keras) = (path.to_owned(), RefCell::default(), model);
        Ok(Self { path, format, facts, taken, tensors, bytes, archive, keras, fits: None, last })
    }

    /// Whether it is a file of Keras's.
    pub fn is_keras(&self) -> bool {
        self.keras.is_some()
    }

    /// The file with those of its tensors under the network's names and in their shapes that `backbone` has. This is every
    /// file but Keras's already; in those the backbone's layers are looked for.
    ///
    /// # Errors
    /// [`Error::Weights`] if it is a file of Keras's, and Keras's network of this name is not known, or is a part of the larger
    /// one that the file holds.
    pub fn for_backbone(mut self, backbone: Backbone) -> Result<Self> {
        let Some(model) = &self.keras else { return Ok(self) };
        if !backbone.has(Implementation::Keras) {
            let known = Backbone::ALL.iter().filter(|it| it.has(Implementation::Keras));
            let known: Vec<_> = known.map(|it| format!("`{}`", it.name())).collect();
            return Err(Error::Weights {
                path: self.path,
                message: format!(
                    "it is a file of Keras's, whose `{}` is not known here",
                    backbone.name()
                ),
                help: format!("of Keras's networks {} are known", known.join(", ")),
            });
        }
        let found = keras::names::find(backbone, &model.layers, &self.tensors);
        let others = Backbone::ALL.iter().filter(|it| it.has(Implementation::Keras));
        let fits = |it: &&Backbone| {
            let other = keras::names::find(**it, &model.layers, &self.tensors);
            other.is_complete && (!found.is_complete || other.tensors.len() > found.tensors.len())
        };
        self.fits = others.copied().find(|it| fits(&it));
        // All layers of VGG16 have namesakes in VGG19.
        if let (true, Some(larger)) = (found.is_complete, self.fits) {
            let (larger, name) = (larger.name(), backbone.name());
            return Err(Error::Weights {
                path: self.path,
                message: format!(
                    "it holds Keras's `{larger}`, in which `{name}` is found but for some layers"
                ),
                help: format!("write `model.backbone = \"{larger}\"`"),
            });
        }
        if !found.model.is_empty() {
            self.taken.state_dict = Some(found.model);
        }
        for Turned { name, there, axes } in found.tensors {
            let turned = self.tensors.remove(&there).map(|it| it.map(|it| it.turned(&axes)));
            self.tensors.extend(turned.map(|it| (name, it)));
        }
        Ok(self)
    }

    /// Its tensors, by name; those that cannot be read are in [`Taken::unreadable`].
    pub fn tensors(&self) -> impl Iterator<Item = Listed<'_>> {
        let tensors = self.tensors.iter().filter_map(|(name, it)| Some((name, it.as_ref().ok()?)));
        tensors.map(|(name, it)| Listed { name, dtype: it.dtype, shape: &it.shape })
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name)?.as_ref().ok().map(|it| it.shape.as_slice())
    }

    /// Why the tensor `name` cannot be weights, as far as its place in the file says; none if it can, or is not
    /// there.
    pub(super) fn flaw(&self, name: &str) -> Option<String> {
        match self.tensors.get(name)? {
            Ok(it) if it.dtype.is_float() => None,
            Ok(it) => Some(no_floats(name, it.dtype)),
            Err(why) => Some(why.clone()),
        }
    }

    /// The values of the tensor `name` in row-major order, which must be finite floats.
    ///
    /// # Errors
    /// [`Error::Weights`] if it is not there, holds no floats, or its storage is damaged.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        let wrong = |message: String| Refusal::from(message).of(&self.path);
        let tensor =
            self.tensors.get(name).ok_or_else(|| wrong(format!("`{name}` is not in it")))?;
        let tensor = tensor.as_ref().map_err(|it| wrong(it.clone()))?;
        let storage = match &tensor.home {
            Home::Bytes(range) => &self.bytes.as_ref()[range.clone()],
            Home::Entry(entry) => {
                &self.entry(entry).map_err(|it| wrong(format!("of `{name}`, {it}")))?
            }
            Home::Dataset(path) => {
                let library = self.keras.as_ref().map(|it| &it.library);
                let library = library.expect("only files of Keras's have datasets");
                &library.read(path).map_err(|it| wrong(format!("of `{name}`, {it}")))?
            }
        };
        let width = tensor.dtype.size();
        let dense = contiguous(tensor);
        let dense = dense.and_then(|it| storage.get(it.start * width..it.end * width));
        let bytes = dense.map(Cow::Borrowed).or_else(|| gather(tensor, storage).map(Cow::Owned));
        let bytes =
            bytes.ok_or_else(|| wrong(format!("`{name}` does not lie within its storage")))?;
        let values = tensor.dtype.floats(&bytes);
        let values = values.ok_or_else(|| wrong(no_floats(name, tensor.dtype)))?;
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

fn no_floats(name: &str, dtype: Dtype) -> String {
    format!("`{name}` is {}; only floats can be weights", dtype.name())
}

/// The tensors of a safetensors file, and what its header says besides.
fn open_safetensors(bytes: &[u8]) -> Result<(Tensors, Facts), String> {
    let incomplete = |it: safetensors::SafeTensorError| {
        let why = it.to_string();
        format!("it is no complete safetensors file ({}), and none of PyTorch's", printable(&why))
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
        (printable(&name).into_owned(), Ok(stored))
    });
    let facts = metadata.metadata().iter().flatten();
    let facts = facts.map(|(name, it)| (printable(name).into_owned(), printable(it).into_owned()));
    Ok((tensors.collect(), facts.collect()))
}

/// The tensors whose names begin with `prefix` and a dot, without it.
fn below(tensors: Tensors, prefix: &str, taken: &mut Taken) -> Result<Tensors, Refusal> {
    let start = format!("{}.", prefix.trim_end_matches('.'));
    let (inside, outside): (Tensors, Tensors) =
        tensors.into_iter().partition(|(name, _)| name.starts_with(&start));
    if inside.is_empty() {
        let dicts = taken.state_dict.iter().chain(&taken.others);
        let dicts: Vec<_> = dicts.map(|it| format!("`{it}`")).collect();
        let has = if dicts.is_empty() {
            "its tensors lie at its top".into()
        } else {
            format!("it has {}", dicts.join(", "))
        };
        let first = outside.keys().next().map_or("", String::as_str);
        return Err(Refusal::new(
            &format!(
                "it has no state dict `{}`, and no tensor's name begins so: {has}, the first tensor is `{first}`",
                printable(prefix)
            ),
            "change or leave out `model.weights.file.state_dict` (`--state-dict`)",
        ));
    }
    taken.prefix.clone_from(&start);
    Ok(inside.into_iter().map(|(name, it)| (name[start.len()..].to_owned(), it)).collect())
}
