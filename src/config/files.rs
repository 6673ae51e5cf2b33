//! The files that an experiment names: whether they are there, and say what they must.

use std::path::Path;

use crate::config::Experiment;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::error::Problem;
use crate::model::Weights;
use crate::model::weights::file::TensorFile;
use crate::model::weights::input_of;

/// Files that the experiment names and that are not there.
pub(super) fn missing_files(experiment: &Experiment) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut need = |key: &str, path: &Path, there: fn(&Path) -> bool| {
        if !path.as_os_str().is_empty() && !there(path) {
            let message = format!("there is no `{}`", path.display());
            problems.push(Problem::new(key, message));
        }
    };
    match &experiment.data.source {
        Source::Fer2013 { csv } => need("data.source.fer2013.csv", csv, Path::is_file),
        Source::Folder { path, .. } => need("data.source.folder.path", path, Path::is_dir),
        Source::Manifest(it) => {
            need("data.source.manifest.table", &it.table, Path::exists);
            if let Some(images) = &it.images {
                need("data.source.manifest.images", images, Path::is_dir);
            }
        }
        Source::Synthetic(_) => {}
    }
    if let Labels::Ferplus(it) = &experiment.data.labels {
        need("data.labels.ferplus.votes", &it.votes, Path::is_file);
    }
    if let Weights::File(it) = &experiment.model.weights {
        need("model.weights.file.path", &it.path, Path::is_file);
        if it.input.is_none() && says_no_input(&it.path) {
            let message = "must say how the file's network wants pixels to be scaled, \
                           `torchvision`, `plus-minus-one` or `caffe`: its header does not";
            problems.push(Problem::new("model.weights.file.input", message));
        }
    }
    problems
}

/// Whether a weight file is one, but without the scaling of pixels in its header. What is wrong with a
/// file that is none, its run says.
fn says_no_input(path: &Path) -> bool {
    TensorFile::open(path).is_ok_and(|it| matches!(input_of(&it), Ok(None)))
}
