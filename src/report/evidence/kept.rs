//! The weights that a run kept, each with its own scores, so that nobody takes one's for the other's.

use ferrite_core::event::acts::Kept;
use ferrite_core::event::{Evaluation, FINAL, Scores};
use ferrite_core::store::record::Record;
use maud::{Markup, html};

use crate::format;
use crate::report::figures::split_name;
use crate::report::page::scroll;

/// A card of the final weights and those kept under other metrics; none where only the final ones were kept.
pub(super) fn kept_weights(record: &Record) -> Option<Markup> {
    let last = record.facts.stages.last()?;
    let end = last.end.as_ref().filter(|it| !it.checkpoints.is_empty())?;
    let why = |it: &Kept| format!("best {}", it.monitor);
    let named = end.checkpoints.iter().map(|it| {
        let test = record.facts.others.iter().find(|other| other.weights == it.monitor);
        (it.monitor.as_str(), why(it), it.epoch, test)
    });
    let test = record.facts.evaluation.as_ref();
    let first = (FINAL, "what the run ends with".into(), end.kept_epoch, test);
    let rows: Vec<(&str, String, usize, Option<&Evaluation>)> =
        std::iter::once(first).chain(named).collect();
    let split = split_name(test.map_or("test", |it| it.split.as_str()));
    let scores = |it: Option<Scores>| {
        let shown = |of: fn(&Scores) -> f64, form: fn(f64) -> String| {
            it.as_ref().map_or_else(|| format::NOTHING.into(), |it| form(of(it)))
        };
        html! { td .num { (shown(|it| it.loss, format::score)) } td .num { (shown(|it| it.accuracy, format::percent)) } }
    };
    let table = html! {
        table .compact {
            thead { tr {
                th { "Weights" } th { "Why" } th .num { "Epoch" }
                th .num { "Validation loss" } th .num { "Validation accuracy" }
                th .num { (split) " loss" } th .num { (split) " accuracy" }
            } }
            tbody { @for (name, why, epoch, test) in &rows { tr {
                th scope="row" { code { (name) } } td { (why) } td .num { (epoch) }
                (scores(last.epochs.iter().find(|it| it.epoch == *epoch).map(|it| it.valid)))
                (scores(test.map(|it| it.scores)))
            } } }
        }
    };
    Some(html! {
        div .card {
            h3 { "Weights that were kept" }
            (scroll("Weights that were kept", table))
            p .note { "Scores elsewhere on this page and in the study are those of the final weights." }
        }
    })
}
