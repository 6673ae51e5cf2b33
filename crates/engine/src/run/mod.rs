//! One trial, carried out step by step in this process, as its job says.
//!
//! Each step's result lies under its key, so that what is there is taken and not made again ([`perform`]). What happens
//! goes to the run's log and to whoever listens. Nothing is decided here: settings were read and steps planned before.

mod dataset;
mod detections;
mod environment;
mod evaluate;
mod evidence;
mod faces;
mod features;
mod origin;
mod perform;
mod stage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ferrite_core::device::Device;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::failure::Failure;
use ferrite_core::event::parts::Rung;
use ferrite_core::event::progress::Advance;
use ferrite_core::event::{FINAL, FORMAT, Kind, Sink, Start};
use ferrite_core::fault::{Work, caught};
use ferrite_core::fetch::{self, Cache};
use ferrite_core::plan::chain::Link;
use ferrite_core::plan::job::{Job, Until};
use ferrite_core::plan::steps::Step;
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::remote::Remote;
use ferrite_core::store::Store;
use ferrite_core::store::folder::{RunFolder, files};
use ferrite_core::store::lock::Caller;
use ferrite_core::store::queued::Claim;
use ferrite_core::store::read::{Last, last};
use ferrite_core::store::record::State;
use ferrite_torch::precision::{bfloat16_on, has_bfloat16};

use crate::run::dataset::{Opened, of_job};
use crate::run::evaluate::collect;
use crate::run::features::features;
use crate::run::origin::{Begun, begin};
use crate::run::perform::{Asked, Bench, carry_out};
use crate::train::images::Images;

/// Where and how a job is carried out.
pub struct Context<'a> {
    /// The folders.
    pub store: &'a Store,
    /// Where it trains.
    pub device: Device,
    /// CPU threads of LibTorch.
    pub threads: usize,
    /// Hears everything, progress included.
    pub listener: &'a mut Listener<'a>,
    /// Whether the user wants to stop.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Its claim on the run, where a cluster may have given the run to several processes.
    pub claim: Option<&'a Claim>,
    /// The step that it ends with, for which others wait; none for the last one.
    pub until: Option<&'a str>,
}

/// Where a job's steps compute and in what, and where their results lie.
#[derive(Clone, Copy)]
struct Place<'a> {
    store: &'a Store,
    device: Device,
    /// What the parts of the network compute in.
    precisions: Precisions,
}

/// Whoever listens to a run, beside its log.
pub type Listener<'a> = dyn FnMut(&Kind, Recorded) + Send + 'a;

/// Whether what happened stands in the run's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Whoever reads the log hears of it.
    InLog,
    /// It is progress, or happened before there was a log.
    Nowhere,
}

/// The log of the run and whoever listens.
struct Log<'a> {
    folder: RunFolder,
    listener: &'a mut Listener<'a>,
    claim: Option<&'a Claim>,
    /// How many epochs of the stage were told.
    epochs: usize,
}

