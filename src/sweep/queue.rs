//! The trials that can begin, the one with the longest way before it first.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// Trials by their way; of equal ones that with the lower number is first.
#[derive(Debug)]
pub(super) struct Queue {
    order: BTreeSet<Entry>,
    /// The entry of each trial that is in it.
    entries: Vec<Option<Entry>>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    way: f64,
    trial: usize,
}

impl Queue {
    /// One without any of so many trials.
    pub(super) fn new(trials: usize) -> Self {
        Self { order: BTreeSet::new(), entries: vec![None; trials] }
    }

    /// Puts a trial in by what it has left to compute, or takes it out.
    pub(super) fn set(&mut self, trial: usize, way: Option<f64>) {
        let now = way.map(|way| Entry { way, trial });
        let before = std::mem::replace(&mut self.entries[trial], now);
        if before == now {
            return;
        }
        if let Some(it) = before {
            self.order.remove(&it);
        }
        self.order.extend(now);
    }

    /// All that are in it, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.order.iter().map(|it| it.trial)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        other.way.total_cmp(&self.way).then(self.trial.cmp(&other.trial))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_way_is_first_and_trials_come_and_go() {
        let mut queue = Queue::new(4);
        for (trial, way) in [(0, 1.0), (1, 5.0), (2, 5.0), (3, 0.0)] {
            queue.set(trial, Some(way));
        }
        assert_eq!(queue.iter().collect::<Vec<_>>(), [1, 2, 0, 3]);
        queue.set(1, None);
        queue.set(3, Some(7.0));
        queue.set(0, Some(1.0));
        assert_eq!(queue.iter().collect::<Vec<_>>(), [3, 2, 0]);
    }
}
