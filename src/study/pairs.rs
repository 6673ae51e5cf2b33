//! Which configurations differ in one technique only, and which of two is the plainer one.
//!
//! To change one technique at a time is the only way to see what each does. Two that differ in several settings are
//! compared too where these belong to one group of techniques, such as all of `[augment]`, and no configuration stands
//! between them. What belongs together stands at the settings ([`ferrite_core::config::facts`]).
//!
//! **Invariant:** it knows settings and no result, so that no result decides what is compared.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;

use ferrite_core::config::facts::{Facts, Setting, Technique};
use rayon::prelude::*;

use ferrite_core::config::flat::{Flat, plain};

/// The settings of several configurations, set out for comparing each with each.
pub(crate) struct Pairs<'a> {
    keys: Vec<Key<'a>>,
    rows: Vec<Row<'a>>,
    /// The techniques and groups of techniques that the keys belong to.
    techniques: Vec<Technique>,
}

/// A setting that departs, with its value on either side; none where it is not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    pub(crate) key: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
}

/// A change with all that is known of its setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Departure<'a> {
    pub(crate) change: Change<'a>,
    /// The stages that it is a setting of, on either side; none where it belongs to no stage.
    pub(crate) stage: Option<[&'a str; 2]>,
    /// The technique that it belongs to, or the group of techniques; none for what names something.
    pub(crate) technique: Option<String>,
    /// What its numbers are counted in.
    pub(crate) unit: Option<String>,
}

/// Two configurations, by their place, that differ in one technique only.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Effect {
    pub(crate) technique: String,
    /// The plainer one.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// A setting that some configuration has.
struct Key<'a> {
    /// Its dotted key, of a stage's settings from the stage's name on.
    name: &'a str,
    setting: Setting,
    belongs: Belongs,
    stage: Stage<'a>,
}

/// The group and the technique that something belongs to, by their places in [`Pairs::techniques`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Belongs {
    group: Option<usize>,
    technique: Option<usize>,
}

/// The stage that a setting belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage<'a> {
    None,
    Named(&'a str),
    At(usize),
}

/// Settings by number of their key, in order.
type Values<'a> = Vec<(usize, &'a str)>;

/// One configuration.
struct Row<'a> {
    common: Values<'a>,
    /// Settings of its stages by their names.
    named: Values<'a>,
    /// The same by their places, so that stages of other names can be compared.
    placed: Values<'a>,
    stages: Vec<&'a str>,
    backbone: Option<&'a str>,
}

/// What configurations differ in that do not have the same number of stages.
const STAGES: &str = "stages";
/// Its place in [`Pairs::techniques`].
const OF_STAGES: Belongs = Belongs { group: None, technique: Some(0) };

impl Departure<'_> {
    /// The whole dotted key, with the stage's name; with both where they differ.
    pub(crate) fn name(&self) -> String {
        match self.stage {
            None => self.change.key.to_owned(),
            Some([from, to]) if from == to => format!("stages.{from}.{}", self.change.key),
            Some([from, to]) => format!("stages.{from}|{to}.{}", self.change.key),
        }
    }
}

impl<'a> Pairs<'a> {
    pub(crate) fn of(all: &[&'a Flat]) -> Self {
        let stages = Technique { place: STAGES.into(), name: STAGES.into() };
        let mut it = Self { keys: Vec::new(), rows: Vec::new(), techniques: vec![stages] };
        let mut numbers = BTreeMap::new();
        for settings in all {
            let row = it.row(settings, &mut numbers);
            it.rows.push(row);
        }
        it
    }

    fn row(
        &mut self,
        settings: &'a Flat,
        numbers: &mut BTreeMap<(Stage<'a>, &'a str), usize>,
    ) -> Row<'a> {
        let mut number = |stage, name, key| {
            *numbers.entry((stage, name)).or_insert_with(|| {
                let setting = Facts::all().of(key).into_owned();
                let belongs = self.belongs(&setting);
                self.keys.push(Key { name, setting, belongs, stage });
                self.keys.len() - 1
            })
        };
        let stages: Vec<_> =
            settings.get(STAGES).map_or_else(Vec::new, |it| it.split(", ").collect());
        let backbone = settings.get("model.backbone").map(String::as_str);
        let (mut common, mut named, mut placed) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in settings.iter().filter(|it| it.0 != STAGES) {
            let rest =
                |name: &str| key.strip_prefix("stages.")?.strip_prefix(name)?.strip_prefix('.');
            let mut named_stages = stages.iter().enumerate();
            let found = named_stages.find_map(|(at, name)| Some((at, *name, rest(name)?)));
            match found {
                Some((at, name, rest)) => {
                    named.push((number(Stage::Named(name), rest, key), value.as_str()));
                    placed.push((number(Stage::At(at), rest, key), value.as_str()));
                }
                None => common.push((number(Stage::None, key, key), value.as_str())),
            }
        }
        for it in [&mut common, &mut named, &mut placed] {
            it.sort_unstable();
        }
        Row { common, named, placed, stages, backbone }
    }

