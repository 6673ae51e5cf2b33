//! A decoded source, split: what training and evaluation see of the data.

use std::path::Path;

use memmap2::Mmap;
use rayon::prelude::*;

use crate::data::Data;
use crate::data::part::Part;
use crate::data::prepared::{self, Prepared};
use crate::data::rows;
use crate::error::{Error, Result};
use crate::event::Signal;

/// Decoded images with their labels, and which rows train, validate and test.
#[derive(Debug)]
pub struct Dataset {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Height, width and channels of the stored images.
    pub size: [usize; 3],
    /// Label of each image.
    pub labels: Vec<u8>,
    /// What identifies each image in its source.
    pub ids: Vec<String>,
    /// Rows to learn from, ascending.
    pub train: Vec<u32>,
    /// Rows to choose epochs and settings by, ascending.
    pub valid: Vec<u32>,
    /// Rows to judge the final weights by, ascending; empty if there is no test split.
    pub test: Vec<u32>,
    /// Rows or files of the source that were left out, with the reason.
    pub skipped: Vec<String>,
    images: Mmap,
}

/// Opens the decoded `folder` and splits it as `data` says.
///
/// # Errors
/// [`Error::Damaged`] if the folder does not hold what it should; [`Error::Data`] if a named split
/// does not occur, or a part or a class of the training images is empty.
pub fn open(data: &Data, folder: &Path) -> Result<Dataset> {
    let prepared = prepared::read(folder)?;
    let mut parts = parts(data, &prepared)?;
    if let Some(limit) = data.limit {
        parts = rows::limited(&prepared.labels, parts, limit, data.split.seed);
    }
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let (train, valid, test) = (next(), next(), next());
    let Prepared { manifest, images, labels, ids, .. } = prepared;
    let (classes, size, skipped) = (manifest.classes, manifest.size, manifest.skipped);
    let dataset = Dataset { classes, size, labels, ids, train, valid, test, skipped, images };
    refuse_empty(data, &dataset)?;
    Ok(dataset)
}

impl Dataset {
    /// Pixels of all images: image after image, row after row, channels together (NHWC).
    pub fn pixels(&self) -> &[u8] {
        &self.images
    }

    /// Pixels of the image at row `index` (HWC).
    pub fn image(&self, index: u32) -> &[u8] {
        let length: usize = self.size.iter().product();
        &self.images[index as usize * length..][..length]
    }

    /// How many of `rows` are of each class.
    pub fn counts(&self, rows: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for row in rows {
            counts[usize::from(self.labels[*row as usize])] += 1;
        }
        counts
    }

    /// Mean and standard deviation of the pixels of `rows`, in gray levels (0-255).
    pub fn signal(&self, rows: &[u32]) -> Signal {
        let histogram = rows.par_chunks(256).map(|it| self.histogram(it)).reduce(
            || [0; 256],
            |mut all, part| {
                all.iter_mut().zip(part).for_each(|(sum, it)| *sum += it);
                all
            },
        );
        let levels = || histogram.iter().enumerate().map(|(it, count)| (it as f64, *count as f64));
        let n = levels().map(|(_, count)| count).sum::<f64>().max(1.0);
        let mean = levels().map(|(level, count)| level * count).sum::<f64>() / n;
        let variance =
            levels().map(|(level, count)| (level - mean).powi(2) * count).sum::<f64>() / n;
        Signal { mean, std: variance.sqrt() }
    }

    fn histogram(&self, rows: &[u32]) -> [u64; 256] {
        let mut histogram = [0; 256];
        for pixel in rows.iter().flat_map(|it| self.image(*it)) {
            histogram[usize::from(*pixel)] += 1;
        }
        histogram
    }
}

/// The rows of each part of `data.split`, in its order.
fn parts(data: &Data, prepared: &Prepared) -> Result<Vec<Vec<u32>>> {
    if !data.split.is_named() {
        let fractions: Vec<f64> = data.split.parts().filter_map(|it| it.1.fraction()).collect();
        return Ok(rows::by_fractions(&prepared.labels, &fractions, data.split.seed));
    }
    let rows = |(key, part): (_, &Part)| {
        let name = part.name().unwrap_or_default();
        let split = prepared.split_names.iter().position(|it| it == name);
        let split = split.ok_or_else(|| no_such_split(data, prepared, key, name))?;
        let is_in = |it: &u32| usize::from(prepared.splits[*it as usize]) == split;
        Ok((0..prepared.labels.len() as u32).filter(is_in).collect())
    };
    data.split.parts().map(rows).collect()
}

