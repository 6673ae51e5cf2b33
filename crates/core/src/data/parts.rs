//! Which rows of a decoded source are in which part of the split, as the settings ask for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::data::Data;
use crate::data::folder::list::same;
use crate::data::groups::by_groups;
use crate::data::labelled::{Labelled, Wanted};
use crate::data::prepared::Prepared;
use crate::data::rows::{self, Draw};
use crate::data::source::Source;
use crate::digits::counted;
use crate::error::{Error, Result};

/// Images that an error names.
const FEW: usize = 3;

/// The decoded images that parts are drawn from.
#[derive(Clone, Copy)]
pub(super) struct Pool<'a> {
    pub(super) data: &'a Data,
    pub(super) prepared: &'a Prepared,
    pub(super) labelled: &'a Labelled,
}

impl<'a> Pool<'a> {
    /// The rows of each part of `data.split`, in its order. Images without a label are counted in `unlabelled`.
    ///
    /// # Errors
    /// [`Error::Data`] if there is no split of a name, or if groups cannot be kept together.
    pub(super) fn parts(self, unlabelled: &mut BTreeMap<String, usize>) -> Result<Vec<Vec<u32>>> {
        let split = &self.data.split;
        let mut parts = match split.folds {
            Some(count) => self.of_fold(count, unlabelled)?,
            None if split.is_named() => self.named(unlabelled)?,
            None => {
                let rows = self.labelled.fit(self.every(), Wanted::Training, unlabelled);
                let fractions: Vec<f64> = split.parts().filter_map(|it| it.1.fraction()).collect();
                self.fractions(rows, &fractions)?
            }
        };
        for (position, rows) in parts.iter_mut().enumerate() {
            let wanted = Wanted::of_part(position);
            *rows = self.labelled.fit(std::mem::take(rows), wanted, unlabelled);
        }
        if split.groups {
            self.refuse_shared_groups(&parts)?;
        }
        Ok(parts)
    }

    /// All folds of `data.split`.
    ///
    /// # Errors
    /// As [`Pool::parts`].
    pub(super) fn folds(
        self,
        count: usize,
        unlabelled: &mut BTreeMap<String, usize>,
    ) -> Result<Vec<Vec<u32>>> {
        let pool = match self.data.split.train.name() {
            Some(name) => self.split_of("train", name)?,
            None => self.every(),
        };
        let pool = self.labelled.fit(pool, Wanted::Training, unlabelled);
        let drawn = self.labelled.drawn(self.data.split.seed);
        if !self.data.split.groups {
            return Ok(rows::folds(drawn, pool, count));
        }
        let groups = self.groups_of(&pool)?.len();
        if groups < count {
            let message = format!(
                "its {} are of {}, too few for {count} folds",
                counted(pool.len(), "image"),
                counted(groups, "group"),
            );
            let help = format!(
                "write `folds = {groups}`, with which each group is left out once, or fewer"
            );
            return Err(self.data.refused(message, &help));
        }
        let targets = vec![1.0 / count as f64; count];
        Ok(by_groups((drawn, Draw::Folds), &self.prepared.groups, &pool, &targets, count))
    }

    /// The images outside the tested fold that train, those of them that validate, and the fold.
    fn of_fold(
        self,
        count: usize,
        unlabelled: &mut BTreeMap<String, usize>,
    ) -> Result<Vec<Vec<u32>>> {
        let split = &self.data.split;
        let mut folds = self.folds(count, unlabelled)?;
        let test = folds.swap_remove(split.fold.map_or(0, |it| it - 1));
        let mut rest = folds.concat();
        rest.sort_unstable();
        let valid = match (split.valid.name(), split.valid.fraction()) {
            (Some(name), _) => self.split_of("valid", name)?,
            (None, share) => self.taken_out(&mut rest, &[share.unwrap_or_default()])?.remove(0),
        };
        Ok(vec![rest, valid, test])
    }

    /// Parts of which one at least is the name of a split; fractions are taken out of `train`.
    fn named(self, unlabelled: &mut BTreeMap<String, usize>) -> Result<Vec<Vec<u32>>> {
        let split = &self.data.split;
        let fractions: Vec<f64> = split.parts().filter_map(|it| it.1.fraction()).collect();
        let mut parts = Vec::new();
        for (key, part) in split.parts() {
            parts.push(match part.name() {
                Some(name) => self.split_of(key, name)?,
                None => Vec::new(),
            });
        }
        if !fractions.is_empty() {
            let train = std::mem::take(&mut parts[0]);
            let mut train = self.labelled.fit(train, Wanted::Training, unlabelled);
            let mut taken = self.taken_out(&mut train, &fractions)?.into_iter();
            let fractional = split.parts().zip(&mut parts).filter(|it| it.0.1.name().is_none());
            fractional.for_each(|(_, rows)| *rows = taken.next().unwrap_or_default());
            parts[0] = train;
        }
        Ok(parts)
    }

