//! `ferrite export tensorboard`.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::files::create_folder;
use ferrite_core::store::lock::lock;
use ferrite_core::terminal::interrupt::interrupted;
use serde_json::json;

use crate::cli::export::follow::{Followed, Pass};
use crate::cli::status::tell;
use crate::export::tensorboard::{Change, Figures, write};
use crate::study::Study;

/// Held by whoever writes into a folder of event files.
const LOCK: &str = ".ferrite-export.lock";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrite export tensorboard --out board              # every run
  ferrite export tensorboard 'fer2013/*' --out board  # some
  ferrite export tensorboard --out board --watch      # while a sweep runs in another terminal
  tensorboard --logdir board")]
pub(in crate::cli) struct TensorboardArguments {
    /// The folder to write into: `tensorboard --logdir` takes it
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    followed: Followed,
}

pub(super) fn tensorboard_command(arguments: &TensorboardArguments) -> Result<()> {
    let out = &arguments.out;
    let mut changes = Vec::new();
    arguments.followed.each(&mut |pass| write_all(pass, out, &mut changes))?;
    let of = |change: Change| changes.iter().filter(|it| **it == change).count();
    let counts = [
        (of(Change::Written), "written"),
        (of(Change::Appended), "appended to"),
        (of(Change::Replaced), "replaced"),
        (of(Change::Nothing), "left as they were"),
    ];
    let said = counts.iter().filter(|it| it.0 > 0).map(|it| format!("{} {}", it.0, it.1));
    let said: Vec<String> = said.collect();
    let files = counted(changes.len(), "file");
    let sentence =
        format!("{files}: {}", if said.is_empty() { "no run".into() } else { said.join(", ") });
    let [written, appended, replaced, unchanged] = counts.map(|it| it.0);
    let told = json!({
        "folder": out,
        "written": written,
        "appended": appended,
        "replaced": replaced,
        "unchanged": unchanged,
    });
    arguments.followed.tell(told, &sentence, &out.display().to_string())
}

/// Writes what has changed into `out`.
fn write_all(pass: &Pass<'_>, out: &Path, changes: &mut Vec<Change>) -> Result<()> {
    create_folder(out)?;
    let lock = lock(&out.join(LOCK), &mut |held| {
        if held.worth_saying {
            tell(&format!("another export writes into `{}`; this one waits", out.display()));
        }
        if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    })?;
    let figures = if pass.is_last { Figures::Drawn } else { Figures::Left };
    for head in &pass.changed {
        let whole = pass.whole(head)?;
        let study = Study::of(std::slice::from_ref(&whole.record), &[], &pass.store.root);
        for run in study.runs() {
            changes.push(write(run, &whole.events, figures, out)?);
        }
    }
    lock.discard();
    Ok(())
}
