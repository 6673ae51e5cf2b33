//! What an experiment file may hold, derived from the tables' types and doc comments.
//!
//! serde stops at the first mistake; a user wants all of them. So the values of a file are compared with
//! the JSON schema of [`Experiment`] first, which is also what the reference manual is written from.

use schemars::JsonSchema;
use serde_json::Value as Json;
use toml::{Table, Value};

use crate::config::Experiment;
use crate::config::aliases;
use crate::config::path::{joined, parts, quoted};
use crate::error::Problem;

/// The shape of an experiment file.
#[derive(Debug)]
pub struct Schema {
    /// The JSON schema.
    pub root: Json,
}

/// What a part of a schema is, behind all references.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// The name of the type; none where it is described in place.
    pub name: Option<&'a str>,
    /// Its schema.
    pub schema: &'a Json,
}

/// What can stand where a value stands.
pub(super) enum Shape<'a> {
    Table(&'a serde_json::Map<String, Json>),
    /// Any key, each with a value of this schema.
    Map(&'a Json),
    /// Variants: plain strings, and tables of one key.
    Choice {
        plain: Vec<&'a str>,
        keyed: Vec<(&'a str, &'a Json)>,
    },
    List {
        item: &'a Json,
        least: Option<u64>,
        most: Option<u64>,
    },
    Either(Vec<&'a Json>),
    Text,
    Number,
    Integer {
        unsigned: bool,
    },
    Truth,
    Anything,
}

impl Schema {
    /// The shape of an experiment file.
    pub fn of_experiment() -> Self {
        Self::of::<Experiment>()
    }

    /// The shape of `T` as JSON.
    pub fn of<T: JsonSchema>() -> Self {
        Self { root: schemars::schema_for!(T).to_value() }
    }

    /// Every place where `table` cannot be an experiment's: unknown keys and wrong types.
    pub fn problems(&self, table: &Table) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.compare(&self.root, &Value::Table(table.clone()), "", &mut problems);
        problems
    }

    /// Whether the value at `key` is a choice between variants.
    pub fn is_choice(&self, key: &str) -> bool {
        let value = self.at(key);
        !key.is_empty() && value.is_some_and(|it| matches!(self.shape(it), Shape::Choice { .. }))
    }

    /// The settings beside that at `key` which mean another way of doing the same, so that it takes their place.
    pub(super) fn replaced_by(&self, key: &str) -> Vec<&str> {
        let names = self.at(key).and_then(|it| it.get("x-replaces")?.as_array());
        names.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// The schema of the value at `key`.
    fn at(&self, key: &str) -> Option<&Json> {
        let mut parts = parts(key).filter(|it| !it.is_empty());
        parts.try_fold(&self.root, |schema, part| self.child(schema, part))
    }

    fn child<'a>(&'a self, schema: &'a Json, part: &str) -> Option<&'a Json> {
        match self.shape(schema) {
            Shape::Table(properties) => properties.get(part),
            Shape::Map(item) | Shape::List { item, .. } => Some(item),
            Shape::Choice { keyed, .. } => {
                keyed.into_iter().find(|(name, _)| *name == part).map(|(_, schema)| schema)
            }
            _ => None,
        }
    }

    /// The definition behind `$ref`s, and behind an optional value.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        self.named(schema).schema
    }

    /// The definition behind `$ref`s, and behind an optional value, with its name.
    pub fn named<'a>(&'a self, mut schema: &'a Json) -> Definition<'a> {
        let mut name = None;
        loop {
            let behind = if let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
                name = reference.rsplit('/').next();
                // A JSON pointer whose parts are names of types, which hold nothing that it would escape.
                let mut parts = reference.split('/').skip(1);
                parts.try_fold(&self.root, |it, part| it.get(part))
            } else {
                let options = schema.get("anyOf").and_then(Json::as_array);
                let mut some = options.into_iter().flatten().filter(|it| it["type"] != "null");
                match (some.next(), some.next()) {
                    (Some(only), None) => Some(only),
                    _ => None,
                }
            };
            match behind {
                Some(definition) => schema = definition,
                None => return Definition { name, schema },
            }
        }
    }

    pub(super) fn shape<'a>(&'a self, schema: &'a Json) -> Shape<'a> {
        let schema = self.resolve(schema);
        if let Some(options) = schema.get("anyOf").and_then(Json::as_array) {
            return Shape::Either(options.iter().filter(|it| it["type"] != "null").collect());
        }
        if let Some(variants) = variants(schema) {
            return variants;
        }
        let kind = match schema.get("type") {
            Some(Json::String(kind)) => kind.as_str(),
            // `Option` of a plain value: ["number", "null"].
            Some(Json::Array(kinds)) => {
                kinds.iter().filter_map(Json::as_str).find(|it| *it != "null").unwrap_or("")
            }
            _ => "",
        };
        match kind {
            "object" => match schema.get("properties").and_then(Json::as_object) {
                Some(properties) => Shape::Table(properties),
                None => Shape::Map(schema.get("additionalProperties").unwrap_or(&Json::Null)),
            },
            "array" => Shape::List {
                item: schema.get("items").unwrap_or(&Json::Null),
                least: schema.get("minItems").and_then(Json::as_u64),
                most: schema.get("maxItems").and_then(Json::as_u64),
            },
            "string" => Shape::Text,
            "number" => Shape::Number,
            "integer" => Shape::Integer { unsigned: schema.get("minimum").is_some() },
            "boolean" => Shape::Truth,
            _ => Shape::Anything,
        }
    }

    fn compare(&self, schema: &Json, value: &Value, key: &str, problems: &mut Vec<Problem>) {
        let expected = match (self.shape(schema), value) {
            (Shape::Table(properties), Value::Table(table)) => {
                return self.compare_table(properties, table, key, problems);
            }
            (Shape::Map(item), Value::Table(table)) => {
                for (name, value) in table {
                    self.compare(item, value, &joined(key, &quoted(name)), problems);
                }
                return;
            }
            (Shape::List { item, least, most }, Value::Array(items)) => {
                for (index, value) in items.iter().enumerate() {
                    self.compare(item, value, &joined(key, &index.to_string()), problems);
                }
                let count = items.len() as u64;
                if least.is_none_or(|it| count >= it) && most.is_none_or(|it| count <= it) {
                    return;
                }
                format!("needs {} items, found {count}", least.or(most).unwrap_or_default())
            }
            (Shape::Choice { plain, keyed }, value) => {
                return self.compare_choice(&plain, &keyed, value, key, problems);
            }
            (Shape::Either(options), value) => {
                let fits = |it: &&Json| {
                    let mut found = Vec::new();
                    self.compare(it, value, key, &mut found);
                    found.is_empty()
                };
                if options.iter().any(fits) {
                    return;
                }
                let names: Vec<_> = options.iter().map(|it| self.shape(it).name()).collect();
                format!("must be {}, not {}", names.join(" or "), name_of(value))
            }
            (Shape::Integer { unsigned: true }, Value::Integer(it)) if *it < 0 => {
                format!("must not be negative, found {it}")
            }
            (Shape::Text, Value::String(_))
            | (Shape::Number, Value::Float(_) | Value::Integer(_))
            | (Shape::Integer { .. }, Value::Integer(_))
            | (Shape::Truth, Value::Boolean(_))
            | (Shape::Anything, _) => return,
            (shape, value) => {
                format!(
                    "must be {}, not {}{}",
                    shape.name(),
                    name_of(value),
                    instead(&shape, key, value)
                )
            }
        };
        problems.push(Problem::new(key, expected));
    }

    fn compare_table(
        &self,
        properties: &serde_json::Map<String, Json>,
        table: &Table,
        key: &str,
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in table {
            let here = joined(key, name);
            match properties.get(name) {
                Some(schema) => self.compare(schema, value, &here, problems),
                None => {
                    problems.push(Problem::of_key(here, unknown("key", name, properties.keys())));
                }
            }
        }
    }

    fn compare_choice(
        &self,
        plain: &[&str],
        keyed: &[(&str, &Json)],
        value: &Value,
        key: &str,
        problems: &mut Vec<Problem>,
    ) {
        let names = || plain.iter().copied().chain(keyed.iter().map(|(name, _)| *name));
        let message = match value {
            Value::String(name) if plain.contains(&name.as_str()) => return,
            Value::String(name) if keyed.iter().any(|(it, _)| it == name) => {
                // `optimizer = "adam"`: a variant with settings, all of them left at their defaults.
                format!("needs its settings: write `{{ {name} = {{ }} }}`")
            }
            Value::String(name) => unknown("choice", name, names()),
            Value::Table(table) if table.len() == 1 => {
                let (name, inner) = table.iter().next().expect("it has one entry");
                let here = joined(key, name);
                if let Some((_, schema)) = keyed.iter().find(|(it, _)| it == name) {
                    return self.compare(schema, inner, &here, problems);
                }
                let message = if plain.contains(&name.as_str()) {
                    format!("has no settings: write `\"{name}\"`")
                } else {
                    unknown("choice", name, names())
                };
                return problems.push(Problem::of_key(here, message));
            }
            Value::Table(table) => {
                format!("must hold exactly one of `{}`, found {}", list(names()), table.len())
            }
            _ => format!("must be one of `{}`, not {}", list(names()), name_of(value)),
        };
        problems.push(Problem::new(key, message));
    }
}