    /// Draws `fractions` of `rows`, and takes them out of these.
    fn taken_out(self, rows: &mut Vec<u32>, fractions: &[f64]) -> Result<Vec<Vec<u32>>> {
        let drawn = self.labelled.drawn(self.data.split.seed);
        if self.data.split.groups {
            let left = 1.0 - fractions.iter().sum::<f64>();
            let targets = [fractions, &[left]].concat();
            let mut parts = self.whole_groups(rows, &targets, targets.len())?;
            *rows = parts.pop().unwrap_or_default();
            return Ok(parts);
        }
        let parts = rows::by_fractions(drawn, rows.clone(), fractions);
        let elsewhere: HashSet<u32> = parts.iter().flatten().copied().collect();
        rows.retain(|it| !elsewhere.contains(it));
        Ok(parts)
    }

    /// Draws `fractions` of `rows`; what is missing to 1 is in none of the parts.
    fn fractions(self, rows: Vec<u32>, fractions: &[f64]) -> Result<Vec<Vec<u32>>> {
        if !self.data.split.groups {
            let drawn = self.labelled.drawn(self.data.split.seed);
            return Ok(rows::by_fractions(drawn, rows, fractions));
        }
        let unused = (1.0 - fractions.iter().sum::<f64>()).max(0.0);
        let targets = [fractions, &[unused]].concat();
        let mut parts = self.whole_groups(&rows, &targets, fractions.len())?;
        parts.truncate(fractions.len());
        Ok(parts)
    }

    /// Draws whole groups of `rows` into parts with these shares, of which the first `needed` must not be empty.
    fn whole_groups(self, rows: &[u32], targets: &[f64], needed: usize) -> Result<Vec<Vec<u32>>> {
        let groups = self.groups_of(rows)?.len();
        if groups < needed {
            let message = format!(
                "{} of {} cannot be shared among {needed} parts that have no group in common",
                counted(rows.len(), "image"),
                counted(groups, "group"),
            );
            let help = if self.data.split.folds.is_some() {
                "write fewer `folds`: what is not tested must both train and validate"
            } else {
                "leave `data.split.groups` out, or add images of others"
            };
            return Err(self.data.refused(message, help));
        }
        let drawn = (self.labelled.drawn(self.data.split.seed), Draw::Fractions);
        Ok(by_groups(drawn, &self.prepared.groups, rows, targets, needed))
    }

    /// The groups of `rows`.
    ///
    /// # Errors
    /// [`Error::Data`] if an image has none.
    fn groups_of(self, rows: &[u32]) -> Result<BTreeSet<&'a str>> {
        let Prepared { groups, ids, .. } = self.prepared;
        let without: Vec<usize> =
            rows.iter().map(|it| *it as usize).filter(|it| groups[*it].is_empty()).collect();
        if without.is_empty() {
            return Ok(rows.iter().map(|it| groups[*it as usize].as_str()).collect());
        }
        let named: Vec<&str> = without.iter().take(FEW).map(|it| ids[*it].as_str()).collect();
        let message = format!(
            "{} of {} {} no group, such as `{}`",
            without.len(),
            counted(rows.len(), "image"),
            if without.len() == 1 { "has" } else { "have" },
            named.join("`, `"),
        );
        let help = match self.data.source {
            Source::Folder { .. } => {
                "put the pictures of each person or video into a folder of its own within the class folder, or leave \
                 `data.split.groups` out"
            }
            _ => {
                "fill the table's column of groups (`columns.group`), or leave `data.split.groups` out"
            }
        };
        Err(self.data.refused(message, help))
    }

    fn every(self) -> Vec<u32> {
        (0..self.prepared.labels.len() as u32).collect()
    }

    /// The rows of the split that the source calls `name`.
    fn split_of(self, key: &str, name: &str) -> Result<Vec<u32>> {
        let Self { data, prepared, .. } = self;
        let split = prepared.split_names.iter().position(|it| same(it, name));
        let split = split.ok_or_else(|| no_such_split(data, prepared, key, name))?;
        let is_in = |it: &u32| usize::from(prepared.splits[*it as usize]) == split;
        Ok(self.every().into_iter().filter(is_in).collect())
    }

    /// Refuses parts that share a group: splits of the source were not drawn here.
    fn refuse_shared_groups(self, parts: &[Vec<u32>]) -> Result<()> {
        let mut keys = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (key, rows) in self.data.split.keys().zip(parts) {
            for group in self.groups_of(rows)? {
                keys.entry(group).or_default().insert(key);
            }
        }
        let shared: Vec<_> = keys.iter().filter(|it| it.1.len() > 1).collect();
        let Some((name, of)) = shared.first() else { return Ok(()) };
        let of: Vec<&str> = of.iter().copied().collect();
        let message = format!(
            "{} in more than one part of the split; `{name}` is in `{}`",
            counted(shared.len(), "group") + if shared.len() == 1 { " is" } else { " are" },
            of.join("` and `"),
        );
        let help = "draw the parts: `split = { train = 0.7, valid = 0.15, test = 0.15, groups = true }`, or leave \
                    `groups` out";
        Err(self.data.refused(message, help))
    }
}

