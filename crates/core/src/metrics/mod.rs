//! How good a classifier is, and which difference between classifiers is real, from predictions alone.
//!
//! [`scores`] counts, [`curves`] goes over all thresholds, [`statistics`] judges. Reports, exports and searches use both.
//!
//! **Invariant:** pure; nothing here knows a file, a run or a page, and there is no random number.

pub mod curves;
pub mod scores;
pub mod statistics;

/// What a classifier said of one image; one row of `predictions.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Row or file of the image in its source.
    pub id: String,
    /// Index of the true class.
    pub truth: usize,
    /// Index of the most probable class.
    pub predicted: usize,
    /// Probability of each class.
    pub probabilities: Vec<f64>,
    /// The person or video that it shows, where images of one group are kept together; else empty.
    pub group: String,
}

impl Prediction {
    /// Whether it names the true class.
    pub fn is_right(&self) -> bool {
        self.truth == self.predicted
    }
}
