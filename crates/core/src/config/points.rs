//! The points of an experiment: every combination of its grid, or what its search draws, with each of its seeds. Each has
//! settings of its own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use toml::Table;

use crate::config::Experiment;
use crate::config::files::settle;
use crate::config::grid::{self, Choice};
use crate::config::path::set;
use crate::config::read::{Point, Reader, Text};
use crate::error::Problem;
use crate::search::Search;

/// So many trials can be planned at once. At ten seconds each they take a day, and a report of more is read by
/// nobody: a list that was to be shorter is told at once, instead of after minutes of planning.
pub const MOST_TRIALS: usize = 10_000;

/// The settings that say how many folds there are, and which one is tested.
const FOLDS: &str = "data.split.folds";
const FOLD: &str = "data.split.fold";

impl Reader {
    /// The settings in `table`, which hold `choices` of the grid of `text`, if nothing is wrong with them.
    pub(super) fn deserialize(
        &mut self,
        text: &Text,
        table: &Table,
        choices: &[Choice],
    ) -> Option<Experiment> {
        let problems = match deserialized(table) {
            Ok(mut experiment) => {
                let mut problems = settle(&mut experiment);
                problems.extend(experiment.check());
                if problems.is_empty() {
                    return Some(experiment);
                }
                problems
            }
            Err(message) => vec![Problem::new("", message)],
        };
        for problem in problems {
            let culprit = grid::culprit(choices, table, &problem);
            self.tell(text, [culprit.map_or(problem.clone(), |it| it.blamed(&problem))]);
        }
        None
    }

    /// Every point of `experiment`, which is what `text` says, as far as nothing is wrong with it.
    pub(super) fn points(&mut self, text: &Text, experiment: &Experiment) -> Vec<Point> {
        let mut problems = grid::check(&experiment.grid);
        problems.extend(self.too_many(experiment));
        if !problems.is_empty() {
            self.tell(text, problems);
            return Vec::new();
        }
        // A grid of thousands of values is not to be copied for each of them.
        let mut base = text.table.clone();
        base.remove("grid");
        // They are of the experiment and lie beside its runs.
        base.remove("tags");
        base.remove("search");
        match &experiment.search {
            None => self.points_of_grid(text, experiment, &base),
            Some(search) => self.points_of_search(text, (search, &experiment.seeds), &base),
        }
    }

    fn points_of_grid(&mut self, text: &Text, experiment: &Experiment, base: &Table) -> Vec<Point> {
        let mut points = Vec::new();
        let mut twins = Twins::default();
        let mut known = KnownChoices::new();
        for choices in grid::combinations(&experiment.grid) {
            let point = self.point(text, base.clone(), (&choices, &mut known));
            let Some(settings) = point else { continue };
            twins.see(&settings, &choices);
            points.extend(with_seeds(&settings, choices, &experiment.seeds, None));
        }
        self.tell(text, twins.problems());
        points
    }

    fn points_of_search(
        &mut self,
        text: &Text,
        (search, seeds): (&Search, &[u64]),
        base: &Table,
    ) -> Vec<Point> {
        /// A space in which so many draws in a row come to earlier points has no others.
        const ATTEMPTS: usize = 1000;
        let mut points = Vec::new();
        let mut seen = HashSet::new();
        let mut known = KnownChoices::new();
        for number in 1..=search.points {
            let mut found = None;
            for attempt in 0..ATTEMPTS {
                let choices = grid::drawn(search, number, attempt);
                let point = self.point(text, base.clone(), (&choices, &mut known));
                // Where one point is wrong others are as well; one of them is enough to tell.
                let Some(settings) = point else { return points };
                if seen.insert(identifying(&settings)) {
                    found = Some((settings, choices));
                    break;
                }
            }
            let Some((settings, choices)) = found else {
                let message = format!(
                    "asks for {} points, and the space seems to have no more than {}",
                    search.points,
                    number - 1
                );
                self.tell(text, [Problem::new("search.points", message)]);
                return points;
            };
            points.extend(with_seeds(&settings, choices, seeds, Some(number)));
        }
        points
    }

    /// What is wrong with the number of trials, before any of them is made.
    fn too_many(&mut self, experiment: &Experiment) -> Option<Problem> {
        let lists = experiment.grid.iter().map(|(key, values)| match key.as_str() {
            // Each of these values makes so many trials.
            FOLDS if experiment.data.split.fold.is_none() => {
                let folds =
                    values.iter().map(|it| it.as_integer().and_then(|it| it.try_into().ok()));
                folds.map(|it| it.unwrap_or(1)).fold(0, usize::saturating_add)
            }
            _ => values.len(),
        });
        let in_grid = experiment.grid.contains_key(FOLDS) || experiment.grid.contains_key(FOLD);
        let drawn = experiment.search.iter().map(|it| it.points);
        let folds = folds(experiment).len();
        let folds = if in_grid { 1 } else { folds };
        let lists: Vec<usize> = lists
            .chain(drawn)
            .chain([folds, experiment.seeds.len()])
            .filter(|it| *it != 1)
            .collect();
        let trials = lists.iter().try_fold(1, |all: usize, it| all.checked_mul(*it));
        let before = self.trials;
        self.trials = trials.map_or(usize::MAX, |it| it.saturating_add(before));
        if self.trials <= MOST_TRIALS {
            return None;
        }
        let many = trials.map_or("more than 10^19".to_owned(), |it| it.to_string());
        let lists: Vec<String> = lists.iter().map(usize::to_string).collect();
        let product = match &lists[..] {
            [] | [_] | [_, _, _, _, _, ..] => String::new(),
            few => format!(" ({})", few.join(" x ")),
        };
        let others =
            if before > 0 { format!(", beside {before} of other files") } else { String::new() };
        let key = match &experiment.search {
            Some(_) => "search",
            None if experiment.grid.is_empty() => "seeds",
            None => "grid",
        };
        let fewer =
            if experiment.search.is_some() { "ask for fewer points" } else { "list fewer values" };
        let message = format!(
            "makes {many} trials{product}{others}; at most {MOST_TRIALS} are planned at once: {fewer}"
        );
        Some(Problem::of_key(key, message))
    }

