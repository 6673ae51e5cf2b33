//! Every setting that there is, changed by itself: it changes the key of a step, or it is named here as one that
//! cannot change a result.
//!
//! Settings are found by walking the JSON schema, so a new one is asked for as soon as it exists.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ferrite_core::config::Experiment;
use ferrite_core::config::read::{Point, Written};
use ferrite_core::config::schema::Schema;
use ferrite_core::data::Data;
use ferrite_core::data::fingerprint::identify;
use ferrite_core::data::source::Source;
use ferrite_core::error::Result;
use ferrite_core::model::WeightFile;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::plan::job::Job;
use ferrite_core::plan::{FinishedRun, Lookup, Trial, trials};
use serde_json::{Map, Value as Json, json};

/// Settings that cannot change a result, with the reason.
const NEUTRAL: [(&str, &str); 10] = [
    ("about", "a sentence for the report"),
    ("tags", "words to choose experiments by"),
    ("extends", "what it brings stands in the settings themselves"),
    ("grid", "its points stand in the settings themselves"),
    ("search", "its points stand in the settings themselves"),
    ("data.source.fer2013.csv", "the content of the file counts, not where it lies"),
    ("data.source.folder.path", "the content of the folder counts, not where it lies"),
    ("data.source.manifest.table", "the content of the table counts, not where it lies"),
    ("data.labels.ferplus.votes", "the content of the table counts, not where it lies"),
    ("model.weights.file.path", "the content of the file counts, not where it lies"),
];

/// A value that not every backbone can have; what it decides, the tests of keys say.
const OF_SOME: &str = "keras-imagenet";

/// What stands for any string: names of layers, since some strings must be such.
const STRINGS: [&str; 3] = ["features.16", "all", "head"];

/// A disk on which every file of others has the same content, wherever it lies.
struct SameContent;

impl Lookup for SameContent {
    fn images(&self, data: &Data) -> Result<String> {
        let same = |it: &mut Json| match it {
            Json::Object(fields) => {
                for place in ["csv", "path", "table"] {
                    fields.remove(place);
                }
            }
            _ => unreachable!("sources are tables"),
        };
        Ok(match &data.source {
            Source::Synthetic(_) => identify(data, Path::new("no-cache"))?.fingerprint,
            // What the fingerprint of files is made of beside their content is held by its own tests.
            other => {
                let mut source = json!(other);
                source.as_object_mut().unwrap().values_mut().for_each(same);
                format!("{source} {:?}", data.on_error)
            }
        })
    }

    fn file(&self, _: &Path) -> Result<String> {
        Ok("content".into())
    }

    fn weights(&self, file: &WeightFile, _: Backbone) -> Result<(WeightFile, Implementation)> {
        Ok((file.clone(), Implementation::default()))
    }

    fn run(&self, name: &str) -> Result<FinishedRun> {
        let implementation = Implementation::default();
        Ok(FinishedRun { name: name.into(), key: format!("the key of {name}"), implementation })
    }
}

/// The one trial of the experiment with these settings.
fn trial(settings: &Json) -> Trial {
    let experiment: Experiment = serde_json::from_value(settings.clone())
        .unwrap_or_else(|error| panic!("{error}: {settings:#}"));
    let seed = experiment.seeds[0];
    let point =
        Point { varies: Vec::new(), number: None, seed, settings: Arc::new(experiment.clone()) };
    let (name, path) = ("e".to_owned(), "e.toml".into());
    let extends = Vec::new();
    let written = Written { name, path, extends, experiment, points: vec![point] };
    // What it may start from are others, under the names that stand for every string.
    let sources = STRINGS.map(|name| {
        let mut settings = Experiment::default();
        settings.stages[0].name = name.replace('.', "-");
        let point = Point {
            varies: Vec::new(),
            number: None,
            seed: 0,
            settings: Arc::new(settings.clone()),
        };
        let (name, path) = (name.to_owned(), format!("{name}.toml").into());
        let extends = Vec::new();
        Written { name, path, extends, experiment: settings, points: vec![point] }
    });
    let all = [sources.as_slice(), &[written]].concat();
    trials(&all, &SameContent).unwrap().pop().unwrap()
}

