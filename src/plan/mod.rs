//! From experiments to trials, and from trials to the steps that carry them out, each under its key.
//!
//! A key is the sha256 of the settings that matter to a step and differ from their default, of the keys of
//! its inputs, and of the version of the step's code. So a new setting with a default changes no key, and
//! equal work has equal keys in whatever experiment it stands.
//!
//! **Invariant:** pure. What must be asked of the disk is asked through [`Lookup`].

pub mod cost;
pub mod keys;

use std::path::{Path, PathBuf};

use crate::config::Experiment;
use crate::config::read::{Point, Written};
use crate::data::Data;
use crate::data::labels::Labels;
use crate::error::{Error, Result};
use crate::model::{WeightFile, Weights};
use crate::plan::keys::{Inputs, steps};

/// The kinds of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Decoded images.
    Dataset,
    /// The output of a frozen prefix for one stage.
    Features,
    /// One trained stage.
    Stage,
    /// Predictions of the final weights.
    Evaluate,
}

impl Kind {
    /// Its folder below `runs/.store`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Features => "features",
            Self::Stage => "stage",
            Self::Evaluate => "evaluate",
        }
    }
}

/// One step of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// The stage it belongs to; empty for `dataset` and `evaluate`.
    pub stage: String,
    /// Names its result.
    pub key: String,
}

/// One trial: every setting fixed, one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Name of its experiment.
    pub experiment: String,
    /// What varies, readable, and 8 hex digits of the key.
    pub id: String,
    /// The seed.
    pub seed: u64,
    /// All settings; weights of an experiment are resolved to those of a run.
    pub settings: Experiment,
    /// The run whose weights it starts from, as `<experiment>/<id>`.
    pub needs: Option<String>,
    /// Its steps, in order.
    pub steps: Vec<Step>,
    /// The key of its last step.
    pub key: String,
}

impl Trial {
    /// Its folder below `runs/`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.id)
    }

    /// What its `trial.toml` says.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.settings).expect("settings are plain TOML")
    }

    /// The step of this kind and stage.
    pub fn step(&self, kind: Kind, stage: &str) -> Option<&Step> {
        self.steps.iter().find(|it| it.kind == kind && it.stage == stage)
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

    /// What is not written of a weight file and follows from its content: how its network wants pixels to be scaled,
    /// and which state dict is taken where that could be another.
    ///
    /// # Errors
    /// If its header does not say how pixels are scaled.
    fn weights(&self, file: &WeightFile) -> Result<WeightFile>;

    /// The key of a run by its folder below `runs/`.
    ///
    /// # Errors
    /// If there is no such run.
    fn run(&self, name: &str) -> Result<String>;
}

/// Every trial of `experiments`, those that others start from first.
///
/// # Errors
/// [`Error::Usage`] if experiments start from each other in a circle, or from one with several trials a
/// seed; whatever `lookup` fails with.
pub fn trials(experiments: &[Written], lookup: &dyn Lookup) -> Result<Vec<Trial>> {
    let mut planner = Planner {
        experiments,
        lookup,
        images: Vec::new(),
        files: Vec::new(),
        done: Vec::new(),
        trials: Vec::new(),
    };
    for written in experiments {
        planner.plan(written, &mut Vec::new())?;
    }
    Ok(planner.trials)
}

struct Planner<'a> {
    experiments: &'a [Written],
    lookup: &'a dyn Lookup,
    /// What `lookup` said already: many trials have the same images and the same weights.
    images: Vec<(Data, String)>,
    files: Vec<(PathBuf, String)>,
    done: Vec<&'a str>,
    trials: Vec<Trial>,
}

impl<'a> Planner<'a> {
    fn plan(&mut self, written: &'a Written, waiting: &mut Vec<&'a str>) -> Result<()> {
        if self.done.contains(&written.name.as_str()) {
            return Ok(());
        }
        if waiting.contains(&written.name.as_str()) {
            waiting.push(&written.name);
            return Err(Error::Usage {
                message: format!("experiments start from each other: {}", waiting.join(" from ")),
                help: "give one of them `model.weights` that do not come from the others".into(),
            });
        }
        waiting.push(&written.name);
        for point in &written.points {
            if let Weights::Experiment(name) = &point.settings.model.weights {
                self.plan(self.source(written, name)?, waiting)?;
            }
        }
        waiting.pop();
        for point in &written.points {
            let trial = self.trial(written, point)?;
            self.trials.push(trial);
        }
        self.done.push(&written.name);
        Ok(())
    }

