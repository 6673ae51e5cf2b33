//! How a step of any kind is carried out: its result is looked up under its key, and made if it is not there.
//!
//! What a step tells of how its result came about is kept with the result, so that every run that takes it tells it
//! too. **Invariant:** nothing here knows a kind of step.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ferrite_core::data::dataset::Dataset;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::disk::StepReady;
use ferrite_core::event::{Kind as Event, Sink};
use ferrite_core::files::write_whole;
use ferrite_core::plan::job::Job;
use ferrite_core::plan::steps::{Key, Kind};
use ferrite_core::store::lock::Caller;
use ferrite_core::store::{Store, Wanted};

use crate::forward::network::Network;
use crate::run::Place;
use crate::run::origin::Origin;
use crate::train::images::Images;

/// The file in a step's folder that holds what the step told while it was made.
pub(super) const EVIDENCE: &str = "evidence.json";

/// What lies ready in this process for the steps of a job.
pub(super) struct Bench<'a> {
    /// The job.
    pub(super) job: &'a Job,
    /// Where it is done.
    pub(super) place: Place<'a>,
    /// The images.
    pub(super) dataset: &'a Dataset,
    /// The same, on the device.
    pub(super) images: &'a Images<'a>,
    /// The network.
    pub(super) network: Network,
    /// The stage whose weights the network has, and which of them; none where it has the first weights.
    pub(super) holds: Option<(Key, String)>,
    /// Where the results of the stages lie, by key.
    pub(super) results: BTreeMap<Key, PathBuf>,
    /// Where its first weights are from.
    pub(super) origin: Origin,
}

/// What the engine does for a step. `B` is what must lie ready for it.
pub(super) trait Perform<B> {
    /// The step's kind.
    const KIND: Kind;

    /// A file without which a result of an older version is of no use.
    const NEEDS: Option<&'static str> = None;

    /// What the result is computed in; none where nothing is computed.
    fn precision(&self, bench: &B) -> Option<String>;

    /// Makes the result in `folder`, which holds what an interrupted attempt has left.
    fn perform(&self, bench: &mut B, caller: &mut Caller<'_>, folder: &Path) -> Result<()>;

    /// Looks at a result of an older version, which wrote no manifest.
    fn check(&self, folder: &Path) -> Result<()>;

    /// Lays what a result in `folder` holds ready that was not made just now.
    fn take(&self, _: &mut B, _: &Path) -> Result<()> {
        Ok(())
    }

    /// Tells how the result in `folder` came about, where the older version that made it did not keep that.
    fn tell_of_older(&self, _: &mut B, _: &mut Caller<'_>, _: &Path) -> Result<()> {
        Ok(())
    }
}

/// A step, and the key under which its result is to lie.
pub(super) struct Asked<'a, S> {
    pub(super) key: &'a str,
    pub(super) step: &'a S,
}

/// Sees to it that the result of a step lies under its key. Returns its folder, and whether it was there.
pub(super) fn carry_out<B, S: Perform<B>>(
    Asked { key, step }: Asked<'_, S>,
    store: &Store,
    bench: &mut B,
    caller: &mut Caller<'_>,
) -> Result<(PathBuf, bool)> {
    let started = Instant::now();
    let precision = step.precision(bench);
    let check = |folder: &Path| step.check(folder);
    let wanted = Wanted {
        kind: S::KIND.name(),
        key,
        precision: precision.as_deref(),
        needs: S::NEEDS,
        check: &check,
    };
    let (folder, found) = store.step(&wanted, caller, |folder, caller| {
        let mut recorder = Recorder { sink: caller.sink, told: Vec::new() };
        let mut listening = Caller { sink: &mut recorder, interrupted: caller.interrupted };
        step.perform(bench, &mut listening, folder)?;
        recorder.write(folder)
    })?;
    if found {
        match evidence(&folder)? {
            Some(told) => told.into_iter().try_for_each(|it| caller.sink.emit(it.as_taken()))?,
            None => step.tell_of_older(bench, caller, &folder)?,
        }
        step.take(bench, &folder)?;
    }
    caller.sink.emit(Event::StepReady(StepReady {
        step: S::KIND.name().to_owned(),
        key: key.to_owned(),
        reused: found,
        seconds: started.elapsed().as_secs_f64(),
    }))?;
    Ok((folder, found))
}

/// Passes on what is told, and remembers what belongs to the result.
struct Recorder<'a> {
    sink: &'a mut (dyn Sink + Send),
    told: Vec<Event>,
}

impl Sink for Recorder<'_> {
    fn emit(&mut self, kind: Event) -> Result<()> {
        if kind.is_evidence() {
            self.told.push(kind.clone());
        }
        self.sink.emit(kind)
    }
}

impl Recorder<'_> {
    fn write(&self, folder: &Path) -> Result<()> {
        if self.told.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(&self.told).expect("events are plain JSON");
        write_whole(&folder.join(EVIDENCE), &text)
    }
}

/// What was told while the result in `folder` was made, if it was kept.
fn evidence(folder: &Path) -> Result<Option<Vec<Event>>> {
    let path = folder.join(EVIDENCE);
    let text = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::file("cannot read", &path))?,
    };
    let told = serde_json::from_slice(&text);
    told.map(Some).map_err(|error| damaged(&path, &error.to_string()))
}

/// The error of a file in a step's folder that is not what it should be.
pub(super) fn damaged(path: &Path, message: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
        help: "delete its folder; the step is then done again".into(),
    }
}
