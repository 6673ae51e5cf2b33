//! Use of a trained model: pictures in, classes and probabilities out.
//!
//! A run's folder is all it needs: the weights with what their header says, the settings, and from the log
//! whether the training images were gray. Of several runs all networks are held at once, since pictures go by in batches.
//!
//! **Invariant:** each of several runs sees and says what it would alone; only what they say is put together.

mod overlap;
pub mod said;
mod sight;
pub mod tracks;

use std::path::{Path, PathBuf};

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
use ferrite_torch::loss;
use ferrite_torch::precision::bfloat16_on;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use crate::forward::network::Network;
use crate::predict::said::{Answer, Guess};
use crate::predict::sight::{Framing, Seen, Sight};
use crate::predict::tracks::Tracks;
use crate::train::images::inference_batch;
use crate::train::pictures::Pictures;
use crate::train::views::infer;
use crate::trained;
use crate::trained::Trained;

/// A trained model, ready to be asked: the network of a run, or those of several, whose answer is the mean of their
/// probabilities.
#[derive(Debug)]
pub struct Model {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// The runs that answer.
    pub members: Vec<Member>,
    sight: Sight,
    device: Device,
}

/// A run that answers, alone or with others.
#[derive(Debug)]
pub struct Member {
    /// Where its network comes from.
    pub origin: Origin,
    /// Channels of what the network sees: 1 for gray, else 3.
    pub channels: usize,
    /// Pixels a side of what it sees.
    pub image_size: usize,
    network: Network,
    views: Views,
    /// How it sees pictures, by its number in [`Sight`].
    framing: usize,
}

/// Where a network comes from, and how it was judged there.
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

/// The runs that answer, and how they are to be asked.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The folders of the runs, one or several.
    pub folders: &'a [PathBuf],
    /// One of their checkpoints, or `final`.
    pub weights: &'a str,
    /// What they are asked about.
    pub asked: Asked,
}

