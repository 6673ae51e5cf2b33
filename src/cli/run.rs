//! `ferrite run`: plans one trial, and becomes the engine that carries it out.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::config::read::{Written, read_trial};
use ferrite_core::error::{Error, Result};
use ferrite_core::plan;
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::read::last;
use ferrite_core::store::record::State;
use ferrite_core::terminal::arguments::Place;

use crate::cli::engine::become_worker;
use crate::cli::select::Disk;
use crate::sweep::launch::write_job;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The `trial.toml` of a run
    pub(super) trial: PathBuf,
    /// CPU threads [default: all cores]
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    #[command(flatten)]
    pub(super) place: Place,
}

pub(super) fn run_command(arguments: &RunArguments) -> Result<()> {
    let store = Store::open(&arguments.place.runs)?;
    let path = below_runs(&arguments.trial, &store)?;
    let written = read_trial(&path, &store.root)?;
    let trial = only_trial(&written, &store)?;
    check_settings(&path, &trial, &store)?;
    become_worker(&write_job(&store, &trial, None)?, arguments)
}

/// The file of the trial as it lies below the folder of runs, by whatever path the user names it: it is the run's own
/// there. Elsewhere it is a new run's.
fn below_runs(path: &Path, store: &Store) -> Result<PathBuf> {
    let whole = |it: &Path| std::fs::canonicalize(it).map_err(Error::file("cannot read", it));
    let (file, root) = (whole(path)?, whole(&store.root)?);
    Ok(file.strip_prefix(&root).map_or_else(|_| path.to_owned(), |below| store.root.join(below)))
}

/// Refuses settings that are not those which the finished run in their folder was made from, unless the folder is
/// called after them: then it was the run that had others.
fn check_settings(path: &Path, trial: &Trial, store: &Store) -> Result<()> {
    let name = trial.name();
    let last = last(store, &name).filter(|it| it.state == State::Finished);
    let Some(last) = last.filter(|_| !name.ends_with(&trial.key[..8])) else { return Ok(()) };
    let of_settings = |it: &Error| matches!(it, Error::Damaged { path: it, .. } if it == path);
    last.damages(store, &name)?.into_iter().find(of_settings).map_or(Ok(()), Err)
}

/// The trial of a `trial.toml`: of one below the runs under the name that its folder has, of another file under the name
/// that a sweep would give it.
fn only_trial(written: &Written, store: &Store) -> Result<Trial> {
    let is_run = written.path.starts_with(&store.root);
    let folder = written.path.parent().and_then(Path::file_name).filter(|_| is_run);
    let trials = plan::trials(std::slice::from_ref(written), &Disk { store })?;
    let [trial] = &trials[..] else {
        return Err(Error::Usage {
            message: format!("`{}` describes {} trials", written.path.display(), trials.len()),
            help: "use `ferrite sweep` for experiments; `run` takes the trial.toml of one run"
                .into(),
        });
    };
    let id = folder.map_or_else(|| trial.id.clone(), |it| it.to_string_lossy().into_owned());
    Ok(Trial { id, ..trial.clone() })
}
