//! What is wrong with images: duplicates, leaks between splits, labels that contradict each other,
//! images that show nothing. Pure: it counts what [`findings`](crate::data::findings) and
//! [`near`](crate::data::near) have found.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::data::findings::Findings;
use crate::data::near::Pair;
use crate::event::audit::{Audit, Duplicates, Groups, Near, Shared, Split};

/// Images by split, with their labels.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Names and rows of the splits. No row is in two of them.
    pub splits: &'a [(&'a str, &'a [u32])],
    /// Label of each row.
    pub labels: &'a [u8],
    /// How many classes there are.
    pub classes: usize,
    /// What the pixels show.
    pub findings: &'a Findings,
}

/// Counts everything but near twins.
pub fn audit(subject: Subject<'_>) -> Audit {
    let originals = subject.findings.originals();
    let splits = subject.splits.iter().map(|(name, rows)| split(subject, &originals, name, rows));
    let twins = |row: u32| vec![originals[row as usize]];
    Audit {
        splits: splits.collect(),
        exact: duplicates(exact_groups(subject).iter(), subject.labels),
        shared: shared(subject, &originals, &twins, &|_, _| true),
        near: None,
        groups: None,
    }
}

/// Counts the groups that the rows of `splits` belong to, told by the name of each row's; none if no image has a group.
pub fn groups<'a>(
    of_rows: &[String],
    splits: impl IntoIterator<Item = (&'a str, &'a [u32])>,
) -> Option<Groups> {
    let mut found = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (split, rows) in splits {
        for group in rows.iter().map(|row| of_rows[*row as usize].as_str()) {
            if !group.is_empty() {
                found.entry(group).or_default().insert(split);
            }
        }
    }
    let mut by_split = BTreeMap::<String, usize>::new();
    for split in found.values().flatten() {
        *by_split.entry((*split).to_owned()).or_default() += 1;
    }
    let in_several_splits = found.values().filter(|it| it.len() > 1).count();
    (!found.is_empty()).then_some(Groups { count: found.len(), in_several_splits, by_split })
}

/// Rows of the splits with equal pixels, two or more a group.
pub fn exact_groups(subject: Subject<'_>) -> Vec<Vec<u32>> {
    let used: HashSet<u32> = subject.splits.iter().flat_map(|it| it.1).copied().collect();
    let group = |it: &Vec<u32>| it.iter().copied().filter(|it| used.contains(it)).collect();
    subject.findings.equal.iter().map(group).filter(|it: &Vec<u32>| it.len() > 1).collect()
}

