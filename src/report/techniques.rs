//! What the techniques of a stage did, on the page of its run, and the weights it kept beside the last.

use maud::{Markup, html};
use toml::{Table, Value};

use crate::event::acts::{Clipped, Kept, Mixed};
use crate::event::{Evaluation, FINAL, Scores};
use crate::report::format;
use crate::store::record::{Record, Stage};

/// Settings that are techniques, with the word that means they are off; a number is off at 0.
const OFF: [(&str, &str); 7] = [
    ("warmup", ""),
    ("sampling", "shuffle"),
    ("mixup", ""),
    ("cutmix", ""),
    ("clip", ""),
    ("ema", ""),
    ("loss", ""),
];

/// Rows for the description of a stage: its techniques as written, and what they did.
pub(super) fn rows(record: &Record, stage: &Stage) -> Markup {
    let written = written(record, &stage.start.stage);
    let clipped: Vec<Clipped> = stage.epochs.iter().filter_map(|it| it.acts.clipped).collect();
    let mixed: Vec<Mixed> = stage.epochs.iter().filter_map(|it| it.acts.mixed).collect();
    let drawn = stage.epochs.iter().rev().find_map(|it| it.acts.drawn.as_ref());
    html! {
        @if !written.is_empty() {
            dt { "Techniques" } dd { @for (at, it) in written.iter().enumerate() {
                @if at > 0 { br; } code { (it) }
            } }
        }
        @if !mixed.is_empty() {
            dt { "Mixing" } dd {
                "on average " (format::small_percent(mean(&mixed, |it| it.other)))
                " of an image came from another one; "
                (format::small_percent(mean(&mixed, |it| it.cut))) " of the batches were cut, the others blended"
            }
        }
        @if let Some(counts) = drawn {
            dt { "Drawn in an epoch" } dd { (classes(record, counts)) }
        }
        @if !clipped.is_empty() {
            @let share = mean(&clipped, |it| it.share);
            dt { "Clipping" } dd {
                (format::small_percent(share)) " of the gradients were cut; before, their norm was "
                (format!("{:.3}", mean(&clipped, |it| it.norm))) " on average"
                @if share == 0.0 { p .warning { "The bound was never reached: expect no effect." } }
            }
        }
    }
}

fn mean<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    all.iter().map(of).sum::<f64>() / all.len() as f64
}

fn classes(record: &Record, counts: &[usize]) -> String {
    let names = record.facts.dataset.as_ref().map_or(&[][..], |it| it.classes.as_slice());
    let told = counts.iter().enumerate().map(|(at, count)| {
        let name = names.get(at).map_or("?", String::as_str);
        format!("{name} {}", format::count(*count))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// The techniques of the stage that are on, as `trial.toml` has them.
fn written(record: &Record, stage: &str) -> Vec<String> {
    let stages = record.settings.get("stages").and_then(Value::as_array);
    let named = |it: &&Table| it.get("name").and_then(Value::as_str) == Some(stage);
    let table = stages.into_iter().flatten().filter_map(Value::as_table).find(named);
    let on = |(key, off): &(&str, &str)| {
        let value = table?.get(*key)?;
        let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let zero = plain.parse::<f64>().is_ok_and(|it| it == 0.0);
        (!zero && plain != *off && !plain_loss(value)).then(|| format!("{key} = {value}"))
    };
    OFF.iter().filter_map(on).collect()
}

/// Whether this is the `loss` table of plain cross-entropy.
fn plain_loss(value: &Value) -> bool {
    let Some(table) = value.as_table() else { return false };
    table.get("class_weights").and_then(Value::as_str) == Some("none")
        && table.get("label_smoothing").and_then(Value::as_float) == Some(0.0)
}

/// The final weights and those kept under other metrics, each with its own scores, so that nobody takes
/// one's for the other's. None where only the final ones were kept.
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
    let split = test.map_or("test", |it| it.split.as_str());
    let scores = |it: Option<Scores>| {
        let shown = |of: fn(&Scores) -> f64, form: fn(f64) -> String| {
            it.as_ref().map_or_else(|| format::NOTHING.into(), |it| form(of(it)))
        };
        html! { td .num { (shown(|it| it.loss, format::score)) } td .num { (shown(|it| it.accuracy, format::percent)) } }
    };
    Some(html! {
        div .card {
            h3 { "Weights that were kept" }
            div .scroll { table .compact {
                thead { tr {
                    th { "Weights" } th { "Why" } th .num { "Epoch" }
                    th .num { "Valid loss" } th .num { "accuracy" }
                    th .num { (split) " loss" } th .num { "accuracy" }
                } }
                tbody { @for (name, why, epoch, test) in &rows { tr {
                    th scope="row" { code { (name) } } td { (why) } td .num { (epoch) }
                    (scores(last.epochs.iter().find(|it| it.epoch == *epoch).map(|it| it.valid)))
                    (scores(test.map(|it| it.scores)))
                } } }
            } }
            p .note { "Scores elsewhere on this page and in the study are those of the final weights." }
        }
    })
}
