//! Two configurations held against each other: all that `ferrite diff` tells of them.
//!
//! Each side is a configuration, or some of its runs. Where the two have seeds and images in common, everything but the
//! scores of each side is counted on these alone.
//!
//! **Invariant:** pure. The difference of accuracies is that of the report, computed by the same function, and so are p value
//! and verdict where the report has the pair.

pub(crate) mod classes;
pub(crate) mod images;
pub(crate) mod scores;

use std::collections::BTreeSet;

use ferrite_core::event::Start;
use ferrite_core::metrics::Prediction;

use crate::format;
use crate::study::comparison::{Comparison, Comparisons, Verdict, compare_tables};
use crate::study::contrast::classes::{Classes, classes};
use crate::study::contrast::images::{Images, images};
use crate::study::contrast::scores::{Score, scores};
use crate::study::judged::Judged;
use crate::study::matched::{common, on_common_images, tables};
use crate::study::pairs::{Departure, Pairs};
use crate::study::{Configuration, Run};

/// Two configurations and what differs between them.
pub(crate) struct Contrast<'c, 'a> {
    /// The first and the second.
    pub(crate) sides: [&'c Configuration<'a>; 2],
    /// Every setting that the second has otherwise than the first.
    pub(crate) settings: Vec<Departure<'c>>,
    /// What they ran on, as far as it differs.
    pub(crate) places: Vec<Place>,
    /// What can be said of the two together, or why nothing can.
    pub(crate) matched: Result<Matched<'c, 'a>, Obstacle>,
    /// The finished seeds that both have: those that differences of scores are over.
    pub(crate) common_seeds: Vec<String>,
    /// Scores of each side and their differences.
    pub(crate) scores: Vec<Score>,
    /// Scores of each class, and what is taken for what; none where the two know other classes, or one has no predictions.
    pub(crate) classes: Option<Classes>,
}

/// What can be said of two configurations on the same images.
pub(crate) struct Matched<'c, 'a> {
    /// The difference of accuracies, with the report's p value and verdict if it has one.
    pub(crate) comparison: Comparison<'c, 'a>,
    /// How many comparisons the p value is adjusted for; one where the report has none of these two.
    pub(crate) family: usize,
    /// Whether both are of the same seeds; two single runs may not be.
    pub(crate) same_seeds: bool,
    /// Images that the two see differently.
    pub(crate) images: Images<'a>,
    /// The predictions on the common images: of the first and of the second under the first seed, then under the next.
    tables: Vec<Vec<&'a Prediction>>,
}

/// Why two configurations cannot be judged together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// One has no finished run.
    Unfinished(String),
    /// They are judged on other images; the settings that decide so.
    OtherImages(Vec<String>),
    /// They have no split in common.
    OtherSplits,
    /// They have no seed in common.
    OtherSeeds,
    /// No image is common to all their runs, or one has several labels.
    OtherLabels,
}

/// Something that the two ran on.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    pub(crate) values: [String; 2],
}

impl<'c, 'a> Contrast<'c, 'a> {
    /// Holds `to` against `from`. What the report says of the two is asked of `judged`.
    pub(crate) fn of(judged: &Judged<'_, 'a>, sides: [&'c Configuration<'a>; 2]) -> Self {
        let [from, to] = sides;
        let settings = Pairs::of(&[&from.settings, &to.settings]).departures(0, 1);
        let matched = matched(judged, sides);
        let tables = matched.as_ref().map_or(&[][..], |it| it.tables.as_slice());
        let scores = scores(sides, matched.as_ref().ok());
        let classes = classes(sides, tables);
        let pairs = paired(sides).unwrap_or_default();
        let common_seeds = pairs.iter().map(seed_of).collect();
        Self { sides, settings, places: places(sides), matched, common_seeds, scores, classes }
    }

    /// Which seeds differences of scores are over, where a side has others as well, which its scores are means over too.
    pub(crate) fn over(&self) -> Option<String> {
        let has_others = |it: &&&Configuration<'_>| it.finished().count() > self.common_seeds.len();
        self.sides.iter().find(has_others)?;
        let seeds = match &self.common_seeds[..] {
            [] => return None,
            [only] => format!("seed {only}, which both have"),
            all => format!("seeds {}, which both have", all.join(", ")),
        };
        Some(format!("B − A is over the {seeds}; A and B are means over all seeds of each side."))
    }

