//! Decoded images with the labels that the settings ask for, and which of them have one.

use std::collections::BTreeMap;

use crate::data::Data;
use crate::data::ferplus::{Opinion, opinions};
use crate::data::labels::{Labels, Rule};
use crate::data::prepared::Prepared;
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
}

impl Labelled {
    /// The labels that `data` asks for.
    ///
    /// # Errors
    /// [`crate::error::Error::Data`] if the votes cannot be read or do not belong to the images.
    pub(super) fn of(data: &Data, prepared: &Prepared) -> Result<Self> {
        let Labels::Ferplus(it) = &data.labels else {
            let (classes, labels) = (prepared.manifest.classes.clone(), prepared.labels.clone());
            return Ok(Self { classes, labels, votes: None });
        };
        let opinions = opinions(&it.votes, it.rule, prepared)?;
        let labels = opinions.iter().map(|it| it.class).collect();
        let classes = data.labels.classes(&data.source);
        Ok(Self { classes, labels, votes: Some((opinions, it.rule)) })
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
