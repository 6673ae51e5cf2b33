//! From a source to a decoded folder.

use std::path::Path;

use rayon::prelude::*;

use crate::data::prepared::{Item, Writer};
use crate::data::source::Source;
use crate::data::synthetic::{SIZE, Synthetic};
use crate::data::{Data, Progress, fer2013, folder};
use crate::error::Result;

/// Faces drawn before they are written.
const CHUNK: usize = 1024;

/// Decodes the source into `folder`, which exists and is empty; see [`crate::data::prepared`].
///
/// # Errors
/// [`crate::error::Error::Data`] about the source, [`crate::error::Error::File`] about `folder`.
pub fn decode(data: &Data, folder: &Path, progress: Progress<'_>) -> Result<()> {
    match &data.source {
        Source::Fer2013 { csv } => fer2013::decode(csv, data.on_error, folder, progress),
        Source::Folder { path, classes } => folder::decode(data, [path, folder], classes, progress),
        Source::Synthetic(synthetic) => draw(synthetic, folder, progress),
    }
}

/// Draws all faces. An image's id is its index.
fn draw(synthetic: &Synthetic, folder: &Path, progress: Progress<'_>) -> Result<()> {
    let mut writer = Writer::create(folder, [SIZE, SIZE, 1])?;
    for start in (0..synthetic.faces).step_by(CHUNK) {
        let indices = start..synthetic.faces.min(start + CHUNK);
        let faces: Vec<_> =
            indices.clone().into_par_iter().map(|it| synthetic.draw(it as u64)).collect();
        for (index, face) in indices.clone().zip(faces) {
            let item = Item { id: &index.to_string(), split: "", label: face.label };
            writer.push(item, &face.pixels)?;
        }
        progress(indices.end, synthetic.faces);
    }
    writer.finish("synthetic", synthetic.classes(), Vec::new())
}
