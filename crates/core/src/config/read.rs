//! Experiment files: read, merged with what they extend, changed by `--set`, and judged.
//!
//! Every problem of every file is told at once, at its own place ([`problems`](crate::config::problems)).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;
use toml::{Table, Value};

use crate::config::Experiment;
use crate::config::names::{Identity, Located, folded, identity, locate, on_disk, refusal};
use crate::config::path::{by_position, merge, set};
use crate::config::places::{Places, places};
use crate::config::problems::Problems;
use crate::config::schema::Schema;
use crate::config::text::{NoText, in_other_words, text_of};
use crate::error::{Error, Problem, Result};
use crate::model::Weights;

/// So many files may lie between a file and the last one that it extends; a person keeps track of fewer.
const MOST_PARENTS: usize = 16;

/// An experiment that was read and has no problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its name: the file's path below `experiments/`, without `.toml`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Names of the files that it extends, as those of experiments, the nearest first.
    pub extends: Vec<String>,
    /// What it says, parents and `--set` included.
    pub experiment: Experiment,
    /// Its points: every combination of the grid, or what the search draws, and the seeds.
    pub points: Vec<Point>,
}

/// One trial's settings and what sets it apart from its siblings.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Dotted keys of the grid or the search with this point's values.
    pub varies: Vec<(String, Value)>,
    /// Its number in the search, counted from 1; none where there is no search.
    pub number: Option<usize>,
    /// The seed.
    pub seed: u64,
    /// All settings: no `extends`, no `grid`, no `search`, one seed. An experiment whose weights it starts from has its full
    /// name, as in [`Written::name`].
    pub settings: Arc<Experiment>,
}

/// Reads experiment files.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) schema: Schema,
    pub(super) problems: Problems,
    /// The trials of all experiments so far.
    pub(super) trials: usize,
    known: Vec<Known>,
}

/// An experiment that was looked at, whether something is wrong with it or not.
#[derive(Debug)]
struct Known {
    identity: Identity,
    located: Located,
    /// Its file's number.
    file: usize,
}

/// An experiment, and what its points start from.
#[derive(Debug)]
struct Draft {
    written: Written,
    /// The other experiments by what they are called in this one.
    sources: BTreeMap<String, Found>,
}

/// An experiment's file that is there.
#[derive(Debug, Clone)]
struct Found {
    identity: Identity,
    located: Located,
}

/// A file's settings, parents included, and the place of each.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The number of the file itself.
    pub(super) file: usize,
    /// Whether something is wrong with it already.
    broken: bool,
    /// Names of the files in front of it, the nearest first.
    parents: Vec<String>,
    pub(super) table: Table,
    pub(super) places: Places,
}

/// Reads the experiments at `paths` with the `key=value` changes of `changes`, and those that they start from.
///
/// A file is read once, whatever paths and links lead to it.
///
/// # Errors
/// [`Error::Config`] with every problem of every file; [`Error::File`] if one cannot be read;
/// [`Error::Usage`] for a change that is no `key=value`.
pub fn read(paths: &[PathBuf], changes: &[String]) -> Result<Vec<Written>> {
    let mut reader = Reader::new();
    let written = reader.all(paths, changes)?;
    reader.judge_names();
    reader.problems.finish()?;
    Ok(written)
}

/// Reads the `trial.toml` of a run below `runs`; its experiment is the one that its folder says.
///
/// # Errors
/// As [`read`].
pub fn read_trial(path: &Path, runs: &Path) -> Result<Written> {
    let mut reader = Reader::new();
    let mut written = reader.all(&[path.to_owned()], &[])?;
    reader.problems.finish()?;
    let mut written = written.swap_remove(0);
    let folder = path.parent().and_then(Path::parent);
    let below = folder.and_then(|it| it.strip_prefix(runs).ok());
    if let Some(below) = below.filter(|it| !it.as_os_str().is_empty()) {
        written.name = below.to_string_lossy().into_owned();
    }
    Ok(written)
}

fn parse_change(change: &str) -> Result<(String, Value)> {
    let (key, text) = change.split_once('=').ok_or_else(|| Error::Usage {
        message: format!("`--set {change}` has no `=`"),
        help: "write `--set data.limit=2000`".into(),
    })?;
    let (key, text) = (key.trim(), text.trim());
    let refused = match key {
        "" => Some("has no key before its `=`"),
        "extends" => Some("comes too late: a file's parents are read before it is changed"),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(Error::Usage {
            message: format!("`--set {change}` {why}"),
            help: "write `--set data.limit=2000`".into(),
        });
    }
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    // What is no TOML value is meant as a string, so that quotes need not get through the shell.
    let value = parsed.ok().and_then(|mut it| it.remove("value"));
    Ok((key.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned()))))
}

