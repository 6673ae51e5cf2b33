//! Where the images of an experiment come from, how they are split and how they are kept.
//!
//! A source ([`source`]) is told apart by its settings and its content ([`fingerprint`]), decoded
//! once into a folder of plain files ([`decode`], [`prepared`]) and opened from there many times ([`dataset`]).
//! Splits and limits are drawn, labels chosen and leaks taken out while opening, so experiments that
//! differ only in them share one decoded folder.
//!
//! **Invariant:** no image is lost in silence: a broken one is an error that names it, or is listed.

pub mod audit;
pub mod augment;
pub mod beside;
mod broken;
pub mod dataset;
pub mod decode;
pub mod faces;
pub mod fer2013;
pub mod ferplus;
pub mod findings;
pub mod fingerprint;
pub mod flip;
pub mod folder;
pub mod groups;
pub mod inspect;
mod labelled;
pub mod labels;
pub mod layout;
pub mod manifest;
pub mod near;
pub mod originals;
pub mod part;
mod parts;
pub mod photo;
pub mod picture;
pub mod prepared;
mod rows;
pub mod source;
pub mod split;
mod synthetic;
#[cfg(test)]
mod trial;
pub mod video;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::faces::Faces;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::data::split::Split;
use crate::error::{Error, Problem};

/// Is told how much is done, and of how much: bytes of a table, files of a folder, drawn faces.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// The `[data]` table: which images there are, and which of them train, validate and test.
///
/// ```toml
/// [data]
/// source     = { fer2013 = { csv = "data/fer2013.csv" } }
/// split      = { train = "Training", valid = "PublicTest", test = "PrivateTest" }
/// image_size = 96
/// limit      = 2000                  # for a quick look; leave it out for results
/// leakage    = "drop-from-train"
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Data {
    /// Where the images and labels come from: `{ fer2013 = { csv = "…" } }`,
    /// `{ folder = { path = "…", classes = ["…"] } }`, `{ manifest = { table = "…", classes = ["…"] } }` or
    /// `{ synthetic = { faces = 4000 } }`.
    #[schemars(extend("x-technique" = "source", "x-judges" = "always"))]
    pub source: Source,
    /// Which images train, validate and test: names of splits that the source has, or fractions.
    #[schemars(extend("x-technique" = "split", "x-judges" = "always"))]
    pub split: Split,
    /// Height and width of the images as the network sees them, in pixels, 32 to 512. A picture that is not square is
    /// stretched to a square, not cropped. Square pictures that are smaller are enlarged on the way into the network; all
    /// others are resized when the data is read, with antialiasing, as Pillow does.
    #[schemars(extend("x-technique" = "input size", "x-unit" = "pixels", "x-keras" = 256))]
    pub image_size: usize,
    /// For a quick look: at most this many training images, each class in proportion but with at least one image.
    /// Validation and test images are reduced by the same factor. `split.seed` decides which images are drawn. Left out:
    /// all images are used.
    #[schemars(extend("x-technique" = "limit", "x-unit" = "images", "x-off" = null, "x-judges" = "always"))]
    pub limit: Option<usize>,
    /// Faces are found in the pictures, and cut out or aligned. Left out: pictures are used as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-technique" = "faces", "x-off" = null))]
    pub faces: Option<Faces>,
    /// Whose labels the images have: the source's own, or for FER2013
    /// `{ ferplus = { votes = "data/fer2013new.csv" } }`.
    #[schemars(extend("x-technique" = "labels", "x-off" = "source", "x-judges" = "always"))]
    pub labels: Labels,
    /// What to do about training images that are equal, pixel by pixel, to a validation or test image. Whatever is chosen,
    /// the report counts them, and shows the accuracy on all test images and on those that are in no training set.
    #[schemars(extend("x-technique" = "leakage", "x-off" = "report", "x-judges" = "with-limit"))]
    pub leakage: Leakage,
    /// What to do about a broken row or image file.
    #[schemars(extend("x-technique" = "broken images", "x-off" = "error"))]
    pub on_error: OnError,
}

/// What to do about training images that are equal to a validation or test image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Leakage {
    /// Train on them, and count them in the report.
    #[default]
    Report,
    /// Take them out of the training images, before `limit` is applied. Validation and test images
    /// stay as they are, so scores can be compared with those of others.
    DropFromTrain,
}

/// What to do about a broken row or image file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Stop before training and name it.
    #[default]
    Error,
    /// Leave it out, and list it with the reason in the report.
    Skip,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            source: Source::default(),
            split: Split::default(),
            image_size: 48,
            limit: None,
            faces: None,
            labels: Labels::default(),
            leakage: Leakage::default(),
            on_error: OnError::default(),
        }
    }
}

impl Data {
    /// Class names in label order.
    pub fn classes(&self) -> Vec<String> {
        self.labels.classes(&self.source)
    }

