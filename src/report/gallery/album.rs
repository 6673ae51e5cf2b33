//! The images that a run was judged by, opened where an earlier step of the sweep left them.
//!
//! What cannot be read is told in a sentence and keeps no page from being written. Runs on the same images share
//! what was opened.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ferrite_core::data::Data;
use ferrite_core::data::dataset::{Dataset, open};
use ferrite_core::data::faces::placed::How;
use ferrite_core::data::ferplus::{COLUMNS, Counts};
use ferrite_core::data::labels::Labels;
use ferrite_core::event::split::SplitName;
use ferrite_core::store::Store;
use ferrite_core::store::record::Record;
use rayon::prelude::*;

/// More bytes than this are not read only to tell how bright images are.
const MOST_READ: usize = 1 << 30;

/// The images of one split.
pub(in crate::report) struct Album {
    dataset: Dataset,
    /// The row of each image, by its id.
    rows: HashMap<String, u32>,
    /// Mean gray level of each image, by its row; empty where it would take too long.
    brightness: HashMap<u32, f32>,
    /// Rows of images that have an exact twin among the training images; none where that cannot be told.
    twins: Option<Vec<u32>>,
    /// What could not be read beside the images.
    pub(super) missing: Option<String>,
}

/// An album, or a sentence that says why there is none.
pub(in crate::report) type Opened = Result<Arc<Album>, String>;

/// Albums that were opened.
#[derive(Default)]
pub(in crate::report) struct Albums {
    open: Mutex<HashMap<Key, Arc<OnceLock<Opened>>>>,
}

/// What decides what is in an album.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    folder: PathBuf,
    /// The settings of the data, as TOML.
    settings: String,
    split: String,
}

impl Albums {
    /// The images by which `record` was judged.
    pub(in crate::report) fn of(&self, record: &Record) -> Opened {
        let settings = record.settings.get("data").map(ToString::to_string).unwrap_or_default();
        let split = record.facts.evaluation.as_ref().map(|it| it.split.clone()).unwrap_or_default();
        let Some(folder) = folder(record) else {
            return Err("The run does not say which images it was judged by.".into());
        };
        let key = Key { folder: folder.clone(), settings, split: split.clone() };
        let mut all = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(all.entry(key).or_default());
        drop(all);
        cell.get_or_init(|| Album::open(record, &folder, &split).map(Arc::new)).clone()
    }
}

/// The folder with the images of `record` as its network was given them.
fn folder(record: &Record) -> Option<PathBuf> {
    // A trial lies in its experiment's folder, which may lie in others.
    let depth = Path::new(&record.experiment).components().count() + 1;
    let root = record.folder.ancestors().nth(depth)?.to_owned();
    let (kind, key) = match &record.facts.faces {
        Some(it) => ("faces", &it.key),
        None => ("dataset", &record.facts.dataset.as_ref()?.key),
    };
    Some(Store { root }.step_folder(kind, key))
}

/// What tells whether the images of `record` are there: a page shows others when they come or go.
pub(in crate::report) fn stamp(record: &Record) -> Option<u64> {
    Some(fs::metadata(folder(record)?.join("images.bin")).ok()?.len())
}

