//! How answers are printed: for people, as CSV, as JSON.

use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::terminal::{documented, print, print_data, print_json};

use crate::predict::Model;
use crate::predict::said::{Answer, Guess};

/// How answers are printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) kind: Kind,
    /// Whether some are of videos.
    pub(super) videos: bool,
}

/// What answers are printed as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Json,
    Csv,
    /// For people, with the length of the longest path.
    Table(usize),
}

impl Form {
    /// Prints what stands before all answers.
    pub(super) fn begin(self, model: &Model) -> Result<()> {
        match self.kind {
            Kind::Csv => print_data(&records(&[self.header(model)])?),
            Kind::Json | Kind::Table(_) => Ok(()),
        }
    }

    pub(super) fn tell(self, model: &Model, answers: &[Answer]) -> Result<()> {
        match self.kind {
            Kind::Json => print_json(&json(model, answers)),
            Kind::Csv => print_data(&records(&self.cells(model, answers))?),
            Kind::Table(width) => print(&table(model, answers, width)),
        }
    }

    /// The columns of a table of answers.
    fn header(self, model: &Model) -> Vec<String> {
        let of_a_face = if model.finds_faces() { &OF_A_FACE[..] } else { &[] };
        let of_a_video: &[&str] = match (self.videos, model.finds_faces()) {
            (true, true) => &["seconds", "track"],
            (true, false) => &["seconds"],
            (false, _) => &[],
        };
        let of_several: &[&str] = if model.is_ensemble() { &["runs", "agree"] } else { &[] };
        let header = [&["path"], of_a_video, of_a_face, &["prediction"], of_several].concat();
        header.into_iter().map(str::to_owned).chain(model.classes.iter().cloned()).collect()
    }

    /// A row for each face or whole picture; a picture without a face has one that says no more than which it is.
    fn cells(self, model: &Model, answers: &[Answer]) -> Vec<Vec<String>> {
        let width = self.header(model).len();
        let rows = answers.iter().flat_map(|answer| {
            let mut which = vec![answer.path.to_string_lossy().into_owned()];
            if self.videos {
                which.push(answer.seconds.map(|it| it.to_string()).unwrap_or_default());
            }
            if answer.guesses.is_empty() {
                which.resize(width, String::new());
                return vec![which];
            }
            let row = |it: &Guess| [which.clone(), self.said(model, it)].concat();
            answer.guesses.iter().map(row).collect()
        });
        rows.collect()
    }

    /// What is said of a face or a whole picture, behind what says which picture it is.
    fn said(self, model: &Model, guess: &Guess) -> Vec<String> {
        let track = || guess.track.map(|it| it.to_string()).unwrap_or_default();
        let track = (self.videos && model.finds_faces()).then(track);
        let face = guess.face.iter().flat_map(|it| it.bounds.iter().chain([&it.score]));
        let class = model.classes[guess.class].clone();
        let several = model.is_ensemble().then(|| [guess.answered(), guess.agree()]);
        let several = several.into_iter().flatten().map(|it| it.to_string());
        let probabilities = guess.probabilities.iter().map(|it| format!("{it:.6}"));
        let cells = track.into_iter().chain(face.map(ToString::to_string));
        cells.chain([class]).chain(several).chain(probabilities).collect()
    }
}

/// Characters of a path.
pub(super) fn length(path: &Path) -> usize {
    path.display().to_string().chars().count()
}

/// Characters of a face's place, most often.
const PLACE: usize = 28;

fn table(model: &Model, answers: &[Answer], width: usize) -> String {
    let rows = answers.iter().flat_map(|it| rows(model, it));
    let line = |[path, face, said]: [String; 3]| {
        let face = if model.finds_faces() { format!("{face:PLACE$}  ") } else { face };
        format!("{path:width$}  {face}{said}\n")
    };
    rows.map(line).collect()
}

/// The lines of a picture: its path, a face, what is said of it.
fn rows(model: &Model, answer: &Answer) -> Vec<[String; 3]> {
    let path = answer.path.display().to_string();
    let path = answer.seconds.map_or(path.clone(), |it| format!("{path} at {it:.2} s"));
    if answer.guesses.is_empty() {
        return vec![[path, String::new(), "no face was found".into()]];
    }
    let wide = model.classes.iter().map(|it| it.chars().count()).max().unwrap_or_default();
    let row = |guess: &Guess| {
        let face = guess.face.as_ref().map(|it| {
            let [left, top, width, height] = it.bounds.map(f32::round);
            let number = guess.track.map(|it| format!(" {it}")).unwrap_or_default();
            format!("face{number} at {left},{top} of {width}x{height}")
        });
        let mut order: Vec<usize> = (0..guess.probabilities.len()).collect();
        order.sort_by(|a, b| guess.probabilities[*b].total_cmp(&guess.probabilities[*a]));
        let percent = |it: usize| format!("{:5.1} %", 100.0 * guess.probabilities[it]);
        let next: Vec<String> = order[1..]
            .iter()
            .take(2)
            .map(|it| format!("{} {}", model.classes[*it], percent(*it).trim()))
            .collect();
        let (class, likely) = (&model.classes[guess.class], percent(guess.class));
        let agree = if model.is_ensemble() {
            format!("  {} of {} agree", guess.agree(), guess.answered())
        } else {
            String::new()
        };
        let said = format!("{class:wide$}  {likely}{agree}   {}", next.join(", "));
        [path.clone(), face.unwrap_or_default(), said]
    };
    answer.guesses.iter().map(row).collect()
}

fn json(model: &Model, answers: &[Answer]) -> String {
    let line = |answer: &Answer| {
        let mut object = model.told(&answer.guesses);
        object["path"] = answer.path.to_string_lossy().into();
        if let Some(seconds) = answer.seconds {
            object["seconds"] = seconds.into();
        }
        documented(object)
    };
    answers.iter().map(line).collect()
}

/// Columns of a face, in CSV.
const OF_A_FACE: [&str; 5] = ["left", "top", "width", "height", "score"];

fn records(rows: &[Vec<String>]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: std::io::Error| Error::file("cannot write", "stdout")(error);
    for row in rows {
        writer.write_record(row).map_err(|it| failed(it.into()))?;
    }
    let bytes = writer.into_inner().map_err(|it| failed(it.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
