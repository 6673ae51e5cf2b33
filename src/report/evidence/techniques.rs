//! What the techniques of a stage did, as far as no card of their own tells it: the rows of a stage's card.
//!
//! **Invariant:** what a technique did is measured and comes from the run's events; settings only say that it is on.

use ferrite_core::config::facts::Facts;
use ferrite_core::digits::thousands;
use ferrite_core::event::Epoch;
use ferrite_core::event::acts::TechniqueEvidence;
use ferrite_core::store::record::{Record, Stage};
use ferrite_core::warning;
use maud::{Markup, html};
use toml::Table;

use crate::format;
use crate::report::page::prose;
use ferrite_core::config::flat::flatten;
use ferrite_core::digits::counted;

/// What a technique did in a stage; none where nothing was measured, as in runs of older versions.
type Deed = fn(&Record, &Stage) -> Option<Markup>;

/// The techniques with a row, by the name that their settings give them.
const ROWS: [(&str, Deed); 14] = [
    ("optimizer", |_, it| optimizer(it)),
    ("weight decay", |_, it| weight_decay(it)),
    ("schedule", |_, it| schedule(it)),
    ("warm-up", |_, it| warmup(it)),
    ("clipping", |_, it| clipping(it)),
    ("moving average", |_, it| moving_average(it)),
    ("sampling", sampling),
    ("class weights", class_weights),
    ("label smoothing", |_, it| label_smoothing(it)),
    ("mixup", |_, it| mixing(it)),
    ("cutmix", |_, it| mixing(it)),
    ("dropout", |_, it| dropout(it)),
    ("input norm", |_, it| input_norm(it)),
    ("frozen batch norm", |_, it| frozen_norms(it)),
];

/// A setting that is on.
struct On {
    /// What its technique, and the group of that, are called.
    names: Vec<String>,
    /// The setting as written.
    written: String,
}

/// Rows for the description of a stage: each technique that is on as written, and what it did.
pub(super) fn rows(record: &Record, stage: &Stage) -> Markup {
    let on = settings_on(&record.settings, &stage.start.stage);
    let rows = ROWS.iter().filter_map(|(name, deed)| {
        let written = written(&on, name);
        (!written.is_empty()).then(|| (name, written, deed(record, stage)))
    });
    html! {
        @for (name, written, did) in rows {
            dt { (capital(name)) }
            dd {
                @for (at, it) in written.iter().enumerate() { @if at > 0 { ", " } code { (it) } }
                @if let Some(it) = did { br; (it) }
            }
        }
    }
}

fn capital(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

/// The settings that a stage trains under and that are not off: its own and those of no stage.
fn settings_on(settings: &Table, stage: &str) -> Vec<On> {
    let own = format!("stages.{stage}.");
    let on = |(key, value): (String, String)| {
        let setting = Facts::all().of(&key);
        let name = key.strip_prefix(&own).unwrap_or(&key);
        let elsewhere = name.starts_with("stages.");
        let names = setting.technique.iter().chain(&setting.group).map(|it| it.name.clone());
        let written = || format!("{name} = {value}");
        (!elsewhere && !setting.is_off(&value))
            .then(|| On { names: names.collect(), written: written() })
    };
    flatten(settings).into_iter().filter_map(on).collect()
}

/// The settings of a technique, or of a group of them, as written.
fn written<'a>(on: &'a [On], technique: &str) -> Vec<&'a str> {
    let its_own = on.iter().filter(|it| it.names.iter().any(|it| it == technique));
    its_own.map(|it| it.written.as_str()).collect()
}

/// What `of` finds in the epochs of a stage.
fn found<T>(stage: &Stage, of: impl Fn(&TechniqueEvidence) -> Option<T>) -> Vec<T> {
    stage.epochs.iter().filter_map(|it| of(&it.acts)).collect()
}

fn mean<T>(all: &[T], of: impl Fn(&T) -> f64) -> f64 {
    all.iter().map(of).sum::<f64>() / all.len() as f64
}

/// The first and the last epoch, of two at least.
fn ends(stage: &Stage) -> Option<[&Epoch; 2]> {
    let [first, .., last] = stage.epochs.as_slice() else { return None };
    Some([first, last])
}

