//! A study: runs gathered by configuration and ranked, and which differences between them are real. The report and the
//! terminal tell the same of it.
//!
//! A configuration is an experiment with all its settings but the seed, and but the fold of a cross-validation, whose folds
//! under one seed are one run with one answer for every image ([`folds`]). Configurations are ranked by
//! the mean validation accuracy of the epochs that were kept: the test split chooses nothing.
//!
//! **Invariant:** pure; a run that failed or whose score is not a number never ranks.

pub(crate) mod answers;
pub(crate) mod baseline;
pub(crate) mod comparison;
pub(crate) mod contrast;
pub(crate) mod ensemble;
pub(crate) mod folds;
pub(crate) mod judged;
pub(crate) mod matched;
pub(crate) mod pairs;
mod ranking;
pub(crate) mod slices;
pub(crate) mod splits;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use ferrite_core::error::Error;
use ferrite_core::event::Epoch;
use ferrite_core::event::acts::Viewed;
use ferrite_core::event::energy::Energy;
use ferrite_core::metrics::scores::{Confusion, Stat, roc_auc};
use ferrite_core::store::record::{Facts, Record, State};
use rayon::prelude::*;

use crate::format;
use crate::study::ranking::{judged_on, labels, mark_comparable, rank};
use crate::study::splits::in_source;
use ferrite_core::config::flat::{Flat, flatten};

/// All runs of a folder.
pub(crate) struct Study<'a> {
    /// The best first; those without a score last.
    pub(crate) configurations: Vec<Configuration<'a>>,
    /// Folders that could not be read, and why.
    pub(crate) damaged: &'a [Error],
}

/// An experiment with all its settings but the seed.
#[derive(Debug, Clone)]
pub(crate) struct Configuration<'a> {
    /// The experiment's name and what sets this one apart within it.
    pub(crate) label: String,
    /// Its place on the board, counted from 1; none without a score. Equal scores share the first of their places.
    pub(crate) rank: Option<usize>,
    /// Whether another one has the same rank.
    pub(crate) shares_rank: bool,
    /// Whether it is judged on the same images as most others; only those are ranked.
    pub(crate) comparable: bool,
    /// Its position among all, counted from 0, by which figures choose its colour.
    pub(crate) position: usize,
    /// Its settings but the seed.
    pub(crate) settings: Flat,
    /// Those of them that decide which images judge it.
    pub(crate) judged_on: Flat,
    /// One run a seed; a cross-validation is one.
    pub(crate) runs: Vec<Run<'a>>,
}

/// A run and what its page and the board say of it.
#[derive(Debug, Clone)]
pub(crate) struct Run<'a> {
    /// What its folder says.
    pub(crate) record: &'a Record,
    /// Its folder, seen from the folder of all runs.
    pub(crate) place: std::path::PathBuf,
    /// Its seed.
    pub(crate) seed: String,
    /// Counted from its predictions.
    pub(crate) confusion: Option<Confusion>,
    /// The runs of its folds, where it is a whole cross-validation.
    pub(crate) folds: Vec<Self>,
    /// Asked for by pages that are written anew only, since it takes sorting.
    roc_auc: OnceLock<Option<f64>>,
}

impl<'a> Study<'a> {
    /// Gathers and ranks `records`, whose folders lie below `runs`.
    pub(crate) fn of(records: &'a [Record], damaged: &'a [Error], runs: &Path) -> Self {
        let all: Vec<_> = records.par_iter().map(|it| Run::of(it, runs)).collect();
        let flat: Vec<_> = records.par_iter().map(|it| flatten(&it.settings)).collect();
        let mut groups = BTreeMap::<(&str, Flat), Vec<Run<'a>>>::new();
        for (run, settings) in all.into_iter().zip(flat) {
            groups.entry((&run.record.experiment, settings)).or_default().push(run);
        }
        let labels = labels(&groups.keys().map(|(name, flat)| (*name, flat)).collect::<Vec<_>>());
        let configuration = |(((_, settings), mut runs), label): ((_, Vec<Run<'a>>), _)| {
            runs.sort_by(|a, b| (a.seed.len(), &a.seed).cmp(&(b.seed.len(), &b.seed)));
            let judged_on = judged_on(&settings);
            Configuration {
                label,
                rank: None,
                shares_rank: false,
                comparable: true,
                position: 0,
                settings,
                judged_on,
                runs,
            }
        };
        let mut configurations: Vec<_> =
            groups.into_iter().zip(labels).map(configuration).collect();
        mark_comparable(&mut configurations);
        rank(&mut configurations);
        Self { configurations, damaged }
    }

    /// All runs that lie on disk, each fold by itself, the best configuration's first.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run<'a>> {
        self.configurations.iter().flat_map(Configuration::trained)
    }

