//! What this machine gives to a sweep: devices, trials at once, threads.

use std::path::PathBuf;

use ferrite_core::error::Result;
use ferrite_core::machine;

use crate::cli::engine;
use crate::cli::jobs::{free_memory_of_gpus, most_on_gpu, on_processor};
use crate::cli::sweep::SweepArguments;
use crate::sweep::launch::mps::{Mps, Places};
use crate::sweep::launch::patience::Patience;
use crate::sweep::pace::Pace;

/// What this machine gives to a sweep.
pub(super) struct Hardware {
    pub(super) engine: PathBuf,
    pub(super) device: String,
    /// Trials at once, at most.
    pub(super) jobs: usize,
    /// Whether it is found by trying how many of these are best.
    pub(super) tries: bool,
    /// What several trials share a GPU by.
    pub(super) mps: Option<Mps>,
    /// Why they cannot.
    pub(super) no_mps: Option<String>,
    pub(super) threads: usize,
    pub(super) patience: Patience,
}

impl Hardware {
    /// What is there for `todo` trials.
    pub(super) fn of(arguments: &SweepArguments, todo: usize) -> Result<Self> {
        // Only the engine knows which devices there are, and where nothing is to be done nobody asks.
        let (engine, asked) = (engine::engine()?, &arguments.device);
        let device = if todo == 0 { asked.clone() } else { engine::device(&engine, asked)? };
        let asked = arguments.jobs.map(usize::from);
        let on_gpu = device.starts_with("cuda") && todo > 0;
        let most = match asked {
            Some(jobs) => jobs,
            None if on_gpu => most_on_gpu(todo),
            None => on_processor(todo),
        };
        let (mps, no_mps) = match (on_gpu && most > 1).then(|| Mps::begin(&Places::default())) {
            Some(Ok(mps)) => (Some(mps), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        // Processes that take turns on a GPU train fewer images together than one alone.
        let jobs = if asked.is_none() && no_mps.is_some() { 1 } else { most };
        let tries = asked.is_none() && mps.is_some();
        let threads = arguments.threads.map_or((machine::cores() / jobs).max(1), usize::from);
        let patience = arguments.patience;
        Ok(Self { engine, device, jobs, tries, mps, no_mps, threads, patience })
    }

    pub(super) fn pace(&self) -> Pace {
        if self.tries { Pace::found(self.jobs) } else { Pace::fixed(self.jobs) }
    }

    /// How many trials at once are carried out and where, for `asked` on the command line, and why not otherwise.
    pub(super) fn told(&self, asked: &str) -> String {
        let Self { device, jobs, .. } = self;
        let at_once = match (self.tries, &self.no_mps) {
            (true, _) => {
                let is_users = self.mps.as_ref().is_some_and(Mps::is_users);
                let whose = if is_users { "your MPS" } else { "MPS" };
                format!("up to {jobs} at once on {device} under {whose}, as many as gain by it")
            }
            (false, Some(why)) if *jobs == 1 => {
                format!("one at a time on {device}, since they cannot share it by MPS: {why}")
            }
            (false, Some(why)) => {
                format!("{jobs} at once on {device}, which take turns without MPS: {why}")
            }
            (false, None) => format!("{jobs} at once on {device}"),
        };
        at_once + no_gpu(asked, device)
    }
}

/// Why no GPU is used, where one would be.
fn no_gpu(asked: &str, device: &str) -> &'static str {
    match (asked, device) {
        ("auto", "cpu") if free_memory_of_gpus().is_some() => {
            " (there is a GPU, and this LibTorch does not see it: `make libtorch DEVICE=cuda` fetches one for CUDA)"
        }
        ("auto", "cpu") => ", for there is no GPU with CUDA",
        _ => "",
    }
}
