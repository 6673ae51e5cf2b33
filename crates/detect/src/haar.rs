//! Cascades of Haar features, which find faces and eyes, computed by the system's OpenCV.
//!
//! **Invariant:** OpenCV works in the calling thread alone. With its own threads it gathers windows in any order, and what
//! it makes of them depends on it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ferrite_core::data::faces;
use ferrite_core::data::faces::found::{Face, Landmarks};
use ferrite_core::data::picture::{Picture, in_channels};
use ferrite_core::error::{Error, Result};
use opencv::core::{
    BORDER_REPLICATE, Mat, Rect, Scalar, Size, ToInputArray, Vector, copy_make_border,
    set_num_threads,
};
use opencv::imgproc::{INTER_LINEAR, resize};
use opencv::objdetect::CascadeClassifier;
use opencv::prelude::*;

/// Where Linux distributions and others put OpenCV's cascades.
const FOLDERS: [&str; 5] = [
    "/usr/share/opencv4/haarcascades",
    "/usr/local/share/opencv4/haarcascades",
    "/usr/share/opencv/haarcascades",
    "/usr/share/OpenCV/haarcascades",
    "/opt/homebrew/share/opencv4/haarcascades",
];

/// The cascade for faces, and those for eyes.
const FACE: &str = "haarcascade_frontalface_default.xml";
const EYES: [&str; 4] = [
    "haarcascade_eye.xml",
    "haarcascade_eye_tree_eyeglasses.xml",
    "haarcascade_lefteye_2splits.xml",
    "haarcascade_righteye_2splits.xml",
];

/// The share of a face's height, from the top, in which its eyes are looked for.
const UPPER: f64 = 0.6;

/// How windows are searched for: by how much they grow, and how many must overlap.
#[derive(Debug, Clone, Copy)]
struct Search {
    scale_factor: f64,
    min_neighbors: i32,
}

/// The search for eyes in a face: OpenCV's default, as the parts of a face are small.
const EYE_SEARCH: Search = Search { scale_factor: 1.1, min_neighbors: 3 };

/// The detector with the cascades that no thread uses at the moment: each thread needs its own.
pub(crate) struct Haar {
    settings: faces::Haar,
    folder: PathBuf,
    unused: Mutex<Vec<Cascades>>,
}

impl fmt::Debug for Haar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Haar").field("folder", &self.folder).finish_non_exhaustive()
    }
}

struct Cascades {
    face: CascadeClassifier,
    eyes: Vec<CascadeClassifier>,
}

/// A rectangle with the number of windows that make it.
type Found = (Rect, i32);

impl Haar {
    /// Opens the cascades.
    ///
    /// # Errors
    /// [`Error::Usage`] if they are not to be found, [`Error::Damaged`] if one cannot be read.
    pub(crate) fn open(settings: &faces::Haar) -> Result<Self> {
        set_num_threads(1).map_err(|it| failed(&it))?;
        let folder = folder()?;
        let first = Cascades::open(&folder)?;
        Ok(Self { settings: settings.clone(), folder, unused: Mutex::new(vec![first]) })
    }

    /// The faces in a picture that has pixels.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the cascades cannot be read again, [`Error::Usage`] with what OpenCV says.
    pub(crate) fn find(&self, picture: &Picture) -> Result<Vec<Face>> {
        let unused = || self.unused.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = unused().pop();
        let mut cascades = match taken {
            Some(cascades) => cascades,
            None => Cascades::open(&self.folder)?,
        };
        let faces = cascades.find(picture, &self.settings).map_err(|it| failed(&it));
        unused().push(cascades);
        faces
    }
}

fn failed(why: &opencv::Error) -> Error {
    Error::Usage {
        message: format!("OpenCV cannot look for faces: {}", why.message),
        help: "use `detector = { yunet = {} }`, which does without OpenCV".into(),
    }
}

/// The folder that has all cascades: the one that `$FERRITE_CASCADES` names, or else the first of [`FOLDERS`].
fn folder() -> Result<PathBuf> {
    let has_all = |folder: &Path| EYES.iter().chain([&FACE]).all(|it| folder.join(it).is_file());
    if let Some(own) = std::env::var_os("FERRITE_CASCADES").filter(|it| !it.is_empty()) {
        let own = PathBuf::from(own);
        return has_all(&own).then(|| own.clone()).ok_or_else(|| Error::Usage {
            message: format!(
                "FERRITE_CASCADES names `{}`, which lacks OpenCV's cascades",
                own.display()
            ),
            help: format!(
                "set it to the folder that has `{FACE}` and `{}`, or unset it",
                EYES.join("`, `")
            ),
        });
    }
    let found = FOLDERS.iter().map(PathBuf::from).find(|it| has_all(it));
    found.ok_or_else(|| Error::Usage {
        message: format!("OpenCV's cascades are not in `{}` or the other usual folders", FOLDERS[0]),
        help: "install them (`sudo apt-get install opencv-data`), or set FERRITE_CASCADES to their folder".into(),
    })
}

impl Cascades {
    fn open(folder: &Path) -> Result<Self> {
        let open = |name: &str| {
            let path = folder.join(name);
            CascadeClassifier::new(&path).map_err(|it| Error::Damaged {
                message: format!("OpenCV cannot read it: {}", it.message),
                help: "install it again (`sudo apt-get install --reinstall opencv-data`)".into(),
                path,
            })
        };
        Ok(Self { face: open(FACE)?, eyes: EYES.iter().map(|it| open(it)).collect::<Result<_>>()? })
    }