/// The variants of an enum; none if `schema` is no enum.
fn variants(schema: &Json) -> Option<Shape<'_>> {
    let (mut plain, mut keyed) = (Vec::new(), Vec::new());
    let one_of = schema.get("oneOf").and_then(Json::as_array);
    let itself = schema.get("enum").is_some().then_some(schema);
    for variant in one_of.into_iter().flatten().chain(itself) {
        plain.extend(variant.get("const").and_then(Json::as_str));
        let several = variant.get("enum").and_then(Json::as_array);
        plain.extend(several.into_iter().flatten().filter_map(Json::as_str));
        let properties = variant.get("properties").and_then(Json::as_object);
        keyed.extend(properties.into_iter().flatten().map(|(name, it)| (name.as_str(), it)));
    }
    (!plain.is_empty() || !keyed.is_empty()).then_some(Shape::Choice { plain, keyed })
}

impl Shape<'_> {
    fn name(&self) -> String {
        match self {
            Self::Table(_) | Self::Map(_) => "a table".into(),
            Self::Choice { plain, keyed } => {
                let names = plain.iter().copied().chain(keyed.iter().map(|(name, _)| *name));
                let choices = if plain.len() + keyed.len() > 1 { "one of " } else { "" };
                format!("{choices}`{}`", list(names))
            }
            Self::List { .. } => "a list".into(),
            Self::Either(options) => format!("one of {} kinds", options.len()),
            Self::Text => "a string".into(),
            Self::Number => "a number".into(),
            Self::Integer { .. } => "a whole number".into(),
            Self::Truth => "true or false".into(),
            Self::Anything => "anything".into(),
        }
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}

