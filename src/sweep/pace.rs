//! How many workers at once train the most on a GPU, found by trying.
//!
//! Small networks leave a large GPU almost idle, large ones fill it, and how much several together gain depends on the card, the
//! driver, and the images. So a sweep begins with one worker, and adds one as long as all together train notably more images
//! in a second. **Invariant:** no clock and no file; and no result of a trial depends on it.

use std::collections::{BTreeMap, BTreeSet};

/// A further worker stays if all together train so many times as many images as without it.
const WORTH: f64 = 1.05;

/// So many epochs of each worker are measured; the first after a worker came or went is left out, for it was begun before.
const MEASURED: usize = 2;

/// The number of workers.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// There are never more.
    most: usize,
    now: usize,
    /// Whether it is found.
    settled: bool,
    /// How many times as many images the workers of now train as one alone.
    gain: f64,
    /// Images per second of each kind of training since a worker came or went, of the workers in their order.
    heard: BTreeMap<String, Vec<f64>>,
    /// How many epochs each worker told meanwhile.
    told: BTreeMap<usize, usize>,
    /// By number of workers, images per second of one of them for each kind.
    speeds: BTreeMap<usize, BTreeMap<String, f64>>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settled {
    /// So many workers are best.
    pub at_once: usize,
    /// How many times as many images they train together as one alone.
    pub gain: f64,
}

impl Pace {
    /// So many workers, whatever they train.
    pub fn fixed(workers: usize) -> Self {
        Self { most: workers, now: workers, settled: true, gain: 1.0, ..Self::default() }
    }

    /// As many as train the most, but never more than `most`.
    pub fn found(most: usize) -> Self {
        Self { now: 1, settled: most <= 1, ..Self::fixed(most) }
    }

    /// How many there may be now.
    pub fn workers(&self) -> usize {
        self.now
    }

    /// Whether the number is what it will be.
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// A worker came or went, so what was heard so far says nothing of those that run now.
    pub fn changed(&mut self) {
        self.heard.clear();
        self.told.clear();
    }

    /// The worker of `trial`, one of those that are `running`, trained so many images per second in an epoch of a training of
    /// this `kind`: trainings of one kind are equally fast alone. Returns what was found, once.
    pub fn hear(
        &mut self,
        (trial, kind): (usize, &str),
        images_per_second: f64,
        running: &BTreeSet<usize>,
    ) -> Option<Settled> {
        if self.settled || running.len() != self.now || !images_per_second.is_normal() {
            return None;
        }
        let told = self.told.entry(trial).or_default();
        *told += 1;
        if *told == 1 {
            return None;
        }
        self.heard.entry(kind.to_owned()).or_default().push(images_per_second);
        let is_measured = |it: &usize| self.told.get(it).is_some_and(|it| *it > MEASURED);
        if !running.iter().all(is_measured) {
            return None;
        }
        let speeds = std::mem::take(&mut self.heard);
        let speeds: BTreeMap<String, f64> =
            speeds.into_iter().map(|(kind, it)| (kind, median(it))).collect();
        self.changed();
        let gained = self.gained(&speeds);
        self.speeds.entry(self.now).or_default().extend(speeds);
        self.decide(gained)
    }

    /// How many times as many images the workers of now train as one less did; none where nothing can be compared.
    fn gained(&self, speeds: &BTreeMap<String, f64>) -> Option<f64> {
        let before = self.speeds.get(&(self.now.checked_sub(1)?))?;
        let shares = speeds.iter().filter_map(|(kind, now)| Some(now / before.get(kind)?));
        let shares: Vec<f64> = shares.collect();
        let share = shares.iter().sum::<f64>() / shares.len() as f64;
        let times = self.now as f64 / (self.now - 1) as f64;
        share.is_finite().then_some(times * share)
    }

