//! From experiments to trials, and from trials to the steps that carry them out, each under its key.
//!
//! A key is the sha256 of the settings that matter to a step and differ from their default, of the keys of
//! its inputs, and of the version of the step's code ([`steps`]). So a new setting with a default changes no key, and
//! equal work has equal keys in whatever experiment it stands: it is one node of the [`graph`].
//!
//! **Invariant:** pure. What must be asked of the disk is asked through [`Lookup`].

pub mod chain;
pub mod cost;
mod folders;
pub mod graph;
pub mod job;
pub mod search;
pub mod steps;

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use crate::config::Experiment;
use crate::config::read::{Point, Written};
use crate::data::Data;
use crate::data::labels::Labels;
use crate::error::{Error, Result};
use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::{WeightFile, Weights};
use crate::plan::chain::{Inputs, Link, chain};
use crate::plan::steps::{Key, Kind};

/// So many experiments may start from each other in a row.
const MOST_IN_A_ROW: usize = 100;

/// One step of a trial, as plans and schedules see it. What it does in full is in [`Trial::chain`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// The stage it belongs to, for features with the split behind it; empty for those of no stage.
    pub of: String,
    /// Names its result.
    pub key: Key,
}

/// One trial: every setting fixed, one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Name of its experiment.
    pub experiment: String,
    /// What varies, readable, and 8 hex digits of the key.
    pub id: String,
    /// The number of its point in a search, counted from 1; none where there is no search.
    pub point: Option<usize>,
    /// The seed.
    pub seed: u64,
    /// All settings; weights of an experiment are resolved to those of a run.
    pub settings: Arc<Experiment>,
    /// What identifies the content that it begins with.
    pub inputs: Inputs,
    /// The run whose weights it starts from, as `<experiment>/<id>`.
    pub needs: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// The key of its last step.
    pub key: String,
}

impl Step {
    fn of(link: &Link, settings: &Experiment) -> Self {
        let stage = |position: usize| settings.stages[position].name.as_str();
        let of = match &link.step {
            steps::Step::Dataset(_)
            | steps::Step::Detections(_)
            | steps::Step::Faces(_)
            | steps::Step::Evaluate(_) => String::new(),
            steps::Step::Features(it) => format!("{} {}", stage(it.stage), it.split_name()),
            steps::Step::Stage(it) => stage(it.position).to_owned(),
        };
        Self { kind: link.step.kind(), of, key: link.key.clone() }
    }
}

impl Trial {
    /// Its folder below `runs/`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.id)
    }
}

/// What planning must ask of the disk.
pub trait Lookup {
    /// What identifies the decoded images: settings and the content of the files.
    ///
    /// # Errors
    /// If the files cannot be read.
    fn images(&self, data: &Data) -> Result<String>;

    /// What identifies the content of a weight file.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn file(&self, path: &Path) -> Result<String>;

    /// What is not written of a weight file for `backbone` and follows from its content: how its network wants pixels to be
    /// scaled, which state dict is taken where that could be another, and whose network it is.
    ///
    /// # Errors
    /// If its header does not say how pixels are scaled.
    fn weights(
        &self,
        file: &WeightFile,
        backbone: Backbone,
    ) -> Result<(WeightFile, Implementation)>;

    /// The finished run that `name` means, its folder below `runs/`.
    ///
    /// # Errors
    /// If there is no such run.
    fn run(&self, name: &str) -> Result<FinishedRun>;
}

/// A run whose weights others can start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRun {
    /// Its folder below `runs/`, as the disk has it.
    pub name: String,
    /// The key of its last step.
    pub key: String,
    /// Whose network its weights are of.
    pub implementation: Implementation,
}

/// Every trial of `experiments`, those that others start from first.
///
/// # Errors
/// [`Error::Usage`] if experiments start from each other in a circle, or from one with several trials a
/// seed, or if two trials would have one folder; whatever `lookup` fails with.
pub fn trials(experiments: &[Written], lookup: &dyn Lookup) -> Result<Vec<Trial>> {
    let mut planner = Planner {
        experiments: experiments.iter().map(|it| (it.name.as_str(), it)).collect(),
        lookup,
        images: HashMap::new(),
        files: HashMap::new(),
        planned: HashMap::new(),
        trials: Vec::new(),
    };
    for written in experiments {
        planner.plan(written, &mut Vec::new())?;
    }
    folders::check(&planner.trials)?;
    Ok(planner.trials)
}

struct Planner<'a> {
    experiments: HashMap<&'a str, &'a Written>,
    lookup: &'a dyn Lookup,
    /// What `lookup` said already: many trials have the same images and the same weights.
    images: HashMap<String, Arc<str>>,
    files: HashMap<PathBuf, Arc<str>>,
    planned: HashMap<&'a str, Planned>,
    trials: Vec<Trial>,
}