/// How a value is written where one stands in place of a list of such.
fn instead(shape: &Shape<'_>, key: &str, value: &Value) -> String {
    match (shape, value) {
        (Shape::List { .. }, Value::Table(_)) => format!(": write `[[{key}]]`, once for each"),
        (Shape::List { .. }, Value::Integer(_) | Value::Float(_) | Value::String(_)) => {
            format!(": write `[{value}]`")
        }
        _ => String::new(),
    }
}

fn list<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    names.map(|it| it.as_ref().to_owned()).collect::<Vec<_>>().join("`, `")
}

/// What to say about `name`, which is none of `known`: the nearest one, or all.
pub fn unknown<S: AsRef<str>>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = S> + Clone,
) -> String {
    let names: Vec<String> = known.clone().map(|it| it.as_ref().to_owned()).collect();
    let meant = aliases::meant(name, names.iter().map(String::as_str));
    let nearest = meant.map(str::to_owned).or_else(|| nearest(name, &names));
    match nearest {
        Some(nearest) => format!("unknown {what} `{name}`; did you mean `{nearest}`?"),
        None => format!("unknown {what} `{name}`; there are `{}`", list(known)),
    }
}

/// The one of `known` that is written most like `name`, if it may be the same with a typing mistake.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    /// Names at least this alike are taken for a typing mistake.
    const ALIKE: f64 = 0.7;
    let alike = |it: &String| strsim::normalized_damerau_levenshtein(it, name);
    known
        .iter()
        .cloned()
        .max_by(|a, b| alike(a).total_cmp(&alike(b)))
        .filter(|it| alike(it) >= ALIKE || it.starts_with(name) || name.starts_with(it.as_str()))
}
