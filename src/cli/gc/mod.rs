//! `ferrite gc`: takes away what neither experiments nor runs refer to, after it has shown it.

mod garbage;
mod referred;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::Result;
use ferrite_core::store::Store;
use ferrite_core::store::lock::Lock;
use ferrite_core::store::sweeps::forget_dead;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::{Value, json};

use crate::cli::confirm::confirmed;
use crate::cli::gc::garbage::{Garbage, Sort, find};
use crate::cli::gc::referred::Referred;
use crate::cli::remove::{forget_removed, remove, remove_run, try_lock};
use crate::cli::select::EXPERIMENTS;
use crate::cli::status::existing;
use crate::cli::table::{Column, Table, WIDTH, wrapped};
use crate::format;

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct GcArguments {
    /// Where all experiments lie that are still wanted: folders with all folders in them, or files
    #[arg(default_value = EXPERIMENTS)]
    experiments: Vec<PathBuf>,
    /// Take away runs, too, that are no trial of these experiments any more, finished ones included
    #[arg(long)]
    with_runs: bool,
    /// Show it and take nothing away
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print it as one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn gc_command(arguments: &GcArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let referred = Referred::of(&store, &arguments.experiments)?;
    let found = find(&store, &referred, arguments.with_runs);
    if found.is_empty() || arguments.dry_run {
        return tell(arguments, &referred, &found, None);
    }
    let question = format!("{}Remove all of it?", to_text(&referred, &found));
    if !confirmed(&question, arguments.yes)? {
        return print("nothing was removed\n");
    }
    forget_dead(&store);
    // A sweep may have begun while nobody answered.
    let referred = Referred { sweeps: Referred::of_sweeps(&store)?, ..referred };
    let mut left = Vec::new();
    for it in &found {
        if !take_away(&store, &referred, it)? {
            left.push(it.path.clone());
        }
    }
    forget_removed(&store);
    tell(arguments, &referred, &found, Some(&left))
}

/// Removes it; false if somebody holds it by now.
fn take_away(store: &Store, referred: &Referred, it: &Garbage) -> Result<bool> {
    if it.key.as_ref().is_some_and(|key| referred.sweeps.contains(key)) {
        return Ok(false);
    }
    let lock = match &it.lock {
        None => None,
        Some(path) => match try_lock(path)? {
            Some(lock) => Some(lock),
            None => return Ok(false),
        },
    };
    // Another process may have taken it away.
    if it.path.exists() {
        match it.sort {
            Sort::Run => remove_run(store, &it.path)?,
            Sort::Step | Sort::Begun | Sort::Damaged | Sort::Temporary => remove(store, &it.path)?,
        }
    }
    lock.into_iter().for_each(Lock::discard);
    Ok(true)
}

/// Says what was found and, where something was taken away, what is `left` of it.
fn tell(
    arguments: &GcArguments,
    referred: &Referred,
    found: &[Garbage],
    left: Option<&[PathBuf]>,
) -> Result<()> {
    if arguments.json {
        let group = |sort: Sort| {
            let of: Vec<&Garbage> = found.iter().filter(|it| it.sort == sort).collect();
            json!({
                "group": sort.name(),
                "bytes": of.iter().map(|it| it.bytes).sum::<u64>(),
                "paths": of.iter().map(|it| &it.path).collect::<Vec<_>>(),
            })
        };
        let groups: Vec<Value> = Sort::ALL.into_iter().map(group).collect();
        return print_json(&documented(json!({
            "groups": groups,
            "bytes": found.iter().map(|it| it.bytes).sum::<u64>(),
            "removed": left.is_some(),
            "left": left.unwrap_or_default(),
            "not_planned": referred.unplanned.iter().map(|it| json!({
                "experiment": it.0,
                "message": it.1,
            })).collect::<Vec<_>>(),
        })));
    }
    let Some(left) = left else { return print(&to_text(referred, found)) };
    let removed = found.iter().filter(|it| !left.contains(&it.path));
    let bytes = format::bytes(removed.map(|it| it.bytes).sum());
    let mut text = format!("removed {} of {bytes}\n", counted(found.len() - left.len(), "thing"));
    for it in left {
        let _ = writeln!(text, "left, for it is in use by now: {}", it.display());
    }
    print(&text)
}

/// What was found, by sort.
fn to_text(referred: &Referred, found: &[Garbage]) -> String {
    let mut text = String::new();
    if let Some((path, message)) = referred.unplanned.first() {
        let count = referred.unplanned.len();
        let what = format!(
            "{} cannot be planned, so nobody knows which steps they would need; what their runs refer to is kept. `{}`: {message}",
            counted(count, "experiment"),
            path.display()
        );
        text.push_str(&wrapped("note: ", &what, WIDTH));
    }
    if found.is_empty() {
        text.push_str("there is nothing that nobody refers to\n");
        return text;
    }
    let mut table = Table::new(vec![
        Column::numbers("size", 0).always(),
        Column::numbers("", 1),
        Column::words("what nobody refers to", 0).always(),
    ]);
    for sort in Sort::ALL {
        let of = || found.iter().filter(move |it| it.sort == sort);
        if of().next().is_some() {
            let bytes = format::bytes(of().map(|it| it.bytes).sum());
            table.row(vec![bytes, of().count().to_string(), sort.words().into()]);
        }
    }
    let all = format::bytes(found.iter().map(|it| it.bytes).sum());
    table.row(vec![all, found.len().to_string(), "in all".into()]);
    text.push_str(&table.to_text());
    for it in found.iter().filter(|it| it.sort == Sort::Run) {
        let _ = writeln!(text, "run: {}", it.path.display());
    }
    text
}