impl Reader {
    fn new() -> Self {
        let (schema, problems) = (Schema::of_experiment(), Problems::default());
        Self { schema, problems, trials: 0, known: Vec::new() }
    }

    /// The experiments at `paths`, and whatever they start from, as far as nothing is wrong with them.
    fn all(&mut self, paths: &[PathBuf], changes: &[String]) -> Result<Vec<Written>> {
        let changes = changes.iter().map(|it| parse_change(it)).collect::<Result<Vec<_>>>()?;
        let named = paths.iter().map(|path| {
            let located = locate(&on_disk(path)).map_err(Error::file("cannot read", path))?;
            Found::at(located)
        });
        let mut waiting = named.rev().collect::<Result<Vec<Found>>>()?;
        let named: HashSet<Identity> = waiting.iter().map(|it| it.identity).collect();
        let mut seen = HashSet::new();
        let mut drafts = Vec::new();
        while let Some(Found { identity, located }) = waiting.pop() {
            if !seen.insert(identity) {
                continue;
            }
            let text = self.file(&located.path, &mut Vec::new())?;
            self.known.push(Known { identity, located: located.clone(), file: text.file });
            // Whatever an experiment starts from is run as it is written.
            let changes = if named.contains(&identity) { changes.as_slice() } else { &[] };
            if let Some(draft) = self.experiment(&located, text, changes)? {
                waiting.extend(draft.sources.values().cloned());
                drafts.push(draft);
            }
        }
        Ok(drafts.into_iter().map(|it| self.with_full_names(it)).collect())
    }

    fn experiment(
        &mut self,
        located: &Located,
        mut text: Text,
        changes: &[(String, Value)],
    ) -> Result<Option<Draft>> {
        for (key, value) in changes {
            self.change(&mut text, key, value)?;
        }
        if text.broken {
            return Ok(None);
        }
        text.table.remove("extends");
        let before = self.problems.count();
        let Some(experiment) = self.deserialize(&text, &text.table, &[]) else { return Ok(None) };
        let points = self.points(&text, &experiment);
        let mut sources = BTreeMap::new();
        for name in points.iter().filter_map(|it| source(&it.settings)) {
            if sources.contains_key(name) {
                continue;
            }
            match located.beside(name) {
                Ok(it) => drop(sources.insert(name.to_owned(), Found::at(it)?)),
                Err(message) => {
                    self.tell(&text, [Problem::new("model.weights.experiment", message)]);
                }
            }
        }
        let (name, path) = (located.name.clone(), located.path.clone());
        let written = Written { name, path, extends: text.parents, experiment, points };
        Ok((self.problems.count() == before).then_some(Draft { written, sources }))
    }

    /// `draft` whose points call other experiments by their full names: those under which their files were read.
    fn with_full_names(&self, draft: Draft) -> Written {
        let Draft { mut written, sources } = draft;
        for point in &mut written.points {
            let Some(identity) = source(&point.settings).map(|it| sources[it].identity) else {
                continue;
            };
            let known = self.known.iter().find(|it| it.identity == identity);
            let name = known.expect("sources are read as well").located.name.clone();
            let settings = Arc::make_mut(&mut point.settings);
            settings.model.weights = Weights::Experiment(name);
        }
        written
    }

    /// Tells which experiments must be called otherwise.
    fn judge_names(&mut self) {
        let mut taken: BTreeMap<String, &Located> = BTreeMap::new();
        for Known { located, file, .. } in &self.known {
            let mut tell = |message: String| self.problems.tell_span(*file, 0..0, &message);
            if let Some(why) = refusal(&located.name) {
                tell(format!("{why}: rename the file"));
                continue;
            }
            let Some(other) = taken.insert(folded(&located.name), located) else { continue };
            let (name, theirs, path) = (&located.name, &other.name, other.path.display());
            tell(if name == theirs {
                format!(
                    "is called `{name}`, as `{path}` is, and both would have one folder of runs: rename one"
                )
            } else {
                format!(
                    "is called `{name}`, which many disks take for `{theirs}`, the name of `{path}`: rename one"
                )
            });
        }
    }

