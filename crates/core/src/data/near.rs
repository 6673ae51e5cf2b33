//! Pairs of images that nearly show the same: other brightness or contrast, another compression, a
//! watermark, a crop moved by a pixel; also mirrored.
//!
//! Two images are near twins if the correlation of their 16x16 thumbnails is at least
//! [`THUMBNAIL_CORRELATION`] and that of all their pixels at least [`PIXEL_CORRELATION`].
//! Correlation does not see brightness and contrast; on thumbnails it does not see fine detail and
//! small moves either, and on all pixels it tells apart two people who hold their heads alike. On
//! FER2013, pairs looked at one by one were the same photograph down to both thresholds, while from
//! 0.94 on the thumbnails alone begin to take different people for twins.
//!
//! All pairs are compared, in seconds: thumbnails are turned into the coefficients of an orthonormal
//! cosine transform and scaled to length 1, so that the squared distance of two of them is
//! `2 - 2 * correlation`. A few low frequencies hold most of it, and since a sum of squares only
//! grows, nearly every pair is ruled out by its first eight terms without ever losing a twin.
//! Mirroring changes the sign of the odd horizontal frequencies alone; the even ones come first.

use std::borrow::Cow;
use std::f64::consts::PI;

use rayon::prelude::*;

use crate::data::findings::{NEARLY_CONSTANT, Pixels};
use crate::data::picture::{fit, in_channels};

/// Least correlation of thumbnails.
pub const THUMBNAIL_CORRELATION: f32 = 0.95;

/// Least correlation of all pixels.
pub const PIXEL_CORRELATION: f64 = 0.9;

/// Rows and columns of a thumbnail.
const SIDE: usize = 16;

/// Half of the coefficients: those that mirroring does not change, with a zero in place of the mean,
/// or those whose sign it changes.
const HALF: usize = SIDE * SIDE / 2;

/// Terms of a distance that are looked at first.
const FIRST: usize = 8;

/// Images whose first terms are summed at once, and terms that are summed beside one another: so
/// many independent sums keep a processor's vector units busy.
const BLOCK: usize = 64;
const LANES: usize = 8;

/// The most pairs that are told for one image as the first of them: copies of copies need no more
/// to be known as one group.
const MOST_PAIRS: usize = 64;

/// Two rows that nearly show the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// The rows, ascending.
    pub rows: [u32; 2],
    /// Whether one shows the other mirrored.
    pub mirrored: bool,
}

/// Near twins among `rows`, in ascending order. Nearly constant images have none.
pub fn near(pixels: Pixels<'_>, rows: &[u32]) -> Vec<Pair> {
    let rows: Vec<u32> =
        rows.par_iter().copied().filter(|it| pixels.deviation(*it) >= NEARLY_CONSTANT).collect();
    let waves = (cosines(), frequencies());
    let sketches: Vec<Sketch> = rows.par_iter().map(|it| Sketch::of(pixels, *it, &waves)).collect();
    let blocks: Vec<Block> = sketches.chunks(BLOCK).map(block).collect();
    let of_one = |first: usize| {
        let later = blocks.iter().enumerate().skip((first + 1) / BLOCK).flat_map(|(at, block)| {
            let close = first_terms(&sketches[first], block).map(|it| it <= MOST_DISTANCE);
            let seconds = (at * BLOCK..sketches.len()).zip(close).filter(|it| it.1);
            seconds.map(|it| it.0).filter(|it| *it > first).collect::<Vec<_>>()
        });
        let pairs = later.filter_map(|second| {
            let mirrored = sketches[first].twin(&sketches[second])?;
            let rows = [rows[first], rows[second]];
            let correlation = correlation(pixels, rows, mirrored);
            (correlation >= PIXEL_CORRELATION).then_some(Pair { rows, mirrored })
        });
        pairs.take(MOST_PAIRS).collect::<Vec<_>>()
    };
    (0..sketches.len()).into_par_iter().with_max_len(16).flat_map_iter(of_one).collect()
}

/// The first terms of [`BLOCK`] sketches, term by term.
type Block = [[f32; BLOCK]; FIRST];

