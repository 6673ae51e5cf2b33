//! `ferrite report` and `status`.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::cli::{Place, print};
use crate::error::Result;
use crate::report;
use crate::store::Store;
use crate::store::read::all;
use crate::store::record::State;

pub(super) fn write_report(store: &Store) -> Result<PathBuf> {
    let runs = all(store);
    report::write(&runs.records, &runs.damaged, &store.root)
}

pub(super) fn report_command(place: &Place) -> Result<()> {
    let index = write_report(&Store::open(&place.runs)?)?;
    print(&format!("{}\n", index.display()))
}

pub(super) fn status_command(place: &Place) -> Result<()> {
    let runs = all(&Store { root: place.runs.clone() });
    let mut text = String::new();
    for record in &runs.records {
        let state = match &record.state {
            State::Running => "running".to_owned(),
            State::Finished => "finished".to_owned(),
            State::Failed(failure) => format!("failed: {}", failure.message),
            State::Interrupted => "interrupted".to_owned(),
        };
        let epochs: usize = record.facts.stages.iter().map(|it| it.epochs.len()).sum();
        let (experiment, trial) = (&record.experiment, &record.trial);
        let seconds = record.seconds;
        let _ = writeln!(text, "{experiment}/{trial}  {epochs} epochs  {seconds:.0} s  {state}");
    }
    for error in &runs.damaged {
        let _ = writeln!(text, "{error}");
    }
    print(&text)
}
