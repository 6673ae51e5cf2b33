//! The files that an experiment names: where they lie, whether they are there, and say what they must.

use std::path::{Component, Path, PathBuf};

use crate::config::Experiment;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::error::Problem;
use crate::model::Weights;
use crate::model::weights::file::TensorFile;
use crate::model::weights::input_of;

/// Replaces the `~` that paths of the experiment begin with by the user's home folder.
pub(super) fn at_home(experiment: &mut Experiment) -> Vec<Problem> {
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|it| it.is_absolute());
    let mut problems = Vec::new();
    for Named { key, path, .. } in files(experiment) {
        let Some(Component::Normal(first)) = path.components().next() else { continue };
        let first = first.to_string_lossy();
        if first == "~" {
            let rest = path.components().skip(1).collect::<PathBuf>();
            match &home {
                Some(home) => *path = home.join(rest),
                None => problems.push(Problem::new(
                    key,
                    "means the home folder by `~`, but $HOME does not say where that is: write the path out",
                )),
            }
        } else if first.starts_with('~') {
            let message = format!(
                "begins with `{first}`, which is not read as someone's home folder: write the path out, or \
                 `./{first}` if it is called so"
            );
            problems.push(Problem::new(key, message));
        }
    }
    problems
}

/// A setting that is a file or folder.
struct Named<'a> {
    key: &'static str,
    path: &'a mut PathBuf,
    is_there: fn(&Path) -> bool,
}

/// Every setting that is a file or folder.
fn files(experiment: &mut Experiment) -> Vec<Named<'_>> {
    let mut files = Vec::new();
    let mut name = |key, path, is_there| files.push(Named { key, path, is_there });
    match &mut experiment.data.source {
        Source::Fer2013 { csv } => name("data.source.fer2013.csv", csv, Path::is_file as _),
        Source::Folder { path, .. } => name("data.source.folder.path", path, Path::is_dir),
        Source::Synthetic(_) => {}
    }
    if let Labels::Ferplus(it) = &mut experiment.data.labels {
        name("data.labels.ferplus.votes", &mut it.votes, Path::is_file);
    }
    if let Weights::File(it) = &mut experiment.model.weights {
        name("model.weights.file.path", &mut it.path, Path::is_file);
    }
    files
}

/// Files that the experiment names and that are not there.
pub(super) fn missing_files(experiment: &mut Experiment) -> Vec<Problem> {
    let named = files(experiment).into_iter();
    let missing = named.filter(|it| !it.path.as_os_str().is_empty() && !(it.is_there)(it.path));
    let mut problems: Vec<Problem> = missing
        .map(|it| Problem::new(it.key, format!("there is no `{}`", it.path.display())))
        .collect();
    if let Weights::File(it) = &experiment.model.weights {
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
