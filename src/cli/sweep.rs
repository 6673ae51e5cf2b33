//! `ferrite sweep` and `retry`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;
use ferrite_core::config::Experiment;
use ferrite_core::config::read::Written;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::plan::Trial;
use ferrite_core::plan::search::Halved;
use ferrite_core::store::Store;
use ferrite_core::store::description::{Description, Searched};
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::store::sweeps::{Registered, forget_dead};
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::cluster::{OnCluster, show_submission, sweep_on_cluster};
use crate::cli::fitting::Fitting;
use crate::cli::hardware::Hardware;
use crate::cli::jobs::count;
use crate::cli::plan::{Detail, print_plan, show_plan};
use crate::cli::planned::Guess;
use crate::cli::refresh::Refresh;
use crate::cli::report::publish;
use crate::cli::scores::Board;
use crate::cli::select::{Selection, experiments, trials};
use crate::cli::weights::prepare;
use crate::forecast::Forecast;
use crate::format;
use crate::progress::Display;
use crate::report::Target;
use crate::study::judged::Judged;
use crate::study::{Study, folds};
use crate::sweep;
use crate::sweep::cluster::Executor;
use crate::sweep::launch::Node;
use crate::sweep::launch::local::{Local, Settings};
use crate::sweep::launch::patience::Patience;
use crate::sweep::schedule::{Known, Limits, Schedule};
use crate::sweep::{Agenda, Summary, SweepEvent, TrialState};

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct SweepArguments {
    #[command(flatten)]
    pub(super) selection: Selection,
    /// Trials at once; the processor's threads are divided among them [default: on a processor one for each core while its
    /// memory lasts, on a GPU as many as train the most under NVIDIA's MPS, and one without it]
    #[arg(long, short, value_parser = count)]
    pub(super) jobs: Option<u16>,
    /// CPU threads of each trial [default: all cores, divided by the jobs]
    #[arg(long, value_parser = count)]
    pub(super) threads: Option<u16>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    /// Seconds for which a trial's process may give no sign of life before you are told; as long again, and it is ended.
    /// Where its steps are slow it is granted ten times the longest so far. `off` waits for ever
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = patience)]
    pub(super) patience: Patience,
    /// Stop at the first trial that fails
    #[arg(long)]
    pub(super) fail_fast: bool,
    /// Go on whatever fails, and however often
    #[arg(long, conflicts_with_all = ["fail_fast", "max_failures"])]
    pub(super) keep_going: bool,
    /// Stop when so many trials in a row have failed with the same words, and none succeeded between
    #[arg(long, value_name = "N", value_parser = count, default_value = "10", conflicts_with = "fail_fast")]
    pub(super) max_failures: u16,
    /// Submit to a cluster instead of training here; `ferrite.toml` says what its jobs ask for
    #[arg(long, conflicts_with_all = ["jobs", "threads", "fail_fast"])]
    pub(super) executor: Option<Executor>,
    /// With `--executor`: do not wait for the jobs
    #[arg(long, requires = "executor")]
    pub(super) detach: bool,
    /// How often jobs may still decide, with `--detach`, who is promoted in a search: they say it to each other
    #[arg(long, requires = "detach", hide = true)]
    pub(super) decisions: Option<usize>,
    /// Print what would be done and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Print the results as one JSON object (docs/json.md)
    #[arg(long)]
    pub(super) json: bool,
    /// Say nothing but what fails, and the report's path
    #[arg(long, short)]
    pub(super) quiet: bool,
}

/// A number of seconds, or no bound.
fn patience(text: &str) -> Result<Patience, String> {
    let seconds = text.parse().ok().filter(|it| *it > 0).map(Duration::from_secs);
    match (text, seconds) {
        ("off", _) => Ok(Patience(None)),
        (_, Some(it)) => Ok(Patience(Some(it))),
        _ => Err("it must be a whole number of seconds above 0, or `off`".into()),
    }
}