impl Sink for Log<'_> {
    fn emit(&mut self, kind: Kind) -> Result<()> {
        if kind.is_progress() {
            (self.listener)(&kind, Recorded::Nowhere);
            return Ok(());
        }
        // The log is that of whoever has claimed the run since.
        if self.claim.is_some_and(|it| !it.holds_now()) {
            return Err(Error::Interrupted);
        }
        match &kind {
            Kind::StageStarted(_) => self.epochs = 0,
            Kind::EpochEnded(it) => self.epochs = it.epoch,
            _ => {}
        }
        match self.folder.append(kind.clone()) {
            Ok(()) => (self.listener)(&kind, Recorded::InLog),
            // Nobody can read it there.
            Err(error) => {
                (self.listener)(&kind, Recorded::Nowhere);
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Whoever listens, before there is a log.
struct BeforeLog<'a>(&'a mut Listener<'a>);

impl Sink for BeforeLog<'_> {
    fn emit(&mut self, kind: Kind) -> Result<()> {
        (self.0)(&kind, Recorded::Nowhere);
        Ok(())
    }
}

/// Carries out `job`: what is finished is taken, what was interrupted goes on, the rest is done.
///
/// # Errors
/// Whatever stops it; the run's log says so too.
pub fn run(job: &Job, context: Context<'_>) -> Result<()> {
    let Context { store, device, threads, listener, interrupted, claim, until } = context;
    let started = Instant::now();
    let resumed = store.root.join(&job.name).join(files::EVENTS).exists();
    let mut listener = BeforeLog(listener);
    let mut caller = Caller { sink: &mut listener, interrupted };
    let mut folder = RunFolder::own(store, &job.name, &mut caller)?;
    // Another sweep may have done it while this one waited for the folder.
    let last = last(store, &job.name);
    let finished = |it: &Last| it.state == State::Finished && it.key.as_ref() == Some(&job.key);
    if let Some(last) = last.filter(finished) {
        let damages = last.damages(store, &job.name)?;
        if damages.is_empty() {
            return Ok(());
        }
        folder.set_aside(&damages)?;
    }
    folder.write(files::TRIAL, job.settings.to_toml().as_bytes())?;
    folder.write(files::ENVIRONMENT, environment::describe(device, threads).as_bytes())?;
    let aside = folder.take_aside();
    let mut log = Log { folder, listener: listener.0, claim, epochs: 0 };
    let precisions = job.settings.model.precisions(device, bfloat16_on(device));
    log.emit(Kind::RunStarted(Start {
        format: FORMAT,
        ferrite: env!("CARGO_PKG_VERSION").into(),
        key: job.key.clone(),
        device: device.to_string(),
        threads,
        precision: precisions.to_string(),
        imitated: precisions.include(Precision::Bf16) && !has_bfloat16(device),
        resumed,
    }))?;
    aside.into_iter().try_for_each(|it| log.emit(Kind::SetAside(it)))?;
    let place = Place { store, device, precisions };
    let mut runner = Runner { job, place, log, interrupted, until, rung: None };
    // LibTorch's wrapper panics where an operation fails, e.g. when memory runs out.
    let result = caught(Work::Training, || runner.steps());
    let seconds = started.elapsed().as_secs_f64();
    match &result {
        Ok(End::Step) => runner.log.emit(Kind::RunInterrupted)?,
        Ok(End::Trial) => {
            let files = runner.log.folder.written();
            runner.log.emit(Kind::RunEnded { seconds, files })?;
        }
        Err(Error::Interrupted) => {
            if let Some((stage, epochs)) = runner.rung.take() {
                return runner.log.emit(Kind::RungEnded(Rung { stage, epochs, seconds }));
            }
            runner.log.emit(Kind::RunInterrupted)?;
        }
        Err(error) => runner.log.emit(Kind::RunFailed(Failure::from(error)))?,
    }
    result.map(|_| ())
}

/// Where a job came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Behind its last step.
    Trial,
    /// Behind a step that others wait for. Another job goes on with the run.
    Step,
}

struct Runner<'a> {
    job: &'a Job,
    place: Place<'a>,
    log: Log<'a>,
    interrupted: &'a dyn Fn() -> bool,
    until: Option<&'a str>,
    /// The stage that came to the end of its rung, and after how many epochs.
    rung: Option<(String, usize)>,
}

