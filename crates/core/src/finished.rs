//! What a finished run has left: its settings, what it was trained on, its weights.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray.

use std::path::Path;

use crate::config::Experiment;
use crate::error::{Error, Result};
use crate::event::Dataset;
use crate::model::Input;
use crate::model::weights;
use crate::model::weights::file::TensorFile;
use crate::store::Store;
use crate::store::folder::files;
use crate::store::health::verify;
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
