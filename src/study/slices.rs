//! How accurate configurations are on parts of the images: which class, how dark, how clear to people.
//!
//! The interval of a part is that of a configuration's accuracy, restricted to its images (docs/statistics.md).
//!
//! **Invariant:** pure; what parts images is handed in.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use ferrite_core::metrics::Prediction;

use crate::study::answers::{Answers, Panel};
use crate::study::comparison::interval_of;

/// Parts of fewer images say little.
pub(crate) const FEW: usize = 30;
/// How many groups are shown at most.
pub(crate) const MOST_GROUPS: usize = 12;

/// A way to part images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// What it goes by.
    pub(crate) name: String,
    /// Names of the parts.
    pub(crate) parts: Vec<String>,
    /// The part of each image; none where it belongs to none.
    pub(crate) of: Vec<Option<usize>>,
}

/// One part of the images.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slice {
    pub(crate) name: String,
    pub(crate) images: usize,
    /// The score of each configuration.
    pub(crate) scores: Vec<Option<Score>>,
}

/// How accurate one configuration is on a part of the images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Share of right answers over its seeds and the images.
    pub(crate) accuracy: f64,
    /// Its 95 % interval; none for a single image under several seeds.
    pub(crate) interval: Option<[f64; 2]>,
    /// Whether the interval lies above or below its accuracy on all images.
    pub(crate) apart: Option<Ordering>,
}

/// The scores on all images.
pub(crate) fn overall(answers: &Answers<'_>) -> Vec<Option<Score>> {
    let all: Vec<usize> = (0..answers.images.len()).collect();
    answers.panels.iter().map(|it| score(it, &all, None)).collect()
}

/// The parts that have images, with the scores of every configuration.
pub(crate) fn slices(answers: &Answers<'_>, partition: &Partition) -> Vec<Slice> {
    let overall = overall(answers);
    let mut rows = vec![Vec::new(); partition.parts.len()];
    for (image, part) in partition.of.iter().enumerate() {
        if let Some(part) = part {
            rows[*part].push(image);
        }
    }
    let slice = |(name, rows): (&String, Vec<usize>)| {
        let whole = |at: usize| overall[at].map(|it| it.accuracy);
        let scores = answers.panels.iter().enumerate();
        let scores = scores.map(|(at, it)| score(it, &rows, whole(at))).collect();
        Slice { name: name.clone(), images: rows.len(), scores }
    };
    partition.parts.iter().zip(rows).filter(|it| !it.1.is_empty()).map(slice).collect()
}

/// The score on those of `images` of which every seed says something.
fn score<'a>(panel: &Panel<'a>, images: &[usize], whole: Option<f64>) -> Option<Score> {
    let seen: Vec<usize> = images
        .iter()
        .copied()
        .filter(|image| panel.seeds.iter().all(|it| it[*image].is_some()))
        .collect();
    let of_seed = |seed: &Vec<Option<&'a Prediction>>| -> Vec<&'a Prediction> {
        seen.iter().filter_map(|image| seed[*image]).collect()
    };
    let tables: Vec<Vec<&Prediction>> = panel.seeds.iter().map(of_seed).collect();
    let answers = seen.len() * panel.seeds.len();
    if answers == 0 {
        return None;
    }
    let right = tables.iter().flatten().filter(|it| it.is_right()).count();
    let accuracy = right as f64 / answers as f64;
    let interval = interval_of(&tables);
    let apart = interval.zip(whole).and_then(|([low, high], whole)| match () {
        () if low > whole => Some(Ordering::Greater),
        () if high < whole => Some(Ordering::Less),
        () => None,
    });
    Some(Score { accuracy, interval, apart })
}

/// Parts by class.
pub(crate) fn by_class(answers: &Answers<'_>, classes: &[String]) -> Partition {
    let of = answers.images.iter().map(|it| Some(it.truth)).collect();
    Partition { name: "Class".into(), parts: classes.to_vec(), of }
}

/// Two parts: what is so and what is not.
pub(crate) fn by_whether(name: &str, parts: [&str; 2], is: &[Option<bool>]) -> Partition {
    let of = is.iter().map(|it| it.map(|it| usize::from(!it))).collect();
    Partition { name: name.into(), parts: parts.map(str::to_owned).to_vec(), of }
}

/// Thirds of the images by a number between 0 and 255; none where the numbers are too much alike.
pub(crate) fn by_brightness(levels: &[Option<f32>]) -> Option<Partition> {
    let mut known: Vec<f32> = levels.iter().flatten().copied().collect();
    known.sort_by(f32::total_cmp);
    let bound = |third: usize| known.get(known.len() * third / 3).copied();
    let (first, second) = (bound(1)?, bound(2)?);
    let of = |it: f32| usize::from(it >= first) + usize::from(it >= second);
    let all_used = first < second && known.first().is_some_and(|it| *it < first);
    let parts = vec![
        format!("darkest third, below {first:.0}"),
        format!("middle third, {first:.0} to {second:.0}"),
        format!("brightest third, from {second:.0}"),
    ];
    let of = levels.iter().map(|it| it.map(of)).collect();
    all_used.then(|| Partition { name: "Mean gray level (0 to 255)".into(), parts, of })
}

