//! Which differences between configurations are real: what is compared, and what comes of it.
//!
//! Only configurations that are judged on the same images are compared, seed by seed and image by
//! image. What is compared follows from settings and from the ranking on validation images, never from
//! the scores that the comparison is about.

use ferrite_core::metrics::Prediction;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::metrics::statistics::clustered;
use ferrite_core::metrics::statistics::crossed::{Estimate, difference, mean};
use ferrite_core::metrics::statistics::paired::Discordant;
use ferrite_core::metrics::statistics::{Gain, LEVEL, holm, wilson};
use rayon::prelude::*;

use crate::study::matched::{common, on_common_images, tables};
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

/// Two configurations on the same seeds and images, or several pairs of them that differ in the very same way.
pub(crate) struct Comparison<'s, 'a> {
    /// Whether the experiment of `to` extends that of `from`.
    pub(crate) extends: bool,
    /// The technique, or techniques, that they differ in; empty if it does not matter.
    pub(crate) technique: String,
    pub(crate) from: &'s Configuration<'a>,
    pub(crate) to: &'s Configuration<'a>,
    pub(crate) changes: Vec<Change<'s>>,
    /// How many pairs of configurations it is the mean of; `from` and `to` are the first of them.
    pub(crate) over: usize,
    /// Every seed that both have, pair after pair.
    pub(crate) seeds: Vec<SeedGain>,
    pub(crate) images: usize,
    /// Accuracies over these seeds and images.
    pub(crate) accuracies: [f64; 2],
    /// Accuracy of `to` less that of `from`.
    pub(crate) difference: Estimate,
    /// Whether whole groups of images, such as persons, take the place of images.
    pub(crate) clustered: bool,
    /// Whether the two gave every image the very same probabilities, and so the same predictions, under every seed.
    pub(crate) identical: bool,
    /// P value, adjusted for all comparisons of its table.
    pub(crate) p: f64,
    pub(crate) verdict: Verdict,
}

/// The difference under one seed.
pub(crate) struct SeedGain {
    pub(crate) seed: String,
    pub(crate) difference: f64,
    /// P value of McNemar's exact test, or of Student's over groups where these stand for images.
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
    /// Not one prediction differs, nor a probability of one.
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
        let all = all.filter(|it| !it.is_of_search());
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
        let single = extending.into_iter().map(|it| Factor::of(&pairs, it, true));
        let mut factors: Vec<_> = single.collect();
        for effect in found {
            let factor = Factor::of(&pairs, effect, false);
            let known = factors.iter_mut().find(|it| {
                !it.extends && (&it.technique, &it.changes) == (&factor.technique, &factor.changes)
            });
            match known {
                Some(known) => known.pairs.extend(factor.pairs),
                None => factors.push(factor),
            }
        }
        let told = |it: &Factor<'s>| -> Vec<(&'s Configuration<'a>, &'s Configuration<'a>)> {
            let pairs = it.pairs.iter().map(|it| (all[it.0], all[it.1]));
            pairs.filter(|(from, to)| !common(from, to).is_empty()).collect()
        };
        let mut possible: Vec<_> = factors.into_iter().map(|it| (told(&it), it)).collect();
        possible.retain(|it| !it.0.is_empty());
        let compare = |(told, factor): &(Vec<_>, Factor<'s>)| {
            let compared = compare(told)?;
            let Factor { technique, extends, changes, .. } = factor.clone();
            Some(Comparison { extends, technique, changes, ..compared })
        };
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
        let is = |it: &&Comparison<'_, '_>| {
            it.to.position == first.position && it.from.position == second.position
        };
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
    compare(&[(best[worse], best[better])])
}

/// What becomes one comparison: one pair of configurations, or all pairs that differ in the very same way.
#[derive(Debug, Clone)]
struct Factor<'s> {
    extends: bool,
    technique: String,
    changes: Vec<Change<'s>>,
    pairs: Vec<(usize, usize)>,
}

impl<'s> Factor<'s> {
    fn of(pairs: &Pairs<'s>, Effect { technique, from, to }: Effect, extends: bool) -> Self {
        let changes = pairs.changes(from, to);
        Self { extends, technique, changes, pairs: vec![(from, to)] }
    }
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

    /// The same with its name in its source, as [`Run::judged_by`] calls it.
    pub(crate) fn judged_by(&self) -> Option<String> {
        self.to.runs.iter().find_map(Run::judged_by)
    }

    /// What its interval and its p value show.
    pub(crate) fn judge(&self) -> Verdict {
        let [low, high] = self.difference.interval;
        let shown = self.p < ALPHA && (low > 0.0 || high < 0.0);
        match (shown, self.seeds.len()) {
            (true, 1) => Verdict::OneSeed,
            (true, _) => Verdict::Real,
            (false, _) if self.identical => Verdict::Same,
            (false, _) => Verdict::NotShown,
        }
    }
}

/// The interval of a configuration's accuracy: over seeds and images, or of one network over images
/// (Wilson's). None without predictions.
pub(crate) fn accuracy_interval(it: &Configuration<'_>) -> Option<[f64; 2]> {
    let tables: Vec<_> = it.finished().map(|it| it.record.predictions.as_slice()).collect();
    interval_of(&on_common_images(&tables)?)
}

