//! What a finished run has left: its settings, what it was trained on, its weights; and which runs may answer together.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::Experiment;
use crate::config::flat::{Flat, differences, flatten};
use crate::error::{Error, Result};
use crate::event::Dataset;
use crate::model::Input;
use crate::model::weights;
use crate::model::weights::file::TensorFile;
use crate::store::Store;
use crate::store::find::{name_of, runs_of};
use crate::store::folder::files;
use crate::store::health::verify;
use crate::store::read;
use crate::store::read::record;
use crate::store::record::{Record, State};

/// A finished run and its weights.
#[derive(Debug)]
pub struct Finished {
    /// Its folder's content.
    pub record: Record,
    /// Its settings.
    pub settings: Experiment,
    /// What it was trained on.
    pub dataset: Dataset,
    /// Its weights.
    pub weights: TensorFile,
    /// How its network wants pixels to be scaled.
    pub input: Input,
}

impl Finished {
    /// Opens the run in `folder` with some of its `weights`: `final`, or those of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Usage`] if the run is not finished or has no such weights; whatever reading fails with.
    pub fn open(store: &Store, (folder, weights): (&Path, &str)) -> Result<Self> {
        let record = record(store, folder)?;
        let usage = |message: String, help: String| Error::Usage { message, help };
        if record.state != State::Finished {
            let message = format!("the run in `{}` is not finished", folder.display());
            return Err(usage(message, "`ferrite status` lists what every run is at".into()));
        }
        let file = files::of_weights(files::MODEL, weights);
        verify(folder, &file)?;
        let path = folder.join(file);
        if !path.is_file() {
            let message = format!("the run has no weights `{weights}`: no `{}`", path.display());
            let help = "name a metric that its last stage lists under `checkpoints`, or `final`";
            return Err(usage(message, help.into()));
        }
        let damaged = |message: String| {
            let help = "it must be the trial.toml that the run was made from".into();
            Error::Damaged { path: folder.join(files::TRIAL), message, help }
        };
        let settings: Experiment = record
            .settings
            .clone()
            .try_into()
            .map_err(|it: toml::de::Error| damaged(it.message().to_owned()))?;
        if let Some(problem) = settings.check().first() {
            return Err(damaged(format!("`{}` {}", problem.key, problem.message)));
        }
        let dataset = record.facts.dataset.clone().ok_or_else(|| Error::Damaged {
            path: folder.join(files::EVENTS),
            message: "it does not say what the run was trained on".into(),
            help: "sweep the experiment again".into(),
        })?;
        let model = TensorFile::open(&path)?;
        check_header(&model, &path, &settings, &record)?;
        let input = weights::input_of(&model, settings.model.backbone)?.unwrap_or_default();
        Ok(Self { record, settings, dataset, weights: model, input })
    }

    /// Channels of the pictures that it was trained on: 1 for gray ones, else 3.
    pub fn channels(&self) -> usize {
        self.dataset.size[2]
    }
}

/// The folders of the runs that answer together where `asked` are named, in this order: a run, or an experiment for all of
/// its seeds and folds.
///
/// # Errors
/// As of [`runs_of`], for the first of which there are none; [`Error::Usage`] if a run is named twice, as it would count
/// twice, or if the runs of an experiment differ in settings, as those of a grid do and those from before a change.
pub fn members_of(store: &Store, asked: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (mut members, mut known) = (Vec::new(), BTreeSet::new());
    for it in asked {
        let runs = runs_of(store, it)?;
        are_seeds(it, &runs)?;
        for folder in runs {
            let name = name_of(store, &folder);
            if known.contains(&name) {
                return Err(Error::Usage {
                    message: format!("`{name}` is named twice, and a run answers once"),
                    help:
                        "name each run once; the name of an experiment stands for all of its seeds"
                            .into(),
                });
            }
            known.insert(name);
            members.push(folder);
        }
    }
    Ok(members)
}

