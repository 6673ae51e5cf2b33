//! Which rows of a decoded source train, validate and test: a pure function of labels, identities and settings.
//!
//! **Invariant:** every list is ascending, and none shares a row with another. What an image is drawn for follows from
//! its identity, not from its place among the rows or from the order in which classes are listed.

use ferrite_random::{Random, Use};

/// What rows are drawn for; two draws never share a stream.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    /// Parts of all images, or of those outside a fold.
    Fractions = 0,
    /// Fewer images for a quick look.
    Limit = 1,
    /// Folds.
    Folds = 2,
}

/// Where whole groups are drawn the item of a draw is none of a class.
const GROUPS: u64 = 256;

/// What draws go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn<'a> {
    /// Label of each row.
    pub labels: &'a [u8],
    /// For each label, the number of its class that does not depend on the order in which classes are listed.
    pub classes: &'a [u8],
    /// The rank of each row among all identities, or nothing where rows are in the order of their identities.
    pub ranks: Option<&'a [u32]>,
    /// The seed.
    pub seed: u64,
}

/// Draws `fractions` of `rows`, each class by itself, one list for each fraction.
///
/// The order within a class depends on the seed alone, so a larger first fraction keeps the rows of
/// a smaller one.
pub(super) fn by_fractions(drawn: Drawn<'_>, rows: Vec<u32>, fractions: &[f64]) -> Vec<Vec<u32>> {
    let mut parts = vec![Vec::new(); fractions.len()];
    for (class, mut rows) in by_class(drawn.labels, rows).into_iter().enumerate() {
        drawn.shuffle(&mut rows, Draw::Fractions, class);
        let (mut from, mut until) = (0, 0.0);
        for (part, fraction) in parts.iter_mut().zip(fractions) {
            until += fraction;
            let to = ((until * rows.len() as f64).round() as usize).clamp(from, rows.len());
            part.extend_from_slice(&rows[from..to]);
            from = to;
        }
    }
    for rows in &mut parts {
        rows.sort_unstable();
    }
    parts
}

/// Deals `rows` into `count` folds: each class is shuffled, and dealt in turn from where the class before it ended. So two
/// folds differ by at most one image in each class, and by at most one in all, as scikit-learn's `StratifiedKFold` does.
pub(super) fn folds(drawn: Drawn<'_>, rows: Vec<u32>, count: usize) -> Vec<Vec<u32>> {
    let mut classes: Vec<_> = by_class(drawn.labels, rows).into_iter().enumerate().collect();
    classes.sort_by_key(|(class, _)| drawn.classes.get(*class));
    let mut folds = vec![Vec::new(); count];
    let mut turn = (0..count).cycle();
    for (class, mut rows) in classes {
        drawn.shuffle(&mut rows, Draw::Folds, class);
        for (row, fold) in rows.into_iter().zip(&mut turn) {
            folds[fold].push(row);
        }
    }
    for rows in &mut folds {
        rows.sort_unstable();
    }
    folds
}

/// Cuts the first part to `limit` rows and the others by the same factor, keeping the proportions
/// of the classes and at least one row of each.
pub(super) fn limited(drawn: Drawn<'_>, parts: Vec<Vec<u32>>, limit: usize) -> Vec<Vec<u32>> {
    let full = parts.first().map_or(0, Vec::len);
    if limit >= full {
        return parts;
    }
    let factor = limit as f64 / full as f64;
    let cut = |rows: Vec<u32>| {
        let total = (rows.len() as f64 * factor).round() as usize;
        let mut classes = by_class(drawn.labels, rows);
        let sizes: Vec<usize> = classes.iter().map(Vec::len).collect();
        for (class, (rows, seats)) in
            classes.iter_mut().zip(apportion(&sizes, total, drawn.classes)).enumerate()
        {
            drawn.shuffle(rows, Draw::Limit, class);
            rows.truncate(seats);
        }
        let mut rows = classes.concat();
        rows.sort_unstable();
        rows
    };
    parts.into_iter().map(cut).collect()
}

