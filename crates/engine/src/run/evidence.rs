//! Evidence that augmentation did what its name says: shares, differences and a sheet of samples.

use std::io::Cursor;

use ferrite_core::data::augment::{Augment, mirrored_in_turns, shares};
use ferrite_core::data::flip::Flip;
use ferrite_core::event::Augmentation;
use ferrite_core::settings::Stage;
use ferrite_torch::tensor::to_floats;
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use crate::train::images::{Augmented, Images, Split};

/// Columns of the sheet: images. Its first row is unchanged, the others show epochs.
const COLUMNS: usize = 12;
const EPOCHS: usize = 4;

/// Images whose difference is measured.
const MEASURED: usize = 256;

/// What augmentation does in a stage.
pub(super) struct Shown {
    /// Numbers.
    pub(super) measured: Augmentation,
    /// A PNG: originals above, what the network is fed in the first epochs below.
    pub(super) sheet: Vec<u8>,
}

/// Looks at the images that `stage` will train on, drawn exactly as training draws them.
pub(super) fn augmentation(
    stage: &Stage,
    augment: &Augment,
    seed: u64,
    (images, train): (&Images<'_>, &Split<'_>),
) -> Shown {
    let of_epoch = |epoch| Augmented { augment, seed, epoch };
    let first = &train.rows[..train.rows.len().min(MEASURED)];
    let (plain, changed) = ferrite_torch::without_gradients(|| {
        let changed = images.seen(first, Some(of_epoch(1)));
        (to_floats(images.plain(first)), to_floats(changed))
    });
    let difference: f64 = plain.iter().zip(&changed).map(|(a, b)| f64::from((a - b).abs())).sum();
    let drawn = |epoch| of_epoch(epoch).draw(train.rows);
    let mut changed = shares(&drawn(1));
    if augment.flip == Flip::Alternating {
        let turned = mirrored_in_turns([&drawn(1), &drawn(2)]);
        changed.insert("flip, the other way in the next epoch".into(), turned);
    }
    let measured = Augmentation {
        stage: stage.name.clone(),
        images: train.rows.len(),
        changed,
        mean_difference: difference / plain.len().max(1) as f64,
    };
    let shown = &train.rows[..train.rows.len().min(COLUMNS)];
    let rows = ferrite_torch::without_gradients(|| {
        let changed = (1..=EPOCHS).map(|epoch| images.seen(shown, Some(of_epoch(epoch))));
        std::iter::once(images.plain(shown)).chain(changed).map(Tiles::new).collect::<Vec<_>>()
    });
    Shown { measured, sheet: sheet(&rows) }
}

/// Gray levels of a row of images.
struct Tiles {
    shape: [usize; 4],
    values: Vec<u8>,
}

impl Tiles {
    fn new(x: burn::tensor::Tensor<4>) -> Self {
        let shape = x.dims();
        let values = to_floats(x).iter().map(|it| it.round().clamp(0.0, 255.0) as u8).collect();
        Self { shape, values }
    }

    fn at(&self, image: usize, channel: usize, [y, x]: [usize; 2]) -> u8 {
        let [_, channels, height, width] = self.shape;
        self.values[((image * channels + channel) * height + y) * width + x]
    }
}

fn sheet(rows: &[Tiles]) -> Vec<u8> {
    let [images, channels, height, width] = rows[0].shape;
    let size = [(images * width) as u32, (rows.len() * height) as u32];
    let pixel = |x: u32, y: u32, channel: usize| {
        let (x, y) = (x as usize, y as usize);
        rows[y / height].at(x / width, channel, [y % height, x % width])
    };
    let picture = if channels == 1 {
        let gray = GrayImage::from_fn(size[0], size[1], |x, y| image::Luma([pixel(x, y, 0)]));
        DynamicImage::from(gray)
    } else {
        let colour = |x, y| image::Rgb([0, 1, 2].map(|channel| pixel(x, y, channel)));
        DynamicImage::from(RgbImage::from_fn(size[0], size[1], colour))
    };
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).expect("a picture in memory can be written");
    png.into_inner()
}
