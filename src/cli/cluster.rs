//! `ferrite sweep --executor`: what is not finished is submitted to a cluster, and watched.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use ferrite_core::config::clusters;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::plan::Trial;
use ferrite_core::plan::search::Halved;
use ferrite_core::store::Store;
use ferrite_core::terminal::interrupt::interrupted;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::engine;
use crate::cli::select::{Selection, experiments, trials};
use crate::forecast::Forecast;
use crate::progress::Display;
use crate::sweep::cluster::follow::{Watched, follow};
use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::script::Site;
use crate::sweep::cluster::{Cluster, Executor, Order, Submitted};
use crate::sweep::launch::Node;
use crate::sweep::{Agenda, Summary, SweepEvent, TrialState};

/// A sweep that a cluster carries out.
pub(super) struct OnCluster<'a> {
    pub(super) executor: Executor,
    /// Whether nobody waits for it.
    pub(super) detach: bool,
    /// Whether trials that failed earlier are tried again.
    pub(super) retry: bool,
    /// Where to train, as the user asked.
    pub(super) device: &'a str,
    /// Whether programs read what is printed.
    pub(super) json: bool,
}

/// Submits what `agenda` has to do, and waits for it unless it is to be left alone. None where it is left alone.
pub(super) fn sweep_on_cluster(
    on: &OnCluster<'_>,
    store: &Store,
    agenda: &Agenda<'_>,
    display: &mut Display,
    changed: &mut dyn FnMut(&SweepEvent<'_>),
) -> Result<Option<Summary>> {
    let settings = clusters::read(&clusters::files())?;
    let cluster =
        Cluster { executor: on.executor, settings: &settings, programs: Programs::default() };
    refuse_rungs(agenda)?;
    let todo = todo(agenda, on.retry);
    let site = site(store, on.device)?;
    let is_made = |it: Node<'_>| store.has(it.kind, it.key);
    let order = Order { trials: agenda.trials, todo: &todo, is_made: &is_made, site: &site };
    let submitted = cluster.submit(store, &order)?;
    display.say(&said(&cluster, &submitted));
    if on.detach {
        let report = cluster.submit_report(&site, &submitted)?;
        display.say(match &report {
            Some(_) => "another job writes the report when all are over; `ferrite status` tells how far they are",
            None => "`ferrite status` tells how far they are, and `ferrite report` writes the report",
        });
        if on.json {
            let jobs =
                json!({ "executor": on.executor.name(), "jobs": submitted.jobs, "report": report });
            print_json(&documented(jobs))?;
        }
        return Ok(None);
    }
    let (count, costs) = (submitted.ends.len(), costs(store, agenda.trials, &todo, &is_made));
    let costs = costs.iter().map(|(key, cost)| (key.as_str(), *cost)).collect();
    display.show(SweepEvent::Planned { todo: count, costs });
    let watched = Watched { trials: agenda.trials, states: &agenda.states, submitted: &submitted };
    let say = &mut |it: SweepEvent<'_>| {
        changed(&it);
        display.show(it);
    };
    let summary = follow(&cluster, store, &watched, &interrupted, say);
    if matches!(summary, Err(Error::Interrupted)) && !submitted.ends.is_empty() {
        let (title, name) = (on.executor.title(), on.executor.name());
        display.say(&format!(
            "the jobs stay in {title} and go on; `ferrite sweep --executor {name}` watches them again, and `ferrite stop` \
             cancels them"
        ));
    }
    summary.map(Some)
}

/// Prints what a sweep would submit, and the first script. The cluster is not asked.
pub(super) fn show_submission(
    executor: Executor,
    retry: bool,
    device: &str,
    selection: &Selection,
) -> Result<()> {
    let settings = clusters::read(&clusters::files())?;
    let cluster = Cluster { executor, settings: &settings, programs: Programs::default() };
    let store = Store { root: selection.place.runs.clone() };
    let written = experiments(selection)?;
    let trials = trials(selection, &written, &store)?;
    let agenda = Agenda::of(&store, &trials, Halved::all(&written, &trials));
    refuse_rungs(&agenda)?;
    let todo = todo(&agenda, retry);
    let site = site(&store, device)?;
    let is_made = |it: Node<'_>| store.has(it.kind, it.key);
    let order = Order { trials: &trials, todo: &todo, is_made: &is_made, site: &site };
    let (jobs, shared, script) = cluster.preview(&store, &order);
    let (jobs, title) = (counted(jobs, "job"), executor.title());
    let head = format!("{jobs} for {title}, {shared} of them for what several trials need");
    print(&match script.as_str() {
        "" => format!("{head}\n"),
        script => format!("{head}; the first script:\n\n{script}"),
    })
}