    fn belongs(&mut self, setting: &Setting) -> Belongs {
        let mut place = |it: &Option<Technique>| {
            let it = it.as_ref()?;
            let known = self.techniques.iter().position(|known| known == it);
            Some(known.unwrap_or_else(|| {
                self.techniques.push(it.clone());
                self.techniques.len() - 1
            }))
        };
        Belongs { group: place(&setting.group), technique: place(&setting.technique) }
    }

    /// Pairs that differ in one technique only: each configuration with the plainest of those that it
    /// differs from so.
    pub(crate) fn effects(&self) -> Vec<Effect> {
        let ranks = self.plainness();
        let places: Vec<usize> = (0..self.rows.len()).collect();
        let of_one = |to: &usize| {
            let mut plainest = BTreeMap::<usize, (usize, Belongs)>::new();
            for from in places.iter().filter(|it| *it != to) {
                let Some(belongs) = self.difference(*from, *to) else { continue };
                let Some(technique) = belongs.technique.or(belongs.group) else { continue };
                let best = plainest.entry(technique).or_insert((*to, belongs));
                let rank = |it: usize| (ranks[it].get(&technique).copied().unwrap_or_default(), it);
                if rank(*from) < rank(best.0) {
                    best.0 = *from;
                }
            }
            plainest.retain(|_, (from, _)| from != to);
            // What is told step by step is not told as a whole as well.
            let in_steps = |group: usize| {
                plainest.values().any(|(_, it)| it.technique.is_some() && it.group == Some(group))
            };
            let effect = |(technique, (from, _)): (&usize, &(usize, Belongs))| Effect {
                technique: self.techniques[*technique].name.clone(),
                from: *from,
                to: *to,
            };
            let told = plainest.iter().filter(|(technique, _)| !in_steps(**technique));
            told.map(effect).collect::<Vec<_>>()
        };
        let mut effects: Vec<_> = places.par_iter().flat_map_iter(of_one).collect();
        effects.sort();
        effects
    }

    /// The one technique that `a` and `b` differ in, or the one group of techniques; none if there are several, or
    /// none at all.
    fn difference(&self, a: usize, b: usize) -> Option<Belongs> {
        let (a, b) = (&self.rows[a], &self.rows[b]);
        let mut found = (a.stages.len() != b.stages.len()).then_some(OF_STAGES);
        for (key, from, to) in departing(a, b) {
            let key = &self.keys[key];
            let of_one_only = matches!(key.stage, Stage::Named(it) if !(a.stages.contains(&it) && b.stages.contains(&it)));
            let sets_nothing = from.xor(to) == Some("{}");
            let follows = a.backbone != b.backbone
                && [from, to]
                    .iter()
                    .all(|it| it.is_some_and(|it| key.setting.follows_backbone(it)));
            if of_one_only || sets_nothing || follows {
                continue;
            }
            found = Some(found.map_or(Some(key.belongs), |it| it.with(key.belongs))?);
        }
        found
    }

    /// The techniques that `from` and `to` differ in, by name: a setting that belongs to none goes by its key. Where there are
    /// more than two, those of one group go by the group.
    pub(crate) fn techniques(&self, from: usize, to: usize) -> BTreeSet<String> {
        let named = |choose: fn(Belongs) -> Option<usize>| -> BTreeSet<String> {
            let name = |key: usize| {
                let key = &self.keys[key];
                let belongs = choose(key.belongs);
                belongs.map_or_else(|| key.name.to_owned(), |it| self.techniques[it].name.clone())
            };
            departing(&self.rows[from], &self.rows[to]).map(|it| name(it.0)).collect()
        };
        let single = named(|it| it.technique.or(it.group));
        if single.len() <= 2 { single } else { named(|it| it.group.or(it.technique)) }
    }

