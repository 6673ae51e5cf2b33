//! Which runs and trials `--select` means, and whether a report may be written into a folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ferrite_core::error::{Error, Result};
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::find::{nearest, runs_of};
use ferrite_core::store::read::Runs;
use ferrite_core::store::record::Record;
use glob::Pattern;
use walkdir::WalkDir;

use crate::report::files::is_page;

/// What `--select` takes, in the help of every command that has it.
pub(super) const SELECT: &str = "Only these: names of experiments or runs, patterns like `'fer2013/*'` and `'*/seed-0'`, or tags";

/// Keeps those of `trials` that one of `asked` means, by the names of their runs or the `tags` of their experiments, and those
/// that they start from.
///
/// # Errors
/// [`Error::Usage`] if one of them means no trial.
pub(super) fn pick_trials(
    trials: Vec<Trial>,
    tags: &dyn Fn(&str) -> Vec<String>,
    asked: &[String],
) -> Result<Vec<Trial>> {
    let mut chosen = BTreeSet::new();
    for it in asked {
        let meant = Named::of(it)?;
        let found = trials.iter().filter(|trial| {
            meant.has(&names(&trial.experiment, &trial.id)) || meant.has(&tags(&trial.experiment))
        });
        let found: Vec<String> = found.map(Trial::name).collect();
        if found.is_empty() {
            return Err(Error::Usage {
                message: format!("`--select {it}` means no trial of these experiments"),
                help: "name experiments, trials like `fruit/seed-0`, patterns like `'*/seed-0'`, or tags; `ferrite plan` lists \
                       the trials"
                    .into(),
            });
        }
        chosen.extend(found);
    }
    // Points of a search are held against each other, so it is taken whole.
    let searches: BTreeSet<&str> = trials
        .iter()
        .filter(|it| it.point.is_some() && chosen.contains(&it.name()))
        .map(|it| it.experiment.as_str())
        .collect();
    let whole = trials.iter().filter(|it| searches.contains(it.experiment.as_str()));
    chosen.extend(whole.map(Trial::name));
    // Those that others start from stand before them.
    for trial in trials.iter().rev() {
        if chosen.contains(&trial.name()) {
            chosen.extend(trial.needs.clone());
        }
    }
    Ok(trials.into_iter().filter(|it| chosen.contains(&it.name())).collect())
}

/// Keeps those of `runs` that one of `asked` means: a name of a run or experiment as every command takes it, a pattern of
/// such names, or a tag. Damaged folders are kept where a pattern means them.
///
/// # Errors
/// [`Error::Usage`] if one of them means no run.
pub(super) fn pick(runs: &mut Runs, store: &Store, asked: &[String]) -> Result<()> {
    let mut chosen = BTreeSet::new();
    let mut damaged = BTreeSet::new();
    for it in asked {
        let meant = Meant::of(store, it)?;
        let named = Named::of(it)?;
        let is_meant = |record: &&Record| meant.has(record) || named.has(&record.description.tags);
        let found: Vec<_> = runs.records.iter().filter(is_meant).collect();
        let broken = runs.damaged.iter().enumerate();
        let broken = broken.filter(|(_, error)| meant.has_damaged(store, error)).map(|it| it.0);
        let broken: Vec<usize> = broken.collect();
        if found.is_empty() && broken.is_empty() {
            return Err(unknown(store, it));
        }
        chosen.extend(found.into_iter().map(Record::name));
        damaged.extend(broken);
    }
    runs.records.retain(|it| chosen.contains(&it.name()));
    let mut at = 0..;
    runs.damaged.retain(|_| at.next().is_some_and(|it| damaged.contains(&it)));
    Ok(())
}

/// A word that names something, or a pattern of such words.
enum Named {
    Word(String),
    Pattern(Pattern),
}

impl Named {
    fn of(asked: &str) -> Result<Self> {
        if asked.contains(['*', '?', '[']) {
            return pattern(asked).map(Self::Pattern);
        }
        let below = asked.strip_prefix("experiments/").unwrap_or(asked);
        let name = below.strip_suffix(".toml").unwrap_or(below).trim_end_matches('/');
        Ok(Self::Word(name.to_owned()))
    }

    fn has(&self, names: &[String]) -> bool {
        names.iter().any(|name| match self {
            Self::Word(it) => it == name,
            Self::Pattern(it) => it.matches(name),
        })
    }
}

