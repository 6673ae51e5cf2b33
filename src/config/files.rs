//! Files that an experiment names.

use std::path::Path;

use crate::config::Experiment;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::error::Problem;
use crate::model::Weights;

/// Those that are not there.
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
        Source::Synthetic(_) => {}
    }
    if let Labels::Ferplus(it) = &experiment.data.labels {
        need("data.labels.ferplus.votes", &it.votes, Path::is_file);
    }
    if let Weights::File(it) = &experiment.model.weights {
        need("model.weights.file.path", &it.path, Path::is_file);
    }
    problems
}
