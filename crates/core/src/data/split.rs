//! The `split` setting: which images train, validate and test.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::part::Part;
use crate::error::Problem;
use crate::event::split::SplitName;

/// What fractions may exceed 1 by, for sums like 0.7 + 0.2 + 0.1.
const TOLERANCE: f64 = 1e-9;

/// More folds than anyone trains: each is a training of its own.
const MOST_FOLDS: usize = 500;

/// The `split` table: which images train, validate and test.
///
/// Each part is the name of a split that the source has, or a fraction. Fractions are drawn within each class, so that
/// every part has the classes in the same proportions; which images are drawn depends on the images alone, not on the
/// order of files, rows or classes. If all parts are fractions, they are fractions of all images, whatever splits the
/// source has, and what is missing to 1 is not used. If `train` is a name, fractions are taken out of that split:
/// `{ train = "train", valid = 0.15, test = "test" }` is for data that has no validation images of its own.
///
/// With `folds` there is no one test split: k-fold cross-validation, in which every image is tested once.
///
/// ```toml
/// [data]
/// split = { train = 0.7, valid = 0.15, test = 0.15, seed = 0 }
/// # split = { folds = 5 }                    # stratified 5-fold cross-validation
/// # split = { folds = 10, groups = true }    # the same, and no person is on both sides
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, from = "Written")]
#[schemars(!from)]
pub struct Split {
    /// Images to learn from: a name like `"Training"` or a fraction like `0.7`. With `folds` it is left out, or the name of
    /// the split whose images are dealt into folds.
    #[serde(skip_serializing_if = "Part::is_everything")]
    pub train: Part,
    /// Images to choose epochs and settings by: a name like `"PublicTest"` or a fraction. If it is left out and `train` is
    /// a name, 0.15 of the images of `train` are taken. With `folds` it is a fraction of the images that are not in the
    /// tested fold, 0.15 of them if it is left out.
    pub valid: Part,
    /// Images to judge the final weights by: a name like `"PrivateTest"` or a fraction. If it is left out although `train`
    /// or `valid` is given, there is no test split, and the final weights are judged by the validation images, which look
    /// better than they are because they also chose the epoch.
    #[schemars(extend("x-replaces" = ["folds", "fold"]))]
    pub test: Option<Part>,
    /// The seed with which fractions, folds and `limit` are drawn. It is not changed by `seeds`: all seeds of an experiment
    /// see the same split.
    pub seed: u64,
    /// Cross-validation with so many folds, 2 to 500: the images are dealt into parts of equal size that have the classes in
    /// the same proportions (scikit-learn's `StratifiedKFold` with `shuffle`), and a trial is trained for each of them that
    /// is tested on it and has not seen it. `seeds` are repetitions: 5 folds with 3 seeds are 15 trials. The scores of a
    /// repetition are counted over all its images, each predicted by the one network that did not see it. A file that sets
    /// `folds` takes `train`, `valid` and `test` of the file that it extends back. Left out: one split.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-replaces" = ["train", "valid", "test"]))]
    pub folds: Option<usize>,
    /// The only one of the `folds` to test, counted from 1, and so what sets the trials of one experiment apart. Left out:
    /// each of them in turn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Whether images of one group are kept together: all images of a person or a video are then in one part or in one fold
    /// (scikit-learn's `StratifiedGroupKFold`). Without it a network can know the persons that it is tested on, and scores
    /// better than it will on others. Groups are the folders within class folders, the `group` column of a table, and the
    /// `persons` of drawn faces; each image must have one. With as many folds as there are groups each group is left out
    /// once (leave one subject out). Named splits that share a group are refused.
    /// Left out: images are drawn one by one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub groups: bool,
}

impl Default for Split {
    fn default() -> Self {
        Self {
            train: Part::Fraction(0.7),
            valid: Part::Fraction(0.15),
            test: Some(Part::Fraction(0.15)),
            seed: 0,
            folds: None,
            fold: None,
            groups: false,
        }
    }
}