fn no_such_split(data: &Data, prepared: &Prepared, key: &str, name: &str) -> Error {
    let counted = |(split, name): (usize, &String)| {
        let count = prepared.splits.iter().filter(|it| usize::from(**it) == split).count();
        format!("`{name}` ({count} images)")
    };
    let names: Vec<String> = prepared.split_names.iter().enumerate().map(counted).collect();
    if prepared.split_names.iter().all(String::is_empty) {
        return data.refused(
            "it has no named splits".into(),
            "write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`",
        );
    }
    let message = format!("it has no split `{name}`, only {}", names.join(", "));
    let help = if key == "valid" {
        "get the rest of the data, or take the validation images out of the training ones: \
         `data.split.valid = 0.15`"
            .to_owned()
    } else {
        format!("change `data.split.{key}` to one of these, or get the rest of the data")
    };
    data.refused(message, &help)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::data::dataset::{Dataset, open};
    use crate::data::inspect::{Unnamed, inspect};
    use crate::data::prepared::{Item, Notes, Writer};
    use crate::data::trial::Trial;

    /// A decoded folder of 240 images of three classes in the splits `a` and `b`. Images whose row is a multiple of ten
    /// belong to nobody where `strangers` are asked for; all others to one of twelve persons, who are in one split each.
    fn decoded(strangers: bool) -> Trial {
        let trial = Trial::new();
        trial.write("decoded/images.bin", "");
        let mut writer = Writer::create(&trial.path("decoded")).unwrap();
        for row in 0..240_u32 {
            let person = row * 7 % 12;
            let group =
                if strangers && row % 10 == 0 { String::new() } else { format!("p{person}") };
            let split = if person < 9 { "a" } else { "b" };
            let label = (row % 5 % 3) as u8;
            let item = Item {
                id: &format!("{row}.png"),
                split,
                group: &group,
                label,
                content: row.into(),
            };
            writer.push(item, [1, 2, 1], &[row as u8, label]).unwrap();
        }
        let classes = ["x", "y", "z"].map(String::from).to_vec();
        writer.finish("folder", classes, Notes::default()).unwrap();
        trial
    }

    const SOURCE: &str = "source.folder = { path = 'f', classes = ['x', 'y', 'z'] }\n";

    fn opened(trial: &Trial, split: &str) -> Dataset {
        open(&trial.data(&format!("{SOURCE}split = {{ {split} }}")), &trial.path("decoded"))
            .unwrap()
    }

    fn persons<'a>(dataset: &'a Dataset, rows: &[u32]) -> Vec<&'a str> {
        let mut all: Vec<_> = rows.iter().map(|it| dataset.groups[*it as usize].as_str()).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The parts of every fold: no image in two, all in one, and each is tested once.
    #[track_caller]
    fn check_folds(split: &str, count: usize, of: usize) -> Vec<Dataset> {
        let trial = decoded(false);
        let folds: Vec<Dataset> =
            (1..=count).map(|it| opened(&trial, &format!("{split}, fold = {it}"))).collect();
        let mut tested: Vec<u32> = folds.iter().flat_map(|it| it.test.clone()).collect();
        tested.sort_unstable();
        tested.dedup();
        assert_eq!(tested.len(), folds.iter().map(|it| it.test.len()).sum::<usize>());
        assert_eq!(tested.len(), of);
        for it in &folds {
            let mut all = [it.train.as_slice(), &it.valid, &it.test].concat();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), it.train.len() + it.valid.len() + it.test.len());
        }
        folds
    }

    #[test]
    fn every_image_is_tested_once_and_trains_or_validates_in_all_other_folds() {
        for it in check_folds("folds = 5", 5, 240) {
            assert_eq!(it.train.len() + it.valid.len() + it.test.len(), 240);
            let counts = it.counts(&it.test);
            assert!(
                counts.iter().zip([19, 19, 9]).all(|(it, least)| it - least <= 1),
                "{counts:?}"
            );
            assert!(it.valid.len().abs_diff(29) <= 1);
        }
        let of_split = check_folds("folds = 4, train = 'a', valid = 0.2", 4, 180);
        assert!(
            of_split.iter().all(|it| persons(it, &it.test)
                .iter()
                .all(|it| it[1..].parse::<u32>().unwrap() < 9))
        );
        let beside = check_folds("folds = 4, train = 'a', valid = 'b'", 4, 180);
        assert!(beside.iter().all(|it| it.valid.len() == 60 && it.train.len() == 135));
    }

    #[test]
    fn no_person_is_on_two_sides() {
        let folds = check_folds("folds = 12, groups = true", 12, 240);
        for it in folds.iter().chain(&check_folds("folds = 4, groups = true, valid = 0.2", 4, 240))
        {
            let [train, valid, test] =
                [&it.train, &it.valid, &it.test].map(|rows| persons(it, rows));
            assert_eq!(train.len() + valid.len() + test.len(), 12);
            assert!(!train.iter().any(|it| valid.contains(it) || test.contains(it)));
        }
        assert!(folds.iter().all(|it| persons(it, &it.test).len() == 1), "each is left out once");
        let trial = decoded(false);
        for split in [
            "groups = true",
            "train = 0.5, valid = 0.3, groups = true",
            "train = 'a', valid = 0.2, test = 'b', groups = true",
        ] {
            let it = opened(&trial, split);
            let sides = [&it.train, &it.valid, &it.test].map(|rows| persons(&it, rows));
            let all = sides.concat();
            assert!(
                all.iter().all(|one| all.iter().filter(|it| *it == one).count() == 1),
                "{split}: {sides:?}"
            );
        }
    }

    #[test]
    fn an_audit_before_training_sees_every_fold() {
        let trial = decoded(false);
        let data = trial.data(&format!("{SOURCE}split = {{ folds = 3, groups = true }}"));
        // It draws only where the source has no splits of its own.
        assert_eq!(inspect(&data, &trial.path("decoded"), Unnamed::Drawn).unwrap().splits.len(), 2);
        let items = std::fs::read_to_string(trial.path("decoded/items.csv")).unwrap();
        trial.write(
            "decoded/items.csv",
            items.replace(".png,a,", ".png,,").replace(".png,b,", ".png,,"),
        );
        let it = inspect(&data, &trial.path("decoded"), Unnamed::Drawn).unwrap();
        let names: Vec<&str> = it.splits.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["fold 1", "fold 2", "fold 3"]);
        let groups = it.groups.unwrap();
        assert_eq!((groups.count, groups.in_several_splits), (12, 0));
    }

    #[test]
    fn groups_that_cannot_be_kept_together_are_told() {
        let check = |strangers, split: &str, expected: Expect| {
            let trial = decoded(strangers);
            let data = trial.data(&format!("{SOURCE}split = {{ {split} }}"));
            let error = open(&data, &trial.path("decoded")).unwrap_err();
            expected.assert_eq(&trial.told(&error));
        };
        check(
            true,
            "folds = 5, groups = true",
            expect![[r#"
            cannot use `f`: 24 of 240 images have no group, such as `0.png`, `10.png`, `20.png`
            put the pictures of each person or video into a folder of its own within the class folder, or leave `data.split.groups` out
        "#]],
        );
        check(
            false,
            "folds = 13, groups = true",
            expect![[r#"
            cannot use `f`: its 240 images are of 12 groups, too few for 13 folds
            write `folds = 12`, with which each group is left out once, or fewer
        "#]],
        );
        check(
            false,
            "folds = 2, train = 'b', valid = 0.999, groups = true",
            expect![[r#"
            cannot use `f`: 20 images of 1 group cannot be shared among 2 parts that have no group in common
            write fewer `folds`: what is not tested must both train and validate
        "#]],
        );
        check(
            false,
            "folds = 300, fold = 290",
            expect![[r#"
            cannot use `f`: no image is left for `data.split.test` of the 240 images
            write fewer `folds`, or add images
        "#]],
        );
    }

    #[test]
    fn named_splits_that_share_a_person_are_refused() {
        let trial = decoded(false);
        let items = std::fs::read_to_string(trial.path("decoded/items.csv")).unwrap();
        trial.write("decoded/items.csv", items.replace(",p9,", ",p8,"));
        let split = "split = { train = 'a', valid = 0.2, test = 'b', groups = true }";
        let data = trial.data(&format!("{SOURCE}{split}"));
        let error = open(&data, &trial.path("decoded")).unwrap_err();
        expect![[r#"
            cannot use `f`: 1 group is in more than one part of the split; `p8` is in `test` and `train`
            draw the parts: `split = { train = 0.7, valid = 0.15, test = 0.15, groups = true }`, or leave `groups` out
        "#]].assert_eq(&trial.told(&error));
    }
}