/// The trials of an experiment, by their place among all.
#[derive(Default)]
struct Planned {
    first_seed: Option<u64>,
    by_seed: HashMap<u64, Vec<usize>>,
}

/// What a trial begins with.
struct Begun {
    settings: Arc<Experiment>,
    inputs: Inputs,
    needs: Option<String>,
}

impl Begun {
    /// The trial of `point` that begins so.
    fn trial(self, written: &Written, point: &Point) -> Trial {
        let Self { settings, inputs, needs } = self;
        let chain = chain(&settings, point.seed, &inputs);
        let steps: Vec<Step> = chain.iter().map(|it| Step::of(it, &settings)).collect();
        let key = steps.last().expect("a trial ends with its evaluation").key.clone();
        let id = format!("{}-{}", readable(point), &key[..8]);
        let (experiment, seed, point) = (written.name.clone(), point.seed, point.number);
        Trial { experiment, id, point, seed, settings, inputs, needs, steps, key }
    }
}

impl<'a> Planner<'a> {
    fn plan(&mut self, written: &'a Written, waiting: &mut Vec<&'a str>) -> Result<()> {
        let name = written.name.as_str();
        if self.planned.contains_key(name) {
            return Ok(());
        }
        if waiting.contains(&name) {
            waiting.push(name);
            return Err(Error::Usage {
                message: format!("experiments start from each other: {}", waiting.join(" from ")),
                help: "give one of them `model.weights` that do not come from the others".into(),
            });
        }
        if waiting.len() > MOST_IN_A_ROW {
            return Err(Error::Usage {
                message: format!(
                    "more than {MOST_IN_A_ROW} experiments in a row start from each other; the first is `{}`",
                    waiting[0]
                ),
                help:
                    "sweep the first of them alone, and name its run: `weights = { run = \"…\" }`"
                        .into(),
            });
        }
        waiting.push(name);
        for point in &written.points {
            if let Weights::Experiment(name) = &point.settings.model.weights {
                self.plan(self.source(written, name)?, waiting)?;
            }
        }
        waiting.pop();
        let mut planned = Planned::default();
        let begun: Vec<Begun> =
            written.points.iter().map(|it| self.begin(written, it)).collect::<Result<_>>()?;
        // Keys take nearly all the time that planning takes, and none needs another trial's.
        let trials = written.points.par_iter().zip(begun);
        let trials: Vec<Trial> = trials.map(|(point, it)| it.trial(written, point)).collect();
        for trial in trials {
            planned.first_seed.get_or_insert(trial.seed);
            planned.by_seed.entry(trial.seed).or_default().push(self.trials.len());
            self.trials.push(trial);
        }
        self.planned.insert(name, planned);
        Ok(())
    }