pub(super) fn sweep_command(arguments: &SweepArguments, retry: bool) -> Result<()> {
    if arguments.dry_run {
        let guess = Guess { jobs: arguments.jobs, device: arguments.device.clone() };
        if arguments.json {
            return print_plan(&arguments.selection, &guess);
        }
        show_plan(&arguments.selection, &guess, Detail::Steps)?;
        let SweepArguments { executor, device, selection, .. } = arguments;
        return executor.map_or(Ok(()), |it| show_submission(it, retry, device, selection));
    }
    let written = experiments(&arguments.selection)?;
    let store = Store::open(&arguments.selection.place.runs)?;
    clear_old(&store.root);
    let planned = trials(&arguments.selection, &written, &store)?;
    let mut display = Display::new(&store, arguments.quiet);
    listen_for_interrupts();
    let failed =
        retry.then(|| Agenda::of(&store, &planned, Halved::all(&written, &planned)).to_retry());
    let trials = failed.as_deref().unwrap_or(&planned);
    let mut agenda = Agenda::of(&store, trials, Halved::all(&written, trials));
    let unfinished = agenda.unfinished(retry);
    let mut fitting = Fitting::new(&store, trials);
    for trial in &unfinished {
        fitting.lines(trial);
    }
    fitting.end()?;
    let place = match arguments.executor {
        None => Where::Here(Box::new(Hardware::of(arguments, unfinished.len())?)),
        Some(executor) => Where::Cluster(executor),
    };
    for (name, failure) in prepare(&unfinished, arguments.quiet)? {
        display.warn(&format!("{name}  failed: {}\n      {}", failure.message, failure.help));
        let position = trials.iter().position(|it| it.name() == name);
        if let Some(state) = position.and_then(|it| agenda.states.get_mut(it)) {
            *state = TrialState::Lacking(failure);
        }
    }
    describe(&store, &written, &planned, &display);
    let started = Instant::now();
    let mut refresh = Refresh::new(&store.root);
    let summary = match place {
        Where::Here(hardware) => {
            let of = counted(trials.len(), "trial");
            let introduction = format!("of {of} to do, {}", hardware.told(&arguments.device));
            let most_alike = (!arguments.keep_going).then(|| usize::from(arguments.max_failures));
            let limits = Limits {
                pace: hardware.pace(),
                shares_server: hardware.mps.is_some(),
                retry,
                fail_fast: arguments.fail_fast,
                most_alike,
            };
            let registered =
                register(&store, hardware.jobs, (&agenda, retry)).unwrap_or_else(|error| {
                    // The work goes on without being found.
                    display.say(&format!(
                        "`ferrite stop` and `ferrite status` cannot see this sweep: {error}"
                    ));
                    None
                });
            let say = &mut |it: SweepEvent<'_>| {
                if let SweepEvent::Planned { todo: todo @ 1.., .. } = it {
                    display.say(&format!("{todo} {introduction}"));
                }
                refresh.hear(&it);
                display.show(it);
            };
            sweep_here(&store, agenda, (limits, registered), *hardware, say).map(Some)
        }
        Where::Cluster(executor) => {
            let SweepArguments { detach, device, decisions, json, .. } = arguments;
            let (detach, decisions, json) = (*detach, *decisions, *json);
            let on = OnCluster { executor, detach, retry, decisions, device, json };
            sweep_on_cluster(&on, &store, agenda, &mut display, &mut |it| refresh.hear(it))
        }
    };
    display.finish();
    let _time = refresh.finish();
    let Some(summary) = summary? else { return Ok(()) };
    let ended = if retry && trials.is_empty() {
        "nothing to retry: no trial failed".to_owned()
    } else {
        outcome(&summary, started.elapsed().as_secs_f64())
    };
    display.say(&ended);
    let runs = folds::read(&store);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let judged = Judged::new(&study);
    let report = publish(&judged, Target::beside(&store.root)).map(|it| it.page);
    let names: BTreeSet<String> = trials.iter().map(Trial::name).collect();
    tell_results(arguments, &summary, &judged, &names, report.as_deref().ok())?;
    if summary.failed.is_empty() && summary.died.is_empty() {
        return report.map(|_| ());
    }
    if let Err(error) = report {
        display.warn(&format!("the report is not whole: {error}"));
    }
    let Summary { failed, died: interrupted, .. } = summary;
    Err(Error::TrialsFailed { failed, interrupted, total: trials.len() })
}

