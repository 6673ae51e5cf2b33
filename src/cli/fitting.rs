//! Whether the weight files that trials begin with fit, told before anything trains.
//!
//! Only the lists of tensors are read, and each file once: planning stays fast.

use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::event::weights::Taken;
use ferrite_core::model::Weights;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::weights::account::Account;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{implementation_of, tensors_of};
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;

/// The weight files that were looked into.
pub(super) struct Fitting<'a> {
    store: &'a Store,
    trials: &'a [Trial],
    looks: Vec<Look>,
}

/// What there is to say about a weight file.
struct Look {
    path: PathBuf,
    state_dict: Option<String>,
    backbone: Backbone,
    /// What is taken of it, in lines; or why it cannot be used.
    found: Result<Vec<String>>,
}

impl<'a> Fitting<'a> {
    /// Nothing was looked into yet; `trials` are all that are planned.
    pub(super) fn new(store: &'a Store, trials: &'a [Trial]) -> Self {
        Self { store, trials, looks: Vec::new() }
    }

    /// Looks into the weight file that `trial` begins with, if it begins with one that is there, and says what is
    /// taken of it; what is wrong with it, [`Fitting::end`] says.
    pub(super) fn lines(&mut self, trial: &Trial) -> &[String] {
        let (path, state_dict) = match &trial.settings.model.weights {
            Weights::File(it) => (it.path.clone(), it.state_dict.clone()),
            Weights::Run(run) => (self.store.root.join(run).join(files::MODEL), None),
            Weights::None
            | Weights::Imagenet
            | Weights::ImagenetV2
            | Weights::KerasImagenet
            | Weights::Experiment(_) => return &[],
        };
        let backbone = trial.settings.model.backbone;
        let same =
            |it: &Look| it.path == path && it.state_dict == state_dict && it.backbone == backbone;
        let known = self.looks.iter().position(same);
        let index = known.unwrap_or_else(|| {
            let found = match self.source(trial) {
                Some(source) => source_fits(source, trial, &path),
                None => look(&path, state_dict.as_deref(), backbone),
            };
            self.looks.push(Look { path, state_dict, backbone, found });
            self.looks.len() - 1
        });
        self.looks[index].found.as_deref().unwrap_or_default()
    }

    /// The planned trial whose weights `trial` begins with.
    fn source(&self, trial: &Trial) -> Option<&'a Trial> {
        let needs = trial.needs.as_ref()?;
        self.trials.iter().find(|it| it.name() == *needs)
    }

    /// Fails if a file that was looked into does not fit.
    ///
    /// # Errors
    /// [`Error::Weights`] about the first; its help names the others.
    pub(super) fn end(self) -> Result<()> {
        let wrong = self.looks.into_iter().filter_map(|it| Some((it.path, it.found.err()?)));
        let mut wrong: Vec<(PathBuf, Error)> = wrong.collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let (_, first) = wrong.remove(0);
        Err(match first {
            Error::Weights { path, message, help } if !wrong.is_empty() => {
                let others: Vec<_> =
                    wrong.iter().map(|(path, _)| format!("`{}`", path.display())).collect();
                let help = format!("{help}; these do not fit either: {}", others.join(", "));
                Error::Weights { path, message, help }
            }
            first => first,
        })
    }
}

/// Whether what `source` will end with fits `trial`.
fn source_fits(source: &Trial, trial: &Trial, path: &Path) -> Result<Vec<String>> {
    let [theirs, ours] = [source, trial].map(|it| it.settings.model.backbone);
    if theirs == ours {
        return Ok(Vec::new());
    }
    Err(Error::Weights {
        path: path.to_owned(),
        message: format!(
            "it will hold a `{}`, and `{}` needs a `{}`",
            theirs.name(),
            trial.name(),
            ours.name()
        ),
        help: "give both experiments the same `model.backbone`".into(),
    })
}

fn look(path: &Path, state_dict: Option<&str>, backbone: Backbone) -> Result<Vec<String>> {
    let file = TensorFile::open_part(path, state_dict)?.for_backbone(backbone)?;
    let account = Account::new(&file, &tensors_of(backbone, implementation_of(&file)?));
    account.complete(&file)?;
    let (loaded, left) = (account.loaded.len(), account.unexpected.len());
    let whose = if file.is_keras() { ", in Keras's network" } else { "" };
    let first = format!("{}: {loaded} tensors, {left} left out{whose}", path.display());
    Ok(std::iter::once(first).chain(told(&account.taken(&file))).collect())
}

/// What of a weight file is taken and what is not, a line each; nothing of a file that is one plain list.
pub(super) fn told(taken: &Taken) -> Vec<String> {
    let Taken { state_dict, others, averaged, ambiguous, prefix, ignored, unreadable } = taken;
    let mut lines = Vec::new();
    if let Some(name) = state_dict {
        let average = if *averaged { ", the averaged weights" } else { "" };
        lines.push(format!("state dict: {name}{average}"));
    }
    if !others.is_empty() {
        let how =
            if *ambiguous { ", any of which may be the one: choose with `state_dict`" } else { "" };
        lines.push(format!("not taken: {}{how}", others.join(", ")));
    }
    if !prefix.is_empty() {
        lines.push(format!("names without: {prefix}"));
    }
    if !ignored.is_empty() {
        let all: Vec<_> = ignored.iter().map(|(name, count)| format!("{count} {name}")).collect();
        lines.push(format!("ignored, not carried out: {}", all.join(", ")));
    }
    lines.extend(unreadable.values().map(|why| format!("not readable: {why}")));
    lines
}
