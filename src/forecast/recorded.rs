//! What steps took here, as the logs of the newest runs tell it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ferrite_core::machine;
use ferrite_core::plan::chain::Link;
use ferrite_core::plan::cost::{Costs, Images};
use ferrite_core::plan::job::Job;
use ferrite_core::plan::steps::Step;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use rayon::prelude::*;
use serde::Deserialize;
use walkdir::WalkDir;

/// So many runs are read: more would change no median, and cost time in folders of thousands.
const MOST: usize = 200;

/// What was recorded on this machine.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    /// How many runs were read.
    pub(super) runs: usize,
    /// Where the newest of them trained.
    pub(super) device: Option<String>,
    /// Seconds of whole steps, by their keys.
    pub(super) by_key: HashMap<String, f64>,
    /// Seconds for each unit of work, by device and by what is alike.
    pub(super) alike: HashMap<String, Rate>,
    /// The same without the network.
    pub(super) broad: HashMap<String, Rate>,
}

/// How long a unit of work takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    /// The median, in seconds.
    pub(super) seconds: f64,
    /// Of so many steps.
    pub(super) steps: usize,
}

/// A step that was made.
#[derive(Debug)]
struct Sample {
    key: String,
    alike: String,
    broad: String,
    /// Seconds of all that was done.
    seconds: f64,
    /// Which share of the planned work that was.
    share: f64,
    amount: f64,
}

/// What is read of a run.
#[derive(Debug)]
struct Run {
    device: String,
    samples: Vec<Sample>,
}

impl Recorded {
    /// Reads the newest runs of `store` that this machine carried out.
    pub(super) fn read(store: &Store) -> Self {
        let runs: Vec<Run> = newest(&store.root).par_iter().filter_map(|it| run(it)).collect();
        let device = runs.first().map(|it| it.device.clone());
        let mut recorded = Self { runs: runs.len(), device, ..Self::default() };
        let (mut alike, mut broad) = (Samples::new(), Samples::new());
        for run in runs {
            for it in run.samples {
                // Every run that takes a result tells how it came about.
                if recorded.by_key.contains_key(&it.key) {
                    continue;
                }
                let rate = it.seconds / (it.amount * it.share);
                if rate.is_finite() && rate > 0.0 {
                    alike.entry(format!("{} {}", run.device, it.alike)).or_default().push(rate);
                    broad.entry(format!("{} {}", run.device, it.broad)).or_default().push(rate);
                }
                recorded.by_key.insert(it.key, it.seconds);
            }
        }
        recorded.alike = rates(alike);
        recorded.broad = rates(broad);
        recorded
    }
}

type Samples = BTreeMap<String, Vec<f64>>;

fn rates(samples: Samples) -> HashMap<String, Rate> {
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        Rate { seconds: all[all.len() / 2], steps: all.len() }
    };
    samples.into_iter().map(|(key, all)| (key, median(all))).collect()
}

/// The folders of the runs whose logs were written last, the newest first.
fn newest(root: &Path) -> Vec<PathBuf> {
    let hidden = |it: &walkdir::DirEntry| it.file_name().to_string_lossy().starts_with('.');
    let walk = WalkDir::new(root).min_depth(1).into_iter().filter_entry(|it| !hidden(it));
    let logs = walk.flatten().filter(|it| it.file_name() == files::EVENTS);
    let dated = logs.filter_map(|it| Some((it.metadata().ok()?.modified().ok()?, it.into_path())));
    let mut dated: Vec<(SystemTime, PathBuf)> = dated.collect();
    dated.sort_by(|a, b| b.cmp(a));
    let folders = dated.iter().take(MOST).filter_map(|it| it.1.parent());
    folders.map(Path::to_owned).collect()
}

/// What the run in `folder` tells, if it ran on a machine like this one and says what its steps were.
fn run(folder: &Path) -> Option<Run> {
    let there = std::fs::read(folder.join(files::ENVIRONMENT)).ok()?;
    let there: Environment = serde_json::from_slice(&there).ok()?;
    if (there.processor, there.cores) != (machine::processor(), machine::cores()) {
        return None;
    }
    let path = folder.join(files::JOB);
    let job = Job::from_json(&std::fs::read(&path).ok()?, &path).ok()?;
    let log = std::fs::read_to_string(folder.join(files::EVENTS)).ok()?;
    let told = Told::of(&log)?;
    let works = Costs::default().of(&job.chain, &told.images?);
    let samples = job.chain.iter().zip(works).filter_map(|(link, work)| {
        let (seconds, share) = told.took(link)?;
        let (key, amount) = (link.key.clone(), work.amount);
        let (alike, broad) = (work.alike, work.broad);
        Some(Sample { key, alike, broad, seconds, share, amount })
    });
    Some(Run { samples: samples.collect(), device: told.device })
}

