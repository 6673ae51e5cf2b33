//! The datasets of an HDF5 file, by `hdf5-reader`: in Rust alone, within limits, and never outside of the file.
//!
//! Read are superblocks 0 to 3, groups of both kinds, contiguous, compact and chunked storage, deflate, shuffle and
//! Fletcher-32. Links to other files and data in other files are not followed.
//!
//! **Invariant:** what is held of a file is bounded by its size, and what is read of it at once by [`LARGEST`].

use std::collections::HashSet;
use std::fmt::{Debug, Formatter};

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, Hdf5File, OpenOptions};

use crate::error::printable;
use crate::model::weights::dtype::Dtype;

/// What an HDF5 file begins with. It may stand behind a block of the user's own.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
const PLACES: [usize; 4] = [0, 512, 1024, 2048];

/// More bytes no dataset has; a kernel has a tenth of it at most.
const LARGEST: usize = 1 << 30;

/// Deflate makes so many bytes of one at most.
const DENSEST: usize = 1032;

/// How deep groups are looked into, and how many: Keras nests a few models of some hundred layers.
const DEEPEST: usize = 32;
const MOST_GROUPS: usize = 100_000;

/// An open HDF5 file.
pub(in crate::model::weights) struct Library {
    file: Hdf5File,
    /// Bytes of the file.
    length: usize,
}

/// A dataset.
#[derive(Debug)]
pub(super) struct Found {
    /// The groups above it and its own name; never empty.
    pub(super) path: Vec<String>,
    /// The attribute `name` of its group, where Keras 3 says what a layer is called.
    pub(super) group_name: Option<String>,
    /// Its place in the attribute `weight_names` of the group for its layer, in the older format.
    pub(super) rank: Option<usize>,
    /// The place of that group in the attribute `layer_names` of the model's.
    pub(super) position: Option<usize>,
    /// The type of its numbers, or why they cannot be read.
    pub(super) dtype: Result<Dtype, String>,
    pub(super) shape: Vec<usize>,
}

/// Whether `bytes` are an HDF5 file.
pub(in crate::model::weights) fn is_hdf5(bytes: &[u8]) -> bool {
    PLACES.iter().any(|it| bytes.get(*it..).is_some_and(|it| it.starts_with(SIGNATURE)))
}

impl Debug for Library {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Library")
    }
}

impl Library {
    /// Opens the HDF5 file that `bytes` are.
    ///
    /// # Errors
    /// If it is none, or is cut off.
    pub(super) fn open<T>(bytes: T) -> Result<Self, String>
    where
        T: AsRef<[u8]> + Send + Sync + 'static,
    {
        let length = bytes.as_ref().len();
        let options = OpenOptions::default()
            .with_max_read_bytes(LARGEST)
            .with_max_chunk_bytes(LARGEST)
            .with_chunk_cache_bytes(0);
        let file = Hdf5File::from_owner(bytes, options).map_err(|it| damaged(&it))?;
        let block = file.superblock();
        let end = block.base_address.saturating_add(block.eof_address);
        if end > length as u64 {
            return Err(format!("it is cut off: of {end} bytes it has {length}"));
        }
        Ok(Self { file, length })
    }

    /// Every dataset of the file, in the order of its names.
    ///
    /// # Errors
    /// If a group cannot be read.
    pub(super) fn datasets(&self) -> Result<Vec<Found>, String> {
        let root = self.file.root_group().map_err(|it| damaged(&it))?;
        let mut walk = Walk { found: Vec::new(), seen: HashSet::new(), length: self.length };
        walk.through(&root, &mut Vec::new(), Lists::default())?;
        Ok(walk.found)
    }

    /// The numbers of the dataset at `path`, in row-major order and in this machine's byte order.
    ///
    /// # Errors
    /// If it is damaged or too large.
    pub(in crate::model::weights) fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let dataset = self.file.dataset(path).map_err(|it| damaged(&it))?;
        dataset.read_native_bytes().map_err(|it| damaged(&it))
    }
}

/// What the groups above a dataset say of the order in which Keras has its layers and their variables.
#[derive(Clone, Copy, Default)]
struct Lists<'a> {
    layers: Option<&'a [String]>,
    position: Option<usize>,
    /// The names, and how many groups stand above those that they begin in.
    weights: Option<(&'a [String], usize)>,
}

