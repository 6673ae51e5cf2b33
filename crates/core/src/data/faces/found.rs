//! The faces that a detector found in pictures, and the table that keeps them.

use std::collections::HashMap;
use std::path::Path;

use crate::data::faces::Choice;
use crate::error::{Error, Result};
use crate::files::write_whole;

/// The table of a folder with found faces: a line for each face, those of a picture with the highest score first.
pub const FOUND: &str = "found.csv";

/// Its columns: the picture's id, the face's rectangle, its score, and the landmarks that were found; two for the eyes
/// alone, none where there are none.
const COLUMNS: [&str; 16] = [
    "id",
    "left",
    "top",
    "width",
    "height",
    "score",
    "left_eye_x",
    "left_eye_y",
    "right_eye_x",
    "right_eye_y",
    "nose_x",
    "nose_y",
    "left_mouth_x",
    "left_mouth_y",
    "right_mouth_x",
    "right_mouth_y",
];

/// A face in a picture. Places are pixels of the upright picture, whose first pixel reaches from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Face {
    /// Left, top, width and height of its rectangle, which may reach beyond the picture.
    pub bounds: [f32; 4],
    /// How sure the detector is. For YuNet it is between 0 and 1, for Haar cascades the number of windows.
    pub score: f32,
    /// Its landmarks.
    pub landmarks: Landmarks,
}

/// Places in a face, x and y. Left and right are those of the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Landmarks {
    /// None were found.
    Unknown,
    /// The left and the right eye.
    Eyes([[f32; 2]; 2]),
    /// The left and the right eye, the nose, the left and the right corner of the mouth.
    Five([[f32; 2]; 5]),
}

impl Landmarks {
    /// The places that are known, in the order of [`Landmarks::Five`].
    pub fn points(&self) -> &[[f32; 2]] {
        match self {
            Self::Unknown => &[],
            Self::Eyes(eyes) => eyes,
            Self::Five(all) => all,
        }
    }

    fn of(points: &[[f32; 2]]) -> Option<Self> {
        match points.len() {
            0 => Some(Self::Unknown),
            2 => points.try_into().ok().map(Self::Eyes),
            5 => points.try_into().ok().map(Self::Five),
            _ => None,
        }
    }
}

impl Face {
    /// The angle by which the line through the eyes is turned, in degrees clockwise; none where the eyes are not known.
    pub fn roll(&self) -> Option<f32> {
        let [left, right, ..] = self.landmarks.points() else { return None };
        Some((right[1] - left[1]).atan2(right[0] - left[0]).to_degrees())
    }
}

/// The one of several faces in a picture of this height and width that `choice` takes; none of none. Of equal ones it is
/// the first, which is the one with the highest score.
pub fn chosen(faces: &[Face], choice: Choice, [height, width]: [usize; 2]) -> Option<&Face> {
    let area = |it: &Face| it.bounds[2] * it.bounds[3];
    let away = |it: &Face| {
        let [left, top, wide, high] = it.bounds;
        let [x, y] =
            [left + wide / 2.0 - width as f32 / 2.0, top + high / 2.0 - height as f32 / 2.0];
        x * x + y * y
    };
    // Of several that are equally small `min_by` returns the first.
    match choice {
        Choice::Largest => faces.iter().min_by(|a, b| area(b).total_cmp(&area(a))),
        Choice::Central => faces.iter().min_by(|a, b| away(a).total_cmp(&away(b))),
    }
}

/// Writes the faces of pictures, each named by its id, into `folder`.
///
/// # Errors
/// [`Error::File`] if it cannot be written.
pub fn write<'a>(
    folder: &Path,
    pictures: impl IntoIterator<Item = (&'a str, &'a [Face])>,
) -> Result<()> {
    let path = folder.join(FOUND);
    let failed = |error: std::io::Error| Error::file("cannot write", &path)(error);
    let mut table = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let mut add = |record: Vec<String>| table.write_record(record).map_err(|it| failed(it.into()));
    add(COLUMNS.map(str::to_owned).to_vec())?;
    for (id, faces) in pictures {
        for face in faces {
            let numbers = face.bounds.iter().chain([&face.score]);
            let numbers = numbers.chain(face.landmarks.points().iter().flatten());
            add([id.to_owned()].into_iter().chain(numbers.map(ToString::to_string)).collect())?;
        }
    }
    let bytes = table.into_inner().map_err(|it| failed(it.into_error()))?;
    write_whole(&path, &bytes)
}

