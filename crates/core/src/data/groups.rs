//! Drawing whole groups of images (persons, videos), so that no group is in two parts.
//!
//! The rule is that of scikit-learn's `StratifiedGroupKFold`, for parts of any size: groups whose images are most of one class
//! come first, and each goes where the parts then have the classes in the most equal shares.
//!
//! **Invariant:** what a group is drawn for follows from names, class counts and seed, not from the order of rows or classes.

use std::collections::BTreeMap;

use crate::data::rows::{Draw, Drawn};

/// By what part of the best balance another may differ and still be as good, as in `numpy.isclose`.
const RELATIVE: f64 = 1e-5;
/// And by how much beside that.
const ABSOLUTE: f64 = 1e-8;

/// Draws `rows` into parts that have `targets` as their shares, whole groups at a time; `groups` are the names of all rows'
/// groups. Of the parts the first `needed` get at least one group each, if there are as many.
pub(super) fn by_groups(
    (drawn, draw): (Drawn<'_>, Draw),
    groups: &[String],
    rows: &[u32],
    targets: &[f64],
    needed: usize,
) -> Vec<Vec<u32>> {
    let mut members = BTreeMap::<&str, Vec<u32>>::new();
    for row in rows {
        members.entry(&groups[*row as usize]).or_default().push(*row);
    }
    let mut members: Vec<Vec<u32>> = members.into_values().collect();
    drawn.shuffle_groups(&mut members, draw);
    let count = |rows: &Vec<u32>| {
        let mut counts = vec![0; drawn.classes.len()];
        for row in rows {
            counts[usize::from(drawn.classes[usize::from(drawn.labels[*row as usize])])] += 1;
        }
        counts
    };
    let counts: Vec<Vec<usize>> = members.iter().map(count).collect();
    let mut parts = vec![Vec::new(); targets.len()];
    for (part, rows) in deal(&counts, targets, needed).into_iter().zip(members) {
        parts[part].extend(rows);
    }
    for rows in &mut parts {
        rows.sort_unstable();
    }
    parts
}

/// The part of each of `groups`, told by how many images of each class they have, where parts are to have `targets` as their
/// shares. With equal targets it is what scikit-learn's `StratifiedGroupKFold` does with groups in this order; only the first
/// `needed` parts are never left empty here as long as there are groups.
pub fn deal(groups: &[Vec<usize>], targets: &[f64], needed: usize) -> Vec<usize> {
    let classes = groups.iter().map(Vec::len).max().unwrap_or(0);
    let total = |class: usize| groups.iter().map(|it| it[class]).sum::<usize>();
    let totals: Vec<(usize, f64)> =
        (0..classes).map(|it| (it, total(it) as f64)).filter(|it| it.1 > 0.0).collect();
    let counts = |group: usize| totals.iter().map(move |(class, _)| groups[group][*class] as f64);
    let spread: Vec<f64> =
        (0..groups.len()).map(|it| deviation(&counts(it).collect::<Vec<_>>())).collect();
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| spread[*b].total_cmp(&spread[*a]));
    let least = targets.iter().copied().fold(f64::INFINITY, f64::min);
    let mut table = Table {
        held: vec![vec![0.0; totals.len()]; targets.len()],
        totals: totals.iter().map(|it| it.1).collect(),
        ahead: targets.iter().map(|it| it - least).collect(),
    };
    let mut of_groups = vec![0; groups.len()];
    for (done, group) in order.into_iter().enumerate() {
        let counts: Vec<f64> = counts(group).collect();
        let empty: Vec<usize> = (0..needed).filter(|it| table.images(*it) == 0.0).collect();
        let open = if empty.len() >= groups.len() - done && !empty.is_empty() {
            empty
        } else {
            (0..targets.len()).collect()
        };
        let part = table.best(&open, &counts);
        table.add(part, &counts);
        of_groups[group] = part;
    }
    of_groups
}

/// What the parts hold so far.
struct Table {
    /// Images of each class, part by part.
    held: Vec<Vec<f64>>,
    /// Images of each class in all.
    totals: Vec<f64>,
    /// How much larger a share each part is to have than the one with the smallest.
    ahead: Vec<f64>,
}

impl Table {
    fn images(&self, part: usize) -> f64 {
        self.held[part].iter().sum()
    }

    fn add(&mut self, part: usize, counts: &[f64]) {
        self.held[part].iter_mut().zip(counts).for_each(|(held, it)| *held += it);
    }

    /// The one of `open` with which the classes are in the most equal shares, if it gets `counts` more; of several the one
    /// with the fewest images.
    fn best(&self, open: &[usize], counts: &[f64]) -> usize {
        let all: f64 = self.totals.iter().sum();
        let mut best = (open[0], f64::INFINITY, f64::INFINITY);
        for part in open.iter().copied() {
            let (balance, images) =
                (self.balance(part, counts), self.images(part) - self.ahead[part] * all);
            let close = (balance - best.1).abs() <= ABSOLUTE + RELATIVE * best.1.abs();
            if balance < best.1 || (close && images < best.2) {
                best = (part, balance, images);
            }
        }
        best.0
    }

