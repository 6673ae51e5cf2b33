//! A run as its folder tells it: settings, folded events, predictions.
//!
//! **Invariant:** state is folded here and stored nowhere. A later fact about the same stage and epoch
//! replaces an earlier one, since a run that goes on may say the last epoch again.

use std::path::PathBuf;

use crate::event::disk::{Features, Waiting};
use crate::event::energy::Energy;
use crate::event::faces::Faces;
use crate::event::failure::Failure;
use crate::event::memory::Divided;
use crate::event::parts::{Continued, Rung};
use crate::event::weights::Weights;
use crate::event::{
    Augmentation, Dataset, Epoch, Evaluation, Event, FINAL, Kind, Network, Noise, StageEnd,
    StageStart, Start,
};
use crate::metrics::Prediction;
use crate::store::description::Description;
use crate::warning::{Fact, Warning, Watch};

/// Everything known of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Name of the experiment: its path below `experiments/`, without `.toml`.
    pub experiment: String,
    /// Trial id: what varies, readable, and 8 hex digits of the key.
    pub trial: String,
    /// What is said of its experiment.
    pub description: Description,
    /// The run's folder.
    pub folder: PathBuf,
    /// `trial.toml`: the resolved settings.
    pub settings: toml::Table,
    /// How far it came.
    pub state: State,
    /// When its first process began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Seconds of training and everything around it, over all its processes.
    pub seconds: f64,
    /// What its events say.
    pub facts: Facts,
    /// `predictions.csv`; empty until the run is finished.
    pub predictions: Vec<Prediction>,
    /// The runs of its folds, where it tells a whole cross-validation under one seed; empty for a run, as it lies on disk.
    pub folds: Vec<Self>,
}

impl Record {
    /// What it is called: `<experiment>/<trial>`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.experiment, self.trial)
    }

    /// One sentence: what its experiment shows; empty if nobody says.
    pub fn about(&self) -> &str {
        // Older versions left it in the settings alone.
        let written = || self.settings.get("about")?.as_str();
        match self.description.about.as_str() {
            "" => written().unwrap_or_default(),
            about => about,
        }
    }
}

/// How far a run came.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// A process is at it now.
    Running,
    /// Done.
    Finished,
    /// It cannot go on.
    Failed(Failure),
    /// It stopped at a rung of a search, and goes on if it is promoted.
    Stopped(Rung),
    /// No process is at it and it is not done: killed or stopped. The next sweep goes on with it.
    Interrupted,
}

/// The events of a run, folded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// The latest start.
    pub start: Option<Start>,
    /// The images.
    pub dataset: Option<Dataset>,
    /// The faces in the images; none where none were looked for.
    pub faces: Option<Faces>,
    /// The network.
    pub network: Option<Network>,
    /// The first weights.
    pub weights: Option<Weights>,
    /// Noise layers.
    pub noise: Vec<Noise>,
    /// The stages, in order.
    pub stages: Vec<Stage>,
    /// Batches that did not fit into memory: what was done last about those of each stage.
    pub divided: Vec<Divided>,
    /// The test of the final weights.
    pub evaluation: Option<Evaluation>,
    /// Tests of the weights that were kept under other metrics.
    pub others: Vec<Evaluation>,
    /// What the run waits for since its last event.
    pub waiting: Option<Waiting>,
    /// Whether the last process was asked to stop and did, instead of having been killed.
    pub stopped: bool,
    /// What it spent its time on, in order.
    pub work: Vec<Work>,
}

/// One step of a run and when it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The kind of the step, such as `features` or `stage`.
    pub step: String,
    /// The training stage, for a step that is one.
    pub stage: Option<String>,
    /// The key of its result; empty where it is not finished.
    pub key: String,
    /// When it began, in milliseconds since 1970.
    pub from_ms: u64,
    /// When it was done, or the run said something last.
    pub until_ms: u64,
    /// Whether its result was there already.
    pub reused: bool,
    /// How many epochs of a stage were there already, where it went on from a shorter one.
    pub continued: usize,
}