    /// What comes of it, in a sentence or two.
    pub(crate) fn in_words(&self) -> String {
        let [a, b] = self.sides.map(|it| it.label.as_str());
        let matched = match &self.matched {
            Ok(it) => it,
            Err(obstacle) => {
                return format!("Nothing can be said of the difference: {}.", obstacle.words());
            }
        };
        let it = &matched.comparison;
        let [low, high] = it.difference.interval.map(format::points);
        let split = it.split().unwrap_or("test");
        let (by, p) = (format::points(it.difference.mean.abs()), format::p_value(it.p));
        let by = by.trim_start_matches('+');
        let (better, worse) = if it.difference.mean < 0.0 { (a, b) } else { (b, a) };
        let evidence = format!("95 % interval of B − A: {low} to {high}, p {p}");
        match it.verdict {
            Verdict::Real => format!(
                "{better} is better than {worse} by {by} points of {split} accuracy ({evidence}). The difference is real."
            ),
            Verdict::OneSeed => format!(
                "The network of {better} is better than that of {worse} by {by} points of {split} accuracy \
                 ({evidence}). With one seed nobody knows whether what differs between them is the reason."
            ),
            Verdict::NotShown if it.difference.mean == 0.0 => {
                format!("No difference is shown: both have the same {split} accuracy ({evidence}).")
            }
            Verdict::NotShown if matched.family > 1 && leaves_out_zero(it.difference.interval) => {
                format!(
                    "No difference is shown: {better} is ahead of {worse} by {by} points of {split} accuracy \
                 ({evidence}). The interval leaves out zero, but among so many comparisons the luckiest do."
                )
            }
            Verdict::NotShown => format!(
                "No difference is shown: {better} is ahead of {worse} by {by} points of {split} accuracy \
                 ({evidence}), which may be chance."
            ),
            Verdict::Same => format!(
                "{a} and {b} gave every image of {split} the very same probabilities: what differs between them has \
                 no effect."
            ),
        }
    }
}

impl Matched<'_, '_> {
    /// What the comparison is over, and what its p value is adjusted for.
    pub(crate) fn extent(&self) -> String {
        let it = &self.comparison;
        let seeds = match &it.seeds[..] {
            [only] if !self.same_seeds => format!("seeds {}", only.seed),
            [only] => format!("seed {}", only.seed),
            all => format!("{} common seeds", all.len()),
        };
        let (images, split) = (it.images, it.split().unwrap_or("test"));
        let p = match self.family {
            1 => "p is that of this comparison alone; of many comparisons some look real by chance"
                .into(),
            n => format!("p is adjusted for the {n} comparisons of the report (Holm)"),
        };
        format!("On {seeds} and {images} images of the {split} split; {p}.")
    }
}

/// Whether an interval lies on one side of zero.
fn leaves_out_zero([low, high]: [f64; 2]) -> bool {
    low > 0.0 || high < 0.0
}

impl Obstacle {
    /// As it is told, behind a colon.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Unfinished(side) => format!("{side} has no finished run with predictions"),
            Self::OtherImages(keys) => {
                let verb = if keys.len() == 1 { "differs" } else { "differ" };
                format!("the two are judged on different images ({} {verb})", keys.join(", "))
            }
            Self::OtherSplits => "the two are judged on different splits".into(),
            Self::OtherSeeds => {
                "the two have no seed in common, and other seeds make other networks of the same settings".into()
            }
            Self::OtherLabels => {
                "no image is common to all their runs, or the same image has another label in one".into()
            }
        }
    }
}