fn no_such_split(data: &Data, prepared: &Prepared, key: &str, name: &str) -> Error {
    let counted = |(split, name): (usize, &String)| {
        let count = prepared.splits.iter().filter(|it| usize::from(**it) == split).count();
        format!("`{name}` ({count} images)")
    };
    let names: Vec<String> = prepared.split_names.iter().enumerate().map(counted).collect();
    if prepared.split_names.iter().all(String::is_empty) {
        return refused(
            data,
            "it has no named splits".into(),
            "write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`",
        );
    }
    let message = format!("it has no split `{name}`, only {}", names.join(", "));
    refused(
        data,
        message,
        &format!("change `data.split.{key}` to one of these, or get the rest of the data"),
    )
}

fn refuse_empty(data: &Data, dataset: &Dataset) -> Result<()> {
    if dataset.labels.is_empty() {
        let help = "look at what was skipped with `data.on_error = \"error\"`";
        return Err(refused(data, "no image in it can be used".into(), help));
    }
    for ((key, _), rows) in data.split.parts().zip([&dataset.train, &dataset.valid, &dataset.test])
    {
        if rows.is_empty() {
            let message = format!("no image is left for `data.split.{key}`");
            return Err(refused(data, message, "give it a larger fraction, or add images"));
        }
    }
    let counts = dataset.counts(&dataset.train);
    let Some(class) = counts.iter().position(|it| *it == 0) else { return Ok(()) };
    let message = format!("no training image shows the class `{}`", dataset.classes[class]);
    Err(refused(data, message, "give `data.split.train` a larger fraction, or add images of it"))
}

