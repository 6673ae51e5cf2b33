//! Faces found in pictures.

use std::path::PathBuf;

use ferrite_core::data::faces::Detector;
use ferrite_core::data::picture::{Picture, resized};
use ferrite_detect::Detector as Finder;
use ferrite_faces::{SIZE, Synthetic};
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result};

/// Pictures with drawn faces in them.
#[derive(Deserialize)]
pub(crate) struct Frames {
    count: usize,
    height: usize,
    width: usize,
}

/// How faces are looked for.
#[derive(Deserialize)]
pub(crate) struct Look {
    model: PathBuf,
    detector: Detector,
}

/// Draws pictures and finds the faces in them: `images`, `[pictures, h, w]`, and what [`find`] gives.
pub(crate) fn find_drawn(frames: &Frames, look: &Look) -> Result<Output> {
    let pictures: Vec<Picture> = (0..frames.count).map(|it| frame(frames, it)).collect();
    let mut output = found(&pictures, look)?;
    let values: Vec<f32> =
        pictures.iter().flat_map(|it| it.pixels.iter().map(|it| f32::from(*it))).collect();
    output.floats("images", &[frames.count, frames.height, frames.width], &values);
    Ok(output)
}

/// Finds the faces in the input's `images`, `[pictures, h, w, channels]`.
pub(crate) fn find(input: &SafeTensors<'_>, look: &Look) -> Result<Output> {
    let images = input.tensor("images")?;
    let [_, height, width, channels]: [usize; 4] = images.shape().try_into()?;
    let pixels = images.data().chunks_exact(height * width * channels);
    let shape = [height, width, channels];
    let pictures: Vec<Picture> = pixels.map(|it| Picture { pixels: it.to_vec(), shape }).collect();
    found(&pictures, look)
}

/// `faces`, `[faces, 16]`: picture, left, top, width, height, score, five landmarks, zeros for those that are not known.
fn found(pictures: &[Picture], look: &Look) -> Result<Output> {
    let detector = Finder::open(&look.detector, &look.model)?;
    let mut rows = Vec::new();
    for (index, picture) in pictures.iter().enumerate() {
        for face in detector.find(picture)? {
            rows.push(index as f32);
            rows.extend(face.bounds);
            rows.push(face.score);
            let mut landmarks = face.landmarks.points().as_flattened().to_vec();
            landmarks.resize(10, 0.0);
            rows.extend(landmarks);
        }
    }
    let mut output = Output::default();
    output.floats("faces", &[rows.len() / 16, 16], &rows);
    Ok(output)
}

/// A gray picture with two faces of different sizes, which move from picture to picture.
fn frame(frames: &Frames, index: usize) -> Picture {
    let &Frames { height, width, .. } = frames;
    let mut pixels: Vec<u8> =
        (0..height * width).map(|it| (96 + (it % width + it / width) % 64) as u8).collect();
    for (at, side) in [48 + index % 61, 64 + index * 7 % 51].into_iter().enumerate() {
        let drawn = Synthetic::default().draw((2 * index + at) as u64);
        let face = resized(&drawn.pixels, [SIZE, SIZE, 1], [side, side]);
        let room = width / 2 - side.min(width / 2);
        let left = at * width / 2 + index * 5 % (room + 1);
        let top = index * 3 % (height - side);
        for (row, line) in face.chunks_exact(side).enumerate() {
            let start = (top + row) * width + left;
            let seen = side.min(width - left);
            pixels[start..start + seen].copy_from_slice(&line[..seen]);
        }
    }
    Picture { pixels, shape: [height, width, 1] }
}
