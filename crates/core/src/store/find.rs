//! Which runs a person means by a name.
//!
//! An experiment goes by its name, `fruit`, or by its file, `experiments/fruit.toml`; a run by its folder below the runs,
//! `fruit/seed-0-29311b3e`, by as much of that as tells it from its siblings, `fruit/seed-0`, or by its path. Every
//! command takes all of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::store::Store;
use crate::store::folder::files;

/// The folder that experiments lie in.
const EXPERIMENTS: &str = "experiments";

/// The folders of the runs that `asked` means: one run, or all of an experiment, sorted.
///
/// # Errors
/// [`Error::Usage`] if there are none.
pub fn runs_of(store: &Store, asked: &Path) -> Result<Vec<PathBuf>> {
    let is_run = |it: &Path| it.join(files::TRIAL).is_file();
    for place in places(store, asked) {
        if is_run(&place) {
            return Ok(vec![place]);
        }
        let mut runs: Vec<PathBuf> = inside(&place).filter(|it| is_run(it)).collect();
        if runs.is_empty() {
            let begin = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let siblings = place.parent().map(inside).into_iter().flatten();
            runs = siblings.filter(|it| begins(it, &begin) && is_run(it)).collect();
        }
        if !runs.is_empty() {
            runs.sort();
            return Ok(runs);
        }
    }
    let help = "name an experiment or a run of it, like `fruit` or `fruit/seed-0`; `ferrite status` lists them";
    Err(Error::Usage {
        message: format!("there is no run `{}`", asked.display()),
        help: match nearest(store, asked).as_slice() {
            [] => help.into(),
            near => format!("did you mean {}? {help}", near.join(" or ")),
        },
    })
}

/// The folders of the runs that any of `asked` means, each once and sorted.
///
/// # Errors
/// As of [`runs_of`], for the first of which there are none.
pub fn runs_of_all(store: &Store, asked: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut folders = BTreeSet::new();
    for it in asked {
        folders.extend(runs_of(store, it)?);
    }
    Ok(folders)
}

/// The name of the run in `folder`, by whatever path that leads there.
pub fn name_of(store: &Store, folder: &Path) -> String {
    let whole = |it: &Path| std::fs::canonicalize(it).unwrap_or_else(|_| it.to_owned());
    let (folder, root) = (whole(folder), whole(&store.root));
    folder.strip_prefix(&root).unwrap_or(&folder).to_string_lossy().into_owned()
}

/// The names most like `asked`, of experiments and of runs, among those that have as many parts, each between backticks.
pub fn nearest(store: &Store, asked: &Path) -> Vec<String> {
    const MOST: usize = 3;
    const LEAST_ALIKE: f64 = 0.6;
    let (parts, asked) = (asked.components().count(), asked.to_string_lossy());
    let walk = walkdir::WalkDir::new(&store.root).min_depth(1).sort_by_file_name().into_iter();
    let hidden = |it: &walkdir::DirEntry| it.file_name().to_string_lossy().starts_with('.');
    let runs = walk.filter_entry(|it| !hidden(it)).filter_map(std::result::Result::ok);
    let runs = runs.filter(|it| it.file_name() == files::TRIAL);
    let mut names = BTreeSet::new();
    for run in runs {
        let below = run.path().parent().and_then(|it| it.strip_prefix(&store.root).ok());
        let Some(below) = below else { continue };
        let both = [Some(below), below.parent()].into_iter().flatten();
        let alike = both.filter(|it| it.components().count() == parts);
        names.extend(alike.map(|it| it.to_string_lossy().into_owned()));
    }
    let likeness = |name: &str| {
        // The digits of a run's key need not be given.
        let short = name.rsplit_once('-').filter(|it| it.1.len() == 8).map_or(name, |it| it.0);
        strsim::normalized_damerau_levenshtein(short, &asked)
    };
    let mut near: Vec<(f64, String)> = names.into_iter().map(|it| (likeness(&it), it)).collect();
    near.retain(|it| it.0 >= LEAST_ALIKE);
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter().take(MOST).map(|it| format!("`{}`", it.1)).collect()
}

