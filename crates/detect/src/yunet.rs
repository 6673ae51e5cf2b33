//! YuNet: a picture is looked at in several sizes, and what was found comes together.

use std::path::Path;

use ferrite_core::data::faces;
use ferrite_core::data::faces::found::{Face, Landmarks};
use ferrite_core::data::faces::placed::How;
use ferrite_core::data::faces::{Faces, YUNET};
use ferrite_core::data::picture::{Picture, resized};
use ferrite_core::error::{Error, Result};
use ferrite_core::fetch::digest;

use crate::align::window;
use crate::candidates::best;
use crate::network::Network;
use crate::sample::image;

/// The size at which every picture is looked at, and others for pictures with more pixels than these on their longer side.
const SIZE: usize = 224;
const LARGER: [(usize, usize); 2] = [(320, 640), (1280, 1600)];

/// A face is looked at again if its longer side has fewer pixels than this at the first of the sizes, or if its eyes are
/// turned by more degrees than this, and then until what is left of that is less.
const SMALL: f32 = 150.0;
const TURNED: f32 = 8.0;
const UPRIGHT: f32 = 1.0;

/// So many faces of a picture are looked at again at most, those with the highest scores.
const MOST_REFINED: usize = 50;

/// A detector with its network.
#[derive(Debug)]
pub(crate) struct Yunet {
    settings: faces::Yunet,
    network: Network,
}

impl Yunet {
    /// Opens the file at `path`, which must be the one that is published: [`YUNET`].
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is another one; [`Error::File`] if it cannot be read.
    pub(crate) fn open(settings: &faces::Yunet, path: &Path) -> Result<Self> {
        let digest = digest(path)?;
        if digest != YUNET.checksum.digits() {
            return Err(Error::Damaged {
                path: path.to_owned(),
                message: format!(
                    "its sha256 is {digest}, but should be {}",
                    YUNET.checksum.digits()
                ),
                help: "delete it: it is then downloaded again".into(),
            });
        }
        let bytes = std::fs::read(path).map_err(Error::file("cannot read", path))?;
        Ok(Self { settings: settings.clone(), network: Network::new(path, &bytes)? })
    }

    /// The faces in a picture that has pixels.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the network cannot be computed.
    pub(crate) fn find(&self, picture: &Picture) -> Result<Vec<Face>> {
        let (mut faces, sizes) = (Vec::new(), sizes(&self.settings.sizes, picture.shape));
        for size in &sizes {
            faces.extend(self.look(picture, *size)?);
        }
        let mut faces = best(faces, self.settings.overlap as f32);
        let scale = sizes[0] as f32 / picture.shape[0].max(picture.shape[1]) as f32;
        for face in faces.iter_mut().take(MOST_REFINED) {
            let pixels = scale * face.bounds[2].max(face.bounds[3]);
            let is_turned = face.roll().is_some_and(|it| it.abs() > TURNED);
            if pixels < SMALL || is_turned {
                self.refine(picture, face)?;
            }
        }
        Ok(faces)
    }

    /// The faces that are found when the longer side has `size` pixels, in pixels of the picture.
    fn look(&self, picture: &Picture, size: usize) -> Result<Vec<Face>> {
        let [height, width, channels] = picture.shape;
        let seen = within(size, [height, width]);
        let pixels = if seen == [height, width] {
            &picture.pixels
        } else {
            &resized(&picture.pixels, picture.shape, seen)
        };
        let least = self.settings.score as f32;
        let found = self.network.find(pixels, [seen[0], seen[1], channels], least)?;
        let scale = [width as f32 / seen[1] as f32, height as f32 / seen[0] as f32];
        let mut faces = best(found, self.settings.overlap as f32);
        for face in &mut faces {
            enlarge(face, scale);
        }
        Ok(faces)
    }

    /// Looks again at a face after it was turned upright, as often as the settings say or until it stays upright. Rectangle and
    /// score stay.
    ///
    /// The network sees turned faces too upright: of 30 degrees it finds 20 in large faces and 3 in small ones. What is left
    /// is found from the face as it was aligned.
    fn refine(&self, picture: &Picture, face: &mut Face) -> Result<()> {
        for _ in 1..self.settings.looks {
            let Some((window, How::Aligned)) = window(face, &Faces::default(), SIZE) else {
                break;
            };
            let upright = image(picture, &window, SIZE);
            let found = self.look(&upright, SIZE)?.into_iter().next();
            let Some(Face { landmarks: Landmarks::Five(points), .. }) = found else { break };
            let [left, right] = [points[0], points[1]];
            face.landmarks = Landmarks::Five(
                points.map(|it| window.source(it.map(f64::from)).map(|it| it as f32)),
            );
            if (right[1] - left[1]).atan2(right[0] - left[0]).to_degrees().abs() < UPRIGHT {
                break;
            }
        }
        Ok(())
    }
}

/// The sizes at which a picture of this shape is looked at, by the setting.
fn sizes(setting: &[usize], [height, width, _]: [usize; 3]) -> Vec<usize> {
    if !setting.is_empty() {
        return setting.to_vec();
    }
    let larger = LARGER.iter().filter(|it| height.max(width) > it.0).map(|it| it.1);
    std::iter::once(SIZE).chain(larger).collect()
}

/// Height and width whose longer is `size`, in the proportion of those given; at least 1.
fn within(size: usize, shape: [usize; 2]) -> [usize; 2] {
    let longer = shape[0].max(shape[1]);
    shape.map(|it| ((it * size + longer / 2) / longer).max(1))
}

/// The face in a picture that is `scale` times as wide and high.
fn enlarge(face: &mut Face, [x, y]: [f32; 2]) {
    for (place, scale) in face.bounds.iter_mut().zip([x, y, x, y]) {
        *place *= scale;
    }
    if let Landmarks::Five(points) = &mut face.landmarks {
        *points = points.map(|it| [it[0] * x, it[1] * y]);
    }
}

#[cfg(test)]
mod tests;