fn matched<'c, 'a>(
    judged: &Judged<'_, 'a>,
    sides: [&'c Configuration<'a>; 2],
) -> Result<Matched<'c, 'a>, Obstacle> {
    let [from, to] = sides;
    let pairs = paired(sides)?;
    let found = tables(&pairs);
    let tables = on_common_images(&found).ok_or(Obstacle::OtherLabels)?;
    let seeds: Vec<String> = pairs.iter().map(seed_of).collect();
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let compared = compare_tables(from, to, &seeds, &tables).ok_or(Obstacle::OtherLabels)?;
    let (p, family) =
        in_report(judged.comparisons(), &compared).unwrap_or((compared.difference.p, 1));
    let mut comparison = Comparison { p, ..compared };
    comparison.verdict = comparison.judge();
    let images = images(&seeds, &tables);
    let same_seeds = pairs.iter().all(|(a, b)| a.seed == b.seed);
    Ok(Matched { comparison, family, same_seeds, images, tables })
}

/// The runs that are held against each other. Two single runs are, whatever their seeds: as two networks.
fn paired<'c, 'a>(
    sides: [&'c Configuration<'a>; 2],
) -> Result<Vec<(&'c Run<'a>, &'c Run<'a>)>, Obstacle> {
    let judged = |side: &'c Configuration<'a>| -> Vec<&'c Run<'a>> {
        side.finished().filter(|it| !it.record.predictions.is_empty()).collect()
    };
    let runs = sides.map(judged);
    if let Some(at) = runs.iter().position(Vec::is_empty) {
        return Err(Obstacle::Unfinished(sides[at].label.clone()));
    }
    let [from, to] = sides.map(|it| &it.judged_on);
    if from != to {
        let keys = from.keys().chain(to.keys().filter(|it| !from.contains_key(*it)));
        let differ = keys.filter(|it| from.get(*it) != to.get(*it));
        return Err(Obstacle::OtherImages(differ.cloned().collect()));
    }
    let same_split = |a: &&Run<'_>| runs[1].iter().any(|b| a.split() == b.split());
    if !runs[0].iter().any(same_split) {
        return Err(Obstacle::OtherSplits);
    }
    let pairs = common(sides[0], sides[1]);
    match (pairs.is_empty(), runs[0].as_slice(), runs[1].as_slice()) {
        (false, ..) => Ok(pairs),
        (true, [a], [b]) if sides.iter().all(|it| it.runs.len() == 1) => Ok(vec![(*a, *b)]),
        (true, ..) => Err(Obstacle::OtherSeeds),
    }
}

/// The seed of two runs that are held against each other, or both.
fn seed_of((a, b): &(&Run<'_>, &Run<'_>)) -> String {
    if a.seed == b.seed { a.seed.clone() } else { format!("{} and {}", a.seed, b.seed) }
}

/// The p value that the report has for these two over the same seeds, and for how many comparisons it is adjusted.
fn in_report(all: &Comparisons<'_, '_>, it: &Comparison<'_, '_>) -> Option<(f64, usize)> {
    let positions = [it.from.position, it.to.position];
    let same = |other: &&Comparison<'_, '_>| {
        let others = [other.from.position, other.to.position];
        let seeds =
            |it: &Comparison<'_, '_>| it.seeds.iter().map(|it| it.seed.clone()).collect::<Vec<_>>();
        (others == positions || others == [positions[1], positions[0]]) && seeds(other) == seeds(it)
    };
    [&all.effects, &all.pairs]
        .into_iter()
        .find_map(|table| Some((table.iter().find(same)?.p, table.len())))
}

/// What the finished runs of both ran on, as far as it differs.
fn places(sides: [&Configuration<'_>; 2]) -> Vec<Place> {
    type Of = (&'static str, fn(&Start) -> String);
    let of: [Of; 4] = [
        ("Ferrite", |it| it.ferrite.clone()),
        ("device", |it| it.device.clone()),
        ("threads", |it| it.threads.to_string()),
        ("precision", |it| it.precision.clone()),
    ];
    let values = |side: &Configuration<'_>, of: fn(&Start) -> String| {
        let starts = side.runs.iter().filter_map(|it| it.record.facts.start.as_ref());
        let all: BTreeSet<String> = starts.map(of).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let rows = of.map(|(name, of)| Place { name, values: sides.map(|it| values(it, of)) });
    rows.into_iter().filter(|it| it.values[0] != it.values[1]).collect()
}
