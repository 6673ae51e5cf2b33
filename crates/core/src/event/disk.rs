//! What happens to folders on disk: what a file must hold, what was found there, who waits for whom, what was damaged.

use serde::{Deserialize, Serialize};

/// What a file held when it was written, so that damage is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its size in bytes.
    pub bytes: u64,
    /// The CRC-32 of its bytes, as in zip and PNG files.
    pub crc32: u32,
}

/// A process waits for a folder that another process holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The folder's lock file.
    pub path: String,
    /// The process that holds it, if it says so.
    pub process: Option<u32>,
}

/// A file or folder was not what it had been, and was renamed so that it is made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAside {
    /// What was damaged.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
    /// Where it lies now; empty if there was nothing left to rename.
    pub aside: String,
}

/// The result of a step lies under its key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReady {
    /// The kind of the step.
    pub step: String,
    /// Its key.
    pub key: String,
    /// Whether it was there already.
    pub reused: bool,
    /// Time it took to look for it, and to make it if it was not there.
    pub seconds: f64,
}

/// The output of a frozen prefix for one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Features {
    /// Name of the stage that reads them.
    pub stage: String,
    /// Key of the features step.
    pub key: String,
    /// Split: `train`, `valid` or `test`.
    pub split: String,
    /// How many images.
    pub images: usize,
    /// Shape of one image's features.
    pub shape: Vec<usize>,
    /// Whether an earlier stage or run had computed them.
    pub reused: bool,
    /// Time it took.
    pub seconds: f64,
}
