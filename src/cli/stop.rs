//! `ferrite stop`: asks sweeps and runs of other terminals to stop, as Ctrl-C there would, and cancels jobs of clusters.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::Store;
use ferrite_core::store::find::{name_of, runs_of_all};
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use ferrite_core::store::queued::Queued;
use ferrite_core::store::read::heads;
use ferrite_core::store::record::State;
use ferrite_core::store::stop;
use ferrite_core::store::sweeps::running;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::status::existing;
use crate::sweep::cluster::cancel;
use crate::sweep::cluster::programs::Programs;

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// Runs, like `fruit/seed-0`, or experiments, like `fruit`, for those of their runs that are running or have a job on a
    /// cluster; the sweep goes on with others [default: every sweep in the folder of runs, and every job]
    #[arg(value_name = "RUN")]
    named: Vec<PathBuf>,
    /// Wait until they have ended
    #[arg(long)]
    wait: bool,
    /// Print what was asked to stop as one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn stop_command(arguments: &StopArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let (asked, cancelled) = if arguments.named.is_empty() {
        let asked = ask_sweeps(&store)?;
        (asked, cancel_jobs(&store, heads(&store).records.into_iter().map(|it| it.folder))?)
    } else {
        let folders = runs_of_all(&store, &arguments.named)?;
        let cancelled = cancel_jobs(&store, folders.iter().cloned())?;
        (ask_runs(&store, folders)?, cancelled)
    };
    if arguments.wait {
        listen_for_interrupts();
        while asked.iter().any(|it| (it.still_runs)()) {
            if interrupted() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    if arguments.json {
        let names: Vec<&str> = asked.iter().map(|it| it.name.as_str()).collect();
        let told = json!({ "stopped": names, "ended": arguments.wait, "cancelled": cancelled });
        return print_json(&documented(told));
    }
    let (done, when) = if arguments.wait {
        ("stopped", "")
    } else {
        ("asked to stop", " at the end of the running epoch, where the next sweep goes on")
    };
    let asked = asked.iter().map(|it| format!("{done}{when}: {}\n", it.name));
    let jobs = cancelled.iter().map(|it| format!("job cancelled: `{it}`\n"));
    let lines = asked.chain(jobs).collect::<String>();
    print(&if lines.is_empty() { nothing(&store, arguments.named.is_empty()) } else { lines })
}

/// Somebody who was asked to stop.
struct Asked {
    name: String,
    still_runs: Box<dyn Fn() -> bool>,
}

fn ask_sweeps(store: &Store) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for it in running(store)? {
        it.ask_to_stop()?;
        let name = format!("the sweep of {}", it.place());
        asked.push(Asked { name, still_runs: Box::new(move || it.still_runs()) });
    }
    Ok(asked)
}

/// Cancels the jobs that a cluster has for the runs in these folders, and returns their names.
fn cancel_jobs(store: &Store, folders: impl Iterator<Item = PathBuf>) -> Result<Vec<String>> {
    let queued = folders.filter(|it| Queued::of(it).is_some());
    let names: Vec<String> = queued.map(|it| name_of(store, &it)).collect();
    cancel(store, &Programs::default(), &names)
}

/// Asks those of the runs in these folders to stop that are running.
fn ask_runs(store: &Store, folders: BTreeSet<PathBuf>) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for folder in folders {
        let lock = folder.join(files::LOCK);
        if !is_locked(&lock) {
            continue;
        }
        stop::ask(&folder)?;
        let name = format!("`{}`", name_of(store, &folder));
        asked.push(Asked { name, still_runs: Box::new(move || is_locked(&lock)) });
    }
    Ok(asked)
}

/// Says that nothing runs, or what else does.
fn nothing(store: &Store, of_sweeps: bool) -> String {
    let runs = heads(store).records;
    let running =
        runs.iter().filter(|it| it.state == State::Running).map(|it| format!("`{}`", it.name()));
    let running: Vec<String> = running.collect();
    match (of_sweeps, &running[..]) {
        (true, []) => "no sweep runs here, and no job is queued for one\n".into(),
        (true, some) => format!(
            "no sweep runs here. Name runs to stop these, which were begun without one: {}\n",
            some.join(", ")
        ),
        (false, []) => "none of these is running\n".into(),
        (false, some) => format!("none of these is running; {} is\n", some.join(", ")),
    }
}
