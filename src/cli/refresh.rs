//! The report while a sweep runs: it is written anew from time to time, beside the work.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ferrite_core::event::Kind;
use ferrite_core::store::Store;

use crate::report::{Report, Target};
use crate::study::judged::Judged;
use crate::study::{Study, folds};
use crate::sweep::SweepEvent;

/// The least time between the end of one writing and the beginning of the next.
const PAUSE: Duration = Duration::from_secs(10);
/// A writing is followed by this many times as long without one, so that it takes a twentieth of a core at most.
const REST: u32 = 20;

/// Writes the report of a folder of runs again and again, never twice at once.
pub(super) struct Refresh {
    runs: PathBuf,
    /// When the next writing may begin.
    next: Instant,
    writing: Option<JoinHandle<Duration>>,
}

impl Refresh {
    /// The first writing begins as soon as something happens.
    pub(super) fn new(runs: &Path) -> Self {
        let now = Instant::now();
        Self { runs: runs.to_owned(), next: now, writing: None }
    }

    /// Takes note of what a sweep says, where it changes the report.
    pub(super) fn hear(&mut self, event: &SweepEvent<'_>) {
        let changes_the_report = matches!(
            event,
            SweepEvent::Started(_)
                | SweepEvent::Ended(..)
                | SweepEvent::Happened(_, Kind::EpochEnded(_))
        );
        if changes_the_report {
            self.happened();
        }
    }

    /// Something happened that the report would tell.
    fn happened(&mut self) {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) {
            let took = self.finish();
            self.next = Instant::now() + PAUSE.max(took * REST);
        }
        if self.writing.is_some() || Instant::now() < self.next {
            return;
        }
        let runs = self.runs.clone();
        // What goes wrong is told when the sweep's own report is written, which is the last one.
        self.writing = thread::Builder::new().name("report".into()).spawn(move || write(runs)).ok();
    }

    /// Waits for the writing that goes on, so that the next one is the last, and says how long it took.
    pub(super) fn finish(&mut self) -> Duration {
        let writing = self.writing.take().map(JoinHandle::join);
        // What went wrong is told by the last report.
        writing.and_then(Result::ok).unwrap_or_default()
    }
}

fn write(root: PathBuf) -> Duration {
    let began = Instant::now();
    let store = Store { root };
    let runs = folds::read(&store);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let target = Target { is_live: true, ..Target::beside(&store.root) };
    let _told_by_the_last_report = Report::of(&Judged::new(&study), target).write().is_err();
    began.elapsed()
}
