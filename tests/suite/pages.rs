//! The pages of the documentation: their links lead somewhere, and what they show as an experiment is one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ferrite_core::config::docs::manual;
use ferrite_core::config::read::read;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::spec::Spec;
use ferrite_core::model::weights::output::write_tensors;
use ferrite_testing::Place;
use safetensors::tensor::{Dtype, TensorView};
use toml::{Table, Value};

/// Pages that explain Ferrite by experiments, which are planned here.
const TAUGHT_BY: [&str; 4] =
    ["docs/recipes.md", "docs/from-keras.md", "docs/from-pytorch.md", "docs/reading-the-report.md"];

/// What an experiment on such a page begins with, before its name.
const EXPERIMENT: &str = "# experiments/";

/// What a part of an experiment begins with.
const PART: &str = "# part of an experiment\n";

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(below: &str) -> String {
    std::fs::read_to_string(project().join(below)).unwrap_or_else(|it| panic!("{below}: {it}"))
}

/// Every page that people read, by its path in the project.
fn pages() -> Vec<String> {
    let names = |folder: &str, deepest: usize| {
        let walk = walkdir::WalkDir::new(project().join(folder)).max_depth(deepest);
        let files = walk.sort_by_file_name().into_iter().map(|it| it.unwrap().into_path());
        let pages = files.filter(|it| it.extension().is_some_and(|it| it == "md"));
        let below = |it: PathBuf| it.strip_prefix(project()).unwrap().display().to_string();
        pages.map(below).collect::<Vec<_>>()
    };
    let folders = [("", 1), ("docs", 1), ("experiments", 9), ("findings", 1), ("runs", 1)];
    folders.iter().flat_map(|(folder, deepest)| names(folder, *deepest)).collect()
}

/// What stands in the fences of a language on a page.
fn fenced<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    blocks.map(|it| it.split("```").next().unwrap()).collect()
}

/// A page without its code.
fn prose(page: &str) -> String {
    let outside = page.split("```").step_by(2).collect::<Vec<_>>().concat();
    outside.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// Where the links and pictures of a page lead.
fn links(page: &str) -> Vec<String> {
    let ends = prose(page);
    let targets = ends.split("](").skip(1).filter_map(|it| Some(it.split_once(')')?.0.to_owned()));
    targets.collect()
}

/// What the headings of a page are called in links, as GitHub does it.
fn anchors(page: &str) -> BTreeSet<String> {
    let outside = page.split("```").step_by(2).collect::<Vec<_>>().concat();
    let mut counts = BTreeMap::<String, usize>::new();
    let heading = |line: &'_ str| {
        let rest = line.trim_start_matches('#');
        if rest.len() < line.len() { rest.strip_prefix(' ').map(str::to_owned) } else { None }
    };
    let headings = outside.lines().filter_map(heading);
    headings
        .map(|heading| {
            let kept = |it: &char| it.is_alphanumeric() || "-_ ".contains(*it);
            let name: String = heading.trim().to_lowercase().chars().filter(kept).collect();
            let name = name.replace(' ', "-");
            let count = counts.entry(name.clone()).or_default();
            *count += 1;
            if *count == 1 { name } else { format!("{name}-{}", *count - 1) }
        })
        .collect()
}

/// What is wrong with the links of the page at `below`, which says `page`.
fn broken(below: &str, page: &str) -> Vec<String> {
    let file = project().join(below);
    let inside = links(page).into_iter().filter(|it| !it.contains("://"));
    inside
        .filter_map(|link| {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent()?.join(path) };
            if !target.exists() {
                return Some(format!("{below}: `{link}` leads to no file"));
            }
            if anchor.is_empty() {
                return None;
            }
            let there = if target == file {
                anchors(page)
            } else {
                anchors(&std::fs::read_to_string(&target).unwrap_or_default())
            };
            (!there.contains(anchor)).then(|| format!("{below}: `{link}` leads to no heading"))
        })
        .collect()
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let pages = pages();
    for known in ["README.md", "docs/config.md", "findings/README.md", "runs/README.md"] {
        assert!(pages.iter().any(|it| it == known), "{known} was not looked at: {pages:?}");
    }
    let complaints: Vec<String> = pages.iter().flat_map(|it| broken(it, &text(it))).collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_seen() {
    let page = "# One\n\n## `two.<three>`, four\n\n## One\n\n```sh\n# Not [this](gone.md)\n```\n\
                [a](#one), [b](#one-1), [c](#twothree-four), `[code](gone.md)`, [d\ne](docs/config.md#data),\n\
                [f](https://example.org/gone.md)\n";
    assert_eq!(broken("README.md", page), [""; 0]);
    for (link, why) in [
        ("gone.md", "no file"),
        ("docs/gone.png", "no file"),
        ("#two", "no heading"),
        ("#not-thisgonemd", "no heading"),
        ("docs/config.md#gone", "no heading"),
    ] {
        let told = broken("README.md", &format!("{page}\n![a picture]({link})\n"));
        assert_eq!(told, [format!("README.md: `{link}` leads to {why}")]);
    }
}

