//! What is known of every setting beside its type: the technique it belongs to, its unit, and the value that
//! turns it off.
//!
//! Fields say so where they are defined, as attributes of the JSON schema:
//!
//! - `x-technique`: the technique that the setting, or all of its table, makes up;
//! - `x-group`: what the techniques of its table are called together;
//! - `x-unit`: what its numbers are counted in;
//! - `x-off`: the value with which it does nothing, `null` where it is left out;
//! - `x-keras`: the default of the same thing in Keras 3, where it is another one;
//! - `x-judges`: the setting decides which images judge a run, `"always"` or only `"with-limit"`;
//! - `x-replaces`: settings of its table that mean another way of doing the same, and go where a file or `--set` sets it;
//! - `x-follows-backbone-unless`: its values are names that another backbone brings along, except for these.
//!
//! **Invariant:** every setting lies in exactly one technique, or names an experiment and is no technique at all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value as Json;

use crate::config::schema::{Schema, Shape};

/// The facts about every setting of an experiment file.
#[derive(Debug)]
pub struct Facts {
    settings: BTreeMap<String, Setting>,
}

/// The facts about one setting or table.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Setting {
    /// What its technique is called together with others, if it has others.
    pub group: Option<Technique>,
    /// The technique it belongs to; none for tables of several, and for what names an experiment.
    pub technique: Option<Technique>,
    /// What its numbers are counted in.
    pub unit: Option<String>,
    /// When it decides which images judge a run.
    pub judges: Option<Judges>,
    off: Option<Json>,
    follows_backbone_unless: Option<Vec<String>>,
    is_table: bool,
}

/// A technique, or a group of techniques: something that a run does, and that can be compared with not doing it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Technique {
    /// The dotted key of what it is made of, without the names of stages.
    pub place: String,
    /// What people call it, e.g. `label smoothing`.
    pub name: String,
}

/// When a setting decides which images judge a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judges {
    /// Whatever else is set.
    Always,
    /// Where `data.limit` cuts the images that judge by the same factor as those that train.
    WithLimit,
}

impl Facts {
    /// The facts, read from the schema once.
    pub fn all() -> &'static Self {
        static FACTS: OnceLock<Facts> = OnceLock::new();
        FACTS.get_or_init(|| {
            let schema = Schema::of_experiment();
            let mut facts = Self { settings: BTreeMap::new() };
            facts.collect(&schema, &schema.root, "", &Setting::default());
            facts
        })
    }

    /// Every setting and every table with its dotted key, in which stages have no names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.settings.iter().map(|(key, it)| (key.as_str(), it))
    }

    /// The facts about the setting with the dotted `key`, which may name a stage. Of one that this version does not
    /// know, as runs of older versions have some: what is known of its table, and a technique of its own.
    pub fn of(&self, key: &str) -> Cow<'_, Setting> {
        let place = place(key);
        if let Some(known) = self.settings.get(&*place) {
            return Cow::Borrowed(known);
        }
        let mut above = &*place;
        let table = loop {
            let Some((table, _)) = above.rsplit_once('.') else { break None };
            if let Some(table) = self.settings.get(table) {
                break Some(table);
            }
            above = table;
        };
        let own = || {
            let name = above.rsplit('.').next().unwrap_or(above).replace('_', " ");
            Technique { place: above.to_owned(), name }
        };
        let table = table.cloned().unwrap_or_default();
        let technique = Some(table.technique.clone().unwrap_or_else(own));
        Cow::Owned(Setting { technique, ..table }.within())
    }

    fn collect(&mut self, schema: &Schema, here: &Json, key: &str, above: &Setting) {
        let shape = schema.shape(here);
        let setting = above.clone().within().with(here, key, &shape);
        let below = |name: &str| if key.is_empty() { name.into() } else { format!("{key}.{name}") };
        match shape {
            Shape::Table(properties) => {
                for (name, inner) in properties {
                    self.collect(schema, inner, &below(name), &setting);
                }
            }
            Shape::Choice { keyed, .. } => {
                for (name, inner) in keyed {
                    self.collect(schema, inner, &below(name), &setting);
                }
            }
            Shape::List { item, .. } if matches!(schema.shape(item), Shape::Table(_)) => {
                return self.collect(schema, item, key, &setting);
            }
            _ => {}
        }
        self.settings.insert(key.to_owned(), setting);
    }
}

