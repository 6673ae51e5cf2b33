//! Faces found in pictures.

use std::path::PathBuf;
use std::time::Instant;

use ferrite_core::data::faces::{Detector, Yunet};
use ferrite_core::data::picture::Picture;
use ferrite_core::device::Device;
use ferrite_detect::Detector as Finder;
use ferrite_faces::Synthetic;
use rayon::prelude::*;
use serde::Deserialize;
use serde_json::json;

use crate::{Result, done, ready};

/// Faces to draw.
#[derive(Deserialize)]
pub(crate) struct Drawn {
    pictures: PathBuf,
    count: u64,
}

/// Writes the gray levels of drawn faces, one after the other.
pub(crate) fn draw(drawn: &Drawn) -> Result<()> {
    let faces = (0..drawn.count).flat_map(|it| Synthetic::default().draw(it).pixels);
    fs_err::write(&drawn.pictures, faces.collect::<Vec<u8>>())?;
    Ok(())
}

/// Gray pictures in a file, and how they are looked at.
#[derive(Deserialize)]
pub(crate) struct Setup {
    pictures: PathBuf,
    model: PathBuf,
    /// Pixels a side of the pictures, and of the network's input.
    side: usize,
    size: usize,
    threads: usize,
}

/// Rounds of looking for faces in all pictures.
pub(crate) fn find(setup: &Setup) -> Result<()> {
    let &Setup { side, size, threads, .. } = setup;
    let bytes = fs_err::read(&setup.pictures)?;
    let picture = |it: &[u8]| Picture { pixels: it.to_vec(), shape: [side, side, 1] };
    let pictures: Vec<Picture> = bytes.chunks_exact(side * side).map(picture).collect();
    let settings = Yunet { sizes: vec![size], looks: 1, ..Yunet::default() };
    let detector = Finder::open(&Detector::Yunet(settings), &setup.model)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    ready(Device::Cpu);
    loop {
        let began = Instant::now();
        let found: Vec<bool> = pool.install(|| {
            let found = pictures.par_iter().map(|it| Ok(!detector.find(it)?.is_empty()));
            found.collect::<ferrite_core::error::Result<_>>()
        })?;
        let speed = pictures.len() as f64 / began.elapsed().as_secs_f64();
        let found = found.iter().filter(|it| **it).count();
        if !done(Device::Cpu, json!({ "images_per_second": speed, "found": found })) {
            return Ok(());
        }
    }
}
