//! `ferrite report` and `status`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::store::lock::holder;
use ferrite_core::store::read::all;
use ferrite_core::store::record::{Record, State};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::notes::waits_for;
use ferrite_core::terminal::print;

use crate::report;

pub(super) fn write_report(store: &Store) -> Result<PathBuf> {
    let runs = all(store);
    report::write(&runs.records, &runs.damaged, &store.root)
}

pub(super) fn report_command(place: &Place) -> Result<()> {
    let store = existing(place)?;
    clear_old(&store.root);
    let index = write_report(&store)?;
    print(&format!("{}\n", index.display()))
}

pub(super) fn status_command(place: &Place) -> Result<()> {
    let runs = all(&existing(place)?);
    let mut text = String::new();
    for record in &runs.records {
        let epochs: usize = record.facts.stages.iter().map(|it| it.epochs.len()).sum();
        let (experiment, trial) = (&record.experiment, &record.trial);
        let (seconds, state) = (record.seconds, state(record));
        let _ = writeln!(text, "{experiment}/{trial}  {epochs} epochs  {seconds:.0} s  {state}");
    }
    for error in &runs.damaged {
        let _ = writeln!(text, "{error}");
    }
    print(&text)
}

/// The folder of runs, which must be there.
fn existing(place: &Place) -> Result<Store> {
    let root = place.runs.clone();
    if root.is_dir() {
        return Ok(Store { root });
    }
    Err(Error::Usage {
        message: format!("there is no folder of runs `{}`", root.display()),
        help: "name it with `--runs`, or make one with `ferrite sweep`".into(),
    })
}

/// How far a run is, and whom it waits for.
fn state(record: &Record) -> String {
    match &record.state {
        State::Running => {
            let process = holder(&record.folder.join(files::LOCK));
            let said = process.map_or_else(String::new, |it| format!(", process {it}"));
            // It may hold by now what it waited for, and have nothing new to tell yet.
            let waits = record.facts.waiting.as_ref();
            let waits =
                waits.filter(|it| process.is_none() || holder(Path::new(&it.path)) != process);
            let waits = waits.map_or_else(String::new, |it| format!(", {}", waits_for(it)));
            format!("running{said}{waits}")
        }
        State::Finished => "finished".to_owned(),
        State::Failed(failure) => format!("failed: {}", failure.message),
        State::Interrupted => "interrupted".to_owned(),
    }
}
