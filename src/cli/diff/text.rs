//! What two configurations differ in, for people: no line is wider than 80 columns.

use std::fmt::Write as _;

use ferrite_core::digits::counted;
use ferrite_core::error::printable;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::store::record::Record;

use crate::cli::status::progress::epochs;
use crate::cli::table::{Column, Table, sparkline, wrapped};
use crate::format;
use crate::study::comparison::Verdict;
use crate::study::contrast::Contrast;
use crate::study::contrast::classes::{Classes, RatioChange};
use crate::study::contrast::images::{Images, Sides};
use crate::study::contrast::scores::{Difference, Over, Score};
use crate::study::pairs::Departure;
use crate::study::{Configuration, Run};

/// Columns of a line.
const WIDTH: usize = 80;
/// How many characters a curve has.
const CURVE: usize = 14;
/// Seeds that are told one by one.
const MOST_SEEDS: usize = 8;
/// Confusions and images that are named.
const MOST_CONFUSIONS: usize = 5;
const MOST_IMAGES: usize = 10;

pub(super) fn to_text(it: &Contrast<'_, '_>) -> String {
    let [a, b] = it.sides;
    let mut text = format!("{}{}\n", side('A', a), side('B', b));
    text.push_str(&wrapped("", &one_line(&it.in_words()), WIDTH));
    if let Ok(matched) = &it.matched {
        text.push_str(&wrapped("", &matched.extent(), WIDTH));
    }
    let parts = [
        ("Settings that differ", Some(settings(&it.settings))),
        ("Scores", scores(it)),
        ("Classes, in percent, the F1 that changed most first", it.classes.as_ref().map(classes)),
        ("Confusions that changed most", it.classes.as_ref().and_then(confusions)),
        ("Training", training(it.sides)),
        ("Images by who is right", it.matched.as_ref().ok().map(|it| sides(&it.images))),
        ("Images whose class gained or lost most probability", images(it)),
        ("Ran on", places(it)),
    ];
    for (title, body) in parts {
        if let Some(body) = body {
            let _ = write!(text, "\n{title}\n{body}");
        }
    }
    text
}

/// What a side is, how many of its seeds are finished, and what it is about.
fn side(letter: char, it: &Configuration<'_>) -> String {
    let finished = it.finished().count();
    let seeds: Vec<&str> = it.runs.iter().map(|it| it.seed.as_str()).collect();
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    let state = if finished == seeds.len() {
        "finished".into()
    } else {
        format!("{finished} of {} finished", seeds.len())
    };
    let line = format!("{}: {noun} {}; {state}", one_line(&it.label), seeds.join(", "));
    let about = match it.about() {
        "" => String::new(),
        about => wrapped("   ", &one_line(about), WIDTH),
    };
    format!("{}{about}", wrapped(&format!("{letter}  "), &line, WIDTH))
}

