//! The JSON schema of experiment files, as editors want it: they complete and check while one types.
//!
//! Ferrite itself compares a file with the schema of [`Schema`] when parents and file are merged. An editor sees one
//! file alone and knows JSON better than TOML. So what a parent may say is not required here, nothing is null, no default
//! is a table that would be proposed as a whole, and a choice is one list of names or one table with one key, since of
//! an `oneOf` editors say that nothing fits, and not what.

use serde_json::{Map, Value as Json, json};

use crate::config::docs::{plain_names, properties, text};
use crate::config::schema::Schema;

/// What the schema is called beside the experiments.
pub const FILE: &str = "experiment.schema.json";

/// The content of [`FILE`].
pub fn schema() -> String {
    let mut root = Schema::of_experiment().root;
    adapt(&mut root);
    root["$comment"] = "Written by `ferrite docs --schema`.".into();
    let text = serde_json::to_string_pretty(&root).expect("a JSON value can be written");
    format!("{text}\n")
}

/// Makes `schema` and all schemas in it fit for editors.
fn adapt(schema: &mut Json) {
    let Some(schema) = schema.as_object_mut() else { return };
    for (key, value) in schema.iter_mut() {
        match (key.as_str(), value) {
            ("properties" | "$defs", Json::Object(named)) => named.values_mut().for_each(adapt),
            ("oneOf" | "anyOf", Json::Array(options)) => options.iter_mut().for_each(adapt),
            ("items" | "additionalProperties", inner) => adapt(inner),
            _ => {}
        }
    }
    // What starts with `x-` is Ferrite's own, beside the standard.
    schema.retain(|key, _| key != "required" && !key.starts_with("x-"));
    if schema.get("default").is_some_and(|it| !is_plain(it)) {
        schema.remove("default");
    }
    take_null_out(schema);
    join_variants(schema);
}

/// Whether an editor that proposes `default` as the value helps, rather than writing a whole table.
fn is_plain(default: &Json) -> bool {
    match default {
        Json::Null | Json::Object(_) => false,
        Json::Array(items) => items.iter().all(is_plain),
        _ => true,
    }
}

/// Takes out of `schema` that a value may be null, which nothing in TOML is.
fn take_null_out(schema: &mut Map<String, Json>) {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|it| it != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Json::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|it| it["type"] != "null");
        if let [Json::Object(only)] = options.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            let own = std::mem::replace(schema, only);
            schema.extend(own);
        }
    }
}

/// Makes one table of the variants of a choice that are tables, each of which has a key of its own, and one list of
/// names of the others.
fn join_variants(choice: &mut Map<String, Json>) {
    let Some(Json::Array(variants)) = choice.remove("oneOf") else { return };
    let (mut tables, mut names, mut meanings) = (Map::new(), Vec::new(), Vec::new());
    for variant in &variants {
        let meaning = text(variant, "description");
        for (name, settings) in properties(variant) {
            let mut settings = settings.clone();
            settings["description"] = meaning.into();
            tables.insert(name.clone(), settings);
        }
        for name in plain_names(variant) {
            names.push(name);
            meanings.push(meaning);
        }
    }
    let mut options = Vec::new();
    if !names.is_empty() {
        // What each name means, where taplo looks for it.
        let docs = json!({ "docs": { "enumValues": meanings } });
        options.push(json!({ "type": "string", "enum": names, "x-taplo": docs }));
    }
    if !tables.is_empty() {
        options.push(json!({
            "type": "object",
            "properties": tables,
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
        }));
    }
    match options.as_slice() {
        [Json::Object(only)] => choice.extend(only.clone()),
        _ => drop(choice.insert("oneOf".into(), options.into())),
    }
}
