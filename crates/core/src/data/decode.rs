//! From a source to a decoded folder.

use std::path::Path;

use ferrite_faces::Synthetic;
use rayon::prelude::*;

use crate::data::picture::content;
use crate::data::prepared::{Item, Notes, Writer};
use crate::data::source::Source;
use crate::data::{Data, Progress, fer2013, folder, manifest};
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
        Source::Manifest(it) => manifest::decode(data, it, folder, progress),
        Source::Synthetic(synthetic) => draw(synthetic, folder, progress),
    }
}

/// Draws all faces. An image's id is its index.
fn draw(synthetic: &Synthetic, folder: &Path, progress: Progress<'_>) -> Result<()> {
    let mut writer = Writer::create(folder)?;
    let shape = [synthetic.size(), synthetic.size(), 1];
    for start in (0..synthetic.faces).step_by(CHUNK) {
        let indices = start..synthetic.faces.min(start + CHUNK);
        let faces: Vec<_> =
            indices.clone().into_par_iter().map(|it| synthetic.draw(it as u64)).collect();
        for (index, face) in indices.clone().zip(faces) {
            let content = content(&face.pixels, shape);
            let (id, label) = (&index.to_string(), face.label);
            let group = &synthetic.shown_by(index as u64).unwrap_or_default();
            writer.push(Item { id, split: "", group, label, content }, shape, &face.pixels)?;
        }
        progress(indices.end, synthetic.faces);
    }
    writer.finish("synthetic", synthetic.classes(), Notes::default())
}

#[cfg(test)]
mod tests {
    use ferrite_faces::SIZE;
    use ferrite_faces::frame::Frame;

    use super::*;
    use crate::data::prepared;
    use crate::data::trial::Trial;

    #[test]
    fn a_drawn_face_is_found_at_its_index() {
        let trial = Trial::new();
        let data = trial.data("source.synthetic.faces = 5");
        decode(&data, &trial.path(""), &|done, all| assert_eq!((done, all), (5, 5))).unwrap();
        let prepared = prepared::read(&trial.path("")).unwrap();
        let face = Synthetic { faces: 5, ..Synthetic::default() }.draw(3);
        assert_eq!(prepared.images[3 * SIZE * SIZE..][..SIZE * SIZE], face.pixels);
        assert_eq!((prepared.labels[3], prepared.ids[3].as_str()), (face.label, "3"));
        assert_eq!(prepared.manifest.classes, data.source.classes());
    }

    #[test]
    fn a_framed_face_keeps_the_size_of_its_frame() {
        let trial = Trial::new();
        let data = trial.data("source.synthetic = { faces = 3, frame = { size = 64 } }");
        decode(&data, &trial.path(""), &|_, _| {}).unwrap();
        let prepared = prepared::read(&trial.path("")).unwrap();
        let frame = Some(Frame { size: 64, ..Frame::default() });
        let face = Synthetic { faces: 3, frame, ..Synthetic::default() }.draw(2);
        assert_eq!(prepared.layout.shape(2), [64, 64, 1]);
        assert_eq!(prepared.images[2 * 64 * 64..], face.pixels);
    }
}
