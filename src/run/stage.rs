//! One trained stage under its key: made, or taken from where it lies.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::event::{Epoch, FINAL, Kind as Event, Sink, StageEnd};
use crate::files::{write_whole, write_whole_by};
use crate::forward::network::Network;
use crate::forward::weights::{self, Part};
use crate::model::weights::file::TensorFile;
use crate::plan::Kind;
use crate::run::Runner;
use crate::settings::Stage;
use crate::store::Wanted;
use crate::store::artifact::set_aside;
use crate::store::folder::files;
use crate::store::lock::Caller;
use crate::train::checkpoint::Checkpoint;
use crate::train::fit::{Callbacks, Job, Trained, fit};

impl Runner<'_> {
    /// Trains a stage, or takes the result that lies under its key.
    pub(super) fn train(&mut self, key: &str, network: &mut Network, job: &Job<'_>) -> Result<()> {
        let check = |folder: &Path| check_stage(folder, job.stage);
        let wanted = Wanted { kind: Kind::Stage.name(), key, check: &check };
        let mut caller = Caller { sink: &mut self.log, interrupted: self.interrupted };
        let (folder, found) = self.store.step(&wanted, &mut caller, |folder, caller| {
            let path = folder.join("checkpoint.safetensors");
            let checkpoint = read_checkpoint(&path, caller)?;
            let mut save = |it: &Checkpoint| write_whole_by(&path, |path| it.write(path));
            let Caller { sink, interrupted } = caller;
            let mut callbacks =
                Callbacks { sink: *sink, save: &mut save, interrupted: *interrupted };
            let trained = fit(network, job, checkpoint, &mut callbacks)?;
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
        let (epochs, end) = read_history(folder)?;
        for epoch in epochs {
            self.log.emit(Event::EpochEnded(epoch))?;
        }
        self.log.emit(Event::StageEnded(end))?;
        load_stage(network, folder, FINAL)
    }
}

/// The checkpoint at `path`, if there is one. A damaged one is set aside, beside the folder that it lies in, and the
/// stage begins again.
fn read_checkpoint(path: &Path, caller: &mut Caller<'_>) -> Result<Option<Checkpoint>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(Error::file("cannot read", path))?,
    };
    match Checkpoint::from_bytes(&bytes, path) {
        Err(Error::Damaged { message, .. }) => {
            let folder = path.parent().unwrap_or(path);
            let told = set_aside(path, &folder.with_extension("safetensors"), &message)?;
            caller.sink.emit(Event::SetAside(told))?;
            Ok(None)
        }
        checkpoint => checkpoint.map(Some),
    }
}

/// What a finished stage in `folder` says of its epochs and its end.
fn read_history(folder: &Path) -> Result<(Vec<Epoch>, StageEnd)> {
    let path = folder.join("history.json");
    let text = fs_err::read(&path).map_err(Error::file("cannot read", &path))?;
    serde_json::from_slice(&text).map_err(|error| damaged(&path, &error.to_string()))
}

/// Looks at a stage that an older version finished: whether its history can be read, and all its weights are there.
fn check_stage(folder: &Path, stage: &Stage) -> Result<()> {
    read_history(folder)?;
    let named = stage.checkpoints.iter().map(|it| it.name());
    for name in std::iter::once(FINAL).chain(named) {
        let path = folder.join(stage_weights(name));
        TensorFile::open(&path).map_err(|error| damaged(&path, &error.to_string()))?;
    }
    Ok(())
}

fn damaged(path: &Path, message: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
        help: "delete its folder; the stage is then trained again".into(),
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
    let loaded = weights::load(network, &path, Part::Whole);
    loaded.map(|_| ()).map_err(|error| damaged(&path, &error.to_string()))
}
