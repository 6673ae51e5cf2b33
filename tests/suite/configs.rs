//! Experiment files: those of the project, the manual, and what is said about every kind of mistake.

use std::path::Path;

use expect_test::{Expect, expect};
use ferrite_core::config::clusters::Clusters;
use ferrite_core::config::docs::manual;
use ferrite_core::config::editors;
use ferrite_core::config::read::read;
use ferrite_core::error::Error;
use ferrite_testing::Place;
use miette::Diagnostic;

/// Checks what a user is told about these files and changes: for each problem its file, line and column,
/// the characters that are pointed at, and the message.
#[track_caller]
fn check(files: &[(&str, &str)], changes: &[&str], expected: Expect) {
    let place = Place::with(files);
    let paths: Vec<_> =
        files.iter().map(|(name, _)| place.path(&format!("experiments/{name}.toml"))).collect();
    let changes: Vec<String> = changes.iter().map(|it| (*it).to_owned()).collect();
    let told = match read(&paths, &changes) {
        Ok(_) => panic!("accepted: {files:#?}"),
        Err(Error::Config { files }) => files.iter().map(in_file).collect(),
        Err(error) => format!("{error}\n  help: {}\n", error.help().unwrap()),
    };
    let here = format!("{}/", place.path("experiments").display());
    expected.assert_eq(&told.replace(&here, ""));
}

/// The problems of one file, a line each.
fn in_file(file: &ferrite_core::error::FileProblems) -> String {
    let (name, text) = (file.source.name(), file.source.inner());
    let lines = file.problems.iter().map(|problem| {
        let (from, to) = (problem.offset(), problem.offset() + problem.len());
        let line = 1 + text[..from].matches('\n').count();
        let column = 1 + from - text[..from].rfind('\n').map_or(0, |it| it + 1);
        let pointed_at = text[from..to].replace('\n', "\\n");
        format!("{name}:{line}:{column} `{pointed_at}`\n  {}\n", problem.label().unwrap())
    });
    lines.collect()
}

/// Files that experiments name, with something in their place.
fn stand_in(place: &Place, value: &toml::Value) {
    match value {
        toml::Value::String(path) if path.starts_with("data/") => place.write(path, ""),
        toml::Value::Array(items) => items.iter().for_each(|it| stand_in(place, it)),
        toml::Value::Table(table) => table.values().for_each(|it| stand_in(place, it)),
        _ => {}
    }
}

#[test]
fn every_experiment_of_the_project_can_be_planned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let place = Place::with(&[]);
    let mut folders = Vec::new();
    for entry in walkdir::WalkDir::new(root.join("experiments")) {
        let entry = entry.unwrap();
        if entry.path().extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let below = entry.path().strip_prefix(root).unwrap();
        place.write(&below.to_string_lossy(), &text);
        let folder = below.parent().unwrap();
        // What others extend is no experiment of its own; it is read with those.
        if !folder.ends_with("base") {
            folders.push(folder.to_string_lossy().into_owned());
        }
        // Data sets are not part of the project; planning asks only whether they are there.
        stand_in(&place, &toml::Value::Table(text.parse().unwrap_or_default()));
    }
    folders.sort();
    folders.dedup();
    assert!(!folders.is_empty());
    for folder in folders {
        place.ferrite(&["plan", &folder]).ends_with(0).says("trials");
    }
}

/// The default suite is a study: each experiment extends the one that it is compared with, says so, and is repeated.
#[test]
fn every_experiment_of_the_default_suite_names_what_it_is_compared_with() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let files = folder.read_dir().unwrap().map(|it| it.unwrap().path());
    let mut compared = 0;
    for path in files.filter(|it| it.extension().is_some_and(|it| it == "toml")) {
        let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        // The source task has no rival, and the others all start from its one network.
        let Some(extends) = table.get("extends").and_then(toml::Value::as_str) else { continue };
        let experiment = &read(std::slice::from_ref(&path), &[]).unwrap()[0].experiment;
        assert_eq!(experiment.seeds, [0, 1, 2], "{}", path.display());
        let about = &experiment.about;
        match extends.strip_suffix(".toml").filter(|it| !it.starts_with("base/")) {
            Some(rival) => {
                assert!(about.starts_with(&format!("Against {rival}")), "{}", path.display());
                compared += 1;
            }
            None => assert!(about.contains("baseline"), "{}", path.display()),
        }
    }
    assert!(compared >= 6, "{compared}");
}

#[test]
fn the_manual_is_fresh_and_else_make_docs_rewrites_it() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/config.md");
    let written = std::fs::read_to_string(page).unwrap_or_default();
    assert!(
        written == manual(),
        "docs/config.md is stale: run `make docs` and look at what changed"
    );
}

#[test]
fn the_schema_for_editors_is_fresh_and_else_make_docs_rewrites_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(editors::FILE);
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == editors::schema(),
        "{} is stale: run `make docs` and look at what changed",
        file.display()
    );
}

