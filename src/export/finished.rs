//! The model of a finished run: its settings, what it was trained on, its weights.

use std::path::Path;

use ferrite_core::config::Experiment;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::Dataset;
use ferrite_core::model::Input;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::input_of;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::health::verify;
use ferrite_core::store::read::record;
use ferrite_core::store::record::{Record, State};

/// A finished run and its weights.
pub(crate) struct Finished {
    pub(crate) record: Record,
    pub(crate) settings: Experiment,
    pub(crate) dataset: Dataset,
    pub(crate) weights: TensorFile,
    /// How pixels are scaled.
    pub(crate) input: Input,
}

impl Finished {
    /// Opens the run in `folder`.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not finished; [`Error::Damaged`], [`Error::File`] or [`Error::Weights`] if it cannot be read.
    pub(crate) fn open(store: &Store, folder: &Path) -> Result<Self> {
        let record = record(store, folder)?;
        if record.state != State::Finished {
            return Err(Error::Usage {
                message: format!("the run `{}` is {}", record.name(), record.state.word()),
                help:
                    "only a finished run has a model; `ferrite status` lists what every run is at"
                        .into(),
            });
        }
        verify(folder, files::MODEL)?;
        let damaged = |file: &str, message: String| Error::Damaged {
            path: folder.join(file),
            message,
            help: "sweep the experiment again".into(),
        };
        let settings: Experiment = record
            .settings
            .clone()
            .try_into()
            .map_err(|it: toml::de::Error| damaged(files::TRIAL, it.message().to_owned()))?;
        let dataset = record.facts.dataset.clone().ok_or_else(|| {
            damaged(files::EVENTS, "it does not say what the run was trained on".into())
        })?;
        let weights = TensorFile::open(&folder.join(files::MODEL))?;
        let input = input_of(&weights, settings.model.backbone)?.unwrap_or_default();
        Ok(Self { record, settings, dataset, weights, input })
    }

    /// Channels of the pictures that it was trained on: 1 for gray ones, else 3.
    pub(crate) fn channels(&self) -> usize {
        self.dataset.size[2]
    }
}
