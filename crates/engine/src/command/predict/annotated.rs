//! Pictures in which faces are marked, and sheets of those of a video.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use ferrite_core::data::photo;
use ferrite_core::data::video::Frame;
use ferrite_core::error::{Error, Result};
use ferrite_core::files::{create_folder, write_whole};
use rayon::prelude::*;

use crate::mark::Sheet;
use crate::predict::said::{Answer, Guess};

/// A folder with pictures in which faces are marked. Pictures of one name get numbers.
pub(super) struct Annotated<'a> {
    folder: &'a Path,
    inputs: HashSet<PathBuf>,
    taken: HashSet<String>,
}

impl<'a> Annotated<'a> {
    pub(super) fn into(folder: &'a Path, pictures: &[PathBuf]) -> Result<Self> {
        create_folder(folder)?;
        let inputs = pictures.iter().filter_map(|it| it.canonicalize().ok()).collect();
        Ok(Self { folder, inputs, taken: HashSet::new() })
    }

    pub(super) fn write(&mut self, classes: &[String], answers: &[Answer]) -> Result<()> {
        let targets = answers.iter().map(|it| Ok((it, self.target(&it.path)?)));
        let targets: Vec<(&Answer, PathBuf)> = targets.collect::<Result<_>>()?;
        targets.par_iter().try_for_each(|(answer, path)| annotate(classes, answer, path))
    }

    /// Writes the sheet of the video at `path`.
    pub(super) fn write_sheet(&mut self, path: &Path, contact: &Contact) -> Result<()> {
        let target = self.target(path)?;
        write_whole(&target, &contact.sheet().to_png())
    }

    /// Where the picture at `path` goes: never onto a picture that was asked about.
    fn target(&mut self, path: &Path) -> Result<PathBuf> {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let numbered = (2..).map(|number| format!("{stem}-{number}"));
        let mut free = std::iter::once(stem.to_string()).chain(numbered);
        let name = free.find(|it| self.taken.insert(it.clone())).unwrap_or_default();
        let target = self.folder.join(format!("{name}.png"));
        match target.canonicalize() {
            Ok(it) if self.inputs.contains(&it) => Err(Error::Usage {
                message: format!(
                    "`{}` would be written over a picture that you ask about",
                    target.display()
                ),
                help: "name another folder with `--annotate`".into(),
            }),
            _ => Ok(target),
        }
    }
}

fn annotate(classes: &[String], answer: &Answer, path: &Path) -> Result<()> {
    let mut sheet = Sheet::of(&photo::open(&answer.path)?);
    for guess in &answer.guesses {
        mark(&mut sheet, classes, guess, 1.0);
    }
    write_whole(path, &sheet.to_png())
}

/// Marks what is said of a face, or of all, in a picture that is `scale` times as large as that it is said of.
fn mark(sheet: &mut Sheet, classes: &[String], guess: &Guess, scale: f32) {
    let percent = 100.0 * guess.probabilities[guess.class];
    let number = guess.track.map(|it| format!("{it} ")).unwrap_or_default();
    let text = format!("{number}{} {percent:.0} %", classes[guess.class]);
    let at = guess.face.as_ref().map_or([0.0; 2], |it| [it.bounds[0], it.bounds[1]]);
    if let Some(face) = &guess.face {
        sheet.mark(face, scale);
    }
    sheet.write(&text, at.map(|it| it * scale));
}

/// The most pictures of a sheet.
const MOST: usize = 48;
/// Pictures in a row of it.
const COLUMNS: usize = 6;
/// Pixels of the longer side of each.
const SIDE: usize = 240;
/// Pixels between them.
const GAP: usize = 8;
/// Height of the line below each.
const LINE: usize = 20;

/// What a sheet shows of a video: pictures at equal distances, however long it is.
#[derive(Debug)]
pub(super) struct Contact {
    /// Small pictures with what is said of them, and when they are shown.
    shown: Vec<(Sheet, f64)>,
    /// Every how many pictures one is shown.
    step: usize,
    count: usize,
}

impl Contact {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { shown: Vec::new(), step: 1, count: 0 }
    }

    /// Shows the next pictures, or some of them.
    pub(super) fn add(&mut self, classes: &[String], frames: &[Frame], answers: &[Answer]) {
        for (frame, answer) in frames.iter().zip(answers) {
            if self.count.is_multiple_of(self.step) {
                if self.shown.len() == MOST {
                    // Those between are left out, from here on as well.
                    let mut odd = [false, true].into_iter().cycle();
                    self.shown.retain(|_| odd.next() == Some(false));
                    self.step *= 2;
                }
                if self.count.is_multiple_of(self.step) {
                    self.shown.push((small(classes, frame, answer), frame.seconds));
                }
            }
            self.count += 1;
        }
    }

    /// All of them, row by row, with the time below each.
    fn sheet(&self) -> Sheet {
        let sizes = self.shown.iter().map(|it| it.0.size());
        let [wide, high] = sizes.fold([1, 1], |a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        let [wide, high] = [wide as usize + GAP, high as usize + LINE + GAP];
        let columns = self.shown.len().clamp(1, COLUMNS);
        let rows = self.shown.len().div_ceil(columns);
        let mut sheet = Sheet::blank([GAP + columns * wide, GAP + rows * high].map(|it| it as u32));
        for (at, (picture, seconds)) in self.shown.iter().enumerate() {
            let [left, top] = [GAP + at % columns * wide, GAP + at / columns * high];
            sheet.put(picture, [left as u32, top as u32]);
            sheet.label(&format!("{seconds:.2} s"), [left, top + high - LINE - GAP + 3], 14.0);
        }
        sheet
    }
}

/// A picture of a video as the sheet shows it.
fn small(classes: &[String], frame: &Frame, answer: &Answer) -> Sheet {
    let [height, width, _] = frame.picture.shape;
    let mut sheet = Sheet::fitting(&frame.picture, &[], SIDE);
    for guess in &answer.guesses {
        mark(&mut sheet, classes, guess, SIDE as f32 / height.max(width) as f32);
    }
    sheet
}
