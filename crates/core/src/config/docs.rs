//! The reference manual, written from the tables' doc comments.
//!
//! A section for each table and for each choice between variants, every one of them once: what is used in
//! several places is described at the first and linked from the others. They come in the order of the fields. The
//! description of a table may end with an example in a fence, and `x-keras` at a field is Keras's other default.

use std::fmt::Write as _;

use serde_json::Value as Json;

use crate::config::schema::Schema;

/// What comes before the tables. The example is a file of its own, which a test reads and plans.
const HEAD: &str = "\
# Settings

Every key of an experiment file, in the order in which one writes such a file. The page is written from the doc
comments in the source by `make docs`. Whoever comes from Keras or PyTorch finds these names beside their own in
[from-keras.md](from-keras.md) and [from-pytorch.md](from-pytorch.md); whole experiments for common questions are in
[recipes.md](recipes.md).

- Nothing has to be written: a setting that is left out has its default. Where the column is empty, the text says what
  leaving the setting out means.
- An unknown key is an error, in every table, and the nearest known one is named.
- In the column of values a unit stands behind a comma.
- Where Keras 3 has another default for the same thing, it stands behind ours.
- A choice is written as a string (`schedule = \"cosine\"`) or, where it has settings of its own, as a table
  with one key (`optimizer = { adam = { lr = 1e-4 } }`).
- The headings are the dotted keys that `[grid]` and `--set` take; a stage is called by its name, as in
  `stages.fine-tune.epochs`.
- Paths are relative to the folder in which `ferrite` is called, but `extends` and `model.weights.experiment` are relative
  to the file that they stand in.
- The examples of the tables are parts of a file; whatever they do not say has its default.

## A complete experiment

";

/// A file with most of what an experiment needs.
const EXAMPLE: &str = include_str!("example.toml");

/// How deep headings go: `##` for the tables of a file, `###` for what is in them.
const DEEPEST: usize = 2;

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
    let contents = manual.contents();
    format!("{HEAD}```toml\n{EXAMPLE}```\n\n{contents}\n{}", sections.join("\n"))
}

/// What a description says, and the example that follows it in a fence.
fn parts(description: &str) -> (&str, Option<&str>) {
    match description.split_once("```toml\n") {
        Some((prose, rest)) => (prose.trim_end(), rest.strip_suffix("\n```")),
        None => (description, None),
    }
}

/// The description of `schema` without its example, as one line.
fn line(schema: &Json) -> String {
    let (prose, _) = parts(text(schema, "description"));
    prose.replace("\n\n", " ").replace('\n', " ").replace('|', "\\|")
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
        // What stands under any key is described once, for whichever.
        let items = definition.get("additionalProperties").filter(|it| it.is_object());
        if let Some(items) = items {
            return self.collect(items, format!("{place}.<setting>"), about);
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
        // Choices between names belong to their table and stand before the tables in it.
        let (names, tables): (Vec<_>, Vec<_>) =
            properties(definition).partition(|it| is_names(self.schema.resolve(self.item(it.1))));
        for (name, property) in names.into_iter().chain(tables) {
            self.collect(property, below(name), "");
        }
        for variant in variants(definition) {
            for (name, inner) in properties(variant) {
                self.collect(inner, below(name), text(variant, "description"));
            }
        }
    }

    /// What `property` is a list of, or itself.
    fn item(&self, property: &'a Json) -> &'a Json {
        self.schema.resolve(property).get("items").unwrap_or(property)
    }

    /// The section that describes `property`, or the items of its list.
    fn section_of(&self, property: &Json) -> Option<&Section<'a>> {
        let definition = self.schema.resolve(property);
        // Of a table with keys of its own it says that there are no others.
        let others = definition.get("additionalProperties").filter(|it| it.is_object());
        let inner = definition.get("items").or(others);
        let definition = inner.map_or(definition, |it| self.schema.resolve(it));
        self.sections.iter().find(|it| std::ptr::eq(it.definition, definition))
    }

    /// The list of all tables, and of the choices that have tables.
    fn contents(&self) -> String {
        let mut list = "## Contents\n\n- [The file](#the-file)\n".to_owned();
        let above = |it: &&Section<'_>| it.level() <= DEEPEST && !it.place.is_empty();
        for it in self.sections.iter().filter(above) {
            let indent = "  ".repeat(it.level() - 1);
            let _ = writeln!(list, "{indent}- [`{}`](#{})", it.place, anchor(&it.place));
        }
        list
    }

    fn page(&self, section: &Section<'_>) -> String {
        let Section { place, about, definition } = section;
        let title = if place.is_empty() { "The file".into() } else { format!("`{place}`") };
        let heading = "#".repeat(section.level() + 1);
        let own = text(definition, "description");
        let (about, example) = parts(if own.is_empty() { about } else { own });
        let example = example.map_or_else(String::new, |it| format!("```toml\n{it}\n```\n\n"));
        let is_choice = variants(definition).next().is_some();
        let rows = if is_choice { self.choices(definition) } else { self.keys(definition) };
        format!("{heading} {title}\n\n{about}\n\n{example}{rows}")
    }

    /// The rows of a table.
    fn keys(&self, definition: &Json) -> String {
        let mut rows = "| key | value | default | meaning |\n|---|---|---|---|\n".to_owned();
        let required: Vec<&str> = match definition.get("required").and_then(Json::as_array) {
            Some(names) => names.iter().filter_map(Json::as_str).collect(),
            None => Vec::new(),
        };
        let is_table = |it: &Json| self.section_of(it).is_some_and(|it| is_table(it.definition));
        for (name, property) in properties(definition) {
            let default = match property.get("default") {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                Some(default) if !is_table(property) => shown(default),
                _ => String::new(),
            };
            let keras = match property.get("x-keras") {
                Some(keras) => format!("; Keras {}", shown(keras)),
                None => String::new(),
            };
            let own = line(property);
            let meaning = if own.is_empty() { line(self.schema.resolve(property)) } else { own };
            let kind = self.linked_kind(property);
            let unit = match text(property, "x-unit") {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            let _ = writeln!(rows, "| `{name}` | {kind}{unit} | {default}{keras} | {meaning} |");
        }
        rows
    }

    fn choices(&self, definition: &Json) -> String {
        let mut rows = "| choice | meaning |\n|---|---|\n".to_owned();
        for variant in variants(definition) {
            let mut meaning = line(variant);
            for plain in plain_names(variant) {
                let _ = writeln!(rows, "| `\"{plain}\"` | {meaning} |");
            }
            for (name, inner) in properties(variant) {
                let kind = self.linked_kind(inner);
                let told_below = self.section_of(inner).is_some_and(|it| !it.about.is_empty())
                    && text(self.schema.resolve(inner), "description").is_empty();
                if told_below && let Some((first, _)) = meaning.split_once(". ") {
                    meaning = format!("{first}.");
                }
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
        if is_names(definition) && (1..=FEW).contains(&names.len()) {
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

impl Section<'_> {
    /// 1 for the file and its tables, 2 for what is in them, 3 for choices between names.
    fn level(&self) -> usize {
        let depth = self.place.replace(".<name>", "").replace(".<setting>", "").split('.').count();
        if is_names(self.definition) { DEEPEST + 1 } else { depth.min(DEEPEST) }
    }
}

/// Whether it is a choice between names, without any settings of their own.
fn is_names(definition: &Json) -> bool {
    !is_table(definition) && variants(definition).all(|it| properties(it).next().is_none())
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
