//! The pictures of a decoded source as they are, whole: for what must see more of them than a network does.
//!
//! A decoded folder holds pictures of files no larger than a network sees them. Their files are read again here, a few at
//! a time, so that memory holds as many whole pictures as there are threads.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::data::Data;
use crate::data::folder::list::list;
use crate::data::manifest::Manifest;
use crate::data::manifest::table::{Row, Shown, Tables};
use crate::data::picture::{self, Picture};
use crate::data::prepared::{self, Item, Notes, Prepared, Writer};
use crate::data::source::Source;
use crate::error::{Error, Result};

/// Pictures that are looked at between two times that somebody hears of them.
const CHUNK: usize = 256;

/// The pictures of a source, in the order of its decoded images.
pub struct Originals<'a> {
    data: &'a Data,
    prepared: Prepared,
}

/// What is done with each picture: `look` in many threads at once, `take` in the order of the images. Rows are those of
/// the decoded images.
pub struct Visit<'a, T> {
    /// Looks at a picture.
    pub look: &'a (dyn Fn(u32, Picture) -> Result<T> + Sync),
    /// Takes what was made of it.
    pub take: &'a mut dyn FnMut(u32, T) -> Result<()>,
}

impl<'a> Originals<'a> {
    /// The pictures of `data` that were decoded into `folder`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the folder does not hold what it should.
    pub fn open(data: &'a Data, folder: &Path) -> Result<Self> {
        Ok(Self { data, prepared: prepared::read(folder)? })
    }

    /// How many pictures there are.
    pub fn count(&self) -> usize {
        self.prepared.ids.len()
    }

    /// What identifies each picture in its source.
    pub fn ids(&self) -> &[String] {
        &self.prepared.ids
    }

    /// The decoded image at `row`.
    pub fn decoded(&self, row: u32) -> Picture {
        let Prepared { images, layout, .. } = &self.prepared;
        Picture { pixels: images[layout.range(row)].to_vec(), shape: layout.shape(row) }
    }

    /// Shows every picture.
    ///
    /// # Errors
    /// [`Error::Data`] if a picture is not the one that was decoded; whatever `look` and `take` fail with.
    pub fn visit<T: Send>(&self, mut visit: Visit<'_, T>) -> Result<()> {
        match &self.data.source {
            Source::Fer2013 { .. } | Source::Synthetic(_) => {
                self.each(&mut visit, &|row| Ok(self.decoded(row)))
            }
            Source::Folder { path, classes } => {
                let files = list(path, classes, &self.data.split.names())?.files;
                let files: HashMap<String, PathBuf> =
                    files.into_iter().map(|it| (it.id, it.path)).collect();
                self.each(&mut visit, &|row| {
                    let id = &self.prepared.ids[row as usize];
                    let path = files.get(id).ok_or_else(|| self.gone(id))?;
                    self.same(row, picture::read(path))
                })
            }
            Source::Manifest(manifest) => self.rows(manifest, &mut visit),
        }
    }

    fn each<T: Send>(
        &self,
        visit: &mut Visit<'_, T>,
        read: &(dyn Fn(u32) -> Result<Picture> + Sync),
    ) -> Result<()> {
        let rows: Vec<u32> = (0..self.count() as u32).collect();
        for rows in rows.chunks(CHUNK) {
            let look = |row: &u32| (visit.look)(*row, read(*row)?);
            let seen: Vec<Result<T>> = rows.par_iter().map(look).collect();
            for (row, seen) in rows.iter().zip(seen) {
                (visit.take)(*row, seen?)?;
            }
        }
        Ok(())
    }

    /// The pictures of a table, which may lie in the table itself.
    fn rows<T: Send>(&self, manifest: &Manifest, visit: &mut Visit<'_, T>) -> Result<()> {
        let tables = Tables::open(manifest)?;
        let mut next = 0_u32;
        let mut waiting: Vec<(u32, Row)> = Vec::new();
        let mut look = |waiting: &mut Vec<(u32, Row)>| -> Result<()> {
            let seen: Vec<Result<T>> = waiting
                .par_iter()
                .map(|(row, it)| (visit.look)(*row, self.same(*row, picture_of(&tables, it))?))
                .collect();
            for ((row, _), seen) in waiting.drain(..).zip(seen) {
                (visit.take)(row, seen?)?;
            }
            Ok(())
        };
        tables.read(Shown::Pictures, &mut |row| {
            // Rows that were broken are no images.
            if self.prepared.ids.get(next as usize).is_some_and(|it| it == row.id()) {
                waiting.push((next, row));
                next += 1;
            }
            if waiting.len() == CHUNK { look(&mut waiting) } else { Ok(()) }
        })?;
        look(&mut waiting)?;
        match self.prepared.ids.get(next as usize) {
            None => Ok(()),
            Some(id) => Err(self.gone(id)),
        }
    }

    /// The picture that was read for the image at `row`, if it is the one that was decoded.
    fn same(&self, row: u32, read: std::result::Result<Picture, String>) -> Result<Picture> {
        let id = &self.prepared.ids[row as usize];
        let picture = read.map_err(|message| self.changed(id, message))?;
        match self.prepared.content(row) {
            Some(content) if content != picture.content() => {
                Err(self.changed(id, "it shows something else".into()))
            }
            _ => Ok(picture),
        }
    }

    fn gone(&self, id: &str) -> Error {
        self.changed(id, "it has gone".into())
    }

    fn changed(&self, id: &str, message: String) -> Error {
        Error::Data {
            path: self.data.source.place(),
            place: id.to_owned(),
            message: format!("{message} since the images were decoded"),
            help: "sweep again: what changed is then decoded anew".into(),
        }
    }

    /// Begins a decoded folder with the same images, made of other pixels.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn copy(&self, folder: &Path) -> Result<Copy<'_>> {
        let contents = self.prepared.contents();
        Ok(Copy { of: &self.prepared, contents, writer: Writer::create(folder)? })
    }
}

/// The picture of a row.
fn picture_of(tables: &Tables<'_>, row: &Row) -> std::result::Result<Picture, String> {
    match (&row.bytes, &row.path) {
        (Some(bytes), _) => picture::decode(bytes),
        (None, Some(path)) => picture::read(&tables.images.join(path)),
        (None, None) => Err("it has no picture".into()),
    }
}

/// A decoded folder that is being written: the images of another one, made of other pixels.
pub struct Copy<'a> {
    of: &'a Prepared,
    contents: Cow<'a, [u64]>,
    writer: Writer,
}

impl Copy<'_> {
    /// Adds the image at `row`, which follows the one before.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn push(&mut self, row: u32, picture: &Picture) -> Result<()> {
        let (of, row) = (self.of, row as usize);
        let item = Item {
            id: &of.ids[row],
            split: &of.split_names[usize::from(of.splits[row])],
            group: &of.groups[row],
            label: of.labels[row],
            content: self.contents[row],
        };
        self.writer.push(item, picture.shape, &picture.pixels)
    }

    /// Ends the folder.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub fn finish(self) -> Result<()> {
        let manifest = &self.of.manifest;
        let (skipped, beside) = (manifest.skipped.clone(), manifest.beside.clone());
        let notes = Notes { skipped, beside };
        self.writer.finish(&manifest.source, manifest.classes.clone(), notes)
    }
}
