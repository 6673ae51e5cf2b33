//! `ferrite rm`: removes runs. Results of their steps stay, since other trials may need them: `ferrite gc` knows.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::Store;
use ferrite_core::store::find::{name_of, runs_of};
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use ferrite_core::store::read::heads;
use ferrite_core::store::record::Record;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use rayon::prelude::*;
use serde_json::json;

use crate::cli::confirm::confirmed;
use crate::cli::remove::{keys_of, remove_run, run_folders, size, try_lock};
use crate::cli::status::existing;
use crate::cli::table::{WIDTH, wrapped};
use crate::format;

#[derive(Debug, Args)]
pub(super) struct RmArguments {
    /// Runs, like `fruit/seed-0`, or experiments, like `fruit`, for all of their runs
    #[arg(required = true, value_name = "RUN")]
    named: Vec<PathBuf>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print what was removed as one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn rm_command(arguments: &RmArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let mut folders = BTreeSet::new();
    for asked in &arguments.named {
        folders.extend(meant(&store, asked)?);
    }
    let names: Vec<String> = folders.iter().map(|it| name_of(&store, it)).collect();
    let busy = folders.iter().zip(&names).find(|it| is_locked(&it.0.join(files::LOCK)));
    if let Some((_, name)) = busy {
        return Err(Error::Usage {
            message: format!("`{name}` is running"),
            help: format!("stop it first: `ferrite stop {name} --wait`"),
        });
    }
    let bytes: u64 = folders.iter().map(|it| size(it)).sum();
    let shared = Shared::of(&store, &folders, &names);
    let mut question = names.iter().fold(String::new(), |mut text, it| {
        let _ = writeln!(text, "{it}");
        text
    });
    question.push_str(&wrapped("", &shared.to_text(names.len(), bytes), WIDTH));
    if !confirmed(&format!("{question}Remove?"), arguments.yes)? {
        return print("nothing was removed\n");
    }
    for folder in &folders {
        take_away(&store, folder)?;
    }
    if arguments.json {
        return print_json(&documented(json!({
            "removed": names,
            "bytes": bytes,
            "steps": shared.steps,
            "steps_of_others": shared.of_others,
            "needed_by": shared.starting,
        })));
    }
    let said =
        format!("removed {}. {}", counted(names.len(), "run"), shared.to_text(names.len(), bytes));
    print(&wrapped("", &said, WIDTH))
}

/// The folders of the runs that `asked` means; one that lost its settings is meant by its whole name.
fn meant(store: &Store, asked: &Path) -> Result<Vec<PathBuf>> {
    let whole = store.root.join(asked);
    let is_run = [files::EVENTS, files::JOB].iter().any(|it| whole.join(it).is_file());
    runs_of(store, asked).or_else(|error| if is_run { Ok(vec![whole]) } else { Err(error) })
}

/// Removes the run in `folder`, unless a process has begun with it meanwhile.
fn take_away(store: &Store, folder: &Path) -> Result<()> {
    let Some(_lock) = try_lock(&folder.join(files::LOCK))? else {
        return Err(Error::Usage {
            message: format!("`{}` is running", name_of(store, folder)),
            help: "stop it first: `ferrite stop`; the runs before it are removed".into(),
        });
    };
    remove_run(store, folder)
}

/// What other runs have to do with those that are removed.
struct Shared {
    /// How many steps the removed ones have.
    steps: usize,
    /// How many of these belong to others, too.
    of_others: usize,
    /// Names of runs that start from the weights of one.
    starting: Vec<String>,
}

impl Shared {
    fn of(store: &Store, removed: &BTreeSet<PathBuf>, names: &[String]) -> Self {
        let own: BTreeSet<String> = removed.iter().flat_map(|it| keys_of(it)).collect();
        let others: Vec<PathBuf> =
            run_folders(store).into_iter().filter(|it| !removed.contains(it)).collect();
        let theirs: BTreeSet<String> = others.par_iter().flat_map(|it| keys_of(it)).collect();
        let starts = |it: &Record| {
            let from = it.settings.get("model")?.get("weights")?.get("run")?.as_str()?;
            names.iter().any(|name| name == from).then(|| it.name())
        };
        let runs = heads(store).records;
        let starting = runs.iter().filter_map(starts).filter(|it| !names.contains(it)).collect();
        Self { steps: own.len(), of_others: own.intersection(&theirs).count(), starting }
    }

    fn to_text(&self, runs: usize, bytes: u64) -> String {
        let (size, steps) = (format::bytes(bytes), counted(self.steps, "step"));
        let of_others = match self.of_others {
            0 => "which no other run needs".to_owned(),
            1 => "1 of which other runs need as well".to_owned(),
            it => format!("{it} of which other runs need as well"),
        };
        let starting = match &self.starting[..] {
            [] => String::new(),
            [only] => format!(" `{only}` starts from these weights, and keeps its own results."),
            [first, rest @ ..] => {
                let more = counted(rest.len(), "other run");
                format!(
                    " `{first}` and {more} start from these weights, and keep their own results."
                )
            }
        };
        format!(
            "{} of {size}. Results of their {steps} stay, {of_others}: `ferrite gc` takes away what neither experiments nor \
             runs refer to.{starting}",
            counted(runs, "run")
        )
    }
}
