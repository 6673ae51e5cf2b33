//! Commands that look after a folder of runs, as far as nothing is trained: what plans cost, status, what is chosen, what is
//! removed. The runs are written here as a worker would write them.

use ferrite_testing::{Place, SMALL, Told};
use serde_json::{Value, json};

fn json_of(told: &Told) -> Value {
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

/// Writes the log of a run called `name`: events without checksums, as older versions wrote them.
fn run(place: &Place, name: &str, epochs: usize, end: &Value) {
    let mut lines = vec![
        json!({"at_ms": 1000, "event": "run-started", "format": 3, "ferrite": "0.1.0", "key": "k", "device": "cpu",
               "threads": 1, "precision": "f32", "imitated": false, "resumed": false}),
        json!({"at_ms": 1000, "event": "stage-started", "stage": "head", "epochs": 4, "steps_per_epoch": 3, "trainable": [],
               "frozen": [], "prefix_cached": false}),
    ];
    for epoch in 1..=epochs {
        let scores = json!({"loss": 2.0 / epoch as f64, "accuracy": 0.5});
        lines.push(json!({"at_ms": 1000 * (epoch + 1), "event": "epoch-ended", "stage": "head", "epoch": epoch, "lr": 0.1,
                          "train": scores, "valid": scores, "seconds": 1.0, "images_per_second": 50.0}));
    }
    if !end.is_null() {
        lines.push(end.clone());
    }
    let text: String = lines.iter().map(|it| format!("{it}\n")).collect();
    place.write(&format!("runs/{name}/events.jsonl"), text);
    let settings = "seeds = [0]\n[[stages]]\nname = \"head\"\nepochs = 4\n";
    place.write(&format!("runs/{name}/trial.toml"), settings);
}

fn failed() -> Value {
    json!({"at_ms": 9000, "event": "run-failed", "message": "the disk is full", "help": "", "exit_code": 5})
}

fn stopped() -> Value {
    json!({"at_ms": 9000, "event": "run-interrupted"})
}

#[test]
fn status_has_a_word_for_every_state_and_counts_epochs() {
    let place = Place::with(&[]);
    run(&place, "a/seed-0-00000000", 2, &stopped());
    run(&place, "a/seed-1-00000000", 3, &Value::Null);
    run(&place, "b/seed-0-00000000", 1, &failed());
    run(&place, "c/seed-0-00000000", 1, &Value::Null);
    place.write("runs/c/seed-0-00000000/trial.toml", "broken = [");
    place.write("runs/a/experiment.toml", "tags = [\"night\"]\n");
    let told = place.ferrite(&["status"]);
    told.ends_with(0)
        .says("2/4")
        .says("stopped")
        .says("interrupted")
        .says("failed: the disk is full");
    told.says("night").says("█▁").says("trial.toml` is damaged");
    told.says("3 runs: 1 failed, 1 stopped, 1 interrupted, 1 damaged");
    let all = json_of(&place.ferrite(&["status", "--json"]));
    let first = &all["runs"][0];
    assert_eq!((&first["was_asked"], &first["state"]), (&json!(true), &json!("interrupted")));
    assert_eq!((&first["epochs"], &first["planned_epochs"]), (&json!(2), &json!(4)));
    assert_eq!((&first["tags"], &all["sweeps"]), (&json!(["night"]), &json!([])));
    for (select, count) in [("night", 2), ("b", 1), ("*/seed-0", 2), ("a/seed-1", 1)] {
        let told = json_of(&place.ferrite(&["status", "--json", "--select", select]));
        assert_eq!(told["runs"].as_array().unwrap().len(), count, "{select}");
    }
    place.ferrite(&["status", "--select", "nigth"]).ends_with(2).says("`nigth` names no run");
}

#[test]
fn a_plan_says_what_it_costs_by_its_schema_and_who_shares_what() {
    let place =
        Place::with(&[("a", SMALL), ("b", &SMALL.replace("batch_size = 16", "batch_size = 8"))]);
    let text = place.ferrite(&["plan", "--jobs", "2"]);
    text.ends_with(0).says("shared by 2 trials, with `b`").says("with 2 at once on cpu");
    text.says("a guess from multiplications, for nothing ran on this machine")
        .says("sharing saves");
    assert!(text.out.lines().all(|it| it.chars().count() <= 80), "{}", text.out);
    let plan = json_of(&place.ferrite(&["plan", "--json", "--jobs", "2"]));
    assert_eq!(plan, json_of(&place.ferrite(&["sweep", "--dry-run", "--json", "--jobs", "2"])));
    let costs = &plan["costs"];
    let [once, alone, jobs] = ["seconds", "seconds_alone", "seconds_with_jobs"]
        .map(|it| costs[it].as_f64().unwrap_or_else(|| panic!("{costs}")));
    assert!(0.0 < jobs && jobs < once && once < alone, "{costs}");
    let steps: f64 = plan["trials"][0]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["seconds"].as_f64().unwrap())
        .sum();
    assert!(steps < once, "{steps} of {once}");
    let schema: Value =
        serde_json::from_str(&place.ferrite(&["plan", "--schema"]).ends_with(0).out).unwrap();
    conforms(&plan, &schema, &schema, "plan");
}