fn pattern(asked: &str) -> Result<Pattern> {
    Pattern::new(asked).map_err(|it| Error::Usage {
        message: format!("`{asked}` is no pattern: {}", it.msg),
        help: "`*` stands for any characters, `?` for one, `[ab]` for one of these".into(),
    })
}

/// What a name or a pattern means.
enum Meant {
    Pattern(Pattern),
    /// Folders, as the system finds them.
    Folders(BTreeSet<PathBuf>),
}

impl Meant {
    fn of(store: &Store, asked: &str) -> Result<Self> {
        if asked.contains(['*', '?', '[']) {
            return pattern(asked).map(Self::Pattern);
        }
        // What is no run that can be read may still be the name of a damaged one, or of the experiment of one.
        let asked = Path::new(asked);
        let named = [store.root.join(asked), asked.to_owned()];
        let found = runs_of(store, asked).unwrap_or_default();
        Ok(Self::Folders(found.iter().chain(&named).map(|it| whole(it)).collect()))
    }

    fn has(&self, record: &Record) -> bool {
        match self {
            Self::Pattern(it) => {
                names(&record.experiment, &record.trial).iter().any(|name| it.matches(name))
            }
            Self::Folders(all) => all.contains(&whole(&record.folder)),
        }
    }

    /// Whether it means the folder of the file that `error` is about.
    fn has_damaged(&self, store: &Store, error: &Error) -> bool {
        let (Error::Damaged { path, .. } | Error::File { path, .. }) = error else { return false };
        let Some(folder) = path.parent() else { return false };
        match self {
            Self::Folders(all) => folder.ancestors().take(2).any(|it| all.contains(&whole(it))),
            Self::Pattern(it) => {
                let below = folder.strip_prefix(&store.root).unwrap_or(folder);
                let experiment = below.parent().unwrap_or(below).to_string_lossy();
                let trial = below.file_name().unwrap_or_default().to_string_lossy();
                names(&experiment, &trial).iter().any(|name| it.matches(name))
            }
        }
    }
}

/// The names of a run that a pattern may mean: whole, without the digits of its key, and its experiment's.
fn names(experiment: &str, trial: &str) -> [String; 3] {
    let short = trial.rsplit_once('-').map_or(trial, |it| it.0);
    [format!("{experiment}/{trial}"), format!("{experiment}/{short}"), experiment.to_owned()]
}

fn whole(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn unknown(store: &Store, asked: &str) -> Error {
    let help = match nearest(store, Path::new(asked)).as_slice() {
        [] => "name experiments or runs, like `fruit` or `fruit/seed-0`, or patterns, like `'fruit/*'`; `ferrite status` lists \
               them"
            .to_owned(),
        near => format!("did you mean {}? `ferrite status` lists all", near.join(" or ")),
    };
    Error::Usage { message: format!("`{asked}` names no run"), help }
}

/// A folder that a report is to be written into.
pub(super) struct FolderOf<'a> {
    pub(super) out: &'a Path,
    pub(super) runs: &'a Path,
    /// Folders of the runs that it is about, seen from the folder of runs.
    pub(super) places: &'a [&'a Path],
}