    /// The faces in a picture with their eyes, in its pixels; those made of the most windows first.
    fn find(&mut self, picture: &Picture, settings: &faces::Haar) -> opencv::Result<Vec<Face>> {
        let seen = Seen::new(picture, settings)?;
        let &faces::Haar { scale_factor, min_neighbors, .. } = settings;
        let search = Search { scale_factor, min_neighbors: min_neighbors as i32 };
        let mut faces = Vec::new();
        for (rectangle, windows) in found(&mut self.face, &seen.gray, search)? {
            let eyes = [0, 1].map(|half| self.eye(&seen.gray, upper_half(rectangle, half)));
            let landmarks = match eyes {
                [Ok(Some(left)), Ok(Some(right))] => {
                    Landmarks::Eyes([left, right].map(|it| seen.place(it)))
                }
                [Err(error), _] | [_, Err(error)] => return Err(error),
                _ => Landmarks::Unknown,
            };
            faces.push(Face { bounds: seen.bounds(rectangle), score: windows as f32, landmarks });
        }
        faces.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(faces)
    }

    /// The middle of the eye in a part of a picture: the median of what the cascades find, each in the rectangle that the
    /// most windows make.
    fn eye(&mut self, gray: &Mat, part: Rect) -> opencv::Result<Option<[f64; 2]>> {
        let pixels = Mat::roi(gray, part)?;
        let mut middles = Vec::new();
        for cascade in &mut self.eyes {
            let found = found(cascade, &pixels, EYE_SEARCH)?;
            // Of several that as many windows make it is the first.
            if let Some((it, _)) = found.into_iter().rev().max_by_key(|it| it.1) {
                middles.push([part.x + it.x, part.y + it.y].map(f64::from));
                let middle = middles.last_mut().expect("it was just put there");
                middle[0] += f64::from(it.width) / 2.0;
                middle[1] += f64::from(it.height) / 2.0;
            }
        }
        Ok((!middles.is_empty())
            .then(|| [0, 1].map(|axis| median(middles.iter().map(|it| it[axis]).collect()))))
    }
}

/// The left or right half of the upper part of a face.
fn upper_half(face: Rect, half: i32) -> Rect {
    let width = face.width / 2;
    let height = (f64::from(face.height) * UPPER) as i32;
    Rect::new(face.x + half * width, face.y, width, height)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

fn found(
    cascade: &mut CascadeClassifier,
    gray: &impl ToInputArray,
    search: Search,
) -> opencv::Result<Vec<Found>> {
    let Search { scale_factor, min_neighbors } = search;
    let (mut rectangles, mut windows) = (Vector::<Rect>::new(), Vector::<i32>::new());
    let any = Size::default();
    cascade.detect_multi_scale2(
        gray,
        &mut rectangles,
        &mut windows,
        scale_factor,
        min_neighbors,
        0,
        any,
        any,
    )?;
    Ok(rectangles.iter().zip(windows.iter()).collect())
}

/// A picture as the cascades see it: gray, its edge repeated, enlarged.
struct Seen {
    gray: Mat,
    /// Pixels by which the edge was repeated.
    padding: i32,
    /// How many pixels of the picture one of `gray` is, across and down.
    scale: [f64; 2],
}

impl Seen {
    fn new(picture: &Picture, settings: &faces::Haar) -> opencv::Result<Self> {
        let [height, width, channels] = picture.shape;
        let pixels = in_channels(&picture.pixels, channels, 1);
        let whole = Mat::new_rows_cols_with_data(height as i32, width as i32, &pixels)?;
        let longer = height.max(width);
        let padding = (longer as f64 * settings.padding).round() as i32;
        let mut padded = Mat::default();
        copy_make_border(
            &whole,
            &mut padded,
            padding,
            padding,
            padding,
            padding,
            BORDER_REPLICATE,
            Scalar::default(),
        )?;
        if longer >= settings.enlarge_to {
            return Ok(Self { gray: padded, padding, scale: [1.0; 2] });
        }
        let factor = settings.enlarge_to as f64 / longer as f64;
        let [wide, high] =
            [padded.cols(), padded.rows()].map(|it| (f64::from(it) * factor).round() as i32);
        let mut gray = Mat::default();
        resize(&padded, &mut gray, Size::new(wide, high), 0.0, 0.0, INTER_LINEAR)?;
        let scale = [
            f64::from(padded.cols()) / f64::from(wide),
            f64::from(padded.rows()) / f64::from(high),
        ];
        Ok(Self { gray, padding, scale })
    }

    /// The place in the picture of a place in `gray`.
    fn place(&self, place: [f64; 2]) -> [f32; 2] {
        [0, 1].map(|axis| (place[axis] * self.scale[axis] - f64::from(self.padding)) as f32)
    }

    fn bounds(&self, it: Rect) -> [f32; 4] {
        let [left, top] = self.place([f64::from(it.x), f64::from(it.y)]);
        let [width, height] =
            [f64::from(it.width) * self.scale[0], f64::from(it.height) * self.scale[1]];
        [left, top, width as f32, height as f32]
    }
}

#[cfg(test)]
mod tests;
