//! Dotted keys into settings: `stages.fine-tune.optimizer.sgd.lr`.
//!
//! A list item is addressed by its position or by its `name`. Where a table is a choice between
//! variants (`optimizer = { sgd = … }`), setting another variant replaces the one that is there.

use toml::{Table, Value};

use crate::config::schema::Schema;

/// More parts than the key of any setting has.
const MOST_PARTS: usize = 16;

/// The items of a list may be called by their `name`; this gives the position.
fn position(items: &[Value], part: &str) -> Option<usize> {
    let named = |it: &Value| it.get("name").and_then(Value::as_str) == Some(part);
    let by_number = || part.parse().ok().filter(|it| *it < items.len());
    items.iter().position(named).or_else(by_number)
}

/// `key` with list items by position, so far as `table` has them.
pub fn by_position(table: &Table, key: &str) -> String {
    let mut parts = Vec::new();
    let mut here: Option<&Value> = None;
    for (depth, part) in key.split('.').enumerate() {
        let (next, part) = match here {
            None if depth == 0 => (table.get(part), part.to_owned()),
            Some(Value::Array(items)) => match position(items, part) {
                Some(index) => (items.get(index), index.to_string()),
                None => (None, part.to_owned()),
            },
            Some(value) => (value.get(part), part.to_owned()),
            None => (None, part.to_owned()),
        };
        parts.push(part);
        here = next;
    }
    parts.join(".")
}

/// Sets `key` in `table`.
///
/// # Errors
/// What to say about `key` if it leads through something that is neither a table nor a list item.
pub fn set(table: &mut Table, key: &str, value: Value, schema: &Schema) -> Result<(), String> {
    let parts: Vec<&str> = key.split('.').collect();
    if parts.len() > MOST_PARTS {
        return Err(format!("is no setting: no key has more than {MOST_PARTS} parts"));
    }
    let (last, way) = parts.split_last().ok_or("is empty")?;
    let mut here = table;
    let mut so_far = String::new();
    let mut rest = way;
    while let [part, others @ ..] = rest {
        rest = others;
        make_room(here, part, schema, &so_far);
        so_far = joined(&so_far, part);
        let next = here.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        // A choice without settings is written as a string; with settings it is a table.
        if next.is_str() && schema.is_choice(&so_far) {
            *next = Value::Table(Table::new());
        }
        here = match next {
            Value::Table(inner) => inner,
            Value::Array(items) => {
                let Some((item, others)) = rest.split_first() else {
                    return Err(format!("names no item of the list `{so_far}`"));
                };
                rest = others;
                let names: Vec<&str> =
                    items.iter().filter_map(|it| it.get("name").and_then(Value::as_str)).collect();
                let known = names.join("`, `");
                let at = position(items, item).ok_or_else(|| {
                    format!("names no item `{item}` of `{so_far}`; there are `{known}`")
                })?;
                so_far = joined(&so_far, &at.to_string());
                let inner = items[at].as_table_mut();
                inner.ok_or_else(|| format!("leads through `{so_far}`, which is no table"))?
            }
            _ => return Err(format!("leads through `{so_far}`, which is no table")),
        };
    }
    make_room(here, last, schema, &so_far);
    here.insert((*last).to_owned(), value);
    Ok(())
}

/// Takes out of the table at `key` what does not go with the setting `name` in it, before that goes in: the other variants
/// of a choice, and settings that it replaces.
fn make_room(table: &mut Table, name: &str, schema: &Schema, key: &str) {
    if schema.is_choice(key) {
        table.retain(|it, _| it == name);
    }
    for it in schema.replaced_by(&joined(key, name)) {
        table.remove(it);
    }
}

/// Puts `child` over `parent`: tables merge, everything else replaces, and so does another variant.
pub fn merge(parent: &mut Table, child: Table, schema: &Schema, key: &str) {
    for name in child.keys() {
        make_room(parent, name, schema, key);
    }
    for (name, value) in child {
        let here = joined(key, &quoted(&name));
        match (parent.get_mut(&name), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new, schema, &here),
            (_, value) => {
                parent.insert(name, value);
            }
        }
    }
}

/// `key` and `part` as one dotted key.
pub fn joined(key: &str, part: &str) -> String {
    if key.is_empty() { part.to_owned() } else { format!("{key}.{part}") }
}

/// The parts of a dotted key, of which some may be [`quoted`].
pub fn parts(key: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let part = key.split(move |it| {
        is_quoted ^= it == '"';
        it == '.' && !is_quoted
    });
    part.map(|it| it.trim_matches('"'))
}

/// `name` as a part of a dotted key.
pub fn quoted(name: &str) -> String {
    if name.contains('.') { format!("\"{name}\"") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_set(before: &str, key: &str, value: &str, after: &str) {
        let mut table: Table = before.parse().unwrap();
        let value = toml::from_str::<Table>(&format!("v = {value}")).unwrap()["v"].clone();
        set(&mut table, key, value, &Schema::of_experiment()).unwrap();
        assert_eq!(table, after.parse::<Table>().unwrap());
    }

    #[test]
    fn a_key_is_set_where_it_is_and_made_where_it_is_not() {
        check_set("[data]\nimage_size = 48", "data.image_size", "96", "[data]\nimage_size = 96");
        check_set("", "augment.flip", "0.5", "[augment]\nflip = 0.5");
    }

    #[test]
    fn a_stage_is_found_by_its_name_or_its_position() {
        let stages = "[[stages]]\nname = 'a'\n[[stages]]\nname = 'b'\n";
        check_set(stages, "stages.b.epochs", "3", &format!("{stages}epochs = 3"));
        check_set(stages, "stages.1.epochs", "3", &format!("{stages}epochs = 3"));
    }

    #[test]
    fn another_variant_replaces_the_one_that_is_there() {
        check_set(
            "[data]\nsource = { synthetic = { faces = 10 } }",
            "data.source.fer2013.csv",
            "'f.csv'",
            "[data]\nsource = { fer2013 = { csv = 'f.csv' } }",
        );
        check_set(
            "[model]\nweights = 'none'",
            "model.weights.experiment",
            "'a'",
            "[model]\nweights = { experiment = 'a' }",
        );
    }

    #[test]
    fn folds_take_the_place_of_parts_and_parts_that_of_folds() {
        let parts = "[data.split]\ntrain = 'a'\nvalid = 0.2\ntest = 'b'\nseed = 3";
        check_set(parts, "data.split.folds", "5", "[data.split]\nseed = 3\nfolds = 5");
        let folds = "[data.split]\nfolds = 5\nfold = 2\nvalid = 0.2";
        check_set(folds, "data.split.fold", "3", &folds.replace("fold = 2", "fold = 3"));
        check_set(folds, "data.split.test", "0.1", "[data.split]\ntest = 0.1\nvalid = 0.2");
        let mut table: Table = parts.parse().unwrap();
        let child = "[data.split]\nfolds = 5\nvalid = 0.1".parse().unwrap();
        merge(&mut table, child, &Schema::of_experiment(), "");
        let merged = "[data.split]\nseed = 3\nfolds = 5\nvalid = 0.1";
        assert_eq!(table, merged.parse::<Table>().unwrap());
    }

    #[test]
    fn a_key_that_leads_nowhere_says_why() {
        let mut table: Table = "[[stages]]\nname = 'a'".parse().unwrap();
        let schema = Schema::of_experiment();
        let error = set(&mut table, "stages.b.epochs", Value::Integer(1), &schema).unwrap_err();
        assert_eq!(error, "names no item `b` of `stages`; there are `a`");
    }
}