    /// The settings of one point of the grid: those in `table` with `choices`.
    fn point(
        &mut self,
        text: &Text,
        mut table: Table,
        (choices, known): (&[Choice], &mut KnownChoices),
    ) -> Option<Experiment> {
        let mut broken = false;
        for choice in choices {
            let item = (choice.key.clone(), choice.index);
            let is_known = known.contains(&item);
            // What is wrong with one list is not told of the others, which are looked at as if it were not there.
            let before = (!is_known).then(|| table.clone());
            let set = set(&mut table, &choice.key, choice.value.clone(), &self.schema);
            let problem = match set {
                Err(message) => Some(Problem::of_key(choice.list.clone(), message)),
                Ok(()) if is_known => None,
                Ok(()) => self.schema.problems(&table).first().map(|it| choice.blamed(it)),
            };
            match (problem, before) {
                (None, _) => drop(known.insert(item)),
                (Some(problem), before) => {
                    self.tell(text, [problem]);
                    table = before.unwrap_or(table);
                    broken = true;
                }
            }
        }
        if broken { None } else { self.deserialize(text, &table, choices) }
    }
}

/// The points with these settings, one for each fold and seed.
fn with_seeds(
    settings: &Experiment,
    choices: Vec<Choice>,
    seeds: &[u64],
    number: Option<usize>,
) -> Vec<Point> {
    let varies = choices.into_iter().map(|it| (it.key, it.value)).collect::<Vec<_>>();
    let mut points = Vec::new();
    for fold in folds(settings) {
        points.extend(seeds.iter().map(|seed| {
            let mut settings = Experiment { seeds: vec![*seed], ..settings.clone() };
            settings.data.split.fold = fold;
            Point { varies: varies.clone(), number, seed: *seed, settings: Arc::new(settings) }
        }));
    }
    points
}

fn deserialized(table: &Table) -> Result<Experiment, String> {
    table.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
}

/// The folds that become trials with these settings: each of them, or the only one; none where there are no folds.
fn folds(settings: &Experiment) -> Vec<Option<usize>> {
    let split = &settings.data.split;
    match (split.folds, split.fold) {
        (Some(count), None) => (1..=count).map(Some).collect(),
        (_, fold) => vec![fold],
    }
}

/// Items of a grid's lists whose shape was looked at and is right, by key and position.
type KnownChoices = HashSet<(String, usize)>;

/// Finds points with the same settings: what is written in different ways may read as the same.
#[derive(Default)]
struct Twins {
    /// By the digest of their settings, since there may be thousands.
    first: HashMap<[u8; 32], Vec<Choice>>,
    found: Vec<[Vec<Choice>; 2]>,
}

impl Twins {
    /// Looks at one more point.
    fn see(&mut self, settings: &Experiment, choices: &[Choice]) {
        match self.first.entry(identifying(settings)) {
            Entry::Occupied(it) => self.found.push([it.get().clone(), choices.to_vec()]),
            Entry::Vacant(it) => drop(it.insert(choices.to_vec())),
        }
    }

    /// What is wrong with the grid: which items of one list are equal, and else which of several lists together.
    fn problems(&self) -> Vec<Problem> {
        let found = self.found.iter().map(|[first, second]| grid::differing(first, second));
        let (alone, together): (Vec<_>, Vec<_>) = found.partition(|it| it.len() == 1);
        // Equal items of one list make equal points with every item of the others.
        let at_fault = if alone.is_empty() { together } else { alone };
        at_fault.iter().filter_map(|it| grid::alike(it)).collect()
    }
}

/// What two points share if they are one: what was written in different ways reads as the same.
fn identifying(settings: &Experiment) -> [u8; 32] {
    let mut json = serde_json::to_value(settings).expect("settings are plain JSON");
    without_negative_zeros(&mut json);
    Sha256::digest(json.to_string()).into()
}

/// Equal numbers as equal texts.
fn without_negative_zeros(json: &mut Json) {
    match json {
        Json::Number(it) if it.as_f64() == Some(0.0) => *json = 0.into(),
        Json::Array(items) => items.iter_mut().for_each(without_negative_zeros),
        Json::Object(fields) => fields.values_mut().for_each(without_negative_zeros),
        _ => {}
    }
}
