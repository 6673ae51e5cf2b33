//! What two configurations ran on.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use crate::report::files::read;
use crate::report::page::{lead, scroll};
use crate::study::Configuration;
use crate::study::contrast::Contrast;

/// What the two ran on, as far as it differs, and the keys of their runs.
pub(super) fn environment(it: &Contrast<'_, '_>) -> Markup {
    let known: Vec<_> =
        it.places.iter().map(|it| (it.name.to_owned(), it.values.clone())).collect();
    let files = it.sides.map(written);
    let names: BTreeSet<&String> = files.iter().flat_map(BTreeMap::keys).collect();
    let value = |side: usize, name: &String| files[side].get(name).cloned().unwrap_or_default();
    let more = names.into_iter().map(|name| (name.clone(), [value(0, name), value(1, name)]));
    let rows: Vec<_> = known.into_iter().chain(more).filter(|it| it.1[0] != it.1[1]).collect();
    let keys = it.sides.map(|side| {
        let starts = side.trained().filter_map(|it| it.record.facts.start.as_ref());
        starts.map(|it| it.key.chars().take(8).collect::<String>()).collect::<Vec<_>>().join(", ")
    });
    html! {
        @if rows.is_empty() { (lead("Both ran on the same machine, device, versions and precision, as far as their runs say.")) }
        @else { (lead("What the runs of the two sides do not have in common.")) }
        (scroll("What they ran on", html! { table .pair .two .compact {
            thead { tr { th scope="col" { "What" } th scope="col" { "A" } th scope="col" { "B" } } }
            tbody {
                @for (name, [a, b]) in &rows { tr { th scope="row" { (name) } td { bdi { (a) } } td { bdi { (b) } } } }
                tr { th scope="row" { "keys of the runs" } @for it in &keys { td { code { (it) } } } }
            }
        } }))
    }
}

/// What the environments of a side's runs say beside what every log says, each value once.
fn written(side: &Configuration<'_>) -> BTreeMap<String, String> {
    const TOLD: [&str; 3] = ["ferrite", "device", "threads"];
    let mut all = BTreeMap::<String, BTreeSet<String>>::new();
    for (name, value) in side.trained().flat_map(|it| read(it.record).environment) {
        if !TOLD.contains(&name.as_str()) {
            all.entry(name).or_default().insert(value);
        }
    }
    let joined = |it: BTreeSet<String>| it.into_iter().collect::<Vec<_>>().join(", ");
    all.into_iter().map(|(name, values)| (name, joined(values))).collect()
}