#[test]
fn every_page_of_the_documentation_is_named_in_the_readme() {
    let readme = links(&text("README.md"));
    let unnamed: Vec<String> = pages()
        .into_iter()
        .filter(|it| it.starts_with("docs/") && !readme.iter().any(|link| link == it))
        .collect();
    assert_eq!(unnamed, [""; 0], "give these a line in README.md");
}

/// What stands at a dotted key.
fn at<'a>(experiment: &'a Table, key: &str) -> Option<&'a Value> {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let value = experiment.get(first)?;
    if rest.is_empty() { Some(value) } else { at(value.as_table()?, rest) }
}

/// The text at a dotted key.
fn said<'a>(experiment: &'a Table, key: &str) -> Option<&'a str> {
    at(experiment, key)?.as_str()
}

/// Makes the files and folders that an experiment names, small and of the right kind.
fn provide(place: &Place, experiment: &Table) {
    if let Some(folder) = said(experiment, "data.source.folder.path") {
        write_pictures(place, folder, experiment);
    }
    if let Some(csv) = said(experiment, "data.source.fer2013.csv") {
        let pixels = vec!["7"; 48 * 48].join(" ");
        let row = |it: usize| {
            let usage = ["Training", "PublicTest", "PrivateTest"][it / 7 % 3];
            format!("{},{pixels},{usage}\n", it % 7)
        };
        let rows: String = (0..42).map(row).collect();
        place.write(csv, format!("emotion,pixels,Usage\n{rows}"));
    }
    if let Some(votes) = said(experiment, "data.labels.ferplus.votes") {
        place.write(votes, "Usage,Image name\n");
    }
    if let Some(table) = said(experiment, "data.source.manifest.table") {
        write_table(place, table, experiment);
    }
    if let Some(images) = said(experiment, "data.source.manifest.images") {
        place.write(&format!("{images}/1.pgm"), "P5\n1 1\n255\n\0");
    }
    if let Some(file) = said(experiment, "model.weights.file.path") {
        if Path::new(file).extension().is_some_and(|it| it == "keras") {
            // A model of two layers, which only a run would find too small.
            place.write(file, include_bytes!("../fixtures/weights/keras/whole.keras"));
        } else {
            write_weights(place, file, said(experiment, "model.backbone").unwrap());
        }
    }
}

/// Writes a few pictures for each class of a folder, and for each of its splits if the experiment names some.
fn write_pictures(place: &Place, folder: &str, experiment: &Table) {
    let classes = at(experiment, "data.source.folder.classes").unwrap().as_array().unwrap();
    let split = at(experiment, "data.split").and_then(Value::as_table);
    let names = split.into_iter().flat_map(Table::values).filter_map(Value::as_str);
    let mut splits: Vec<&str> = names.collect();
    if splits.is_empty() {
        splits.push(".");
    }
    for class in classes.iter().filter_map(Value::as_str) {
        for (split, n) in splits.iter().flat_map(|it| (0..8_u8).map(move |n| (*it, n))) {
            let picture = [b"P5\n40 32\n255\n".as_slice(), &[n; 40 * 32]].concat();
            place.write(&format!("{folder}/{split}/{class}/{n}.pgm"), picture);
        }
    }
}

/// Writes a table of pictures: a CSV file of ten persons, or a folder of Parquet files.
fn write_table(place: &Place, table: &str, experiment: &Table) {
    if Path::new(table).extension().is_some_and(|it| it == "csv") {
        let classes = at(experiment, "data.source.manifest.classes").unwrap().as_array().unwrap();
        let beside = Path::new(table).parent().and_then(Path::to_str).unwrap();
        let folder = said(experiment, "data.source.manifest.images").unwrap_or(beside);
        let mut rows = String::from("path,label,split,person\n");
        for (class, person) in
            classes.iter().filter_map(Value::as_str).flat_map(|it| (0..10_u8).map(move |n| (it, n)))
        {
            let split = if person < 5 { "train" } else { "test" };
            rows +=
                &[&format!("{class}-{person}.pgm"), class, split, &person.to_string()].join(",");
            rows.push('\n');
            let picture = [b"P5\n40 32\n255\n".as_slice(), &[person; 40 * 32]].concat();
            place.write(&format!("{folder}/{class}-{person}.pgm"), picture);
        }
        return place.write(table, rows);
    }
    let pictures = std::fs::read(project().join("fuzz/seeds/parquet_table/pictures.parquet"));
    let pictures = pictures.unwrap();
    for split in ["train", "test"] {
        place.write(&format!("{table}/{split}-00000-of-00001.parquet"), &pictures);
    }
}