    /// Every setting that `to` has otherwise than `from`.
    pub(crate) fn changes(&self, from: usize, to: usize) -> Vec<Change<'a>> {
        self.departures(from, to).into_iter().map(|it| it.change).collect()
    }

    /// The same with what is known of each setting. That there are more stages in one of them is told by their settings.
    pub(crate) fn departures(&self, from: usize, to: usize) -> Vec<Departure<'a>> {
        let (first, second) = (&self.rows[from], &self.rows[to]);
        let departure = |(key, from, to): (usize, Option<&'a str>, Option<&'a str>)| {
            let Key { name, setting, belongs, stage } = &self.keys[key];
            let technique = belongs.technique.or(belongs.group);
            Departure {
                change: Change { key: name, from: from.map(plain), to: to.map(plain) },
                stage: match stage {
                    Stage::None => None,
                    Stage::Named(it) => Some([*it, *it]),
                    Stage::At(at) => Some([first.stages[*at], second.stages[*at]]),
                },
                technique: technique.map(|it| self.techniques[it].name.clone()),
                unit: setting.unit.clone(),
            }
        };
        let all: Vec<_> = departing(first, second).map(departure).collect();
        // An empty table that gets settings is told by these.
        let told = |it: &Departure<'_>| {
            let filled = |other: &Departure<'_>| {
                let rest = other.change.key.strip_prefix(it.change.key);
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            let Change { from, to, .. } = it.change;
            from.xor(to) == Some("{}") && all.iter().any(filled)
        };
        all.iter().filter(|it| !told(it)).cloned().collect()
    }

    /// How plain each configuration is in each technique and group, the plainest least: by how many of its
    /// settings are not off, then by how rare they are.
    fn plainness(&self) -> Vec<HashMap<usize, (usize, usize)>> {
        let of_row = |row: &Row<'a>| {
            let mut all = HashMap::<usize, (usize, Values<'a>)>::new();
            for (key, value) in row.common.iter().chain(&row.placed) {
                let Key { setting, belongs, .. } = &self.keys[*key];
                for technique in [belongs.group, belongs.technique].into_iter().flatten() {
                    let it = all.entry(technique).or_default();
                    it.0 += usize::from(!setting.is_off(value));
                    it.1.push((*key, value));
                }
            }
            all.extend(OF_STAGES.technique.map(|it| (it, (row.stages.len(), Vec::new()))));
            all
        };
        let rows: Vec<_> = self.rows.iter().map(of_row).collect();
        let mut counts = HashMap::<(usize, &Values<'a>), usize>::new();
        for (technique, (_, values)) in rows.iter().flatten() {
            *counts.entry((*technique, values)).or_default() += 1;
        }
        let rank = |(technique, (active, values)): (&usize, &(usize, Values<'a>))| {
            (*active, self.rows.len() - counts[&(*technique, values)])
        };
        rows.iter().map(|it| it.iter().map(|it| (*it.0, rank(it))).collect()).collect()
    }
}

impl Belongs {
    /// What both belong to; none if that is nothing.
    fn with(self, other: Self) -> Option<Self> {
        let group = self.group.filter(|_| self.group == other.group);
        let technique = self.technique.filter(|_| self.technique == other.technique);
        group.or(technique).map(|_| Self { group, technique })
    }
}

/// The keys whose values are not the same in `a` and `b`. Stages are told apart by their places if there
/// are as many in both, else by their names.
fn departing<'s, 'a: 's>(
    a: &'s Row<'a>,
    b: &'s Row<'a>,
) -> impl Iterator<Item = (usize, Option<&'a str>, Option<&'a str>)> + 's {
    let alike = a.stages.len() == b.stages.len();
    let (left, right) = if alike { (&a.placed, &b.placed) } else { (&a.named, &b.named) };
    merged(&a.common, &b.common).chain(merged(left, right)).filter(|(_, from, to)| from != to)
}