#[test]
fn the_schema_of_plans_is_the_one_in_the_documentation() {
    let told = Place::with(&[]).ferrite(&["plan", "--schema"]);
    let written = ferrite_testing::project().join("docs/plan.schema.json");
    let written = std::fs::read_to_string(written).unwrap();
    assert!(told.ends_with(0).out == written, "`make docs` writes it anew");
}

/// Whether `value` is what `schema` says, as far as types, fields and words go.
fn conforms(value: &Value, schema: &Value, root: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let known = name.strip_prefix("#/$defs/").unwrap();
        return conforms(value, &root["$defs"][known], root, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let other = any.iter().find(|it| (it["type"] == "null") == value.is_null());
        return conforms(value, other.unwrap(), root, at);
    }
    if let Some(words) = schema["enum"].as_array() {
        return assert!(words.contains(value), "{at}: {value} is none of {words:?}");
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(it) if it.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = &schema["type"];
    assert!(
        allowed == is || allowed.as_array().is_some_and(|it| it.contains(&is.into())),
        "{at}: {is}, not {allowed}"
    );
    match value {
        Value::Array(all) => all.iter().for_each(|it| conforms(it, &schema["items"], root, at)),
        Value::Object(fields) => {
            for name in schema["required"].as_array().unwrap() {
                assert!(fields.contains_key(name.as_str().unwrap()), "{at} has no {name}");
            }
            for (name, it) in fields {
                let known = &schema["properties"][name];
                assert!(!known.is_null(), "{at}.{name} is not in the schema");
                conforms(it, known, root, &format!("{at}.{name}"));
            }
        }
        _ => {}
    }
}

#[test]
fn trials_are_chosen_by_name_pattern_and_tag_with_what_they_start_from() {
    let behind = format!(
        "tags = [\"late\"]\nseeds = [0, 1]\n{SMALL}[model]\nweights = {{ experiment = \"a\" }}\n"
    );
    let place = Place::with(&[
        ("a", SMALL),
        ("b", &behind),
        ("c", &format!("tags = [\"late\", \"x.1\"]\nseeds = [0, 1]\n{SMALL}")),
    ]);
    let names = |select: &[&str]| {
        let select = select.iter().flat_map(|it| ["--select", it]);
        let arguments: Vec<&str> = ["plan", "--json"].into_iter().chain(select).collect();
        let plan = json_of(&place.ferrite(&arguments));
        let trials = plan["trials"].as_array().unwrap().clone();
        let name =
            |it: &Value| it["trial"].as_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
        trials.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["c"]), ["c/seed-0", "c/seed-1"]);
    assert_eq!(names(&["experiments/c.toml"]), ["c/seed-0", "c/seed-1"]);
    assert_eq!(names(&["*/seed-1"]), ["a/seed-0", "b/seed-1", "c/seed-1"]);
    assert_eq!(names(&["x.1"]), ["c/seed-0", "c/seed-1"]);
    assert_eq!(names(&["late"]).len(), 5);
    assert_eq!(names(&["b/seed-0", "c/seed-0"]), ["a/seed-0", "b/seed-0", "c/seed-0"]);
    place
        .ferrite(&["plan", "--select", "d"])
        .ends_with(2)
        .says("means no trial of these experiments");
    place.ferrite(&["sweep", "--select", "["]).ends_with(2).says("is no pattern");
    place.write("experiments/a.toml", format!("tags = [\"two words\"]\n{SMALL}"));
    place.ferrite(&["plan"]).ends_with(2).says("a tag is a word of letters, digits");
}

#[test]
fn runs_are_removed_by_name_unless_they_run_and_never_without_a_yes() {
    let place = Place::with(&[]);
    for name in ["a/seed-0-00000000", "a/seed-1-00000000", "b/seed-0-00000000"] {
        run(&place, name, 1, &stopped());
    }
    place.write("runs/a/experiment.toml", "about = \"a\"\n");
    place.ferrite(&["rm", "a"]).ends_with(2).says("there is nobody to ask").says("--yes");
    place.ferrite(&["rm", "c"]).ends_with(2).says("there is no run `c`");
    let lock = std::fs::File::create(place.path("runs/a/seed-0-00000000/.lock")).unwrap();
    lock.lock().unwrap();
    place
        .ferrite(&["rm", "a", "--yes"])
        .ends_with(2)
        .says("is running")
        .says("ferrite stop a/seed-0");
    assert!(place.path("runs/a/seed-1-00000000").exists());
    let told = place.ferrite(&["stop", "a"]);
    told.ends_with(0).says("asked to stop at the end of the running epoch").says("a/seed-0");
    assert!(place.path("runs/a/seed-0-00000000/.stop").exists());
    drop(lock);
    place.ferrite(&["stop", "a"]).ends_with(0).says("none of these is running");
    let told = place.ferrite(&["rm", "a", "--yes", "--json"]);
    assert_eq!(json_of(&told)["removed"].as_array().unwrap().len(), 2);
    assert!(!place.path("runs/a").exists() && place.path("runs/b/seed-0-00000000").exists());
    assert!(!place.path("runs/.store/removed").exists());
}

