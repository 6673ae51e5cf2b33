//! What a worker is given: one trial with its steps, planned to the end. It decides nothing any more.

use serde::{Deserialize, Serialize};

use crate::config::Experiment;
use crate::error::{Error, Result};
use crate::plan::Trial;
use crate::plan::chain::Link;
use crate::plan::steps::dataset::Dataset;
use crate::plan::steps::detections::Detections;
use crate::plan::steps::faces::Faces;
use crate::plan::steps::features::Features;
use crate::plan::steps::stage::Stage;
use crate::plan::steps::{Key, Step};

/// Version of the format of jobs. The two programs of one build use the same.
const FORMAT: u32 = 2;

/// A trial as the engine carries it out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    format: u32,
    /// The folder of its run below the runs.
    pub name: String,
    /// The key of its last step.
    pub key: Key,
    /// The seed.
    pub seed: u64,
    /// All settings, for the run's own file; the weights that it starts from are resolved.
    pub settings: Experiment,
    /// The steps in order.
    pub chain: Vec<Link>,
    /// Where it stops before its end, at a rung of a search; none where it goes to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<Until>,
}

/// Where a trial stops at a rung of a search, unless it is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Until {
    /// The position of the stage that is cut.
    pub stage: usize,
    /// After how many of its epochs, or at its end if that comes before.
    pub epochs: usize,
}

/// The steps that look for faces and place them, each with its key.
#[derive(Debug, Clone, Copy)]
pub struct FaceSteps<'a> {
    /// Looks for them.
    pub detections: (&'a Key, &'a Detections),
    /// Places them.
    pub faces: (&'a Key, &'a Faces),
}

impl Job {
    /// The job of carrying out `trial`, to its end or to where it stops.
    pub fn new(trial: &Trial, until: Option<Until>) -> Self {
        Self {
            format: FORMAT,
            name: trial.name(),
            key: trial.key.clone(),
            seed: trial.seed,
            settings: Experiment::clone(&trial.settings),
            chain: trial.chain(),
            rung: until,
        }
    }

    /// The file that tells it to a worker.
    pub fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).expect("settings are plain JSON");
        text.push(b'\n');
        text
    }

    /// Reads what [`Job::to_json`] wrote; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is no job of this version.
    pub fn from_json(text: &[u8], path: &std::path::Path) -> Result<Self> {
        let job: Result<Self, String> = serde_json::from_slice(text).map_err(|it| it.to_string());
        let job = job.and_then(|it| match it.format {
            FORMAT => Ok(it),
            other => Err(format!("it has format {other}, and this program knows {FORMAT}")),
        });
        job.map_err(|message| Error::Damaged {
            path: path.to_owned(),
            message,
            help: "sweep again: jobs are written anew; if that does not help, the two programs are not of one build: \
                   `make build`"
                .into(),
        })
    }

    /// The key and the step of the images.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none.
    pub fn dataset(&self) -> Result<(&Key, &Dataset)> {
        let found = self.chain.iter().find_map(|it| match &it.step {
            Step::Dataset(step) => Some((&it.key, step)),
            _ => None,
        });
        found.ok_or_else(|| missing("images"))
    }

    /// The steps that look for faces and place them; none where pictures are used as they are.
    pub fn faces(&self) -> Option<FaceSteps<'_>> {
        let detections = self.chain.iter().find_map(|it| match &it.step {
            Step::Detections(step) => Some((&it.key, step)),
            _ => None,
        });
        let faces = self.chain.iter().find_map(|it| match &it.step {
            Step::Faces(step) => Some((&it.key, step)),
            _ => None,
        });
        let (detections, faces) = (detections?, faces?);
        Some(FaceSteps { detections, faces })
    }

    /// The step that computes the features under `key`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none: a plan names no features that it does not make.
    pub fn features(&self, key: &str) -> Result<&Features> {
        let found = self.chain.iter().find_map(|it| match &it.step {
            Step::Features(step) if it.key == key => Some(step),
            _ => None,
        });
        found.ok_or_else(|| missing(&format!("features {key}")))
    }

    /// The key and the step of the stage at `position`.
    ///
    /// # Errors
    /// [`Error::Internal`] if there is none.
    pub fn stage(&self, position: usize) -> Result<(&Key, &Stage)> {
        let found = self.chain.iter().find_map(|it| match &it.step {
            Step::Stage(step) if step.position == position => Some((&it.key, &**step)),
            _ => None,
        });
        found.ok_or_else(|| missing(&format!("stage {position}")))
    }
}

fn missing(what: &str) -> Error {
    let place = file!().to_owned();
    Error::Internal { message: format!("a job lacks its {what}"), place }
}