/// Shares `total` seats among groups of the given `sizes` by highest averages (Sainte-Laguë). A
/// group that is not empty gets at least one seat, and none gets more than its size. Of groups with equal claims the one
/// with the lowest of `numbers` comes first.
fn apportion(sizes: &[usize], total: usize, numbers: &[u8]) -> Vec<usize> {
    let mut seats: Vec<usize> = sizes.iter().map(|it| usize::from(*it > 0)).collect();
    for _ in seats.iter().sum()..total {
        let average = |group: usize| sizes[group] as f64 / (2 * seats[group] + 1) as f64;
        let open = (0..sizes.len()).filter(|it| seats[*it] < sizes[*it]);
        let number = |group: usize| numbers.get(group);
        let claim = |a: &usize, b: &usize| {
            average(*a).total_cmp(&average(*b)).then(number(*b).cmp(&number(*a)))
        };
        let Some(next) = open.max_by(claim) else { break };
        seats[next] += 1;
    }
    seats
}

/// The rows of each class, in the order of the labels.
fn by_class(labels: &[u8], rows: Vec<u32>) -> Vec<Vec<u32>> {
    let n_classes = labels.iter().max().map_or(0, |it| usize::from(*it) + 1);
    let mut classes = vec![Vec::new(); n_classes];
    for row in rows {
        classes[usize::from(labels[row as usize])].push(row);
    }
    classes
}

