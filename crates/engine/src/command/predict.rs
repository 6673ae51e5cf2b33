//! `ferrite predict`: what a finished run's model says about pictures.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use ferrite_core::data::photo::{self, Photos};
use ferrite_core::error::{Error, Result, printable};
use ferrite_core::fetch::Cache;
use ferrite_core::files::write_whole;
use ferrite_core::machine;
use ferrite_core::remote::Remote;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::terminal::arguments::PredictArguments;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::notes::counting;
use ferrite_core::terminal::{print, print_data, print_json};
use ferrite_torch::device_named;
use rayon::prelude::*;

use crate::mark::Sheet;
use crate::predict;
use crate::predict::{Answer, Asked, Guess, Model, Wanted};

pub(super) fn predict_command(arguments: &PredictArguments) -> Result<()> {
    let store = Store { root: arguments.place.runs.clone() };
    let folder = run_folder(&store, &arguments.run)?;
    let mut paths = arguments.pictures.clone();
    if let Some(list) = &arguments.list {
        paths.extend(photo::named_in(list)?);
    }
    let Photos { pictures, broken, beside } = photo::list(&paths)?;
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(machine::cores(), device);
    let asked = match (arguments.find_faces, arguments.assume_face) {
        (true, _) => Asked::Faces,
        (_, true) => Asked::Whole,
        _ => Asked::AsTrained,
    };
    let wanted = Wanted { folder: &folder, weights: &arguments.weights, asked };
    let model = predict::open(&store, wanted, device, &fetched)?;
    let bar = counting("pictures", pictures.len());
    let answers = model.answer(&pictures, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let (mut good, mut bad) = (Vec::new(), broken);
    for answer in answers {
        match answer {
            Ok(answer) => good.push(answer),
            Err(error) => bad.push(error),
        }
    }
    match (arguments.json, arguments.csv) {
        (true, _) => print_json(&json(&model, &good))?,
        (_, true) => print_data(&csv(&model, &good)?)?,
        _ => print(&table(&model, &good))?,
    }
    if let Some(folder) = &arguments.annotate {
        annotate(&model.classes, &good, folder)?;
    }
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

/// A file of others, downloaded if it is not there yet.
fn fetched(remote: Remote<'_>) -> Result<PathBuf> {
    listen_for_interrupts();
    Cache::of_user()?.fetch(remote, &mut |_| {}, &interrupted)
}

/// Writes each picture into `folder` with what was said of it drawn in. Pictures of one name get numbers.
fn annotate(classes: &[String], answers: &[Answer], folder: &Path) -> Result<()> {
    fs_err::create_dir_all(folder).map_err(Error::file("cannot create", folder))?;
    let mut taken = HashSet::new();
    let named: Vec<(&Answer, PathBuf)> = answers
        .iter()
        .map(|it| {
            let stem = it.path.file_stem().unwrap_or_default().to_string_lossy();
            let numbered = (2..).map(|number| format!("{stem}-{number}"));
            let mut free = std::iter::once(stem.to_string()).chain(numbered);
            let name = free.find(|it| taken.insert(it.clone())).unwrap_or_default();
            (it, folder.join(format!("{name}.png")))
        })
        .collect();
    named.par_iter().try_for_each(|(answer, path)| {
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
    })
}

/// The folder that `run` means.
fn run_folder(store: &Store, run: &Path) -> Result<PathBuf> {
    let is_run = |it: &Path| it.join(files::TRIAL).is_file();
    let below = store.root.join(run);
    for folder in [run, &below] {
        if is_run(folder) {
            return Ok(folder.to_owned());
        }
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let runs: Vec<PathBuf> = entries.map(|it| it.path()).filter(|it| is_run(it)).collect();
        match &runs[..] {
            [] => {}
            [only] => return Ok(only.clone()),
            [first, ..] => {
                return Err(Error::Usage {
                    message: format!("`{}` has {} runs", folder.display(), runs.len()),
                    help: format!("name one of them, e.g. `{}`", first.display()),
                });
            }
        }
    }
    Err(Error::Usage {
        message: format!("there is no run `{}`", run.display()),
        help: "name a folder below the runs; `ferrite status` lists them".into(),
    })
}

fn table(model: &Model, answers: &[Answer]) -> String {
    let rows: Vec<[String; 3]> = answers.iter().flat_map(|it| rows(model, it)).collect();
    let width =
        |column: usize| rows.iter().map(|it| it[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    rows.iter()
        .map(|[path, face, said]| {
            let face = if second == 0 { String::new() } else { format!("  {face:second$}") };
            format!("{path:first$}{face}  {said}\n")
        })
        .collect()
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
    let said = |guess: &Guess| {
        let probabilities: serde_json::Map<String, serde_json::Value> = model
            .classes
            .iter()
            .zip(&guess.probabilities)
            .map(|(class, it)| (class.clone(), f64::from(*it).into()))
            .collect();
        let mut object = serde_json::json!({
            "prediction": model.classes[guess.class],
            "probabilities": probabilities,
        });
        if let Some(face) = &guess.face {
            let [left, top, width, height] = face.bounds;
            object["bounds"] =
                serde_json::json!({ "left": left, "top": top, "width": width, "height": height });
            object["score"] = face.score.into();
            object["landmarks"] = serde_json::json!(face.landmarks.points());
        }
        object
    };
    let line = |answer: &Answer| {
        let mut object = match &answer.guesses[..] {
            [whole] if whole.face.is_none() => said(whole),
            faces => serde_json::json!({ "faces": faces.iter().map(said).collect::<Vec<_>>() }),
        };
        object["path"] = answer.path.to_string_lossy().into();
        format!("{object}\n")
    };
    answers.iter().map(line).collect()
}

/// Columns of a face, in CSV.
const OF_A_FACE: [&str; 5] = ["left", "top", "width", "height", "score"];

fn csv(model: &Model, answers: &[Answer]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: std::io::Error| Error::file("cannot write", "stdout")(error);
    let of_a_face = if model.finds_faces() { &OF_A_FACE[..] } else { &[] };
    let header = ["path"].into_iter().chain(of_a_face.iter().copied()).chain(["prediction"]);
    let header: Vec<String> =
        header.map(str::to_owned).chain(model.classes.iter().cloned()).collect();
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
            // A picture without a face has a row that says no more than its path.
            let mut empty = vec![String::new(); header.len()];
            empty[0] = path.into_owned();
            return vec![empty];
        }
        answer.guesses.iter().map(|it| row(&path, it)).collect()
    });
    for row in std::iter::once(header.clone()).chain(rows) {
        writer.write_record(row).map_err(|it| failed(it.into()))?;
    }
    let bytes = writer.into_inner().map_err(|it| failed(it.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
