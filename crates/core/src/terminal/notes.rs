//! What a command says while it works, on stderr.

use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};

use crate::error::{Result, printable_lines};
use crate::event::disk::Waiting;
use crate::event::{Kind, Sink};
use crate::warning::{Fact, Watch};

/// Hears for a command that shows no trials, and says what [`note`] does.
pub struct Notes;

impl Sink for Notes {
    fn emit(&mut self, kind: Kind) -> Result<()> {
        note(&kind);
        Ok(())
    }
}

/// Says on stderr what no command should keep to itself: whom it waits for, and warnings.
pub fn note(kind: &Kind) {
    let waits = match kind {
        Kind::Waiting(it) => Some(waits_for(it)),
        _ => None,
    };
    let warnings = Fact::of(kind).map_or_else(Vec::new, |it| Watch::default().see(it));
    let warnings = warnings.into_iter().map(|it| format!("warning: {}", it.message));
    for line in waits.into_iter().chain(warnings) {
        tell(&line);
    }
}

/// Says a line on stderr.
pub fn tell(line: &str) {
    // Nothing can be done if stderr is closed.
    drop(writeln!(std::io::stderr(), "{}", printable_lines(line)));
}

/// Whom a run waits for.
pub fn waits_for(it: &Waiting) -> String {
    let process = it.process.map_or_else(String::new, |it| format!(" {it}"));
    format!("waits for another process{process}, which holds `{}`", it.path)
}

/// A bar that counts to `total` on a terminal, and is nothing elsewhere.
pub fn counting(what: &str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    let style = ProgressStyle::with_template("  {bar:24.cyan/238} {pos}/{len} {prefix}  {eta}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(what.to_owned());
    bar
}