impl Drawn<'_> {
    /// Shuffles whole groups, which stand in the order of their names.
    pub(super) fn shuffle_groups<T>(self, groups: &mut [T], draw: Draw) {
        Random::at(self.seed, Use::Split, draw as u64, GROUPS).shuffle(groups);
    }

    /// Shuffles rows of one class. They are put in the order of their identities before.
    fn shuffle(self, rows: &mut [u32], draw: Draw, class: usize) {
        if let Some(ranks) = self.ranks {
            rows.sort_unstable_by_key(|it| ranks[*it as usize]);
        }
        let class = u64::from(self.classes[class]);
        Random::at(self.seed, Use::Split, draw as u64, class).shuffle(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1000 labels: 700 of class 0, 290 of class 1, 10 of class 2, mixed.
    fn labels() -> Vec<u8> {
        (0..1000).map(|it| if it % 100 == 7 { 2 } else { u8::from(it % 10 >= 7) }).collect()
    }

    /// Draws that go by the order of the rows.
    fn drawn(labels: &[u8], seed: u64) -> Drawn<'_> {
        Drawn { labels, classes: &[0, 1, 2], ranks: None, seed }
    }

    fn every() -> Vec<u32> {
        (0..1000).collect()
    }

    fn counts(labels: &[u8], rows: &[u32]) -> Vec<usize> {
        by_class(labels, rows.to_vec()).iter().map(Vec::len).collect()
    }

    #[test]
    fn fractions_keep_the_proportions_of_the_classes_and_share_no_row() {
        let labels = labels();
        let parts = by_fractions(drawn(&labels, 5), every(), &[0.7, 0.2, 0.1]);
        assert_eq!(counts(&labels, &parts[0]), [490, 203, 7]);
        assert_eq!(counts(&labels, &parts[1]), [140, 58, 2]);
        assert_eq!(counts(&labels, &parts[2]), [70, 29, 1]);
        assert!(parts.iter().all(|it| it.is_sorted()));
        let mut all = parts.concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_eq!(by_fractions(drawn(&labels, 5), every(), &[0.5])[0].len(), 500);
        let first = by_fractions(drawn(&labels, 5), (0..100).collect(), &[0.5]).swap_remove(0);
        assert_eq!(counts(&labels, &first), [35, 15, 1]);
        assert!(first.iter().all(|it| *it < 100));
    }

    #[test]
    fn the_seed_decides_and_a_larger_fraction_keeps_the_smaller() {
        let labels = labels();
        let train = |fraction, seed| {
            by_fractions(drawn(&labels, seed), every(), &[fraction, 0.1]).swap_remove(0)
        };
        assert_eq!(train(0.5, 1), train(0.5, 1));
        assert_ne!(train(0.5, 1), train(0.5, 2));
        let larger = train(0.6, 1);
        assert!(train(0.5, 1).iter().all(|it| larger.contains(it)));
    }

    #[test]
    fn folds_hold_every_row_once_and_differ_by_one_image_at_most() {
        let labels = labels();
        for count in [2, 3, 7, 10, 499] {
            let folds = folds(drawn(&labels, 3), every(), count);
            assert!(folds.iter().all(|it| it.is_sorted()));
            let mut all = folds.concat();
            all.sort_unstable();
            assert_eq!(all, every());
            let even =
                |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
            assert!(even(folds.iter().map(Vec::len).collect()), "{count}");
            for class in 0..3 {
                let of = |rows: &Vec<u32>| {
                    rows.iter().filter(|it| labels[**it as usize] == class).count()
                };
                assert!(even(folds.iter().map(of).collect()), "class {class} in {count} folds");
            }
        }
        assert_eq!(folds(drawn(&labels, 3), every(), 5), folds(drawn(&labels, 3), every(), 5));
        assert_ne!(folds(drawn(&labels, 3), every(), 5), folds(drawn(&labels, 4), every(), 5));
    }

    #[test]
    fn a_limit_cuts_every_part_alike_and_keeps_every_class() {
        let labels = labels();
        let parts = by_fractions(drawn(&labels, 0), every(), &[0.7, 0.3]);
        let cut = limited(drawn(&labels, 0), parts.clone(), 70);
        assert_eq!(counts(&labels, &cut[0]), [49, 20, 1]);
        assert_eq!(counts(&labels, &cut[1]), [21, 8, 1]);
        assert!(cut.iter().zip(&parts).all(|(few, all)| few.iter().all(|it| all.contains(it))));
        assert_eq!(counts(&labels, &limited(drawn(&labels, 0), parts.clone(), 3)[0]), [1, 1, 1]);
        assert_eq!(limited(drawn(&labels, 0), parts.clone(), 700), parts);
    }

    #[test]
    fn seats_are_shared_fairly_and_never_exceed_the_group() {
        let numbers = [0, 1, 2];
        assert_eq!(apportion(&[5, 0, 3], 8, &numbers), [5, 0, 3]);
        assert_eq!(apportion(&[50, 0, 30], 8, &numbers), [5, 0, 3]);
        assert_eq!(apportion(&[5, 5], 99, &numbers), [5, 5]);
        assert_eq!(apportion(&[100, 1], 1, &numbers), [1, 1]);
        assert_eq!(apportion(&[10, 10], 3, &[1, 0]), [1, 2]);
    }

    #[test]
    fn an_image_is_drawn_for_the_same_part_wherever_it_stands_and_however_classes_are_numbered() {
        let labels = labels();
        // The same images in another order, with the first two classes exchanged.
        let moved: Vec<u32> = (0..1000).map(|it| it * 617 % 1000).collect();
        let other: Vec<u8> =
            moved.iter().map(|it| [1, 0, 2][labels[*it as usize] as usize]).collect();
        let there = Drawn { labels: &other, classes: &[1, 0, 2], ranks: Some(&moved), seed: 4 };
        let back = |rows: &Vec<u32>| {
            let mut rows: Vec<u32> = rows.iter().map(|it| moved[*it as usize]).collect();
            rows.sort_unstable();
            rows
        };
        let here = by_fractions(drawn(&labels, 4), every(), &[0.6, 0.25, 0.15]);
        let parts = by_fractions(there, every(), &[0.6, 0.25, 0.15]);
        assert_eq!(parts.iter().map(back).collect::<Vec<_>>(), here);
        let cut = limited(there, parts, 77);
        assert_eq!(cut.iter().map(back).collect::<Vec<_>>(), limited(drawn(&labels, 4), here, 77));
        let dealt = folds(there, every(), 7);
        assert_eq!(
            dealt.iter().map(back).collect::<Vec<_>>(),
            folds(drawn(&labels, 4), every(), 7)
        );
    }
}
