//! Runs that are exported, once or again and again while sweeps are at work.
//!
//! Whoever exports only reads logs, as `ferrite status --watch` does: a sweep knows nothing of it, and writes nothing for it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::event::Event;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::log::events;
use ferrite_core::store::read::record;
use ferrite_core::store::record::{Record, State};
use ferrite_core::store::sweeps::running;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::Value;

use crate::cli::known::{Known, Stamp, stamp};
use crate::cli::pick::{SELECT, pick};
use crate::cli::status::{existing, tell, tell_damaged};

/// How often logs are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// How often Ctrl-C is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Which runs are exported, and for how long.
#[derive(Debug, Args)]
pub(super) struct Followed {
    #[arg(value_name = "SELECTION", help = SELECT)]
    select: Vec<String>,
    /// Go on with whatever happens until no sweep and no run is at work any more
    #[arg(long)]
    watch: bool,
    /// Print one JSON object (docs/json.md), at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// A run with all that it says.
pub(super) struct Whole {
    pub(super) record: Record,
    pub(super) events: Vec<Event>,
}

/// What there is to be exported now.
pub(super) struct Pass<'a> {
    pub(super) store: &'a Store,
    /// Every run that has begun, selected or not, without predictions.
    pub(super) all: &'a [Record],
    /// Those that are selected and have changed since the last pass.
    pub(super) changed: Vec<&'a Record>,
    /// Whether there is no further one.
    pub(super) is_last: bool,
}

/// What an export has told of a run: the state of its log and of itself.
type Told = (Option<Stamp>, &'static str);

impl Pass<'_> {
    /// The run in the folder of `head`, read whole.
    ///
    /// # Errors
    /// [`Error::Damaged`](ferrite_core::error::Error::Damaged) or [`Error::File`](ferrite_core::error::Error::File), naming
    /// the file that cannot be read.
    pub(super) fn whole(&self, head: &Record) -> Result<Whole> {
        let description = head.description.clone();
        let record = Record { description, ..record(self.store, &head.folder)? };
        // Afterwards, so that the moment of everything is known which the record tells.
        Ok(Whole { record, events: events(&head.folder.join(files::EVENTS))? })
    }
}

impl Followed {
    /// Tells what was exported: `told` as an object, or its sentence and where it is now.
    ///
    /// # Errors
    /// If nothing can be printed.
    pub(super) fn tell(&self, told: Value, sentence: &str, place: &str) -> Result<()> {
        if self.json {
            return print_json(&documented(told));
        }
        tell(sentence);
        print(&format!("{place}\n"))
    }

    /// Hands what is selected to `export`, and with `--watch` what changes, until nothing is at work. What keeps `export` from
    /// it is then told, and tried again with the next pass.
    ///
    /// # Errors
    /// [`Error::Usage`](ferrite_core::error::Error::Usage) if there are no such runs; what `export` fails with in the last pass.
    pub(super) fn each(&self, export: &mut dyn FnMut(&Pass<'_>) -> Result<()>) -> Result<()> {
        let store = existing(&self.place)?;
        listen_for_interrupts();
        let known = Known::default();
        let mut told = BTreeMap::<String, Told>::new();
        let mut said = String::new();
        let mut first = true;
        loop {
            // Asked before the logs are read, so that the last pass has all that was written.
            let sweeps = !running(&store)?.is_empty();
            let mut runs = known.runs(&store);
            // One that has said nothing yet has not begun.
            let has_begun = |it: &&Record| it.facts.start.is_some();
            let all: Vec<Record> = runs.records.iter().filter(has_begun).cloned().collect();
            if !self.select.is_empty() {
                pick(&mut runs, &store, &self.select)?;
            }
            if first {
                tell_damaged(&runs);
            }
            runs.records.retain(|it| it.facts.start.is_some());
            let is_at_work = runs.records.iter().any(|it| it.state == State::Running);
            let last = !self.watch || !(sweeps || is_at_work) || interrupted();
            let now = |it: &Record| (stamp(&it.folder), it.state.word());
            let states: Vec<Told> = runs.records.iter().map(now).collect();
            let changed = runs.records.iter().zip(&states);
            // Figures change without the log.
            let is_news = |it: &Record, now: &Told| last || told.get(&it.name()) != Some(now);
            let changed = changed.filter(|(it, now)| is_news(it, now)).map(|it| it.0).collect();
            match export(&Pass { store: &store, all: &all, changed, is_last: last }) {
                Ok(()) => {
                    let names = runs.records.iter().map(Record::name);
                    told.extend(names.zip(states));
                    said.clear();
                }
                Err(error) if last => return Err(error),
                Err(error) => {
                    let now = format!("{error}; it is tried again");
                    if said != now {
                        tell(&now);
                        said = now;
                    }
                }
            }
            if last {
                return Ok(());
            }
            first = false;
            let until = SystemTime::now() + EVERY;
            while SystemTime::now() < until && !interrupted() {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }
}