impl Setting {
    /// What of it holds for the settings in it, too.
    fn within(self) -> Self {
        let Self { group, technique, judges, follows_backbone_unless, .. } = self;
        Self { group, technique, judges, follows_backbone_unless, ..Self::default() }
    }

    /// The same with what the field at `key` says itself.
    fn with(self, field: &Json, key: &str, shape: &Shape<'_>) -> Self {
        let text = |name: &str| field.get(name).and_then(Json::as_str).map(str::to_owned);
        let technique =
            |name: &str| text(name).map(|name| Technique { place: key.to_owned(), name });
        let judges = |it: &str| match it {
            "with-limit" => Judges::WithLimit,
            _ => Judges::Always,
        };
        let unless = field.get("x-follows-backbone-unless").and_then(Json::as_array);
        let unless = unless.map(|all| all.iter().filter_map(Json::as_str).map(Into::into));
        Self {
            group: technique("x-group").or(self.group),
            technique: technique("x-technique").or(self.technique),
            unit: text("x-unit"),
            judges: text("x-judges").map(|it| judges(&it)).or(self.judges),
            off: field.get("x-off").cloned(),
            follows_backbone_unless: unless.map(Iterator::collect).or(self.follows_backbone_unless),
            is_table: match shape {
                Shape::Table(_) => true,
                Shape::Choice { plain, .. } => plain.is_empty(),
                _ => false,
            },
        }
    }

    /// Whether it has a value of its own: of a table, or of a choice between tables, only what is in it has.
    pub fn is_leaf(&self) -> bool {
        !self.is_table
    }

    /// Whether it only names an experiment or says which of its trials there are.
    pub fn is_name(&self) -> bool {
        self.is_leaf() && self.technique.is_none()
    }

    /// Whether there is a way to do without it.
    pub fn can_be_off(&self) -> bool {
        self.off.is_some()
    }

    /// Whether `value`, written as in TOML, turns it off. Nothing is set by a table without settings.
    pub fn is_off(&self, value: &str) -> bool {
        let same = |off: &Json| match off {
            Json::Number(off) => value.parse().ok() == off.as_f64(),
            Json::Bool(off) => value.parse() == Ok(*off),
            Json::String(off) => text(value) == Some(off),
            Json::Array(off) => off.is_empty() && value == "[]",
            Json::Null | Json::Object(_) => false,
        };
        value == "{}" || self.off.as_ref().is_some_and(same)
    }

    /// Whether `value`, written as in TOML, is a name that holds for one backbone only: layers have other names in
    /// another one, and its weights lie in another file.
    pub fn follows_backbone(&self, value: &str) -> bool {
        let unless = self.follows_backbone_unless.as_ref();
        unless.zip(text(value)).is_some_and(|(unless, name)| unless.iter().all(|it| it != name))
    }
}

