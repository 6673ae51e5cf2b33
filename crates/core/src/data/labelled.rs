//! Decoded images with the labels that the settings ask for, and which of them have one.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;

use crate::data::Data;
use crate::data::ferplus::{Counts, Opinion, opinions};
use crate::data::labels::{Labels, Rule};
use crate::data::prepared::Prepared;
use crate::data::rows::Drawn;
use crate::data::source::Source;
use crate::error::Result;

/// What images are wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To learn from.
    Training,
    /// To choose or judge by.
    Judging,
}

impl Wanted {
    /// What the part at `position` of train, valid, test is for.
    pub(super) fn of_part(position: usize) -> Self {
        if position == 0 { Self::Training } else { Self::Judging }
    }
}

/// Labels of all decoded images.
pub(super) struct Labelled {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Label of each image; means nothing where an image has none.
    pub labels: Vec<u8>,
    votes: Option<(Vec<Opinion>, Rule)>,
    /// The number of each class in draws.
    numbers: Vec<u8>,
    /// The rank of each row's identity in draws, where it is not the row.
    ranks: Option<Vec<u32>>,
}

impl Labelled {
    /// The labels that `data` asks for.
    ///
    /// # Errors
    /// [`crate::error::Error::Data`] if the votes cannot be read or do not belong to the images.
    pub(super) fn of(data: &Data, prepared: &Prepared) -> Result<Self> {
        let (numbers, ranks) = (numbers(data), ranks(data, prepared));
        let Labels::Ferplus(it) = &data.labels else {
            let (classes, labels) = (prepared.manifest.classes.clone(), prepared.labels.clone());
            return Ok(Self { classes, labels, votes: None, numbers, ranks });
        };
        let opinions = opinions(&it.votes, it.rule, prepared)?;
        let labels = opinions.iter().map(|it| it.class).collect();
        let classes = data.labels.classes(&data.source);
        Ok(Self { classes, labels, votes: Some((opinions, it.rule)), numbers, ranks })
    }

    /// What draws of images with these labels go by.
    pub(super) fn drawn(&self, seed: u64) -> Drawn<'_> {
        let ranks = self.ranks.as_deref();
        Drawn { labels: &self.labels, classes: &self.numbers, ranks, seed }
    }

    /// Those of `rows` that have a label for what they are wanted for; the others are counted in
    /// `unlabelled` by the reason.
    pub(super) fn fit(
        &self,
        mut rows: Vec<u32>,
        wanted: Wanted,
        unlabelled: &mut BTreeMap<String, usize>,
    ) -> Vec<u32> {
        if let Some((opinions, _)) = &self.votes {
            rows.retain(|row| {
                let it = &opinions[*row as usize];
                let unfit = if wanted == Wanted::Training { it.unfit } else { it.unjudged };
                if let Some(why) = unfit {
                    *unlabelled.entry(why.reason().to_owned()).or_default() += 1;
                }
                unfit.is_none()
            });
        }
        rows
    }

    /// The people's votes for each image, where people voted.
    pub(super) fn counts(&self) -> Option<Vec<Counts>> {
        let (opinions, _) = self.votes.as_ref()?;
        Some(opinions.iter().map(|it| it.votes).collect())
    }

    /// Labels as distributions, `[images, classes]` row by row, if they are any: the votes' shares for
    /// the images of `train`, and one class for those that are judged by.
    pub(super) fn probabilities(&self, train: &[u32]) -> Option<Vec<f32>> {
        let (opinions, Rule::Probabilistic) = self.votes.as_ref()? else { return None };
        let mut all: Vec<f32> = Vec::with_capacity(opinions.len() * self.classes.len());
        for (row, it) in opinions.iter().enumerate() {
            if train.binary_search(&(row as u32)).is_ok() {
                all.extend(it.shares);
            } else {
                let class = |class: usize| f32::from(class == usize::from(it.class));
                all.extend((0..self.classes.len()).map(class));
            }
        }
        Some(all)
    }
}

/// The number of each class in draws: its label where the source fixes the order of the classes, else its place in the
/// alphabet, so that the order in which they are listed makes no difference.
fn numbers(data: &Data) -> Vec<u8> {
    let classes = data.classes();
    match data.source {
        Source::Fer2013 { .. } | Source::Synthetic(_) => (0..=255).take(classes.len()).collect(),
        Source::Folder { .. } | Source::Manifest(_) => {
            let names: Vec<String> = classes.iter().map(|it| it.nfc().collect()).collect();
            let before = |name: &String| names.iter().filter(|it| *it < name).count();
            names.iter().map(|it| before(it) as u8).collect()
        }
    }
}

/// The rank of each row's identity in draws. Rows of files are sorted by their paths, and drawn faces by their numbers,
/// already. A row of a table is its picture: its number would change when a table is sorted in another way.
fn ranks(data: &Data, prepared: &Prepared) -> Option<Vec<u32>> {
    let draws = data.limit.is_some() || data.split.draws();
    if !draws || !data.source.names_no_images() {
        return None;
    }
    let contents = prepared.contents();
    let mut rows: Vec<u32> = (0..contents.len() as u32).collect();
    rows.sort_by_key(|it| contents[*it as usize]);
    let mut ranks = vec![0; rows.len()];
    for (rank, row) in rows.into_iter().enumerate() {
        ranks[row as usize] = rank as u32;
    }
    Some(ranks)
}
