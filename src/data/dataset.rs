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
