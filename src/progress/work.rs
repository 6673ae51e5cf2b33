//! What a sweep has to compute, and how much of it is done.

use std::collections::{BTreeMap, BTreeSet};

/// What a sweep has to compute, and how far it is.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Steps that are not there yet, by their keys, with what they cost.
    left: BTreeMap<String, f64>,
    total: f64,
}

impl Work {
    /// Work on steps that are not there yet, by their keys, with what they cost.
    pub(super) fn of(costs: &BTreeMap<&str, f64>) -> Self {
        let left = costs.iter().map(|(key, cost)| ((*key).to_owned(), *cost)).collect();
        Self { left, total: costs.values().sum() }
    }

    /// The step under `key` is there.
    pub(super) fn remove(&mut self, key: &str) {
        self.left.remove(key);
    }

    /// The share that is done, with what the `running` trials have done of the stages under these keys.
    pub(super) fn done<'a>(&self, running: impl Iterator<Item = (&'a str, f64)>) -> f64 {
        if self.total <= 0.0 {
            return 0.0;
        }
        let mut seen = BTreeSet::new();
        // Two trials that need one stage are not at it at the same time, but one may wait for the other.
        let running = running.filter(|(key, _)| seen.insert(*key));
        let running: f64 = running
            .map(|(key, share)| share * self.left.get(key).copied().unwrap_or_default())
            .sum();
        let left: f64 = self.left.values().sum();
        ((self.total - left + running) / self.total).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_grows_with_steps_and_a_stage_that_two_trials_need_is_counted_once() {
        let mut work = Work::of(&[("a", 3.0), ("b", 1.0)].into());
        assert_eq!(work.done(std::iter::empty()), 0.0);
        assert_eq!(work.done([("a", 0.5), ("a", 0.5)].into_iter()), 0.375);
        work.remove("a");
        assert_eq!(work.done([("b", 0.5), ("unknown", 0.5)].into_iter()), 0.875);
        assert_eq!(Work::default().done(std::iter::empty()), 0.0);
    }
}
