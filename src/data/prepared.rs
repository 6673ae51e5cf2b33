//! A decoded source on disk: `images.bin`, `items.csv` and `dataset.json` in one folder.
//!
//! `images.bin` holds the pixels, one byte each, image after image, row after row, channels
//! together (NHWC). `items.csv` has a line `id,split,label` for each image. `dataset.json` says how
//! many there are, their size and classes, and what was skipped.
//!
//! **Invariant:** what `read` returns fits together; a folder that does not is named damaged.

use std::fs::File;
use std::io::{BufWriter, Error as IoError, ErrorKind, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mapped;

/// Version of the three files together.
pub const FORMAT: u32 = 1;

const IMAGES: &str = "images.bin";
const ITEMS: &str = "items.csv";
const MANIFEST: &str = "dataset.json";

/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// The content of `dataset.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Kind of the source: `fer2013`, `folder` or `synthetic`.
    pub source: String,
    /// How many images there are.
    pub count: usize,
    /// Height, width and channels of every image.
    pub size: [usize; 3],
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Rows or files left out, with the reason.
    pub skipped: Vec<String>,
}

/// What is known about one image beside its pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// What identifies it in its source.
    pub id: &'a str,
    /// Name of its split in the source; empty if it has none.
    pub split: &'a str,
    /// Position of its class.
    pub label: u8,
}

/// Writes a decoded folder, image by image.
pub(super) struct Writer {
    folder: PathBuf,
    images: BufWriter<File>,
    items: csv::Writer<File>,
    count: usize,
    size: [usize; 3],
}

impl Writer {
    /// Begins the files of `folder`, for images of `size` (height, width, channels).
    pub(super) fn create(folder: &Path, size: [usize; 3]) -> Result<Self> {
        let create = |name| {
            let path = folder.join(name);
            File::create(&path).map_err(Error::file("cannot write", path))
        };
        let images = BufWriter::with_capacity(BUFFER, create(IMAGES)?);
        let items = csv::Writer::from_writer(create(ITEMS)?);
        let mut writer = Self { folder: folder.to_owned(), images, items, count: 0, size };
        writer.write_record(["id", "split", "label"])?;
        Ok(writer)
    }

    /// Adds an image.
    pub(super) fn push(&mut self, item: Item<'_>, pixels: &[u8]) -> Result<()> {
        debug_assert_eq!(pixels.len(), self.size.iter().product::<usize>());
        let path = || self.folder.join(IMAGES);
        self.images.write_all(pixels).map_err(|it| Error::file("cannot write", path())(it))?;
        self.count += 1;
        self.write_record([item.id, item.split, &item.label.to_string()])
    }

    /// Ends the files and puts them safely on the disk; the manifest last.
    pub(super) fn finish(
        self,
        source: &str,
        classes: Vec<String>,
        skipped: Vec<String>,
    ) -> Result<()> {
        let Self { folder, images, items, count, size } = self;
        let path = |name| folder.join(name);
        let images = images.into_inner().map_err(std::io::IntoInnerError::into_error);
        let items = items.into_inner().map_err(|it| IoError::other(it.to_string()));
        for (name, file) in [(IMAGES, images), (ITEMS, items)] {
            file.and_then(|it| it.sync_all()).map_err(Error::file("cannot write", path(name)))?;
        }
        let source = source.to_owned();
        let manifest = Manifest { format: FORMAT, source, count, size, classes, skipped };
        write_manifest(&path(MANIFEST), &manifest)
            .map_err(Error::file("cannot write", path(MANIFEST)))
    }

    fn write_record(&mut self, fields: [&str; 3]) -> Result<()> {
        let written = self.items.write_record(fields).map_err(IoError::from);
        written.map_err(|it| Error::file("cannot write", self.folder.join(ITEMS))(it))
    }
}

fn write_manifest(path: &Path, manifest: &Manifest) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    serde_json::to_writer_pretty(&mut file, manifest)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// A decoded folder, opened.
pub(super) struct Prepared {
    /// Size, classes, what was skipped.
    pub manifest: Manifest,
    /// Pixels of all images.
    pub images: Mmap,
    /// Label of each image.
    pub labels: Vec<u8>,
    /// Identity of each image.
    pub ids: Vec<String>,
    /// Split of each image, as a position in `split_names`.
    pub splits: Vec<u16>,
    /// Names of the splits, in the order in which they occur; empty for "none".
    pub split_names: Vec<String>,
}

/// Opens the decoded `folder`.
///
/// # Errors
/// [`Error::Damaged`] if a file is missing or does not hold what it should.
pub(super) fn read(folder: &Path) -> Result<Prepared> {
    let manifest = read_manifest(&folder.join(MANIFEST))?;
    let path = folder.join(IMAGES);
    let images = mapped::map(&path).map_err(|it| unreadable(&path, it))?;
    let bytes = manifest.size.iter().product::<usize>() * manifest.count;
    if images.len() != bytes {
        return Err(damaged(&path, format!("it has {} bytes, not {bytes}", images.len())));
    }
    read_items(&folder.join(ITEMS), manifest, images)
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = std::fs::read(path).map_err(|it| unreadable(path, it))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|it| damaged(path, it.to_string()))?;
    if manifest.format == FORMAT {
        return Ok(manifest);
    }
    Err(damaged(path, format!("it has the format {}, not {FORMAT}", manifest.format)))
}

fn read_items(path: &Path, manifest: Manifest, images: Mmap) -> Result<Prepared> {
    let text = mapped::map(path).map_err(|it| unreadable(path, it))?;
    let mut reader = csv::Reader::from_reader(&text[..]);
    let (labels, ids) = (Vec::with_capacity(manifest.count), Vec::with_capacity(manifest.count));
    let (splits, split_names) = (Vec::with_capacity(manifest.count), Vec::new());
    let mut all = Prepared { manifest, images, labels, ids, splits, split_names };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|it| damaged(path, it.to_string()))? {
        let line = all.ids.len() + 2;
        if !all.add(&record) {
            return Err(damaged(path, format!("line {line} is no image")));
        }
    }
    if all.ids.len() == all.manifest.count {
        return Ok(all);
    }
    Err(damaged(path, format!("it has {} images, not {}", all.ids.len(), all.manifest.count)))
}

impl Prepared {
    /// Adds the image of one line; false if it is none.
    fn add(&mut self, record: &csv::StringRecord) -> bool {
        let (Some(id), Some(split), Some(Ok(label))) =
            (record.get(0), record.get(1), record.get(2).map(str::parse::<u8>))
        else {
            return false;
        };
        let known = self.split_names.iter().position(|it| it == split);
        let split = known.unwrap_or_else(|| {
            self.split_names.push(split.to_owned());
            self.split_names.len() - 1
        });
        self.ids.push(id.to_owned());
        self.labels.push(label);
        self.splits.push(split as u16);
        usize::from(label) < self.manifest.classes.len() && u16::try_from(split).is_ok()
    }
}

fn unreadable(path: &Path, source: IoError) -> Error {
    match source.kind() {
        ErrorKind::NotFound => damaged(path, "it is missing".into()),
        _ => Error::File { action: "cannot read", path: path.to_owned(), source },
    }
}

fn damaged(path: &Path, message: String) -> Error {
    let folder = path.parent().unwrap_or(path).display();
    let help = format!("delete the folder `{folder}`; the next sweep decodes the images again");
    Error::Damaged { path: path.to_owned(), message, help }
}
