//! The three splits of a data set.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A split of the images that a trial trains and is judged on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitName {
    /// The images that training sees.
    Train,
    /// The images that choose epochs.
    Valid,
    /// The images that judge the final weights.
    Test,
}

impl SplitName {
    /// Every split, in the order in which they are written and shown.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];

    /// What experiment files, events and reports call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// Where the split called `name` stands among others: behind these three, if it is none of them.
    pub fn position(name: &str) -> usize {
        Self::ALL.iter().position(|it| it.as_str() == name).unwrap_or(Self::ALL.len())
    }
}

impl fmt::Display for SplitName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
