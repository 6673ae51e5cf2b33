//! The `[grid]` table: every combination of its values; and how a value that varies is called, wherever it comes from.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::config::path::{by_position, joined, quoted};
use crate::error::Problem;
use crate::search::Search;
use crate::search::space::{Distribution, Drawn};

/// A value that a setting has in some points and not in others.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The setting's dotted key.
    pub key: String,
    /// The dotted key, in the file, of the list that it is taken from, or of the range that it is drawn from.
    pub list: String,
    /// Its position in the list; 0 where there is none.
    pub index: usize,
    /// The value.
    pub value: Value,
    /// The dotted key of the value in the file, or that of its range.
    pub place: String,
    /// Which point of a search has it; none in a grid, whose values stand in the file.
    pub point: Option<usize>,
}

impl Choice {
    fn of_grid(key: &str, index: usize, value: &Value) -> Self {
        let list = joined("grid", &quoted(key));
        let place = joined(&list, &index.to_string());
        Self { key: key.to_owned(), list, index, value: value.clone(), place, point: None }
    }

    /// What the point of a search with this number has drawn.
    fn of_search(key: &str, number: usize, from: &Distribution, drawn: Drawn) -> Self {
        let list = joined("search.space", &quoted(key));
        let of_kind = joined(&list, from.name());
        let place = drawn.item.map_or(of_kind.clone(), |it| joined(&of_kind, &it.to_string()));
        let (index, value) = (drawn.item.unwrap_or(0), drawn.value);
        Self { key: key.to_owned(), list, index, value, place, point: Some(number) }
    }

    /// `problem` with settings that hold this value, as a problem of the grid or the search.
    pub fn blamed(&self, problem: &Problem) -> Problem {
        if problem.of_key {
            return Problem::of_key(self.list.clone(), problem.message.clone());
        }
        let drawn =
            self.point.map_or(String::new(), |it| format!(" (point {it} has {})", self.value));
        let message = format!("`{}` {}{drawn}", problem.key, problem.message);
        Problem::new(self.place.clone(), message)
    }
}

/// The values of the point with this number, as they are drawn at this attempt.
pub fn drawn(search: &Search, number: usize, attempt: usize) -> Vec<Choice> {
    let drawn = search.draw(number, attempt).into_iter().zip(search.space.values());
    drawn.map(|((key, drawn), from)| Choice::of_search(key, number, from, drawn)).collect()
}

/// Settings that are not of one trial and cannot vary between trials.
const FIXED: [&str; 6] = ["about", "tags", "extends", "grid", "search", "seeds"];

/// What cannot be right in the grid alone.
pub fn check(grid: &BTreeMap<String, Vec<Value>>) -> Vec<Problem> {
    let judge = |(key, values): (&String, &Vec<Value>)| {
        let place = joined("grid", &quoted(key));
        if FIXED.contains(&key.as_str()) {
            let message = format!("`{key}` cannot vary in a grid");
            return Some(Problem::of_key(place, message));
        }
        values.is_empty().then(|| Problem::new(place, "must list at least one value"))
    };
    grid.iter().filter_map(judge).collect()
}

/// Every combination of one value for each key; one empty combination for an empty grid.
pub fn combinations(grid: &BTreeMap<String, Vec<Value>>) -> Vec<Vec<Choice>> {
    grid.iter().fold(vec![Vec::new()], |all, (key, values)| {
        let with = |it: &Vec<Choice>, (index, value): (usize, &Value)| {
            [it.as_slice(), &[Choice::of_grid(key, index, value)]].concat()
        };
        all.iter().flat_map(|it| values.iter().enumerate().map(move |at| with(it, at))).collect()
    })
}

/// Of which lists two combinations take different items, and these.
pub fn differing<'a>(first: &'a [Choice], second: &'a [Choice]) -> Vec<[&'a Choice; 2]> {
    let pairs = first.iter().zip(second).filter(|(a, b)| a.index != b.index);
    pairs.map(|(a, b)| [a, b]).collect()
}

/// What to say about two combinations with the same settings, of which these items differ.
pub fn alike(differing: &[[&Choice; 2]]) -> Option<Problem> {
    let [.., [_, blamed]] = differing else { return None };
    let place = blamed.place.clone();
    if let [[first, second]] = differing {
        let [first, second] = [first, second].map(|it| it.index + 1);
        let message = format!(
            "is item {second} and gives the same settings as item {first}: take one of them out"
        );
        return Some(Problem::new(place, message));
    }
    let items = |of: usize| {
        let items =
            differing.iter().map(|it| format!("item {} of `{}`", it[of].index + 1, it[of].key));
        items.collect::<Vec<_>>().join(" and ")
    };
    let message =
        format!("makes a trial twice: {} give the same settings as {}", items(1), items(0));
    Some(Problem::new(place, message))
}

/// The one of `choices` that `problem` with the settings in `table` is about; else the last.
pub fn culprit<'a>(choices: &'a [Choice], table: &Table, problem: &Problem) -> Option<&'a Choice> {
    let is_about = |it: &&Choice| {
        let key = by_position(table, &it.key);
        problem.key == key || problem.key.starts_with(&format!("{key}."))
    };
    choices.iter().find(is_about).or(choices.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(key: &str, index: usize) -> Choice {
        Choice::of_grid(key, index, &Value::Boolean(true))
    }

    #[test]
    fn two_lists_that_give_the_same_settings_are_both_named() {
        let first = [choice("a", 0), choice("b", 1), choice("c", 0)];
        let second = [choice("a", 1), choice("b", 1), choice("c", 2)];
        let problem = alike(&differing(&first, &second)).unwrap();
        assert_eq!(problem.key, "grid.c.2");
        let says = "makes a trial twice: item 2 of `a` and item 3 of `c` give the same settings as item 1 of `a` \
                    and item 1 of `c`";
        assert_eq!(problem.message, says);
        assert_eq!(alike(&differing(&first, &first)), None);
    }
}