fn block(sketches: &[Sketch]) -> Block {
    let mut block = [[0.0; BLOCK]; FIRST];
    for (at, it) in sketches.iter().enumerate() {
        for (terms, value) in block.iter_mut().zip(it.even) {
            terms[at] = value;
        }
    }
    block
}

/// The first terms of the distances from `sketch` to those of `block`.
fn first_terms(sketch: &Sketch, block: &Block) -> [f32; BLOCK] {
    let mut sums = [0.0; BLOCK];
    for (terms, value) in block.iter().zip(sketch.even) {
        for (sum, term) in sums.iter_mut().zip(terms) {
            *sum += (term - value) * (term - value);
        }
    }
    sums
}

/// The largest squared distance of two thumbnails of length 1 that correlate enough.
const MOST_DISTANCE: f32 = 2.0 - 2.0 * THUMBNAIL_CORRELATION;

/// A thumbnail as coefficients of length 1, low frequencies first.
struct Sketch {
    /// Those of even horizontal frequencies.
    even: [f32; HALF],
    /// Those of odd ones.
    odd: [f32; HALF],
}

impl Sketch {
    fn of(pixels: Pixels<'_>, row: u32, (cosines, frequencies): &Waves) -> Self {
        // First down, then across: a sixteenth of the work of both at once.
        let thumbnail = thumbnail(pixels, row);
        let mut down = [[0.0; SIDE]; SIDE];
        for (line, cosines) in down.iter_mut().zip(cosines) {
            for (values, cosine) in thumbnail.iter().zip(cosines) {
                for (sum, value) in line.iter_mut().zip(values) {
                    *sum += value * cosine;
                }
            }
        }
        let coefficients = frequencies.iter().map(|(v, u)| {
            let across = down[*v].iter().zip(&cosines[*u]);
            (*u, across.map(|(value, cosine)| value * cosine).sum::<f64>())
        });
        let coefficients: Vec<_> = coefficients.collect();
        let length = coefficients.iter().map(|it| it.1 * it.1).sum::<f64>().sqrt().max(1e-12);
        let (mut even, mut odd) = ([0.0; HALF], [0.0; HALF]);
        let (mut n_even, mut n_odd) = (0, 0);
        for (u, value) in coefficients {
            let value = (value / length) as f32;
            if u % 2 == 0 {
                even[n_even] = value;
                n_even += 1;
            } else {
                odd[n_odd] = value;
                n_odd += 1;
            }
        }
        Self { even, odd }
    }

    /// Whether the other is a twin as it is (false) or mirrored (true); the nearer of both.
    fn twin(&self, other: &Self) -> Option<bool> {
        let even = sum_of_squares(&self.even, &other.even, |a, b| a - b);
        if even > MOST_DISTANCE {
            return None;
        }
        let plain = even + sum_of_squares(&self.odd, &other.odd, |a, b| a - b);
        let mirrored = even + sum_of_squares(&self.odd, &other.odd, |a, b| a + b);
        (plain.min(mirrored) <= MOST_DISTANCE).then_some(mirrored < plain)
    }
}

/// The transform and the order of its coefficients.
type Waves = ([[f64; SIDE]; SIDE], Vec<(usize, usize)>);

/// Vertical and horizontal frequencies but the mean, the lowest first.
fn frequencies() -> Vec<(usize, usize)> {
    let mut all: Vec<_> =
        (0..SIDE).flat_map(|v| (0..SIDE).map(move |u| (v, u))).filter(|it| *it != (0, 0)).collect();
    all.sort_by_key(|(v, u)| (v + u, *u));
    all
}

/// The orthonormal cosine transform (DCT-II) of `SIDE` values, a row a frequency.
fn cosines() -> [[f64; SIDE]; SIDE] {
    let mut all = [[0.0; SIDE]; SIDE];
    for (u, row) in all.iter_mut().enumerate() {
        let scale = (if u == 0 { 1.0 } else { 2.0 } / SIDE as f64).sqrt();
        for (x, value) in row.iter_mut().enumerate() {
            *value = scale * (PI * (x as f64 + 0.5) * u as f64 / SIDE as f64).cos();
        }
    }
    all
}

