//! Ferrite's side of `make parity`: computes what `tools/parity` asks for, which then compares.
//!
//! `job.json` in the folder named on the command line lists the cases. Case `name` reads its tensors
//! from `name.in.safetensors` and leaves its results in `name.out.safetensors`.
//!
//! **Invariant:** knows no expected value, and uses nothing but the crate's public functions.

mod attribution;
mod exchange;
mod faces;
mod folds;
mod keras;
mod layers;
mod network;
mod pictures;
mod scores;
mod stage;
mod views;

use std::path::PathBuf;

use ferrite_core::data::Data;
use ferrite_core::data::augment::Augment;
use ferrite_core::device::Device;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::{GaussianNoise, Input};
use ferrite_core::settings::Stage;
use ferrite_core::settings::evaluate::Views;
use ferrite_core::settings::stopping::EarlyStopping;
use safetensors::tensor::SafeTensors;
use serde::Deserialize;

use crate::attribution::Looks;
use crate::exchange::Result;
use crate::faces::{Frames, Look};
use crate::keras::KerasFile;
use crate::network::Setup;
use crate::pictures::{Geometry, Light};
use crate::scores::Counts;
use crate::stage::{Cached, History};

/// Everything to compute.
#[derive(Deserialize)]
struct Job {
    /// Threads of LibTorch.
    threads: usize,
    cases: Vec<Case>,
}

/// One thing to compute.
#[derive(Deserialize)]
struct Case {
    name: String,
    work: Work,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// Gives a network's logits, trains it if it is told to, then gives them again.
    Network(Box<Setup>),
    /// Trains on synthetic faces with the frozen prefix computed once, and in every step.
    Cached(Box<Cached>),
    /// Gives the feature maps of a backbone whose weights are in a file of Keras's.
    KerasFile(KerasFile),
    /// Lists the layers that a backbone has in Keras, and what its last ones train.
    Layers { backbone: Backbone, last: usize },
    /// Lists the learning rate of every step.
    Rates { stage: Box<Stage>, steps_per_epoch: usize, history: History },
    /// Says when stages stop and which epoch they keep.
    Stopping { cases: Vec<(EarlyStopping, History)> },
    /// Adds noise to scaled pixels, or to features on their way into the head.
    Noise { weights: PathBuf, noise: GaussianNoise, input: Input, signal: f64 },
    /// Applies the geometry of augmentation.
    Affine { size: usize, changes: Vec<Geometry> },
    /// Applies brightness or contrast.
    Light { light: Light, factors: Vec<f32> },
    /// Draws the changes of as many images.
    Draws { augment: Augment, count: usize },
    /// Brings images to another size.
    Resize { size: usize },
    /// Reads files as a network of one size sees them, in RGB, and in gray where that is asked for.
    Files { files: Vec<PathBuf>, size: usize, gray: bool },
    /// Finds faces in images.
    Faces(Look),
    /// Draws faces into pictures and finds them there.
    DrawnFaces { frames: Frames, look: Look },
    /// Scales gray levels for a network.
    Scale { input: Input },
    /// Tests a network on several views of the images of a FER2013 table.
    Views { weights: PathBuf, image_size: usize, csv: PathBuf, views: Views },
    /// Says where a network looks.
    Explain(Looks),
    /// Scores predictions.
    Scores { classes: usize },
    /// Draws curves over all thresholds, and bins confidences.
    Curves { classes: usize },
    /// Deals groups into folds; see [`folds::of_groups`].
    GroupFolds { cases: Vec<(Vec<Vec<usize>>, usize)> },
    /// Deals drawn faces into folds.
    FaceFolds { data: Box<Data> },
    /// Computes what the report says of counts and p values.
    Statistics { counts: Vec<Counts>, p: Vec<Vec<f64>> },
}

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: parity FOLDER")?);
    let job: Job = serde_json::from_slice(&fs_err::read(folder.join("job.json"))?)?;
    ferrite_torch::start(job.threads, Device::Cpu);
    for Case { name, work } in job.cases {
        let bytes = fs_err::read(folder.join(format!("{name}.in.safetensors")))?;
        let input = SafeTensors::deserialize(&bytes)?;
        let output = match work {
            Work::Network(setup) => network::run(&folder, &setup, &input)?,
            Work::Cached(cached) => stage::compare_cached(&folder, &name, &cached)?,
            Work::KerasFile(file) => keras::maps(&folder, &file, &input)?,
            Work::Layers { backbone, last } => layers::list(backbone, last)?,
            Work::Rates { stage, steps_per_epoch, history } => {
                stage::rates(&stage, steps_per_epoch, &history)
            }
            Work::Stopping { cases } => stage::stop(&cases),
            Work::Noise { weights, noise, input: scaling, signal } => {
                stage::add_noise(&folder.join(weights), &input, (noise, scaling, signal))?
            }
            Work::Affine { size, changes } => pictures::change(&input, size, &changes)?,
            Work::Light { light, factors } => pictures::light(&input, light, &factors)?,
            Work::Draws { augment, count } => pictures::draw(&augment, count),
            Work::Resize { size } => pictures::resize(&input, size)?,
            Work::Files { files, size, gray } => pictures::files(&folder, &files, size, gray)?,
            Work::Faces(look) => faces::find(&input, &look)?,
            Work::DrawnFaces { frames, look } => faces::find_drawn(&frames, &look)?,
            Work::Scale { input: scaling } => pictures::scale(&input, scaling)?,
            Work::Views { weights, image_size, csv, views } => {
                views::judge_all(&folder, (&weights, image_size), (&csv, &name), views)?
            }
            Work::Explain(looks) => attribution::explain(&folder, &looks, &input)?,
            Work::Scores { classes } => scores::score(&input, classes)?,
            Work::Curves { classes } => scores::curves(&input, classes)?,
            Work::GroupFolds { cases } => folds::of_groups(&cases),
            Work::FaceFolds { data } => {
                folds::of_faces(&folder.join(format!("{name}.images")), &data)?
            }
            Work::Statistics { counts, p } => scores::statistics(&counts, &p)?,
        };
        output.write(&folder.join(format!("{name}.out.safetensors")))?;
    }
    Ok(())
}