    /// The configurations that figures compare: judged on the same images, and not failed for good.
    pub(crate) fn compared(&self) -> impl Iterator<Item = &Configuration<'a>> {
        self.configurations.iter().filter(|it| it.comparable && !it.is_hopeless())
    }

    /// The configurations with a score, the best first.
    pub(crate) fn ranked(&self) -> impl Iterator<Item = &Configuration<'a>> {
        self.configurations.iter().filter(|it| it.rank.is_some())
    }

    /// The split that all finished runs were tested on; none if it is not the same for all.
    pub(crate) fn split(&self) -> Option<&str> {
        let comparable = self.configurations.iter().filter(|it| it.comparable);
        let mut splits = comparable.flat_map(|it| &it.runs).filter_map(Run::split);
        let first = splits.next()?;
        splits.all(|it| it == first).then_some(first)
    }

    /// What judges most configurations, as [`Run::judged_by`] calls it.
    pub(crate) fn judged_by(&self) -> Option<String> {
        let split = self.split()?;
        let comparable = self.configurations.iter().filter(|it| it.comparable);
        comparable
            .flat_map(|it| &it.runs)
            .filter(|it| it.split() == Some(split))
            .find_map(Run::judged_by)
    }
}

impl<'a> Configuration<'a> {
    /// Name of its experiment.
    pub(crate) fn experiment(&self) -> &'a str {
        self.runs.first().map_or("", |it| it.record.experiment.as_str())
    }

    /// Its rank as people write it, `=2` where several share it; none without a score.
    pub(crate) fn place(&self) -> Option<String> {
        self.rank.map(|it| format!("{}{it}", if self.shares_rank { "=" } else { "" }))
    }

    /// What is said of its experiment; empty if nobody says.
    pub(crate) fn about(&self) -> &'a str {
        self.runs.first().map_or("", |it| it.record.about())
    }

    /// Names of the files that its experiment extends, the nearest first.
    pub(crate) fn extends(&self) -> &'a [String] {
        self.runs.first().map_or(&[], |it| &it.record.description.extends)
    }

    /// Whether it is a point of a search. The best of many is the best by luck, too: no test of two hypotheses holds for it, so
    /// points get ranks and no verdicts.
    pub(crate) fn is_of_search(&self) -> bool {
        self.runs.first().is_some_and(|it| it.record.description.search.is_some())
    }

    /// `score` over the seeds that are finished.
    pub(crate) fn stat(&self, score: impl Fn(&Run<'a>) -> Option<f64>) -> Option<Stat> {
        Stat::of(&self.finished().filter_map(score).collect::<Vec<_>>())
    }

    /// The runs that are finished.
    pub(crate) fn finished(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().filter(|it| it.record.state == State::Finished)
    }

    /// Its runs that lie on disk, each fold by itself.
    pub(crate) fn trained(&self) -> impl Iterator<Item = &Run<'a>> {
        self.runs.iter().flat_map(Run::trained)
    }

    /// The runs whose curves speak for it: the finished ones, or all if there is none. Each fold has curves of its own.
    pub(crate) fn drawn(&self) -> Vec<&'a Record> {
        let finished: Vec<_> = self.finished().flat_map(Run::trained).map(|it| it.record).collect();
        if finished.is_empty() { self.trained().map(|it| it.record).collect() } else { finished }
    }

    /// Whether none of its runs can still come to a score.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.rank.is_none()
            && self.runs.iter().all(|it| matches!(it.record.state, State::Failed(_)))
    }

    /// The sum of its runs' confusion matrices.
    pub(crate) fn confusion(&self) -> Option<Confusion> {
        let all = self.finished().filter_map(|it| it.confusion.clone());
        all.reduce(|sum, it| sum.plus(&it)).filter(|it| it.total() > 0)
    }

    /// Names of its classes, as many as `n` at least.
    pub(crate) fn classes(&self, n: usize) -> Vec<String> {
        let run = self.runs.iter().find(|it| it.record.facts.dataset.is_some());
        run.map_or_else(|| class_names(&[], n), |it| it.classes(n))
    }
}

impl<'a> Run<'a> {
    fn of(record: &'a Record, runs: &Path) -> Self {
        let below = record.folder.strip_prefix(runs).map(Path::to_path_buf);
        let place = below.unwrap_or_else(|_| Path::new(&record.experiment).join(&record.trial));
        let n_classes = record.facts.dataset.as_ref().map_or(0, |it| it.classes.len());
        let counted = || Confusion::count(n_classes, &record.predictions);
        let confusion = (!record.predictions.is_empty()).then(counted);
        let (seed, roc_auc) = (seed(&record.settings), OnceLock::new());
        let folds = record.folds.iter().map(|it| Self::of(it, runs)).collect();
        Self { record, place, seed, confusion, folds, roc_auc }
    }

    /// What was trained for it: its folds, or itself.
    pub(crate) fn trained(&self) -> &[Self] {
        if self.folds.is_empty() { std::slice::from_ref(self) } else { &self.folds }
    }

    /// The fold that it tests and how many there are; none where it is a whole cross-validation, or a part of none.
    pub(crate) fn fold(&self) -> Option<[usize; 2]> {
        folds::fold(self.record)
    }

    /// How many of its folds are finished, and how many there are; none where it is no whole cross-validation.
    pub(crate) fn folds_done(&self) -> Option<[usize; 2]> {
        let [_, of] = self.folds.first()?.fold()?;
        let finished = self.folds.iter().filter(|it| it.record.state == State::Finished);
        let mut done: Vec<_> = finished.filter_map(Self::fold).collect();
        done.dedup();
        Some([done.len(), of])
    }

