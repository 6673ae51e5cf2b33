//! Which experiments a command is about, and what planning asks of the disk.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::config::names::on_disk;
use ferrite_core::config::read::{Written, read};
use ferrite_core::data::Data;
use ferrite_core::data::fingerprint::identify;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::weights::Taken;
use ferrite_core::fetch::digest;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{implementation_of, input_of};
use ferrite_core::model::{Input, WeightFile};
use ferrite_core::plan;
use ferrite_core::plan::{FinishedRun, Lookup, Trial};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::read::finished_key;
use ferrite_core::terminal::arguments::Place;

use crate::cli::pick::{SELECT, pick_trials};

/// Where experiments lie.
pub(super) const EXPERIMENTS: &str = "experiments";

#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Experiments: files, folders of files, or names of files below `experiments`
    #[arg(default_value = EXPERIMENTS)]
    pub(super) experiments: Vec<PathBuf>,
    /// Change a setting of every named experiment, e.g. `--set data.limit=2000`; what they start from stays
    /// as it is written
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    #[arg(long, value_name = "PATTERN", help = SELECT)]
    pub(super) select: Vec<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

/// The disk, as planning asks for it.
pub(super) struct Disk<'a> {
    pub(super) store: &'a Store,
}

impl Lookup for Disk<'_> {
    fn images(&self, data: &Data) -> Result<String> {
        let images = identify(data, &self.store.fingerprints())?;
        images.check(data)?;
        Ok(images.fingerprint)
    }

    fn file(&self, path: &Path) -> Result<String> {
        digest(path)
    }

    fn weights(
        &self,
        written: &WeightFile,
        backbone: Backbone,
    ) -> Result<(WeightFile, Implementation)> {
        let asked = written.state_dict.as_deref();
        // What is wrong with a file that cannot be read is told once all trials are known.
        let Ok(file) = TensorFile::open_part(&written.path, asked) else {
            let input = written.input.or(Some(Input::default()));
            return Ok((WeightFile { input, ..written.clone() }, Implementation::default()));
        };
        let input = match written.input {
            Some(input) => input,
            None => input_of(&file, backbone)?.unwrap_or_default(),
        };
        // An average is not what everybody would take, so it is written down with the settings.
        let Taken { state_dict, others, averaged, .. } = &file.taken;
        let average = state_dict.clone().filter(|_| *averaged && !others.is_empty());
        let state_dict = written.state_dict.clone().or(average);
        let implementation = implementation_of(&file)?;
        let path = written.path.clone();
        Ok((WeightFile { path, input: Some(input), state_dict }, implementation))
    }

    fn run(&self, name: &str) -> Result<FinishedRun> {
        let folder = on_disk(&self.store.root.join(name));
        let below = folder.strip_prefix(&self.store.root).unwrap_or(&folder);
        let found = below.to_string_lossy().into_owned();
        let key = finished_key(self.store, &found).ok_or_else(|| Error::Usage {
            message: format!("there is no finished run `{name}`, whose weights are asked for"),
            help: "name a folder below the runs; `ferrite status` lists them".into(),
        })?;
        let model = TensorFile::open(&folder.join(files::MODEL));
        // What is wrong with a file that cannot be read is told once all trials are known.
        let implementation =
            model.map_or(Ok(Implementation::default()), |it| implementation_of(&it))?;
        Ok(FinishedRun { name: found, key, implementation })
    }
}

/// The experiment files that `paths` mean: files as they are, folders as the `.toml` files in them. A folder below the `runs`
/// holds none: what lies there are settings of runs.
fn experiment_files(paths: &[PathBuf], runs: &Path) -> Result<Vec<PathBuf>> {
    let whole = |it: &Path| std::fs::canonicalize(it).ok();
    let mut files = Vec::new();
    for path in paths {
        if let (Some(path), Some(runs)) = (whole(path), whole(runs))
            && let Ok(below) = path.strip_prefix(&runs)
        {
            let name = below.iter().next().unwrap_or_default().to_string_lossy().into_owned();
            return Err(Error::Usage {
                message: format!(
                    "`{}` lies in the folder of runs, where no experiments are",
                    path.display()
                ),
                help: format!(
                    "name the experiment, e.g. `{name}`, or its file; `ferrite run` takes the trial.toml of a run"
                ),
            });
        }
        let path = &experiment_at(path)?;
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = files_in(path).map_err(Error::file("cannot read", path))?;
        if found.is_empty() {
            return Err(Error::Usage {
                message: format!("there is no experiment in `{}`", path.display()),
                help: "put a `.toml` file there; README.md shows one".into(),
            });
        }
        files.append(&mut found);
    }
    Ok(files)
}

/// The file or folder that `asked` means: a path, or the name of one below `experiments`, as runs are called after it.
pub(super) fn experiment_at(asked: &Path) -> Result<PathBuf> {
    // Without a slash behind it.
    let asked: &Path = &asked.components().collect::<PathBuf>();
    let below = Path::new(EXPERIMENTS).join(asked);
    let file = |it: &Path| {
        let mut name = it.as_os_str().to_owned();
        name.push(".toml");
        PathBuf::from(name)
    };
    // A folder of pictures may be called as the experiment that is trained on it.
    let holds_some = |it: &Path| !it.is_dir() || files_in(it).is_ok_and(|it| !it.is_empty());
    let places = [asked.to_owned(), file(asked), file(&below), below];
    let there = || places.iter().filter(|it| on_disk(it).exists());
    let found = there().find(|it| holds_some(it)).or_else(|| there().next());
    found.cloned().ok_or_else(|| Error::Usage {
        message: format!("there is no experiment `{}`", asked.display()),
        help: "name `.toml` files, folders of them, or files below `experiments` by their names; the default is all in \
               `experiments`"
            .into(),
    })
}

/// The `.toml` files in `folder`, sorted, without what programs leave beside the files of others: Emacs's locks,
/// and what Macs keep for disks that are not theirs.
fn files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let left_behind = name.starts_with(b".#") || name.starts_with(b"._");
        if name.ends_with(b".toml") && !left_behind {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The experiments of `selection`.
///
/// # Errors
/// What is wrong with the files and settings.
pub(super) fn experiments(selection: &Selection) -> Result<Vec<Written>> {
    read(&experiment_files(&selection.experiments, &selection.place.runs)?, &selection.set)
}

/// The trials of `written`, the experiments of `selection`, as far as `--select` means them.
///
/// # Errors
/// What keeps them from being planned; [`Error::Usage`] if a word means none of them.
pub(super) fn trials(
    selection: &Selection,
    written: &[Written],
    store: &Store,
) -> Result<Vec<Trial>> {
    let trials = plan::trials(written, &Disk { store })?;
    if selection.select.is_empty() {
        return Ok(trials);
    }
    let tags = |experiment: &str| {
        let its = written.iter().find(|it| it.name == experiment);
        its.map_or_else(Vec::new, |it| it.experiment.tags.clone())
    };
    pick_trials(trials, &tags, &selection.select)
}
