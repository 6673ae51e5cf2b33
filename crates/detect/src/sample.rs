//! The image of a window of a picture: its pixels are taken from the picture once.

use ferrite_core::data::picture::Picture;

use crate::align::Window;

/// The most samples in a row that are averaged for one pixel. With an image of 48 pixels that is a face of 3,072 pixels;
/// of a larger one, pixels between the samples are not seen.
const MOST_SAMPLES: usize = 64;

/// The image of `side` pixels a side that a window of a picture shows, in the picture's channels.
///
/// Where the picture is not made smaller, a pixel is one bilinear sample at its centre. Where `scale` pixels of the picture
/// become one, it is the mean of n x n samples spread evenly over it, n being `scale` rounded up, so that no pixel of the
/// picture is passed over. Beyond its edges the picture goes on as its edge. Halves of gray levels are rounded up.
pub(crate) fn image(picture: &Picture, window: &Window, side: usize) -> Picture {
    let pixels = match picture.shape[2] {
        1 => pixels::<1>(picture, window, side),
        _ => pixels::<3>(picture, window, side),
    };
    Picture { pixels, shape: [side, side, picture.shape[2]] }
}

fn pixels<const CHANNELS: usize>(picture: &Picture, window: &Window, side: usize) -> Vec<u8> {
    let samples = (window.scale().ceil() as usize).clamp(1, MOST_SAMPLES);
    let steps: Vec<f64> = (0..samples).map(|it| (it as f64 + 0.5) / samples as f64).collect();
    let mut pixels = Vec::with_capacity(side * side * CHANNELS);
    for [y, x] in (0..side).flat_map(|y| (0..side).map(move |x| [y, x].map(|it| it as f64))) {
        let mut sum = [0.0; CHANNELS];
        for [down, right] in steps.iter().flat_map(|down| steps.iter().map(move |it| [*down, *it]))
        {
            let sample = sample::<CHANNELS>(picture, window.source([x + right, y + down]));
            for (sum, sample) in sum.iter_mut().zip(sample) {
                *sum += sample;
            }
        }
        let count = (samples * samples) as f64;
        pixels.extend(sum.map(|it| (it / count + 0.5) as u8));
    }
    pixels
}

/// The picture at a place, bilinear between the centres of its pixels.
fn sample<const CHANNELS: usize>(picture: &Picture, [x, y]: [f64; 2]) -> [f64; CHANNELS] {
    let [height, width, _] = picture.shape;
    let ([left, right], across) = neighbours(x, width);
    let ([top, bottom], down) = neighbours(y, height);
    std::array::from_fn(|channel| {
        let at =
            |y: usize, x: usize| f64::from(picture.pixels[(y * width + x) * CHANNELS + channel]);
        let upper = at(top, left) * (1.0 - across) + at(top, right) * across;
        let lower = at(bottom, left) * (1.0 - across) + at(bottom, right) * across;
        upper * (1.0 - down) + lower * down
    })
}

/// The two pixels of a row or column of `length` around a place, and how far it is on the way to the second.
fn neighbours(place: f64, length: usize) -> ([usize; 2], f64) {
    let last = length - 1;
    let place = (place - 0.5).clamp(0.0, last as f64);
    let first = place as usize;
    ([first, (first + 1).min(last)], place - first as f64)
}

#[cfg(test)]
mod tests;