    /// The mean of `score` over what was trained for it: over its folds where it has some. None if one of them has none.
    fn mean(&self, score: impl Fn(&Self) -> Option<f64>) -> Option<f64> {
        let all: Vec<f64> = self.trained().iter().map(score).collect::<Option<_>>()?;
        Some(all.iter().sum::<f64>() / all.len() as f64)
    }

    /// Link to its page from the page of the study.
    pub(crate) fn link(&self) -> String {
        format::link(&self.place.join("index.html"))
    }

    /// The last epoch whose weights were kept; while a stage runs, its last epoch. That of the first fold, where there are
    /// folds.
    pub(crate) fn epoch(&self) -> Option<&'a Epoch> {
        self.record.facts.kept_epoch()
    }

    /// Accuracy on the validation images; of a cross-validation the mean over its folds, which have other ones each.
    pub(crate) fn valid_accuracy(&self) -> Option<f64> {
        self.mean(|it| it.epoch().map(|it| it.valid.accuracy))
    }

    pub(crate) fn split(&self) -> Option<&'a str> {
        self.record.facts.evaluation.as_ref().map(|it| it.split.as_str())
    }

    /// The split that judges it, with its name in its source where it has one there: `test (PrivateTest)`.
    pub(crate) fn judged_by(&self) -> Option<String> {
        let split = self.split()?;
        let called = if split == "valid" { "validation" } else { split };
        let named = in_source(self.record, split).filter(|it| *it != split);
        Some(named.map_or_else(|| called.to_owned(), |it| format!("{called} ({it})")))
    }

    pub(crate) fn test_accuracy(&self) -> Option<f64> {
        let said = || self.record.facts.evaluation.as_ref().map(|it| it.scores.accuracy);
        self.confusion.as_ref().and_then(Confusion::accuracy).or_else(said)
    }

    /// What its epochs drew, in joules, over all its folds; none where that is not known.
    pub(crate) fn joules(&self) -> Option<f64> {
        let folds = self.folds.iter().map(|it| &it.record.facts);
        let own = self.folds.is_empty().then_some(&self.record.facts);
        Energy::of_all(folds.chain(own).map(Facts::energy)).map(|it| it.joules())
    }

    pub(crate) fn macro_f1(&self) -> Option<f64> {
        self.confusion.as_ref().and_then(Confusion::macro_f1)
    }

    /// The views that its test averaged over; none if it looked at the images as they are.
    pub(crate) fn viewed(&self) -> Option<&'a Viewed> {
        self.record.facts.evaluation.as_ref()?.viewed.as_ref()
    }

    /// Computes it, for asking later.
    pub(crate) fn prepare_roc_auc(&self) {
        let _known = self.roc_auc();
    }

    pub(crate) fn roc_auc(&self) -> Option<f64> {
        *self.roc_auc.get_or_init(|| roc_auc(&self.record.predictions))
    }

    pub(crate) fn test_loss(&self) -> Option<f64> {
        self.record.facts.evaluation.as_ref().map(|it| it.scores.loss)
    }

    /// Parameters that its last stage trains, and all of them.
    pub(crate) fn parameters(&self) -> Option<(usize, usize)> {
        let start = &self.record.facts.stages.last()?.start;
        let sum =
            |it: &[ferrite_core::event::Layer]| it.iter().map(|it| it.parameters).sum::<usize>();
        Some((sum(&start.trainable), sum(&start.trainable) + sum(&start.frozen)))
    }

    /// Epochs over all its stages, and over all its folds.
    pub(crate) fn epochs(&self) -> usize {
        let stages = self.trained().iter().flat_map(|it| &it.record.facts.stages);
        stages.map(|it| it.epochs.len()).sum()
    }

    /// Names of its classes, as many as `n` at least.
    pub(crate) fn classes(&self, n: usize) -> Vec<String> {
        let classes = self.record.facts.dataset.as_ref().map(|it| it.classes.as_slice());
        class_names(classes.unwrap_or_default(), n)
    }
}

/// Share of the largest class among the images that `record` was tested on: what guessing earns.
pub(crate) fn majority(record: &Record) -> Option<f64> {
    let split = &record.facts.evaluation.as_ref()?.split;
    let counts = record.facts.dataset.as_ref()?.counts.get(split)?;
    let all: usize = counts.iter().sum();
    (all > 0).then(|| counts.iter().max().copied().unwrap_or(0) as f64 / all as f64)
}

fn class_names(known: &[String], n: usize) -> Vec<String> {
    let name = |it: usize| known.get(it).cloned().unwrap_or_else(|| format!("class {it}"));
    (0..n.max(known.len())).map(name).collect()
}

fn seed(settings: &toml::Table) -> String {
    let one = |it: &toml::Value| match it {
        toml::Value::Array(items) if items.len() == 1 => items[0].to_string(),
        _ => it.to_string(),
    };
    settings.get("seeds").map_or_else(String::new, one)
}
