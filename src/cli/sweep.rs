//! `ferrite sweep` and `retry`.

use std::time::Instant;

use clap::Args;
use ferrite_core::error::{Error, Result};
use ferrite_core::machine;
use ferrite_core::plan;
use ferrite_core::plan::Trial;
use ferrite_core::plan::cost::Costs;
use ferrite_core::store::Store;
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::print;

use crate::cli::engine;
use crate::cli::fitting::Fitting;
use crate::cli::plan::{Detail, show_plan};
use crate::cli::select::{Disk, Selection, experiments};
use crate::cli::show::write_report;
use crate::cli::weights::prepare;
use crate::progress::Display;
use crate::sweep;
use crate::sweep::launch::Node;
use crate::sweep::launch::local::{Local, Settings};
use crate::sweep::schedule::{Known, Limits, Schedule};
use crate::sweep::{Agenda, SweepEvent};

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Trials at once; the processor's threads are divided among them [default: on a processor one for each
    /// core while its memory lasts, on a GPU up to 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) jobs: Option<u16>,
    /// CPU threads of each trial [default: all cores, divided by the jobs]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Stop at the first trial that fails
    #[arg(long)]
    pub(super) fail_fast: bool,
    /// Print what would be done and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Say nothing but the report's path
    #[arg(long)]
    pub(super) quiet: bool,
}

pub(super) fn sweep_command(arguments: &SweepArguments, retry: bool) -> Result<()> {
    if arguments.dry_run {
        return show_plan(&arguments.selection, Detail::Steps);
    }
    let written = experiments(&arguments.selection)?;
    let store = Store::open(&arguments.selection.place.runs)?;
    clear_old(&store.root);
    let trials = plan::trials(&written, &Disk { store: &store })?;
    let mut display = Display::new(arguments.quiet);
    listen_for_interrupts();
    let agenda = Agenda::of(&store, &trials);
    let unfinished = agenda.unfinished(retry);
    let mut fitting = Fitting::new(&store, &trials);
    for trial in &unfinished {
        fitting.lines(trial);
    }
    fitting.end()?;
    // Only the engine knows which devices there are, and where nothing is to be done nobody asks.
    let (engine, asked) = (engine::engine()?, &arguments.device);
    let device =
        if unfinished.is_empty() { asked.clone() } else { engine::device(&engine, asked)? };
    let jobs = arguments.jobs.map_or_else(|| best_jobs(&device, unfinished.len()), usize::from);
    let threads = arguments.threads.map_or((machine::cores() / jobs).max(1), usize::from);
    prepare(unfinished.into_iter(), arguments.quiet)?;
    let limits = Limits { jobs, retry, fail_fast: arguments.fail_fast };
    let started = Instant::now();
    let say = &mut |it: SweepEvent<'_>| {
        if let SweepEvent::Planned(todo @ 1..) = it {
            let (of, why) = (trials.len(), no_gpu(&arguments.device, &device));
            display.say(&format!("{todo} of {of} trials to do, {jobs} at once on {device}{why}"));
        }
        display.show(it);
    };
    let is_made = |it: Node<'_>| store.step_folder(it.kind, it.key).is_dir();
    let mut costs = Costs::default();
    let costs = &mut |trial: &Trial| costs.of(&trial.chain());
    let schedule = Schedule::new(&agenda, limits, Known { is_made: &is_made, costs }, say);
    let settings = Settings { engine, threads, device: device.clone() };
    let mut launcher = Local::new(&store, &trials, settings);
    let summary = sweep::sweep(schedule, &mut launcher, &interrupted)?;
    let report = write_report(&store);
    let (done, found) = (summary.done.len(), summary.found.len());
    let seconds = started.elapsed().as_secs_f64();
    display
        .say(&format!("{done} trials carried out in {seconds:.1} s, {found} were finished before"));
    if let Ok(index) = &report {
        print(&format!("{}\n", index.display()))?;
    }
    if summary.failed.is_empty() {
        return report.map(|_| ());
    }
    if let Err(error) = report {
        display.say(&format!("the report is not whole: {error}"));
    }
    let (failed, names) = (summary.failed.len(), summary.failed.join(", "));
    Err(Error::TrialsFailed { failed, total: trials.len(), names })
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

/// How many trials at once carry out the most in an hour, of `todo`.
///
/// On a processor one thread a trial loses nothing to threads that wait for each other: two trials on a core
/// each train 1.1 to 1.4 times as many images as one on two cores (docs/benchmarks.md). On a GPU four trials of
/// small images together train 1.3 times as many as one, and while one starts or writes the others go on.
fn best_jobs(device: &str, todo: usize) -> usize {
    /// What a trial may need beside the data set: the largest networks at the study's batch and image size.
    const BYTES_PER_TRIAL: u64 = 2 << 30;
    /// The same on a GPU, with what CUDA takes for each process.
    const BYTES_PER_TRIAL_ON_GPU: u64 = 4 << 30;
    const MOST_ON_GPU: usize = 4;
    let (most, memory, bytes) = if device == "cpu" {
        (machine::cores(), machine::available_memory(), BYTES_PER_TRIAL)
    } else {
        (MOST_ON_GPU.min(machine::cores()), free_memory_of_gpus(), BYTES_PER_TRIAL_ON_GPU)
    };
    let fitting = memory.map_or(1, |it| it / bytes) as usize;
    most.min(fitting).min(todo).max(1)
}

/// Bytes that are free on the GPU with the least, as the driver's own tool says; none where it does not.
fn free_memory_of_gpus() -> Option<u64> {
    let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits"];
    let told = std::process::Command::new("nvidia-smi").args(query).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let mebibytes = text.lines().filter_map(|it| it.trim().parse::<u64>().ok()).min()?;
    Some(mebibytes << 20)
}
