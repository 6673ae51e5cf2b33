//! What an experiment is called, and which file its name means.
//!
//! A name is a folder below the runs. **Invariant:** it stays inside, and takes the place of nothing else there.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use crate::error::is_unprintable;

/// Names that something else has in the folder of runs or in that of a run, in lower case.
pub const TAKEN: [&str; 11] = [
    "index.html",
    "readme.md",
    "plots",
    "report",
    "model.md",
    "experiment.toml",
    "trial.toml",
    "events.jsonl",
    "environment.json",
    "predictions.csv",
    "model.safetensors",
];

/// The folder that experiments lie in, unless they lie somewhere else.
const EXPERIMENTS: &str = "experiments";

/// An experiment's file and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Located {
    /// The file.
    pub path: PathBuf,
    /// The path below `experiments/` without `.toml`, or else the file's name without it.
    pub name: String,
    /// The folder that the name counts from.
    root: PathBuf,
}

/// What tells one file from another, whatever path and link leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    number: u64,
}

/// What the file at `path` is, for comparing it with others.
///
/// # Errors
/// What the operating system says where there is none.
pub(super) fn identity(path: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    let file = path.metadata()?;
    Ok(Identity { device: file.dev(), number: file.ino() })
}

/// The experiment whose file is at `path`.
///
/// # Errors
/// What the operating system says about a path with `..` in it that leads nowhere.
pub(super) fn locate(path: &Path) -> std::io::Result<Located> {
    let leads_up = path.components().any(|it| it == Component::ParentDir);
    let folder = path.parent().unwrap_or(Path::new(""));
    // Only the disk knows where `..` leads to: behind a link it is somewhere else than the path says.
    let folder = if leads_up { folder.canonicalize()? } else { folder.to_owned() };
    let file = folder.join(path.file_name().unwrap_or_default());
    let folders = folder.iter().collect::<Vec<_>>();
    let known = folders.iter().rposition(|it| *it == EXPERIMENTS);
    let root: PathBuf = folders[..known.map_or(folders.len(), |it| it + 1)].iter().collect();
    Ok(Located { path: path.to_owned(), name: name_below(&root, &file), root })
}

/// What the experiment in `file` is called if names count from `root`.
fn name_below(root: &Path, file: &Path) -> String {
    let below = file.strip_prefix(root).unwrap_or(file).to_string_lossy();
    below.strip_suffix(".toml").unwrap_or(&below).to_owned()
}

impl Located {
    /// The experiment that `reference` means in this one: a name beside it.
    ///
    /// # Errors
    /// What to say about `reference`.
    pub(super) fn beside(&self, reference: &str) -> Result<Self, String> {
        let parts: Vec<&str> =
            reference.split('/').filter(|it| !it.is_empty() && *it != ".").collect();
        let Some((last, way)) = parts.split_last().filter(|(last, _)| **last != "..") else {
            return Err("names no experiment".into());
        };
        let leads_out = || {
            let root = self.root.display();
            format!(
                "leads out of `{root}`: name an experiment in there, by its path from this one's folder"
            )
        };
        if reference.starts_with('/') {
            return Err(leads_out());
        }
        let here = self.name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut folder = self.root.join(here).join(way.join("/"));
        let file = format!("{last}.toml");
        if way.contains(&"..") {
            let missing = |_| format!("there is no experiment `{}`", folder.join(&file).display());
            let found = inside(&self.root, &folder).map_err(missing)?;
            folder = self.root.join(found.ok_or_else(leads_out)?);
        }
        let path = on_disk(&folder.join(file));
        if !path.exists() {
            return Err(format!("there is no experiment `{}`", path.display()));
        }
        Ok(Self { name: name_below(&self.root, &path), path, root: self.root.clone() })
    }
}

/// The path of `folder` below `root` if it lies there, wherever `..` and links lead to.
fn inside(root: &Path, folder: &Path) -> std::io::Result<Option<PathBuf>> {
    let full = |it: &Path| Path::new(".").join(it).canonicalize();
    Ok(full(folder)?.strip_prefix(full(root)?).ok().map(Path::to_owned))
}

/// `path`, or where it leads nowhere, where it leads if names are compared in one Unicode normal form: Macs write
/// another one than keyboards do.
pub fn on_disk(path: &Path) -> PathBuf {
    let composed = |it: &OsStr| it.to_str().map(|it| it.nfc().collect::<String>());
    let mut found = PathBuf::new();
    for part in path {
        let next = found.join(part);
        if next.exists() {
            found = next;
            continue;
        }
        let folder = if found.as_os_str().is_empty() { Path::new(".") } else { &found };
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        let same = entries.map(|it| it.file_name()).find(|it| composed(it) == composed(part));
        let Some(same) = same.filter(|it| it.to_str().is_some()) else { return path.to_owned() };
        found.push(same);
    }
    found
}

/// Why an experiment cannot have this name; none if it can.
pub fn refusal(name: &str) -> Option<String> {
    name.split('/').find_map(|part| {
        let lower = part.to_lowercase();
        if part.trim().is_empty() {
            Some("has no name in front of `.toml`".to_owned())
        } else if part.starts_with('.') {
            Some(format!(
                "`{part}` begins with a dot, so its runs would be hidden or lie elsewhere"
            ))
        } else if part.contains(is_unprintable) {
            Some("has control characters in its name".to_owned())
        } else if part.contains(char::REPLACEMENT_CHARACTER) {
            Some("has a name that is no UTF-8".to_owned())
        } else {
            let taken = TAKEN.contains(&lower.as_str());
            taken.then(|| {
                format!("`{part}` is what a file of Ferrite's is called in the folder of runs")
            })
        }
    })
}

/// What two names have in common that a disk may take for one, as those of Macs do.
pub(super) fn folded(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// What is wrong with `name` as that of a run below `runs/`; none if nothing is.
pub(super) fn refused_run(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('/').collect();
    let plain: Vec<&str> =
        parts.iter().copied().filter(|it| !it.is_empty() && *it != ".").collect();
    let example = "`pretrain/seed-0-1a2b3c4d`";
    if name.starts_with('/') || parts.contains(&"..") {
        Some(format!(
            "leads out of the folder of runs: name a run by its path there, like {example}"
        ))
    } else if plain.len() < parts.len() && !plain.is_empty() {
        Some(format!("must be written `{}`, as `ferrite status` does", plain.join("/")))
    } else {
        let hidden = parts.iter().any(|it| it.starts_with('.'));
        hidden.then(|| format!("must name a run below the folder of runs, like {example}"))
    }
}
