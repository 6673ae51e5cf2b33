//! The reference manual, written from the tables' doc comments.
//!
//! A section for each table and for each choice between variants, every one of them once: what is used in
//! several places is described at the first and linked from the others.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::config::schema::Schema;

const HEAD: &str = "\
# Settings

Every key of an experiment file. This page is written from the doc comments in the source by `make docs`.

- What is left out has its default; where the default is empty, the text says what leaving it out means.
- An unknown key is an error, in every table.
- Behind a comma stands what a number is counted in.
- A choice is written as a string (`schedule = \"cosine\"`) or, where it has settings of its own, as a table
  with one key (`optimizer = { adam = { lr = 1e-4 } }`).
- The headings are the dotted keys that `[grid]` and `--set` take; a stage is called by its name.

";

/// A part of the manual: a table or a choice.
struct Section<'a> {
    /// Its dotted key; empty for the whole file.
    place: String,
    /// What it is for, unless its own description says so.
    about: &'a str,
    /// Its JSON schema.
    definition: &'a Json,
}

struct Manual<'a> {
    schema: &'a Schema,
    sections: Vec<Section<'a>>,
}

/// `docs/config.md`.
pub fn manual() -> String {
    let schema = Schema::of_experiment();
    let mut manual = Manual { schema: &schema, sections: Vec::new() };
    manual.collect(&schema.root, String::new(), "");
    let sections: Vec<String> = manual.sections.iter().map(|it| manual.page(it)).collect();
    format!("{HEAD}{}", sections.join("\n"))
}

/// A text of `schema`, as one line.
fn line(schema: &Json, key: &str) -> String {
    text(schema, key).replace("\n\n", " ").replace('\n', " ").replace('|', "\\|")
}

/// A text of `schema`; empty if it has none.
pub(super) fn text<'a>(schema: &'a Json, key: &str) -> &'a str {
    schema.get(key).and_then(Json::as_str).unwrap_or_default()
}

/// The settings of a table, or of a variant that is one, with their schemas.
pub(super) fn properties(definition: &Json) -> impl Iterator<Item = (&String, &Json)> {
    definition.get("properties").and_then(Json::as_object).into_iter().flatten()
}

fn variants(definition: &Json) -> impl Iterator<Item = &Json> {
    definition.get("oneOf").and_then(Json::as_array).into_iter().flatten()
}

impl<'a> Manual<'a> {
    /// Collects the section of `property` and those below it.
    fn collect(&mut self, property: &'a Json, place: String, about: &'a str) {
        let definition = self.schema.resolve(property);
        if let Some(items) = definition.get("items") {
            // Only tables in a list have names of their own.
            let table = is_table(self.schema.resolve(items));
            let place = if table { format!("{place}.<name>") } else { place };
            return self.collect(items, place, about);
        }
        let worth = properties(definition).chain(variants(definition).flat_map(properties)).count()
            + variants(definition).count();
        if worth == 0 || self.section_of(property).is_some() {
            return;
        }
        self.sections.push(Section { place: place.clone(), about, definition });
        let below = |name: &str| match place.as_str() {
            "" => name.to_owned(),
            place => format!("{place}.{name}"),
        };
        for (name, property) in properties(definition) {
            self.collect(property, below(name), "");
        }
        for variant in variants(definition) {
            for (name, inner) in properties(variant) {
                self.collect(inner, below(name), text(variant, "description"));
            }
        }
    }