impl Album {
    fn open(record: &Record, folder: &Path, split: &str) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err("The decoded images are no longer there: they lay in the folder `.store` beside the runs, which was \
                        cleaned up. They are decoded again only when a run is trained or tested anew."
                .into());
        }
        let data = record.settings.get("data").cloned();
        let data = data.ok_or("the run has no settings of its data")?;
        let data: Data = data.try_into().map_err(|it| cannot(&it))?;
        let (dataset, missing) = match open(&data, folder) {
            Ok(it) => (it, None),
            // Without the file of votes the images are there all the same.
            Err(error) if data.labels != Labels::Source => {
                let data = Data { labels: Labels::Source, ..data.clone() };
                let missing = format!(
                    "Votes, and which images have a twin in training, are not shown: {error}."
                );
                (open(&data, folder).map_err(|it| cannot(&it))?, Some(missing))
            }
            Err(error) => return Err(cannot(&error)),
        };
        // The images of a whole cross-validation are those of all folds.
        let whole = data.split.folds.is_some() && data.split.fold.is_none();
        Ok(Self::of(dataset, Some(split).filter(|_| !whole), missing))
    }

    /// The album of the images of `split`, or of all.
    fn of(dataset: Dataset, split: Option<&str>, missing: Option<String>) -> Self {
        let named = SplitName::ALL.into_iter().find(|it| Some(it.as_str()) == split);
        // Under other labels other images are left out, so that all may be judged.
        let judged: Vec<u32> = match named.filter(|_| missing.is_none()) {
            Some(it) => dataset.rows(it).to_vec(),
            None => (0..dataset.ids.len() as u32).collect(),
        };
        let bytes: usize = judged.iter().map(|it| dataset.layout.range(*it).len()).sum();
        let read = if bytes <= MOST_READ { judged.as_slice() } else { &[] };
        let level = |row: &u32| (*row, mean(dataset.image(*row)));
        let brightness = read.par_iter().with_min_len(256).map(level).collect();
        // What trains differs from fold to fold.
        let twins = (missing.is_none() && split.is_some()).then(|| {
            let leaks = dataset.leaks(&judged);
            judged.iter().zip(leaks).filter(|it| it.1).map(|it| *it.0).collect()
        });
        let rows = judged.iter().map(|it| (dataset.ids[*it as usize].clone(), *it)).collect();
        Self { dataset, rows, brightness, twins, missing }
    }

    /// The row of the image called `id`.
    pub(super) fn row(&self, id: &str) -> Option<u32> {
        self.rows.get(id).copied()
    }

    /// Pixels (HWC) and shape of the image at `row`.
    pub(super) fn image(&self, row: u32) -> (&[u8], [usize; 3]) {
        (self.dataset.image(row), self.dataset.layout.shape(row))
    }

    /// Mean of the pixels of the image at `row`, over its channels.
    pub(super) fn brightness(&self, row: u32) -> Option<f32> {
        self.brightness.get(&row).copied()
    }

    /// Whether the image at `row` has an exact twin among the training images.
    pub(super) fn has_twin(&self, row: u32) -> Option<bool> {
        Some(self.twins.as_ref()?.binary_search(&row).is_ok())
    }

    /// Whether a face was found in the image at `row`; none where none was looked for.
    pub(super) fn has_face(&self, row: u32) -> Option<bool> {
        Some(self.dataset.faces.as_ref()?.get(row as usize)?.how != How::Whole)
    }

    /// What the image at `row` has in common with others; empty if nothing is known.
    pub(super) fn group(&self, row: u32) -> &str {
        &self.dataset.groups[row as usize]
    }

    /// People's votes for the image at `row`.
    pub(super) fn votes(&self, row: u32) -> Option<Votes> {
        self.dataset.votes.as_ref()?.get(row as usize).copied().map(Votes)
    }
}

/// People's votes for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Votes(pub(super) Counts);

impl Votes {
    /// The share of the class that most named; none without votes.
    pub(super) fn agreement(self) -> Option<f64> {
        let all: u32 = self.0.iter().sum();
        (all > 0).then(|| f64::from(self.0.into_iter().max().unwrap_or(0)) / f64::from(all))
    }

    /// Those that got votes, the most first: `7 fear, 2 surprise`.
    pub(super) fn words(self) -> String {
        let mut all: Vec<_> = self.0.into_iter().zip(COLUMNS).filter(|it| it.0 > 0).collect();
        all.sort_by_key(|it| std::cmp::Reverse(it.0));
        let word = |(n, name): (u32, &str)| match name {
            "nf" => format!("{n} no face"),
            name => format!("{n} {name}"),
        };
        all.into_iter().map(word).collect::<Vec<_>>().join(", ")
    }
}

fn mean(pixels: &[u8]) -> f32 {
    let sum: u64 = pixels.iter().map(|it| u64::from(*it)).sum();
    (sum as f64 / pixels.len().max(1) as f64) as f32
}

fn cannot(error: &impl std::fmt::Display) -> String {
    format!("The images cannot be shown: {error}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_are_told_the_most_first_and_their_agreement_counts_all_of_them() {
        let votes = Votes([0, 0, 2, 0, 0, 0, 6, 0, 1, 1]);
        assert_eq!(votes.words(), "6 fear, 2 surprise, 1 unknown, 1 no face");
        assert_eq!(votes.agreement(), Some(0.6));
        assert_eq!(Votes([0; 10]).agreement(), None);
    }
}
