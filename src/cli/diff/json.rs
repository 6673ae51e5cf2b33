//! What two configurations differ in, for programs (docs/json.md).

use std::path::Path;

use ferrite_core::metrics::statistics::crossed::Estimate;
use ferrite_core::store::read::Runs;
use serde_json::{Value, json};

use crate::cli::scores::stat;
use crate::cli::status::damaged_json;
use crate::cli::status::json::epoch_json;
use crate::cli::status::progress::epochs;
use crate::study::Configuration;
use crate::study::comparison::Verdict;
use crate::study::contrast::classes::{Classes, RatioChange};
use crate::study::contrast::images::{Images, Seen, Sides};
use crate::study::contrast::scores::{Difference, Score};
use crate::study::contrast::{Contrast, Matched};
use crate::study::pairs::Departure;

pub(super) fn to_json(it: &Contrast<'_, '_>, runs: &Runs, page: Option<&Path>) -> Value {
    let [a, b] = it.sides;
    let matched = it.matched.as_ref().ok();
    let places =
        it.places.iter().map(|it| json!({ "name": it.name, "a": it.values[0], "b": it.values[1] }));
    json!({
        "same": false,
        "in_words": it.in_words(),
        "a": side(a),
        "b": side(b),
        "settings": it.settings.iter().map(setting).collect::<Vec<_>>(),
        "comparison": matched.map(comparison),
        "obstacle": it.matched.as_ref().err().map(crate::study::contrast::Obstacle::words),
        "common_seeds": it.common_seeds,
        "scores": it.scores.iter().map(score).collect::<Vec<_>>(),
        "classes": it.classes.as_ref().map(classes),
        "confusion": it.classes.as_ref().map(confusion),
        "images": matched.map(|matched| images(&matched.images, it.classes.as_ref())),
        "ran_on": places.collect::<Vec<_>>(),
        "damaged": damaged_json(runs),
        "page": page,
    })
}

fn side(it: &Configuration<'_>) -> Value {
    let run = |it: &crate::study::Run<'_>| {
        json!({
            "run": it.record.name(),
            "seed": it.seed,
            "fold": it.fold().map(|it| it[0]),
            "state": it.record.state.word(),
            "seconds": it.record.seconds,
            "kept_epoch": it.record.facts.kept_epoch().map(|it| it.epoch),
            "epochs": epochs(it.record).map(epoch_json).collect::<Vec<_>>(),
        })
    };
    json!({
        "label": it.label,
        "experiment": it.experiment(),
        "about": it.about(),
        "runs": it.trained().map(run).collect::<Vec<_>>(),
    })
}

fn setting(it: &Departure<'_>) -> Value {
    json!({
        "setting": it.name(),
        "a": it.change.from,
        "b": it.change.to,
        "unit": it.unit,
        "technique": it.technique,
    })
}

fn comparison(it: &Matched<'_, '_>) -> Value {
    let compared = &it.comparison;
    let seeds = compared
        .seeds
        .iter()
        .map(|it| json!({ "seed": it.seed, "difference": it.difference, "mcnemar": it.mcnemar }));
    json!({
        "split": compared.split(),
        "images": compared.images,
        "by_groups": compared.clustered,
        "accuracies": compared.accuracies,
        "difference": compared.difference.mean,
        "interval": compared.difference.interval,
        "p": compared.p,
        "p_alone": compared.difference.p,
        "comparisons": it.family,
        "verdict": compared.verdict.words(),
        "seeds": seeds.collect::<Vec<_>>(),
    })
}

fn score(it: &Score) -> Value {
    let difference = it.difference.as_ref();
    let estimate = difference.and_then(|it: &Difference| it.estimate);
    json!({
        "score": it.key,
        "a": stat(it.stats[0]),
        "b": stat(it.stats[1]),
        "difference": difference.map(|it| it.mean),
        "interval": estimate.map(|it| it.interval),
        "p": estimate.map(|it| it.p),
        "by_chance": difference.map(|it| it.over.words()),
    })
}

fn classes(it: &Classes) -> Value {
    let ratio = |it: &RatioChange| {
        let interval = it.estimate.map(|it: Estimate| it.interval);
        let [a, b] = it.values;
        json!({ "a": a, "b": b, "difference": it.difference(), "interval": interval })
    };
    let class = |change: &crate::study::contrast::classes::ClassChange| {
        json!({
            "class": it.names[change.class],
            "images": change.images,
            "precision": ratio(&change.precision),
            "recall": ratio(&change.recall),
            "f1": ratio(&change.f1),
            "verdict": change.verdict.map(Verdict::words),
        })
    };
    it.changes.iter().map(class).collect()
}

fn confusion(it: &Classes) -> Value {
    let [a, b] = &it.confusions;
    json!({ "classes": it.names, "a": a.counts, "b": b.counts })
}

fn images(it: &Images<'_>, classes: Option<&Classes>) -> Value {
    let sides = |it: &Sides| json!({ "both": it.both, "a_alone": it.lost, "b_alone": it.gained, "neither": it.neither });
    let seed = |(seed, counts): &(String, Sides)| json!({ "seed": seed, "counts": sides(counts) });
    let name = |class: usize| classes.map(|it| it.names[class].as_str());
    let image = |it: &Seen<'_>| {
        json!({
            "id": it.id,
            "class": name(it.truth),
            "said": it.said.map(name),
            "seeds_right": it.right,
            "probability": it.probability,
        })
    };
    let changed = it.all.iter().filter(|it| it.right[0] != it.right[1]);
    json!({
        "seeds": it.seeds.iter().map(seed).collect::<Vec<_>>(),
        "all_seeds": sides(&it.sum),
        "most_seeds": sides(&it.majority),
        "changed": changed.map(image).collect::<Vec<_>>(),
    })
}
