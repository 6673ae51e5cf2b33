//! What is wrong with decoded pixels, whatever their labels: equal images, and images that show nothing.
//!
//! It takes as long as reading every pixel, so it is done when a decoded folder is first opened and
//! kept there as `audit.json`. The file is a memory, not a result: without it, or with one that does
//! not fit, the pixels are looked at again.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::layout::Layout;
use crate::error::Result;
use crate::files::sealed::{opened, seal};
use crate::files::write_derived;

/// Version of `audit.json`. Version 2 calls no image nearly constant in which something small stands out.
const FORMAT: u32 = 2;

const FILE: &str = "audit.json";

/// Below this standard deviation in gray levels an image may be nearly constant.
pub const NEARLY_CONSTANT: f64 = 8.0;

/// An image is nearly constant only if, in each channel, all but this share of its darkest and of its brightest pixels lie
/// within so many gray levels: something small that stands out from a plain ground is no constant image.
const OUTSIDE: f64 = 0.005;
const WITHIN: usize = 32;

/// Decoded images, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    bytes: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Pixels<'a> {
    /// The images that lie in `bytes` as `layout` says.
    pub fn new(bytes: &'a [u8], layout: &'a Layout) -> Self {
        Self { bytes, layout }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.layout.count()
    }

    /// Height, width and channels of the image at `row`.
    pub fn shape(self, row: u32) -> [usize; 3] {
        self.layout.shape(row)
    }

    /// The image at `row` (HWC).
    pub fn image(self, row: u32) -> &'a [u8] {
        &self.bytes[self.layout.range(row)]
    }

    /// Whether the images at two rows have equal pixels.
    fn are_equal(self, [a, b]: [u32; 2]) -> bool {
        self.shape(a) == self.shape(b) && self.image(a) == self.image(b)
    }

    /// Standard deviation of the image at `row` in gray levels.
    pub(super) fn deviation(self, row: u32) -> f64 {
        deviation(self.image(row), self.shape(row)[2])
    }
}

/// The content of `audit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    format: u32,
    count: usize,
    /// Rows with equal pixels: two or more a group, ascending.
    pub equal: Vec<Vec<u32>>,
    /// Rows with one gray level, or one colour.
    pub constant: Vec<u32>,
    /// Rows with a standard deviation below [`NEARLY_CONSTANT`] in which nothing stands out, the constant ones left out.
    pub nearly_constant: Vec<u32>,
}

impl Findings {
    /// Looks at every pixel.
    pub fn of(pixels: Pixels<'_>) -> Self {
        let rows = 0..pixels.count() as u32;
        let seen: Vec<(u64, f64)> = rows
            .into_par_iter()
            .with_min_len(64)
            .map(|row| (hash(pixels.image(row)), pixels.deviation(row)))
            .collect();
        let rows_with = |wanted: fn(f64) -> bool| -> Vec<u32> {
            let rows = seen.iter().enumerate().filter(|(_, it)| wanted(it.1));
            rows.map(|(row, _)| row as u32).collect()
        };
        Self {
            format: FORMAT,
            count: pixels.count(),
            equal: equal(pixels, &seen),
            constant: rows_with(|it| it == 0.0),
            nearly_constant: rows_with(|it| it > 0.0 && it < NEARLY_CONSTANT)
                .into_iter()
                .filter(|row| is_flat(pixels.image(*row), pixels.shape(*row)[2]))
                .collect(),
        }
    }

    /// What is remembered of the decoded `folder`, or else found now and remembered.
    pub(super) fn remembered(folder: &Path, pixels: Pixels<'_>) -> Self {
        let path = folder.join(FILE);
        // One that an older version wrote, or that is damaged, is found again.
        let known = std::fs::read(&path).ok().and_then(|it| opened(&it));
        let known = known.and_then(|it| serde_json::from_slice(&it).ok());
        let fits = |it: &Self| it.format == FORMAT && it.count == pixels.count() && it.is_sound();
        known.filter(fits).unwrap_or_else(|| {
            let found = Self::of(pixels);
            // A memory that cannot be written costs time, not correctness.
            let _ = found.write(&path);
            found
        })
    }

    fn is_sound(&self) -> bool {
        let rows = self.equal.iter().flatten().chain(&self.constant).chain(&self.nearly_constant);
        rows.into_iter().all(|it| (*it as usize) < self.count)
            && self.equal.iter().all(|it| it.len() > 1)
    }

    fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).expect("plain values are always JSON");
        write_derived(path, seal(text).as_bytes())
    }

    /// For each row the first one with the same pixels.
    pub fn originals(&self) -> Vec<u32> {
        let mut originals: Vec<u32> = (0..self.count as u32).collect();
        for group in &self.equal {
            for row in group {
                originals[*row as usize] = group[0];
            }
        }
        originals
    }
}

