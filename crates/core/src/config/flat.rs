//! Settings as dotted keys, and only what differs between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::facts::Facts;

/// Settings by dotted key, each value as TOML.
pub type Flat = BTreeMap<String, String>;

/// One key that differs, with its value in every configuration; none where it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: String,
    /// Its values, in the order of the configurations.
    pub values: Vec<Option<String>>,
}

/// `settings` by dotted key, without seed, fold and names. Items of a list that have a `name` go by it.
pub fn flatten(settings: &toml::Table) -> Flat {
    let mut flat = Flat::new();
    let is_name = |key: &str| Facts::all().of(key).is_name();
    for (key, value) in settings.iter().filter(|(key, _)| !is_name(key)) {
        flatten_value(key, value, &mut flat);
    }
    flat.remove("data.split.fold");
    if let Some(run) = flat.get_mut("model.weights.run") {
        *run = format!("\"{}\"", without_seed(plain(run)));
    }
    flat
}

/// The name of a run without its seed, fold and key: seeds that start from seeds, and folds from folds, are one configuration.
pub fn without_seed(run: &str) -> &str {
    let end = run.rfind("seed-").filter(|at| {
        let mut parts = run[at + 5..].split('-');
        let seed = parts.next().is_some_and(|it| it.parse::<u64>().is_ok());
        let key = parts.next().is_some_and(|it| it.len() == 8);
        seed && key && parts.next().is_none()
    });
    let Some(end) = end else { return run };
    let name = run[..end].trim_end_matches(['/', '_']);
    let fold = name.rfind("fold-").filter(|at| name[at + 5..].parse::<usize>().is_ok());
    fold.map_or(name, |at| name[..at].trim_end_matches(['/', '_']))
}

/// The keys whose values are not all the same.
pub fn differences(all: &[&Flat]) -> Vec<Row> {
    let keys: BTreeSet<&String> = all.iter().flat_map(|it| it.keys()).collect();
    let row = |key: &String| Row {
        key: key.clone(),
        values: all.iter().map(|it| it.get(key).cloned()).collect(),
    };
    let differs = |it: &Row| it.values.windows(2).any(|pair| pair[0] != pair[1]);
    keys.into_iter().map(row).filter(differs).collect()
}

/// The shortest ends of dotted `keys` that tell them apart: `lr`, or `head.lr` and `fine-tune.lr`.
pub fn short_names(keys: &[String]) -> Vec<String> {
    let end = |key: &str, n: usize| {
        let parts: Vec<_> = key.split('.').collect();
        parts[parts.len().saturating_sub(n)..].join(".")
    };
    let short = |key: &String| {
        let alone = |n: &usize| keys.iter().filter(|it| end(it, *n) == end(key, *n)).count() == 1;
        (1..12).find(alone).map_or_else(|| key.clone(), |n| end(key, n))
    };
    keys.iter().map(short).collect()
}

/// A TOML value without the quotes of a plain string.
pub fn plain(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    inner.filter(|it| !it.contains(['"', '\\'])).unwrap_or(value)
}

fn flatten_value(key: &str, value: &toml::Value, flat: &mut Flat) {
    match value {
        toml::Value::Table(table) if !table.is_empty() => {
            for (name, inner) in table {
                flatten_value(&format!("{key}.{name}"), inner, flat);
            }
        }
        toml::Value::Array(items) => match named(items) {
            Some(items) => flatten_named(key, &items, flat),
            None => drop(flat.insert(key.into(), value.to_string())),
        },
        _ => drop(flat.insert(key.into(), value.to_string())),
    }
}

fn flatten_named(key: &str, items: &[(&str, &toml::Table)], flat: &mut Flat) {
    let names: Vec<_> = items.iter().map(|it| it.0).collect();
    flat.insert(key.into(), names.join(", "));
    for (name, table) in items {
        for (inner, value) in table.iter().filter(|(inner, _)| *inner != "name") {
            flatten_value(&format!("{key}.{name}.{inner}"), value, flat);
        }
    }
}

/// The items of a list with their names, if all have one.
fn named(items: &[toml::Value]) -> Option<Vec<(&str, &toml::Table)>> {
    let name =
        |it: &'_ toml::Value| it.as_table().and_then(|it| it.get("name")?.as_str()).is_some();
    if items.is_empty() || !items.iter().all(name) {
        return None;
    }
    let pair = |it| {
        let table = toml::Value::as_table(it)?;
        Some((table.get("name")?.as_str()?, table))
    };
    items.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(text: &str) -> Flat {
        flatten(&text.parse().unwrap())
    }

    #[test]
    fn stages_go_by_their_names_and_seeds_are_no_setting() {
        let it = flat(
            "seeds = [1]\nabout = 'x'\n[[stages]]\nname = 'head'\noptimizer = { adam = { lr = 1e-4 } }",
        );
        let expected = [("stages", "head"), ("stages.head.optimizer.adam.lr", "0.0001")];
        assert_eq!(it, expected.map(|(key, value)| (key.into(), value.into())).into());
    }

    #[test]
    fn seeds_that_start_from_seeds_have_the_same_settings() {
        let weights = |run: &str| flat(&format!("[model]\nweights = {{ run = '{run}' }}"));
        assert_eq!(weights("a/pretrain/seed-0-01234567"), weights("a/pretrain/seed-12-89abcdef"));
        let one = weights("grid/lr-0.1_seed-0-01234567");
        assert_eq!(one["model.weights.run"], "\"grid/lr-0.1\"");
        let [first, second] = [1, 2].map(|it| format!("a/cross/fold-{it}_seed-0-0123456{it}"));
        assert_eq!(weights(&first), weights(&second));
        assert_eq!(weights("mine/seed-0-x")["model.weights.run"], "\"mine/seed-0-x\"");
    }

    #[test]
    fn only_what_differs_is_told() {
        let [a, b] = [flat("x = 1\ny = 2\nz = []"), flat("x = 1\ny = 3\nw = 'new'\nz = []")];
        let rows = differences(&[&a, &b]);
        let told: Vec<_> = rows.iter().map(|it| (it.key.as_str(), it.values.clone())).collect();
        let text = |it: &str| Some(it.to_owned());
        assert_eq!(told, [("w", vec![None, text("\"new\"")]), ("y", vec![text("2"), text("3")])]);
        assert_eq!(differences(&[&a]), []);
        assert_eq!(differences(&[]), []);
    }

    #[test]
    fn keys_are_as_short_as_they_can_be() {
        let keys = ["stages.head.adam.lr", "stages.tune.sgd.lr", "model.dropout"];
        assert_eq!(short_names(&keys.map(String::from)), ["adam.lr", "sgd.lr", "dropout"]);
        assert_eq!(plain("\"vgg16\""), "vgg16");
        assert_eq!(plain("[1, 2]"), "[1, 2]");
    }
}