impl<'a> FolderOf<'a> {
    /// The folder, if nothing else lies there: it is not there yet, or empty but for hidden files, or has a report of the
    /// same runs or some of them.
    ///
    /// # Errors
    /// [`Error::Usage`] if it has something else, or lies among the runs.
    pub(super) fn checked(&self) -> Result<&'a Path> {
        let refused =
            |message: String, help: &str| Err(Error::Usage { message, help: help.into() });
        let said = self.out.display();
        let there = self.out.ancestors().find(|it| it.exists()).unwrap_or(Path::new("."));
        if whole(there).starts_with(whole(self.runs)) {
            return refused(
                format!("the folder `{said}` lies in the folder of runs"),
                "name one outside; without `--out` and `--select` the report of all runs is written there",
            );
        }
        if !self.out.exists() {
            return Ok(self.out);
        }
        let mut names = fs::read_dir(self.out).map_err(Error::file("cannot read", self.out))?;
        // Systems leave files of their own in folders, and who was cut off those that were not whole yet.
        let hidden = |it: &fs::DirEntry| it.file_name().to_string_lossy().starts_with('.');
        let empty = names.all(|it| it.is_ok_and(|it| hidden(&it)));
        if !empty && !is_page(self.out) {
            return refused(
                format!("the folder `{said}` has something else than a report of Ferrite's"),
                "name a new folder",
            );
        }
        let pages = WalkDir::new(self.out).min_depth(2).into_iter().flatten();
        let pages = pages.filter(|it| it.file_name() == "index.html");
        let other = pages.map(walkdir::DirEntry::into_path).find(|page| {
            let below = page.parent().and_then(|it| it.strip_prefix(self.out).ok());
            below.is_some_and(|it| !self.places.contains(&it))
        });
        match other {
            Some(page) => refused(
                format!("the folder `{said}` has a report of other runs: `{}`", page.display()),
                "name a new folder, or remove this one first",
            ),
            None => Ok(self.out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::records;

    /// A folder of runs, and these runs.
    fn in_folder(test: impl FnOnce(&Store, &dyn Fn() -> Runs)) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { root: folder.path().join("runs") };
        let all = || {
            let records = records(&store.root);
            for it in &records {
                fs::create_dir_all(&it.folder).unwrap();
                fs::write(it.folder.join("trial.toml"), "").unwrap();
            }
            let (message, help) = ("it is missing".into(), String::new());
            let path = store.root.join("xception/broken/seed-0-01234567/trial.toml");
            Runs { records, damaged: vec![Error::Damaged { path, message, help }] }
        };
        test(&store, &all);
    }

    #[test]
    fn runs_are_meant_by_names_and_patterns_of_runs_and_experiments() {
        in_folder(|store, all| {
            let of = |asked: &[&str]| {
                let mut runs = all();
                let asked: Vec<String> = asked.iter().map(|it| (*it).to_owned()).collect();
                pick(&mut runs, store, &asked).unwrap();
                (runs.records.len(), runs.damaged.len())
            };
            let whole = all().records[0].name();
            let folder = all().records[0].folder.to_string_lossy().into_owned();
            for (asked, meant) in [
                (&["vgg16-frozen"][..], (3, 0)),
                (&["vgg16-frozen", "vgg16-frozen"], (3, 0)),
                (&["experiments/vgg16-frozen.toml"], (3, 0)),
                (&[&whole], (1, 0)),
                (&[&folder], (1, 0)),
                (&["vgg16-*"], (9, 0)),
                (&["xception/*"], (4, 1)),
                (&["*seed=0"], (8, 0)),
                (&["*/lr=0.001-seed=[01]"], (6, 0)),
                (&["vgg16-frozen", "resnet50-finetune"], (6, 0)),
                (&["xception/broken/seed-0-01234567"], (0, 1)),
                (&["xception/broken"], (0, 1)),
            ] {
                assert_eq!(of(asked), meant, "{asked:?}");
            }
        });
    }

    #[test]
    fn what_names_no_run_is_told_with_names_like_it() {
        in_folder(|store, all| {
            for (asked, said) in [
                ("vgg16-frozn", "did you mean `vgg16-frozen`"),
                ("*/nothing", "`ferrite status` lists"),
                ("[", "is no pattern"),
            ] {
                let error = pick(&mut all(), store, &[asked.to_owned()]).unwrap_err();
                let Error::Usage { message, help } = error else { panic!("{error}") };
                assert!(format!("{message} {help}").contains(said), "{message} {help}");
            }
        });
    }

    #[test]
    fn a_folder_that_has_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let places = [Path::new("a/seed-0")];
        let check = |out: &str| {
            let out = folder.path().join(out);
            let checked = FolderOf { out: &out, runs: &runs, places: &places }.checked();
            checked.map(drop).map_err(|it| it.to_string())
        };
        let write = |below: &str, text: &str| {
            let path = folder.path().join(below);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("runs/a/seed-0/trial.toml", "");
        check("new/below").unwrap();
        fs::create_dir_all(folder.path().join("empty")).unwrap();
        check("empty").unwrap();
        write("empty/.DS_Store", "");
        check("empty").unwrap();
        write("cut/.index.html.7.tmp", "");
        crate::report::begin(&folder.path().join("cut")).unwrap();
        write("cut/a/seed-0/plots/curves.png", "");
        check("cut").unwrap();
        write("other/index.html", "<p>mine</p>");
        assert!(check("other").unwrap_err().contains("something else than a report"));
        let page = "<meta name=\"ferrite-inputs\" content=\"0\">";
        write("report/index.html", page);
        write("report/a/seed-0/index.html", page);
        check("report").unwrap();
        write("report/b/seed-0/index.html", page);
        assert!(check("report").unwrap_err().contains("a report of other runs"));
        for inside in ["runs", "runs/report", "runs/new/below"] {
            assert!(check(inside).unwrap_err().contains("lies in the folder of runs"));
        }
    }
}