/// Writes zeros for every tensor of a backbone.
fn write_weights(place: &Place, file: &str, backbone: &str) {
    let backbone = Backbone::ALL.iter().find(|it| it.name() == backbone).unwrap();
    let specs = &backbone.description(Implementation::default()).tensors.specs;
    let most = specs.iter().map(Spec::len).max().unwrap();
    let zeros = vec![0; 4 * most];
    let tensors = specs.iter().map(|it| {
        let bytes = &zeros[..4 * it.len()];
        (it.name.clone(), TensorView::new(Dtype::F32, it.shape.clone(), bytes).unwrap())
    });
    place.write(file, "");
    write_tensors(tensors, BTreeMap::new(), &place.path(file)).unwrap();
}

/// The experiments on the pages, by their names, and the parts of some.
fn shown() -> (BTreeMap<String, String>, Vec<String>) {
    let (mut experiments, mut parts) = (BTreeMap::new(), Vec::new());
    for page in TAUGHT_BY {
        let text = text(page);
        for block in fenced(&text, "toml") {
            let Some(rest) = block.strip_prefix(EXPERIMENT) else {
                let part = block.strip_prefix(PART);
                let why =
                    "begin it with its name (`# experiments/….toml`) or `# part of an experiment`";
                parts.push(part.unwrap_or_else(|| panic!("{page}: {why}: {block}")).to_owned());
                continue;
            };
            let name = rest.split_once(".toml\n").unwrap().0.to_owned();
            let before = experiments.insert(name, block.to_owned());
            assert_eq!(before, None, "{page}: another experiment is called so, too: {block}");
        }
    }
    // The manual's first example is a whole experiment, the others are tables.
    let manual = manual();
    let mut examples = fenced(&manual, "toml").into_iter().map(str::to_owned);
    let _ = experiments.insert("manual".into(), examples.next().unwrap());
    parts.extend(examples);
    (experiments, parts)
}

#[test]
fn every_experiment_on_a_page_can_be_planned() {
    let (experiments, _) = shown();
    assert!(experiments.len() >= 14, "{:?}", experiments.keys());
    let place = Place::with(&[]);
    for (name, text) in &experiments {
        let table = text.parse().unwrap_or_else(|it| panic!("{name}: {it}"));
        provide(&place, &table);
        place.write(&format!("experiments/{name}.toml"), text);
    }
    let told = place.ferrite(&["plan", "experiments"]);
    told.ends_with(0).says("trials");
    for name in experiments.keys() {
        told.says(&format!(" {name}/"));
    }
}

#[test]
fn every_part_of_an_experiment_on_a_page_can_be_read() {
    let (_, parts) = shown();
    assert!(parts.len() >= 50, "only {} parts were found", parts.len());
    let place = Place::with(&[]);
    for text in parts {
        let table: Table = text.parse().unwrap_or_else(|it| panic!("{it}: {text}"));
        provide(&place, &table);
        // A path is relative to the folder that a command runs in.
        let here = place.path("data").display().to_string();
        place.write("part.toml", text.replace("\"data/", &format!("\"{here}/")));
        if let Err(error) = read(&[place.path("part.toml")], &[]) {
            panic!("{error:?}\n{text}");
        }
    }
}

#[test]
fn every_table_of_the_manual_has_an_example() {
    let manual = manual();
    let sections = manual.split("\n## ").flat_map(|it| it.split("\n### ")).skip(1);
    let tables = sections.filter(|it| it.starts_with('`'));
    // Choices between names are told below their table and need none.
    let own = |section: &str| section.split("\n#### ").next().unwrap().to_owned();
    let without = tables.map(own).filter(|it| !it.contains("```toml\n"));
    let without: Vec<String> = without.map(|it| it.lines().next().unwrap().to_owned()).collect();
    assert_eq!(without, [""; 0], "end the doc comments of these with an example");
}

/// The cells of each row of a table on a page.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = page.lines().filter(|it| it.starts_with("| "));
    lines.map(|it| it.trim_matches('|').split(" | ").map(str::trim).collect())
}

#[test]
fn every_default_that_differs_from_keras_is_on_the_page_for_users_of_keras() {
    let (manual, page) = (manual(), text("docs/from-keras.md"));
    let mut count = 0;
    for section in manual.split("\n## ").flat_map(|it| it.split("\n### ")) {
        let place = section.split('`').nth(1).unwrap_or_default().replace(".<name>", "");
        for row in rows(section) {
            let Some((ours, keras)) = row.get(2).and_then(|it| it.split_once("; Keras ")) else {
                continue;
            };
            count += 1;
            let key = format!("{place}.{}", row[0].trim_matches('`'));
            let short = key.strip_prefix("stages.").unwrap_or(&key);
            let named = |it: &Vec<&str>| [&key, short].contains(&it[0].trim_matches('`'));
            let told = rows(&page).find(named).unwrap_or_else(|| panic!("`{key}` is not there"));
            let bare = |it: &str| it.replace('`', "");
            assert!(bare(told[2]).contains(&bare(keras)), "{key}: {told:?} instead of {keras}");
            assert!(ours.contains('{') || bare(told[1]) == bare(ours), "{key}: {told:?}");
        }
    }
    assert!(count >= 12, "only {count} defaults differ");
}
