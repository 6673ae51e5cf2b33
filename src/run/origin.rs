//! What a run begins with: its network, the first weights, and whose images these have seen.

use std::path::PathBuf;
use std::time::Instant;

use crate::data::dataset::Dataset;
use crate::error::Result;
use crate::event::weights::{Ancestors, Seen, Taken, Weights as WeightsEvent};
use crate::event::{Kind as Event, Sink};
use crate::fetch::{self, Cache, Remote};
use crate::forward::network::{Network, Plan};
use crate::forward::weights::{Part, load_from};
use crate::model::summary::summarize;
use crate::model::weights::ancestry::{Ancestry, Gap};
use crate::model::weights::file::TensorFile;
use crate::model::weights::input_of;
use crate::model::{Input, Weights};
use crate::run::{Runner, waiting};
use crate::store::folder::files;
use crate::store::health::verify;
use crate::torch::precision::bfloat16_on;

/// A network with its first weights.
pub(super) struct Begun {
    pub(super) network: Network,
    pub(super) origin: Origin,
}

/// What belongs to the first weights, and goes on with them to the end of the run.
pub(super) struct Origin {
    /// How pixels are scaled.
    pub(super) input: Input,
    /// The images that they were trained on.
    pub(super) ancestry: Ancestry,
    /// A number for what each image of the data set shows.
    pub(super) contents: Vec<u64>,
}

/// Where first weights are from.
struct Source {
    file: TensorFile,
    input: Input,
    ancestry: Ancestry,
}

impl Origin {
    /// Whether the first weights were trained on the image at `row`, as far as is known.
    pub(super) fn has_seen(&self, row: u32) -> bool {
        self.ancestry.has(self.contents[row as usize])
    }

    /// The images that the network has seen when the run ends.
    pub(super) fn with_training(&self, dataset: &Dataset) -> Ancestry {
        self.ancestry.with(dataset.train.iter().map(|it| self.contents[*it as usize]))
    }

    /// How many of the images that judge the run the first weights know, as it is told.
    fn told(&self, dataset: &Dataset) -> Ancestors {
        let splits = [("valid", &dataset.valid), ("test", &dataset.test)];
        let splits = splits.into_iter().filter(|it| !it.1.is_empty());
        let seen = splits.map(|(name, rows)| {
            let images = rows.iter().filter(|it| self.has_seen(**it)).count();
            (name.to_owned(), Seen { images, of: rows.len() })
        });
        let Ancestry { gap, .. } = self.ancestry;
        Ancestors {
            known: gap.is_none(),
            older: gap == Some(Gap::Unwritten),
            images: self.ancestry.count(),
            seen: seen.collect(),
        }
    }
}

impl Runner<'_> {
    /// The network as the first stage finds it.
    pub(super) fn begin(&mut self, dataset: &Dataset) -> Result<Begun> {
        let settings = &self.trial.settings;
        let source = self.source()?;
        let input = source.as_ref().map_or(Input::default(), |it| it.input);
        let plan = Plan {
            model: &settings.model,
            input,
            frozen_norm: settings.batch_norm.frozen_layers,
            image_size: settings.data.image_size,
            classes: dataset.classes.len(),
            seed: self.trial.seed,
            precisions: settings.model.precisions(self.device, bfloat16_on(self.device)),
        };
        let mut network = Network::new(&plan, self.device);
        let summary = summarize(&settings.model, plan.image_size, plan.classes);
        self.log.emit(Event::NetworkReady(summary))?;
        let ancestry = source.as_ref().map(|it| it.ancestry.clone()).unwrap_or_default();
        let origin = Origin { input, ancestry, contents: dataset.contents.clone() };
        let account = if let Some(source) = source {
            let ours = settings.model.published().is_none();
            let ancestors = ours.then(|| origin.told(dataset));
            let loaded = load_from(&mut network, &source.file, Part::Backbone)?;
            WeightsEvent { ancestors, ..loaded }
        } else {
            let (loaded, missing, unexpected) = (0, Vec::new(), Vec::new());
            let (taken, ancestors) = (Taken::default(), None);
            let from = "random".into();
            WeightsEvent { from, loaded, missing, unexpected, taken, ancestors }
        };
        self.log.emit(Event::WeightsLoaded(account))?;
        Ok(Begun { network, origin })
    }

    /// Where the first weights are from; none if they are drawn at random.
    fn source(&mut self) -> Result<Option<Source>> {
        let of = |file: TensorFile, input: Input| {
            let ancestry = Ancestry::of(&file);
            Source { file, input, ancestry }
        };
        Ok(Some(match &self.trial.settings.model.weights {
            Weights::None => return Ok(None),
            Weights::Imagenet | Weights::ImagenetV2 => {
                let (path, input) = self.published()?;
                // Photographs of things; nobody tests faces on them.
                Source { file: TensorFile::open(&path)?, input, ancestry: Ancestry::default() }
            }
            Weights::File(it) => {
                let file = TensorFile::open_part(&it.path, it.state_dict.as_deref())?;
                of(file, it.input.unwrap_or_default())
            }
            Weights::Run(run) => {
                let folder = self.store.root.join(run);
                verify(&folder, files::MODEL)?;
                let file = TensorFile::open(&folder.join(files::MODEL))?;
                let input = input_of(&file)?.unwrap_or_default();
                of(file, input)
            }
            Weights::Experiment(_) => unreachable!("the plan resolves experiments to runs"),
        }))
    }

    /// The file of the published weights that the trial begins with, downloaded if it is not there yet.
    fn published(&mut self) -> Result<(PathBuf, Input)> {
        let published = self.trial.settings.model.published();
        let published = published.expect("the settings were checked");
        let started = Instant::now();
        let listener = &mut self.log.listener;
        let mut say = |it: fetch::Progress| {
            let of = it.of.unwrap_or(published.bytes);
            listener(&waiting("weights", it.done as usize, of as usize, started));
        };
        let remote =
            Remote { url: published.url, sha256: published.sha256, bytes: published.bytes };
        let path = Cache::of_user()?.fetch(remote, &mut say, self.interrupted)?;
        Ok((path, published.input))
    }
}
