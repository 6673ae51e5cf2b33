//! Which differences between configurations are real: what is compared, and what comes of it.
//!
//! Only configurations that are judged on the same images are compared, seed by seed and image by
//! image. What is compared follows from settings and from the ranking on validation images, never from
//! the scores that the comparison is about.

use std::collections::HashMap;

use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::metrics::statistics::crossed::{Estimate, difference, mean};
use ferrite_core::metrics::statistics::paired::Discordant;
use ferrite_core::metrics::statistics::{Gain, LEVEL, holm, wilson};
use rayon::prelude::*;

use crate::study::pairs::{Change, Effect, Pairs};
use crate::study::{Configuration, Run, Study};

/// How many single techniques are compared at most.
pub(crate) const MOST_EFFECTS: usize = 32;
/// How many of the best configurations are compared each with each.
pub(crate) const MOST_BEST: usize = 6;

/// All comparisons of a study.
pub(crate) struct Comparisons<'s, 'a> {
    /// Each configuration with the one that its experiment extends; behind these one technique at a time.
    pub(crate) effects: Vec<Comparison<'s, 'a>>,
    /// How many more there would have been.
    pub(crate) left_out: usize,
    /// The best configurations, the best first.
    pub(crate) best: Vec<&'s Configuration<'a>>,
    /// Each of them with each that ranks below it.
    pub(crate) pairs: Vec<Comparison<'s, 'a>>,
}

/// Two configurations on the same seeds and images.
pub(crate) struct Comparison<'s, 'a> {
    /// Whether the experiment of `to` extends that of `from`.
    pub(crate) extends: bool,
    /// The technique, or techniques, that they differ in; empty if it does not matter.
    pub(crate) technique: String,
    pub(crate) from: &'s Configuration<'a>,
    pub(crate) to: &'s Configuration<'a>,
    pub(crate) changes: Vec<Change<'s>>,
    /// Every seed that both have.
    pub(crate) seeds: Vec<SeedGain>,
    pub(crate) images: usize,
    /// Accuracies over these seeds and images.
    pub(crate) accuracies: [f64; 2],
    /// Accuracy of `to` less that of `from`.
    pub(crate) difference: Estimate,
    /// P value, adjusted for all comparisons of its table.
    pub(crate) p: f64,
    pub(crate) verdict: Verdict,
}

/// The difference under one seed.
pub(crate) struct SeedGain {
    pub(crate) seed: String,
    pub(crate) difference: f64,
    /// P value of McNemar's exact test.
    pub(crate) mcnemar: f64,
}

/// What a comparison shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Another training and other images would most likely show it too.
    Real,
    /// The two networks differ; with one seed nobody knows whether their settings are the reason.
    OneSeed,
    /// It may be chance.
    NotShown,
    /// Not one prediction differs.
    Same,
}

/// Adjusted p values below this are called real.
const ALPHA: f64 = 1.0 - LEVEL;

impl Verdict {
    /// A sign that tells verdicts apart without colour.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Real => '■',
            Self::OneSeed => '◆',
            Self::NotShown => '○',
            Self::Same => '=',
        }
    }

    /// As the page says it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::OneSeed => "one seed",
            Self::NotShown => "not shown",
            Self::Same => "no effect",
        }
    }
}

impl<'s, 'a> Comparisons<'s, 'a> {
    pub(crate) fn of(study: &'s Study<'a>) -> Self {
        // The best first, so that what is left out is at the end of the board; behind these what is judged on other images,
        // which is compared with its own kind.
        let others = study.configurations.iter().filter(|it| it.rank.is_none());
        let all = study.ranked().chain(others).filter(|it| it.finished().next().is_some());
        let all: Vec<_> = all.collect();
        let pairs = Pairs::of(&all.iter().map(|it| &it.settings).collect::<Vec<_>>());
        let mut found = pairs.effects();
        found.sort_by_key(|it| (it.from.min(it.to), it.from.max(it.to)));
        let extending = extending(&all, &pairs, &found);
        let told = |it: &Effect| {
            extending
                .iter()
                .any(|other| [[it.from, it.to], [it.to, it.from]].contains(&[other.from, other.to]))
        };
        found.retain(|it| !told(it));
        let compare = |(it, extends): &(&Effect, bool)| {
            let compared = compare(all[it.from], all[it.to])?;
            let (technique, extends) = (it.technique.clone(), *extends);
            let changes = pairs.changes(it.from, it.to);
            Some(Comparison { extends, technique, changes, ..compared })
        };
        let every = extending.iter().map(|it| (it, true)).chain(found.iter().map(|it| (it, false)));
        let possible = every.filter(|(it, _)| !common(all[it.from], all[it.to]).is_empty());
        let possible: Vec<_> = possible.collect();
        let shown = &possible[..possible.len().min(MOST_EFFECTS)];
        let effects = judged(shown.par_iter().filter_map(compare).collect());
        let left_out = possible.len() - shown.len();
        let best: Vec<_> = all.into_iter().filter(|it| it.rank.is_some()).take(MOST_BEST).collect();
        let pairs: Vec<_> = (0..best.len())
            .flat_map(|from| (from + 1..best.len()).map(move |to| (from, to)))
            .collect();
        let pairs = judged(pairs.par_iter().filter_map(|it| compare_best(&best, *it)).collect());
        Self { effects, left_out, best, pairs }
    }

