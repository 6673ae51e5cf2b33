//! Which of the state dicts in a file is taken.
//!
//! Training scripts save more than one: the weights as they were trained, their moving average, those of
//! another network. A user may say which; otherwise the average is taken if there is one, since that is what
//! those who save one report the accuracy of (timm), then what is called as most scripts call it.

use std::collections::{HashSet, VecDeque};

use crate::error::printable;
use crate::event::weights::Taken;
use crate::model::weights::pickle::{Objects, Value};
use crate::model::weights::recognize::{Refusal, whole_object};

/// What training scripts call their state dict, the commonest first.
const USUAL: [&str; 8] =
    ["state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params"];

/// How deep state dicts are looked for.
const DEEPEST: usize = 4;

/// A longer key is cut.
const LONGEST_KEY: usize = 120;

/// How the top of a file is called.
const TOP: &str = ".";

/// A dictionary with tensors in it.
struct Candidate<'a, 'o> {
    /// The keys that lead to it, with dots between.
    path: String,
    items: &'o [(Value<'a>, Value<'a>)],
    tensors: usize,
    rank: Rank,
}

/// What is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Averaged,
    /// Its place in [`USUAL`].
    Usual(usize),
    Top,
    Other,
}

impl Rank {
    fn of(path: &[String]) -> Self {
        let Some(last) = path.last() else { return Self::Top };
        // What an optimizer remembers has the names of weights, and some of it is called an average.
        if path.iter().any(|it| it.to_ascii_lowercase().contains("optim")) {
            return Self::Other;
        }
        if path.iter().any(|it| is_averaged(it)) {
            return Self::Averaged;
        }
        USUAL.iter().position(|it| it == last).map_or(Self::Other, Self::Usual)
    }

    /// Whether it says as much for one as for another.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// Whether `name` is what a moving average of weights is called.
pub(super) fn is_averaged(name: &str) -> bool {
    let mut parts = name.split(|it: char| !it.is_ascii_alphanumeric());
    let average = ["ema", "swa", "average", "averaged", "avg"];
    // Adam's moments are no weights.
    !name.starts_with("exp_avg")
        && parts
            .any(|it| average.contains(&it.to_ascii_lowercase().as_str()) || it.ends_with("EMA"))
}

/// The dictionary of tensors that is taken, and what is to be told about it.
pub(super) struct Chosen<'a, 'o> {
    pub(super) items: &'o [(Value<'a>, Value<'a>)],
    pub(super) taken: Taken,
    /// What was asked for and is no dictionary: it may be what stands before names in this one.
    pub(super) prefix: Option<String>,
}

/// Chooses among the dictionaries in `value`; `asked` is what the user calls the wanted one.
///
/// # Errors
/// If there is none.
pub(super) fn choose<'a, 'o>(
    value: Value<'a>,
    objects: &'o Objects<'a>,
    asked: Option<&str>,
) -> Result<Chosen<'a, 'o>, Refusal> {
    let mut candidates = candidates(value, objects);
    let Some(most) = candidates.iter().map(|it| it.tensors).max() else {
        return Err(match objects.maker(value) {
            Some(class) => whole_object(&class),
            None if objects.items(value).is_some() => "it holds no tensor by name".into(),
            None => "what it holds is no dictionary of tensors".into(),
        });
    };
    // A few numbers of a loss or an average are no network beside one that is.
    let whole = |it: &Candidate<'_, '_>| 2 * it.tensors >= most;
    candidates.sort_by_key(|it| (!whole(it), it.rank, most - it.tensors));
    let found = asked.and_then(|it| named(&candidates, it));
    let prefix = asked.filter(|_| found.is_none()).map(str::to_owned);
    let alike = |it: &Candidate<'_, '_>| whole(it) && it.rank.is_like(candidates[0].rank);
    let ambiguous = asked.is_none() && candidates.iter().filter(|it| alike(it)).count() > 1;
    let chosen = candidates.remove(found.unwrap_or_default());
    let state_dict = (!chosen.path.is_empty()).then_some(chosen.path);
    let called = |it: Candidate<'_, '_>| if it.path.is_empty() { TOP.into() } else { it.path };
    let averaged = chosen.rank == Rank::Averaged;
    let others = candidates.into_iter().map(called).collect();
    let taken = Taken { state_dict, others, averaged, ambiguous, ..Taken::default() };
    Ok(Chosen { items: chosen.items, taken, prefix })
}

/// The one that a user calls `asked`: its whole path, or the end of it.
fn named(candidates: &[Candidate<'_, '_>], asked: &str) -> Option<usize> {
    let asked = if asked == TOP { "" } else { asked };
    let whole = candidates.iter().position(|it| it.path == asked);
    let end = format!(".{asked}");
    let last = || candidates.iter().position(|it| !asked.is_empty() && it.path.ends_with(&end));
    whole.or_else(last)
}

/// Every dictionary in `value` that holds tensors, the outer ones first.
fn candidates<'a, 'o>(value: Value<'a>, objects: &'o Objects<'a>) -> Vec<Candidate<'a, 'o>> {
    let mut found = Vec::new();
    // A container may hold itself.
    let mut seen: HashSet<usize> = place_of(value, objects).into_iter().collect();
    let mut queue = VecDeque::from([(Vec::<String>::new(), value)]);
    while let Some((path, value)) = queue.pop_front() {
        let mut look_into = |key: &str, value: Value<'a>| {
            if path.len() < DEEPEST && place_of(value, objects).is_some_and(|it| seen.insert(it)) {
                queue.push_back((below(&path, key), value));
            }
        };
        if let Value::List(list) | Value::Tuple(list) = value {
            for (index, it) in objects.lists[list].iter().enumerate() {
                look_into(&index.to_string(), *it);
            }
        }
        let items = objects.items(value).unwrap_or_default();
        let mut tensors = 0;
        for (key, value) in items {
            let Value::Text(key) = key else { continue };
            tensors += usize::from(matches!(value, Value::Tensor(_)));
            look_into(key, *value);
        }
        if tensors > 0 {
            let rank = Rank::of(&path);
            found.push(Candidate { path: path.join("."), items, tensors, rank });
        }
    }
    found
}

/// Where the items of a container lie, which tells it from all others; none of what has no items.
fn place_of<'a>(value: Value<'a>, objects: &Objects<'a>) -> Option<usize> {
    match value {
        Value::List(list) | Value::Tuple(list) => {
            let items = &objects.lists[list];
            (!items.is_empty()).then(|| items.as_ptr().addr())
        }
        _ => objects.items(value).filter(|it| !it.is_empty()).map(|it| it.as_ptr().addr()),
    }
}

fn below(path: &[String], key: &str) -> Vec<String> {
    let key = printable(key).chars().take(LONGEST_KEY).collect();
    path.iter().cloned().chain([key]).collect()
}
