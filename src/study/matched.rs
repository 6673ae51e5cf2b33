//! Which runs and which images two configurations have in common: what can be compared at all.

use std::collections::HashMap;

use ferrite_core::metrics::Prediction;

use crate::study::{Configuration, Run};

/// The finished runs of both, seed by seed.
pub(crate) fn common<'r, 'a>(
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

/// The predictions of `pairs`, the first's before the second's.
pub(crate) fn tables<'a>(pairs: &[(&Run<'a>, &Run<'a>)]) -> Vec<&'a [Prediction]> {
    pairs.iter().flat_map(|it| [it.0, it.1]).map(|it| it.record.predictions.as_slice()).collect()
}

/// The predictions of each table on the images that are in all `tables`, in the order of the first; none if there is no such
/// image, or if an image has another label in another table.
pub(crate) fn on_common_images<'p>(
    tables: &[&'p [Prediction]],
) -> Option<Vec<Vec<&'p Prediction>>> {
    let (first, others) = tables.split_first()?;
    let aligned = |it: &&[Prediction]| {
        let same = |(a, b): (&Prediction, &Prediction)| a.id == b.id && a.truth == b.truth;
        it.len() == first.len() && it.iter().zip(*first).all(same)
    };
    if !first.is_empty() && others.iter().all(aligned) {
        return Some(tables.iter().map(|it| it.iter().collect()).collect());
    }
    let by_id = tables.iter().map(|it| it.iter().map(|it| (it.id.as_str(), it)).collect());
    let maps: Vec<HashMap<&str, &'p Prediction>> = by_id.collect();
    let kept: Vec<_> =
        first.iter().filter(|it| maps.iter().all(|map| map.contains_key(&*it.id))).collect();
    let labels_agree = |it: &&Prediction| maps.iter().all(|map| map[&*it.id].truth == it.truth);
    if kept.is_empty() || !kept.iter().all(labels_agree) {
        return None;
    }
    let of = |map: &HashMap<&str, &'p Prediction>| kept.iter().map(|it| map[&*it.id]).collect();
    Some(maps.iter().map(of).collect())
}