/// Bands of the share of people who named the class that most named.
pub(crate) fn by_agreement(shares: &[Option<f64>]) -> Partition {
    let band = |it: f64| match it {
        ..0.6 => 0,
        0.6..0.8 => 1,
        0.8..1.0 => 2,
        _ => 3,
    };
    let parts = ["under 60 % of the votes", "60 to 79 %", "80 to 99 %", "all votes"];
    let of = shares.iter().map(|it| it.map(band)).collect();
    let parts = parts.map(str::to_owned).to_vec();
    Partition { name: "FER+ votes for the most named class".into(), parts, of }
}

/// The largest groups of images, such as persons; none where fewer than two are known.
pub(crate) fn by_group(groups: &[Option<&str>]) -> Option<Partition> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for it in groups.iter().flatten().filter(|it| !it.is_empty()) {
        *counts.entry(it).or_default() += 1;
    }
    let all = counts.len();
    let mut largest: Vec<_> = counts.into_iter().collect();
    largest.sort_by_key(|it| std::cmp::Reverse(it.1));
    largest.truncate(MOST_GROUPS);
    let place = |name: &&str| largest.iter().position(|it| it.0 == *name);
    let name = if all > largest.len() {
        format!("Group, the {} largest of {all}", largest.len())
    } else {
        "Group".to_owned()
    };
    let of = groups.iter().map(|it| it.as_ref().and_then(place)).collect();
    let parts = largest.iter().map(|it| it.0.to_owned()).collect();
    (all > 1).then_some(Partition { name, parts, of })
}

#[cfg(test)]
mod tests {
    use ferrite_core::metrics::statistics::wilson;

    use super::*;
    use crate::study::answers::tests::{answer, answers};

    /// A table of 100 images of two classes: the first class is right but for ten images, the second but for forty.
    fn table(shift: usize) -> Vec<Prediction> {
        let one = |it: usize| {
            let truth = it / 50;
            let wrong = (it + shift) % 50 < [5, 20][truth];
            answer(&it.to_string(), truth, if wrong { 2 } else { truth }, 0.6)
        };
        (0..100).map(one).collect()
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn one_seed_has_wilsons_interval_and_what_lies_apart_is_marked() {
        let tables = [vec![table(0)]];
        let all = answers(&tables);
        let found = slices(&all, &by_class(&all, &names()));
        assert_eq!(found.iter().map(|it| it.images).collect::<Vec<_>>(), [50, 50]);
        let scores: Vec<_> = found.iter().map(|it| it.scores[0].unwrap()).collect();
        assert_eq!([scores[0].accuracy, scores[1].accuracy], [0.9, 0.6]);
        assert_eq!(scores[0].interval, wilson(45, 50));
        assert_eq!(scores[0].apart, Some(Ordering::Greater));
        assert_eq!(scores[1].apart, Some(Ordering::Less));
        assert_eq!(overall(&all)[0].unwrap().accuracy, 0.75);
    }

    #[test]
    fn several_seeds_have_the_interval_over_seeds_and_images() {
        let tables = [vec![table(0), table(3), table(11)]];
        let all = answers(&tables);
        let found = slices(&all, &by_class(&all, &names()));
        let score = found[1].scores[0].unwrap();
        let [low, high] = score.interval.unwrap();
        // Mean squares 0, 0.4354 and 0.1497 by NumPy; t with 16.93 degrees by SciPy (docs/statistics.md).
        let expected = [0.486_296_040_129_041_2, 0.713_703_959_870_958_7];
        assert!((score.accuracy - 0.6).abs() < 1e-12);
        assert!(
            (low - expected[0]).abs() < 1e-9 && (high - expected[1]).abs() < 1e-9,
            "{low} {high}"
        );
    }

    #[test]
    fn where_all_seeds_agree_on_every_image_only_their_number_counts() {
        let tables = [vec![table(0), table(0)]];
        let all = answers(&tables);
        let wrong = by_whether("x", ["wrong", "right"], &[Some(true); 5]);
        let found = slices(&all, &wrong);
        let score = found[0].scores[0].unwrap();
        assert_eq!((score.accuracy, score.interval), (0.0, wilson(0, 5)));
    }

    #[test]
    fn parts_go_by_bounds_that_are_told() {
        let levels: Vec<_> = (0..9).map(|it| Some(it as f32 * 10.0)).chain([None]).collect();
        let parts = by_brightness(&levels).unwrap();
        assert_eq!(parts.parts[1], "middle third, 30 to 60");
        let expected = [0, 0, 0, 1, 1, 1, 2, 2, 2];
        assert_eq!(parts.of[..9], expected.map(Some));
        assert_eq!(parts.of[9], None);
        assert_eq!(by_brightness(&[Some(7.0); 30]), None, "all alike");
        let bands = by_agreement(&[Some(0.5), Some(0.6), Some(0.9), Some(1.0), None]);
        assert_eq!(bands.of, [Some(0), Some(1), Some(2), Some(3), None]);
    }

    #[test]
    fn the_largest_groups_are_shown_and_one_group_is_none() {
        let names: Vec<String> = (0..20).map(|it| format!("p{it}")).collect();
        let of = |it: usize| Some(names[it % 20].as_str());
        let groups: Vec<_> = (0..100).map(of).chain([Some("p7"), Some(""), None]).collect();
        let parts = by_group(&groups).unwrap();
        assert_eq!((parts.parts.len(), parts.parts[0].as_str()), (12, "p7"));
        assert_eq!(parts.name, "Group, the 12 largest of 20");
        assert_eq!((parts.of[101], parts.of[102]), (None, None));
        assert_eq!(by_group(&[Some("only"), Some("")]), None);
    }
}
