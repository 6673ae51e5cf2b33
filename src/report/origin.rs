//! Where a page's numbers come from: when and on which machine the runs trained, with which Ferrite, on which images.

use std::collections::BTreeSet;

use ferrite_core::digits::counted;
use ferrite_core::event::split::SplitName;
use ferrite_core::store::record::Record;
use maud::{Markup, html};
use toml::{Table, Value};

use crate::format;
use crate::report::files::environment;
use crate::study::Study;
use ferrite_core::config::flat::plain;

/// How many hosts, versions or sources are named before only their number is told.
const MOST: usize = 3;

/// How many digits of a commit are shown.
const COMMIT: usize = 7;

/// The line in the head of the page of `study`; none where no run has begun.
pub(super) fn of_study(study: &Study<'_>) -> Option<Markup> {
    let records: Vec<&Record> = study.runs().map(|it| it.record).collect();
    let began = records.iter().map(|it| it.began_ms);
    let (first, last) = (began.clone().min()?, began.max()?);
    let [first, last] = [first, last].map(format::moment);
    let when =
        if first == last { format!("on {first}") } else { format!("between {first} and {last}") };
    Some(line(&format!("The runs began {when}"), &records))
}

/// The line in the head of the page of a run.
pub(super) fn of_run(record: &Record) -> Markup {
    line(&format!("The run began on {}", format::moment(record.began_ms)), &[record])
}

fn line(began: &str, records: &[&Record]) -> Markup {
    let environments: Vec<_> = records.iter().map(|it| environment(it)).collect();
    let of = |key: &str| {
        let found = environments.iter().flatten().filter(|it| it.0 == key);
        found.map(|it| it.1.clone()).collect::<BTreeSet<_>>()
    };
    let commits = of("commit").into_iter().map(|it| it.chars().take(COMMIT).collect()).collect();
    let starts = records.iter().filter_map(|it| it.facts.start.as_ref());
    let versions: BTreeSet<String> = starts.map(|it| it.ferrite.clone()).collect();
    let sources: BTreeSet<String> =
        records.iter().filter_map(|it| Some(source(&it.settings)?.short())).collect();
    html! {
        p .origin {
            (began)
            @if let Some(it) = told(&of("host"), "host") { " on " (it) }
            @if let Some(it) = told(&versions, "version") {
                ", with Ferrite " (it)
                @if let Some(it) = told(&commits, "commit") { " (commit " (it) ")" }
            }
            ". "
            @if let Some(it) = told(&sources, "data source") { "Images: " (it) "." }
        }
    }
}

/// The few of `all`, or how many there are; none where there are none.
fn told(all: &BTreeSet<String>, noun: &str) -> Option<Markup> {
    match all.len() {
        0 => None,
        1..=MOST => Some(html! {
            @for (at, it) in all.iter().enumerate() { @if at > 0 { ", " } bdi { (it) } }
        }),
        n => Some(html! { (counted(n, noun)) }),
    }
}

/// What images are read from, as the settings say it.
struct Source<'a> {
    kind: &'a str,
    /// What belongs to it, such as its path.
    settings: Vec<(&'a str, &'a Value)>,
}

impl Source<'_> {
    /// The kind and its names and paths, which tell one source from another at a glance.
    fn short(&self) -> String {
        let named = self.settings.iter().filter_map(|(key, value)| Some((key, value.as_str()?)));
        let all: Vec<_> = named.map(|(key, value)| format!("{key} {value}")).collect();
        if all.is_empty() {
            self.kind.into()
        } else {
            format!("{} ({})", self.kind, all.join(", "))
        }
    }
}

/// The source of the images under `settings`, without its classes, which have a table of their own.
fn source(settings: &Table) -> Option<Source<'_>> {
    let (kind, inside) = settings.get("data")?.get("source")?.as_table()?.iter().next()?;
    let own = inside.as_table().into_iter().flatten().filter(|it| it.0 != "classes");
    Some(Source { kind, settings: own.map(|(key, value)| (key.as_str(), value)).collect() })
}

fn readable(value: &Value) -> String {
    value.as_str().map_or_else(|| plain(&value.to_string()).to_owned(), str::to_owned)
}

/// Rows of a description: the source and how it was split.
pub(super) fn rows(settings: &Table) -> Markup {
    let data = |key: &str| settings.get("data")?.get(key);
    let split = data("split").and_then(Value::as_table);
    html! {
        @if let Some(it) = source(settings) {
            dt { "Source" }
            dd { code { (it.kind) }
                @for (key, value) in &it.settings { ", " (key) " " code { (readable(value)) } }
            }
        }
        @if let Some(limit) = data("limit") {
            dt { "Limit" } dd { "at most " (readable(limit)) " training images, the other splits reduced by the same factor" }
        }
        @if let Some(it) = split { dt { "Splits" } dd { (parts(it)) } }
    }
}

/// What each split is of: a split that the source names, or a fraction that a seed draws.
fn parts(split: &Table) -> Markup {
    let together = split.get("groups") == Some(&Value::Boolean(true));
    html! {
        @match split.get("folds") {
            Some(folds) => (dealt(split, folds)),
            None => (named_or_drawn(split)),
        }
        @if together { "; no group (person, video) is in two parts" }
    }
}

