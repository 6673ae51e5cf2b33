//! What a run begins with: its network, the first weights, and whose images these have seen.

use ferrite_core::data::dataset::Dataset;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind as Event;
use ferrite_core::event::split::SplitName;
use ferrite_core::event::weights::{Ancestors, Seen, Taken, Weights as WeightsEvent};
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::summary::summarize;
use ferrite_core::model::weights::ancestry::{Ancestry, Gap};
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{implementation_of, input_of};
use ferrite_core::model::{Input, Weights};
use ferrite_core::plan::job::Job;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::health::verify;
use ferrite_core::store::lock::Caller;

use crate::forward::network::{Network, Plan};
use crate::forward::weights::{Part, load_from};
use crate::run::{Place, fetch};

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
        let judging = dataset.splits().filter(|(name, _)| *name != SplitName::Train);
        let seen = judging.map(|(name, rows)| {
            let images = rows.iter().filter(|it| self.has_seen(**it)).count();
            (name.as_str().to_owned(), Seen { images, of: rows.len() })
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

/// Makes the network of `job` as its first stage finds it.
pub(super) fn begin(
    job: &Job,
    Place { store, device, precisions }: Place<'_>,
    dataset: &Dataset,
    caller: &mut Caller<'_>,
) -> Result<Begun> {
    let settings = &job.settings;
    let source = source(job, store, caller)?;
    if let Some(source) = &source {
        check_implementation(&source.file, settings.model.implementation())?;
    }
    let input = source.as_ref().map_or(Input::default(), |it| it.input);
    let plan = Plan {
        model: &settings.model,
        input,
        frozen_norm: settings.batch_norm.frozen_layers,
        image_size: settings.data.image_size,
        classes: dataset.classes.len(),
        seed: job.seed,
        precisions,
    };
    let mut network = Network::new(&plan, device);
    let summary = summarize(&settings.model, plan.image_size, plan.classes);
    caller.sink.emit(Event::NetworkReady(summary))?;
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
    caller.sink.emit(Event::WeightsLoaded(account))?;
    Ok(Begun { network, origin })
}

/// Fails unless the weights are of the network that was planned.
fn check_implementation(file: &TensorFile, planned: Implementation) -> Result<()> {
    let whose = implementation_of(file)?;
    if whose == planned {
        return Ok(());
    }
    Err(Error::Weights {
        path: file.path.clone(),
        message: format!(
            "it holds the weights of a network of `{}`, and one of `{}` was planned",
            whose.name(),
            planned.name()
        ),
        help: "it has changed since: sweep the experiment again".into(),
    })
}

/// Where the first weights are from; none if they are drawn at random.
fn source(job: &Job, store: &Store, caller: &mut Caller<'_>) -> Result<Option<Source>> {
    let of = |file: TensorFile, input: Input| {
        let ancestry = Ancestry::of(&file);
        Source { file, input, ancestry }
    };
    let model = &job.settings.model;
    if let Some(published) = model.published() {
        let file =
            TensorFile::open(&fetch(published.remote, caller)?)?.for_backbone(model.backbone)?;
        // Photographs of things; nobody tests faces on them.
        return Ok(Some(Source { file, input: published.input, ancestry: Ancestry::default() }));
    }
    match &model.weights {
        Weights::File(it) => {
            let file = TensorFile::open_part(&it.path, it.state_dict.as_deref())?;
            let file = file.for_backbone(model.backbone)?;
            Ok(Some(of(file, it.input.unwrap_or_default())))
        }
        Weights::Run(run) => {
            let folder = store.root.join(run);
            verify(&folder, files::MODEL)?;
            let file = TensorFile::open(&folder.join(files::MODEL))?;
            let input = input_of(&file, model.backbone)?.unwrap_or_default();
            Ok(Some(of(file, input)))
        }
        // A plan makes the weights of an experiment those of a run.
        Weights::None
        | Weights::Experiment(_)
        | Weights::Imagenet
        | Weights::ImagenetV2
        | Weights::KerasImagenet => Ok(None),
    }
}
