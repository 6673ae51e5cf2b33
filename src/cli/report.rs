//! `ferrite report`.

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::store::leftovers::clear_old;
use ferrite_core::store::read::all;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::scores::Board;
use crate::cli::status::existing;
use crate::report;
use crate::study::Study;
use crate::study::judged::Judged;

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Print the scores of all configurations and the page's path as one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn report_command(arguments: &ReportArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    clear_old(&store.root);
    let runs = all(&store);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let judged = Judged::new(&study);
    let index = report::write(&judged, &store.root)?;
    if !arguments.json {
        return print(&format!("{}\n", index.display()));
    }
    let configurations = Board::new(&judged, None).to_json();
    print_json(&documented(json!({ "report": index, "configurations": configurations })))
}