/// # Errors
/// [`Error::Usage`] if a search stops points: what a cluster does is submitted before any of it has a score.
fn refuse_rungs(agenda: &Agenda<'_>) -> Result<()> {
    let Some(search) = agenda.rungs.halved().first() else { return Ok(()) };
    Err(Error::Usage {
        message: format!("`{}` stops points at rungs, which nobody decides on a cluster", search.experiment),
        help: "sweep it in one job, without `--executor`; or take `[search.halving]` out, which trains all points to the end"
            .into(),
    })
}

/// Whether each trial is carried out: one that starts from another that cannot be had is not.
fn todo(agenda: &Agenda<'_>, retry: bool) -> Vec<bool> {
    let mut lost: HashSet<String> = HashSet::new();
    let all = agenda.trials.iter().zip(&agenda.states);
    let todo = all.map(|(trial, state)| {
        if *state == TrialState::Finished {
            return false;
        }
        let needs_lost = trial.needs.as_ref().is_some_and(|it| lost.contains(it));
        let todo = state.is_to_do(retry);
        if !todo || needs_lost {
            lost.insert(trial.name());
        }
        todo && !needs_lost
    });
    todo.collect()
}

/// The programs and folders as other computers of the cluster find them.
fn site(store: &Store, device: &str) -> Result<Site> {
    let whole = |it: &Path| std::fs::canonicalize(it).map_err(Error::file("cannot find", it));
    let ferrite = std::env::current_exe().map_err(Error::file("cannot find", "ferrite"))?;
    let here = std::env::current_dir().map_err(Error::file("cannot find", "."))?;
    // What is only looked at may have no folder of runs yet.
    let runs: PathBuf = whole(&store.root).unwrap_or_else(|_| here.join(&store.root));
    let engine = engine::engine()?;
    Ok(Site { engine, ferrite, runs, here, device: device.to_owned() })
}

/// What the steps that are not there cost, by their keys.
fn costs(
    store: &Store,
    trials: &[Trial],
    todo: &[bool],
    is_made: &dyn Fn(Node<'_>) -> bool,
) -> BTreeMap<String, f64> {
    let mut forecast = Forecast::new(store, None);
    let todo = trials.iter().zip(todo).filter(|it| *it.1).map(|it| it.0);
    let steps = todo.flat_map(|it| it.steps.iter().zip(forecast.of(it)));
    let left = steps.filter(|(it, _)| !is_made(Node { kind: it.kind.name(), key: &it.key }));
    left.map(|(it, cost)| (it.key.clone(), cost.seconds)).collect()
}

/// What was submitted, in a few lines.
fn said(cluster: &Cluster<'_>, submitted: &Submitted) -> String {
    let title = cluster.executor.title();
    let before = match submitted.queued_before {
        0 => String::new(),
        count => format!("{} in {title} from before; ", counted(count, "job")),
    };
    let Some(folder) = &submitted.folder else {
        return match submitted.queued_before {
            0 => "nothing to submit".into(),
            _ => format!("{before}nothing else to submit"),
        };
    };
    let shared = match submitted.shared {
        0 => String::new(),
        count => format!(", {count} of them for what several trials need"),
    };
    let of = |it: &String| it.split(['_', '@']).next().unwrap_or_default().to_owned();
    let mut numbers: Vec<String> = submitted.jobs.iter().map(of).collect();
    numbers.sort();
    numbers.dedup();
    let most = 6.min(numbers.len());
    let more = if numbers.len() > most { ", …" } else { "" };
    format!(
        "{before}{} submitted to {title}{shared}: {}{more}; scripts and logs in {}",
        counted(submitted.jobs.len(), "job"),
        numbers[..most].join(", "),
        folder.display()
    )
}
