//! A decoded source on disk: `images.bin`, `items.csv` and `dataset.json` in one folder.
//!
//! `images.bin` holds the pixels, one byte each, image after image, row after row, channels
//! together (NHWC). `items.csv` has a line `id,split,label,group,shape,content` for each image.
//! `dataset.json` says how many there are, their classes, and what was left out.
//!
//! **Invariant:** what `read` returns fits together; a folder that does not is named damaged.

use std::borrow::Cow;
use std::io::{BufWriter, Error as IoError, ErrorKind, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::layout::Layout;
use crate::data::picture::content;
use crate::error::{Error, Result};
use crate::files::output::Output;
use crate::files::write_whole;
use crate::mapped;

/// Version of the three files together. In version 1 all images had one size, and `items.csv` had only its first
/// three columns; it is read as well.
pub const FORMAT: u32 = 2;

const IMAGES: &str = "images.bin";
const ITEMS: &str = "items.csv";
const MANIFEST: &str = "dataset.json";

/// The columns of `items.csv`.
const COLUMNS: [&str; 6] = ["id", "split", "label", "group", "shape", "content"];

/// Bytes written at a time.
const BUFFER: usize = 1 << 20;

/// The content of `dataset.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Kind of the source: `fer2013`, `folder`, `manifest` or `synthetic`.
    pub source: String,
    /// How many images there are.
    pub count: usize,
    /// Height, width and channels of the largest image.
    pub size: [usize; 3],
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Rows or files that are broken and were left out, with the reason.
    pub skipped: Vec<String>,
    /// What lay beside the images and is none.
    #[serde(default)]
    pub beside: Vec<String>,
}

/// What is known about one image beside its pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// What identifies it in its source.
    pub id: &'a str,
    /// Name of its split in the source; empty if it has none.
    pub split: &'a str,
    /// The person, video or other thing that it shares with other images; empty if nothing is known of it.
    pub group: &'a str,
    /// Position of its class.
    pub label: u8,
    /// What identifies the picture that it was made from; see [`crate::data::picture::content`].
    pub content: u64,
}

/// What there is to say of a source as a whole.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Rows or files that are broken and were left out, with the reason.
    pub skipped: Vec<String>,
    /// What lay beside the images and is none.
    pub beside: Vec<String>,
}

/// Writes a decoded folder, image by image.
pub(super) struct Writer {
    folder: PathBuf,
    images: BufWriter<Output>,
    items: csv::Writer<Output>,
    count: usize,
    size: [usize; 3],
    /// The shape of the last image, and how it is written: most have that of the one before.
    shape: ([usize; 3], String),
}

impl Writer {
    /// Begins the files of `folder`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let create = |name| {
            let path = folder.join(name);
            Output::create(&path).map_err(Error::file("cannot write", path))
        };
        let images = BufWriter::with_capacity(BUFFER, create(IMAGES)?);
        let items = csv::Writer::from_writer(create(ITEMS)?);
        let (folder, size, shape) = (folder.to_owned(), [0; 3], ([0; 3], String::new()));
        let mut writer = Self { folder, images, items, count: 0, size, shape };
        let begun = writer.items.write_record(COLUMNS).map_err(IoError::from);
        begun.map_err(|it| Error::file("cannot write", writer.folder.join(ITEMS))(it))?;
        Ok(writer)
    }

    /// Adds an image of this `shape` (height, width, channels).
    pub(super) fn push(&mut self, item: Item<'_>, shape: [usize; 3], pixels: &[u8]) -> Result<()> {
        debug_assert_eq!(pixels.len(), shape.iter().product::<usize>());
        let path = || self.folder.join(IMAGES);
        self.images.write_all(pixels).map_err(|it| Error::file("cannot write", path())(it))?;
        self.count += 1;
        self.size = [0, 1, 2].map(|it| self.size[it].max(shape[it]));
        if self.shape.0 != shape {
            let [height, width, channels] = shape;
            self.shape = (shape, format!("{height}x{width}x{channels}"));
        }
        let Item { id, split, group, label, content } = item;
        let (label, content) = (label.to_string(), format!("{content:016x}"));
        let record = [id, split, &label, group, &self.shape.1, &content];
        let written = self.items.write_record(record).map_err(IoError::from);
        written.map_err(|it| Error::file("cannot write", self.folder.join(ITEMS))(it))
    }

    /// Ends the files and puts them safely on the disk; the manifest last.
    pub(super) fn finish(self, source: &str, classes: Vec<String>, notes: Notes) -> Result<()> {
        let Self { folder, images, items, count, size, .. } = self;
        let path = |name| folder.join(name);
        let images = images.into_inner().map_err(std::io::IntoInnerError::into_error);
        let items = items.into_inner().map_err(|it| IoError::other(it.to_string()));
        for (name, file) in [(IMAGES, images), (ITEMS, items)] {
            file.and_then(|it| it.sync()).map_err(Error::file("cannot write", path(name)))?;
        }
        let (source, Notes { skipped, beside }) = (source.to_owned(), notes);
        let manifest = Manifest { format: FORMAT, source, count, size, classes, skipped, beside };
        let mut text = serde_json::to_vec_pretty(&manifest).expect("plain values are always JSON");
        text.push(b'\n');
        write_whole(&path(MANIFEST), &text)
    }
}