/// The error about the source as a whole.
fn refused(data: &Data, message: String, help: &str) -> Error {
    Error::Data { path: data.source.place(), place: String::new(), message, help: help.into() }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::data::prepared::{Item, Writer};
    use crate::data::trial::Trial;

    /// A decoded folder of 400 small images, most of them of the first class.
    fn decoded() -> Trial {
        let trial = Trial::new();
        trial.write("decoded/images.bin", "");
        let mut writer = Writer::create(&trial.path("decoded"), [2, 3, 1]).unwrap();
        for row in 0..400_u32 {
            let label = if row % 4 == 0 { (row / 4 % 7) as u8 } else { 0 };
            let pixels = [0, 1, 2, 3, 4, 5].map(|it| (row * 31 + it * 7) as u8);
            writer.push(Item { id: &row.to_string(), split: "", label }, &pixels).unwrap();
        }
        let classes = (0..7).map(|it| format!("class {it}")).collect();
        writer.finish("synthetic", classes, Vec::new()).unwrap();
        trial
    }

    #[track_caller]
    fn opened(trial: &Trial, settings: &str) -> Dataset {
        open(&trial.data(settings), &trial.path("decoded")).unwrap()
    }

    #[test]
    fn images_are_split_within_their_classes() {
        let dataset = opened(&decoded(), "");
        assert_eq!(dataset.train.len() + dataset.valid.len() + dataset.test.len(), 400);
        let all = dataset.counts(&(0..400).collect::<Vec<_>>());
        for (train, all) in dataset.counts(&dataset.train).iter().zip(all) {
            assert!((*train as f64 - 0.7 * all as f64).abs() <= 0.5);
        }
        assert_eq!((dataset.ids[7].as_str(), dataset.size), ("7", [2, 3, 1]));
        assert_eq!(dataset.image(7), [217, 224, 231, 238, 245, 252]);
    }

    #[test]
    fn a_limit_and_the_seed_choose_the_same_rows_every_time() {
        let trial = decoded();
        let open = |more: &str| opened(&trial, more);
        let first = open("limit = 70");
        assert_eq!((first.train.len(), first.labels.len()), (70, 400));
        assert!(first.valid.len().abs_diff(15) <= 1 && first.train.is_sorted());
        assert_eq!(open("limit = 70").train, first.train);
        assert_ne!(open("limit = 70\nsplit.seed = 1").train, first.train);
    }

    #[test]
    fn the_signal_is_mean_and_deviation_of_the_pixels() {
        let dataset = opened(&decoded(), "");
        let pixels =
            || [3, 9].into_iter().flat_map(|it| dataset.image(it)).map(|it| f64::from(*it));
        let mean = pixels().sum::<f64>() / 12.0;
        let variance = pixels().map(|it| (it - mean).powi(2)).sum::<f64>() / 12.0;
        let signal = dataset.signal(&[3, 9]);
        assert!((signal.mean - mean).abs() < 1e-9 && (signal.std - variance.sqrt()).abs() < 1e-9);
        assert_eq!(dataset.signal(&[]), Signal { mean: 0.0, std: 0.0 });
    }

    #[test]
    fn what_is_left_empty_is_named() {
        let trial = decoded();
        let check = |text: &str, expected: Expect| {
            let error = open(&trial.data(text), &trial.path("decoded")).unwrap_err();
            expected.assert_eq(&trial.told(&error));
        };
        check(
            "split = { train = 0.5, valid = 1e-5 }",
            expect![[r#"
            cannot use `synthetic faces`: no image is left for `data.split.valid`
            give it a larger fraction, or add images
        "#]],
        );
        check(
            "split = { train = 0.01, valid = 0.5 }",
            expect![[r#"
            cannot use `synthetic faces`: no training image shows the class `class 1`
            give `data.split.train` a larger fraction, or add images of it
        "#]],
        );
        check(
            "split = { train = 'Training', valid = 'PublicTest' }",
            expect![[r#"
            cannot use `synthetic faces`: it has no named splits
            write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`
        "#]],
        );
    }

    /// Checks what is said about a decoded folder after `harm` was done to its file `name`.
    #[track_caller]
    fn check_damage(name: &str, harm: impl Fn(Vec<u8>) -> Vec<u8>, expected: Expect) {
        let trial = decoded();
        let name = format!("decoded/{name}");
        trial.write(&name, harm(std::fs::read(trial.path(&name)).unwrap()));
        let error = open(&trial.data(""), &trial.path("decoded")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }));
        expected.assert_eq(&trial.told(&error));
    }

    #[test]
    fn a_damaged_folder_is_named() {
        let half = |it: Vec<u8>| it[..it.len() / 2].to_vec();
        check_damage(
            "images.bin",
            half,
            expect![[r#"
                `decoded/images.bin` is damaged: it has 1200 bytes, not 2400
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "items.csv",
            half,
            expect![[r#"
            `decoded/items.csv` is damaged: line 208 is no image
            delete the folder `decoded`; the next sweep decodes the images again
        "#]],
        );
        check_damage(
            "items.csv",
            |_| b"id,split,label\n0,,7\n".to_vec(),
            expect![[r#"
                `decoded/items.csv` is damaged: line 2 is no image
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "items.csv",
            |_| b"id,split,label\n0,,1\n".to_vec(),
            expect![[r#"
            `decoded/items.csv` is damaged: it has 1 images, not 400
            delete the folder `decoded`; the next sweep decodes the images again
        "#]],
        );
        check_damage(
            "dataset.json",
            half,
            expect![[r#"
                `decoded/dataset.json` is damaged: EOF while parsing a string at line 11 column 8
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        let other = |it| String::from_utf8(it).unwrap().replace("\"format\": 1", "\"format\": 0");
        check_damage(
            "dataset.json",
            |it| other(it).into_bytes(),
            expect![[r#"
            `decoded/dataset.json` is damaged: it has the format 0, not 1
            delete the folder `decoded`; the next sweep decodes the images again
        "#]],
        );
        let trial = Trial::new();
        let error = open(&trial.data(""), &trial.path("decoded")).unwrap_err();
        expect![[r#"
            `decoded/dataset.json` is damaged: it is missing
            delete the folder `decoded`; the next sweep decodes the images again
        "#]]
        .assert_eq(&trial.told(&error));
    }
}
