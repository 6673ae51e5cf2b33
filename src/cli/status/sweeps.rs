//! How far the sweeps are that run in a folder.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use ferrite_core::digits::counted;
use ferrite_core::store::record::{Record, State};
use ferrite_core::store::sweeps::Running;
use serde_json::{Value, json};

use crate::cli::status::progress::left;
use crate::format;

/// A sweep that runs, and how far its trials are.
pub(super) struct Progress<'a> {
    running: &'a Running,
    finished: usize,
    failed: usize,
    /// Names of the trials that are being carried out.
    at_work: Vec<&'a str>,
    /// Names of those that nobody is at yet.
    pub(super) waiting: Vec<&'a str>,
    seconds: f64,
    /// About how long it takes still; none before the first trial ended.
    left: Option<f64>,
}

impl<'a> Progress<'a> {
    /// How far `running` is, whose trials are among `records`.
    pub(super) fn of(running: &'a Running, records: &BTreeMap<String, &Record>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_ms = running.sweep.began_ms;
        let seconds = (now.as_millis() as u64).saturating_sub(began_ms) as f64 / 1000.0;
        let (mut finished, mut failed, mut spent, mut to_come) = (0, 0, 0.0, 0.0);
        let (mut at_work, mut waiting, mut unknown) = (Vec::new(), Vec::new(), 0);
        for name in &running.sweep.trials {
            match records.get(name).map(|it| (&it.state, *it)) {
                Some((State::Finished, it)) => {
                    finished += 1;
                    spent += it.seconds;
                }
                Some((State::Failed(_), _)) => failed += 1,
                Some((State::Running, it)) => {
                    at_work.push(name.as_str());
                    match left(it) {
                        Some(seconds) => to_come += seconds,
                        None => unknown += 1,
                    }
                }
                Some((State::Stopped(_) | State::Interrupted, _)) | None => {
                    waiting.push(name.as_str());
                }
            }
        }
        let each = (finished > 0).then(|| spent / finished as f64);
        let ahead = waiting.len() + unknown;
        // What waits takes what those took that are done.
        let work = if ahead == 0 { Some(0.0) } else { each.map(|it| it * ahead as f64) };
        let left = work.map(|it| (it + to_come) / running.sweep.jobs.max(1) as f64);
        Self { running, finished, failed, at_work, waiting, seconds, left }
    }

    /// It in a sentence.
    pub(super) fn to_text(&self) -> String {
        let told = [
            (self.finished, "finished"),
            (self.failed, "failed"),
            (self.at_work.len(), "running"),
            (self.waiting.len(), "waiting"),
        ];
        let told = told.iter().filter(|it| it.0 > 0).map(|(n, word)| format!("{n} {word}"));
        let told = told.collect::<Vec<_>>().join(", ");
        let trials = counted(self.running.sweep.trials.len(), "trial");
        let (place, since) = (self.running.place(), format::duration(self.seconds));
        let left = self.left.filter(|it| *it >= 1.0).map(format::about);
        let left = left.map_or_else(String::new, |it| format!("; {it} left"));
        format!("a sweep of {trials} runs since {since} ({place}): {told}{left}")
    }

    /// It for programs.
    pub(super) fn to_json(&self) -> Value {
        let sweep = &self.running.sweep;
        json!({
            "process": sweep.process,
            "host": sweep.host,
            "began_ms": sweep.began_ms,
            "jobs": sweep.jobs,
            "trials": sweep.trials,
            "running": self.at_work,
            "waiting": self.waiting,
            "seconds_left": self.left,
        })
    }
}
