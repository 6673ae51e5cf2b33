//! The reference manual, written from the tables' doc comments.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::config::schema::Schema;

const HEAD: &str = "\
# Settings

Every key of an experiment file. This page is written from the doc comments in the source by
`ferrite docs`; a test fails when it is stale. What is left out has its default. An unknown key is an error.

";

/// `docs/config.md`.
pub fn manual() -> String {
    let schema = Schema::of_experiment();
    let mut page = HEAD.to_owned();
    let mut done = Vec::new();
    table(&schema, &schema.root, "", &mut page, &mut done);
    page
}

fn text(schema: &Json, key: &str) -> String {
    schema.get(key).and_then(Json::as_str).unwrap_or_default().replace('\n', " ")
}

/// A section for the table `definition` at `place`, then one for each table and choice in it.
fn table(
    schema: &Schema,
    definition: &Json,
    place: &str,
    page: &mut String,
    done: &mut Vec<String>,
) {
    let Some(properties) = definition.get("properties").and_then(Json::as_object) else { return };
    let title = if place.is_empty() { "The file".into() } else { format!("`{place}`") };
    let _ = writeln!(page, "## {title}\n\n{}\n", text(definition, "description"));
    let _ = writeln!(page, "| key | value | default | meaning |\n|---|---|---|---|");
    for (name, property) in properties {
        let kind = kind_of(schema, property);
        let default = property.get("default").map_or(String::new(), |it| shown_default(it, &kind));
        let own = text(property, "description");
        let meaning =
            if own.is_empty() { text(schema.resolve(property), "description") } else { own };
        let _ =
            writeln!(page, "| `{name}` | {kind} | {default} | {} |", meaning.replace('|', "\\|"));
    }
    page.push('\n');
    for (name, property) in properties {
        let below = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        section(schema, property, &below, page, done);
    }
}

fn section(
    schema: &Schema,
    property: &Json,
    place: &str,
    page: &mut String,
    done: &mut Vec<String>,
) {
    let definition = schema.resolve(property);
    if let Some(items) = definition.get("items").filter(|it| it.get("$ref").is_some()) {
        return section(schema, items, &format!("{place}[]"), page, done);
    }
    let name = text(definition, "title") + &definition.to_string();
    if done.contains(&name) {
        return;
    }
    done.push(name);
    if definition.get("oneOf").is_some() {
        choice(schema, definition, place, page, done);
    } else {
        table(schema, definition, place, page, done);
    }
}

fn choice(
    schema: &Schema,
    definition: &Json,
    place: &str,
    page: &mut String,
    done: &mut Vec<String>,
) {
    let _ = writeln!(page, "## `{place}`\n\n{}\n", text(definition, "description"));
    let _ = writeln!(page, "| choice | meaning |\n|---|---|");
    let variants = || definition["oneOf"].as_array().into_iter().flatten();
    for variant in variants() {
        let meaning = text(variant, "description");
        for plain in plain_names(variant) {
            let _ = writeln!(page, "| `\"{plain}\"` | {meaning} |");
        }
        for (name, inner) in keyed(variant) {
            let kind = kind_of(schema, inner);
            let _ = writeln!(page, "| `{{ {name} = … }}` ({kind}) | {meaning} |");
        }
    }
    page.push('\n');
    for (name, inner) in variants().flat_map(keyed) {
        section(schema, inner, &format!("{place}.{name}"), page, done);
    }
}

fn plain_names(variant: &Json) -> Vec<&str> {
    let several = variant.get("enum").and_then(Json::as_array).into_iter().flatten();
    variant.get("const").into_iter().chain(several).filter_map(Json::as_str).collect()
}

fn keyed(variant: &Json) -> Vec<(&String, &Json)> {
    variant.get("properties").and_then(Json::as_object).into_iter().flatten().collect()
}

fn kind_of(schema: &Schema, property: &Json) -> String {
    let definition = schema.resolve(property);
    if definition.get("oneOf").is_some() || definition.get("enum").is_some() {
        return "choice".into();
    }
    if let Some(options) = definition.get("anyOf").and_then(Json::as_array) {
        let names: Vec<_> = options.iter().map(|it| kind_of(schema, it)).collect();
        return names.join(" or ");
    }
    let kind = match definition.get("type") {
        Some(Json::String(kind)) => kind.as_str(),
        Some(Json::Array(kinds)) => kinds.first().and_then(Json::as_str).unwrap_or_default(),
        _ => "",
    };
    match kind {
        "object" => "table".into(),
        "array" => {
            format!("list of {}s", kind_of(schema, definition.get("items").unwrap_or(&Json::Null)))
        }
        "integer" => "whole number".into(),
        "boolean" => "true or false".into(),
        "" => "value".into(),
        kind => kind.into(),
    }
}

fn shown_default(default: &Json, kind: &str) -> String {
    match default {
        Json::Null => String::new(),
        Json::Object(_) if kind == "table" => String::new(),
        Json::Array(items) if items.iter().any(Json::is_object) => String::new(),
        Json::Object(choice) => {
            let names: Vec<_> = choice.keys().map(String::as_str).collect();
            format!("`{{ {} = … }}`", names.join(", "))
        }
        value => format!("`{value}`"),
    }
}