/// What is read of `environment.json`.
#[derive(Deserialize)]
struct Environment {
    processor: Option<String>,
    cores: usize,
}

/// What is read of an event.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Line {
    event: String,
    device: String,
    counts: BTreeMap<String, Vec<f64>>,
    stage: String,
    epoch: usize,
    key: String,
    reused: bool,
    seconds: f64,
}

/// What a log says of time.
#[derive(Default)]
struct Told {
    device: String,
    images: Option<Images>,
    /// Seconds of the steps that this run made, by their keys.
    made: HashMap<String, f64>,
    /// Seconds of the epochs of stages, by stage and epoch, whoever trained them.
    epochs: BTreeMap<(String, usize), f64>,
    /// The stages that ended.
    ended: BTreeSet<String>,
}

impl Told {
    /// Of a log that has been begun. Lines that say nothing of time are not looked into.
    fn of(log: &str) -> Option<Self> {
        const WANTED: [&str; 5] =
            ["run-started", "dataset-ready", "step-ready", "epoch-ended", "stage-ended"];
        let mut told = Self::default();
        for line in log.lines() {
            let name = line.split_once("\"event\":\"").map(|it| it.1);
            if !name.is_some_and(|it| WANTED.iter().any(|name| it.starts_with(name))) {
                continue;
            }
            // A last line may not be whole, and who wants to know what is damaged asks `status`.
            let Ok(it) = serde_json::from_str::<Line>(line) else { continue };
            match it.event.as_str() {
                "run-started" => told.device = it.device,
                "dataset-ready" => {
                    let of = |name: &str| it.counts.get(name).map_or(0.0, |all| all.iter().sum());
                    let splits = ["train", "valid", "test"].map(of);
                    told.images = Some(Images { all: splits.iter().sum(), splits });
                }
                "step-ready" if !it.reused => drop(told.made.insert(it.key, it.seconds)),
                "epoch-ended" => drop(told.epochs.insert((it.stage, it.epoch), it.seconds)),
                "stage-ended" => drop(told.ended.insert(it.stage)),
                _ => {}
            }
        }
        (!told.device.is_empty()).then_some(told)
    }

    /// Seconds of a step and which share of its planned work was done in them. Of stages the epochs count, since a stage that
    /// was interrupted is made by several processes.
    fn took(&self, link: &Link) -> Option<(f64, f64)> {
        let Step::Stage(stage) = &link.step else {
            return Some((*self.made.get(&link.key)?, 1.0));
        };
        let settings = &stage.settings.stage;
        let mine = self.epochs.iter().filter(|it| it.0.0 == settings.name);
        let (seconds, done) = mine.fold((0.0, 0), |(seconds, done), it| (seconds + it.1, done + 1));
        let whole = self.ended.contains(&settings.name) && done > 0;
        whole.then(|| (seconds, f64::from(done) / settings.epochs.max(1) as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_steps_took_and_a_line_that_was_cut_off_tells_nothing() {
        let log = r#"{"at_ms":1,"event":"run-started","format":3,"device":"cpu"}
{"at_ms":2,"event":"step-ready","step":"dataset","key":"d","reused":true,"seconds":0.1}
{"at_ms":2,"event":"dataset-ready","counts":{"train":[3,4],"valid":[1,1]}}
{"at_ms":3,"event":"epoch-ended","stage":"s","epoch":1,"seconds":2.0,"valid":{"loss":1}}
{"at_ms":3,"event":"epoch-ended","stage":"s","epoch":2,"seconds":3.0}
{"at_ms":3,"event":"epoch-ended","stage":"s","epoch":2,"seconds":4.0}
{"at_ms":3,"event":"step-ready","step":"evaluate","key":"e","reused":false,"seconds":0.5}
{"at_ms":3,"event":"stage-ended","sta"#;
        let told = Told::of(log).unwrap();
        assert_eq!(told.images.unwrap().splits, [7.0, 2.0, 0.0]);
        assert_eq!(told.made, [("e".to_owned(), 0.5)].into());
        assert_eq!(told.epochs.values().sum::<f64>(), 6.0);
        assert!(told.ended.is_empty());
        assert!(Told::of("").is_none());
    }

    #[test]
    fn a_rate_is_the_median() {
        let rates = rates([("a".to_owned(), vec![9.0, 1.0, 2.0])].into());
        assert_eq!(rates["a"], Rate { seconds: 2.0, steps: 3 });
    }
}
