//! The folders of runs, which lie below each other for nobody.

use std::collections::HashSet;
use std::path::Path;

use crate::error::{Error, Result};
use crate::plan::Trial;

/// Whether each trial has a folder for itself.
pub(super) fn check(trials: &[Trial]) -> Result<()> {
    let mut names = HashSet::new();
    if let Some(twice) = trials.iter().map(Trial::name).find(|it| !names.insert(it.clone())) {
        return Err(Error::Usage {
            message: format!("two trials have the same name and the same results: `{twice}`"),
            help: "take one of them out of the experiment's `[grid]` or `[search]`".into(),
        });
    }
    let within = |it: &&Trial| {
        Path::new(&it.experiment)
            .ancestors()
            .any(|it| it.to_str().is_some_and(|it| names.contains(it)))
    };
    match trials.iter().find(within) {
        None => Ok(()),
        Some(trial) => Err(Error::Usage {
            message: format!(
                "the runs of `{}` would lie in the folder of another run",
                trial.experiment
            ),
            help: "rename its file, or the folder that it lies in".into(),
        }),
    }
}