impl Lists<'_> {
    fn rank(self, path: &[String]) -> Option<usize> {
        let (names, above) = self.weights?;
        let name = path.get(above..)?.join("/");
        names.iter().position(|it| *it == name)
    }
}

struct Walk {
    found: Vec<Found>,
    /// Where the groups lie that were looked into: a link may lead back.
    seen: HashSet<u64>,
    /// Bytes of the file.
    length: usize,
}

impl Walk {
    fn through(
        &mut self,
        group: &Group,
        path: &mut Vec<String>,
        above: Lists<'_>,
    ) -> Result<(), String> {
        if path.len() > DEEPEST || self.seen.len() > MOST_GROUPS {
            return Err("its groups are nested too deep, or too many".into());
        }
        if !self.seen.insert(group.address()) {
            return Ok(());
        }
        let (groups, datasets) = group.members().map_err(|it| damaged(&it))?;
        let name = group.attribute("name").ok().and_then(|it| it.read_string().ok());
        let [layers, weights] = ["layer_names", "weight_names"]
            .map(|it| group.attribute(it).ok().and_then(|it| it.read_strings().ok()));
        let lists = Lists {
            layers: layers.as_deref().or(above.layers),
            position: above.position,
            weights: weights.as_deref().map(|it| (it, path.len())).or(above.weights),
        };
        for dataset in datasets {
            let own = dataset.name().to_owned();
            let (shape, dtype) = head_of(&dataset, self.length);
            let path: Vec<String> = path.iter().cloned().chain([own]).collect();
            let (rank, position) = (lists.rank(&path), lists.position);
            self.found.push(Found { path, group_name: name.clone(), rank, position, dtype, shape });
        }
        for group in groups {
            let position = lists.layers.and_then(|it| it.iter().position(|it| it == group.name()));
            let lists = Lists { position: position.or(lists.position), ..lists };
            path.push(group.name().to_owned());
            self.through(&group, path, lists)?;
            path.pop();
        }
        Ok(())
    }
}

/// The shape of a dataset, and the type of its numbers or why they cannot be read.
fn head_of(dataset: &Dataset, length: usize) -> (Vec<usize>, Result<Dtype, String>) {
    let dtype = dtype_of(dataset.dtype());
    let most = if dataset.chunks().is_some() { length.saturating_mul(DENSEST) } else { length };
    let sides = dataset.shape().iter().map(|it| usize::try_from(*it));
    let shape = sides.collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let bytes = shape.iter().try_fold(dtype.size(), |all, it| all.checked_mul(*it));
    let fits = bytes.is_some_and(|it| it <= most.min(LARGEST));
    if fits && shape.len() == dataset.shape().len() {
        return (shape, Ok(dtype));
    }
    let (name, written) = (printable(dataset.name()), dataset.shape());
    (
        shape,
        Err(format!(
            "`{name}` says that its shape is {written:?}, and the file is too small for it"
        )),
    )
}

fn dtype_of(written: &Datatype) -> Dtype {
    match written {
        Datatype::FloatingPoint { size: 2, .. } => Dtype::F16,
        Datatype::FloatingPoint { size: 4, .. } => Dtype::F32,
        Datatype::FloatingPoint { size: 8, .. } => Dtype::F64,
        Datatype::FloatingPoint { size, .. } => Dtype::Other("float", usize::from(*size)),
        Datatype::FixedPoint { size: 8, signed: true, .. } => Dtype::I64,
        Datatype::FixedPoint { size: 4, signed: true, .. } => Dtype::I32,
        Datatype::FixedPoint { size: 2, signed: true, .. } => Dtype::I16,
        Datatype::FixedPoint { size: 1, signed: true, .. } => Dtype::I8,
        Datatype::FixedPoint { size: 1, signed: false, .. } => Dtype::U8,
        Datatype::FixedPoint { size, .. } => Dtype::Other("integer", usize::from(*size)),
        Datatype::String { .. } | Datatype::VarLen { .. } => Dtype::Other("text", 1),
        _ => Dtype::Other("no number", 1),
    }
}

/// What the reader says of a damaged file, as the end of a sentence.
fn damaged(error: &hdf5_reader::error::Error) -> String {
    format!("it is a damaged HDF5 file ({})", printable(&error.to_string()))
}
