//! `ferrite sweep` and `retry`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use clap::Args;
use ferrite_core::config::read::Written;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::machine;
use ferrite_core::plan;
use ferrite_core::plan::Trial;
use ferrite_core::plan::cost::Costs;
use ferrite_core::store::Store;
use ferrite_core::store::description::Description;
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::store::read::all;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::engine;
use crate::cli::fitting::Fitting;
use crate::cli::plan::{Detail, print_plan, show_plan};
use crate::cli::refresh::Refresh;
use crate::cli::report::publish;
use crate::cli::scores::Board;
use crate::cli::select::{Disk, Selection, experiments};
use crate::cli::weights::prepare;
use crate::format;
use crate::progress::Display;
use crate::report::Target;
use crate::study::Study;
use crate::study::judged::Judged;
use crate::sweep;
use crate::sweep::launch::Node;
use crate::sweep::launch::local::{Local, Settings};
use crate::sweep::schedule::{Known, Limits, Schedule};
use crate::sweep::{Agenda, Summary, SweepEvent, TrialState};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct SweepArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Trials at once; the processor's threads are divided among them [default: on a processor one for each
    /// core while its memory lasts, on a GPU up to 4]
    #[arg(long, short, value_parser = count)]
    pub(super) jobs: Option<u16>,
    /// CPU threads of each trial [default: all cores, divided by the jobs]
    #[arg(long, value_parser = count)]
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
    /// Print the results as one JSON object (docs/json.md)
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but the report's path
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// A number of trials or threads.
fn count(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|it| *it > 0);
    number.ok_or_else(|| format!("it must be a whole number from 1 to {}", u16::MAX))
}

pub(super) fn sweep_command(arguments: &SweepArguments, retry: bool) -> Result<()> {
    if arguments.dry_run {
        if arguments.json {
            return print_plan(&arguments.selection);
        }
        return show_plan(&arguments.selection, Detail::Steps);
    }
    let written = experiments(&arguments.selection)?;
    let store = Store::open(&arguments.selection.place.runs)?;
    clear_old(&store.root);
    let trials = plan::trials(&written, &Disk { store: &store })?;
    let mut display = Display::new(arguments.quiet);
    listen_for_interrupts();
    let mut agenda = Agenda::of(&store, &trials);
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
    for (name, failure) in prepare(&unfinished, arguments.quiet)? {
        display.say(&format!("{name}  failed: {}\n      {}", failure.message, failure.help));
        let position = trials.iter().position(|it| it.name() == name);
        if let Some(state) = position.and_then(|it| agenda.states.get_mut(it)) {
            *state = TrialState::Lacking(failure);
        }
    }
    describe(&store, &written, &display);
    let limits = Limits { jobs, retry, fail_fast: arguments.fail_fast };
    let started = Instant::now();
    let mut refresh = Refresh::new(&store.root);
    let say = &mut |it: SweepEvent<'_>| {
        if let SweepEvent::Planned { todo: todo @ 1.., .. } = it {
            let (of, why) = (counted(trials.len(), "trial"), no_gpu(&arguments.device, &device));
            display.say(&format!("{todo} of {of} to do, {jobs} at once on {device}{why}"));
        }
        let changes_the_report = matches!(
            it,
            SweepEvent::Started(_)
                | SweepEvent::Ended(..)
                | SweepEvent::Happened(_, Kind::EpochEnded(_))
        );
        display.show(it);
        if changes_the_report {
            refresh.happened();
        }
    };
    let is_made = |it: Node<'_>| store.step_folder(it.kind, it.key).is_dir();
    let mut costs = Costs::default();
    let costs = &mut |trial: &Trial| costs.of(&trial.chain());
    let schedule = Schedule::new(&agenda, limits, Known { is_made: &is_made, costs }, say);
    let settings = Settings { engine, threads, device: device.clone() };
    let mut launcher = Local::new(&store, &trials, settings);
    let summary = sweep::sweep(schedule, &mut launcher, &interrupted);
    display.finish();
    let _time = refresh.finish();
    let summary = summary?;
    display.say(&outcome(&summary, started.elapsed().as_secs_f64()));
    let runs = all(&store);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let judged = Judged::new(&study);
    let report = publish(&judged, Target::beside(&store.root)).map(|it| it.page);
    let names: BTreeSet<String> = trials.iter().map(Trial::name).collect();
    tell_results(arguments, &summary, &judged, &names, report.as_deref().ok())?;
    if summary.failed.is_empty() && summary.died.is_empty() {
        return report.map(|_| ());
    }
    if let Err(error) = report {
        display.say(&format!("the report is not whole: {error}"));
    }
    let Summary { failed, died: interrupted, .. } = summary;
    Err(Error::TrialsFailed { failed, interrupted, total: trials.len() })
}

/// Writes what is said of each experiment beside its runs. Where that cannot be done the trials say why, which are to lie
/// there as well.
fn describe(store: &Store, written: &[Written], display: &Display) {
    for it in written {
        let (about, extends) = (it.experiment.about.clone(), it.extends.clone());
        let said = Description { about, extends }.write(&store.root.join(&it.name));
        if let Err(error) = said {
            display.say(&format!("the report cannot say what `{}` is about: {error}", it.name));
        }
    }
}

/// What became of the trials, in a line.
fn outcome(summary: &Summary, seconds: f64) -> String {
    let before = |n: usize| {
        if n == 1 { "1 was finished before".into() } else { format!("{n} were finished before") }
    };
    let lacks = summary.failed.len() + summary.died.len();
    match (summary.done.len(), summary.found.len()) {
        (0, found) if lacks == 0 => format!("nothing to do: {}", before(found)),
        (0, 0) => "no trial was finished".into(),
        (0, found) => format!("no trial was finished, {}", before(found)),
        (done, 0) => {
            format!("{} finished in {}", counted(done, "trial"), format::duration(seconds))
        }
        (done, found) => {
            let (done, took) = (counted(done, "trial"), format::duration(seconds));
            format!("{done} finished in {took}, {}", before(found))
        }
    }
}

/// Prints the scores of the trials called `names`, and where the report is.
fn tell_results(
    arguments: &SweepArguments,
    summary: &Summary,
    judged: &Judged<'_, '_>,
    names: &BTreeSet<String>,
    report: Option<&Path>,
) -> Result<()> {
    if arguments.json {
        let results = json!({
            "done": summary.done,
            "finished_before": summary.found,
            "failed": summary.failed,
            "interrupted": summary.died,
            "report": report,
            "configurations": Board::new(judged, Some(names)).to_json(),
        });
        return print_json(&documented(results));
    }
    if !arguments.quiet {
        let board = Board::new(judged, Some(names));
        if board.has_scores() {
            print(&format!("\n{}\n", board.to_text()))?;
        }
    }
    report.map_or(Ok(()), |it| print(&format!("{}\n", it.display())))
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