    /// The error about the source as a whole.
    fn refused(&self, message: String, help: &str) -> Error {
        Error::Data { path: self.source.place(), place: String::new(), message, help: help.into() }
    }

    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let source = self.source.check().into_iter().map(|it| it.within("source"));
        let split = self.split.check().into_iter().map(|it| it.within("split"));
        let fits = (32..=512).contains(&self.image_size);
        let classes = self.classes().len();
        let faces = self.faces.iter().flat_map(Faces::check).map(|it| it.within("faces"));
        let labels = self.labels.check(&self.source).map(|it| it.within("labels"));
        let too_few = self.limit.filter(|it| *it < classes).map(|_| {
            let message = format!("must be at least {classes}, one training image for each class");
            Problem::new("limit", message)
        });
        let unnamed = matches!(self.source, Source::Synthetic(_)) && self.split.is_named();
        let groups = Problem::unless(
            !self.split.groups || self.source.can_have_groups(),
            "split.groups",
            "must be left out: FER2013 and faces without `persons` do not say whose images they are",
        );
        let size = Problem::unless(fits, "image_size", "must be between 32 and 512");
        let names = Problem::unless(
            !unnamed,
            "split",
            "must be fractions, like `{ train = 0.7, valid = 0.15, test = 0.15 }`: \
             synthetic faces have no named splits",
        );
        source
            .chain(split)
            .chain(faces)
            .chain([size, too_few, labels, names, groups].into_iter().flatten())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    /// Checks what a user is told about the `[data]` table in `text`.
    #[track_caller]
    fn check(text: &str, expected: Expect) {
        let told = match toml::from_str::<Data>(text) {
            Ok(data) => {
                data.check().iter().map(|it| format!("{}: {}\n", it.key, it.message)).collect()
            }
            Err(error) => format!("{:?} {}\n", &text[error.span().unwrap()], error.message()),
        };
        expected.assert_eq(&told);
    }

    #[test]
    fn the_default_and_every_source_is_fine() {
        check("", expect![""]);
        check("source = { synthetic = { faces = 10 } }\nlimit = 7", expect![""]);
        check(
            r#"
            source = { fer2013 = { csv = "data/fer2013.csv" } }
            split = { train = "Training", valid = "PublicTest", test = "PrivateTest" }
            on_error = "skip"
            "#,
            expect![""],
        );
        check(
            r#"source = { folder = { path = "faces", classes = ["sad", "glad"] } }"#,
            expect![""],
        );
    }

    #[test]
    fn every_problem_says_what_to_write() {
        check(
            r#"
            image_size = 8
            limit = 3
            source = { synthetic = { faces = 0 } }
            split = { train = "Training", valid = "PublicTest" }
            "#,
            expect![[r#"
                source.synthetic.faces: must be at least 1
                image_size: must be between 32 and 512
                limit: must be at least 7, one training image for each class
                split: must be fractions, like `{ train = 0.7, valid = 0.15, test = 0.15 }`: synthetic faces have no named splits
            "#]],
        );
        check(
            r#"source = { folder = { path = "", classes = ["sad", "", "sad", "a/b"] } }"#,
            expect![[r#"
                source.folder.path: must name a folder, like `data/faces`
                source.folder.classes.1: must be the name of a folder, not ``
                source.folder.classes.2: lists `sad` twice: take one of them out
                source.folder.classes.3: must be the name of a folder, not `a/b`
            "#]],
        );
        check(
            r#"source = { folder = { path = "faces" } }"#,
            expect![[r#"
            source.folder.classes: must list the class folders in label order, 2 to 256 of them, like `["angry", "happy"]`
        "#]],
        );
        check(
            r#"source = { fer2013 = { csv = "" } }"#,
            expect![[r#"
            source.fer2013.csv: must name a file, like `fer2013.csv`
        "#]],
        );
        check(
            r#"source = { fer2013 = {} }"#,
            expect![[r#"
                "{}" missing field `csv`
            "#]],
        );
        check(
            r#"source = { fer2014 = {} }"#,
            expect![[r#"
                "fer2014" unknown variant `fer2014`, expected one of `fer2013`, `folder`, `manifest`, `synthetic`
            "#]],
        );
        check(
            r#"source = { fer2013 = { csv = "a", cvs = "b" } }"#,
            expect![[r#"
                "cvs" unexpected keys in table: cvs, available keys: csv
            "#]],
        );
        check(
            r#"on_error = "ignore""#,
            expect![[r#"
                "\"ignore\"" unknown variant `ignore`, expected `error` or `skip`
            "#]],
        );
    }

    #[test]
    fn the_written_table_reads_back_equal() {
        let text = r#"
            source = { folder = { path = "faces", classes = ["sad", "glad"] } }
            split = { train = 0.5, valid = 0.25, seed = 3 }
            limit = 100
        "#;
        let data: Data = toml::from_str(text).unwrap();
        assert_eq!(toml::from_str::<Data>(&toml::to_string(&data).unwrap()).unwrap(), data);
        assert!(serde_json::to_string(&schemars::schema_for!(Data)).unwrap().contains("anyOf"));
    }
}