/// The table as it stands in the file: a missing `test` means "none" beside other parts, but the
/// default beside nothing and beside folds.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    train: Option<Part>,
    valid: Option<Part>,
    test: Option<Part>,
    seed: u64,
    folds: Option<usize>,
    fold: Option<usize>,
    groups: bool,
}

impl From<Written> for Split {
    fn from(Written { train, valid, test, seed, folds, fold, groups }: Written) -> Self {
        let usual = Self::default();
        let untouched = train.is_none() && valid.is_none() && test.is_none() && folds.is_none();
        let pool = if folds.is_some() { Part::EVERYTHING } else { usual.train };
        Self {
            train: train.unwrap_or(pool),
            valid: valid.unwrap_or(usual.valid),
            test: if untouched { usual.test } else { test },
            seed,
            folds,
            fold,
            groups,
        }
    }
}

impl Split {
    /// The parts with their keys, in the order train, valid, test.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Part)> {
        SplitName::ALL.into_iter().filter_map(|name| {
            let part = match name {
                SplitName::Train => &self.train,
                SplitName::Valid => &self.valid,
                SplitName::Test => self.test.as_ref()?,
            };
            Some((name.as_str(), part))
        })
    }

    /// The keys of the parts that there are, in the order train, valid, test: a fold is a test split, too.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        let tests = self.tests();
        SplitName::ALL
            .into_iter()
            .filter(move |it| *it != SplitName::Test || tests)
            .map(SplitName::as_str)
    }

    /// Whether there are images that judge and choose nothing.
    pub fn tests(&self) -> bool {
        self.test.is_some() || self.folds.is_some()
    }

    /// Whether any part is the name of a split.
    pub fn is_named(&self) -> bool {
        self.parts().any(|(_, part)| part.name().is_some())
    }

    /// The names of the splits, in the order train, valid, test; empty for fractions.
    pub fn names(&self) -> Vec<&str> {
        self.parts().filter_map(|(_, part)| part.name()).collect()
    }

    /// Whether any part is drawn.
    pub fn draws(&self) -> bool {
        self.folds.is_some() || self.parts().any(|(_, part)| part.fraction().is_some())
    }

    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let dealt = self.folds.is_some();
        let parts = self.parts().filter(|(key, _)| !dealt || *key == "valid");
        let mut problems: Vec<Problem> =
            parts.filter_map(|(key, part)| check_part(key, part)).collect();
        problems.extend(self.check_twins());
        if dealt || self.fold.is_some() {
            problems.extend(self.check_folds());
            return problems;
        }
        let fractions: Vec<f64> = self.parts().filter_map(|(_, part)| part.fraction()).collect();
        let sum: f64 = fractions.iter().sum();
        let mixed = self.is_named() && !fractions.is_empty();
        let problem = match &self.train {
            Part::Fraction(share) if mixed => {
                let name = self.names().swap_remove(0);
                let message = format!(
                    "must be the name of a split where another part is one (`{name}`): `{share}` does not say of which \
                     images. Fractions of the other parts are then shares of it, like \
                     `{{ train = \"train\", valid = 0.15, test = \"{name}\" }}`"
                );
                Some(Problem::new("train", message))
            }
            Part::Name(name) if mixed && sum >= 1.0 - TOLERANCE => {
                let message = format!(
                    "leaves no image of `{name}` to train on: {sum:.3} of it are taken out"
                );
                Some(Problem::new("", message))
            }
            _ if sum > 1.0 + TOLERANCE => {
                let message = format!("must be fractions that add up to 1 or less, not {sum:.3}");
                Some(Problem::new("", message))
            }
            _ => None,
        };
        let sound = problems.is_empty();
        problems.extend(problem.filter(|_| sound));
        problems
    }

    fn check_folds(&self) -> impl Iterator<Item = Problem> {
        let Self { folds, fold, train, valid, test, .. } = self;
        let most = folds.unwrap_or(MOST_FOLDS);
        let named = |part: &Part| part.name().is_some();
        [
            Problem::unless(
                folds.is_none_or(|it| (2..=MOST_FOLDS).contains(&it)),
                "folds",
                "must be from 2 to 500",
            ),
            Problem::unless(
                folds.is_some(),
                "fold",
                "says which fold is tested, and needs `folds` beside it: how many there are",
            ),
            Problem::unless(
                fold.is_none_or(|it| (1..=most).contains(&it)),
                "fold",
                &format!("must be from 1 to {most}: the folds are counted from 1"),
            ),
            Problem::unless(
                named(train) || train.is_everything() || folds.is_none(),
                "train",
                "must be left out with `folds`, or be the name of the split whose images are dealt into folds",
            ),
            Problem::unless(
                !named(valid) || named(train) || folds.is_none(),
                "valid",
                "must be a fraction of the images outside the tested fold, like `0.15`, unless `train` names a split too",
            ),
            Problem::unless(
                test.is_none() || folds.is_none(),
                "test",
                "must be left out with `folds`: each fold is tested in turn",
            ),
        ]
        .into_iter()
        .flatten()
    }

    /// Names that stand for more than one part.
    fn check_twins(&self) -> Vec<Problem> {
        let parts: Vec<(&str, &Part)> = self.parts().collect();
        let twin = |(position, (key, part)): (usize, &(&str, &Part))| {
            let Part::Name(name) = part else { return None };
            let (other, _) = parts[..position].iter().find(|(_, it)| it == part)?;
            let message = format!(
                "must not be `{name}` like `{other}`: the scores would mean nothing. Where there is no split to validate \
                 on, take a share of the training images: `valid = 0.15`"
            );
            Some(Problem::new(*key, message))
        };
        parts.iter().enumerate().filter_map(twin).collect()
    }
}

