//! What the runs of a report warn of, near the top of its pages.

use maud::{Markup, html};

use crate::report::page::{prose, swatch};
use crate::report::study::Study;
use crate::store::record::Record;
use crate::warning::{self, Warning};

/// How many warnings a page shows without being asked.
const SHOWN: usize = 5;

/// Everything that `record` warns of. Whoever has a new reason to doubt adds it here and in [`warning::of`].
fn of(record: &Record) -> Vec<Warning> {
    let precision = record.facts.start.iter().filter_map(warning::precision);
    let noise = record.facts.noise.iter().filter_map(warning::noise);
    let augmented = record.facts.stages.iter().filter_map(|it| it.augmentation.as_ref());
    // The first epoch with such a step speaks for the others of its stage.
    let stages = record.facts.stages.iter();
    let weightless = stages.filter_map(|it| it.epochs.iter().find_map(warning::class_weights));
    let augmented = augmented.filter_map(warning::augmentation);
    precision.chain(noise).chain(augmented).chain(weightless).collect()
}

/// The warnings of one run.
pub(super) fn of_run(record: &Record) -> Option<Markup> {
    list(of(record).iter().map(|it| prose(&it.message)).collect())
}

/// The warnings of all runs, each once for a configuration.
pub(super) fn of_study(study: &Study<'_>) -> Option<Markup> {
    let mut lines = Vec::new();
    for configuration in &study.configurations {
        let mut told: Vec<String> = Vec::new();
        for run in &configuration.runs {
            for it in of(run.record) {
                if told.contains(&it.about) {
                    continue;
                }
                lines.push(html! {
                    (swatch(configuration.style))
                    a href=(run.link()) { (configuration.label) } ": " (prose(&it.message))
                });
                told.push(it.about);
            }
        }
    }
    list(lines)
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
