//! `ferrite stop`: asks sweeps and runs of other terminals to stop, as Ctrl-C there would.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::Store;
use ferrite_core::store::find::runs_of;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use ferrite_core::store::read::heads;
use ferrite_core::store::record::State;
use ferrite_core::store::stop;
use ferrite_core::store::sweeps::running;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::status::existing;

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// Runs, like `fruit/seed-0`, or experiments, like `fruit`, for those of their runs that are running; the sweep goes on
    /// with others [default: every sweep in the folder of runs]
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
    let asked = if arguments.named.is_empty() {
        ask_sweeps(&store)?
    } else {
        ask_runs(&store, &arguments.named)?
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
        return print_json(&documented(json!({ "stopped": names, "ended": arguments.wait })));
    }
    let (done, when) = if arguments.wait {
        ("stopped", "")
    } else {
        ("asked to stop", " at the end of the running epoch, where the next sweep goes on")
    };
    let lines = asked.iter().map(|it| format!("{done}{when}: {}\n", it.name)).collect::<String>();
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

fn ask_runs(store: &Store, names: &[PathBuf]) -> Result<Vec<Asked>> {
    let mut folders = BTreeSet::new();
    for it in names {
        folders.extend(runs_of(store, it)?);
    }
    let mut asked = Vec::new();
    for folder in folders {
        let lock = folder.join(files::LOCK);
        if !is_locked(&lock) {
            continue;
        }
        stop::ask(&folder)?;
        let below = folder.strip_prefix(&store.root).unwrap_or(&folder);
        let name = format!("`{}`", below.display());
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
        (true, []) => "no sweep runs here\n".into(),
        (true, some) => format!(
            "no sweep runs here. Name runs to stop these, which were begun without one: {}\n",
            some.join(", ")
        ),
        (false, []) => "none of these is running\n".into(),
        (false, some) => format!("none of these is running; {} is\n", some.join(", ")),
    }
}
