//! Use of a trained model: pictures in, classes and probabilities out.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray.

pub mod tracks;

use std::path::{Path, PathBuf};

use ferrite_core::data::faces::Faces;
use ferrite_core::data::faces::found::Face;
use ferrite_core::data::layout::Layout;
use ferrite_core::data::photo;
use ferrite_core::data::picture::Picture;
use ferrite_core::data::video::Frame;
use ferrite_core::device::Device;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::{Evaluation, FINAL};
use ferrite_core::largest::first_largest;
use ferrite_core::remote::Remote;
use ferrite_core::settings::evaluate::Views;
use ferrite_core::store::Store;
use ferrite_core::store::record::Record;
use ferrite_detect::Detector;
use ferrite_torch::loss;
use ferrite_torch::precision::bfloat16_on;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::forward::network::Network;
use crate::predict::tracks::Tracks;
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
    /// Where it comes from.
    pub origin: Origin,
    network: Network,
    device: Device,
    views: Views,
    framing: Framing,
}

/// Where a model comes from, and how it was judged there.
#[derive(Debug)]
pub struct Origin {
    /// The run's name.
    pub run: String,
    /// The key of the trial that made the weights.
    pub key: String,
    /// Which of the run's weights: `final`, or the metric under which they were kept.
    pub weights: String,
    /// The test of these weights; none where the run did not test them.
    pub evaluation: Option<Evaluation>,
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
    /// The picture, or the video that it is of.
    pub path: PathBuf,
    /// When the video shows it, in seconds from the beginning; none for a picture of its own.
    pub seconds: Option<f64>,
    /// What it says of each face, those with the highest scores first, or of the whole picture; empty where no face was
    /// found.
    pub guesses: Vec<Guess>,
}

/// What a model says about a face or a whole picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The face; none for the whole picture.
    pub face: Option<Face>,
    /// Of a video, the number of the face: it is the same in all pictures through which the face was followed.
    pub track: Option<usize>,
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
    let Trained { record, settings, dataset, network } =
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
        origin: Origin::of(&record, weights),
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

impl Origin {
    fn of(record: &Record, weights: &str) -> Self {
        let facts = &record.facts;
        let others = facts.others.iter().find(|it| it.weights == weights);
        let evaluation = if weights == FINAL { facts.evaluation.as_ref() } else { others };
        Self {
            run: record.name(),
            key: facts.start.as_ref().map(|it| it.key.clone()).unwrap_or_default(),
            weights: weights.to_owned(),
            evaluation: evaluation.cloned(),
        }
    }
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
    fn see(&self, picture: Picture) -> Result<Vec<Seen>> {
        let Some(Finder { settings, detector }) = &self.finder else {
            let image = photo::seen(picture, self.channels, self.image_size);
            return Ok(vec![Seen { face: None, image }]);
        };
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

    /// Pixels a side of what its network sees.
    pub fn image_size(&self) -> usize {
        self.framing.image_size
    }

    /// Channels of what its network sees: 1 for gray, else 3.
    pub fn channels(&self) -> usize {
        self.framing.channels
    }

    /// How many pictures it takes at once.
    pub fn at_once(&self) -> usize {
        inference_batch(self.framing.image_size, self.device)
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
        for paths in pictures.chunks(self.at_once()) {
            let guesses = self.guess(paths, |it| photo::open(it));
            let answer = |(path, it): (&PathBuf, Result<_>)| {
                Ok(Answer { path: path.clone(), seconds: None, guesses: it? })
            };
            hear(paths.iter().zip(guesses).map(answer).collect())?;
        }
        Ok(())
    }

    /// What the model says about `frames`, the next ones of the video at `path`, in which faces are followed by `tracks`.
    ///
    /// # Errors
    /// Whatever the detector fails with.
    pub fn answer_frames(
        &self,
        path: &Path,
        frames: &[Frame],
        tracks: &mut Tracks,
    ) -> Result<Vec<Answer>> {
        let guesses = self.guess(frames, |it| Ok::<_, Error>(it.picture.clone()));
        let answer = |(frame, guesses): (&Frame, Result<Vec<Guess>>)| {
            let mut guesses = guesses?;
            tracks.follow(&mut guesses);
            Ok(Answer { path: path.to_owned(), seconds: Some(frame.seconds), guesses })
        };
        frames.iter().zip(guesses).map(answer).collect()
    }

    /// What the model says about each of `pictures`, which go through the network together, once `open` has read them: of each
    /// face, those with the highest scores first, or of the whole picture. Or why a picture is not answered: `open` refuses it,
    /// or the detector does.
    pub fn guess<P: Sync, E: From<Error> + Send>(
        &self,
        pictures: &[P],
        open: impl Fn(&P) -> Result<Picture, E> + Sync,
    ) -> Vec<Result<Vec<Guess>, E>> {
        let framing = &self.framing;
        let see = |it: &P| Ok(framing.see(open(it)?)?);
        let seen: Vec<Result<Vec<Seen>, E>> = pictures.par_iter().map(see).collect();
        let images: Vec<&Picture> = seen.iter().flatten().flatten().map(|it| &it.image).collect();
        // A photograph of a crowd may have more faces than a batch has room for.
        let looks: Vec<_> = images.chunks(self.at_once()).flat_map(|it| self.look(it)).collect();
        let mut looks = looks.into_iter();
        let mut guess = |face: Option<Face>| {
            let probabilities = looks.next().unwrap_or_default();
            Guess { face, track: None, class: first_largest(&probabilities), probabilities }
        };
        let mut guesses = |it: Vec<Seen>| it.into_iter().map(|it| guess(it.face)).collect();
        seen.into_iter().map(|it| it.map(&mut guesses)).collect()
    }

    /// What it says about a picture, for programs: the object that docs/json.md describes, without its version.
    pub fn told(&self, guesses: &[Guess]) -> Value {
        match guesses {
            [whole] if whole.face.is_none() => self.said(whole),
            faces => json!({ "faces": faces.iter().map(|it| self.said(it)).collect::<Vec<_>>() }),
        }
    }

    fn said(&self, guess: &Guess) -> Value {
        let probabilities = self.classes.iter().zip(&guess.probabilities);
        let probabilities: Map<String, Value> =
            probabilities.map(|(class, it)| (class.clone(), f64::from(*it).into())).collect();
        let mut object = json!({
            "prediction": self.classes[guess.class],
            "probabilities": probabilities,
        });
        if let Some(face) = &guess.face {
            let [left, top, width, height] = face.bounds;
            object["bounds"] =
                json!({ "left": left, "top": top, "width": width, "height": height });
            object["score"] = face.score.into();
            object["landmarks"] = json!(face.landmarks.points());
        }
        if let Some(track) = guess.track {
            object["track"] = track.into();
        }
        object
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