    /// The section that describes `property`, or the items of its list.
    fn section_of(&self, property: &Json) -> Option<&Section<'a>> {
        let definition = self.schema.resolve(property);
        let definition = match definition.get("items") {
            Some(items) => self.schema.resolve(items),
            None => definition,
        };
        self.sections.iter().find(|it| std::ptr::eq(it.definition, definition))
    }

    fn page(&self, section: &Section<'_>) -> String {
        let Section { place, about, definition } = section;
        let title = if place.is_empty() { "The file".into() } else { format!("`{place}`") };
        let own = text(definition, "description");
        let about = if own.is_empty() { about } else { own };
        let is_choice = variants(definition).next().is_some();
        let rows = if is_choice { self.choices(definition) } else { self.keys(definition) };
        format!("## {title}\n\n{about}\n\n{rows}")
    }

    /// The rows of a table: plain keys first, then those with a section of their own.
    fn keys(&self, definition: &Json) -> String {
        let mut rows = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
        let required: Vec<&str> = match definition.get("required").and_then(Json::as_array) {
            Some(names) => names.iter().filter_map(Json::as_str).collect(),
            None => Vec::new(),
        };
        let is_table = |it: &Json| self.section_of(it).is_some_and(|it| is_table(it.definition));
        let (tables, plain): (Vec<_>, Vec<_>) =
            properties(definition).partition(|(_, property)| is_table(property));
        for (name, property) in plain.into_iter().chain(tables) {
            let default = match property.get("default") {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                Some(default) if !is_table(property) => shown(default),
                _ => String::new(),
            };
            let own = line(property, "description");
            let behind = || line(self.schema.resolve(property), "description");
            let meaning = if own.is_empty() { behind() } else { own };
            let kind = self.linked_kind(property);
            let unit = match text(property, "x-unit") {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            let _ = writeln!(rows, "| `{name}` | {kind}{unit} | {default} | {meaning} |");
        }
        rows
    }

    fn choices(&self, definition: &Json) -> String {
        let mut rows = "| choice | meaning |\n|---|---|\n".to_owned();
        for variant in variants(definition) {
            let meaning = line(variant, "description");
            for plain in plain_names(variant) {
                let _ = writeln!(rows, "| `\"{plain}\"` | {meaning} |");
            }
            for (name, inner) in properties(variant) {
                let kind = self.linked_kind(inner);
                let _ = writeln!(rows, "| `{{ {name} = … }}`, a {kind} | {meaning} |");
            }
        }
        rows
    }

    fn linked_kind(&self, property: &Json) -> String {
        let kind = self.kind(property);
        match self.section_of(property) {
            Some(section) => format!("[{kind}](#{})", anchor(&section.place)),
            None => kind,
        }
    }

    fn kind(&self, property: &Json) -> String {
        /// So many names can stand in a cell.
        const FEW: usize = 3;
        let definition = self.schema.resolve(property);
        let names: Vec<String> =
            variants(definition).flat_map(plain_names).map(|it| format!("`\"{it}\"`")).collect();
        let all_plain = variants(definition).all(|it| properties(it).next().is_none());
        if all_plain && (1..=FEW).contains(&names.len()) {
            return one_of(&names);
        }
        if variants(definition).next().is_some() {
            return "choice".into();
        }
        if let Some(options) = definition.get("anyOf").and_then(Json::as_array) {
            let names: Vec<_> = options.iter().map(|it| self.kind(it)).collect();
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
                let item = self.kind(definition.get("items").unwrap_or(&Json::Null));
                match definition.get("minItems").and_then(Json::as_u64) {
                    Some(count) => format!("{count} {item}s"),
                    None => format!("list of {item}s"),
                }
            }
            "integer" => "whole number".into(),
            "boolean" => "true or false".into(),
            "" => "value".into(),
            kind => kind.into(),
        }
    }
}

fn is_table(definition: &Json) -> bool {
    variants(definition).next().is_none()
}

/// The names that a variant of a choice stands for where it is a string.
pub(super) fn plain_names(variant: &Json) -> Vec<&str> {
    let several = variant.get("enum").and_then(Json::as_array).into_iter().flatten();
    variant.get("const").into_iter().chain(several).filter_map(Json::as_str).collect()
}

/// The names as a choice between them.
fn one_of(names: &[String]) -> String {
    match names {
        [most @ .., last] if !most.is_empty() => format!("{} or {last}", most.join(", ")),
        names => names.concat(),
    }
}

/// What a heading is called in links to it.
fn anchor(place: &str) -> String {
    let kept = |it: &char| it.is_alphanumeric() || "-_".contains(*it);
    if place.is_empty() { "the-file".into() } else { place.chars().filter(kept).collect() }
}

/// A default as it would be written.
fn shown(default: &Json) -> String {
    match default {
        Json::Null => String::new(),
        Json::Object(choice) if choice.is_empty() => String::new(),
        Json::Object(choice) => {
            let names: Vec<_> = choice.keys().map(String::as_str).collect();
            format!("`{{ {} = … }}`", names.join(", "))
        }
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(Json::to_string).collect();
            format!("`[{}]`", items.join(", "))
        }
        value => format!("`{value}`"),
    }
}
