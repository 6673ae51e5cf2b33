//! Sections of a card that tell which images the model was trained and tested on, and how.

use ferrite_core::data::augment::Augment;
use ferrite_core::digits::{counted, thousands};
use ferrite_core::event::acts::Stop;
use ferrite_core::event::split::SplitName;
use ferrite_core::store::folder::files;
use ferrite_core::store::record::{Record, Stage};
use std::fmt::Write as _;
use toml::{Table, Value};

use crate::format::markdown;
use crate::report::card::origin::{self, code};
use crate::report::card::table;
use crate::study::Run;
use crate::study::splits::in_source;

/// What a split is: its name in the source, or the share that was drawn.
fn split_words(record: &Record, split: &str) -> String {
    if let Some(name) = in_source(record, split) {
        return format!("{} of the source", code(name));
    }
    let drawn =
        record.settings.get("data").and_then(|it| it.get("split")).and_then(|it| it.get(split));
    let from = in_source(record, "train").filter(|_| split != "train");
    let from = from.map_or_else(|| "all images".to_owned(), code);
    match drawn {
        Some(share) => format!("a share of {share} of {from}, drawn within each class"),
        None => "not told".into(),
    }
}

pub(super) fn evaluation_data(run: &Run<'_>) -> String {
    let record = run.record;
    let Some(it) = &record.facts.evaluation else { return "The model was not tested.".into() };
    let mut text = format!(
        "Split {}: {}, {}.",
        code(&it.split),
        split_words(record, &it.split),
        counted(it.images, "image")
    );
    if it.split == "valid" {
        text.push_str(
            " There is no test split: these images also chose the epoch, so that the scores are better than those on new images.",
        );
    } else {
        let _ = write!(
            text,
            " No epoch and no setting was chosen by these images within the run; the epoch was chosen by {} ({}).",
            code("valid"),
            split_words(record, "valid")
        );
    }
    if let Some(viewed) = &it.viewed {
        let _ = write!(
            text,
            " Probabilities are averaged over {} views of each image ({}).",
            viewed.count,
            code(&viewed.name)
        );
    }
    match &it.leak_free {
        Some(free) if free.images < it.images => {
            let n = thousands(it.images - free.images);
            let _ = write!(
                text,
                " {n} of them are pixel for pixel among the images that it, or weights before it, were trained on."
            );
        }
        Some(free) if !free.unknown => text.push_str(
            " None of them is pixel for pixel among the images that it, or weights before it, were trained on.",
        ),
        Some(_) => text.push_str(
            " None of them is pixel for pixel among its training images; what others trained the first weights on is not known \
             image by image.",
        ),
        None => {}
    }
    text
}

pub(super) fn training_data(run: &Run<'_>) -> String {
    let record = run.record;
    let source = origin::of_images(record);
    let mut text = format!("{} Licence: {}.", source.origin.what, source.origin.terms);
    text.extend(source.notes.map(|it| format!(" {it}")));
    let Some(it) = &record.facts.dataset else { return text };
    let _ =
        write!(text, "\n\nKey of the images as they were read and split: {}.\n\n", code(&it.key));
    let mut splits: Vec<_> = it.counts.iter().collect();
    splits.sort_by_key(|(name, _)| SplitName::position(name));
    let header: Vec<_> =
        ["class"].into_iter().chain(splits.iter().map(|it| it.0.as_str())).collect();
    let count =
        |counts: &[usize], at: usize| counts.get(at).map_or_else(String::new, |it| thousands(*it));
    let class = |(at, name): (usize, &String)| {
        [markdown(name)].into_iter().chain(splits.iter().map(|it| count(it.1, at))).collect()
    };
    let all = ["**all**".to_owned()]
        .into_iter()
        .chain(splits.iter().map(|it| thousands(it.1.iter().sum())));
    let rows: Vec<Vec<String>> =
        it.classes.iter().enumerate().map(class).chain([all.collect()]).collect();
    text.push_str(&table(&header, rows));
    text.push('\n');
    for (name, _) in &splits {
        let _ = writeln!(text, "- {}: {}", code(name), split_words(record, name));
    }
    if it.dropped > 0 {
        let _ = writeln!(
            text,
            "- {} with a twin in another split left out of training",
            counted(it.dropped, "image")
        );
    }
    if !it.skipped.is_empty() {
        let _ = writeln!(
            text,
            "- {} that could not be read left out",
            counted(it.skipped.len(), "image")
        );
    }
    for (why, n) in &it.unlabelled {
        let _ = writeln!(text, "- {} without a label: {}", counted(*n, "image"), markdown(why));
    }
    if let Some(audit) = &it.audit {
        let exact = &audit.exact;
        let _ = writeln!(
            text,
            "- {} of equal images, {} of them with labels that contradict each other",
            counted(exact.groups, "group"),
            exact.conflicting_groups
        );
    }
    text
}

pub(super) fn procedure(run: &Run<'_>) -> String {
    let rows = run.record.facts.stages.iter().map(|it| stage(run.record, it));
    let mut text = table(
        &[
            "stage",
            "parameters that train",
            "optimizer",
            "schedule",
            "batch",
            "epochs",
            "kept",
            "why it ended",
        ],
        rows,
    );
    let augment = run.record.settings.get("augment").and_then(Value::as_table);
    let off = Table::try_from(Augment::default()).expect("settings are TOML");
    let on = augment.into_iter().flatten().filter(|(key, value)| {
        let off = value.as_integer() == Some(0) || off.get(*key) == Some(value);
        !off && *key != "cached_views"
    });
    let on: Vec<_> = on.map(|(key, value)| code(&format!("{key} = {value}"))).collect();
    let said = if on.is_empty() { "none".to_owned() } else { on.join(", ") };
    let _ = write!(text, "\nAugmentation: {said}. Every setting stands in {}.", code(files::TRIAL));
    text
}

fn stage(record: &Record, it: &Stage) -> Vec<String> {
    let written = record.settings.get("stages").and_then(Value::as_array).and_then(|all| {
        all.iter().find(|table| table.get("name").and_then(Value::as_str) == Some(&it.start.stage))
    });
    let of = |key: &str| written.and_then(|it| it.get(key));
    let optimizer = match of("optimizer") {
        Some(Value::Table(table)) => {
            table.iter().next().map_or_else(String::new, |(name, table)| {
                let lr = table.get("lr").map_or_else(String::new, |it| format!(", rate {it}"));
                format!("{}{lr}", markdown(name))
            })
        }
        other => other.map_or_else(String::new, |it| markdown(it.as_str().unwrap_or_default())),
    };
    let schedule = match of("schedule") {
        Some(Value::Table(table)) => {
            table.keys().map(|it| markdown(it)).collect::<Vec<_>>().join(", ")
        }
        other => other.map_or_else(String::new, |it| markdown(it.as_str().unwrap_or_default())),
    };
    let kept = it.end.as_ref().map_or_else(String::new, |end| format!("epoch {}", end.kept_epoch));
    let why = match it.end.as_ref().map(|it| &it.why) {
        Some(Stop::Completed) => "all planned epochs were trained".to_owned(),
        Some(Stop::Early { monitor, patience, .. }) => {
            format!("{} got no better for {}", code(monitor), counted(*patience, "epoch"))
        }
        None => String::new(),
    };
    let trainable: usize = it.start.trainable.iter().map(|it| it.parameters).sum();
    vec![
        markdown(&it.start.stage),
        thousands(trainable),
        optimizer,
        schedule,
        of("batch_size").map_or_else(String::new, ToString::to_string),
        format!("{} of {}", it.epochs.len(), it.start.epochs),
        kept,
        why,
    ]
}