/// What the parts of a trial of a cross-validation are.
fn dealt(split: &Table, folds: &Value) -> Markup {
    let share = |part: &Value| match part {
        Value::Float(it) => format!("{} of the images outside of it", format::small_percent(*it)),
        other => readable(other),
    };
    html! {
        @match split.get("fold") {
            Some(fold) => { "test is fold " (readable(fold)) " of " (readable(folds)) }
            None => { "each of " (readable(folds)) " folds is the test once" }
        }
        @if let Some(pool) = split.get("train") { " of " code { (readable(pool)) } }
        @if let Some(valid) = split.get("valid") { ", valid is " (share(valid)) }
        @if let Some(seed) = split.get("seed") { ", drawn with seed " (readable(seed)) }
    }
}

fn named_or_drawn(split: &Table) -> Markup {
    let all: Vec<_> = SplitName::ALL
        .iter()
        .filter_map(|it| Some((it.as_str(), split.get(it.as_str())?)))
        .collect();
    let draws = all.iter().any(|it| !it.1.is_str());
    html! {
        @for (at, (name, part)) in all.iter().enumerate() {
            @if at > 0 { ", " }
            (name) " is "
            @match part {
                Value::String(it) => { code { (it) } }
                Value::Float(it) => { (format::small_percent(*it)) }
                other => { (readable(other)) }
            }
        }
        @if draws { @if let Some(seed) = split.get("seed") { ", drawn with seed " (readable(seed)) } }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::report::example::many;
    use crate::report::tests::in_study;
    use crate::study::splits::in_source;

    #[test]
    fn the_head_of_a_page_says_when_where_with_what_and_on_which_images() {
        in_study(|runs| {
            let records = many(runs, 2);
            let text = of_run(&records[0]).into_string();
            assert!(text.contains("The run began on 2025-11-24 "), "{text}");
            assert!(text.contains("with Ferrite <bdi>0.1.0</bdi>. Images: "), "{text}");
            assert!(text.contains("fer2013 (csv data/fer2013.csv)") && !text.contains(" on <bdi>"));
            for (record, host) in records.iter().zip(["laptop", "<b>"]) {
                fs::create_dir_all(&record.folder).unwrap();
                let text = format!(r#"{{"host":"{host}","commit":"c0ffee0123456789"}}"#);
                fs::write(record.folder.join("environment.json"), text).unwrap();
            }
            let study = Study::of(&records, &[], runs);
            let text = of_study(&study).unwrap().into_string();
            assert!(text.contains(" on <bdi>&lt;b&gt;</bdi>, <bdi>laptop</bdi>, with"), "{text}");
            assert!(text.contains("(commit <bdi>c0ffee0</bdi>)"), "{text}");
            assert!(of_study(&Study::of(&[], &[], runs)).is_none());
        });
    }

    /// The rows of a data card without their elements.
    fn told(settings: &str) -> String {
        let rows = rows(&settings.parse().unwrap()).into_string();
        let text = rows.replace("<dt>", "|").replace("</dt>", ": ");
        text.split('<').map(|it| it.split_once('>').map_or(it, |it| it.1)).collect()
    }

    #[test]
    fn splits_are_called_as_the_source_calls_them() {
        let named = "[data]\nlimit = 3000\nsource = { fer2013 = { csv = 'fer.csv' } }\n\
                     split = { train = 'Training', valid = 'PublicTest', test = 'PrivateTest', seed = 0 }";
        let source = "|Source: fer2013, csv fer.csv";
        let limit =
            "|Limit: at most 3000 training images, the other splits reduced by the same factor";
        let splits = "|Splits: train is Training, valid is PublicTest, test is PrivateTest";
        assert_eq!(told(named), [source, limit, splits].concat());
        let drawn = "[data]\nsource = { folder = { path = 'faces', classes = ['a', 'b'] } }\n\
                     split = { train = 0.5, valid = 0.15, test = 'held-out', seed = 7 }";
        let splits = "train is 50.0 %, valid is 15.0 %, test is held-out, drawn with seed 7";
        assert_eq!(told(drawn), format!("|Source: folder, path faces|Splits: {splits}"));
        let dealt = "[data]\nsource = { folder = { path = 'faces', classes = ['a', 'b'] } }\n\
                     split = { valid = 0.15, seed = 0, folds = 5, fold = 2, groups = true }";
        let splits = "test is fold 2 of 5, valid is 15.0 % of the images outside of it, drawn with seed 0; \
                      no group (person, video) is in two parts";
        assert_eq!(told(dealt), format!("|Source: folder, path faces|Splits: {splits}"));
        assert_eq!(told(""), "");
        let mut record =
            crate::report::example::records(std::path::Path::new("runs")).swap_remove(0);
        let mut calls = |settings: &str| {
            record.settings = settings.parse().unwrap();
            ["valid", "test"].map(|split| in_source(&record, split).map(str::to_owned))
        };
        assert_eq!(calls(named), ["PublicTest", "PrivateTest"].map(|it| Some(it.into())));
        assert_eq!(calls(drawn), [None, Some("held-out".into())]);
    }
}