impl Work {
    /// How long it took.
    pub fn seconds(&self) -> f64 {
        self.until_ms.saturating_sub(self.from_ms) as f64 / 1000.0
    }

    /// The steps that `events` tell of. A stage that a process left behind is told too: its time was spent.
    pub(super) fn of(events: &[Event]) -> Vec<Self> {
        let mut all = Vec::new();
        let mut open: Option<(&str, u64)> = None;
        let (mut last, mut continued) = (0, 0);
        let unfinished = |(stage, from_ms): (&str, u64), until_ms| Self {
            step: "stage".into(),
            stage: Some(stage.to_owned()),
            key: String::new(),
            from_ms,
            until_ms,
            reused: false,
            continued: 0,
        };
        for event in events {
            match &event.kind {
                Kind::RunStarted(_) => all.extend(open.take().map(|it| unfinished(it, last))),
                Kind::StageStarted(it) => {
                    (open, continued) = (Some((it.stage.as_str(), event.at_ms)), 0);
                }
                Kind::StageContinued(it) => continued = it.epochs,
                Kind::StepReady(it) => {
                    let stage = open.filter(|_| it.step == "stage").map(|it| it.0.to_owned());
                    if it.step == "stage" {
                        open = None;
                    }
                    let took = (it.seconds * 1000.0).round() as u64;
                    all.push(Self {
                        step: it.step.clone(),
                        stage,
                        key: it.key.clone(),
                        from_ms: event.at_ms.saturating_sub(took),
                        until_ms: event.at_ms,
                        reused: it.reused,
                        continued: if it.step == "stage" { continued } else { 0 },
                    });
                }
                _ => {}
            }
            last = event.at_ms;
        }
        all.extend(open.map(|it| unfinished(it, last)));
        all
    }
}

/// One stage of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// What it set out to do.
    pub start: StageStart,
    /// Outputs of the frozen prefix that it read.
    pub features: Vec<Features>,
    /// What augmentation did.
    pub augmentation: Option<Augmentation>,
    /// The epochs that a shorter stage had trained, if it went on from one.
    pub continued: Option<Continued>,
    /// Its finished epochs, in order.
    pub epochs: Vec<Epoch>,
    /// How it ended, if it did.
    pub end: Option<StageEnd>,
}