fn check_part(key: &str, part: &Part) -> Option<Problem> {
    match part {
        Part::Fraction(fraction) if *fraction > 0.0 && *fraction < 1.0 => None,
        Part::Fraction(_) => {
            Some(Problem::new(key, "must be a fraction between 0 and 1, like `0.15`"))
        }
        Part::Name(name) if name.trim().is_empty() => {
            Some(Problem::new(key, "must be the name of a split, like `\"Training\"`"))
        }
        Part::Name(name) if name.parse::<f64>().is_ok() => {
            Some(Problem::new(key, format!("must be written without quotes: `{name}`")))
        }
        Part::Name(name) if name.starts_with('.') || name.contains(['/', '\\']) => {
            Some(Problem::new(key, "must be the name of a split, not a path"))
        }
        Part::Name(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Checks what a user is told about the `split` table in `text`.
    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let told = match toml::from_str::<Split>(text) {
            Ok(split) => {
                split.check().iter().map(|it| format!("{}: {}\n", it.key, it.message)).collect()
            }
            Err(error) => format!("{:?} {}\n", &text[error.span().unwrap()], error.message()),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn names_or_fractions_are_fine() {
        check("train = 'Training'\nvalid = 'PublicTest'", expect![""]);
        check("train = 0.7\nvalid = 0.2\ntest = 0.1", expect![""]);
        check("train = 0.5\nvalid = 0.1", expect![""]);
        check("train = 'train'\nvalid = 0.15\ntest = 'test'", expect![""]);
        check("train = 'train'\nvalid = 0.15\ntest = 0.15", expect![""]);
        check("seed = 3", expect![""]);
        check("folds = 5", expect![""]);
        check("folds = 5\nfold = 5\nvalid = 0.2\ngroups = true", expect![""]);
        check("folds = 5\ntrain = 'Training'\nvalid = 'PublicTest'", expect![""]);
        check("groups = true", expect![""]);
    }

    #[test]
    fn what_folds_leave_no_room_for_is_told() {
        check(
            "folds = 1",
            expect![[r#"
            folds: must be from 2 to 500
        "#]],
        );
        check(
            "folds = 5\nfold = 6",
            expect![[r#"
            fold: must be from 1 to 5: the folds are counted from 1
        "#]],
        );
        check(
            "fold = 2",
            expect![[r#"
            fold: says which fold is tested, and needs `folds` beside it: how many there are
        "#]],
        );
        check(
            "folds = 5\ntrain = 0.7\nvalid = 0.15\ntest = 0.15",
            expect![[r#"
            train: must be left out with `folds`, or be the name of the split whose images are dealt into folds
            test: must be left out with `folds`: each fold is tested in turn
        "#]],
        );
        check(
            "folds = 5\nvalid = 'PublicTest'",
            expect![[r#"
            valid: must be a fraction of the images outside the tested fold, like `0.15`, unless `train` names a split too
        "#]],
        );
        check(
            "folds = 5\nvalid = 1.5",
            expect![[r#"
            valid: must be a fraction between 0 and 1, like `0.15`
        "#]],
        );
    }

    #[test]
    fn folds_are_written_as_they_were_read() {
        let text = "valid = 0.15\nseed = 0\nfolds = 5\nfold = 2\n";
        let split: Split = toml::from_str(text).unwrap();
        assert!(split.train.is_everything() && split.test.is_none() && split.draws());
        assert_eq!(toml::to_string(&split).unwrap(), text);
        assert_eq!(split.keys().collect::<Vec<_>>(), ["train", "valid", "test"]);
        assert!(!toml::to_string(&Split::default()).unwrap().contains("fold"));
    }

    #[test]
    fn every_problem_says_what_to_write() {
        check(
            "train = true",
            expect![[r#"
            "true" invalid type: boolean `true`, expected the name of a split, like "Training", or a fraction of all images, like 0.7
        "#]],
        );
        check(
            "train = [0.7]",
            expect![[r#"
            "[0.7]" invalid type: sequence, expected the name of a split, like "Training", or a fraction of all images, like 0.7
        "#]],
        );
        check(
            "trian = 0.7",
            expect![[r#"
                "trian" unknown field `trian`, expected one of `train`, `valid`, `test`, `seed`, `folds`, `fold`, `groups`
            "#]],
        );
        check(
            "train = 1\nvalid = 0.2",
            expect![[r#"
            train: must be a fraction between 0 and 1, like `0.15`
        "#]],
        );
        check(
            "train = 0.7\nvalid = -0.2\ntest = nan",
            expect![[r#"
            valid: must be a fraction between 0 and 1, like `0.15`
            test: must be a fraction between 0 and 1, like `0.15`
        "#]],
        );
        check(
            "train = 0.7\nvalid = 0.2\ntest = 0.2",
            expect![[r#"
            : must be fractions that add up to 1 or less, not 1.100
        "#]],
        );
        check(
            "train = 0.7\nvalid = 0.2\ntest = 'test'",
            expect![[r#"
            train: must be the name of a split where another part is one (`test`): `0.7` does not say of which images. Fractions of the other parts are then shares of it, like `{ train = "train", valid = 0.15, test = "test" }`
        "#]],
        );
        check(
            "train = 'train'\nvalid = 0.6\ntest = 0.4",
            expect![[r#"
            : leaves no image of `train` to train on: 1.000 of it are taken out
        "#]],
        );
        check(
            "train = '0.7'\nvalid = ''\ntest='../b'",
            expect![[r#"
            train: must be written without quotes: `0.7`
            valid: must be the name of a split, like `"Training"`
            test: must be the name of a split, not a path
        "#]],
        );
        check(
            "train = 'a'\nvalid = 'b'\ntest = 'b'",
            expect![[r#"
                test: must not be `b` like `valid`: the scores would mean nothing. Where there is no split to validate on, take a share of the training images: `valid = 0.15`
            "#]],
        );
        check(
            "train = 'a'\nvalid = 'a'",
            expect![[r#"
                valid: must not be `a` like `train`: the scores would mean nothing. Where there is no split to validate on, take a share of the training images: `valid = 0.15`
            "#]],
        );
    }

    #[test]
    fn a_missing_test_is_none_beside_other_parts_and_the_default_beside_nothing() {
        let test = |text| toml::from_str::<Split>(text).unwrap().test;
        assert_eq!(test("train = 0.8\nvalid = 0.2"), None);
        assert_eq!(test("seed = 3"), Some(Part::Fraction(0.15)));
    }
}
