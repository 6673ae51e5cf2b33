//! The files that an experiment names: where they lie, whether they are there, and say what they must.

use std::path::{Component, Path, PathBuf};

use crate::config::Experiment;
use crate::data::labels::Labels;
use crate::data::source::Source;
use crate::error::Problem;
use crate::model::Weights;
use crate::model::backbone::Backbone;
use crate::model::weights::file::TensorFile;
use crate::model::weights::input_of;

/// Resolves the paths of the experiment, and says which lead nowhere: `~` in front is the user's home folder.
pub(super) fn settle(experiment: &mut Experiment) -> Vec<Problem> {
    let mut problems = Vec::new();
    for Named { key, path, is_there } in files(experiment) {
        if let Err(message) = at_home(path) {
            problems.push(Problem::new(key, message));
        } else if !path.as_os_str().is_empty() && !is_there(path) {
            problems.push(Problem::new(key, format!("there is no `{}`", path.display())));
        }
    }
    if let Weights::File(it) = &experiment.model.weights
        && it.input.is_none()
        && says_no_input(&it.path, experiment.model.backbone)
    {
        let message = "must say how the file's network wants pixels to be scaled, \
                       `torchvision`, `plus-minus-one` or `caffe`: its header does not";
        problems.push(Problem::new("model.weights.file.input", message));
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
        Source::Manifest(it) => {
            name("data.source.manifest.table", &mut it.table, Path::exists);
            if let Some(images) = &mut it.images {
                name("data.source.manifest.images", images, Path::is_dir);
            }
        }
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

/// Replaces a `~` that `path` begins with by the user's home folder.
fn at_home(path: &mut PathBuf) -> Result<(), String> {
    let Some(Component::Normal(first)) = path.components().next() else { return Ok(()) };
    let first = first.to_string_lossy().into_owned();
    if first == "~" {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|it| it.is_absolute());
        let unknown = "means the home folder by `~`, but $HOME does not say where that is: write the path out";
        *path = home.ok_or(unknown)?.join(path.components().skip(1).collect::<PathBuf>());
    } else if first.starts_with('~') {
        return Err(format!(
            "begins with `{first}`, which is not read as someone's home folder: write the path out, or \
             `./{first}` if it is called so"
        ));
    }
    Ok(())
}

/// Whether a weight file is one, but without the scaling of pixels in its header. What is wrong with a
/// file that is none, its run says.
fn says_no_input(path: &Path, backbone: Backbone) -> bool {
    let says_none = |it: TensorFile| !it.is_keras() && matches!(input_of(&it, backbone), Ok(None));
    TensorFile::open(path).is_ok_and(says_none)
}