fn rate(it: f64) -> String {
    format!("{it:.3e}")
}

fn optimizer(stage: &Stage) -> Option<Markup> {
    let losses = ends(stage)?.map(|it| format::score(it.train.loss));
    let muon = found(stage, |it| it.orthogonalized);
    Some(html! {
        "the training loss went from " (losses[0]) " in the first epoch to " (losses[1]) " in the last"
        @if let Some(it) = muon.first() {
            "; Muon trained " (thousands(it.values)) " values in "
            @if it.matrices == 1 { "1 matrix" } @else { (thousands(it.matrices)) " matrices" }
            ", AdamW the other " (thousands(it.others))
        }
    })
}

fn weight_decay(stage: &Stage) -> Option<Markup> {
    let norms = found(stage, |it| it.norm);
    let (first, last) = (norms.first()?, norms.last()?);
    Some(html! {
        "the L2 norm of what trains went from " (format!("{:.3}", first.before)) " to "
        (format!("{:.3}", last.after))
    })
}

fn schedule(stage: &Stage) -> Option<Markup> {
    let rates = ends(stage)?.map(|it| rate(it.lr));
    let falls = stage.epochs.windows(2).filter(|it| it[1].lr < it[0].lr).count();
    Some(html! {
        "the rate was " (rates[0]) " at the end of the first epoch and " (rates[1])
        " at the end of the last; it fell in " (counted(falls, "epoch"))
    })
}

fn warmup(stage: &Stage) -> Option<Markup> {
    let first = stage.epochs.first()?;
    let rising = stage.epochs.windows(2).take_while(|it| it[1].lr > it[0].lr).count();
    let highest = &stage.epochs[rising];
    Some(html! {
        "the rate rose from " (rate(first.lr)) " at the end of the first epoch to " (rate(highest.lr))
        " at the end of epoch " (highest.epoch)
    })
}

fn clipping(stage: &Stage) -> Option<Markup> {
    let clipped = found(stage, |it| it.clipped);
    let share = mean(&clipped, |it| it.share);
    (!clipped.is_empty()).then(|| {
        html! {
            (format::small_percent(share)) " of the gradients were cut; before, their norm was "
            (format!("{:.3}", mean(&clipped, |it| it.norm))) " on average"
            @if let Some(it) = warning::clipping(&stage.start.stage, &clipped) {
                p .warning { (prose(&it.message)) }
            }
        }
    })
}

fn moving_average(stage: &Stage) -> Option<Markup> {
    let distance = *found(stage, |it| it.averaged).last()?;
    Some(html! {
        "after the last epoch the averaged weights differed from the trained ones by "
        (format::small_percent(distance)) " of their norm"
    })
}

fn sampling(record: &Record, stage: &Stage) -> Option<Markup> {
    let drawn = found(stage, |it| it.drawn.clone());
    let counts = drawn.last()?.iter().map(|it| thousands(*it));
    Some(html! { "drawn in an epoch: " (by_class(record, counts)) })
}

fn class_weights(record: &Record, stage: &Stage) -> Option<Markup> {
    let weighed = found(stage, |it| it.weighed.clone());
    let shares = weighed.last()?.iter().map(|it| format::small_percent(*it));
    let weightless: usize = found(stage, |it| it.weightless).iter().sum();
    Some(html! {
        "shares of the loss: " (by_class(record, shares))
        @if weightless > 0 { "; " (counted(weightless, "step")) " learned nothing" }
    })
}

/// What is said of each class, behind its name.
fn by_class(record: &Record, said: impl Iterator<Item = String>) -> String {
    let names = record.facts.dataset.as_ref().map_or(&[][..], |it| it.classes.as_slice());
    let all = said.enumerate().map(|(at, said)| {
        let name = names.get(at).map_or("?", String::as_str);
        format!("{name} {said}")
    });
    all.collect::<Vec<_>>().join(", ")
}