    /// How `configuration` does beside the one that its experiment extends.
    pub(crate) fn with_extended(
        &self,
        configuration: &Configuration<'_>,
    ) -> Option<&Comparison<'s, 'a>> {
        self.effects.iter().find(|it| it.extends && it.to.position == configuration.position)
    }

    /// The comparison of two of the best, as the first less the second.
    pub(crate) fn pair(
        &self,
        first: &Configuration<'_>,
        second: &Configuration<'_>,
    ) -> Option<&Comparison<'s, 'a>> {
        let is = |it: &&Comparison<'_, '_>| it.to.rank == first.rank && it.from.rank == second.rank;
        self.pairs.iter().find(is)
    }
}

/// Each configuration with the one that its experiment extends. Of several of these, as of a grid, it is the one that
/// fewest settings differ from.
fn extending(
    all: &[&Configuration<'_>],
    pairs: &Pairs<'_>,
    of_one_technique: &[Effect],
) -> Vec<Effect> {
    let extended = |to: usize| {
        let of = |name: &String| {
            let it = all.iter().enumerate().filter(|(_, it)| it.experiment() == name);
            it.map(|(from, _)| (pairs.changes(from, to).len(), from)).min()
        };
        let nearest = all[to].extends().iter().find_map(of);
        // One with the very same settings is no comparison.
        nearest.filter(|(changes, _)| *changes > 0).map(|(_, from)| from)
    };
    let effect = |to: usize| {
        let from = extended(to)?;
        let known = of_one_technique.iter().find(|it| (it.from, it.to) == (from, to));
        let known = known.map(|it| it.technique.clone());
        let technique = known.unwrap_or_else(|| {
            pairs.techniques(from, to).into_iter().collect::<Vec<_>>().join(", ")
        });
        Some(Effect { technique, from, to })
    };
    (0..all.len()).filter_map(effect).collect()
}

/// The better less the worse.
fn compare_best<'s, 'a>(
    best: &[&'s Configuration<'a>],
    (better, worse): (usize, usize),
) -> Option<Comparison<'s, 'a>> {
    compare(best[worse], best[better])
}

impl Comparison<'_, '_> {
    /// Mean and deviation of the seeds' differences.
    pub(crate) fn over_seeds(&self) -> Option<Stat> {
        Stat::of(&self.seeds.iter().map(|it| it.difference).collect::<Vec<_>>())
    }

    /// The split that it was judged on.
    pub(crate) fn split(&self) -> Option<&str> {
        self.to.runs.iter().find_map(Run::split)
    }

    fn verdict(&self) -> Verdict {
        let [low, high] = self.difference.interval;
        let shown = self.p < ALPHA && (low > 0.0 || high < 0.0);
        let same = self.seeds.iter().all(|it| it.mcnemar == 1.0 && it.difference == 0.0);
        match (shown, self.seeds.len()) {
            (true, 1) => Verdict::OneSeed,
            (true, _) => Verdict::Real,
            (false, _) if same && low == high => Verdict::Same,
            (false, _) => Verdict::NotShown,
        }
    }
}

/// The interval of a configuration's accuracy: over seeds and images, or of one network over images
/// (Wilson's). None without predictions.
pub(crate) fn accuracy_interval(it: &Configuration<'_>) -> Option<[f64; 2]> {
    let tables: Vec<_> = it.finished().map(|it| it.record.predictions.as_slice()).collect();
    let right = right_on_common_images(&tables)?;
    if let [only] = right.as_slice() {
        return wilson(only.iter().filter(|it| **it).count() as u64, only.len() as u64);
    }
    let values: Vec<Vec<Gain>> =
        right.iter().map(|it| it.iter().map(|it| Gain::from(*it)).collect()).collect();
    Some(mean(&values, LEVEL)?.interval.map(|it| it.clamp(0.0, 1.0)))
}

/// `all` with p values adjusted for one another, and with verdicts.
fn judged<'s, 'a>(mut all: Vec<Comparison<'s, 'a>>) -> Vec<Comparison<'s, 'a>> {
    let adjusted = holm(&all.iter().map(|it| it.difference.p).collect::<Vec<_>>());
    for (it, p) in all.iter_mut().zip(adjusted) {
        it.p = p;
        it.verdict = it.verdict();
    }
    all
}

/// The finished runs of both, seed by seed.
fn common<'r, 'a>(
    from: &'r Configuration<'a>,
    to: &'r Configuration<'a>,
) -> Vec<(&'r Run<'a>, &'r Run<'a>)> {
    let judged = |it: &&Run<'_>| !it.record.predictions.is_empty();
    // Pictures of two sources may have the same names.
    if from.judged_on != to.judged_on {
        return Vec::new();
    }
    let mut pairs: Vec<(&Run<'_>, &Run<'_>)> = Vec::new();
    for first in from.finished().filter(judged) {
        let fits = |it: &&Run<'_>| it.seed == first.seed && it.split() == first.split();
        let known = pairs.iter().any(|it| it.0.seed == first.seed);
        pairs.extend(
            to.finished().filter(judged).find(fits).filter(|_| !known).map(|it| (first, it)),
        );
    }
    pairs
}

/// The comparison without verdict; none if no seed or no image is common to both.
fn compare<'s, 'a>(
    from: &'s Configuration<'a>,
    to: &'s Configuration<'a>,
) -> Option<Comparison<'s, 'a>> {
    let pairs = common(from, to);
    let tables: Vec<_> = pairs
        .iter()
        .flat_map(|it| [it.0, it.1])
        .map(|it| it.record.predictions.as_slice())
        .collect();
    let right = right_on_common_images(&tables)?;
    let gain = |pair: &[Vec<bool>]| -> Vec<Gain> {
        let one = |(from, to): (&bool, &bool)| Gain::from(*to) - Gain::from(*from);
        pair[0].iter().zip(&pair[1]).map(one).collect()
    };
    let gains: Vec<_> = right.chunks_exact(2).map(gain).collect();
    let seeds = pairs.iter().zip(&gains).map(|((run, _), gains)| {
        let counts = Discordant::of(gains);
        let seed = run.seed.clone();
        SeedGain { seed, difference: counts.difference(), mcnemar: counts.mcnemar() }
    });
    let accuracy = |side: usize| {
        let all = right.iter().skip(side).step_by(2).flatten();
        let n = all.clone().count();
        all.filter(|it| **it).count() as f64 / n as f64
    };
    Some(Comparison {
        extends: false,
        technique: String::new(),
        from,
        to,
        changes: Vec::new(),
        seeds: seeds.collect(),
        images: gains[0].len(),
        accuracies: [accuracy(0), accuracy(1)],
        difference: difference(&gains, LEVEL)?,
        p: 1.0,
        verdict: Verdict::NotShown,
    })
}

/// Which images each table has right, over the images that are in all `tables`; none if there is no such
/// image, or if an image has another label in another table.
fn right_on_common_images(tables: &[&[Prediction]]) -> Option<Vec<Vec<bool>>> {
    let (first, others) = tables.split_first()?;
    let right = |it: &Prediction| it.truth == it.predicted;
    let aligned = |it: &&[Prediction]| {
        let same = |(a, b): (&Prediction, &Prediction)| a.id == b.id && a.truth == b.truth;
        it.len() == first.len() && it.iter().zip(*first).all(same)
    };
    if !first.is_empty() && others.iter().all(aligned) {
        return Some(tables.iter().map(|it| it.iter().map(right).collect()).collect());
    }
    let by_id = tables.iter().map(|it| it.iter().map(|it| (it.id.as_str(), it)).collect());
    let maps: Vec<HashMap<&str, &Prediction>> = by_id.collect();
    let kept: Vec<_> =
        first.iter().filter(|it| maps.iter().all(|map| map.contains_key(&*it.id))).collect();
    let labels_agree = |it: &&Prediction| maps.iter().all(|map| map[&*it.id].truth == it.truth);
    if kept.is_empty() || !kept.iter().all(labels_agree) {
        return None;
    }
    let of = |map: &HashMap<&str, &Prediction>| kept.iter().map(|it| right(map[&*it.id])).collect();
    Some(maps.iter().map(of).collect())
}