fn settings(all: &[Departure<'_>]) -> String {
    if all.is_empty() {
        return "none: only the seeds differ\n".into();
    }
    let mut table = Table::new(vec![
        Column::words("setting", 0).always(),
        Column::words("A", 0).always(),
        Column::words("B", 0).always(),
        Column::words("unit", 1),
        Column::words("technique", 2),
    ]);
    for it in all {
        let value = |it: Option<&str>| one_line(it.unwrap_or("not set"));
        table.row(vec![
            one_line(&it.name()),
            value(it.change.from),
            value(it.change.to),
            it.unit.clone().unwrap_or_default(),
            it.technique.clone().unwrap_or_default(),
        ]);
    }
    table.to_text_within(WIDTH)
}

fn scores(it: &Contrast<'_, '_>) -> Option<String> {
    let all = &it.scores;
    let split = it.sides.iter().flat_map(|it| &it.runs).find_map(Run::split);
    let mut table = Table::new(vec![
        Column::words("", 0).always(),
        Column::numbers("A", 5),
        Column::numbers("B", 5),
        Column::numbers("B − A", 6),
        Column::words("95 % interval", 4),
        Column::numbers("p", 3),
        Column::words("by chance", 1),
    ]);
    for it in all {
        let difference = it.difference.as_ref();
        let estimate = difference.and_then(|it| it.estimate);
        let number = |value: f64| signed(value, it.is_share);
        table.row(vec![
            short(it, split),
            mean(it.stats[0], it.is_share),
            mean(it.stats[1], it.is_share),
            difference.map_or_else(String::new, |it| number(it.mean)),
            estimate.map_or_else(String::new, |it| interval(it.interval, number)),
            estimate.map_or_else(String::new, |it| format::p_value(it.p)),
            difference.map_or_else(String::new, chance),
        ]);
    }
    let mut text = table.to_text_within(WIDTH);
    if all.iter().all(|it| it.difference.is_none()) {
        return (!all.is_empty()).then_some(text);
    }
    let note = "mean ± standard deviation over seeds; p of each score alone. Intervals of accuracy and macro F1 take seeds and \
                images as drawn by chance, the others the seeds alone";
    text.push_str(&it.over().map_or_else(String::new, |it| wrapped("", &it, WIDTH)));
    text.push_str(&wrapped("", note, WIDTH));
    Some(text)
}

/// A score as the other tables of the terminal call it.
fn short(it: &Score, split: Option<&str>) -> String {
    match it.key {
        "valid_accuracy" => "valid %".into(),
        "accuracy" => format!("{} %", split.filter(|it| *it != "valid").unwrap_or("accuracy")),
        "calibration_error" => "ECE %".into(),
        _ if it.is_share => format!("{} %", it.name),
        _ => it.name.into(),
    }
}

fn chance(it: &Difference) -> String {
    match (it.over, it.estimate) {
        (Over::Seeds, None) => String::new(),
        (over, _) => over.words().into(),
    }
}

fn mean(stat: Option<Stat>, is_share: bool) -> String {
    let write = |it: f64| if is_share { format::percent(it) } else { format::score(it) };
    stat.map_or_else(String::new, |it| {
        let sd = it.sd.map_or_else(String::new, |it| format!(" ± {}", write(it)));
        format!("{}{sd}", write(it.mean))
    })
}

/// A difference with its sign: of shares in points, of numbers as they are.
fn signed(value: f64, is_share: bool) -> String {
    if is_share { format::points(value) } else { format::signed(value) }
}

fn interval([low, high]: [f64; 2], write: impl Fn(f64) -> String) -> String {
    format!("{} to {}", write(low), write(high))
}

fn classes(it: &Classes) -> String {
    let mut table = Table::new(vec![
        Column::words("class", 0).always(),
        Column::numbers("images", 1),
        Column::words("F1 A → B", 6),
        Column::numbers("B − A", 7),
        Column::words("95 % interval", 5),
        Column::words("", 5),
        Column::words("recall", 4),
        Column::words("precision", 3),
    ]);
    let both = |it: &RatioChange| {
        let [a, b] = it.values.map(|it| it.map_or_else(|| format::NOTHING.into(), format::percent));
        format!("{a:>4} → {b:>4}")
    };
    for class in &it.changes {
        let (f1, difference) = (&class.f1, class.f1.difference());
        table.row(vec![
            one_line(&it.names[class.class]),
            class.images.to_string(),
            both(f1),
            difference.map_or_else(String::new, format::points),
            f1.estimate.map_or_else(String::new, |it| interval(it.interval, format::points)),
            class.verdict.map_or_else(String::new, |it| it.sign().to_string()),
            both(&class.recall),
            both(&class.precision),
        ]);
    }
    let verdicts: Vec<_> = it.changes.iter().filter_map(|it| it.verdict).collect();
    let said = [Verdict::Real, Verdict::OneSeed, Verdict::NotShown].into_iter();
    let said = said.filter(|it| verdicts.contains(it));
    let said: Vec<String> = said.map(|it| format!("{} {}", it.sign(), it.words())).collect();
    let note = if said.is_empty() {
        String::new()
    } else {
        format!("F1: {}, adjusted for all classes (Holm)\n", said.join(", "))
    };
    format!("{}{note}", table.to_text_within(WIDTH))
}

fn confusions(it: &Classes) -> Option<String> {
    let mut table = Table::new(vec![
        Column::words("images of", 0).always(),
        Column::words("taken for", 0).always(),
        Column::numbers("A %", 2),
        Column::numbers("B %", 2),
        Column::numbers("B − A", 3),
    ]);
    let all = it.changed_most(MOST_CONFUSIONS);
    for cell in &all {
        table.row(vec![
            one_line(&it.names[cell.truth]),
            one_line(&it.names[cell.taken_for]),
            format::percent(cell.shares[0]),
            format::percent(cell.shares[1]),
            format::points(cell.difference()),
        ]);
    }
    (!all.is_empty()).then(|| table.to_text_within(WIDTH))
}

/// Curves of both by seed, side by side.
fn training(sides: [&Configuration<'_>; 2]) -> Option<String> {
    let mut table = Table::new(vec![
        Column::numbers("seed", 0).always(),
        Column::words("A: valid loss", 4),
        Column::numbers("kept", 5),
        Column::numbers("time", 3),
        Column::words("B: valid loss", 4),
        Column::numbers("kept", 5),
        Column::numbers("time", 3),
    ]);
    let mut seeds: Vec<&str> = Vec::new();
    for it in sides.iter().flat_map(|it| &it.runs) {
        if !seeds.contains(&it.seed.as_str()) {
            seeds.push(&it.seed);
        }
    }
    let cells = |record: Option<&Record>| {
        let Some(record) = record else { return vec![String::new(); 3] };
        let losses: Vec<f64> = epochs(record).map(|it| it.valid.loss).collect();
        let kept = record.facts.kept_epoch().map_or_else(String::new, |it| it.epoch.to_string());
        let last = record.facts.stages.iter().rfind(|it| !it.epochs.is_empty());
        let trained = last.map_or(0, |it| it.epochs.len());
        vec![
            sparkline(&losses, CURVE),
            if trained == 0 { String::new() } else { format!("{kept}/{trained}") },
            format::duration(record.seconds),
        ]
    };
    for seed in seeds.iter().take(MOST_SEEDS) {
        let of = |side: &Configuration<'_>| {
            cells(side.runs.iter().find(|it| it.seed == *seed).map(|it| it.record))
        };
        let row = [vec![(*seed).to_owned()], of(sides[0]), of(sides[1])].concat();
        table.row(row);
    }
    (!seeds.is_empty()).then(|| {
        let more = more(seeds.len(), MOST_SEEDS, "seed");
        format!(
            "{}kept: the epoch of the last stage whose weights were kept{more}\n",
            table.to_text_within(WIDTH)
        )
    })
}

fn sides(it: &Images<'_>) -> String {
    let mut table = Table::new(vec![
        Column::words("seed", 0).always(),
        Column::numbers("both", 0).always(),
        Column::numbers("A alone", 0).always(),
        Column::numbers("B alone", 0).always(),
        Column::numbers("neither", 0).always(),
    ]);
    let mut row = |name: &str, it: Sides| {
        let Sides { both, lost, gained, neither } = it;
        let counts = [both, lost, gained, neither].map(|it| it.to_string());
        table.row(std::iter::once(name.to_owned()).chain(counts).collect());
    };
    for (seed, sides) in it.seeds.iter().take(MOST_SEEDS) {
        row(seed, *sides);
    }
    if it.seeds.len() > 1 {
        row("all seeds", it.sum);
        row("most seeds", it.majority);
    }
    let note = if it.seeds.len() > 1 {
        "most seeds: an image is right there if it is under more than half of the seeds\n"
    } else {
        ""
    };
    format!("{}{note}", table.to_text_within(WIDTH))
}

fn images(it: &Contrast<'_, '_>) -> Option<String> {
    let (matched, classes) = (it.matched.as_ref().ok()?, it.classes.as_ref()?);
    let mut table = Table::new(vec![
        Column::words("image", 0).always(),
        Column::words("class", 5),
        Column::words("A says", 3),
        Column::words("B says", 3),
        Column::numbers("A %", 4),
        Column::numbers("B %", 4),
        Column::numbers("B − A", 6),
    ]);
    let changed = matched.images.all.iter().filter(|it| it.change().is_some_and(|it| it != 0.0));
    let shown: Vec<_> = changed.take(MOST_IMAGES).collect();
    for seen in &shown {
        let Some([a, b]) = seen.probability else { continue };
        let name = |class: usize| one_line(&classes.names[class]);
        table.row(vec![
            one_line(seen.id),
            name(seen.truth),
            name(seen.said[0]),
            name(seen.said[1]),
            format::percent(a),
            format::percent(b),
            format::points(b - a),
        ]);
    }
    let note = "probability of the true class, on average over the seeds\n";
    (!shown.is_empty()).then(|| format!("{}{note}", table.to_text_within(WIDTH)))
}

fn places(it: &Contrast<'_, '_>) -> Option<String> {
    let mut table = Table::new(vec![
        Column::words("", 0).always(),
        Column::words("A", 0).always(),
        Column::words("B", 0).always(),
    ]);
    for place in &it.places {
        let [a, b] = &place.values;
        table.row(vec![place.name.into(), a.clone(), b.clone()]);
    }
    (!it.places.is_empty()).then(|| table.to_text_within(WIDTH))
}

/// How many there are beside the first `most`.
fn more(all: usize, most: usize, noun: &str) -> String {
    if all > most { format!("; {} more", counted(all - most, noun)) } else { String::new() }
}

/// `text` without what would begin a line in a table or turn its direction.
fn one_line(text: &str) -> String {
    printable(text).into_owned()
}
