//! What the runs of a report warn of, near the top of its pages.

use ferrite_core::store::record::Record;
use ferrite_core::warning::Watch;
use maud::{Markup, html};

use crate::report::page::{prose, swatch};
use crate::report::plot::Style;
use crate::study::Study;

/// How many warnings a page shows without being asked.
const SHOWN: usize = 3;

/// The warnings of one run.
pub(super) fn of_run(record: &Record) -> Option<Markup> {
    let mut watch = Watch::default();
    let warnings = record.facts.warnings(&mut watch);
    list(warnings.iter().map(|it| prose(&it.message)).collect())
}

/// The warnings of all runs, each once, with the configurations that it is about. Those about few come first: what most
/// have in common hides what one has.
pub(super) fn of_study(study: &Study<'_>) -> Option<Markup> {
    let mut all: Vec<(String, Vec<Markup>)> = Vec::new();
    for configuration in &study.configurations {
        let mut watch = Watch::default();
        for run in configuration.trained() {
            for warning in run.record.facts.warnings(&mut watch) {
                let of = html! {
                    (swatch(Style(configuration.position)))
                    a href=(run.link()) { bdi { (configuration.label) } }
                };
                match all.iter_mut().find(|it| it.0 == warning.message) {
                    Some(known) => known.1.push(of),
                    None => all.push((warning.message, vec![of])),
                }
            }
        }
    }
    all.sort_by_key(|it| it.1.len());
    let line = |(message, of): (String, Vec<Markup>)| {
        html! {
            @for (at, it) in of.iter().enumerate() { @if at > 0 { ", " } (it) }
            ": " (prose(&message))
        }
    };
    list(all.into_iter().map(line).collect())
}

fn list(lines: Vec<Markup>) -> Option<Markup> {
    let title =
        if lines.len() == 1 { "Warning".into() } else { format!("{} warnings", lines.len()) };
    (!lines.is_empty()).then(|| {
        html! {
            details .warning .warnings open[lines.len() <= SHOWN] {
                summary { (title) }
                ul { @for it in &lines { li { (it) } } }
            }
        }
    })
}