    fn decide(&mut self, gained: Option<f64>) -> Option<Settled> {
        match gained {
            // What cannot be compared is measured again, when other trials run.
            None if self.now > 1 => return None,
            Some(gained) if gained < WORTH => {
                self.now -= 1;
                self.settled = true;
            }
            gained => {
                self.gain *= gained.unwrap_or(1.0);
                self.settled = self.now == self.most;
                self.now += usize::from(!self.settled);
            }
        }
        self.settled.then_some(Settled { at_once: self.now, gain: self.gain })
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets trials train until the number is found, of which each of `kinds` in turn is one; `speed` says how fast one of a kind
    /// is among so many. Each trial trains `epochs` and is followed by the next one. Returns what is found, and after how many
    /// epochs.
    fn found(
        most: usize,
        epochs: usize,
        kinds: &[&str],
        speed: &dyn Fn(&str, usize) -> f64,
    ) -> Option<(Settled, usize)> {
        let mut pace = Pace::found(most);
        let mut running = BTreeMap::new();
        let mut next = 0;
        for count in 0..500 {
            while running.len() < pace.workers() {
                running.insert(next, 0);
                next += 1;
                pace.changed();
            }
            // One after the other ends an epoch.
            let turn = count % running.len();
            let (trial, done) = running.iter_mut().nth(turn).unwrap();
            *done += 1;
            let (trial, is_over) = (*trial, *done == epochs);
            let kind = kinds[trial % kinds.len()];
            let workers: BTreeSet<usize> = running.keys().copied().collect();
            let of = (trial, kind);
            if let Some(settled) = pace.hear(of, speed(kind, workers.len()), &workers) {
                assert_eq!(settled.at_once, pace.workers());
                return Some((settled, count));
            }
            if is_over {
                running.remove(&trial);
                pace.changed();
            }
        }
        None
    }

    #[test]
    fn workers_are_added_as_long_as_all_together_train_more() {
        // ResNet50 under MPS on an H200: four together 1.89 times one alone; here with what a fifth would gain.
        let of = |_: &str, n: usize| [19_450.0, 14_200.0, 11_300.0, 9_180.0, 7_400.0][n - 1];
        let (settled, count) = found(8, 50, &["resnet50"], &of).unwrap();
        assert_eq!(settled.at_once, 4);
        assert!((settled.gain - 1.888).abs() < 1e-3, "{settled:?}");
        assert!(count < 60, "{count} epochs");
    }

    #[test]
    fn one_worker_stays_alone_where_others_only_take_turns_with_it() {
        let of = |_: &str, n: usize| [19_450.0, 9_500.0][n - 1];
        let (settled, _) = found(8, 50, &["resnet50"], &of).unwrap();
        assert_eq!(settled, Settled { at_once: 1, gain: 1.0 });
        assert_eq!(Pace::found(1).workers(), 1);
        assert_eq!(Pace::fixed(3).workers(), 3);
    }

    #[test]
    fn it_ends_at_the_most_that_there_may_be() {
        let of = |_: &str, _: usize| 1000.0;
        let (settled, _) = found(3, 50, &["mobilenet_v2"], &of).unwrap();
        assert_eq!(settled, Settled { at_once: 3, gain: 3.0 });
    }

    #[test]
    fn slow_and_fast_networks_are_held_against_themselves() {
        let of = |kind: &str, n: usize| {
            let alone = if kind == "slow" { 100.0 } else { 9000.0 };
            alone * [1.0, 0.8, 0.4][n - 1]
        };
        let (settled, _) = found(8, 12, &["slow", "fast"], &of).unwrap();
        assert_eq!(settled.at_once, 2);
    }

    #[test]
    fn what_cannot_be_compared_decides_nothing() {
        // Each trial is of a kind of its own, and too short to be measured twice.
        let kinds: Vec<String> = (0..600).map(|it| it.to_string()).collect();
        let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
        assert_eq!(found(8, 3, &kinds, &|_, _| 10.0), None);
    }
}
