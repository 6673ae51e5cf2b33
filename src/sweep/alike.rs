//! Failures in a row that say the same: then it is not the trials that are at fault.

use crate::sweep::Outcome;

/// The exit code of a run whose loss stopped being a number.
const DIVERGED: u8 = 10;

/// What failed last, and how often in a row.
#[derive(Debug, Default)]
pub(super) struct Alike {
    /// In its words, without the name of its trial.
    words: String,
    count: usize,
}

impl Alike {
    /// Sees how the trial called `name` ended. A loss that is no number is the fault of its own settings, and counts as nothing.
    pub(super) fn see(&mut self, name: &str, outcome: &Outcome) {
        let failure = match outcome {
            Outcome::Finished => {
                *self = Self::default();
                return;
            }
            Outcome::Failed(it) | Outcome::Died(it) if it.exit_code != DIVERGED => it,
            _ => return,
        };
        let words = failure.message.replace(name, "");
        let before = if words == self.words { self.count } else { 0 };
        *self = Self { words, count: before + 1 };
    }

    /// How many in a row said the same.
    pub(super) fn count(&self) -> usize {
        self.count
    }
}
