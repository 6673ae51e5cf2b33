//! Pictures: augmentation, resize, scaling.

use std::path::{Path, PathBuf};

use ferrite_core::data::augment::{Augment, Change, Window};
use ferrite_core::data::layout::Layout;
use ferrite_core::data::photo;
use ferrite_core::device::Device;
use ferrite_core::model::{FrozenNorm, Input, Model};
use ferrite_core::precision::{Precision, Precisions};
use ferrite_engine::forward::network::{Network, Plan};
use ferrite_engine::train::augment::{Canvas, apply};
use ferrite_engine::train::pictures::Pictures;
use ferrite_torch::picture;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::exchange::{Output, Result, all_images};

#[derive(Deserialize)]
pub(crate) struct Geometry {
    flip: bool,
    rotation: f64,
    shift: [f64; 2],
    shear: f64,
    zoom: [f64; 2],
    /// Left, top and side of what is shown.
    window: [f64; 3],
}

/// A change of gray levels.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Light {
    Brightness,
    Contrast,
}

pub(crate) fn change(input: &SafeTensors<'_>, size: usize, changes: &[Geometry]) -> Result<Output> {
    let changes: Vec<Change> = changes
        .iter()
        .map(|&Geometry { flip, rotation, shift, shear, zoom, window: [left, top, side] }| {
            let window = Window { left, top, side };
            Change { flip, rotation, shift, shear, zoom, window, ..Change::NONE }
        })
        .collect();
    let mut output = Output::default();
    let maps: Vec<_> = changes.iter().flat_map(Change::map).collect();
    output.floats("maps", &[changes.len(), 2, 3], &maps);
    output.tensor(
        "images",
        apply(&Augment::default(), all_images(input)?, &changes, Canvas { size, fill: 0.0 }),
    );
    Ok(output)
}

/// What is drawn for `count` images in one epoch.
pub(crate) fn draw(augment: &Augment, count: usize) -> Output {
    let changes: Vec<Change> = (0..count as u32).map(|it| augment.draw(7, 1, it)).collect();
    let mut output = Output::default();
    let mut list = |name: &str, of: fn(&Change) -> f64| {
        output.numbers(name, &changes.iter().map(of).collect::<Vec<_>>());
    };
    list("flip", |it| f64::from(u8::from(it.flip)));
    list("rotation", |it| it.rotation);
    list("shift_x", |it| it.shift[0]);
    list("shift_y", |it| it.shift[1]);
    list("shear", |it| it.shear);
    list("zoom_x", |it| it.zoom[0]);
    list("zoom_y", |it| it.zoom[1]);
    list("left", |it| it.window.left);
    list("top", |it| it.window.top);
    list("brightness", |it| it.brightness);
    list("contrast", |it| it.contrast);
    output
}

/// Gray levels changed by a factor for each image, through augmentation.
pub(crate) fn light(input: &SafeTensors<'_>, light: Light, factors: &[f32]) -> Result<Output> {
    let on = Some([0.1, 10.0]);
    let augment = match light {
        Light::Brightness => Augment { brightness: on, ..Augment::default() },
        Light::Contrast => Augment { contrast: on, ..Augment::default() },
    };
    let change = |it: &f32| {
        let factor = f64::from(*it);
        match light {
            Light::Brightness => Change { brightness: factor, ..Change::NONE },
            Light::Contrast => Change { contrast: factor, ..Change::NONE },
        }
    };
    let changes: Vec<Change> = factors.iter().map(change).collect();
    let x = all_images(input)?;
    let size = x.dims()[2];
    let mut output = Output::default();
    output.tensor("images", apply(&augment, x, &changes, Canvas { size, fill: 0.0 }));
    Ok(output)
}

pub(crate) fn resize(input: &SafeTensors<'_>, size: usize) -> Result<Output> {
    let mut output = Output::default();
    output.tensor("images", picture::resize(all_images(input)?, size));
    Ok(output)
}

pub(crate) fn scale(images: &SafeTensors<'_>, input: Input) -> Result<Output> {
    let model = Model::default();
    let frozen_norm = FrozenNorm::Inference;
    let plan = Plan {
        model: &model,
        input,
        frozen_norm,
        image_size: 32,
        classes: 2,
        seed: 0,
        precisions: Precisions::all(Precision::F32),
    };
    let network = Network::new(&plan, Device::Cpu);
    let mut output = Output::default();
    output.tensor("images", network.scale_pixels(all_images(images)?));
    Ok(output)
}

/// What a network of `size` pixels a side sees of files, `[files, channels, size, size]` in gray levels.
pub(crate) fn files(folder: &Path, files: &[PathBuf], size: usize, gray: bool) -> Result<Output> {
    let channels = if gray { 1 } else { 3 };
    let (mut bytes, mut layout) = (Vec::new(), Layout::default());
    for file in files {
        let picture = photo::seen(photo::open(&folder.join(file))?, channels, size);
        layout.push(picture.shape).ok_or("a picture without a shape")?;
        bytes.extend(picture.pixels);
    }
    let rows: Vec<u32> = (0..files.len() as u32).collect();
    let mut output = Output::default();
    output.tensor("seen", Pictures::new(&bytes, &layout, size, Device::Cpu).plain(&rows));
    Ok(output)
}