impl Runner<'_> {
    fn steps(&mut self) -> Result<End> {
        let Self { job, place, interrupted, until, .. } = *self;
        let caller = &mut Caller { sink: &mut self.log, interrupted };
        let Opened { dataset, faces } = of_job(job, place.store, caller)?;
        if let Some(folder) = faces {
            show_pictures(&folder, &mut self.log.folder)?;
        }
        let of_images =
            |it: &Step| matches!(it, Step::Dataset(_) | Step::Detections(_) | Step::Faces(_));
        let is_last = |it: &Link| Some(it.key.as_str()) == until;
        // The first weights, which may be another run's, are not needed for images.
        if job.chain.iter().any(|it| is_last(it) && of_images(&it.step)) {
            return Ok(End::Step);
        }
        let caller = &mut Caller { sink: &mut self.log, interrupted };
        let images = Images::new(&dataset, job.settings.data.image_size, place.device);
        let Begun { network, origin } = begin(job, place, &dataset, caller)?;
        let mut bench = Bench {
            job,
            place,
            dataset: &dataset,
            images: &images,
            network,
            holds: None,
            results: BTreeMap::new(),
            origin,
        };
        for link in &job.chain {
            self.step(&mut bench, &link.key, &link.step)?;
            if is_last(link) {
                return Ok(End::Step);
            }
        }
        Ok(End::Trial)
    }

    /// Whether the job ends with features of the same stage as these, which no stage asks for any more.
    fn ends_with_features_of(&self, stage: usize) -> bool {
        let last = |it: &&Link| Some(it.key.as_str()) == self.until;
        let last = self.job.chain.iter().find(last).map(|it| &it.step);
        matches!(last, Some(Step::Features(it)) if it.stage == stage)
    }

    fn step(&mut self, bench: &mut Bench<'_>, key: &str, step: &Step) -> Result<()> {
        let interrupted = self.interrupted;
        let for_others = matches!(step, Step::Features(it) if self.ends_with_features_of(it.stage));
        let caller = &mut Caller { sink: &mut self.log, interrupted };
        match step {
            Step::Features(_) if for_others => {
                features(bench, caller, [&key.to_owned()]).map(|_| ())
            }
            // The images lie ready, and features are asked for by the steps that need them.
            Step::Dataset(_) | Step::Detections(_) | Step::Faces(_) | Step::Features(_) => Ok(()),
            Step::Stage(stage) => {
                let asked = Asked { key, step: &**stage };
                let rung = self.job.rung.filter(|it| it.stage == stage.position);
                let made = carry_out(asked, self.place.store, bench, caller);
                let is_there = |it: Until| made.is_ok() || self.log.epochs >= it.epochs;
                if rung.is_some_and(is_there) && matches!(made, Ok(_) | Err(Error::Interrupted)) {
                    self.rung = Some((stage.settings.stage.name.clone(), self.log.epochs));
                    return Err(Error::Interrupted);
                }
                let (folder, _) = made?;
                show_pictures(&folder, &mut self.log.folder)?;
                bench.holds = Some((key.to_owned(), FINAL.to_owned()));
                bench.results.insert(key.to_owned(), folder);
                Ok(())
            }
            Step::Evaluate(evaluate) => {
                let asked = Asked { key, step: evaluate };
                let (folder, _) = carry_out(asked, self.place.store, bench, caller)?;
                collect(evaluate, bench, &folder, &mut self.log.folder)
            }
        }
    }
}

/// Shows the pictures that a step's result has with the run.
fn show_pictures(result: &Path, run: &mut RunFolder) -> Result<()> {
    let cannot = || Error::file("cannot read", result);
    for entry in std::fs::read_dir(result).map_err(cannot())? {
        let path = entry.map_err(cannot())?.path();
        if path.extension().is_some_and(|it| it == "png") {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let picture = std::fs::read(&path).map_err(Error::file("cannot read", &path))?;
            run.write(&format!("{}/{name}", files::PLOTS), &picture)?;
        }
    }
    Ok(())
}

/// A file of others, downloaded if it is not there yet.
fn fetch(remote: Remote<'_>, caller: &mut Caller<'_>) -> Result<PathBuf> {
    let started = Instant::now();
    let mut say = |it: fetch::Progress| {
        let of = it.of.unwrap_or(remote.bytes);
        // Progress is shown and not recorded, which cannot fail.
        let _ = caller.sink.emit(advanced("weights", [it.done as usize, of as usize], started));
    };
    Cache::of_user()?.fetch(remote, &mut say, caller.interrupted)
}

/// So much of work that is not training is done, of so much in all.
fn advanced(what: &str, [done, of]: [usize; 2], started: Instant) -> Kind {
    let per_second = done as f64 / started.elapsed().as_secs_f64().max(1e-9);
    Kind::WorkAdvanced(Advance { what: what.to_owned(), done, of, per_second })
}