/// The sum of the squares of `of` two values each.
fn sum_of_squares(a: &[f32; HALF], b: &[f32; HALF], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += of(*a, *b) * of(*a, *b);
        }
    }
    sums.iter().sum()
}

/// Means of the pixels in each of 16x16 fields, all channels together.
fn thumbnail(pixels: Pixels<'_>, row: u32) -> [[f64; SIDE]; SIDE] {
    let [height, width, channels] = pixels.shape(row);
    let image = pixels.image(row);
    let field = |at: usize, length: usize| {
        let (from, to) = (at * length / SIDE, (at + 1) * length / SIDE);
        from..to.max(from + 1)
    };
    let mut thumbnail = [[0.0; SIDE]; SIDE];
    for (v, line) in thumbnail.iter_mut().enumerate() {
        for (u, value) in line.iter_mut().enumerate() {
            let (rows, columns) = (field(v, height), field(u, width));
            let n = (rows.len() * columns.len() * channels) as f64;
            let sum: u64 = rows
                .map(|y| {
                    let line = (y * width + columns.start) * channels;
                    let line = &image[line..line + columns.len() * channels];
                    line.iter().map(|it| u64::from(*it)).sum::<u64>()
                })
                .sum();
            *value = sum as f64 / n;
        }
    }
    thumbnail
}

/// The pixels of two images in one shape, and the shape: images of different shapes are brought to gray, and to the
/// smaller one's side.
fn alike(pixels: Pixels<'_>, rows: [u32; 2]) -> ([Cow<'_, [u8]>; 2], [usize; 3]) {
    let shapes = rows.map(|it| pixels.shape(it));
    if shapes[0] == shapes[1] {
        return (rows.map(|it| pixels.image(it).into()), shapes[0]);
    }
    let side = shapes.iter().flat_map(|it| &it[..2]).copied().min().unwrap_or(1);
    let brought = rows.map(|row| {
        let [height, width, channels] = pixels.shape(row);
        let gray = in_channels(pixels.image(row), channels, 1);
        fit(&gray, [height, width, 1], side).0.into_owned().into()
    });
    (brought, [side, side, 1])
}

/// Pearson's correlation of all pixels of two images, the second mirrored if it is to be.
fn correlation(pixels: Pixels<'_>, rows: [u32; 2], mirrored: bool) -> f64 {
    let ([first, second], [_, width, channels]) = alike(pixels, rows);
    let other = |at: usize| {
        if !mirrored {
            return second[at];
        }
        let (line, column, channel) =
            (at / (width * channels), at / channels % width, at % channels);
        second[(line * width + width - 1 - column) * channels + channel]
    };
    let [mut a, mut b, mut aa, mut bb, mut ab] = [0_u64; 5];
    for (at, x) in first.iter().enumerate() {
        let (x, y) = (u64::from(*x), u64::from(other(at)));
        a += x;
        b += y;
        aa += x * x;
        bb += y * y;
        ab += x * y;
    }
    let n = first.len() as f64;
    let [a, b, aa, bb, ab] = [a, b, aa, bb, ab].map(|it| it as f64 / n);
    (ab - a * b) / ((aa - a * a) * (bb - b * b)).sqrt().max(1e-12)
}

#[cfg(test)]
mod tests {
    use ferrite_faces::{SIZE, Synthetic};

    use super::*;
    use crate::data::layout::Layout;

    /// The new gray level of a pixel (y, x) of an image.
    type Change<'a> = &'a dyn Fn(&[u8], usize, usize) -> f64;