    /// How unequal the shares of the classes are, if `part` gets `counts` more.
    fn balance(&self, part: usize, counts: &[f64]) -> f64 {
        let share = |at: usize, class: usize| {
            let more = if at == part { counts[class] } else { 0.0 };
            (self.held[at][class] + more) / self.totals[class] - self.ahead[at]
        };
        let of_class = |class: usize| {
            let shares = (0..self.held.len()).map(|at| share(at, class)).collect::<Vec<_>>();
            deviation(&shares)
        };
        (0..self.totals.len()).map(of_class).sum::<f64>() / self.totals.len() as f64
    }
}

/// The standard deviation of `values`, as NumPy computes it.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|it| (it - mean) * (it - mean)).sum::<f64>() / n).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 groups of 1 to 30 images in two classes.
    fn labels_and_groups() -> (Vec<u8>, Vec<String>) {
        let sizes = (0..40).map(|it| 1 + it * 17 % 30);
        let all = sizes.enumerate().flat_map(|(group, size)| {
            (0..size).map(move |it| (u8::from((it + group) % 3 == 0), format!("person {group}")))
        });
        all.unzip()
    }

    fn drawn(labels: &[u8], seed: u64) -> (Drawn<'_>, Draw) {
        (Drawn { labels, classes: &[0, 1], ranks: None, seed }, Draw::Folds)
    }

    /// Names of the groups of each part.
    fn names<'a>(groups: &'a [String], parts: &[Vec<u32>]) -> Vec<Vec<&'a str>> {
        let of = |rows: &Vec<u32>| {
            let mut all: Vec<&str> = rows.iter().map(|it| groups[*it as usize].as_str()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        parts.iter().map(of).collect()
    }

    #[test]
    fn no_group_is_in_two_parts_and_no_row_is_lost() {
        let (labels, groups) = labels_and_groups();
        let every: Vec<u32> = (0..labels.len() as u32).collect();
        for targets in [vec![0.2; 5], vec![0.7, 0.15, 0.15], vec![1.0 / 40.0; 40]] {
            let parts = by_groups(drawn(&labels, 1), &groups, &every, &targets, targets.len());
            let mut all = parts.concat();
            all.sort_unstable();
            assert_eq!(all, every);
            let mut of_parts = names(&groups, &parts).concat();
            let count = of_parts.len();
            of_parts.sort_unstable();
            of_parts.dedup();
            assert_eq!((of_parts.len(), count), (40, 40));
            for (rows, target) in parts.iter().zip(&targets) {
                let share = rows.len() as f64 / every.len() as f64;
                assert!((share - target).abs() < 0.05, "{share}, not {target}");
            }
        }
    }

    #[test]
    fn rows_classes_and_seed_in_another_order_draw_the_same_groups_or_not() {
        let (labels, groups) = labels_and_groups();
        let every: Vec<u32> = (0..labels.len() as u32).collect();
        let here = by_groups(drawn(&labels, 1), &groups, &every, &[0.25; 4], 4);
        let turned = |it: u32| labels.len() - 1 - it as usize;
        let other: Vec<u8> = every.iter().map(|it| 1 - labels[turned(*it)]).collect();
        let moved: Vec<String> = every.iter().map(|it| groups[turned(*it)].clone()).collect();
        let there = Drawn { labels: &other, classes: &[1, 0], ranks: None, seed: 1 };
        let there = by_groups((there, Draw::Folds), &moved, &every, &[0.25; 4], 4);
        assert_eq!(names(&moved, &there), names(&groups, &here));
        let seeded = by_groups(drawn(&labels, 2), &groups, &every, &[0.25; 4], 4);
        assert_ne!(names(&groups, &seeded), names(&groups, &here));
    }

    #[test]
    fn few_groups_are_shared_so_that_every_part_has_one() {
        let four = vec![vec![5, 5]; 4];
        let mut parts = deal(&four, &[0.7, 0.15, 0.15], 3);
        parts.sort_unstable();
        assert_eq!(parts, [0, 0, 1, 2]);
        assert_eq!(deal(&four[..1], &[0.5, 0.5], 2), [0]);
        // What is missing to 1 may stay empty.
        assert!(!deal(&four[..3], &[0.6, 0.2, 0.1, 0.1], 3).contains(&3));
    }

    #[test]
    fn equal_parts_are_those_of_scikit_learn() {
        // StratifiedGroupKFold(3) of scikit-learn 1.9.1; `make parity` compares many more.
        let counts = [
            [2, 0],
            [2, 0],
            [1, 1],
            [0, 2],
            [4, 0],
            [1, 1],
            [1, 0],
            [0, 1],
            [3, 5],
            [2, 2],
            [6, 1],
            [0, 3],
        ];
        let parts = deal(&counts.map(Vec::from), &[1.0 / 3.0; 3], 3);
        assert_eq!(parts, [2, 2, 2, 1, 1, 0, 2, 0, 1, 2, 0, 2]);
    }
}
