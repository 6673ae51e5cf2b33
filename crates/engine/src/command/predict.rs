//! `ferrite predict`: what a finished run's model says about pictures.

use std::io::Write;
use std::path::{Path, PathBuf};

use ferrite_core::data::photo::{self, Photos};
use ferrite_core::error::{Error, Result, printable};
use ferrite_core::machine;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::terminal::arguments::PredictArguments;
use ferrite_core::terminal::notes::counting;
use ferrite_core::terminal::{print, print_data, print_json};
use ferrite_torch::device_named;

use crate::predict;
use crate::predict::{Guess, Model};

pub(super) fn predict_command(arguments: &PredictArguments) -> Result<()> {
    let store = Store { root: arguments.place.runs.clone() };
    let folder = run_folder(&store, &arguments.run)?;
    let Photos { pictures, broken, beside } = photo::list(&arguments.pictures)?;
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(machine::cores(), device);
    let model = predict::open(&store, &folder, &arguments.weights, device)?;
    let bar = counting("pictures", pictures.len());
    let guesses = model.guess(&pictures, &mut |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let (mut good, mut bad) = (Vec::new(), broken);
    for guess in guesses {
        match guess {
            Ok(guess) => good.push(guess),
            Err(error) => bad.push(error),
        }
    }
    match (arguments.json, arguments.csv) {
        (true, _) => print_json(&json(&model, &good))?,
        (_, true) => print_data(&csv(&model, &good)?)?,
        _ => print(&table(&model, &good))?,
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

fn table(model: &Model, guesses: &[Guess]) -> String {
    let paths: Vec<String> = guesses.iter().map(|it| it.path.display().to_string()).collect();
    let wide = |all: &mut dyn Iterator<Item = usize>| all.max().unwrap_or(0);
    let path_width = wide(&mut paths.iter().map(|it| it.chars().count()));
    let class_width = wide(&mut model.classes.iter().map(|it| it.chars().count()));
    let line = |(path, guess): (&String, &Guess)| {
        let mut order: Vec<usize> = (0..guess.probabilities.len()).collect();
        order.sort_by(|a, b| guess.probabilities[*b].total_cmp(&guess.probabilities[*a]));
        let percent = |it: usize| format!("{:5.1} %", 100.0 * guess.probabilities[it]);
        let next: Vec<String> = order[1..]
            .iter()
            .take(2)
            .map(|it| format!("{} {}", model.classes[*it], percent(*it).trim()))
            .collect();
        let (class, likely) = (&model.classes[guess.class], percent(guess.class));
        format!("{path:path_width$}  {class:class_width$}  {likely}   {}\n", next.join(", "))
    };
    paths.iter().zip(guesses).map(line).collect()
}

fn json(model: &Model, guesses: &[Guess]) -> String {
    let line = |guess: &Guess| {
        let probabilities: serde_json::Map<String, serde_json::Value> = model
            .classes
            .iter()
            .zip(&guess.probabilities)
            .map(|(class, it)| (class.clone(), f64::from(*it).into()))
            .collect();
        let object = serde_json::json!({
            "path": guess.path.to_string_lossy(),
            "prediction": model.classes[guess.class],
            "probabilities": probabilities,
        });
        format!("{object}\n")
    };
    guesses.iter().map(line).collect()
}

fn csv(model: &Model, guesses: &[Guess]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: std::io::Error| Error::file("cannot write", "stdout")(error);
    let header = ["path", "prediction"].into_iter().map(str::to_owned);
    let header = header.chain(model.classes.iter().cloned());
    let rows = guesses.iter().map(|guess| {
        let probabilities = guess.probabilities.iter().map(|it| format!("{it:.6}"));
        let path = guess.path.to_string_lossy().into_owned();
        [path, model.classes[guess.class].clone()].into_iter().chain(probabilities).collect()
    });
    for row in std::iter::once(header.collect::<Vec<String>>()).chain(rows) {
        writer.write_record(row).map_err(|it| failed(it.into()))?;
    }
    let bytes = writer.into_inner().map_err(|it| failed(it.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