fn label_smoothing(stage: &Stage) -> Option<Markup> {
    let least = *found(stage, |it| it.least_loss).first()?;
    let trained = stage.epochs.last()?.train.loss;
    Some(html! {
        "with such labels the loss cannot fall below " (format::score(least))
        "; in the last epoch it was " (format::score(trained))
    })
}

fn mixing(stage: &Stage) -> Option<Markup> {
    let mixed = found(stage, |it| it.mixed);
    (!mixed.is_empty()).then(|| {
        html! {
            "on average " (format::small_percent(mean(&mixed, |it| it.other)))
            " of an image came from another one; "
            (format::small_percent(mean(&mixed, |it| it.cut))) " of the batches were cut, the others blended"
        }
    })
}

fn dropout(stage: &Stage) -> Option<Markup> {
    let dropped = *found(stage, |it| it.dropped).first()?;
    Some(html! {
        (format::small_percent(dropped)) " of the head's values were set to 0, measured after the first epoch"
    })
}

fn input_norm(stage: &Stage) -> Option<Markup> {
    let it = *found(stage, |it| it.normalized).last()?;
    let number = |it: f64| format!("{it:.3}");
    Some(html! {
        "after the last epoch it made numbers of mean " (number(it.to.mean)) " and deviation " (number(it.to.std))
        " of pixels of mean " (number(it.from.mean)) " and deviation " (number(it.from.std))
    })
}

fn frozen_norms(stage: &Stage) -> Option<Markup> {
    let moved = found(stage, |it| it.moved);
    (!moved.is_empty()).then(|| {
        html! {
            "the running means of frozen layers moved by "
            (format::small_percent(mean(&moved, |it| *it))) " of their norm in an epoch"
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ferrite_core::config::facts::Technique;

    use super::*;

    /// Techniques and groups of them that are told elsewhere on a run's page, and where.
    const ELSEWHERE: [(&str, &str); 24] = [
        ("source", "data"),
        ("split", "data"),
        ("limit", "data"),
        ("labels", "data"),
        ("leakage", "data"),
        ("faces", "faces"),
        ("broken images", "data"),
        ("input size", "network"),
        ("backbone", "network"),
        ("implementation", "network"),
        ("pooling", "network, parameters of the head"),
        ("head layers", "network, parameters of the head"),
        ("head batch norm", "network, statistics of the head"),
        ("precision", "environment"),
        ("first weights", "first weights"),
        ("augmentation", "stage, shares and sheet"),
        ("noise", "noise"),
        ("freezing", "stage, trainable and frozen"),
        ("epochs", "stage, epochs"),
        ("batch size", "stage, steps of an epoch"),
        ("early stopping", "stage, ended"),
        ("checkpoints", "weights that were kept"),
        ("test-time views", "tile of the test accuracy"),
        ("cached views", "stage, frozen prefix"),
    ];

    #[test]
    fn every_technique_has_its_place_on_the_page_of_a_run() {
        let told = |it: &Technique| {
            let rows = ROWS.iter().map(|it| it.0);
            rows.chain(ELSEWHERE.iter().map(|it| it.0)).any(|name| name == it.name)
        };
        let untold: BTreeSet<&str> = Facts::all()
            .iter()
            .filter(|(_, it)| !it.technique.iter().chain(&it.group).any(told))
            .filter_map(|(_, it)| Some(it.technique.as_ref()?.name.as_str()))
            .collect();
        assert_eq!(untold, BTreeSet::new(), "give these a row in ROWS, or say where they are told");
    }

    #[test]
    fn what_is_off_has_no_row() {
        let on = settings_on(
            &"[model.head]\ndropout = 0.5\n[[stages]]\nname = 'a'\nmixup = 0.0\n\
              optimizer = { adam = { lr = 0.1, weight_decay = 0.0 } }\nwarmup = { epochs = 2 }"
                .parse()
                .unwrap(),
            "a",
        );
        let written = |technique| written(&on, technique).join(", ");
        assert_eq!(written("dropout"), "model.head.dropout = 0.5");
        assert_eq!(written("optimizer"), "optimizer.adam.lr = 0.1");
        assert_eq!(written("warm-up"), "warmup.epochs = 2");
        assert_eq!([written("mixup"), written("weight decay")], [""; 2]);
    }
}