/// The interval of the accuracy of networks by their answers about the same images, seed by seed: over seeds and images, or
/// Wilson's where images alone vary, as with one seed or where all seeds agree on all images. Over groups in place of images
/// where these were kept together.
pub(crate) fn interval_of(tables: &[Vec<&Prediction>]) -> Option<[f64; 2]> {
    let right: Vec<Vec<bool>> =
        tables.iter().map(|it| it.iter().map(|it| it.is_right()).collect()).collect();
    let gains = |it: &Vec<bool>| it.iter().map(|it| Gain::from(*it)).collect::<Vec<_>>();
    let clamped = |it: Estimate| it.interval.map(|it| it.clamp(0.0, 1.0));
    if let Some(groups) = groups(tables) {
        let values: Vec<_> = right.iter().map(gains).collect();
        return clustered::mean(&values, &groups, LEVEL).map(clamped);
    }
    let (first, others) = right.split_first()?;
    let hits = first.iter().filter(|it| **it).count();
    let alike = hits == 0 || hits == first.len();
    if others.is_empty() || (alike && others.iter().all(|it| it == first)) {
        return wilson(hits as u64, first.len() as u64);
    }
    mean(&right.iter().map(gains).collect::<Vec<_>>(), LEVEL).map(clamped)
}

/// The group of each image that `tables` tell of, where images of one group were kept together when they were split: they are
/// not independent of each other, and groups are what is drawn by chance.
fn groups<'p>(tables: &[Vec<&'p Prediction>]) -> Option<Vec<&'p str>> {
    let of = |it: &&'p Prediction| Some(it.group.as_str()).filter(|it| !it.is_empty());
    tables.iter().find_map(|table| table.iter().map(of).collect())
}

/// `all` with p values adjusted for one another, and with verdicts.
fn judged<'s, 'a>(mut all: Vec<Comparison<'s, 'a>>) -> Vec<Comparison<'s, 'a>> {
    let adjusted = holm(&all.iter().map(|it| it.difference.p).collect::<Vec<_>>());
    for (it, p) in all.iter_mut().zip(adjusted) {
        it.p = p;
        it.verdict = it.judge();
    }
    all
}

/// The comparison of `pairs` without verdict; none if no seed or no image is common to all. Each seed of each pair is a
/// repetition of the experiment, so that an effect which depends on the other settings is as unsure as it varies with them.
fn compare<'s, 'a>(
    pairs: &[(&'s Configuration<'a>, &'s Configuration<'a>)],
) -> Option<Comparison<'s, 'a>> {
    let (from, to) = *pairs.first()?;
    let runs: Vec<_> = pairs.iter().flat_map(|(from, to)| common(from, to)).collect();
    let seeds: Vec<_> = runs.iter().map(|it| it.0.seed.as_str()).collect();
    let compared = compare_tables(from, to, &seeds, &on_common_images(&tables(&runs))?)?;
    Some(Comparison { over: pairs.len(), ..compared })
}

/// The comparison of `from` and `to` without verdict, from their predictions on the same images: of `from` and of `to` under the
/// first of `seeds`, then under the next.
pub(crate) fn compare_tables<'s, 'a>(
    from: &'s Configuration<'a>,
    to: &'s Configuration<'a>,
    seeds: &[&str],
    tables: &[Vec<&Prediction>],
) -> Option<Comparison<'s, 'a>> {
    let gain = |pair: &[Vec<&Prediction>]| -> Vec<Gain> {
        let one = |(from, to): (&&Prediction, &&Prediction)| {
            Gain::from(to.is_right()) - Gain::from(from.is_right())
        };
        pair[0].iter().zip(&pair[1]).map(one).collect()
    };
    let gains: Vec<_> = tables.chunks_exact(2).map(gain).collect();
    let same = |(a, b): (&&Prediction, &&Prediction)| {
        a.predicted == b.predicted && a.probabilities == b.probabilities
    };
    let groups = groups(tables);
    let identical = tables.chunks_exact(2).all(|it| it[0].iter().zip(&it[1]).all(same));
    let seed = |(seed, gains): (&&str, &Vec<Gain>)| {
        let counts = Discordant::of(gains);
        let seed = (*seed).to_owned();
        // McNemar's test takes images as independent.
        let of_groups = groups.as_ref();
        let of_groups =
            of_groups.and_then(|it| clustered::mean(std::slice::from_ref(gains), it, LEVEL));
        let mcnemar = of_groups.map_or_else(|| counts.mcnemar(), |it| it.p);
        SeedGain { seed, difference: counts.difference(), mcnemar }
    };
    let accuracy = |side: usize| {
        let all = tables.iter().skip(side).step_by(2).flatten();
        let n = all.clone().count();
        all.filter(|it| it.is_right()).count() as f64 / n as f64
    };
    Some(Comparison {
        extends: false,
        technique: String::new(),
        from,
        to,
        changes: Vec::new(),
        over: 1,
        seeds: seeds.iter().zip(&gains).map(seed).collect(),
        images: gains.first()?.len(),
        accuracies: [accuracy(0), accuracy(1)],
        difference: match &groups {
            Some(groups) => clustered::mean(&gains, groups, LEVEL)?,
            None => difference(&gains, LEVEL)?,
        },
        clustered: groups.is_some(),
        identical,
        p: 1.0,
        verdict: Verdict::NotShown,
    })
}

/// The difference of two configurations, `to` less `from`, with its interval, paired by seed and image; none where they have no
/// seed or no image in common.
pub(crate) fn beside(from: &Configuration<'_>, to: &Configuration<'_>) -> Option<Estimate> {
    Some(compare(&[(from, to)])?.difference)
}
