//! Use of a trained model: pictures in, classes and probabilities out.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray.

use std::path::{Path, PathBuf};

use ferrite_core::data::faces::Faces;
use ferrite_core::data::faces::found::Face;
use ferrite_core::data::layout::Layout;
use ferrite_core::data::photo;
use ferrite_core::data::picture::Picture;
use ferrite_core::device::Device;
use ferrite_core::error::Result;
use ferrite_core::largest::first_largest;
use ferrite_core::remote::Remote;
use ferrite_core::settings::evaluate::Views;
use ferrite_core::store::Store;
use ferrite_detect::Detector;
use ferrite_torch::loss;
use ferrite_torch::precision::bfloat16_on;
use rayon::prelude::*;

use crate::forward::network::Network;
use crate::train::images::inference_batch;
use crate::train::pictures::Pictures;
use crate::train::views::infer;
use crate::trained;
use crate::trained::Trained;

/// A trained model, ready to be asked.
#[derive(Debug)]
pub struct Model {
    /// Class names in label order.
    pub classes: Vec<String>,
    network: Network,
    device: Device,
    views: Views,
    framing: Framing,
}

/// What the network sees of a picture.
#[derive(Debug)]
struct Seen {
    /// The face; none where it is the whole picture.
    face: Option<Face>,
    image: Picture,
}

/// What of a picture the network sees, and in how many channels and pixels a side.
#[derive(Debug)]
struct Framing {
    channels: usize,
    image_size: usize,
    /// None where it sees whole pictures.
    finder: Option<Finder>,
}

/// What a model says about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The picture.
    pub path: PathBuf,
    /// What it says of each face, those with the highest scores first, or of the whole picture; empty where no face was
    /// found.
    pub guesses: Vec<Guess>,
}

/// What a model says about a face or a whole picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The face; none for the whole picture.
    pub face: Option<Face>,
    /// Index of the most probable class.
    pub class: usize,
    /// Probability of each class.
    pub probabilities: Vec<f32>,
}

/// What of a picture a model is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// What the run was trained on: faces where its settings look for some, else whole pictures.
    #[default]
    AsTrained,
    /// All faces; where the run's settings do not say how they are placed, as the defaults do.
    Faces,
    /// The whole picture.
    Whole,
}

/// How faces are found and placed.
#[derive(Debug)]
struct Finder {
    settings: Faces,
    detector: Detector,
}

/// A run's model, and how it is to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// One of its checkpoints, or `final`.
    pub weights: &'a str,
    /// What it is asked about.
    pub asked: Asked,
}

/// Opens a run's model. Where it needs a detector whose file is not there yet, `fetch` gets it.
///
/// # Errors
/// As of [`trained::open`](crate::trained::open), and whatever opening the detector fails with.
pub fn open(
    store: &Store,
    Wanted { folder, weights, asked }: Wanted<'_>,
    device: Device,
    fetch: &dyn Fn(Remote<'_>) -> Result<PathBuf>,
) -> Result<Model> {
    let Trained { settings, dataset, network, .. } =
        trained::open(store, (folder, weights), device, |model| {
            model.precisions(device, bfloat16_on(device))
        })?;
    let faces = match asked {
        Asked::AsTrained => settings.data.faces.clone(),
        Asked::Faces => Some(settings.data.faces.clone().unwrap_or_default()),
        Asked::Whole => None,
    };
    Ok(Model {
        classes: dataset.classes,
        network,
        device,
        views: settings.evaluate.views,
        framing: Framing {
            channels: dataset.size[2],
            image_size: settings.data.image_size,
            finder: faces.map(|it| Finder::open(it, fetch)).transpose()?,
        },
    })
}

impl Finder {
    fn open(settings: Faces, fetch: &dyn Fn(Remote<'_>) -> Result<PathBuf>) -> Result<Self> {
        let model = settings.detector.model().map(fetch).transpose()?;
        let detector = Detector::open(&settings.detector, &model.unwrap_or_default())?;
        Ok(Self { settings, detector })
    }
}

impl Framing {
    /// What the network sees of a picture: the whole of it, or each of its faces.
    fn read(&self, path: &Path) -> Result<Vec<Seen>> {
        let Some(Finder { settings, detector }) = &self.finder else {
            let image = photo::read(path, self.channels, self.image_size)?;
            return Ok(vec![Seen { face: None, image }]);
        };
        let picture = photo::open(path)?;
        let faces = detector.find(&picture)?;
        let picture = picture.in_channels(self.channels);
        let place = |face: Face| {
            let placed = ferrite_detect::placed(&picture, Some(&face), settings, self.image_size);
            Seen { face: Some(face), image: placed.picture }
        };
        Ok(faces.into_iter().map(place).collect())
    }
}

impl Model {
    /// Whether it looks for faces.
    pub fn finds_faces(&self) -> bool {
        self.framing.finder.is_some()
    }

    /// Tells `hear` what the model says about each of `pictures`, in their order and a batch at a time, or why one cannot be
    /// read. They go through the network as test images do, so that a picture of the run's own gets what the run said of it.
    ///
    /// # Errors
    /// Whatever `hear` fails with.
    pub fn answer(
        &self,
        pictures: &[PathBuf],
        hear: &mut dyn FnMut(Vec<Result<Answer>>) -> Result<()>,
    ) -> Result<()> {
        let framing = &self.framing;
        let batch = inference_batch(framing.image_size, self.device);
        for paths in pictures.chunks(batch) {
            let seen: Vec<_> = paths.par_iter().map(|it| framing.read(it)).collect();
            let images: Vec<&Picture> =
                seen.iter().flatten().flatten().map(|it| &it.image).collect();
            // A photograph of a crowd may have more faces than a batch has room for.
            let looks: Vec<_> = images.chunks(batch).flat_map(|it| self.look(it)).collect();
            let mut looks = looks.into_iter();
            let mut guess = |face: Option<Face>| {
                let probabilities = looks.next().unwrap_or_default();
                Guess { face, class: first_largest(&probabilities), probabilities }
            };
            let mut answer = |path: &PathBuf, seen: Result<Vec<Seen>>| {
                let guesses = seen?.into_iter().map(|it| guess(it.face)).collect();
                Ok(Answer { path: path.clone(), guesses })
            };
            hear(paths.iter().zip(seen).map(|(path, seen)| answer(path, seen)).collect())?;
        }
        Ok(())
    }

    /// The class probabilities of each of `photos`.
    fn look(&self, photos: &[&Picture]) -> Vec<Vec<f32>> {
        let (mut bytes, mut layout) = (Vec::new(), Layout::default());
        for photo in photos {
            layout.push(photo.shape).expect("a picture that was read has a shape");
            bytes.extend_from_slice(&photo.pixels);
        }
        if bytes.is_empty() {
            return Vec::new();
        }
        let pictures = Pictures::new(&bytes, &layout, self.framing.image_size, self.device);
        let rows: Vec<u32> = (0..layout.count() as u32).collect();
        let probabilities = ferrite_torch::without_gradients(|| {
            let look = |window| pictures.window(&rows, window);
            loss::probabilities(vec![infer(self.views, &self.network, &look)])
        });
        probabilities.chunks(self.classes.len()).map(<[f32]>::to_vec).collect()
    }
}
