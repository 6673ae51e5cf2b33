//! `ferrite sweep --executor`: what is not finished is submitted to a cluster, and watched.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
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
use crate::sweep::cluster::follow::{Watched, extent, follow};
use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::script::Site;
use crate::sweep::cluster::{Afterwards, Cluster, Executor, Extent, Order, Submitted};
use crate::sweep::launch::Node;
use crate::sweep::{Agenda, Summary, SweepEvent, TrialState};

/// A sweep that a cluster carries out.
pub(super) struct OnCluster<'a> {
    pub(super) executor: Executor,
    /// Whether nobody waits for it.
    pub(super) detach: bool,
    /// Whether trials that failed earlier are tried again.
    pub(super) retry: bool,
    /// How often jobs that nobody waits for may still decide who is promoted in a search.
    pub(super) decisions: Option<usize>,
    /// Where to train, as the user asked.
    pub(super) device: &'a str,
    /// Whether programs read what is printed.
    pub(super) json: bool,
}

/// Submits what `agenda` has to do, and waits for it unless it is to be left alone. None where it is left alone.
pub(super) fn sweep_on_cluster(
    on: &OnCluster<'_>,
    store: &Store,
    agenda: Agenda<'_>,
    display: &mut Display,
    changed: &mut dyn FnMut(&SweepEvent<'_>),
) -> Result<Option<Summary>> {
    let settings = clusters::read(&clusters::files())?;
    let cluster =
        Cluster { executor: on.executor, settings: &settings, programs: Programs::default() };
    let searches = Searches::of(&agenda, on)?;
    let todo = todo(&agenda, on.retry);
    let site = site(store, on.device)?;
    let trials = agenda.trials;
    let is_made = |it: Node<'_>| store.has(it.kind, it.key);
    let mut submit = |todo: &[Extent]| {
        let order = Order { trials, todo, is_made: &is_made, site: &site };
        cluster.submit(store, &order)
    };
    let submitted = submit(&todo)?;
    display.say(&said(&cluster, &submitted));
    if on.detach && !submitted.ends.is_empty() {
        let afterwards = searches.afterwards(&site)?;
        let job = cluster.submit_after(&site, &submitted, &afterwards)?;
        let decides = afterwards.name == Afterwards::DECISION;
        display.say(match &job {
            Some(_) if decides => {
                "another job promotes the points that are ahead when all are over, and so on; the last one writes the report. \
                 `ferrite status` tells how far they are"
            }
            Some(_) => "another job writes the report when all are over; `ferrite status` tells how far they are",
            None => "`ferrite status` tells how far they are, and `ferrite report` writes the report",
        });
        if on.json {
            let mut jobs = json!({ "executor": on.executor.name(), "jobs": submitted.jobs });
            jobs["report"] = json!(job.as_ref().filter(|_| !decides));
            jobs["decision"] = json!(job.as_ref().filter(|_| decides));
            print_json(&documented(jobs))?;
        }
        return Ok(None);
    }
    let (count, costs) = (submitted.ends.len(), costs(store, trials, &todo, &is_made));
    let costs = costs.iter().map(|(key, cost)| (key.as_str(), *cost)).collect();
    display.show(SweepEvent::Planned { todo: count, costs });
    let has_jobs = !submitted.ends.is_empty();
    let watched = Watched { agenda, submitted, submit: &mut submit };
    let say = &mut |it: SweepEvent<'_>| {
        changed(&it);
        display.show(it);
    };
    let summary = follow(&cluster, store, watched, &interrupted, say);
    if matches!(summary, Err(Error::Interrupted)) && has_jobs {
        let (title, name) = (on.executor.title(), on.executor.name());
        display.say(&format!(
            "the jobs stay in {title} and go on; `ferrite sweep --executor {name}` watches them again, and `ferrite stop` \
             cancels them"
        ));
        if searches.are_open() {
            display.say("who is promoted in a search is decided by the sweep that watches, or by jobs with `--detach`");
        }
    }
    summary.map(Some)
}

/// The searches of a sweep that stop points, as far as somebody has to decide about them when nobody watches.
struct Searches {
    /// How often somebody has to at most.
    decisions: usize,
}