/// The groups of rows with equal pixels, by their first row.
fn equal(pixels: Pixels<'_>, seen: &[(u64, f64)]) -> Vec<Vec<u32>> {
    // Images with one hash are compared byte by byte: a collision never makes twins.
    let mut by_hash = HashMap::<u64, Vec<Vec<u32>>>::with_capacity(seen.len());
    for (row, (hash, _)) in seen.iter().enumerate() {
        let row = row as u32;
        let groups = by_hash.entry(*hash).or_default();
        let twin = |it: &&mut Vec<u32>| pixels.are_equal([it[0], row]);
        match groups.iter_mut().find(twin) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let mut equal: Vec<_> = by_hash.into_values().flatten().filter(|it| it.len() > 1).collect();
    equal.sort_unstable();
    equal
}

fn hash(image: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(image);
    hasher.finish()
}

/// Standard deviation of an image in gray levels; 0 exactly where every channel is constant.
fn deviation(image: &[u8], channels: usize) -> f64 {
    let n = (image.len() / channels.max(1)).max(1) as u64;
    let variance = |channel: usize| {
        let values = image.iter().skip(channel).step_by(channels).map(|it| u64::from(*it));
        let (sum, squares) = values.fold((0, 0), |(sum, all), it| (sum + it, all + it * it));
        // In whole numbers, so that a constant image has no deviation at all.
        let spread = u128::from(n * squares) - u128::from(sum) * u128::from(sum);
        spread as f64 / (n as f64 * n as f64)
    };
    ((0..channels).map(variance).sum::<f64>() / channels.max(1) as f64).sqrt()
}

/// Whether nothing stands out in an image, neither in brightness nor in colour: see [`WITHIN`].
fn is_flat(image: &[u8], channels: usize) -> bool {
    (0..channels).all(|channel| {
        let mut values: Vec<u8> = image.iter().skip(channel).step_by(channels).copied().collect();
        values.sort_unstable();
        let outside = (values.len() as f64 * OUTSIDE) as usize;
        let middle = &values[outside..values.len() - outside];
        let ends = middle.first().zip(middle.last());
        ends.is_none_or(|(low, high)| usize::from(high - low) < WITHIN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve images of 2x2: rows 0, 4 and 9 are equal, so are 2 and 11; 6 is constant, 7 nearly.
    fn bytes() -> Vec<u8> {
        let image = |row: u8| match row {
            4 | 9 => [0, 50, 100, 150],
            11 => [2, 52, 102, 152],
            6 => [9; 4],
            7 => [9, 9, 9, 12],
            _ => [row, row + 50, row + 100, row + 150],
        };
        (0..12).flat_map(image).collect()
    }

    #[test]
    fn equal_and_flat_images_are_found() {
        let bytes = bytes();
        let layout = Layout::uniform(12, [2, 2, 1]);
        let found = Findings::of(Pixels::new(&bytes, &layout));
        assert_eq!(found.equal, [vec![0, 4, 9], vec![2, 11]]);
        assert_eq!(
            (found.constant.as_slice(), found.nearly_constant.as_slice()),
            (&[6][..], &[7][..])
        );
        assert_eq!(found.originals(), [0, 1, 2, 3, 0, 5, 6, 7, 8, 0, 10, 2]);
    }

    #[test]
    fn something_small_that_stands_out_is_no_constant_image() {
        // A yellow thing of 20 pixels on a plain light ground: it is as bright as the ground, and of another colour.
        let mut thing = [200, 190, 200].repeat(48 * 48);
        for pixel in 0..20 {
            thing[3 * (1000 + pixel)..][..3].copy_from_slice(&[210, 195, 150]);
        }
        let noise: Vec<u8> = (0..48 * 48 * 3_u32).map(|it| 100 + (it * 7919 % 13) as u8).collect();
        let bytes = [thing, noise].concat();
        let layout = Layout::uniform(2, [48, 48, 3]);
        let found = Findings::of(Pixels::new(&bytes, &layout));
        let deviations = [0, 1].map(|row| Pixels::new(&bytes, &layout).deviation(row));
        assert!(deviations.iter().all(|it| *it < NEARLY_CONSTANT), "{deviations:?}");
        assert_eq!(found.nearly_constant, [1]);
    }

    #[test]
    fn a_flat_colour_is_constant() {
        assert_eq!(deviation(&[1, 200, 30].repeat(4), 3), 0.0);
        // numpy: np.array([1, 2, 3, 4]).std()
        assert!((deviation(&[1, 2, 3, 4], 1) - 1.118_033_988_749_895).abs() < 1e-12);
    }

    #[test]
    fn what_was_found_is_remembered_and_a_memory_that_does_not_fit_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = bytes();
        let layout = Layout::uniform(12, [2, 2, 1]);
        let pixels = Pixels::new(&bytes, &layout);
        let found = Findings::remembered(folder.path(), pixels);
        let path = folder.path().join(FILE);
        let kept = opened(&std::fs::read(&path).unwrap()).unwrap();
        let kept: Findings = serde_json::from_slice(&kept).unwrap();
        assert_eq!(kept, found);
        // A memory that fits is believed, even where it is wrong: nothing is looked at again.
        let wrong = Findings { equal: vec![vec![1, 3]], ..kept };
        wrong.write(&path).unwrap();
        assert_eq!(Findings::remembered(folder.path(), pixels), wrong);
        for harm in ["{", r#"{"format":0}"#] {
            std::fs::write(&path, harm).unwrap();
            assert_eq!(Findings::remembered(folder.path(), pixels), found);
        }
        Findings { equal: vec![vec![1, 99]], ..found.clone() }.write(&path).unwrap();
        assert_eq!(Findings::remembered(folder.path(), pixels), found);
        assert_eq!(Findings::remembered(&folder.path().join("nowhere"), pixels), found);
    }
}