/// The folder of the one run that `asked` means.
///
/// # Errors
/// [`Error::Usage`] if there is none, or more than one.
pub fn run_of(store: &Store, asked: &Path) -> Result<PathBuf> {
    let mut runs = runs_of(store, asked)?;
    if runs.len() == 1 {
        return Ok(runs.swap_remove(0));
    }
    let names: Vec<_> = runs.iter().take(3).map(|it| format!("`{}`", it.display())).collect();
    Err(Error::Usage {
        message: format!("`{}` has {} runs", asked.display(), runs.len()),
        help: format!(
            "name one of them: {}{}",
            names.join(", "),
            if runs.len() > 3 { ", …" } else { "" }
        ),
    })
}

/// Where the runs may lie that `asked` means.
fn places(store: &Store, asked: &Path) -> Vec<PathBuf> {
    let mut places = vec![asked.to_owned(), store.root.join(asked)];
    // A file in a run's folder stands for the run.
    let own = [files::TRIAL, "index.html"].map(std::ffi::OsStr::new);
    if asked.file_name().is_some_and(|it| own.contains(&it)) {
        places.extend(asked.parent().map(Path::to_owned));
    }
    // The file of an experiment stands for its runs.
    let parts: Vec<_> = asked.iter().collect();
    let below = parts.iter().rposition(|it| *it == EXPERIMENTS).map_or(0, |it| it + 1);
    let name: PathBuf = parts[below..].iter().collect();
    places.push(store.root.join(&name));
    if name.extension().is_some_and(|it| it == "toml") {
        places.push(store.root.join(name.with_extension("")));
    }
    places
}

/// What lies in `folder`; nothing if it is none.
fn inside(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(std::result::Result::ok).map(|it| it.path())
}

/// Whether the name of `path` begins with the words of `begin`: `seed-1` begins `seed-1-29311b3e`, not `seed-10-…`.
fn begins(path: &Path, begin: &str) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = name.strip_prefix(begin);
    !begin.is_empty() && rest.is_some_and(|it| it.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_run_leads_to_it() {
        let root = tempfile::tempdir().unwrap();
        let store = Store { root: root.path().join("runs") };
        let names = ["fruit/seed-1-0123abcd", "fruit/seed-10-4567abcd", "sub/one/seed-0-89abcdef"];
        for name in names {
            std::fs::create_dir_all(store.root.join(name)).unwrap();
            std::fs::write(store.root.join(name).join(files::TRIAL), "").unwrap();
        }
        let one = |asked: &str| {
            run_of(&store, Path::new(asked))
                .map(|it| it.strip_prefix(&store.root).unwrap().to_owned())
        };
        for (asked, name) in [
            ("fruit/seed-1", names[0]),
            (names[0], names[0]),
            ("fruit/seed-10/", names[1]),
            ("sub/one", names[2]),
            ("experiments/sub/one.toml", names[2]),
            ("sub/one.toml", names[2]),
            ("sub/one/seed-0", names[2]),
        ] {
            assert_eq!(one(asked).unwrap(), Path::new(name), "{asked}");
        }
        let file = store.root.join(names[1]).join(files::TRIAL);
        assert_eq!(run_of(&store, &file).unwrap(), store.root.join(names[1]));
        let several = one("fruit").unwrap_err().to_string();
        assert!(several.contains("has 2 runs"), "{several}");
        assert_eq!(runs_of(&store, Path::new("experiments/fruit.toml")).unwrap().len(), 2);
        for (wrong, near) in [
            ("friut", "`fruit`"),
            ("fruit/sed-1", "`fruit/seed-1-0123abcd` or"),
            ("sub/on", "`sub/one`"),
        ] {
            let help = runs_of(&store, Path::new(wrong)).unwrap_err();
            let Error::Usage { help, .. } = help else { panic!("{help:?}") };
            assert!(help.starts_with(&format!("did you mean {near}")), "{wrong}: {help}");
        }
        for nothing in ["", "fru", "seed-1", "other", "fruit/seed-1-0123"] {
            assert!(one(nothing).is_err(), "{nothing}");
        }
    }
}
