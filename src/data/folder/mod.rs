//! Image files in a folder for each class.
//!
//! What the images have in common (their size; being gray) is known only at the end, but they must
//! not all lie in memory until then. So it is guessed from the first ones; an image that does not
//! fit widens the guess, and writing starts over. In practice that happens early or never.

pub(super) mod list;
pub(super) mod picture;

use std::path::Path;

use rayon::prelude::*;

use crate::data::broken::{self, Broken};
use crate::data::folder::list::{Found, List, list};
use crate::data::folder::picture::{Picture, Shape};
use crate::data::prepared::Writer;
use crate::data::{Data, Progress};
use crate::error::Result;

/// Images held in memory at a time.
const CHUNK: usize = 64;

/// Decodes the files below `path` into `folder`. An image's id is its path below `path`.
pub(super) fn decode(
    data: &Data,
    [path, folder]: [&Path; 2],
    classes: &[String],
    progress: Progress<'_>,
) -> Result<()> {
    let List { files, broken } = list(path, classes, &data.split.names())?;
    let mut pass = Pass::with(None);
    let mut done = 0;
    while done < files.len() {
        let chunk = &files[done..files.len().min(done + CHUNK)];
        if pass.take(chunk, data.image_size as u32, folder)? {
            done += chunk.len();
        } else {
            pass = Pass::with(pass.shape);
            done = 0;
        }
        progress(done, files.len());
    }
    let mut broken: Vec<Broken> = broken.into_iter().chain(pass.broken).collect();
    broken.sort_by(|a, b| a.name.cmp(&b.name));
    let skipped = broken::settle(data.on_error, broken)?;
    let writer = match pass.writer {
        Some(writer) => writer,
        None => Writer::create(folder, [data.image_size, data.image_size, 1])?,
    };
    writer.finish("folder", classes.to_vec(), skipped)
}

/// One try at all files under one guess of what they have in common.
struct Pass {
    shape: Option<Shape>,
    writer: Option<Writer>,
    broken: Vec<Broken>,
}

impl Pass {
    fn with(shape: Option<Shape>) -> Self {
        Self { shape, writer: None, broken: Vec::new() }
    }

    /// Decodes and writes `files`; false if one does not fit the guess, which is then wider.
    fn take(&mut self, files: &[Found], side: u32, folder: &Path) -> Result<bool> {
        let pictures: Vec<_> = files.par_iter().map(|it| picture::read(&it.path)).collect();
        let seen = pictures.iter().flatten().map(Picture::shape).chain(self.shape);
        let seen = seen.reduce(Shape::and);
        if self.shape != seen {
            self.shape = seen;
            if self.writer.is_some() {
                return Ok(false);
            }
        }
        let fit = |it: Result<Picture, String>| it.map(|it| it.fitted(seen, side));
        let fitted: Vec<_> = pictures.into_par_iter().map(fit).collect();
        for (file, pixels) in files.iter().zip(fitted) {
            match pixels {
                Ok(pixels) => self.writer(side, folder)?.push(file.item(), &pixels)?,
                Err(message) => self.broken.push(file.broken(message)),
            }
        }
        Ok(true)
    }

    fn writer(&mut self, side: u32, folder: &Path) -> Result<&mut Writer> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => Writer::create(folder, Shape::stored(self.shape, side))?,
        };
        Ok(self.writer.insert(writer))
    }
}

#[cfg(test)]
mod tests;