/// Walks the schema and remembers what it found.
struct Walk {
    schema: Schema,
    /// Settings that were changed.
    seen: BTreeSet<String>,
    /// Settings a change of which changed a key.
    deciding: BTreeSet<String>,
}

impl Walk {
    /// Changes everything at and below `path`, where the experiment `base` has a value of this `definition`.
    fn at(&mut self, path: &[String], definition: &Json, base: &Json) {
        let definition = self.schema.named(definition).schema.clone();
        if let Some(properties) = definition.get("properties").and_then(Json::as_object) {
            for (name, property) in properties {
                let base = self.with_table(path, name, property, base);
                self.at(&[path, std::slice::from_ref(name)].concat(), property, &base);
            }
            return;
        }
        let options = ["oneOf", "anyOf"].iter().find_map(|it| definition.get(*it)?.as_array());
        if let Some(options) = options.filter(|it| it.iter().any(|it| it["type"] != "null")) {
            for option in options.iter().filter(|it| it["type"] != "null") {
                self.variant(path, option, base);
            }
            return;
        }
        if definition["type"] == "array" {
            let item = definition.get("items").cloned().unwrap_or(Json::Null);
            if definition.get("minItems").is_none() {
                let mut more = base.pointer(&pointer(path)).cloned().unwrap_or(json!([]));
                more.as_array_mut().unwrap().insert(0, self.example(&item, 1));
                self.change(path, base, more);
            }
            if base.pointer(&format!("{}/0", pointer(path))).is_some() {
                self.at(&[path, &["0".to_owned()]].concat(), &item, base);
            }
            return;
        }
        for n in 1..3 {
            let other = self.example(&definition, n);
            if base.pointer(&pointer(path)) != Some(&other) {
                return self.change(path, base, other);
            }
        }
    }

    /// `base` where the optional table `name` at `path` stands, so that its settings can be changed.
    fn with_table(&mut self, path: &[String], name: &str, property: &Json, base: &Json) -> Json {
        let below = [path, &[name.to_owned()]].concat();
        let is_there = base.pointer(&pointer(&below)).is_some_and(|it| !it.is_null());
        let definition = self.schema.named(property).schema.clone();
        if is_there || definition.get("properties").is_none() {
            return base.clone();
        }
        let table = self.example(&definition, 0);
        self.change(&below, base, table.clone());
        with(base, &below, table)
    }

    /// One variant of a choice: chosen instead of what stands in `base`, and then changed itself.
    fn variant(&mut self, path: &[String], option: &Json, base: &Json) {
        let keyed = option.get("properties").and_then(Json::as_object);
        let names = option.get("const").into_iter().cloned();
        let names = names.chain(option["enum"].as_array().into_iter().flatten().cloned());
        for name in names.filter(|it| *it != OF_SOME) {
            if base.pointer(&pointer(path)) != Some(&name) {
                self.change(path, base, name);
            }
        }
        for (name, inner) in keyed.into_iter().flatten() {
            let chosen = json!({ name: self.example(inner, 0) });
            let below = [path, std::slice::from_ref(name)].concat();
            if base.pointer(&pointer(&below)).is_none() {
                self.change(path, base, chosen.clone());
            }
            let base = if base.pointer(&pointer(&below)).is_none() {
                with(base, path, chosen)
            } else {
                base.clone()
            };
            self.at(&below, inner, &base);
        }
        if keyed.is_none() && option.get("const").is_none() && option.get("enum").is_none() {
            let other = self.example(option, 1);
            self.change(path, base, other);
        }
    }

