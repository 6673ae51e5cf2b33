//! Which faces were found in the images of a run, and what became of them: counts only.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::number;

/// The faces in the images of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Faces {
    /// Key of the step that made images of them.
    pub key: String,
    /// What found them.
    pub detector: String,
    /// By split (`train`, `valid`, `test`), images that were left out for want of a face included.
    pub splits: BTreeMap<String, SplitFaces>,
}

/// The faces in the images of one split.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SplitFaces {
    /// Each class by itself.
    pub classes: Vec<ClassFaces>,
    /// Images with more than one face.
    pub several: usize,
    /// Images that were left out for want of a face.
    pub dropped: usize,
    /// Mean absolute difference from the whole pictures at the same size, in gray levels 0-255, over all images.
    #[serde(with = "number")]
    pub difference: f64,
    /// Images whose difference is below one gray level.
    pub unchanged: usize,
    /// Scores of the faces that were taken.
    pub scores: Histogram,
    /// Angles by which the eyes of these faces are turned, in degrees clockwise, where they are known.
    pub rolls: Histogram,
}

impl Faces {
    /// All splits and classes together.
    pub fn all(&self) -> ClassFaces {
        self.splits.values().map(SplitFaces::all).sum()
    }

    /// Mean absolute difference of all images from the whole pictures at the same size, in gray levels 0-255.
    pub fn difference(&self) -> f64 {
        let of_split = |it: &SplitFaces| it.difference * it.all().images as f64;
        self.splits.values().map(of_split).sum::<f64>() / self.all().images.max(1) as f64
    }

    /// Images that were left out for want of a face.
    pub fn dropped(&self) -> usize {
        self.splits.values().map(|it| it.dropped).sum()
    }
}

impl SplitFaces {
    /// All classes together.
    pub fn all(&self) -> ClassFaces {
        self.classes.iter().copied().sum()
    }
}

/// The faces in the images of one class of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassFaces {
    /// How many images there are.
    pub images: usize,
    /// Those whose face was aligned.
    pub aligned: usize,
    /// Those whose face was cut out as it is.
    pub cropped: usize,
}

impl ClassFaces {
    /// Images in which a face was found.
    pub fn found(&self) -> usize {
        self.aligned + self.cropped
    }

    /// Their share of all images; not a number where there are none.
    pub fn share(&self) -> f64 {
        self.found() as f64 / self.images as f64
    }
}

impl std::iter::Sum for ClassFaces {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, it| Self {
            images: sum.images + it.images,
            aligned: sum.aligned + it.aligned,
            cropped: sum.cropped + it.cropped,
        })
    }
}

/// How often numbers lie in each of several ranges of equal width.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Histogram {
    /// Where the first range begins.
    #[serde(with = "number")]
    pub from: f64,
    /// Where the last range ends.
    #[serde(with = "number")]
    pub to: f64,
    /// How many numbers lie in each; those outside of all count for the range that is nearest.
    pub counts: Vec<usize>,
}

impl Histogram {
    /// How `numbers` lie in so many ranges between `from` and `to`.
    pub fn of(numbers: impl Iterator<Item = f64>, [from, to]: [f64; 2], ranges: usize) -> Self {
        let mut counts = vec![0; ranges];
        for it in numbers {
            let range = (it - from) / (to - from) * ranges as f64;
            counts[(range.max(0.0) as usize).min(ranges - 1)] += 1;
        }
        Self { from, to, counts }
    }

    /// The number below which this share of all lie, as exactly as the ranges tell; none of no numbers.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all: usize = self.counts.iter().sum();
        let width = (self.to - self.from) / self.counts.len().max(1) as f64;
        let mut before = 0;
        for (range, count) in self.counts.iter().enumerate() {
            let wanted = share * all as f64 - before as f64;
            if *count > 0 && wanted <= *count as f64 {
                let within = (wanted / *count as f64).max(0.0);
                return Some(self.from + width * (range as f64 + within));
            }
            before += count;
        }
        None
    }

    /// The sum of several over the same ranges.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = all.into_iter().cloned();
        let mut sum = all.next().unwrap_or_default();
        for it in all {
            sum.counts.iter_mut().zip(it.counts).for_each(|(sum, it)| *sum += it);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fall_into_their_ranges_and_those_outside_into_the_nearest() {
        let numbers = [-100.0, -10.0, 0.0, 9.9, 10.0, 100.0];
        let histogram = Histogram::of(numbers.into_iter(), [-10.0, 20.0], 3);
        assert_eq!(histogram.counts, [2, 2, 2]);
        assert_eq!(histogram.quantile(0.5), Some(5.0));
        assert_eq!(Histogram::default().quantile(0.5), None);
        assert_eq!(Histogram::sum([&histogram, &histogram]).counts, [4, 4, 4]);
    }
}
