//! Picture files in a folder for each class.

pub mod arrangement;
pub(super) mod counts;
pub(super) mod list;

use std::path::Path;

use rayon::prelude::*;

use crate::data::broken::{self, Broken};
use crate::data::folder::list::{List, list};
use crate::data::picture::{self, Picture};
use crate::data::prepared::{Item, Notes, Writer};
use crate::data::{Data, Progress};
use crate::error::Result;

/// Pictures held in memory at a time.
const CHUNK: usize = 256;

/// Decodes the files below `path` into `folder`. An image's id is its path below `path`.
pub(super) fn decode(
    data: &Data,
    [path, folder]: [&Path; 2],
    classes: &[String],
    progress: Progress<'_>,
) -> Result<()> {
    let List { files, mut broken, beside } = list(path, classes, &data.split.names())?;
    let mut writer = Writer::create(folder)?;
    for (index, chunk) in files.chunks(CHUNK).enumerate() {
        let side = data.image_size;
        let read = |path: &Path| picture::read(path).map(|it| Seen::of(it, side));
        let pictures: Vec<_> = chunk.par_iter().map(|it| read(&it.path)).collect();
        for (file, picture) in chunk.iter().zip(pictures) {
            match picture {
                Ok(Seen { content, picture }) => {
                    let (id, split, group) = (&file.id, &file.split, &file.group);
                    let item = Item { id, split, group, label: file.label, content };
                    writer.push(item, picture.shape, &picture.pixels)?;
                }
                Err(message) => broken.push(file.broken(message)),
            }
        }
        progress(index * CHUNK + chunk.len(), files.len());
    }
    broken.sort_by(|a: &Broken, b| a.name.cmp(&b.name));
    let skipped = broken::settle(data.on_error, broken)?;
    writer.finish("folder", classes.to_vec(), Notes { skipped, beside: beside.lines() })
}

/// A picture as a network sees it, with what identifies the whole of it.
pub(super) struct Seen {
    /// What identifies the picture as it lies in its file.
    pub content: u64,
    /// What a network sees of it.
    pub picture: Picture,
}

impl Seen {
    /// What a network of `side` pixels a side sees of `picture`.
    pub(super) fn of(picture: Picture, side: usize) -> Self {
        Self { content: picture.content(), picture: picture.fitted(side) }
    }
}

#[cfg(test)]
mod tests;