/// What stands between the quotes of a value that is a string.
fn text(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

/// A dotted key without the name of a stage.
fn place(key: &str) -> Cow<'_, str> {
    let stage = key.strip_prefix("stages.").and_then(|rest| rest.split_once('.'));
    stage.map_or(Cow::Borrowed(key), |(_, rest)| Cow::Owned(format!("stages.{rest}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings that name an experiment or a stage, or say which trials there are: no techniques.
    const NAMES: [&str; 13] = [
        "about",
        "extends",
        "grid",
        "search.halving.min_epochs",
        "search.halving.monitor",
        "search.halving.reduction_factor",
        "search.halving.stage",
        "search.points",
        "search.seed",
        "search.space",
        "seeds",
        "stages.name",
        "tags",
    ];

    #[test]
    fn every_setting_belongs_to_exactly_one_technique() {
        let facts = Facts::all();
        let leaves = || facts.iter().filter(|(_, it)| it.is_leaf());
        let without: Vec<_> = leaves().filter(|it| it.1.is_name()).map(|it| it.0).collect();
        assert_eq!(without, NAMES, "give these fields an `x-technique`, or list them here");
        for (key, setting) in leaves().filter(|it| !it.1.is_name()) {
            let technique = setting.technique.as_ref().unwrap();
            let around = facts.iter().filter(|(at, _)| key.starts_with(&format!("{at}.")));
            let mut others = around.filter_map(|it| it.1.technique.as_ref());
            let second = others.find(|it| *it != technique);
            assert_eq!(second, None, "`{key}` lies in two techniques: use `x-group` for one");
        }
    }

    #[test]
    fn no_two_techniques_of_a_choice_or_table_have_one_name() {
        let facts = Facts::all();
        let mut places = BTreeMap::<(&str, &str), &str>::new();
        for technique in facts.iter().filter_map(|it| it.1.technique.as_ref()) {
            let table = technique.place.rsplit_once('.').map_or("", |it| it.0);
            let known = places.entry((table, &technique.name)).or_insert(&technique.place);
            assert_eq!(*known, technique.place, "both are called `{}`", technique.name);
        }
    }

    #[test]
    fn what_is_off_and_the_unit_stand_at_the_setting() {
        let of = |key: &str| Facts::all().of(key);
        assert_eq!(of("augment.rotation").unit.as_deref(), Some("degrees"));
        for (key, off, on) in [
            ("model.head.dropout", "0.0", "0.5"),
            ("augment.cached_views", "0", "3"),
            ("stages.tune.trainable", "\"head\"", "\"all\""),
            ("stages.tune.schedule", "\"constant\"", "\"cosine\""),
            ("model.head.layers", "[]", "[64]"),
            ("noise", "{}", "0.1"),
        ] {
            assert!(of(key).is_off(off) && !of(key).is_off(on), "{key}");
        }
        let follows = |key: &str, value: &str| of(key).follows_backbone(value);
        assert!(
            follows("stages.tune.trainable", "\"block5\"")
                && !follows("stages.tune.trainable", "\"all\"")
        );
        assert!(
            follows("model.weights.run", "\"a/seed-0\"")
                && !follows("model.weights", "\"imagenet\"")
        );
        assert!(!of("model.backbone").can_be_off() && of("stages.tune.warmup").can_be_off());
        assert!(!of("data.image_size").is_off("0"), "a size of 0 is no way to do without one");
    }

    #[test]
    fn techniques_are_told_apart_and_belong_together() {
        let names = |key: &str| {
            let Setting { technique, group, .. } = Facts::all().of(key).into_owned();
            [group, technique].map(|it| it.map_or_else(String::new, |it| it.name))
        };
        assert_eq!(names("model.head.dropout"), ["head", "dropout"]);
        assert_eq!(names("model.head.layers"), ["head", "head layers"]);
        assert_eq!(names("stages.tune.early_stopping.patience"), ["", "early stopping"]);
        assert_eq!(names("stages.tune.optimizer.sgd.lr"), ["optimizer", "learning rate"]);
    }

    #[test]
    fn settings_of_older_versions_belong_to_their_table() {
        let technique = |key: &str| {
            let Setting { technique, group, .. } = Facts::all().of(key).into_owned();
            (group.map(|it| it.name), technique.unwrap())
        };
        let (group, own) = technique("augment.old_way");
        assert_eq!((group.as_deref(), own.name.as_str()), (Some("augmentation"), "old way"));
        let (_, gone) = technique("some_table.inside.deep");
        assert_eq!((gone.place.as_str(), gone.name.as_str()), ("some_table", "some table"));
        let (_, noise) = technique("noise.features.old");
        assert_eq!(noise.name, "noise on the features");
    }
}
