//! Folds of images, with and without groups that are kept together.

use std::path::Path;

use ferrite_core::data::Data;
use ferrite_core::data::decode::decode;
use ferrite_core::data::groups::deal;
use ferrite_core::data::inspect::{Unnamed, inspect};

use crate::exchange::{Output, Result};

/// The fold of each group, for each case: images of each class in each group, and how many folds there are.
pub(crate) fn of_groups(cases: &[(Vec<Vec<usize>>, usize)]) -> Output {
    let mut output = Output::default();
    for (at, (groups, folds)) in cases.iter().enumerate() {
        let parts = deal(groups, &vec![1.0 / *folds as f64; *folds], *folds);
        let parts: Vec<f64> = parts.into_iter().map(|it| it as f64).collect();
        output.numbers(&format!("folds {at}"), &parts);
    }
    output
}

/// The images of each class in each fold of drawn faces, fold after fold, and the label of each face.
pub(crate) fn of_faces(folder: &Path, data: &Data) -> Result<Output> {
    fs_err::create_dir(folder)?;
    decode(data, folder, &|_, _| {})?;
    let dealt = inspect(data, folder, Unnamed::Drawn)?;
    let count = |rows: &[u32], class: usize| {
        rows.iter().filter(|it| usize::from(dealt.labels[**it as usize]) == class).count() as f64
    };
    let classes = 0..dealt.classes.len();
    let counts =
        dealt.splits.iter().flat_map(|(_, rows)| classes.clone().map(|it| count(rows, it)));
    let mut output = Output::default();
    output.numbers("counts", &counts.collect::<Vec<_>>());
    let labels: Vec<f64> = dealt.labels.iter().map(|it| f64::from(*it)).collect();
    output.numbers("labels", &labels);
    Ok(output)
}