/// Refuses the `runs` that one name means unless they differ in seeds and folds alone.
fn are_seeds(asked: &Path, runs: &[PathBuf]) -> Result<()> {
    const MOST: usize = 3;
    if runs.len() < 2 {
        return Ok(());
    }
    let of = |it: &PathBuf| Ok(flatten(&read::settings(&it.join(files::TRIAL))?));
    let all: Vec<Flat> = runs.iter().map(of).collect::<Result<_>>()?;
    let rows = differences(&all.iter().collect::<Vec<_>>());
    if rows.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = rows.iter().take(MOST).map(|it| format!("`{}`", it.key)).collect();
    let more = if rows.len() > MOST { ", …" } else { "" };
    Err(Error::Usage {
        message: format!(
            "`{}` has {} runs that differ in more than their seeds: in {}{more}",
            asked.display(),
            runs.len(),
            keys.join(", "),
        ),
        help: "an experiment answers as a whole where its runs differ in seeds and folds alone: name the runs that shall \
               answer; `ferrite status` lists them"
            .into(),
    })
}

/// Holds the header of a model's file against the settings beside it and the log.
fn check_header(
    model: &TensorFile,
    path: &Path,
    settings: &Experiment,
    record: &Record,
) -> Result<()> {
    let plain = |it: serde_json::Value| it.as_str().map_or(it.to_string(), str::to_owned);
    let classes = record.facts.dataset.as_ref().map(|it| it.classes.join(","));
    let key = record.facts.start.as_ref().map(|it| it.key.clone());
    let expected = [
        (weights::facts::BACKBONE, Some(plain(serde_json::json!(settings.model.backbone)))),
        (weights::facts::IMPLEMENTATION, Some(settings.model.implementation().name().to_owned())),
        ("image_size", Some(settings.data.image_size.to_string())),
        ("classes", classes),
        ("key", key),
    ];
    for (name, expected) in expected {
        let (Some(written), Some(expected)) = (model.facts.get(name), expected) else { continue };
        if *written != expected {
            return Err(Error::Damaged {
                path: path.to_owned(),
                message: format!(
                    "its {name} is `{written}`, but the run's is `{expected}`: the model, the settings or \
                     the log is of another run"
                ),
                help:
                    "put the files of one run together, or remove the run's folder and sweep again"
                        .into(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_stands_for_its_seeds_and_a_run_answers_once() {
        let root = tempfile::tempdir().unwrap();
        let store = Store { root: root.path().join("runs") };
        let write = |name: &str, settings: &str| {
            std::fs::create_dir_all(store.root.join(name)).unwrap();
            std::fs::write(store.root.join(name).join(files::TRIAL), settings).unwrap();
        };
        let names = ["fruit/seed-1-0123abcd", "fruit/seed-2-4567abcd", "sub/one/seed-0-89abcdef"];
        write(names[0], "seeds = [1]\n[data]\nimage_size = 48\n");
        write(names[1], "seeds = [2]\n[data]\nimage_size = 48\n");
        write(names[2], "seeds = [0]\n[data]\nimage_size = 32\n");
        let members = |asked: &[&str]| {
            let asked: Vec<PathBuf> = asked.iter().map(PathBuf::from).collect();
            let relative =
                |it: Vec<PathBuf>| it.iter().map(|it| name_of(&store, it)).collect::<Vec<_>>();
            members_of(&store, &asked).map(relative).map_err(|it| it.to_string())
        };
        assert_eq!(members(&["sub/one", "fruit"]).unwrap(), [names[2], names[0], names[1]]);
        let whole = store.root.join(names[1]).to_string_lossy().into_owned();
        for twice in [["fruit/seed-2", "fruit/seed-2"], ["fruit", &whole], [&whole, "fruit"]] {
            let refused = members(&twice).unwrap_err();
            assert!(refused.contains("`fruit/seed-2-4567abcd` is named twice"), "{refused}");
        }
        // The settings were changed before the second seed.
        write(names[1], "seeds = [2]\n[data]\nimage_size = 64\n");
        let refused = members(&["fruit"]).unwrap_err();
        let words = "`fruit` has 2 runs that differ in more than their seeds: in `data.image_size`";
        assert_eq!(refused, words);
        assert_eq!(members(&["fruit/seed-1", "fruit/seed-2"]).unwrap(), names[..2]);
    }
}
