//! What configurations are called, which of them can be ranked, and in which order.

use std::collections::BTreeMap;

use ferrite_core::config::facts::{Facts, Judges};

use crate::study::{Configuration, Run};
use ferrite_core::config::flat::{Flat, differences, plain, short_names};

/// A name for each configuration: its experiment and the settings that differ within it.
pub(super) fn labels(all: &[(&str, &Flat)]) -> Vec<String> {
    let mut by_experiment = BTreeMap::<&str, Vec<&Flat>>::new();
    for (experiment, settings) in all {
        by_experiment.entry(experiment).or_default().push(settings);
    }
    let label = |experiment: &str, settings: &[&Flat]| -> Vec<String> {
        let rows = differences(settings);
        let names = short_names(&rows.iter().map(|it| it.key.clone()).collect::<Vec<_>>());
        let said = |at: usize| {
            let pairs = rows.iter().zip(&names).filter_map(|(row, name)| {
                Some(format!(" · {name} {}", plain(row.values[at].as_ref()?)))
            });
            format!("{experiment}{}", pairs.collect::<String>())
        };
        (0..settings.len()).map(said).collect()
    };
    by_experiment.iter().flat_map(|(experiment, settings)| label(experiment, settings)).collect()
}

/// The settings that decide which images judge a configuration: source, split, limit and labels. A limit cuts validation
/// images by the same factor as training images, so with one even what decides only about these counts. Folds test every image
/// once, however many they are and however they were dealt.
pub(super) fn judged_on(settings: &Flat) -> Flat {
    let limited = settings.contains_key("data.limit");
    let crossed = settings.contains_key("data.split.folds") && !limited;
    let dealing = ["data.split.seed", "data.split.groups", "data.split.valid"];
    let decides = |key: &str, value: &str| {
        let setting = Facts::all().of(key);
        let judges = match setting.judges {
            Some(Judges::Always) => true,
            Some(Judges::WithLimit) => limited,
            None => false,
        };
        // Older runs do not name what was then the only choice.
        judges && !setting.is_off(value) && !(crossed && dealing.contains(&key))
    };
    let settings = settings.iter().filter(|(key, value)| decides(key, value));
    let told = |(key, value): (&String, &String)| match key.as_str() {
        "data.split.folds" if crossed => (key.clone(), "every image once".to_owned()),
        _ => (key.clone(), value.clone()),
    };
    settings.map(told).collect()
}

/// Marks the configurations that are judged on the same images as most others; those with a finished run decide, as long as
/// there are any. Scores on other images, as of a source task, say nothing against these.
pub(super) fn mark_comparable(configurations: &mut [Configuration<'_>]) {
    let mut counts = BTreeMap::<&Flat, (usize, usize)>::new();
    for it in configurations.iter() {
        let (finished, all) = counts.entry(&it.judged_on).or_default();
        *finished += usize::from(it.finished().next().is_some());
        *all += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(it, _)| it.clone());
    for it in configurations {
        it.comparable = most.as_ref() == Some(&it.judged_on);
    }
}

/// Sorts by mean validation accuracy, what is equal by name, and hands out ranks and colours.
pub(super) fn rank(configurations: &mut [Configuration<'_>]) {
    // Means of the same accuracies in another order may differ in their last bit. An image more or less makes a difference
    // of 1e-9 at the very least.
    const EQUAL: f64 = 1e-12;
    let score = |it: &Configuration<'_>| {
        let mean = it.stat(Run::valid_accuracy).map(|it| it.mean);
        mean.filter(|mean| mean.is_finite() && it.comparable).map(|it| (it / EQUAL).round())
    };
    configurations.sort_by(|a, b| {
        let by_score = match (score(a), score(b)) {
            (Some(a), Some(b)) => b.total_cmp(&a),
            (a, b) => b.is_some().cmp(&a.is_some()),
        };
        by_score.then_with(|| a.label.cmp(&b.label))
    });
    let scores: Vec<Option<f64>> = configurations.iter().map(score).collect();
    let mut rank = 0;
    for (at, it) in configurations.iter_mut().enumerate() {
        let (before, next) = (at.checked_sub(1).map(|it| scores[it]), scores.get(at + 1));
        if before != Some(scores[at]) {
            rank = at + 1;
        }
        it.rank = scores[at].map(|_| rank);
        it.shares_rank = it.rank.is_some() && (rank < at + 1 || next == Some(&scores[at]));
        it.position = at;
    }
}