/// The values of two ordered lists, side by side.
fn merged<'s, 'a: 's>(
    a: &'s [(usize, &'a str)],
    b: &'s [(usize, &'a str)],
) -> impl Iterator<Item = (usize, Option<&'a str>, Option<&'a str>)> + 's {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    iter::from_fn(move || {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.0.cmp(&b.0),
        };
        let from = if order.is_le() { a.next() } else { None };
        let to = if order.is_ge() { b.next() } else { None };
        let key = from.or(to)?.0;
        Some((key, from.map(|it| it.1), to.map(|it| it.1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferrite_core::config::flat::flatten;

    const PLAIN: &str = "
        [augment]
        flip = 0.0
        [model]
        backbone = 'vgg16'
        weights = { file = { path = 'vgg16.pth' } }
        [[stages]]
        name = 'tune'
        trainable = 'block5'
        optimizer = { adam = { lr = 0.001 } }";

    /// The effects among `texts`, as `technique: from > to`.
    fn effects(texts: &[String]) -> Vec<String> {
        let flat: Vec<Flat> = texts.iter().map(|it| flatten(&it.parse().unwrap())).collect();
        let pairs = Pairs::of(&flat.iter().collect::<Vec<_>>());
        let effects = pairs.effects().into_iter();
        effects.map(|it| format!("{}: {} > {}", it.technique, it.from, it.to)).collect()
    }

    /// `PLAIN` and the same with each of `changes` made: what stands before `=>` becomes what stands behind.
    fn study(changes: &[&[(&str, &str)]]) -> Vec<String> {
        let made = |all: &&[(&str, &str)]| {
            all.iter().fold(PLAIN.to_owned(), |text, (from, to)| {
                assert!(text.contains(from), "{from}");
                text.replace(from, to)
            })
        };
        iter::once(PLAIN.to_owned()).chain(changes.iter().map(made)).collect()
    }

    #[test]
    fn one_technique_at_a_time_is_compared_with_the_plainer_side() {
        let flip = ("flip = 0.0", "flip = 0.5");
        let lr = ("lr = 0.001", "lr = 0.1");
        let found = effects(&study(&[&[flip], &[lr], &[flip, lr]]));
        let expected =
            ["flip: 0 > 1", "flip: 2 > 3", "learning rate: 0 > 2", "learning rate: 1 > 3"];
        assert_eq!(found, expected);
    }

    #[test]
    fn every_setting_is_a_technique_of_its_own() {
        let head = |it| [("[model]", it)];
        let dropout = head("[model]\nhead = { dropout = 0.5 }");
        let layers = head("[model]\nhead = { layers = [64] }");
        let both = head("[model]\nhead = { layers = [64], dropout = 0.5 }");
        assert_eq!(effects(&study(&[&dropout])), ["dropout: 0 > 1"]);
        assert_eq!(effects(&study(&[&layers])), ["head layers: 0 > 1"]);
        assert_eq!(effects(&study(&[&both])), ["head: 0 > 1"]);
        let found = effects(&study(&[&dropout, &layers, &both]));
        let expected =
            ["dropout: 0 > 1", "dropout: 2 > 3", "head layers: 0 > 2", "head layers: 1 > 3"];
        assert_eq!(found, expected, "what is told step by step is not told as a whole as well");
    }

    #[test]
    fn an_optimizer_brings_its_settings_along() {
        let sgd = ("adam = { lr = 0.001 }", "sgd = { lr = 0.1, momentum = 0.9 }");
        let decay = ("lr = 0.001", "lr = 0.001, weight_decay = 0.1");
        let found = effects(&study(&[&[sgd], &[decay]]));
        assert_eq!(found, ["optimizer: 0 > 1", "weight decay: 0 > 2"]);
    }

    #[test]
    fn a_backbone_brings_its_weights_and_layer_names_along() {
        let backbone =
            [("'vgg16'", "'resnet50'"), ("vgg16.pth", "resnet.pth"), ("block5", "layer4")];
        assert_eq!(effects(&study(&[&backbone])), ["backbone: 0 > 1"]);
        let whole = [("'vgg16'", "'resnet50'"), ("block5", "all")];
        assert_eq!(effects(&study(&[&whole])), [""; 0], "two changes at a time");
    }

    #[test]
    fn freezing_is_seen_under_another_stage_name_and_stages_are_counted() {
        let frozen = [("'tune'", "'head'"), ("'block5'", "'head'")];
        let longer = [("[[stages]]", "[[stages]]\nname = 'first'\ntrainable = 'head'\n[[stages]]")];
        let found = effects(&study(&[&frozen, &longer]));
        assert_eq!(found, ["freezing: 1 > 0", "stages: 0 > 2"]);
    }

    #[test]
    fn what_is_set_in_one_only_is_a_change() {
        let found = effects(&study(&[&[("[model]", "[noise]\nfeatures = 0.1\n[model]")]]));
        assert_eq!(found, ["noise on the features: 0 > 1"]);
    }

    #[test]
    fn an_empty_table_that_gets_settings_is_told_by_these() {
        let flat = ["[noise]", "[noise.input]\nstd = 0.1"];
        let flat = flat.map(|it| flatten(&it.parse().unwrap()));
        let pairs = Pairs::of(&flat.iter().collect::<Vec<_>>());
        let expected = Change { key: "noise.input.std", from: None, to: Some("0.1") };
        assert_eq!(pairs.changes(0, 1), [expected]);
        let effects: Vec<_> = pairs.effects().into_iter().map(|it| it.technique).collect();
        assert_eq!(effects, ["noise on the input"]);
    }

    #[test]
    fn of_many_values_the_plainest_is_the_one_that_most_have() {
        let lr = |to| [("lr = 0.001", to)];
        let (low, high) = (lr("lr = 0.0001"), lr("lr = 0.01"));
        let flip = [("flip = 0.0", "flip = 0.5"), high[0]];
        let found = effects(&study(&[&low, &high, &flip]));
        assert_eq!(found, ["flip: 2 > 3", "learning rate: 2 > 0", "learning rate: 2 > 1"]);
    }
}