    /// The experiment called `name`, which `written` starts from.
    fn source(&self, written: &Written, name: &str) -> Result<&'a Written> {
        self.experiments.get(name).copied().ok_or_else(|| Error::Usage {
            message: format!("`{}` starts from `{name}`, which was not read", written.name),
            help: "name both experiments, or the folder that holds them".into(),
        })
    }

    fn begin(&mut self, written: &Written, point: &Point) -> Result<Begun> {
        let model = &point.settings.model;
        let mut settings = Arc::clone(&point.settings);
        let mut resolve = |weights| Arc::make_mut(&mut settings).model.weights = weights;
        let mut whose = model.implementation();
        let (weights_key, needs) = match &model.weights {
            Weights::None => (format!("random {}", point.seed), None),
            Weights::Imagenet | Weights::ImagenetV2 | Weights::KerasImagenet => {
                let published = model.published().expect("the settings were checked");
                // The key of the same file under `weights.file` where its sha256 is published: what is planned needs no file.
                (format!("{} {:?}", published.remote.checksum.digits(), published.input), None)
            }
            Weights::File(written) => {
                let (file, of_file) = self.lookup.weights(written, model.backbone)?;
                whose = of_file;
                let input = file.input.unwrap_or_default();
                let part = file.state_dict.as_ref().map(|it| format!(" {it:?}"));
                let key =
                    format!("{} {input:?}{}", self.file(&file.path)?, part.unwrap_or_default());
                resolve(Weights::File(file));
                (key, None)
            }
            Weights::Run(run) => {
                let FinishedRun { name, key, implementation } = self.lookup.run(run)?;
                whose = implementation;
                resolve(Weights::Run(name.clone()));
                (key, Some(name))
            }
            Weights::Experiment(name) => {
                let source = self.source_trial(name, point)?;
                whose = source.settings.model.implementation();
                resolve(Weights::Run(source.name()));
                (source.key.clone(), Some(source.name()))
            }
        };
        if let Some(asked) = model.implementation.filter(|it| *it != whose) {
            return Err(of_another(&written.name, asked, whose));
        }
        if whose != settings.model.implementation() {
            Arc::make_mut(&mut settings).model.implementation = Some(whose);
        }
        let inputs = Inputs {
            images: self.images(&settings.data)?,
            votes: self.votes(&settings.data.labels)?,
            weights: weights_key,
        };
        Ok(Begun { settings, inputs, needs })
    }

    fn images(&mut self, data: &Data) -> Result<Arc<str>> {
        let asked = serde_json::to_string(data).expect("settings are plain JSON");
        once(&mut self.images, asked, || self.lookup.images(data))
    }

    /// What identifies the votes that labels come from, if they do.
    fn votes(&mut self, labels: &Labels) -> Result<Option<Arc<str>>> {
        match labels {
            Labels::Source => Ok(None),
            Labels::Ferplus(it) => self.file(&it.votes).map(Some),
        }
    }

    fn file(&mut self, path: &Path) -> Result<Arc<str>> {
        once(&mut self.files, path.to_owned(), || self.lookup.file(path))
    }

    /// The trial of `experiment` with the seed of `point`, or else its only one. Of a cross-validation it is that of the same
    /// fold: the others have trained on the images that this one is tested on.
    fn source_trial(&self, experiment: &str, point: &Point) -> Result<&Trial> {
        let seed = point.seed;
        let of_seed = |planned: &Planned| {
            let found = planned.by_seed.get(&seed);
            let all = found.or_else(|| planned.by_seed.get(&planned.first_seed?))?;
            let tests_the_same = |it: &&usize| {
                let (theirs, own) = (&self.trials[**it].settings.data, &point.settings.data);
                (&theirs.source, &theirs.split) == (&own.source, &own.split)
            };
            let same: Vec<usize> = all.iter().filter(tests_the_same).copied().collect();
            let dealt = point.settings.data.split.fold.is_some();
            Some(if dealt && same.len() == 1 { same } else { all.clone() })
        };
        match self.planned.get(experiment).and_then(of_seed).as_deref() {
            Some([only]) => Ok(&self.trials[*only]),
            _ => Err(Error::Usage {
                message: format!("`{experiment}` has several trials with seed {seed}"),
                help: "start from an experiment without a grid or search, or from one run with \
                       `weights = { run = \"…\" }`"
                    .into(),
            }),
        }
    }
}

/// Weights of one implementation for a network of another.
fn of_another(experiment: &str, asked: Implementation, whose: Implementation) -> Error {
    Error::Usage {
        message: format!(
            "`{experiment}` asks for the `{}` implementation of its backbone, and its weights are of `{}`",
            asked.name(),
            whose.name()
        ),
        help: "leave out `model.implementation`: it follows from the weights".into(),
    }
}

/// The answer for `asked`: the one in `known`, or else what `ask` says, which is then known.
fn once<T: Eq + Hash>(
    known: &mut HashMap<T, Arc<str>>,
    asked: T,
    ask: impl FnOnce() -> Result<String>,
) -> Result<Arc<str>> {
    if let Some(answer) = known.get(&asked) {
        return Ok(Arc::clone(answer));
    }
    let answer: Arc<str> = ask()?.into();
    known.insert(asked, Arc::clone(&answer));
    Ok(answer)
}

/// What varies, as a part of a folder's name.
fn readable(point: &Point) -> String {
    let keys: Vec<&str> = point.varies.iter().map(|(key, _)| key.as_str()).collect();
    let short = |key: &str| {
        let last = |parts: usize| key.rsplitn(parts + 1, '.').take(parts).collect::<Vec<_>>();
        let unique = |parts: &[&str]| {
            let tail = parts.iter().rev().copied().collect::<Vec<_>>().join(".");
            let alike = |it: &&&str| **it == tail || it.ends_with(&format!(".{tail}"));
            (keys.iter().filter(alike).count() == 1).then_some(tail)
        };
        (1..=8).find_map(|it| unique(&last(it))).unwrap_or_else(|| key.to_owned())
    };
    let varies = point.varies.iter().map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}-{value}", short(key))
    });
    let in_grid = keys.contains(&"data.split.fold");
    let fold = point.settings.data.split.fold.filter(|_| !in_grid);
    let fold = fold.map(|it| format!("fold-{it}"));
    let all: Vec<String> = varies.chain(fold).chain([format!("seed-{}", point.seed)]).collect();
    let plain = |it: char| if it.is_ascii_alphanumeric() || "-._".contains(it) { it } else { '-' };
    all.join("_").chars().map(plain).take(120).collect()
}