/// A decoded folder, opened.
pub(super) struct Prepared {
    /// Classes, what was skipped.
    pub manifest: Manifest,
    /// Pixels of all images.
    pub images: Mmap,
    /// Where each image lies in `images`.
    pub layout: Layout,
    /// Label of each image.
    pub labels: Vec<u8>,
    /// Identity of each image.
    pub ids: Vec<String>,
    /// Split of each image, as a position in `split_names`.
    pub splits: Vec<u16>,
    /// Names of the splits, in the order in which they occur; empty for "none".
    pub split_names: Vec<String>,
    /// Group of each image; empty for "none".
    pub groups: Vec<String>,
    /// What identifies the picture that each image was made from; empty in version 1.
    contents: Vec<u64>,
}

/// Opens the decoded `folder`.
///
/// # Errors
/// [`Error::Damaged`] if a file is missing or does not hold what it should.
pub(super) fn read(folder: &Path) -> Result<Prepared> {
    let manifest = read_manifest(&folder.join(MANIFEST))?;
    let path = folder.join(IMAGES);
    let images = mapped::map(&path).map_err(|it| unreadable(&path, it))?;
    let prepared = read_items(&folder.join(ITEMS), manifest, images)?;
    let (there, bytes) = (prepared.images.len(), prepared.layout.bytes());
    if there == bytes {
        return Ok(prepared);
    }
    Err(damaged(&path, format!("it has {there} bytes, not {bytes}")))
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = std::fs::read(path).map_err(|it| unreadable(path, it))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|it| damaged(path, it.to_string()))?;
    if (1..=FORMAT).contains(&manifest.format) {
        return Ok(manifest);
    }
    Err(damaged(path, format!("it has the format {}, not {FORMAT}", manifest.format)))
}

fn read_items(path: &Path, manifest: Manifest, images: Mmap) -> Result<Prepared> {
    let text = mapped::map(path).map_err(|it| unreadable(path, it))?;
    let mut reader = csv::Reader::from_reader(&text[..]);
    let count = manifest.count.min(text.len());
    let mut all = Prepared {
        manifest,
        images,
        layout: Layout::default(),
        labels: Vec::with_capacity(count),
        ids: Vec::with_capacity(count),
        splits: Vec::with_capacity(count),
        split_names: Vec::new(),
        groups: Vec::with_capacity(count),
        contents: Vec::with_capacity(count),
    };
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|it| damaged(path, it.to_string()))? {
        let line = all.ids.len() + 2;
        if all.add(&record).is_none() {
            return Err(damaged(path, format!("line {line} is no image")));
        }
    }
    if all.ids.len() == all.manifest.count {
        return Ok(all);
    }
    Err(damaged(path, format!("it has {} images, not {}", all.ids.len(), all.manifest.count)))
}

impl Prepared {
    /// What identifies the picture that each image was made from. In version 1 tables and drawn faces were kept as they
    /// are, so their pixels tell it.
    pub(super) fn contents(&self) -> Cow<'_, [u64]> {
        if self.contents.len() == self.ids.len() {
            return Cow::Borrowed(&self.contents);
        }
        let rows = (0..self.ids.len() as u32).into_par_iter();
        let content = |row| content(&self.images[self.layout.range(row)], self.layout.shape(row));
        rows.map(content).collect::<Vec<_>>().into()
    }

    /// What identifies the picture that the image at `row` was made from, where version 1 did not leave that out.
    pub(super) fn content(&self, row: u32) -> Option<u64> {
        self.contents.get(row as usize).copied()
    }

    /// Adds the image of one line; none if the line is no image.
    fn add(&mut self, record: &csv::StringRecord) -> Option<()> {
        let (id, split, label) = (record.get(0)?, record.get(1)?, record.get(2)?.parse().ok()?);
        let known = self.split_names.iter().position(|it| it == split);
        let split = known.unwrap_or_else(|| {
            self.split_names.push(split.to_owned());
            self.split_names.len() - 1
        });
        let (group, shape) = if self.manifest.format == 1 {
            ("", self.manifest.size)
        } else {
            self.contents.push(u64::from_str_radix(record.get(5)?, 16).ok()?);
            (record.get(3)?, shape_of(record.get(4)?)?)
        };
        self.layout.push(shape)?;
        self.ids.push(id.to_owned());
        self.groups.push(group.to_owned());
        self.labels.push(label);
        self.splits.push(u16::try_from(split).ok()?);
        (usize::from(label) < self.manifest.classes.len()).then_some(())
    }
}

/// The shape that `text` says, such as `48x48x1`.
fn shape_of(text: &str) -> Option<[usize; 3]> {
    let mut sides = text.split('x').map(str::parse::<usize>);
    let mut side = || sides.next()?.ok();
    let shape = [side()?, side()?, side()?];
    side().is_none().then_some(shape)
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
