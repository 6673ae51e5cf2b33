//! One trained stage under its key: made, or taken from where it lies.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Result};
use crate::event::{Epoch, FINAL, Kind as Event, Sink, StageEnd};
use crate::model::network::Network;
use crate::model::weights::{self, Part};
use crate::plan::Kind;
use crate::run::Runner;
use crate::store::folder::files;
use crate::store::{write_whole, write_whole_by};
use crate::train::checkpoint::Checkpoint;
use crate::train::fit::{Job, Outside, Trained, fit};

impl Runner<'_> {
    /// Trains a stage, or takes the result that lies under its key.
    pub(super) fn train(&mut self, key: &str, network: &mut Network, job: &Job<'_>) -> Result<()> {
        let Self { store, log, interrupted, .. } = self;
        let (folder, found) = store.step(Kind::Stage.name(), key, |folder| {
            let path = folder.join("checkpoint.safetensors");
            let checkpoint = match std::fs::read(&path) {
                Ok(bytes) => Some(Checkpoint::from_bytes(&bytes, &path)?),
                Err(_) => None,
            };
            let mut save = |it: &Checkpoint| write_whole_by(&path, |path| it.write(path));
            let mut outside = Outside { sink: log, save: &mut save, interrupted: *interrupted };
            let trained = fit(network, job, checkpoint, &mut outside)?;
            write_stage(folder, network, &trained)?;
            let _ = std::fs::remove_file(&path);
            Ok(())
        })?;
        if found {
            self.take_stage(&folder, network)?;
        }
        Ok(())
    }

    /// Says what a finished stage did, and gives `network` its weights.
    fn take_stage(&mut self, folder: &Path, network: &mut Network) -> Result<()> {
        let path = folder.join("history.json");
        let text = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
        let (epochs, end): (Vec<Epoch>, StageEnd) =
            serde_json::from_slice(&text).map_err(|error| Error::Damaged {
                path: path.clone(),
                message: error.to_string(),
                help: "delete its folder; the stage is then trained again".into(),
            })?;
        for epoch in epochs {
            self.log.emit(Event::EpochEnded(epoch))?;
        }
        self.log.emit(Event::StageEnded(end))?;
        load_stage(network, folder, FINAL)
    }
}

/// The name of a stage's weights in its folder.
fn stage_weights(weights: &str) -> String {
    files::of_weights("weights.safetensors", weights)
}

/// Writes the result of a stage into its folder: the weights that go on, those kept under other
/// metrics, and what happened.
fn write_stage(folder: &Path, network: &mut Network, trained: &Trained) -> Result<()> {
    let write = |network: &Network, name: &str| {
        let path = folder.join(stage_weights(name));
        write_whole_by(&path, |path| weights::write(network, BTreeMap::new(), path))
    };
    write(network, FINAL)?;
    if !trained.named.is_empty() {
        let last = network.parameters.snapshot();
        for (name, snapshot) in &trained.named {
            network.parameters.restore(snapshot);
            write(network, name)?;
        }
        network.parameters.restore(&last);
    }
    let history = serde_json::to_vec_pretty(&(&trained.epochs, &trained.end)).expect("plain JSON");
    write_whole(&folder.join("history.json"), &history)
}

/// Gives `network` the weights of this name that a finished stage left in `folder`. Nothing of it trains
/// afterwards.
pub(super) fn load_stage(network: &mut Network, folder: &Path, name: &str) -> Result<()> {
    network.rest();
    let path = folder.join(stage_weights(name));
    let loaded = weights::load(network, &path, Part::Whole).map_err(|error| Error::Damaged {
        message: error.to_string(),
        help: format!("delete `{}`; the stage is then trained again", folder.display()),
        path,
    });
    loaded.map(|_| ())
}
