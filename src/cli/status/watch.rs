//! `ferrite status --watch`: the same again and again, from the files alone, whoever works.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use console::Term;
use ferrite_core::error::{Error, Result, printable_lines};
use ferrite_core::store::Store;
use ferrite_core::store::record::Record;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::print;

use crate::cli::known::Known;
use crate::cli::status::progress::{epochs_of, left, state, word};
use crate::cli::status::{Seen, table};
use crate::cli::table::wrapped;
use crate::format;

/// How often it is shown.
const EVERY: Duration = Duration::from_secs(1);

/// How often Ctrl-C is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Clears from here to the end of the line, and of the screen; goes to the first place of the screen.
const REST_OF_LINE: &str = "\u{1b}[K";
const REST_OF_SCREEN: &str = "\u{1b}[J";
const HOME: &str = "\u{1b}[H";

/// Shows the runs of `store` that `select` means until the user stops it.
pub(super) fn watch(store: &Store, select: &[String]) -> Result<()> {
    listen_for_interrupts();
    let known = Known::default();
    let mut screen = Screen::new();
    while !interrupted() {
        let seen = Seen::new(store, known.runs(store), select)?;
        screen.show(&seen)?;
        let until = SystemTime::now() + EVERY;
        while SystemTime::now() < until && !interrupted() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
    Ok(())
}

/// Where it is shown.
enum Screen {
    Terminal(Term),
    /// What was said of each run.
    Lines(HashMap<String, String>),
}

impl Screen {
    fn new() -> Self {
        let terminal = Term::stdout();
        if !terminal.is_term() {
            return Self::Lines(HashMap::new());
        }
        // The first time everything that stands there goes out of sight, and can still be scrolled to.
        let _ = terminal.clear_screen();
        Self::Terminal(terminal)
    }

    fn show(&mut self, seen: &Seen) -> Result<()> {
        match self {
            Self::Terminal(it) => draw(it, seen),
            Self::Lines(said) => say(said, seen),
        }
    }
}

/// Draws over what was drawn before, as much as fits: what goes on first, then what did not end well, then what ended last.
fn draw(terminal: &Term, seen: &Seen) -> Result<()> {
    let (height, width) = terminal.size();
    let in_line = seen.in_line();
    let mut below: String =
        seen.runs.damaged.iter().map(|it| wrapped("", &it.to_string(), width.into())).collect();
    for it in seen.progress() {
        below.push_str(&wrapped("", &it.to_text(), width.into()));
    }
    below.push_str(&seen.summary(&in_line));
    let mut records: Vec<&Record> = seen.runs.records.iter().collect();
    let rank = |it: &Record| match word(it, in_line.contains(&it.name())) {
        "running" => 0,
        "waiting" => 1,
        "finished" => 3,
        _ => 2,
    };
    records.sort_by_key(|it| (rank(it), std::cmp::Reverse(it.began_ms)));
    // Its titles, a line that says how many more there are, and the one that the cursor is in.
    let room = usize::from(height).saturating_sub(below.lines().count() + 3);
    let more = records.len().saturating_sub(room);
    records.truncate(room);
    let mut text = table(&records, &in_line);
    if more > 0 {
        let _ = writeln!(text, "and {more} more");
    }
    text.push_str(&below);
    let lines = printable_lines(&text)
        .lines()
        .map(|it| format!("{it}{REST_OF_LINE}\n"))
        .collect::<String>();
    let drawn = terminal.write_str(&format!("{HOME}{lines}{REST_OF_SCREEN}"));
    drawn.map_err(Error::file("cannot write", "stdout"))
}

/// Says a line for each run of which there is something new; of those that are finished when it begins only how many.
fn say(said: &mut HashMap<String, String>, seen: &Seen) -> Result<()> {
    let in_line = seen.in_line();
    let first = said.is_empty();
    let mut text = String::new();
    for it in &seen.runs.records {
        let waits = in_line.contains(&it.name());
        let (word, epochs) = (word(it, waits), epochs_of(it));
        let now = format!("{word} {epochs}");
        if said.insert(it.name(), now.clone()).as_ref() == Some(&now) {
            continue;
        }
        if first && !matches!(word, "running" | "waiting") {
            continue;
        }
        let accuracy = it.facts.kept_epoch().map(|it| it.valid.accuracy);
        let accuracy =
            accuracy.map_or_else(String::new, |it| format!("  valid {} %", format::percent(it)));
        let left = left(it).filter(|it| *it >= 1.0).map(format::about);
        let left = left.map_or_else(String::new, |it| format!("  {it} left"));
        let state = state(it, waits);
        let _ = writeln!(text, "{}  epoch {epochs}{accuracy}{left}  {state}", it.name());
    }
    if first || !text.is_empty() {
        text.push_str(&seen.summary(&in_line));
    }
    print(&text)
}