impl State {
    /// The state in a word, which every command, page and program is told.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed(_) => "failed",
            Self::Stopped(_) => "stopped",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Facts {
    /// What should make the reader of a run doubt, as far as `watch` was not told of it before, in the order in which it
    /// happened.
    pub fn warnings(&self, watch: &mut Watch) -> Vec<Warning> {
        let before = self.start.iter().map(Fact::Start);
        let before = before.chain(self.dataset.iter().map(Fact::Dataset));
        let before = before.chain(self.weights.iter().map(Fact::Weights));
        let before = before.chain(self.faces.iter().map(Fact::Faces));
        let before = before.chain(self.noise.iter().map(Fact::Noise));
        let before = before.chain(self.divided.iter().map(Fact::Divided));
        let stages = self.stages.iter().flat_map(|it| {
            let augmentation = it.augmentation.iter().map(Fact::Augmentation);
            let epochs = it.epochs.iter().map(Fact::Epoch);
            augmentation.chain(epochs).chain(it.end.iter().map(Fact::StageEnd))
        });
        let all = before.chain(stages).chain(self.evaluation.iter().map(Fact::Evaluation));
        all.flat_map(|it| watch.see(it)).collect()
    }

    /// Counts what images were taken for, where the log of an older version does not say it.
    pub(super) fn count_predictions(&mut self, predictions: &[Prediction]) {
        let classes = self.dataset.as_ref().map_or(0, |it| it.classes.len());
        let Some(evaluation) = self.evaluation.as_mut() else { return };
        if evaluation.predicted.is_empty() && !predictions.is_empty() {
            evaluation.predicted = vec![0; classes];
            for it in predictions {
                if let Some(count) = evaluation.predicted.get_mut(it.predicted) {
                    *count += 1;
                }
            }
        }
    }

    /// Takes note of one more event.
    pub fn fold(&mut self, kind: Kind) {
        self.waiting = None;
        self.stopped = matches!(kind, Kind::RunInterrupted);
        match kind {
            Kind::Waiting(it) => self.waiting = Some(it),
            Kind::RunStarted(start) => self.start = Some(start),
            Kind::DatasetReady(dataset) => self.dataset = Some(dataset),
            Kind::FacesReady(faces) => self.faces = Some(faces),
            Kind::NetworkReady(network) => self.network = Some(network),
            Kind::WeightsLoaded(weights) => self.weights = Some(weights),
            Kind::NoiseMeasured(noise) => {
                self.noise.retain(|it| it.layer != noise.layer);
                self.noise.push(noise);
            }
            Kind::StageStarted(start) => self.fold_stage_start(start),
            Kind::StageContinued(it) => {
                if let Some(stage) = self.stage(&it.stage) {
                    stage.continued = Some(it);
                }
            }
            Kind::FeaturesReady(features) => {
                if let Some(stage) = self.stage(&features.stage) {
                    stage.features.retain(|it| it.split != features.split);
                    stage.features.push(features);
                }
            }
            Kind::AugmentationMeasured(augmentation) => {
                if let Some(stage) = self.stage(&augmentation.stage) {
                    stage.augmentation = Some(augmentation);
                }
            }
            Kind::BatchDivided(it) => {
                self.divided.retain(|other| other.stage != it.stage);
                self.divided.push(it);
            }
            Kind::EpochEnded(epoch) => {
                if let Some(stage) = self.stage(&epoch.stage) {
                    stage.epochs.retain(|it| it.epoch < epoch.epoch);
                    stage.epochs.push(epoch);
                }
            }
            Kind::StageEnded(end) => {
                if let Some(stage) = self.stage(&end.stage) {
                    stage.end = Some(end);
                }
            }
            Kind::Evaluated(it) if it.weights == FINAL => self.evaluation = Some(it),
            Kind::Evaluated(evaluation) => {
                self.others.retain(|it| it.weights != evaluation.weights);
                self.others.push(evaluation);
            }
            Kind::StepEnded(_)
            | Kind::WorkAdvanced(_)
            | Kind::StepReady(_)
            | Kind::SetAside(_)
            | Kind::RunEnded { .. }
            | Kind::RungEnded(_)
            | Kind::RunFailed(_)
            | Kind::RunInterrupted => {}
        }
    }

    /// What the epochs of all stages drew, those included that another run trained; none where one of them does not tell.
    pub fn energy(&self) -> Option<Energy> {
        Energy::of_all(self.stages.iter().flat_map(|it| &it.epochs).map(|it| it.energy))
    }

    /// The last epoch whose weights were kept; while a stage runs, its last epoch.
    pub fn kept_epoch(&self) -> Option<&Epoch> {
        let stage = self.stages.iter().rfind(|it| !it.epochs.is_empty())?;
        stage.kept().or_else(|| stage.epochs.last())
    }

    /// The test of the final weights on images that nothing chose by; none where the validation images, by which epochs and
    /// experiments are chosen, are the only ones that judge.
    pub fn tested(&self) -> Option<&Evaluation> {
        self.evaluation.as_ref().filter(|it| it.split != "valid")
    }

    fn fold_stage_start(&mut self, start: StageStart) {
        match self.stage(&start.stage) {
            Some(stage) => stage.start = start,
            None => self.stages.push(Stage {
                start,
                features: Vec::new(),
                augmentation: None,
                continued: None,
                epochs: Vec::new(),
                end: None,
            }),
        }
    }

    fn stage(&mut self, name: &str) -> Option<&mut Stage> {
        self.stages.iter_mut().find(|it| it.start.stage == name)
    }
}

impl Stage {
    /// The epoch whose weights went on; none while the stage runs.
    pub fn kept(&self) -> Option<&Epoch> {
        let kept = self.end.as_ref()?.kept_epoch;
        self.epochs.iter().find(|it| it.epoch == kept)
    }
}
