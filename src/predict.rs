//! Use of a trained model: pictures in, classes and probabilities out.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray.

use std::path::{Path, PathBuf};

use crate::config::Experiment;
use crate::data::photo::{self, Photo};
use crate::error::{Error, Result};
use crate::model::network::{Network, Plan};
use crate::model::trainable::resolve;
use crate::model::weights::file::TensorFile;
use crate::model::weights::{self, Part};
use crate::store::Store;
use crate::store::folder::files;
use crate::store::read::record;
use crate::store::record::State;
use crate::torch;
use crate::torch::Device;
use crate::torch::loss;
use crate::torch::tensor::Table;
use crate::train::views::Views;

/// Pictures that go through the network at once.
const BATCH: usize = 32;

/// A trained model, ready to be asked.
#[derive(Debug)]
pub struct Model {
    /// Class names in label order.
    pub classes: Vec<String>,
    network: Network,
    device: Device,
    views: Views,
    channels: usize,
    image_size: usize,
}

/// What a model says about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The picture.
    pub path: PathBuf,
    /// Index of the most probable class.
    pub class: usize,
    /// Probability of each class.
    pub probabilities: Vec<f32>,
}

/// The model of the run in `folder`; `weights` names one of its checkpoints, or `final`.
///
/// # Errors
/// [`Error::Usage`] if the run is not finished or has no such weights; whatever reading fails with.
pub fn open(store: &Store, folder: &Path, weights: &str, device: Device) -> Result<Model> {
    let record = record(store, folder)?;
    let usage = |message: String, help: String| Error::Usage { message, help };
    if record.state != State::Finished {
        let message = format!("the run in `{}` is not finished", folder.display());
        return Err(usage(message, "`ferrite status` lists what every run is at".into()));
    }
    let path = folder.join(files::of_weights(files::MODEL, weights));
    if !path.is_file() {
        let message = format!("the run has no weights `{weights}`: no `{}`", path.display());
        let help = "name a metric that its last stage lists under `checkpoints`, or `final`";
        return Err(usage(message, help.into()));
    }
    let damaged = |message: String| {
        let help = "it must be the trial.toml that the run was made from".into();
        Error::Damaged { path: folder.join(files::TRIAL), message, help }
    };
    let settings: Experiment = record
        .settings
        .clone()
        .try_into()
        .map_err(|it: toml::de::Error| damaged(it.message().to_owned()))?;
    if let Some(problem) = settings.check().first() {
        return Err(damaged(format!("`{}` {}", problem.key, problem.message)));
    }
    let dataset = record.facts.dataset.as_ref().ok_or_else(|| Error::Damaged {
        path: folder.join(files::EVENTS),
        message: "it does not say what the run was trained on".into(),
        help: "sweep the experiment again".into(),
    })?;
    let plan = Plan {
        model: &settings.model,
        input: weights::input_of(&TensorFile::open(&path)?)?.unwrap_or_default(),
        frozen_norm: settings.batch_norm.frozen_layers,
        image_size: settings.data.image_size,
        classes: dataset.classes.len(),
        seed: 0,
        precisions: settings.model.precisions(device),
    };
    let mut network = Network::new(&plan, device);
    // What the run trained last computes as it did there.
    let last = settings.stages.last().map(|it| resolve(&settings.model, &it.trainable));
    if let Some(Ok(trained)) = last {
        network.compute_as_in_training(&trained);
    }
    weights::load(&mut network, &path, Part::Whole)?;
    Ok(Model {
        classes: dataset.classes.clone(),
        network,
        device,
        views: settings.evaluate.views,
        channels: dataset.size[2],
        image_size: settings.data.image_size,
    })
}

impl Model {
    /// What it says about each of `pictures`, or why one cannot be read. Views are averaged as when the run
    /// was tested. `done` hears how many are done.
    pub fn guess(&self, pictures: &[PathBuf], done: &mut dyn FnMut(usize)) -> Vec<Result<Guess>> {
        let mut guesses = Vec::new();
        for paths in pictures.chunks(BATCH) {
            let photos: Vec<Result<Photo>> =
                paths.iter().map(|it| photo::read(it, self.channels, self.image_size)).collect();
            let mut read = paths.iter().zip(photos).peekable();
            while let Some((path, photo)) = read.next() {
                let Ok(photo) = photo else {
                    guesses.extend(photo.err().map(Err));
                    continue;
                };
                // Pictures of one size, one behind the other, go through the network together.
                let (mut together, size) = (vec![path], photo.size);
                let mut pixels = photo.pixels;
                let alike = |it: &(&PathBuf, Result<Photo>)| {
                    it.1.as_ref().is_ok_and(|photo| photo.size == size)
                };
                while let Some((path, Ok(photo))) = read.next_if(alike) {
                    together.push(path);
                    pixels.extend(photo.pixels);
                }
                guesses.extend(self.look(&together, &pixels, size).into_iter().map(Ok));
            }
            done(guesses.len());
        }
        guesses
    }

    fn look(&self, paths: &[&PathBuf], pixels: &[u8], size: [usize; 3]) -> Vec<Guess> {
        let [height, width, channels] = size;
        let table = Table::of_bytes(pixels, [paths.len(), height, width, channels], self.device);
        let rows: Vec<u32> = (0..paths.len() as u32).collect();
        let probabilities = torch::without_gradients(|| {
            let x = table.images(&rows);
            loss::probabilities(vec![self.views.infer(&self.network, &x, self.image_size)])
        });
        let rows = probabilities.chunks(self.classes.len());
        let guess = |(path, row): (&&PathBuf, &[f32])| Guess {
            path: (*path).clone(),
            // The first of equals, as in numpy's and PyTorch's argmax.
            class: (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0),
            probabilities: row.to_vec(),
        };
        paths.iter().zip(rows).map(guess).collect()
    }
}