#[test]
fn only_what_nobody_refers_to_is_collected_and_what_is_held_stays() {
    let place = Place::with(&[("a", SMALL)]);
    let plan = json_of(&place.ferrite(&["plan", "--json"]));
    let steps = plan["trials"][0]["steps"].as_array().unwrap();
    let wanted: Vec<String> = steps
        .iter()
        .map(|it| format!("{}/{}", it["kind"].as_str().unwrap(), it["key"].as_str().unwrap()))
        .collect();
    let of_a_run = "f".repeat(64);
    run(&place, "old/seed-0-00000000", 1, &stopped());
    place.write(
        "runs/old/seed-0-00000000/job.json",
        json!({"chain": [{"key": of_a_run, "step": {"stage": {"lineage": "e"}}}]}).to_string(),
    );
    place.write("runs/old/seed-0-00000000/predictions.damaged.csv", "12345");
    let store = |below: &str| place.write(&format!("runs/.store/{below}"), "0123456789");
    for it in &wanted {
        store(&format!("{it}/manifest.json"));
    }
    for below in [
        "stage/1/weights",
        "stage/2.partial/checkpoint",
        "stage/3.damaged/weights",
        "features/4-train/x",
        "stage/5/w",
    ] {
        store(below);
    }
    store(&format!("stage/{of_a_run}.partial/checkpoint"));
    store("checkpoint/e/f32/2.safetensors");
    let lock = std::fs::File::create(place.path("runs/.store/stage/5.lock")).unwrap();
    lock.lock().unwrap();
    let seen = || json_of(&place.ferrite(&["gc", "--dry-run", "--json"]));
    let count = |told: &Value, at: usize| told["groups"][at]["paths"].as_array().unwrap().len();
    let told = seen();
    assert_eq!([0, 1, 2, 3, 4].map(|it| count(&told, it)), [2, 1, 2, 0, 0], "{told}");
    assert_eq!((&told["bytes"], &told["removed"]), (&json!(45), &json!(false)));
    place.ferrite(&["gc"]).ends_with(2).says("there is nobody to ask");
    let told = place.ferrite(&["gc", "--yes"]);
    told.ends_with(0).says("removed 5 things of 45 bytes");
    for below in ["stage/1", "stage/2.partial", "stage/3.damaged", "features/4-train", "removed"] {
        assert!(!place.path(&format!("runs/.store/{below}")).exists(), "{below}");
    }
    for it in &wanted {
        assert!(place.path(&format!("runs/.store/{it}")).exists(), "{it}");
    }
    assert!(place.path("runs/.store/stage/5/w").exists(), "somebody holds it");
    assert!(
        place.path("runs/.store/checkpoint/e/f32/2.safetensors").exists(),
        "a run's stage left it"
    );
    let all = json_of(&place.ferrite(&["gc", "--dry-run", "--json", "--with-runs"]));
    assert_eq!([0, 1, 2, 3, 4].map(|it| count(&all, it)), [0, 0, 0, 0, 1]);
    // Of an experiment that cannot be planned nobody knows the trials.
    place.write(
        "experiments/old.toml",
        "[data]\nsource = { folder = { path = \"gone\", classes = [\"x\", \"y\"] } }\n",
    );
    let told = place.ferrite(&["gc", "--dry-run", "--with-runs"]);
    told.ends_with(0)
        .says("1 experiment cannot be planned")
        .says("there is nothing that nobody refers to");
    std::fs::remove_file(place.path("experiments/old.toml")).unwrap();
    place.ferrite(&["gc", "--yes", "--with-runs"]).ends_with(0);
    assert!(!place.path("runs/old").exists(), "and nothing refers to its checkpoint now");
    assert_eq!(count(&seen(), 1), 1);
}

#[test]
fn where_nothing_runs_nothing_is_stopped_and_where_nothing_failed_nothing_is_retried() {
    let place = Place::with(&[("a", SMALL)]);
    place.ferrite(&["stop"]).ends_with(2).says("there is no folder of runs");
    run(&place, "b/seed-0-00000000", 1, &stopped());
    place.ferrite(&["stop", "--wait"]).ends_with(0).says("no sweep runs here");
    let told = json_of(&place.ferrite(&["stop", "--json"]));
    assert_eq!(told["stopped"], json!([]));
}
