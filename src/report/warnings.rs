//! What the runs of a report warn of, near the top of its pages.

use ferrite_core::store::record::Record;
use ferrite_core::warning::{Fact, Watch};
use maud::{Markup, html};

use crate::report::page::{prose, swatch};
use crate::report::study::Study;

/// How many warnings a page shows without being asked.
const SHOWN: usize = 5;

/// What `record` knows that may give a reason to doubt, in the order in which it happened.
fn facts(record: &Record) -> impl Iterator<Item = Fact<'_>> {
    let facts = &record.facts;
    let before = facts.start.iter().map(Fact::Start);
    let before = before.chain(facts.weights.iter().map(Fact::Weights));
    let before = before.chain(facts.faces.iter().map(Fact::Faces));
    let before = before.chain(facts.noise.iter().map(Fact::Noise));
    before.chain(facts.stages.iter().flat_map(|it| {
        let augmentation = it.augmentation.iter().map(Fact::Augmentation);
        let epochs = it.epochs.iter().map(Fact::Epoch);
        augmentation.chain(epochs).chain(it.end.iter().map(Fact::StageEnd))
    }))
}

/// The warnings of one run.
pub(super) fn of_run(record: &Record) -> Option<Markup> {
    let mut watch = Watch::default();
    let warnings = facts(record).flat_map(|it| watch.see(it));
    list(warnings.map(|it| prose(&it.message)).collect())
}

/// The warnings of all runs, each once for a configuration.
pub(super) fn of_study(study: &Study<'_>) -> Option<Markup> {
    let mut lines = Vec::new();
    for configuration in &study.configurations {
        let mut watch = Watch::default();
        for run in &configuration.runs {
            let warnings = facts(run.record).flat_map(|it| watch.see(it));
            lines.extend(warnings.map(|it| {
                html! {
                    (swatch(configuration.style))
                    a href=(run.link()) { (configuration.label) } ": " (prose(&it.message))
                }
            }));
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