    /// A file's settings over those of its parents, and the place of each.
    fn file(&mut self, path: &Path, children: &mut Vec<Identity>) -> Result<Text> {
        let cannot = |error| Error::file("cannot read", path)(error);
        children.push(identity(path).map_err(cannot)?);
        let mut text = Text::default();
        let content = match text_of(path) {
            Ok(content) => content,
            Err(NoText::Refused(error)) => return Err(cannot(error)),
            Err(NoText::Unfit(what)) => {
                text.file = self.problems.file(path, "");
                self.problems.tell_span(text.file, 0..0, &what);
                return Ok(Text { broken: true, ..text });
            }
        };
        text.file = self.problems.file(path, &content);
        let (parsed, mut errors) = DeTable::parse_recoverable(&content);
        let table = toml::from_str::<Table>(&content).map_err(|it| errors.push(it));
        // What follows the first mistake is mostly what became of it.
        let first = errors.iter().min_by_key(|it| it.span().map(|it| it.start));
        if let Some(first) = first {
            let span = first.span().unwrap_or_default();
            self.problems.tell_span(text.file, span, in_other_words(first.message()));
            return Ok(Text { broken: true, ..text });
        }
        text.places = places(parsed.get_ref(), text.file);
        text.table = table.unwrap_or_default();
        let problems = self.schema.problems(&text.table);
        text.broken = !problems.is_empty();
        self.tell(&text, problems);
        self.with_parent(path, text, children)
    }

    fn with_parent(
        &mut self,
        path: &Path,
        mut text: Text,
        children: &mut Vec<Identity>,
    ) -> Result<Text> {
        let Some(Value::String(parent)) = text.table.get("extends") else { return Ok(text) };
        let parent = on_disk(&path.parent().unwrap_or(Path::new("")).join(parent));
        let refusal = match identity(&parent) {
            Ok(it) if children.contains(&it) => {
                Some("extends itself, through its parents".to_owned())
            }
            Ok(_) if children.len() > MOST_PARENTS => Some(format!(
                "has more than {MOST_PARENTS} files in front of it that extend each other: put some of them together"
            )),
            Ok(_) => None,
            Err(_) => Some(format!("there is no file `{}`", parent.display())),
        };
        if let Some(message) = refusal {
            self.tell(&text, [Problem::new("extends", message)]);
            return Ok(Text { broken: true, ..text });
        }
        let name = locate(&parent).map_err(Error::file("cannot read", &parent))?.name;
        let mut all = self.file(&parent, children)?;
        all.parents.insert(0, name);
        for (key, place) in std::mem::take(&mut text.places) {
            // A list replaces the parent's, so the places of the old items are gone with it.
            if !matches!(lookup(&text.table, &key), Some(Value::Table(_))) {
                forget_below(&mut all.places, &key);
            }
            all.places.insert(key, place);
        }
        merge(&mut all.table, text.table, &self.schema, "");
        Ok(Text { file: text.file, broken: text.broken || all.broken, ..all })
    }

    /// Tells what is wrong with the settings of `text`, at their places.
    pub(super) fn tell(&mut self, text: &Text, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.problems.tell(text.file, &text.places, &problem);
        }
    }

    /// Applies one `--set`.
    fn change(&self, text: &mut Text, key: &str, value: &Value) -> Result<()> {
        let usage = |message: String| Error::Usage {
            message: format!("`--set {key}={value}`: {message}"),
            help: "`ferrite docs` lists every key and what it may be".into(),
        };
        let before = self.schema.problems(&text.table);
        set(&mut text.table, key, value.clone(), &self.schema).map_err(usage)?;
        let problems = self.schema.problems(&text.table);
        if let Some(problem) = problems.into_iter().find(|it| !before.contains(it)) {
            return Err(usage(problem.message));
        }
        let key = by_position(&text.table, key);
        // What is wrong with it is told at the nearest table, by its whole key.
        forget_below(&mut text.places, &key);
        text.places.remove(&key);
        Ok(())
    }
}

impl Found {
    fn at(located: Located) -> Result<Self> {
        let identity =
            identity(&located.path).map_err(Error::file("cannot read", &located.path))?;
        Ok(Self { identity, located })
    }
}

/// Takes out the places of what is in the table or list at `key`.
fn forget_below(places: &mut Places, key: &str) {
    let below = format!("{key}.");
    let old = places.range(below.clone()..).map(|(it, _)| it);
    let old: Vec<String> = old.take_while(|it| it.starts_with(&below)).cloned().collect();
    for it in old {
        places.remove(&it);
    }
}

/// The experiment that these settings start from, by its name.
fn source(settings: &Experiment) -> Option<&str> {
    match &settings.model.weights {
        Weights::Experiment(name) => Some(name),
        _ => None,
    }
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}