/// One row for each different picture of the splits: what near twins are looked for in.
pub fn different_pictures(subject: Subject<'_>) -> Vec<u32> {
    let originals = subject.findings.originals();
    let rows = subject.splits.iter().flat_map(|it| it.1).map(|it| originals[*it as usize]);
    let mut rows: Vec<u32> = rows.collect();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// Rows of the splits that `pairs` of different pictures join, with their exact copies.
pub fn near_groups(subject: Subject<'_>, pairs: &[Pair]) -> Vec<Vec<u32>> {
    let originals = subject.findings.originals();
    let mut leaders: HashMap<u32, u32> = HashMap::new();
    for pair in pairs {
        let [a, b] = pair.rows.map(|it| leader(&mut leaders, it));
        leaders.insert(a.max(b), a.min(b));
    }
    let mut groups = BTreeMap::<u32, Vec<u32>>::new();
    for row in subject.splits.iter().flat_map(|it| it.1) {
        let original = originals[*row as usize];
        if leaders.contains_key(&original) {
            groups.entry(leader(&mut leaders, original)).or_default().push(*row);
        }
    }
    groups.into_values().collect()
}

/// The first of those that are joined with `row`.
fn leader(leaders: &mut HashMap<u32, u32>, row: u32) -> u32 {
    let (mut at, mut path) = (row, Vec::new());
    while let Some(next) = leaders.get(&at).copied().filter(|it| *it != at) {
        path.push(at);
        at = next;
    }
    leaders.insert(at, at);
    for it in path {
        leaders.insert(it, at);
    }
    at
}

/// Counts near twins among the different pictures.
pub fn audit_near(subject: Subject<'_>, pairs: &[Pair]) -> Near {
    let originals = subject.findings.originals();
    let mut partners = HashMap::<u32, Vec<u32>>::new();
    for Pair { rows: [a, b], .. } in pairs {
        partners.entry(*a).or_default().push(*b);
        partners.entry(*b).or_default().push(*a);
    }
    let near = |row: u32| partners.get(&originals[row as usize]).cloned().unwrap_or_default();
    let no_exact_twin = |row: u32, there: &Pictures| !there.contains_key(&originals[row as usize]);
    Near {
        pairs: pairs.len(),
        mirrored: pairs.iter().filter(|it| it.mirrored).count(),
        groups: duplicates(near_groups(subject, pairs).iter(), subject.labels),
        shared: shared(subject, &originals, &near, &no_exact_twin),
    }
}

fn split(subject: Subject<'_>, originals: &[u32], name: &str, rows: &[u32]) -> Split {
    let mut classes = vec![0; subject.classes];
    let mut different = HashSet::new();
    for row in rows {
        classes[usize::from(subject.labels[*row as usize])] += 1;
        different.insert(originals[*row as usize]);
    }
    let among = |all: &[u32]| rows.iter().filter(|it| all.binary_search(it).is_ok()).count();
    Split {
        name: name.to_owned(),
        images: rows.len(),
        classes,
        redundant: rows.len() - different.len(),
        constant: among(&subject.findings.constant),
        nearly_constant: among(&subject.findings.nearly_constant),
    }
}

/// The labels of each picture of a split.
type Pictures = HashMap<u32, Vec<u8>>;

/// For each two splits, each way: the images of one whose `twins` the other has, if they `count`.
fn shared(
    subject: Subject<'_>,
    originals: &[u32],
    twins: &dyn Fn(u32) -> Vec<u32>,
    counts: &dyn Fn(u32, &Pictures) -> bool,
) -> Vec<Shared> {
    let pictures = |rows: &[u32]| {
        let mut pictures = Pictures::new();
        for row in rows {
            let labels = pictures.entry(originals[*row as usize]).or_default();
            labels.push(subject.labels[*row as usize]);
        }
        pictures
    };
    let mut all = Vec::new();
    for (at, (with, there)) in subject.splits.iter().enumerate() {
        let there = pictures(there);
        for (split, rows) in
            subject.splits.iter().enumerate().filter(|it| it.0 != at).map(|it| it.1)
        {
            let (mut images, mut same_label) = (0, 0);
            for row in *rows {
                let twins: Vec<_> = twins(*row).iter().filter_map(|it| there.get(it)).collect();
                if !twins.is_empty() && counts(*row, &there) {
                    let label = &subject.labels[*row as usize];
                    images += 1;
                    same_label += usize::from(twins.iter().any(|it| it.contains(label)));
                }
            }
            if images > 0 {
                let (split, with) = ((*split).to_owned(), (*with).to_owned());
                all.push(Shared { split, with, images, same_label });
            }
        }
    }
    all
}

fn duplicates<'a>(groups: impl Iterator<Item = &'a Vec<u32>>, labels: &[u8]) -> Duplicates {
    let mut sum = Duplicates::default();
    for group in groups {
        sum.groups += 1;
        sum.images += group.len();
        sum.largest = sum.largest.max(group.len());
        if conflicts(group, labels) {
            sum.conflicting_groups += 1;
            sum.conflicting_images += group.len();
        }
    }
    sum.redundant = sum.images - sum.groups;
    sum
}

/// Whether the images of `group` do not all have the same label.
pub fn conflicts(group: &[u32], labels: &[u8]) -> bool {
    group.iter().any(|it| labels[*it as usize] != labels[group[0] as usize])
}
