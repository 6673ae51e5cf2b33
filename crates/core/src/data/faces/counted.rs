//! The faces of a data set, counted by split and class; and those who have none, left out.

use std::collections::BTreeMap;

use crate::data::Data;
use crate::data::dataset::Dataset;
use crate::data::faces::placed::{How, Placed};
use crate::error::Error;
use crate::event::faces::{ClassFaces, Histogram, SplitFaces};
use crate::event::split::SplitName;

/// Takes out of each part what has no face, and says which that were.
pub(in crate::data) fn drop_faceless(parts: &mut [Vec<u32>], placed: &[Placed]) -> Vec<Vec<u32>> {
    let has_face = |it: &u32| placed[*it as usize].how != How::Whole;
    parts
        .iter_mut()
        .map(|rows| {
            let (kept, dropped) = std::mem::take(rows).into_iter().partition(has_face);
            *rows = kept;
            dropped
        })
        .collect()
}

const HELP: &str = "say `data.faces.missing = \"keep\"`, or change `data.faces.detector`: small pictures must be enlarged, and \
                    faces that are small in theirs want larger sizes";

/// Why no image is left for the part with this `key`, if that is because no face was found in any.
pub(in crate::data) fn faceless_part(data: &Data, dataset: &Dataset, key: &str) -> Option<Error> {
    let part = SplitName::ALL.iter().position(|it| it.as_str() == key)?;
    let count = dataset.faceless.get(part).map_or(0, Vec::len);
    let message =
        format!("no image is left for `data.split.{key}`: no face was found in any of {count}");
    (count > 0).then(|| data.refused(message, HELP))
}

/// Why no training image is left of a class, if that is because no face was found in any.
pub(in crate::data) fn faceless_class(
    data: &Data,
    dataset: &Dataset,
    class: usize,
) -> Option<Error> {
    let is_of_class = |it: &&u32| usize::from(dataset.labels[**it as usize]) == class;
    let count = dataset.faceless.first()?.iter().filter(is_of_class).count();
    let message = format!(
        "no training image of the class `{}` is left: no face was found in any of {count}",
        dataset.classes[class]
    );
    (count > 0).then(|| data.refused(message, HELP))
}

impl Dataset {
    /// What became of the faces in each split's pictures; none where no faces are looked for.
    pub fn faces(&self) -> Option<BTreeMap<String, SplitFaces>> {
        let placed = self.faces.as_ref()?;
        let mut splits = BTreeMap::new();
        for (position, name) in SplitName::ALL.into_iter().enumerate() {
            let faceless = self.faceless.get(position).map(Vec::as_slice).unwrap_or_default();
            let rows = self.rows(name).iter().chain(faceless).copied();
            if rows.clone().next().is_some() {
                let faces = self.faces_of(placed, &rows.collect::<Vec<_>>());
                let faces = SplitFaces { dropped: faceless.len(), ..faces };
                splits.insert(name.as_str().to_owned(), faces);
            }
        }
        Some(splits)
    }

    fn faces_of(&self, placed: &[Placed], rows: &[u32]) -> SplitFaces {
        let mut classes = vec![ClassFaces::default(); self.classes.len()];
        for row in rows {
            let class = &mut classes[usize::from(self.labels[*row as usize])];
            class.images += 1;
            match placed[*row as usize].how {
                How::Aligned => class.aligned += 1,
                How::Cropped => class.cropped += 1,
                How::Whole => {}
            }
        }
        let all = || rows.iter().map(|it| &placed[*it as usize]);
        let difference = all().map(|it| f64::from(it.difference)).sum::<f64>();
        // Haar cascades count windows instead of giving scores between 0 and 1.
        let scores = all().filter_map(|it| it.score).map(f64::from);
        let most = scores.clone().fold(1.0, f64::max).ceil();
        let rolls = all().filter_map(|it| it.roll).map(f64::from);
        SplitFaces {
            classes,
            several: all().filter(|it| it.faces > 1).count(),
            dropped: 0,
            difference: difference / rows.len().max(1) as f64,
            unchanged: all().filter(|it| it.difference < 1.0).count(),
            scores: Histogram::of(scores, [0.0, most], 20),
            rolls: Histogram::of(rolls, [-45.0, 45.0], 18),
        }
    }
}