/// Opens the model of a run, or of several that answer together. Where it needs a detector whose file is not there yet, `fetch`
/// gets it.
///
/// # Errors
/// As of [`trained::open`](crate::trained::open), whatever opening a detector fails with, and [`Error::Usage`] if two runs tell
/// other classes apart, or if one looks for faces and another sees whole pictures.
pub fn open(
    store: &Store,
    Wanted { folders, weights, asked }: Wanted<'_>,
    device: Device,
    fetch: &dyn Fn(Remote<'_>) -> Result<PathBuf>,
) -> Result<Model> {
    let mut model =
        Model { classes: Vec::new(), members: Vec::new(), sight: Sight::default(), device };
    for folder in folders {
        let trained = trained::open(store, (folder, weights), device, |model| {
            model.precisions(device, bfloat16_on(device))
        })?;
        model.add(trained, (weights, asked), fetch)?;
    }
    Ok(model)
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

impl Model {
    /// Adds the run of a `trained` network, with these of its weights, to those that answer.
    fn add(
        &mut self,
        trained: Trained,
        (weights, asked): (&str, Asked),
        fetch: &dyn Fn(Remote<'_>) -> Result<PathBuf>,
    ) -> Result<()> {
        let Trained { record, settings, dataset, network } = trained;
        let faces = match asked {
            Asked::AsTrained => settings.data.faces,
            Asked::Faces => Some(settings.data.faces.unwrap_or_default()),
            Asked::Whole => None,
        };
        let origin = Origin::of(&record, weights);
        self.is_asked_the_same(&origin.run, &dataset.classes, faces.is_some())?;
        let (channels, image_size) = (dataset.size[2], settings.data.image_size);
        let framing = self.sight.add(Framing { channels, image_size, faces }, fetch)?;
        let views = settings.evaluate.views;
        self.classes = dataset.classes;
        self.members.push(Member { origin, channels, image_size, network, views, framing });
        Ok(())
    }

    /// Refuses the run of this name if it tells other `classes` apart than those before it, or if it alone looks for faces or does
    /// not.
    fn is_asked_the_same(&self, run: &str, classes: &[String], finds_faces: bool) -> Result<()> {
        let Some(first) = self.members.first() else { return Ok(()) };
        let first = first.origin.run.as_str();
        if self.classes != classes {
            return Err(other_classes([first, run], [&self.classes, classes]));
        }
        if self.finds_faces() == finds_faces {
            return Ok(());
        }
        let [finds, whole] = if finds_faces { [run, first] } else { [first, run] };
        Err(Error::Usage {
            message: format!(
                "`{finds}` looks for faces and `{whole}` sees whole pictures, so they do not answer about the same"
            ),
            help: "say `--find-faces` or `--assume-face`, which holds for all of them".into(),
        })
    }

    /// The names of its runs, each between backticks.
    pub fn names(&self) -> String {
        let names = self.members.iter().map(|it| format!("`{}`", it.origin.run));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether several runs answer together.
    pub fn is_ensemble(&self) -> bool {
        self.members.len() > 1
    }

    /// Whether it looks for faces.
    pub fn finds_faces(&self) -> bool {
        self.sight.finds_faces()
    }

    /// How many pictures it takes at once: as many as the network does that takes the most.
    pub fn at_once(&self) -> usize {
        let of = |it: &Member| inference_batch(it.image_size, self.device);
        self.members.iter().map(of).max().unwrap_or(1)
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
        let sight = &self.sight;
        let see = |it: &P| Ok(sight.see(open(it)?)?);
        let seen: Vec<Result<Seen, E>> = pictures.par_iter().map(see).collect();
        let good: Vec<&Seen> = seen.iter().flatten().collect();
        let alone = self.members.iter().map(|it| self.alone(it, &good).into_iter());
        let mut alone: Vec<_> = alone.collect();
        let mut guess =
            |face| Guess::of(face, alone.iter_mut().map(|it| it.next().flatten()).collect());
        let mut guesses = |it: Seen| it.faces.into_iter().map(&mut guess).collect();
        seen.into_iter().map(|it| it.map(&mut guesses)).collect()
    }

    /// The class probabilities of everything in `seen` by one run alone, none of what it does not see.
    fn alone(&self, member: &Member, seen: &[&Seen]) -> Vec<Option<Vec<f64>>> {
        let images = seen.iter().flat_map(|it| &it.images[member.framing]);
        let images: Vec<Option<&Picture>> = images.map(Option::as_ref).collect();
        let there: Vec<&Picture> = images.iter().flatten().copied().collect();
        // A photograph of a crowd may have more faces than a batch has room for.
        let batches = there.chunks(inference_batch(member.image_size, self.device));
        let mut looks = batches.flat_map(|it| self.look(member, it));
        images.into_iter().map(|it| it.and_then(|_| looks.next())).collect()
    }

    /// What it says about a picture, for programs: the object that docs/json.md describes, without its version.
    pub fn told(&self, guesses: &[Guess]) -> Value {
        match guesses {
            [whole] if whole.face.is_none() => self.said(whole),
            faces => json!({ "faces": faces.iter().map(|it| self.said(it)).collect::<Vec<_>>() }),
        }
    }

    fn said(&self, guess: &Guess) -> Value {
        let mut object = self.classified(guess.class, &guess.probabilities);
        if self.is_ensemble() {
            object["agree"] = guess.agree().into();
            object["runs"] = self.said_alone(guess);
        }
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

    /// What each run says alone that says something.
    fn said_alone(&self, guess: &Guess) -> Value {
        let alone = self.members.iter().zip(&guess.alone).filter_map(|(member, said)| {
            let said = said.as_ref()?;
            let mut object = self.classified(first_largest(said), said);
            object["run"] = member.origin.run.clone().into();
            Some(object)
        });
        alone.collect()
    }

    fn classified(&self, class: usize, probabilities: &[f64]) -> Value {
        let probabilities = self.classes.iter().cloned().zip(probabilities.iter().copied());
        let probabilities: Map<String, Value> =
            probabilities.map(|(class, it)| (class, it.into())).collect();
        json!({ "prediction": self.classes[class], "probabilities": probabilities })
    }

    /// The class probabilities of each of `photos` by one run.
    fn look(&self, member: &Member, photos: &[&Picture]) -> Vec<Vec<f64>> {
        let (mut bytes, mut layout) = (Vec::new(), Layout::default());
        for photo in photos {
            layout.push(photo.shape).expect("a picture that was read has a shape");
            bytes.extend_from_slice(&photo.pixels);
        }
        let pictures = Pictures::new(&bytes, &layout, member.image_size, self.device);
        let rows: Vec<u32> = (0..layout.count() as u32).collect();
        let probabilities = ferrite_torch::without_gradients(|| {
            let look = |window| pictures.window(&rows, window);
            loss::probabilities(vec![infer(member.views, &member.network, &look)])
        });
        let of_each = probabilities.chunks(self.classes.len());
        of_each.map(|it| it.iter().map(|it| f64::from(*it)).collect()).collect()
    }
}

/// Why two runs that tell other classes apart cannot answer together.
fn other_classes(runs: [&str; 2], classes: [&[String]; 2]) -> Error {
    let [first, second] = classes.map(|it| it.join(", "));
    Error::Usage {
        message: format!(
            "`{}` and `{}` tell other classes apart, or in another order: {first}; {second}",
            runs[0], runs[1]
        ),
        help: "runs answer together that have the same classes in the same order, like the seeds of one experiment".into(),
    }
}
