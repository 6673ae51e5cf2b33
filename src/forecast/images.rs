//! How many images a trial sees, told before anything is decoded where that can be told.

use std::collections::BTreeMap;
use std::path::Path;

use ferrite_core::data::Data;
use ferrite_core::data::part::Part;
use ferrite_core::data::source::Source;
use ferrite_core::data::split::Split;
use ferrite_core::plan::Trial;
use ferrite_core::plan::cost::Images;
use ferrite_core::plan::steps::Kind;
use ferrite_core::store::Store;
use walkdir::WalkDir;

/// FER2013's own table: all images, and those of its three splits.
const FER2013: [f64; 4] = [35_887.0, 28_709.0, 3_589.0, 3_589.0];

/// What is believed of a source that nothing is known of.
const UNKNOWN: f64 = 10_000.0;

/// The images of `trial`, and whether they were counted, at least before leaks and broken ones are left out.
pub(super) fn count(store: &Store, trial: &Trial) -> (Images, bool) {
    let data = &trial.settings.data;
    match decoded(store, trial).or_else(|| of_source(data)) {
        Some(counts) => (split(data, &counts), true),
        None if matches!(data.source, Source::Fer2013 { .. }) => {
            let [all, train, valid, test] = FER2013;
            let splits = limited(data, [train, valid, test]);
            (Images { all, splits }, false)
        }
        None => (split(data, &[(String::new(), UNKNOWN)].into()), false),
    }
}

/// How many images there are in each split of the source; one without a name where it has none.
type Counts = BTreeMap<String, f64>;

/// What the decoded folder says, if an earlier sweep has left one.
fn decoded(store: &Store, trial: &Trial) -> Option<Counts> {
    let step = trial.steps.iter().find(|it| it.kind == Kind::Dataset)?;
    let folder = store.step_folder(step.kind.name(), &step.key);
    let mut reader = csv::Reader::from_path(folder.join("items.csv")).ok()?;
    let column = reader.headers().ok()?.iter().position(|it| it == "split")?;
    let mut counts = Counts::new();
    for row in reader.byte_records() {
        let split = String::from_utf8_lossy(row.ok()?.get(column)?).into_owned();
        *counts.entry(split).or_default() += 1.0;
    }
    Some(counts)
}

/// What is known of a source that was not decoded: of drawn faces their number, of a folder its files.
fn of_source(data: &Data) -> Option<Counts> {
    match &data.source {
        Source::Synthetic(it) => Some([(String::new(), it.faces as f64)].into()),
        Source::Folder { path, .. } => {
            let names = data.split.names();
            let mut counts = Counts::new();
            let files = WalkDir::new(path).into_iter().flatten();
            for file in files.filter(|it| it.file_type().is_file()) {
                let below = file.path().strip_prefix(path).unwrap_or(Path::new(""));
                let first = below.iter().next().unwrap_or_default().to_string_lossy();
                let split = names.iter().find(|it| it.eq_ignore_ascii_case(&first));
                *counts.entry(split.map_or_else(String::new, |it| (*it).into())).or_default() +=
                    1.0;
            }
            Some(counts)
        }
        Source::Fer2013 { .. } | Source::Manifest(_) => None,
    }
}

/// The images of each part, as [`Split`] says.
fn split(data: &Data, counts: &Counts) -> Images {
    let Split { train, valid, test, .. } = &data.split;
    let all: f64 = counts.values().sum();
    let named = |name: &str| {
        let same = counts.iter().filter(|it| it.0.eq_ignore_ascii_case(name));
        same.map(|it| it.1).sum::<f64>()
    };
    // Fractions are of the split that trains where that has a name, and are taken out of it.
    let whole = train.name().map_or(all, named);
    let of = |part: &Part| {
        part.name().map_or_else(|| whole * part.fraction().unwrap_or_default(), named)
    };
    if let Some(folds) = data.split.folds {
        let tested = whole / folds as f64;
        let validated = (whole - tested) * valid.fraction().unwrap_or_default();
        return Images {
            all,
            splits: limited(data, [whole - tested - validated, validated, tested]),
        };
    }
    let taken: f64 =
        [Some(valid), test.as_ref()].into_iter().flatten().filter_map(Part::fraction).sum();
    let trained = if train.name().is_some() { whole * (1.0 - taken) } else { of(train) };
    let splits = limited(data, [trained, of(valid), test.as_ref().map_or(0.0, of)]);
    Images { all, splits }
}

/// The same under `data.limit`, which cuts what judges by the same factor as what trains.
fn limited(data: &Data, splits: [f64; 3]) -> [f64; 3] {
    let share = data.limit.map_or(1.0, |it| (it as f64 / splits[0].max(1.0)).min(1.0));
    splits.map(|it| it * share)
}