    /// Changes one setting of `base`, and sees whether a key changes. The job of the trial must come back from its file.
    fn change(&mut self, path: &[String], base: &Json, value: Json) {
        let name = path.join(".");
        let changed = trial(&with(base, path, value.clone()));
        let job = Job::new(&changed, None);
        let back = Job::from_json(&job.to_json(), Path::new("job.json")).unwrap();
        assert_eq!(back, job, "{name}");
        let before = trial(base);
        // What is written out may be the default.
        if changed.settings == before.settings {
            return;
        }
        if changed.key != before.key {
            self.deciding.insert(name.clone());
        }
        self.seen.insert(name);
    }

    /// A value of this definition, another one for each `n`.
    fn example(&self, definition: &Json, n: usize) -> Json {
        let definition = self.schema.named(definition).schema;
        if let Some(properties) = definition.get("properties").and_then(Json::as_object) {
            let required = definition["required"].as_array();
            let names = required.into_iter().flatten().filter_map(Json::as_str);
            let fields = names.map(|it| (it.to_owned(), self.example(&properties[it], n)));
            return Json::Object(fields.collect::<Map<_, _>>());
        }
        let options = ["oneOf", "anyOf"].iter().find_map(|it| definition.get(*it)?.as_array());
        if let Some(options) = options {
            return self.example(options.iter().find(|it| it["type"] != "null").unwrap(), n);
        }
        let constant = definition.get("const").or_else(|| definition.get("enum")?.get(n));
        if let Some(constant) = constant {
            return constant.clone();
        }
        let kind = match &definition["type"] {
            Json::Array(kinds) => kinds.iter().find(|it| *it != "null").unwrap().clone(),
            kind => kind.clone(),
        };
        let items = definition["minItems"].as_u64().unwrap_or(n.min(1) as u64);
        match kind.as_str().unwrap_or_default() {
            "boolean" => json!(n == 1),
            "integer" => json!(n + 2),
            "number" => json!(0.25 + n as f64 / 4.0),
            "string" => json!(STRINGS[n]),
            "object" => {
                let of_any_key = definition.get("additionalProperties");
                let table = of_any_key.filter(|it| it.get("$ref").is_some());
                let value = table.map_or_else(|| json!([n]), |it| self.example(it, n));
                json!({ "data.limit": value })
            }
            "array" => (0..items).map(|_| self.example(&definition["items"], n)).collect(),
            other => panic!("no example of `{other}`: {definition:#}"),
        }
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|it| format!("/{it}")).collect()
}

/// `base` with another value at `path`.
fn with(base: &Json, path: &[String], value: Json) -> Json {
    let mut changed = base.clone();
    let mut at = &mut changed;
    for name in path {
        at = match at {
            Json::Array(items) => &mut items[name.parse::<usize>().unwrap()],
            Json::Object(fields) => fields.entry(name.clone()).or_insert(Json::Null),
            _ => panic!("nothing stands below {path:?}"),
        };
    }
    *at = value;
    changed
}

#[test]
fn every_setting_decides_a_key_or_is_known_to_decide_no_result() {
    let schema = Schema::of_experiment();
    let root = schema.root.clone();
    let mut walk = Walk { schema, seen: BTreeSet::new(), deciding: BTreeSet::new() };
    // Both kinds of published weights are there for it, and a layer of every kind is frozen.
    let mut base = json!(Experiment::default());
    base["stages"][0]["trainable"] = json!("features.17");
    walk.at(&[], &root, &base);
    assert!(walk.seen.len() > 100, "only {} settings were found", walk.seen.len());
    let neutral = |it: &str| {
        NEUTRAL.iter().any(|(name, _)| it == *name || it.starts_with(&format!("{name}.")))
    };
    let forgotten: Vec<&String> =
        walk.seen.difference(&walk.deciding).filter(|it| !neutral(it)).collect();
    assert!(
        forgotten.is_empty(),
        "no key changes with {forgotten:?}: give them a place in the settings of a step (crates/core/src/plan/steps), or say in \
         NEUTRAL why they cannot change a result"
    );
    for (name, _) in NEUTRAL {
        assert!(walk.seen.contains(name), "there is no setting `{name}` any more");
        assert!(!walk.deciding.contains(name), "`{name}` changes a key: take it out of NEUTRAL");
    }
}
