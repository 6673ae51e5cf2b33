//! `ferrite predict`: what a finished run's model says about pictures.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use ferrite_core::data::photo::{self, Photos};
use ferrite_core::error::{Error, Result, printable};
use ferrite_core::fetch::Cache;
use ferrite_core::files::{create_folder, write_whole};
use ferrite_core::machine;
use ferrite_core::remote::Remote;
use ferrite_core::store::Store;
use ferrite_core::store::find::run_of;
use ferrite_core::terminal::arguments::{ModelArguments, PredictArguments};
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::notes::counting;
use ferrite_core::terminal::{documented, print, print_data, print_json};
use ferrite_torch::device_named;
use rayon::prelude::*;

use crate::mark::Sheet;
use crate::predict;
use crate::predict::{Answer, Asked, Guess, Model, Wanted};

pub(super) fn predict_command(arguments: &PredictArguments) -> Result<()> {
    let mut paths = arguments.pictures.clone();
    if let Some(list) = &arguments.list {
        paths.extend(photo::named_in(list)?);
    }
    let Photos { pictures, broken, beside } = photo::list(&paths)?;
    let model = opened(&arguments.model)?;
    let form = match (arguments.json, arguments.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ => Form::Table(pictures.iter().map(|it| length(it)).max().unwrap_or_default()),
    };
    let mut annotated =
        arguments.annotate.as_deref().map(|it| Annotated::into(it, &pictures)).transpose()?;
    let bar = counting("pictures", pictures.len());
    let mut bad = broken;
    bar.suspend(|| form.begin(&model))?;
    model.answer(&pictures, &mut |answers| {
        bar.inc(answers.len() as u64);
        let (good, failed): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        bad.extend(failed.into_iter().filter_map(Result::err));
        let good: Vec<Answer> = good.into_iter().flatten().collect();
        bar.suspend(|| form.tell(&model, &good))?;
        if let Some(annotated) = &mut annotated {
            annotated.write(&model.classes, &good)?;
        }
        if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    bar.finish_and_clear();
    for line in beside.lines() {
        // A closed stderr leaves nobody to tell.
        let _ = writeln!(std::io::stderr(), "{}", printable(&line));
    }
    let mut bad = bad.into_iter();
    let first = bad.next();
    for error in bad {
        // The first is told last, with its help and the exit code.
        let _ = writeln!(std::io::stderr(), "{error}");
    }
    first.map_or(Ok(()), Err)
}

/// Opens the model that `arguments` ask for. From then on Ctrl-C asks to stop.
///
/// # Errors
/// As of [`predict::open`], and [`Error::Usage`] where a name leads nowhere.
pub(super) fn opened(arguments: &ModelArguments) -> Result<Model> {
    let store = Store { root: arguments.place.runs.clone() };
    let folder = run_of(&store, &arguments.run)?;
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(machine::cores(), device);
    let asked = match (arguments.find_faces, arguments.assume_face) {
        (true, _) => Asked::Faces,
        (_, true) => Asked::Whole,
        _ => Asked::AsTrained,
    };
    listen_for_interrupts();
    let wanted = Wanted { folder: &folder, weights: &arguments.weights, asked };
    predict::open(&store, wanted, device, &fetched)
}

/// A file of others, downloaded if it is not there yet.
fn fetched(remote: Remote<'_>) -> Result<PathBuf> {
    Cache::of_user()?.fetch(remote, &mut |_| {}, &interrupted)
}

/// How answers are printed.
#[derive(Debug, Clone, Copy)]
enum Form {
    Json,
    Csv,
    /// For people, with the length of the longest path.
    Table(usize),
}

impl Form {
    /// Prints what stands before all answers.
    fn begin(self, model: &Model) -> Result<()> {
        match self {
            Self::Csv => print_data(&records(&[header(model)])?),
            Self::Json | Self::Table(_) => Ok(()),
        }
    }

    fn tell(self, model: &Model, answers: &[Answer]) -> Result<()> {
        match self {
            Self::Json => print_json(&json(model, answers)),
            Self::Csv => print_data(&records(&cells(model, answers))?),
            Self::Table(width) => print(&table(model, answers, width)),
        }
    }
}

/// Characters of a path.
fn length(path: &Path) -> usize {
    path.display().to_string().chars().count()
}

/// A folder with pictures in which faces are marked. Pictures of one name get numbers.
struct Annotated<'a> {
    folder: &'a Path,
    inputs: HashSet<PathBuf>,
    taken: HashSet<String>,
}

impl<'a> Annotated<'a> {
    fn into(folder: &'a Path, pictures: &[PathBuf]) -> Result<Self> {
        create_folder(folder)?;
        let inputs = pictures.iter().filter_map(|it| it.canonicalize().ok()).collect();
        Ok(Self { folder, inputs, taken: HashSet::new() })
    }

    fn write(&mut self, classes: &[String], answers: &[Answer]) -> Result<()> {
        let targets = answers.iter().map(|it| Ok((it, self.target(&it.path)?)));
        let targets: Vec<(&Answer, PathBuf)> = targets.collect::<Result<_>>()?;
        targets.par_iter().try_for_each(|(answer, path)| annotate(classes, answer, path))
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
        let percent = 100.0 * guess.probabilities[guess.class];
        let text = format!("{} {percent:.0} %", classes[guess.class]);
        let at = guess.face.as_ref().map_or([0.0; 2], |it| [it.bounds[0], it.bounds[1]]);
        if let Some(face) = &guess.face {
            sheet.mark(face, 1.0);
        }
        sheet.write(&text, at);
    }
    write_whole(path, &sheet.to_png())
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
    if answer.guesses.is_empty() {
        return vec![[path, String::new(), "no face was found".into()]];
    }
    let wide = model.classes.iter().map(|it| it.chars().count()).max().unwrap_or_default();
    let row = |guess: &Guess| {
        let face = guess.face.as_ref().map(|it| {
            let [left, top, width, height] = it.bounds.map(f32::round);
            format!("face at {left},{top} of {width}x{height}")
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
        let said = format!("{class:wide$}  {likely}   {}", next.join(", "));
        [path.clone(), face.unwrap_or_default(), said]
    };
    answer.guesses.iter().map(row).collect()
}

fn json(model: &Model, answers: &[Answer]) -> String {
    let line = |answer: &Answer| {
        let mut object = model.told(&answer.guesses);
        object["path"] = answer.path.to_string_lossy().into();
        documented(object)
    };
    answers.iter().map(line).collect()
}

/// Columns of a face, in CSV.
const OF_A_FACE: [&str; 5] = ["left", "top", "width", "height", "score"];

/// The columns of a table of answers.
fn header(model: &Model) -> Vec<String> {
    let of_a_face = if model.finds_faces() { &OF_A_FACE[..] } else { &[] };
    let header = ["path"].into_iter().chain(of_a_face.iter().copied()).chain(["prediction"]);
    header.map(str::to_owned).chain(model.classes.iter().cloned()).collect()
}

/// A row for each face or whole picture; a picture without a face has one that says no more than its path.
fn cells(model: &Model, answers: &[Answer]) -> Vec<Vec<String>> {
    let row = |path: &str, guess: &Guess| -> Vec<String> {
        let face = guess.face.iter().flat_map(|it| it.bounds.iter().chain([&it.score]));
        let class = model.classes[guess.class].clone();
        let probabilities = guess.probabilities.iter().map(|it| format!("{it:.6}"));
        let cells = std::iter::once(path.to_owned()).chain(face.map(ToString::to_string));
        cells.chain([class]).chain(probabilities).collect()
    };
    let rows = answers.iter().flat_map(|answer| {
        let path = answer.path.to_string_lossy();
        if answer.guesses.is_empty() {
            let mut empty = vec![String::new(); header(model).len()];
            empty[0] = path.into_owned();
            return vec![empty];
        }
        answer.guesses.iter().map(|it| row(&path, it)).collect()
    });
    rows.collect()
}

fn records(rows: &[Vec<String>]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: std::io::Error| Error::file("cannot write", "stdout")(error);
    for row in rows {
        writer.write_record(row).map_err(|it| failed(it.into()))?;
    }
    let bytes = writer.into_inner().map_err(|it| failed(it.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