#[test]
fn the_schema_for_editors_asks_for_nothing_that_a_parent_may_say_and_knows_no_null() {
    /// What stands under `key` anywhere in `it`.
    fn under<'a>(it: &'a serde_json::Value, key: &str) -> Vec<&'a serde_json::Value> {
        let inner: Vec<&serde_json::Value> = match it {
            serde_json::Value::Array(items) => items.iter().collect(),
            serde_json::Value::Object(entries) => entries.values().collect(),
            _ => Vec::new(),
        };
        let here = it.get(key).into_iter();
        here.chain(inner.into_iter().flat_map(|it| under(it, key))).collect()
    }
    let schema: serde_json::Value = serde_json::from_str(&editors::schema()).unwrap();
    assert!(under(&schema, "required").is_empty());
    let nulls = |key: &str| under(&schema, key).iter().any(|it| it.to_string().contains("null"));
    assert!(!nulls("type") && !nulls("default"));
    for reference in under(&schema, "$ref") {
        let place = reference.as_str().unwrap().trim_start_matches('#');
        assert!(schema.pointer(place).is_some(), "{reference} leads nowhere");
    }
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_the_nearest_one() {
    check(
        &[("a", "[data]\nimage_sise = 48\n[model.head]\nlayer = [8]\nfoo = 1\n")],
        &[],
        expect![[r#"
            a.toml:2:1 `image_sise`
              unknown key `image_sise`; did you mean `image_size`?
            a.toml:4:1 `layer`
              unknown key `layer`; did you mean `layers`?
            a.toml:5:1 `foo`
              unknown key `foo`; there are `pool`, `layers`, `batch_norm`, `dropout`
        "#]],
    );
    check(
        &[("a", "[[stages]]\noptimizer = { sgd = { lr = 0.1, momentun = 0.9 } }\n")],
        &[],
        expect![[r#"
            a.toml:2:33 `momentun`
              unknown key `momentun`; did you mean `momentum`?
        "#]],
    );
    check(
        &[("a", "[data]\nsource.synthetic.face = 10\n")],
        &[],
        expect![[r#"
        a.toml:2:18 `face`
          unknown key `face`; did you mean `faces`?
    "#]],
    );
}

#[test]
fn a_wrong_type_is_told_at_the_value() {
    check(
        &[(
            "a",
            "seeds = 0\n[data]\nimage_size = \"48\"\nlimit = -5\n[augment]\nflip = true\nbrightness = [1]\n",
        )],
        &[],
        expect![[r#"
            a.toml:1:9 `0`
              must be a list, not a whole number: write `[0]`
            a.toml:3:14 `"48"`
              must be a whole number, not a string
            a.toml:4:9 `-5`
              must not be negative, found -5
            a.toml:6:8 `true`
              must be a number or `alternating`, not true or false
            a.toml:7:14 `[1]`
              needs 2 items, found 1
        "#]],
    );
    check(
        &[("a", "[model]\nhead = { layers = [64, \"64\"] }\n[[stages]]\noptimizer = \"adam\"\n")],
        &[],
        expect![[r#"
            a.toml:2:24 `"64"`
              must be a whole number, not a string
            a.toml:4:13 `"adam"`
              needs its settings: write `{ adam = { } }`
        "#]],
    );
    check(
        &[(
            "a",
            "[model]\nbackbone = \"mobilenet_v3\"\nweights = { none = {} }\n[data.split]\ntrain = [1]\n",
        )],
        &[],
        expect![[r#"
            a.toml:2:12 `"mobilenet_v3"`
              unknown choice `mobilenet_v3`; did you mean `mobilenet_v2`?
            a.toml:3:13 `none`
              has no settings: write `"none"`
            a.toml:5:9 `[1]`
              must be a string or a number, not a list
        "#]],
    );
}

#[test]
fn a_value_that_cannot_be_right_is_told_at_the_value() {
    check(
        &[(
            "a",
            "[augment]\nflip = 1.5\n[model.head]\ndropout = 1\n[[stages]]\nepochs = 0\n\
             optimizer = { sgd = { lr = 0, nesterov = true } }\n",
        )],
        &[],
        expect![[r#"
            a.toml:2:8 `1.5`
              is a probability and must be from 0 to 1
            a.toml:4:11 `1`
              must be at least 0 and below 1
            a.toml:6:10 `0`
              must be at least 1
            a.toml:7:28 `0`
              must be above 0 and at most 100
            a.toml:7:42 `true`
              needs a `momentum` above 0
        "#]],
    );
    check(
        &[("a", "[data]\nsplit = { train = 0.9, valid = 0.3 }\n")],
        &[],
        expect![[r#"
        a.toml:2:9 `{ train = 0.9, valid = 0.3 }`
          must be fractions that add up to 1 or less, not 1.200
    "#]],
    );
    check(
        &[("a", "[[stages]]\nname = \"a\"\n[[stages]]\nname = \"a\"\n")],
        &[],
        expect![[r#"
        a.toml:4:8 `"a"`
          another stage is called `a` too
    "#]],
    );
    check(
        &[("a", "stages = []\n")],
        &[],
        expect![[r#"
        a.toml:1:10 `[]`
          must list at least one stage
    "#]],
    );
    check(
        &[("a", "seeds = [1, 2, 1]\n")],
        &[],
        expect![[r#"
        a.toml:1:9 `[1, 2, 1]`
          lists a seed twice; each must be its own
    "#]],
    );
    check(
        &[("a", "[data]\nimage_size = 16\n")],
        &[],
        expect![[r#"
            a.toml:2:14 `16`
              must be between 32 and 512
        "#]],
    );
}

#[test]
fn muon_wants_a_hidden_layer_and_judges_the_adamw_beside_it() {
    check(
        &[(
            "a",
            "[[stages]]\ntrainable = \"all\"\noptimizer = { muon = { lr = 0, momentum = 1, ns_steps = 0, eps = 0, \
             ns_coefficients = [1, nan, 1], weight_decay = -1, adamw = { lr = 0, betas = [1, 1] } } }\n",
        )],
        &[],
        expect![[r#"
            a.toml:3:29 `0`
              must be above 0 and at most 100
            a.toml:3:43 `1`
              must be at least 0 and below 1
            a.toml:3:57 `0`
              must be from 1 to 99
            a.toml:3:66 `0`
              must be a positive number
            a.toml:3:87 `[1, nan, 1]`
              must be three finite numbers
            a.toml:3:115 `-1`
              must be 0 or a positive number
            a.toml:3:134 `0`
              must be above 0 and at most 100
            a.toml:3:145 `[1, 1]`
              must each be at least 0 and below 1
        "#]],
    );
    check(
        &[("a", "[[stages]]\noptimizer = { muon = { momentun = 0.9 } }\n")],
        &[],
        expect![[r#"
            a.toml:2:24 `momentun`
              unknown key `momentun`; did you mean `momentum`?
        "#]],
    );
    check(
        &[("a", "[[stages]]\noptimizer = { muon = {} }\n")],
        &[],
        expect![[r#"
            a.toml:2:22 `{}`
              has no hidden layer to train here, and would leave everything to its AdamW: let more layers train (`trainable`, `model.head.layers`), or write `adamw`
        "#]],
    );
}

#[test]
fn techniques_that_cannot_be_right_are_told() {
    check(
        &[(
            "a",
            "[[stages]]\nepochs = 4\nmixup = -1\nema = 1\nclip = { norm = 0 }\n\
             warmup = { epochs = 4 }\nschedule = { one_cycle = { pct_start = 1 } }\n\
             checkpoints = [\"valid_loss\", \"valid_loss\"]\n\
             early_stopping = { start_from_epoch = 4 }\n\
             loss = { label_smoothing = 1, class_weights = [1, 2] }\n\
             optimizer = { rmsprop = { alpha = 1, weight_decay = -1 } }\n",
        )],
        &[],
        expect![[r#"
            a.toml:3:9 `-1`
              must be 0 (off) or a positive number, like 0.2
            a.toml:4:7 `1`
              must be 0 (off) or below 1, like 0.999
            a.toml:5:8 `{ norm = 0 }`
              must be a positive number
            a.toml:6:10 `{ epochs = 4 }`
              must be left out with `one_cycle`, which rises by itself (`pct_start`)
            a.toml:6:21 `4`
              must be at least 1 and below the stage's `epochs`
            a.toml:7:40 `1`
              must be above 0 and below 1
            a.toml:8:15 `["valid_loss", "valid_loss"]`
              lists a metric twice
            a.toml:9:39 `4`
              must be below the stage's `epochs`, or nothing is ever looked at
            a.toml:10:28 `1`
              must be at least 0 and below 1
            a.toml:10:47 `[1, 2]`
              must list 7 weights, one for each class
            a.toml:11:35 `1`
              must be at least 0 and below 1
            a.toml:11:53 `-1`
              must be 0 or a positive number
        "#]],
    );
}

#[test]
fn class_weights_of_another_kind_are_told() {
    check(
        &[("a", "[[stages]]\nloss = { class_weights = \"heavy\" }\n")],
        &[],
        expect![[r#"
        a.toml:2:26 `"heavy"`
          must be one of `none`, `balanced` or a list, not a string
    "#]],
    );
}

#[test]
fn a_schedule_with_and_without_its_settings_is_told() {
    check(
        &[("a", "[[stages]]\nschedule = { step = { factor = 0.5 } }\n")],
        &[],
        expect![[r#"
        a.toml:2:21 `{ factor = 0.5 }`
          needs either `every` or `milestones`
    "#]],
    );
    check(
        &[("a", "[[stages]]\nschedule = { cosine = { min_lr = 0.1 } }\n")],
        &[],
        expect![[r#"
        a.toml:2:14 `cosine`
          has no settings: write `"cosine"`
    "#]],
    );
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    check(
        &[
            ("a", "[augment]\nflip = 2\nerase = -1\n"),
            ("b", "[augment]\nflipp = 0.5\n"),
            ("c", "[augment]\nflip = 0.5\n"),
            ("d", "[augment\nflip = 0.5\n[data]\nlimit =\n"),
        ],
        &[],
        expect![[r#"
            a.toml:2:8 `2`
              is a probability and must be from 0 to 1
            a.toml:3:9 `-1`
              is a probability and must be from 0 to 1
            b.toml:2:1 `flipp`
              unknown key `flipp`; did you mean `flip`?
            d.toml:1:9 ``
              unclosed table, expected `]`
        "#]],
    );
}

#[test]
fn a_layer_that_the_backbone_does_not_have_is_told_with_the_nearest_one() {
    check(
        &[("a", "[[stages]]\ntrainable = \"feature.17\"\n")],
        &[],
        expect![[r#"
        a.toml:2:13 `"feature.17"`
          the backbone has no block or layer `feature.17`; did you mean `features.17`? (blocks: features.0 to features.18)
    "#]],
    );
    check(
        &[("a", "[[stages]]\ntrainable = \"block_77\"\n")],
        &[],
        expect![[r#"
        a.toml:2:13 `"block_77"`
          the backbone has no block or layer `block_77`; did you mean `block_7`? (blocks: features.0 to features.18)
    "#]],
    );
}

#[test]
fn a_parent_that_cannot_be_read_is_told_where_it_is_named() {
    check(
        &[("a", "about = \"x\"\nextends = \"nope.toml\"\n")],
        &[],
        expect![[r#"
        a.toml:2:11 `"nope.toml"`
          there is no file `nope.toml`
    "#]],
    );
    check(
        &[("a", "extends = \"a.toml\"\n")],
        &[],
        expect![[r#"
        a.toml:1:11 `"a.toml"`
          extends itself, through its parents
    "#]],
    );
    check(
        &[
            ("a", "extends = \"b.toml\"\n"),
            ("b", "extends = \"c.toml\"\n"),
            ("c", "extends = \"a.toml\"\n"),
        ],
        &[],
        expect![[r#"
            c.toml:1:11 `"a.toml"`
              extends itself, through its parents
            a.toml:1:11 `"b.toml"`
              extends itself, through its parents
            b.toml:1:11 `"c.toml"`
              extends itself, through its parents
        "#]],
    );
    check(
        &[("a", "extends = \"../experiments/./a.toml\"\n")],
        &[],
        expect![[r#"
            a.toml:1:11 `"../experiments/./a.toml"`
              extends itself, through its parents
        "#]],
    );
}

#[test]
fn a_row_of_parents_without_an_end_is_told() {
    let place = Place::with(&[]);
    for at in 0..40 {
        let text = format!("extends = \"p{}.toml\"", at + 1);
        place.write(&format!("experiments/p{at}.toml"), text);
    }
    place.write("experiments/p40.toml", "");
    place
        .ferrite(&["plan", "experiments/p0.toml"])
        .ends_with(2)
        .says("p16.toml:1:11")
        .says("has more than 16 files in front of it");
    place.ferrite(&["plan", "experiments/p30.toml"]).ends_with(0);
}

#[test]
fn a_problem_in_a_parent_is_told_in_the_parent() {
    check(
        &[
            ("a", "extends = \"base/b.toml\"\n[data]\nlimit = 20\n"),
            ("base/b", "[data]\nimage_size = 5\n"),
        ],
        &[],
        expect![[r#"
            base/b.toml:2:14 `5`
              must be between 32 and 512
        "#]],
    );
    check(
        &[
            ("base/b", "[data]\nimage_size = 48\n"),
            ("a", "extends = \"base/b.toml\"\n[data]\nimage_size = 5\n"),
        ],
        &[],
        expect![[r#"
            a.toml:3:14 `5`
              must be between 32 and 512
        "#]],
    );
}

#[test]
fn a_grid_is_told_at_its_key_or_its_value() {
    check(
        &[("a", "[grid]\n\"model.head.dropuot\" = [0.1, 0.2]\n")],
        &[],
        expect![[r#"
            a.toml:2:1 `"model.head.dropuot"`
              unknown key `dropuot`; did you mean `dropout`?
        "#]],
    );
    check(
        &[("a", "[grid]\n\"model.head.dropout\" = [0.1, \"much\"]\n")],
        &[],
        expect![[r#"
            a.toml:2:30 `"much"`
              `model.head.dropout` must be a number, not a string
        "#]],
    );
    check(
        &[("a", "[grid]\n\"model.head.dropout\" = [0.1, 7]\n")],
        &[],
        expect![[r#"
            a.toml:2:30 `7`
              `model.head.dropout` must be at least 0 and below 1
        "#]],
    );
    check(
        &[("a", "[grid]\n\"model.head.dropout\" = 0.1\n")],
        &[],
        expect![[r#"
            a.toml:2:24 `0.1`
              must be a list, not a number with a fraction: write `[0.1]`
        "#]],
    );
    check(
        &[("a", "[grid]\n\"model.head.dropout\" = []\n")],
        &[],
        expect![[r#"
        a.toml:2:24 `[]`
          must list at least one value
    "#]],
    );
    check(
        &[("a", "[[stages]]\nname = \"x\"\n[grid]\n\"stages.y.epochs\" = [1]\n")],
        &[],
        expect![[r#"
            a.toml:4:1 `"stages.y.epochs"`
              names no item `y` of `stages`; there are `x`
        "#]],
    );
    check(
        &[("a", "[grid]\nseeds = [[1], [2]]\n")],
        &[],
        expect![[r#"
        a.toml:2:1 `seeds`
          `seeds` cannot vary in a grid
    "#]],
    );
}

#[test]
fn points_that_are_equal_once_they_are_read_are_told() {
    check(
        &[(
            "a",
            "[[stages]]\nname = \"train\"\n[grid]\n\"stages.train.optimizer.adam.lr\" = [1e-3, 0.01, 0.001, 0.0010]\n",
        )],
        &[],
        expect![[r#"
            a.toml:4:49 `0.001`
              is item 3 and gives the same settings as item 1: take one of them out
            a.toml:4:56 `0.0010`
              is item 4 and gives the same settings as item 1: take one of them out
        "#]],
    );
    check(
        &[("a", "[grid]\n\"augment.rotation\" = [1, 1.0, 2]\n\"augment.flip\" = [0, 0.5, -0.0]\n")],
        &[],
        expect![[r#"
            a.toml:2:26 `1.0`
              is item 2 and gives the same settings as item 1: take one of them out
            a.toml:3:27 `-0.0`
              is item 3 and gives the same settings as item 1: take one of them out
        "#]],
    );
    // What is written out and what is left out.
    check(
        &[("a", "[grid]\n\"model.head\" = [{ }, { dropout = 0.5 }, { dropout = 0 }]\n")],
        &[],
        expect![[r#"
            a.toml:2:41 `{ dropout = 0 }`
              is item 3 and gives the same settings as item 1: take one of them out
        "#]],
    );
    // Two ways to the same setting, of which the last one counts.
    check(
        &[(
            "a",
            "[[stages]]\nname = \"train\"\n[grid]\n\"stages.0.epochs\" = [2, 3]\n\"stages.train.epochs\" = [2, 4]\n",
        )],
        &[],
        expect![[r#"
            a.toml:4:25 `3`
              is item 2 and gives the same settings as item 1: take one of them out
        "#]],
    );
    check(
        &[(
            "a",
            "[grid]\n\"model.head\" = [{ dropout = 0.5 }, { pool = \"flatten\" }]\n\
             \"model.head.pool\" = [\"avg\", \"flatten\"]\n\"model.head.dropout\" = [0.5]\n",
        )],
        &[],
        expect![[r#"
            a.toml:2:36 `{ pool = "flatten" }`
              is item 2 and gives the same settings as item 1: take one of them out
        "#]],
    );
}

#[test]
fn a_grid_of_more_trials_than_anyone_plans_is_told_before_any_is_made() {
    let list = |n: usize| (1..=n).map(|it| it.to_string()).collect::<Vec<_>>().join(", ");
    let thousand = list(1000);
    let grid = format!(
        "[grid]\n\"stages.train.epochs\" = [{thousand}]\n\"stages.train.batch_size\" = [{thousand}]\n"
    );
    let says = "makes 1000000 trials (1000 x 1000); at most 10000 are planned at once";
    let place = Place::with(&[("a", &grid)]);
    place.ferrite(&["plan"]).ends_with(2).says("a.toml:1:2").says(says);
    check(
        &[("a", &format!("seeds = [{}]\n[grid]\n\"augment.flip\" = [0, 1]\n", list(6000)))],
        &[],
        expect![[r#"
            a.toml:2:2 `grid`
              makes 12000 trials (2 x 6000); at most 10000 are planned at once: list fewer values
        "#]],
    );
    check(
        &[("a", &format!("seeds = [{}]\n", list(10_001)))],
        &[],
        expect![[r#"
            a.toml:1:1 `seeds`
              makes 10001 trials; at most 10000 are planned at once: list fewer values
        "#]],
    );
    let many: String = (0..70).map(|it| format!("\"augment.a{it}\" = [0, 1]\n")).collect();
    check(
        &[("a", &format!("[grid]\n{many}"))],
        &[],
        expect![[r#"
            a.toml:1:2 `grid`
              makes more than 10^19 trials; at most 10000 are planned at once: list fewer values
        "#]],
    );
    // No file has too many by itself.
    let half = format!("seeds = [{}]\n", list(6000));
    check(
        &[("a", &half), ("b", &half)],
        &[],
        expect![[r#"
            b.toml:1:1 `seeds`
              makes 6000 trials, beside 6000 of other files; at most 10000 are planned at once: list fewer values
        "#]],
    );
}

#[test]
fn files_that_are_no_text_say_what_they_are() {
    let place = Place::with(&[]);
    let check = |bytes: &[u8], says: &str| {
        place.write("a.toml", bytes);
        let told = place.ferrite(&["plan", "a.toml"]);
        told.ends_with(2).says("a.toml").says(says);
        assert!(told.err.len() < 3000, "{told:#?}");
    };
    check(b"\xff\xfe[\0d\0]\0", "is text in UTF-16: save it as UTF-8");
    check(b"[data]\n\0", "holds a zero byte in line 2");
    check(b"\n\nabout = \"gl\xfccklich\"", "is no text in UTF-8 in line 3");
    check(&vec![b'#'; 10 << 20], "is longer than 256 KiB");
    let nested =
        |open: &str, close: &str| format!("a = {}1{}", open.repeat(20_000), close.repeat(20_000));
    check(nested("[", "]").as_bytes(), "is nested deeper than any setting is");
    check(nested("{a=", "}").as_bytes(), "is nested deeper than any setting is");
    check(
        format!("a{} = 1", ".a".repeat(50_000)).as_bytes(),
        "is nested deeper than any setting is",
    );
    check(format!("[a{}]", ".a".repeat(50_000)).as_bytes(), "is nested deeper than any setting is");
    let key = format!("[grid]\n\"a{}\" = [1]", ".a".repeat(50_000));
    check(key.as_bytes(), "no key has more than 16 parts");
    check(format!("seeds = [1{}]", "0".repeat(400)).as_bytes(), "TOML has no larger ones");
    check(b"seeds = [18446744073709551615]", "TOML has no larger ones");
    check(b"[augment]\nflip = 1e400", "is beyond the largest number");
    check(b"[[stages]]\n".repeat(20_000).as_slice(), "lists 20000 stages, at most 100");
    // What Windows writes in front of UTF-8 is no part of it.
    check(b"\xef\xbb\xbf[augment]\nflip = 2", "must be from 0 to 1");
    place.write("a.toml", b"\xef\xbb\xbfseeds = [0]");
    place.ferrite(&["plan", "a.toml"]).ends_with(0);
    // A pipe would be waited for without an end.
    let pipe = place.path("experiments/pipe.toml");
    std::fs::create_dir_all(place.path("experiments/folder.toml")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    place.write("experiments/a.toml", "extends = \"pipe.toml\"");
    place
        .ferrite(&["plan"])
        .ends_with(2)
        .says("is a pipe or a device; an experiment is a file")
        .says("is a folder; an experiment is a file");
}

#[test]
fn thousands_of_problems_are_counted_and_some_are_shown() {
    let many: String = (0..5000).map(|it| format!("k{it} = 1\n")).collect();
    let place = Place::with(&[("a", &many)]);
    let told = place.ferrite(&["plan"]);
    told.ends_with(2)
        .says("5,000 problems in `experiments/a.toml`, of which the first 20 are shown");
    assert_eq!(told.err.matches("unknown key").count(), 20);
}

#[test]
fn a_tilde_in_front_of_a_path_is_the_home_folder() {
    let home = std::path::PathBuf::from(std::env::var("HOME").unwrap());
    let read_with = |path: &str| {
        let text = format!(
            "[data]\nsource = {{ folder = {{ path = \"{path}\", classes = [\"a\", \"b\"] }} }}\n"
        );
        let place = Place::with(&[("a", &text)]);
        read(&[place.path("experiments/a.toml")], &[])
            .map(|it| it[0].points[0].settings.data.source.place())
    };
    assert_eq!(read_with("~").unwrap(), home);
    assert_eq!(read_with("~/../.").unwrap(), home.join(".."));
    assert_eq!(read_with(".").unwrap(), Path::new("."));
    check(
        &[(
            "a",
            "[data]\nsource = { fer2013 = { csv = \"~nobody/x.csv\" } }\n\
             labels = { ferplus = { votes = \"./~/x.csv\" } }\n[model.weights.file]\npath = \"~x.pth\"\n",
        )],
        &[],
        expect![[r#"
            a.toml:2:30 `"~nobody/x.csv"`
              begins with `~nobody`, which is not read as someone's home folder: write the path out, or `./~nobody` if it is called so
            a.toml:3:32 `"./~/x.csv"`
              there is no `./~/x.csv`
            a.toml:5:8 `"~x.pth"`
              begins with `~x.pth`, which is not read as someone's home folder: write the path out, or `./~x.pth` if it is called so
        "#]],
    );
    let experiment =
        "[data]\nsource = { folder = { path = \"~/no\", classes = [\"a\", \"b\"] } }\n";
    let place = Place::with(&[("a", experiment)]);
    let error = read(&[place.path("experiments/a.toml")], &[]).unwrap_err();
    let Error::Config { files } = error else { panic!("{error}") };
    let says = format!("there is no `{}`", home.join("no").display());
    assert_eq!(files[0].problems[0].label(), Some(says.as_str()));
}

#[test]
fn what_an_experiment_needs_and_is_not_there_is_told() {
    check(
        &[("a", "[data]\nsource = { fer2013 = { csv = \"no/such.csv\" } }\n")],
        &[],
        expect![[r#"
        a.toml:2:30 `"no/such.csv"`
          there is no `no/such.csv`
    "#]],
    );
    check(
        &[("a", "[model]\nweights = { experiment = \"nope\" }\n")],
        &[],
        expect![[r#"
        a.toml:2:26 `"nope"`
          there is no experiment `nope.toml`
    "#]],
    );
    check(
        &[("a", "[model.weights.file]\npath = \"no/such.safetensors\"\n")],
        &[],
        expect![[r#"
        a.toml:2:8 `"no/such.safetensors"`
          there is no `no/such.safetensors`
    "#]],
    );
}

#[test]
fn a_set_that_cannot_be_right_is_told() {
    let file = [("a", "[[stages]]\nname = \"head\"\n")];
    check(
        &file,
        &["data.limits=2000"],
        expect![[r#"
            `--set data.limits=2000`: unknown key `limits`; did you mean `limit`?
              help: `ferrite docs` lists every key and what it may be
        "#]],
    );
    check(
        &file,
        &["data.limit"],
        expect![[r#"
        `--set data.limit` has no `=`
          help: write `--set data.limit=2000`
    "#]],
    );
    check(
        &file,
        &["=5"],
        expect![[r#"
            `--set =5` has no key before its `=`
              help: write `--set data.limit=2000`
        "#]],
    );
    check(
        &file,
        &["extends=base.toml"],
        expect![[r#"
            `--set extends=base.toml` comes too late: a file's parents are read before it is changed
              help: write `--set data.limit=2000`
        "#]],
    );
    check(
        &file,
        &["data.limit=many"],
        expect![[r#"
            `--set data.limit="many"`: must be a whole number, not a string
              help: `ferrite docs` lists every key and what it may be
        "#]],
    );
    check(
        &file,
        &["data.limit=3"],
        expect![[r#"
            a.toml:1:1 ``
              `data.limit` must be at least 7, one training image for each class
        "#]],
    );
    check(
        &file,
        &["stages.tail.epochs=3"],
        expect![[r#"
            `--set stages.tail.epochs=3`: names no item `tail` of `stages`; there are `head`
              help: `ferrite docs` lists every key and what it may be
        "#]],
    );
    check(
        &file,
        &["model.backbone.depth=3"],
        expect![[r#"
            `--set model.backbone.depth=3`: unknown choice `depth`; there are `vgg16`, `vgg16_bn`, `vgg19`, `resnet18`, `resnet34`, `resnet50`, `mobilenet_v2`, `efficientnet_b0`, `convnext_tiny`, `xception`
              help: `ferrite docs` lists every key and what it may be
        "#]],
    );
}

#[test]
fn the_page_on_clusters_has_every_setting_of_them() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clusters.md");
    let page = std::fs::read_to_string(page).unwrap();
    let settings = serde_json::to_value(Clusters::default()).unwrap();
    for (table, settings) in settings.as_object().unwrap() {
        let (_, section) = page.split_once(&format!("| `[{table}]` |")).unwrap();
        let section = section.split("\n\n").next().unwrap();
        for setting in settings.as_object().unwrap().keys() {
            assert!(section.contains(&format!("`{setting}`")), "{table}.{setting}");
        }
    }
}

#[test]
fn a_search_that_cannot_be_says_where_and_what_instead() {
    let text = r#"
[search]
points = 0
trials = 9
halving = { eta = 3 }

[search.space]
"model.head.dropout" = { quniform = [0.0, 0.7] }
"stages.head.epochs" = { int_uniform = [2, 9.5] }
"#;
    check(
        &[("shape", text)],
        &[],
        expect![[r#"
        shape.toml:4:1 `trials`
          unknown key `trials`; did you mean `points`?
        shape.toml:5:13 `eta`
          unknown key `eta`; did you mean `reduction_factor`?
        shape.toml:8:26 `quniform`
          unknown choice `quniform`; did you mean `int_uniform`?
        shape.toml:9:44 `9.5`
          must be a whole number, not a number with a fraction
    "#]],
    );
    let text = r#"
[grid]
"model.head.norm" = ["batch"]

[search]
points = 0

[search.space]
"model.head.dropout" = { uniform = [0.7, 0.0] }
"stages.train.optimizer.adam.lr" = { log_uniform = [0.0, 1e-2] }
"stages.train.batch_size" = { choice = [] }
"stages.train.epochs" = { int_uniform = [2, 9] }
seeds = { choice = [[1]] }

[search.halving]
min_epochs = 10
reduction_factor = 1

[[stages]]
name = "train"
epochs = 10
"#;
    check(
        &[("values", text)],
        &[],
        expect![[r#"
        values.toml:5:1 `[search]`
          cannot stand beside `[grid]`: put the grid's values into the space, as `{ choice = [ … ] }`
        values.toml:6:10 `0`
          must be at least 1
        values.toml:9:36 `[0.7, 0.0]`
          must be two numbers, the smaller one first
        values.toml:10:52 `[0.0, 1e-2]`
          must be two numbers above 0, the smaller one first
        values.toml:11:40 `[]`
          must list at least one value
        values.toml:13:1 `seeds`
          `seeds` cannot vary in a search
        values.toml:15:1 `[search.halving]`
          needs equal `epochs` in all points: take `stages.train.epochs` out of the space
        values.toml:16:14 `10`
          must be at least 1 and below the stage's `epochs`
        values.toml:17:20 `1`
          must be at least 2
    "#]],
    );
    let text = r#"
[search.space]
"model.head.dropout" = { uniform = [0.0, 2.0] }

[search.halving]
stage = "tail"
"#;
    check(
        &[("stage", text)],
        &[],
        expect![[r#"
        stage.toml:6:9 `"tail"`
          is no stage of this experiment; there are `train`
    "#]],
    );
}

#[test]
fn a_point_of_a_search_that_cannot_be_is_told_at_its_range() {
    let drawn = r#"
[search]
points = 50

[search.space]
"model.head.dropout" = { uniform = [0.0, 2.0] }
"#;
    check(
        &[("range", drawn)],
        &[],
        expect![[r#"
        range.toml:6:36 `[0.0, 2.0]`
          `model.head.dropout` must be at least 0 and below 1 (point 2 has 1.5)
    "#]],
    );
    let choice = r#"
[search.space]
"model.head.dropuot" = { uniform = [0.0, 0.5] }
"stages.tail.batch_size" = { choice = [16, 32] }

[[stages]]
name = "train"
"#;
    check(
        &[("key", choice)],
        &[],
        expect![[r#"
        key.toml:3:1 `"model.head.dropuot"`
          unknown key `dropuot`; did you mean `dropout`?
        key.toml:4:1 `"stages.tail.batch_size"`
          names no item `tail` of `stages`; there are `train`
    "#]],
    );
    let item = r#"
[search]
points = 2

[search.space]
"stages.train.batch_size" = { choice = [16, "many"] }

[[stages]]
name = "train"
"#;
    check(
        &[("item", item)],
        &[],
        expect![[r#"
        item.toml:6:45 `"many"`
          `stages.0.batch_size` must be a whole number, not a string (point 2 has "many")
    "#]],
    );
    let few = r#"
[search]
points = 5

[search.space]
"stages.train.batch_size" = { choice = [16, 32, 32] }

[[stages]]
name = "train"
"#;
    check(
        &[("few", few)],
        &[],
        expect![[r#"
        few.toml:3:10 `5`
          asks for 5 points, and the space seems to have no more than 2
    "#]],
    );
    let many =
        "[search]\npoints = 4000\nspace = { \"model.head.dropout\" = { uniform = [0, 0.5] } }\n";
    check(
        &[("many", &format!("seeds = [0, 1, 2]\n{many}"))],
        &[],
        expect![[r#"
        many.toml:2:2 `search`
          makes 12000 trials (4000 x 3); at most 10000 are planned at once: ask for fewer points
    "#]],
    );
}

/// The values that the points of the search in `text` have, by their numbers, one line each.
fn drawn(text: &str) -> Vec<String> {
    let place = Place::with(&[("e", text)]);
    let written = read(&[place.path("experiments/e.toml")], &[]).unwrap();
    let point = |it: &ferrite_core::config::read::Point| {
        let values = it.varies.iter().map(|(key, value)| format!("{key} = {value}"));
        format!("{} {}", it.number.unwrap(), values.collect::<Vec<_>>().join(", "))
    };
    written[0].points.iter().map(point).collect()
}

#[test]
fn more_points_keep_those_that_there_were_and_another_setting_keeps_the_values_of_the_others() {
    let space = r#"
[[stages]]
name = "train"

[search.space]
"stages.train.optimizer.adam.lr" = { log_uniform = [1e-5, 1e-2] }
"stages.train.batch_size" = { choice = [16, 32, 64] }
"#;
    let few = drawn(&format!("[search]\npoints = 6\n{space}"));
    let many = drawn(&format!("[search]\npoints = 40\n{space}"));
    assert_eq!((few.len(), many.len(), &few[..]), (6, 40, &many[..6]));
    let wider = drawn(&format!(
        "[search]\npoints = 6\n{space}\"model.head.dropout\" = {{ uniform = [0, 0.5] }}\n"
    ));
    for (few, wider) in few.iter().zip(&wider) {
        let rest = few.split_once(' ').unwrap().1;
        assert!(wider.ends_with(rest), "{wider} without {rest}");
    }
    assert_ne!(few, drawn(&format!("[search]\npoints = 6\nseed = 1\n{space}")));
    // What lies on disk is found again, by every version and on every machine.
    expect![[r#"
        1 stages.train.batch_size = 16, stages.train.optimizer.adam.lr = 0.0000325
        2 stages.train.batch_size = 16, stages.train.optimizer.adam.lr = 0.000138
        3 stages.train.batch_size = 32, stages.train.optimizer.adam.lr = 0.00317
        4 stages.train.batch_size = 64, stages.train.optimizer.adam.lr = 0.00163
        5 stages.train.batch_size = 32, stages.train.optimizer.adam.lr = 0.000013
        6 stages.train.batch_size = 32, stages.train.optimizer.adam.lr = 0.000328
    "#]]
    .assert_eq(&(few.join("\n") + "\n"));
}

#[test]
fn equal_points_are_drawn_again_and_every_seed_has_all_of_them() {
    let text = r#"
seeds = [3, 4]

[search]
points = 6

[search.space]
"stages.train.batch_size" = { int_uniform = [2, 7] }

[[stages]]
name = "train"
"#;
    let place = Place::with(&[("e", text)]);
    let written = read(&[place.path("experiments/e.toml")], &[]).unwrap();
    let points = &written[0].points;
    let sizes: std::collections::BTreeSet<usize> =
        points.iter().map(|it| it.settings.stages[0].batch_size).collect();
    assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7]);
    assert_eq!(points.iter().map(|it| it.seed).collect::<Vec<_>>(), [3, 4].repeat(6));
    assert!(points.iter().all(|it| it.settings.search.is_none()));
}

#[test]
fn a_search_over_a_parents_may_draw_a_setting_from_something_else() {
    let parent =
        "[search]\npoints = 3\n[search.space]\n\"model.head.dropout\" = { uniform = [0, 0.5] }\n";
    let child = "extends = \"a.toml\"\n[search.space]\n\"model.head.dropout\" = { choice = [0.1, 0.2, 0.3] }\n";
    let place = Place::with(&[("a", parent), ("b", child)]);
    let written = read(&[place.path("experiments/b.toml")], &["search.points=2".into()]).unwrap();
    let values: Vec<f64> =
        written[0].points.iter().map(|it| it.settings.model.head.dropout).collect();
    assert!(
        values.len() == 2 && values.iter().all(|it| [0.1, 0.2, 0.3].contains(it)),
        "{values:?}"
    );
}