    /// Faces of different people, and changed copies of the first ones behind them.
    fn faces(changes: &[Change<'_>]) -> Vec<u8> {
        let source = Synthetic::default();
        let mut bytes: Vec<u8> = (0..40).flat_map(|it| source.draw(it).pixels).collect();
        for (face, change) in changes.iter().enumerate() {
            let image = bytes[face * SIZE * SIZE..][..SIZE * SIZE].to_vec();
            let at = (0..SIZE).flat_map(|y| (0..SIZE).map(move |x| (y, x)));
            bytes.extend(at.map(|(y, x)| change(&image, y, x).round().clamp(0.0, 255.0) as u8));
        }
        bytes
    }

    fn pixel(image: &[u8], y: usize, x: usize) -> f64 {
        f64::from(image[y.min(SIZE - 1) * SIZE + x.min(SIZE - 1)])
    }

    #[test]
    fn changed_copies_are_found_and_other_people_are_not() {
        let bytes = faces(&[
            &|image, y, x| 0.6 * pixel(image, y, x) + 40.0,
            &|image, y, x| pixel(image, y, x) + f64::from((y * 31 + x * 17) as u32 % 13) - 6.0,
            &|image, y, x| pixel(image, y, SIZE - 1 - x) * 0.9,
            &|image, y, x| pixel(image, y, x + 1),
            &|image, y, x| pixel(image, SIZE - 1 - y, x),
        ]);
        let layout = Layout::uniform(bytes.len() / (SIZE * SIZE), [SIZE, SIZE, 1]);
        let pixels = Pixels::new(&bytes, &layout);
        let rows: Vec<u32> = (0..pixels.count() as u32).collect();
        let pair = |first, second, mirrored| Pair { rows: [first, second], mirrored };
        let found = near(pixels, &rows);
        let expected =
            [pair(0, 40, false), pair(1, 41, false), pair(2, 42, true), pair(3, 43, false)];
        // A face upside down is none.
        assert_eq!(found, expected);
    }

    #[test]
    fn the_distance_of_sketches_is_the_correlation_of_thumbnails() {
        let bytes = faces(&[]);
        let layout = Layout::uniform(bytes.len() / (SIZE * SIZE), [SIZE, SIZE, 1]);
        let pixels = Pixels::new(&bytes, &layout);
        let waves = (cosines(), frequencies());
        let values = |row| thumbnail(pixels, row).concat();
        for (a, b) in [(0, 1), (2, 3), (4, 39)] {
            let [x, y] = [a, b].map(values);
            let mean = |it: &[f64]| it.iter().sum::<f64>() / it.len() as f64;
            let (mean_x, mean_y) = (mean(&x), mean(&y));
            let dot = |x: &[f64], mean_x: f64, y: &[f64], mean_y: f64| -> f64 {
                x.iter().zip(y).map(|(a, b)| (a - mean_x) * (b - mean_y)).sum()
            };
            let correlation = dot(&x, mean_x, &y, mean_y)
                / (dot(&x, mean_x, &x, mean_x) * dot(&y, mean_y, &y, mean_y)).sqrt();
            let [x, y] = [a, b].map(|it| Sketch::of(pixels, it, &waves));
            let squared = sum_of_squares(&x.even, &y.even, |a, b| a - b)
                + sum_of_squares(&x.odd, &y.odd, |a, b| a - b);
            assert!((f64::from(squared) - (2.0 - 2.0 * correlation)).abs() < 1e-5);
        }
    }

    #[test]
    fn flat_and_small_images_break_nothing() {
        let flat = vec![7; 3 * 30];
        let layout = Layout::uniform(3, [3, 10, 1]);
        assert_eq!(near(Pixels::new(&flat, &layout), &[0, 1, 2]), []);
        let wave: Vec<u8> = (0..60).map(|it| (it * 37 % 251) as u8).collect();
        let twice = [wave.clone(), wave].concat();
        let pair = Pair { rows: [0, 1], mirrored: false };
        let layout = Layout::uniform(2, [2, 10, 3]);
        assert_eq!(near(Pixels::new(&twice, &layout), &[0, 1]), [pair]);
    }

    #[test]
    fn a_picture_of_another_size_and_in_colour_is_still_the_same() {
        let source = Synthetic::default();
        let faces: Vec<Vec<u8>> = (0..3).map(|it| source.draw(it).pixels).collect();
        let small = fit(&faces[0], [SIZE, SIZE, 1], 32).0.into_owned();
        let colour = in_channels(&small, 1, 3).into_owned();
        let mut layout = Layout::uniform(3, [SIZE, SIZE, 1]);
        layout.push([32, 32, 3]).unwrap();
        let bytes = [faces.concat(), colour].concat();
        let pair = Pair { rows: [0, 3], mirrored: false };
        assert_eq!(near(Pixels::new(&bytes, &layout), &[0, 1, 2, 3]), [pair]);
    }
}