impl Searches {
    /// # Errors
    /// [`Error::Usage`] if nobody could: a search is left alone on a cluster that has no job that begins when others are over.
    fn of(agenda: &Agenda<'_>, on: &OnCluster<'_>) -> Result<Self> {
        let Some(first) = agenda.rungs.halved().first() else { return Ok(Self { decisions: 0 }) };
        if on.detach && on.executor == Executor::HyperQueue {
            return Err(Error::Usage {
                message: format!(
                    "`{}` promotes points when others have ended, and with `--detach` nobody is left to do so",
                    first.experiment
                ),
                help: "leave `--detach` out: the sweep that watches decides".into(),
            });
        }
        let rungs = agenda.rungs.halved().iter().map(|it| it.rungs.len()).max().unwrap_or(0);
        Ok(Self { decisions: on.decisions.unwrap_or(rungs + SPARE_DECISIONS) })
    }

    fn are_open(&self) -> bool {
        self.decisions > 0
    }

    /// What a job does when those that were submitted are over: it decides, or writes the report.
    ///
    /// # Errors
    /// As of [`own_words`].
    fn afterwards(&self, site: &Site) -> Result<Afterwards> {
        let words = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        if self.decisions == 0 {
            let runs = site.runs.to_string_lossy();
            return Ok(Afterwards { name: "report", words: words(&["report", "--runs", &runs]) });
        }
        let left = (self.decisions - 1).to_string();
        let mut all = words(&["sweep", "--decisions", &left]);
        all.extend(own_words()?);
        Ok(Afterwards { name: Afterwards::DECISION, words: all })
    }
}

/// A job of a search can die and be submitted again so often without anybody being asked.
const SPARE_DECISIONS: usize = 2;

/// The words that this sweep was called with, but for the command and how often it may still decide.
///
/// # Errors
/// [`Error::Usage`] if a script could not hold one of them.
fn own_words() -> Result<Vec<String>> {
    let words: std::result::Result<Vec<String>, _> =
        std::env::args_os().skip(1).map(OsString::into_string).collect();
    let words = words.map_err(|it| Error::Usage {
        message: format!("a job cannot be told `{}`, which is no UTF-8", it.display()),
        help: "leave `--detach` out, or rename it".into(),
    })?;
    Ok(without_command(words))
}

fn without_command(words: Vec<String>) -> Vec<String> {
    let mut words = words.into_iter();
    let mut kept = Vec::new();
    let mut is_behind_command = false;
    while let Some(it) = words.next() {
        match it.as_str() {
            "sweep" | "retry" if !is_behind_command => is_behind_command = true,
            "--decisions" => {
                words.next();
            }
            _ => kept.push(it),
        }
    }
    kept
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

/// How far each trial is carried out: one that starts from another that cannot be had is not.
fn todo(agenda: &Agenda<'_>, retry: bool) -> Vec<Extent> {
    let mut lost: HashSet<String> = HashSet::new();
    let all = agenda.trials.iter().zip(&agenda.states).enumerate();
    let todo = all.map(|(at, (trial, state))| {
        if *state == TrialState::Finished {
            return Extent::Nothing;
        }
        let needs_lost = trial.needs.as_ref().is_some_and(|it| lost.contains(it));
        let todo = state.is_to_do(retry);
        if !todo || needs_lost {
            lost.insert(trial.name());
            return Extent::Nothing;
        }
        extent(&agenda.rungs, at)
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
    todo: &[Extent],
    is_made: &dyn Fn(Node<'_>) -> bool,
) -> BTreeMap<String, f64> {
    let mut forecast = Forecast::new(store, None);
    let todo = trials.iter().zip(todo).filter(|it| *it.1 != Extent::Nothing).map(|it| it.0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_decides_is_told_what_the_sweep_was_told() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let called =
            "retry --executor slurm --detach --decisions 3 experiments/sweep --select sweep";
        let told = without_command(words(called));
        assert_eq!(told, words("--executor slurm --detach experiments/sweep --select sweep"));
    }
}