/// Reads what [`write`] wrote: the faces of each picture by its id, none for those without.
///
/// # Errors
/// [`Error::Damaged`] if it does not hold what it should.
pub fn read(folder: &Path) -> Result<HashMap<String, Vec<Face>>> {
    let path = folder.join(FOUND);
    let damaged = |message: String| Error::Damaged {
        path: path.clone(),
        message,
        help: "delete its folder; the next sweep looks for faces again".into(),
    };
    let bytes = std::fs::read(&path).map_err(Error::file("cannot read", &path))?;
    let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(&bytes[..]);
    let mut all: HashMap<String, Vec<Face>> = HashMap::new();
    for record in table.records() {
        let record = record.map_err(|it| damaged(it.to_string()))?;
        let line = record.position().map_or(0, csv::Position::line);
        let (id, face) =
            face_of(&record).ok_or_else(|| damaged(format!("line {line} is no face")))?;
        all.entry(id).or_default().push(face);
    }
    Ok(all)
}

fn face_of(record: &csv::StringRecord) -> Option<(String, Face)> {
    let mut cells = record.iter();
    let id = cells.next()?.to_owned();
    let numbers: Vec<f32> = cells.map(|it| it.parse().ok()).collect::<Option<_>>()?;
    let (fixed, points) = numbers.split_at_checked(5)?;
    let bounds = fixed[..4].try_into().ok()?;
    let points: Vec<[f32; 2]> =
        points.chunks(2).map(|it| it.try_into().ok()).collect::<Option<_>>()?;
    Some((id, Face { bounds, score: fixed[4], landmarks: Landmarks::of(&points)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(bounds: [f32; 4], landmarks: Landmarks) -> Face {
        Face { bounds, score: 0.75, landmarks }
    }

    #[test]
    fn faces_come_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let five = [[1.5, 2.0], [3.25, 2.0], [0.1, 1e-7], [-4.0, 5.0], [6.0, 1e9]];
        let one = [
            face([-1.0, 2.5, 30.0, 40.0], Landmarks::Five(five)),
            face([0.0; 4], Landmarks::Unknown),
        ];
        let two = [face([0.1; 4], Landmarks::Eyes([[1.0, 2.0], [3.0, 4.0]]))];
        let pictures = [("a,\"b\".png", &one[..]), ("none", &[]), ("c", &two[..])];
        write(folder.path(), pictures).unwrap();
        let read = read(folder.path()).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!((&read["a,\"b\".png"][..], &read["c"][..]), (&one[..], &two[..]));
    }

    #[test]
    fn a_damaged_table_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FOUND), "id,left\na,1,2,3,4,5,6\n").unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("found.csv") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn the_roll_is_clockwise() {
        let turned = face([0.0; 4], Landmarks::Eyes([[10.0, 10.0], [20.0, 20.0]]));
        assert!((turned.roll().unwrap() - 45.0).abs() < 1e-4);
        assert_eq!(face([0.0; 4], Landmarks::Unknown).roll(), None);
    }

    #[test]
    fn the_largest_or_the_most_central_face_is_taken() {
        let large = face([0.0, 0.0, 40.0, 40.0], Landmarks::Unknown);
        let central = face([45.0, 45.0, 10.0, 10.0], Landmarks::Unknown);
        let faces = [central.clone(), large.clone()];
        assert_eq!(chosen(&faces, Choice::Largest, [100, 100]), Some(&large));
        assert_eq!(chosen(&faces, Choice::Central, [100, 100]), Some(&central));
        assert_eq!(chosen(&[], Choice::Largest, [100, 100]), None);
    }
}