/// Where trials are carried out.
enum Where {
    Here(Box<Hardware>),
    Cluster(Executor),
}

/// Carries out what `agenda` has to do on this machine.
fn sweep_here(
    store: &Store,
    agenda: Agenda<'_>,
    (limits, registered): (Limits, Option<Registered>),
    hardware: Hardware,
    say: &mut dyn FnMut(SweepEvent<'_>),
) -> Result<Summary> {
    let is_made = |it: Node<'_>| store.step_folder(it.kind, it.key).is_dir();
    let Hardware { engine, device, threads, patience, mps, .. } = hardware;
    // Where nothing is to be done nobody asks.
    let mut forecast = None;
    let costs = &mut |trial: &Trial| {
        let forecast = forecast.get_or_insert_with(|| Forecast::new(store, Some(&device)));
        forecast.of(trial).iter().map(|it| it.seconds).collect()
    };
    let trials = agenda.trials;
    let schedule = Schedule::new(agenda, limits, Known { is_made: &is_made, costs }, say);
    let variables = mps.as_ref().map_or_else(Vec::new, |it| it.variables.clone());
    let settings = Settings { engine, threads, device, patience, variables };
    let mut launcher = Local::new(store, trials, settings);
    let is_asked = || registered.as_ref().is_some_and(Registered::is_asked_to_stop);
    sweep::sweep(schedule, &mut launcher, &|| interrupted() || is_asked())
}

/// Says in the folder of runs that this process carries out what is left of `agenda`, so that `ferrite status` and `ferrite stop`
/// find it. Nothing is said where nothing is left.
fn register(
    store: &Store,
    jobs: usize,
    (agenda, retry): (&Agenda<'_>, bool),
) -> Result<Option<Registered>> {
    let todo: Vec<String> = agenda.unfinished(retry).into_iter().map(Trial::name).collect();
    if todo.is_empty() {
        return Ok(None);
    }
    forget_dead(store);
    let steps = agenda.trials.iter().flat_map(|it| &it.steps);
    let keys: BTreeSet<&str> = steps.map(|it| it.key.as_str()).collect();
    let keys = keys.into_iter().map(str::to_owned).collect();
    Registered::new(store, jobs, todo, keys).map(Some)
}

/// Writes what is said of each experiment beside its runs. Where that cannot be done the trials say why, which are to lie
/// there as well.
fn describe(store: &Store, written: &[Written], trials: &[Trial], display: &Display) {
    for it in written {
        let Experiment { about, tags, .. } = it.experiment.clone();
        let extends = it.extends.clone();
        let search = it.experiment.search.as_ref().map(|search| {
            let mut points = vec![Vec::new(); search.points];
            for trial in trials.iter().filter(|trial| trial.experiment == it.name) {
                if let Some(number) = trial.point {
                    points[number - 1].push(trial.id.clone());
                }
            }
            Searched { points, settings: search.to_table() }.into()
        });
        let said = Description { about, tags, extends, search }.write(&store.root.join(&it.name));
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
    let stopped = match summary.stopped.len() {
        0 => String::new(),
        n => format!("; {} stopped behind others of their search", counted(n, "trial")),
    };
    let lacks = summary.failed.len() + summary.died.len();
    let said = match (summary.done.len(), summary.found.len()) {
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
    };
    said + &stopped
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
            "stopped": summary.stopped,
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
