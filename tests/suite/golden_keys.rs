//! The keys of every experiment that comes with Ferrite, as they are on users' disks.
//!
//! A key that changes makes finished work be done again, and one that does not change where results do passes
//! old results off as new ones. So a change here is made on purpose: where a step gives other results for the same
//! settings, its version is raised, with the reason beside it (`ferrite_core::plan::step`), and this file is written
//! anew with `UPDATE_EXPECT=1 cargo test golden`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use ferrite_core::config::read::read;
use ferrite_core::config::schema::Schema;
use ferrite_core::plan::trials;
use ferrite_testing::{Place, SMALL};
use serde_json::Value as Json;

use crate::disk::NamesAsContent;

/// The folders of experiments that come with Ferrite.
const FOLDERS: [&str; 7] = [
    "",
    "fer2013/study",
    "fer2013/corrected",
    "fer2013/laptop",
    "fer2013/best",
    "fer2013/faces",
    "folds",
];

fn experiments(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(folder);
    let files = folder.read_dir().unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|it| it.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    files
}

#[test]
fn golden_keys_of_the_experiments_that_come_with_ferrite() {
    // The data sets of others need not be here: empty files stand for them.
    let views = format!(
        "{SMALL}\n[augment]\nflip = 0.5\nrotation = 10\nbrightness = [0.8, 1.2]\ncached_views = 2\n"
    );
    let place = Place::with(&[("shrunk", SMALL), ("views", &views)]);
    let [table, votes] = ["fer2013.csv", "fer2013new.csv"].map(|it| {
        place.write(it, "");
        place.path(it).display().to_string()
    });
    let mut text = String::new();
    // None that comes with Ferrite shrinks its images or keeps views of them.
    let others = ["shrunk", "views"].map(|it| place.path(&format!("experiments/{it}.toml")));
    for path in FOLDERS.iter().flat_map(|it| experiments(it)).chain(others) {
        let said = std::fs::read_to_string(&path).unwrap();
        let of_fer2013 = path.parent().unwrap().parent().unwrap().ends_with("fer2013");
        let changes = [
            of_fer2013.then(|| format!("data.source.fer2013.csv='{table}'")),
            said.contains("ferplus = {").then(|| format!("data.labels.ferplus.votes='{votes}'")),
        ];
        let changes: Vec<String> = changes.into_iter().flatten().collect();
        let written = read(&[path], &changes).unwrap();
        for trial in trials(&written, &NamesAsContent).unwrap() {
            writeln!(text, "{}", trial.name()).unwrap();
            for step in &trial.steps {
                let line = format!("  {:9} {} {}", step.kind.name(), &step.key[..16], step.of);
                writeln!(text, "{}", line.trim_end()).unwrap();
            }
        }
    }
    expect_file!["../golden/keys.txt"].assert_eq(&text);
}

/// Settings that are left out have no part in a key, so the same file would have other results under the same key if
/// a default changed. Then the versions of the steps that read it are raised.
#[test]
fn golden_defaults_of_settings() {
    let mut root = Schema::of_experiment().root;
    root.sort_all_objects();
    let mut lines = Vec::new();
    defaults("Experiment", &root, &mut lines);
    for (name, definition) in root["$defs"].as_object().unwrap() {
        defaults(name, definition, &mut lines);
    }
    expect_file!["../golden/defaults.txt"].assert_eq(&lines.concat());
}

/// A line for each default in the schema of a table, or of the tables that a choice has.
fn defaults(name: &str, definition: &Json, lines: &mut Vec<String>) {
    let properties = definition.get("properties").and_then(Json::as_object);
    for (key, property) in properties.into_iter().flatten() {
        let default = property.get("default").map_or_else(|| "required".into(), Json::to_string);
        lines.push(format!("{name}.{key} = {default}\n"));
    }
    for variant in definition.get("oneOf").and_then(Json::as_array).into_iter().flatten() {
        let tables = variant.get("properties").and_then(Json::as_object).into_iter().flatten();
        for (variant, table) in tables.filter(|it| it.1.get("properties").is_some()) {
            defaults(&format!("{name}.{variant}"), table, lines);
        }
    }
}