    /// The experiment called `name` beside `written`.
    fn source(&self, written: &Written, name: &str) -> Result<&'a Written> {
        let full = beside(&written.name, name);
        self.experiments.iter().find(|it| it.name == full).ok_or_else(|| Error::Usage {
            message: format!("`{}` starts from `{full}`, which was not read", written.name),
            help: "name both experiments, or the folder that holds them".into(),
        })
    }

    fn trial(&mut self, written: &Written, point: &Point) -> Result<Trial> {
        let mut settings = point.settings.clone();
        let (weights_key, needs) = match &point.settings.model.weights {
            Weights::None => (format!("random {}", point.seed), None),
            Weights::Imagenet | Weights::ImagenetV2 => {
                let published = settings.model.published().expect("the settings were checked");
                // The key of the same file under `weights.file`: what is planned needs no file.
                (format!("{} {:?}", published.sha256, published.input), None)
            }
            Weights::File(written) => {
                let file = self.lookup.weights(written)?;
                let input = file.input.unwrap_or_default();
                let part = file.state_dict.as_ref().map(|it| format!(" {it:?}"));
                let key =
                    format!("{} {input:?}{}", self.file(&file.path)?, part.unwrap_or_default());
                settings.model.weights = Weights::File(file);
                (key, None)
            }
            Weights::Run(run) => (self.lookup.run(run)?, Some(run.clone())),
            Weights::Experiment(name) => {
                let source = self.source_trial(&beside(&written.name, name), point.seed)?;
                settings.model.weights = Weights::Run(source.name());
                (source.key.clone(), Some(source.name()))
            }
        };
        let inputs = Inputs {
            images: self.images(&settings.data)?,
            votes: self.votes(&settings.data.labels)?,
            weights: weights_key,
        };
        let steps = steps(&settings, inputs);
        let key = steps.last().expect("a trial ends with its evaluation").key.clone();
        let id = format!("{}-{}", readable(point), &key[..8]);
        let (experiment, seed) = (written.name.clone(), point.seed);
        Ok(Trial { experiment, id, seed, settings, needs, steps, key })
    }

    fn images(&mut self, data: &Data) -> Result<String> {
        once(&mut self.images, data, |it| self.lookup.images(it))
    }

    /// What identifies the votes that labels come from, if they do.
    fn votes(&mut self, labels: &Labels) -> Result<Option<String>> {
        match labels {
            Labels::Source => Ok(None),
            Labels::Ferplus(it) => self.file(&it.votes).map(Some),
        }
    }

    fn file(&mut self, path: &Path) -> Result<String> {
        once(&mut self.files, &path.to_owned(), |it| self.lookup.file(it))
    }

    /// The trial of `experiment` with this seed, or else its only one.
    fn source_trial(&self, experiment: &str, seed: u64) -> Result<&Trial> {
        let all: Vec<_> = self.trials.iter().filter(|it| it.experiment == experiment).collect();
        let first = all.first().map(|it| it.seed);
        let wanted = if all.iter().any(|it| it.seed == seed) { Some(seed) } else { first };
        let mut fitting = all.into_iter().filter(|it| Some(it.seed) == wanted);
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Error::Usage {
                message: format!("`{experiment}` has several trials with seed {seed}"),
                help: "start from an experiment without a grid, or from one run with \
                       `weights = { run = \"…\" }`"
                    .into(),
            }),
        }
    }
}

/// The answer for `asked`: the one in `known`, or else what `ask` says, which is then known.
fn once<T: PartialEq + Clone>(
    known: &mut Vec<(T, String)>,
    asked: &T,
    ask: impl FnOnce(&T) -> Result<String>,
) -> Result<String> {
    if let Some((_, answer)) = known.iter().find(|(it, _)| it == asked) {
        return Ok(answer.clone());
    }
    let answer = ask(asked)?;
    known.push((asked.clone(), answer.clone()));
    Ok(answer)
}

/// The experiment that `name` means in the experiment `from`: the one beside it.
pub fn beside(from: &str, name: &str) -> String {
    from.rsplit_once('/').map_or(name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
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
    let all: Vec<String> = varies.chain([format!("seed-{}", point.seed)]).collect();
    let plain = |it: char| if it.is_ascii_alphanumeric() || "-._".contains(it) { it } else { '-' };
    all.join("_").chars().map(plain).take(120).collect()
}
