//! Experiment files: read, merged with what they extend, changed by `--set`, and judged.
//!
//! Every problem of every file is told at once, at its own place: the structs stay plain, and the places
//! are looked up by dotted key.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{LabeledSpan, NamedSource};
use toml::de::DeTable;
use toml::{Table, Value};

use crate::config::Experiment;
use crate::config::files::missing_files;
use crate::config::grid::{self, Choice};
use crate::config::path::{by_position, merge, set};
use crate::config::places::{Place, Places, places};
use crate::config::schema::Schema;
use crate::error::{Error, FileProblems, Problem, Result};
use crate::model::Weights;

/// An experiment that was read and has no problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// Its name: the file's path below `experiments/`, without `.toml`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What it says, parents and `--set` included.
    pub experiment: Experiment,
    /// Its points: every combination of the grid and the seeds.
    pub points: Vec<Point>,
}

/// One trial's settings and what sets it apart from its siblings.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Dotted keys of the grid with this point's values.
    pub varies: Vec<(String, Value)>,
    /// The seed.
    pub seed: u64,
    /// All settings: no `extends`, no `grid`, one seed.
    pub settings: Experiment,
}

/// Reads experiment files.
#[derive(Debug)]
struct Reader {
    schema: Schema,
    files: Vec<Arc<NamedSource<String>>>,
    problems: Vec<(usize, LabeledSpan)>,
}

/// Reads the experiments at `paths` with the `key=value` changes of `changes`.
///
/// # Errors
/// [`Error::Config`] with every problem of every file; [`Error::File`] if one cannot be read;
/// [`Error::Usage`] for a change that is no `key=value`.
pub fn read(paths: &[PathBuf], changes: &[String]) -> Result<Vec<Written>> {
    let changes = changes.iter().map(|it| parse_change(it)).collect::<Result<Vec<_>>>()?;
    let mut reader =
        Reader { schema: Schema::of_experiment(), files: Vec::new(), problems: Vec::new() };
    let mut written = Vec::new();
    let mut waiting: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    let mut known = Vec::new();
    while let Some(path) = waiting.pop() {
        if known.contains(&path) {
            continue;
        }
        known.push(path.clone());
        // Whatever an experiment starts from is read and run as well, as it is written.
        let changes = if paths.contains(&path) { changes.as_slice() } else { &[] };
        let Some(experiment) = reader.experiment(&path, changes)? else { continue };
        let names = experiment.points.iter().filter_map(|it| source(&it.settings));
        waiting.extend(names.map(|name| source_path(&path, name)));
        written.push(experiment);
    }
    reader.finish(written)
}

/// Reads the `trial.toml` of a run below `runs`; its experiment is the one that its folder says.
///
/// # Errors
/// As [`read`].
pub fn read_trial(path: &Path, runs: &Path) -> Result<Written> {
    let mut written = read(&[path.to_owned()], &[])?;
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
    if key.is_empty() {
        return Err(Error::Usage {
            message: format!("`--set {change}` has no key before its `=`"),
            help: "write `--set data.limit=2000`".into(),
        });
    }
    let parsed = toml::from_str::<Table>(&format!("value = {text}"));
    // What is no TOML value is meant as a string, so that quotes need not get through the shell.
    let value = parsed.ok().and_then(|mut it| it.remove("value"));
    Ok((key.to_owned(), value.unwrap_or_else(|| Value::String(text.to_owned()))))
}

/// An experiment's name: its path below `experiments/` without `.toml`, or else its file name.
pub fn name_of(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|it| it.to_string_lossy()).collect();
    let below =
        parts.iter().rposition(|it| it == "experiments").map_or(parts.len() - 1, |it| it + 1);
    parts[below..].join("/").trim_end_matches(".toml").to_owned()
}

impl Reader {
    fn experiment(&mut self, path: &Path, changes: &[(String, Value)]) -> Result<Option<Written>> {
        let before = self.problems.len();
        let file = self.files.len();
        let (mut table, mut places) = self.file(path, &mut Vec::new())?;
        for (key, value) in changes {
            self.change((&mut table, &mut places), key, value)?;
        }
        if self.problems.len() > before {
            return Ok(None);
        }
        table.remove("extends");
        let Some(experiment) = self.deserialize(file, &table, &places, &[]) else {
            return Ok(None);
        };
        let points = self.points(file, &experiment, &table, &places);
        for name in points.iter().filter_map(|it| source(&it.settings)) {
            let there = source_path(path, name);
            if !there.is_file() {
                let message = format!("there is no experiment `{}`", there.display());
                self.tell(file, &places, &Problem::new("model.weights.experiment", message));
            }
        }
        Ok((self.problems.len() == before).then(|| Written {
            name: name_of(path),
            path: path.to_owned(),
            experiment,
            points,
        }))
    }

    /// A file's settings over those of its parents, and the place of each.
    fn file(&mut self, path: &Path, children: &mut Vec<PathBuf>) -> Result<(Table, Places)> {
        let text = fs_err::read_to_string(path).map_err(Error::file("cannot read", path))?;
        let file = self.files.len();
        let source = NamedSource::new(path.display().to_string(), text.clone());
        self.files.push(Arc::new(source.with_language("TOML")));
        let (parsed, errors) = DeTable::parse_recoverable(&text);
        let places = places(parsed.get_ref(), file);
        for error in &errors {
            self.tell_span(file, error.span().unwrap_or_default(), error.message());
        }
        let Ok(table) = toml::from_str::<Table>(&text) else { return Ok((Table::new(), places)) };
        for problem in self.schema.problems(&table) {
            self.tell(file, &places, &problem);
        }
        children.push(path.to_owned());
        self.with_parent(path, (table, places), children)
    }

    fn with_parent(
        &mut self,
        path: &Path,
        (table, places): (Table, Places),
        children: &mut Vec<PathBuf>,
    ) -> Result<(Table, Places)> {
        let Some(Value::String(parent)) = table.get("extends") else { return Ok((table, places)) };
        let file = places["extends"].file;
        let parent = path.parent().unwrap_or(Path::new("")).join(parent);
        let refusal = if children.contains(&parent) {
            Some("extends itself, through its parents".to_owned())
        } else if parent.is_file() {
            None
        } else {
            Some(format!("there is no file `{}`", parent.display()))
        };
        if let Some(message) = refusal {
            self.tell(file, &places, &Problem::new("extends", message));
            return Ok((table, places));
        }
        let (mut all, mut all_places) = self.file(&parent, children)?;
        for (key, place) in places {
            let below = format!("{key}.");
            // A list replaces the parent's, so the places of the old items are gone with it.
            if !matches!(lookup(&table, &key), Some(Value::Table(_))) {
                all_places.retain(|it, _| !it.starts_with(&below));
            }
            all_places.insert(key, place);
        }
        merge(&mut all, table, &self.schema, "");
        Ok((all, all_places))
    }

    /// Applies one `--set`.
    fn change(
        &self,
        (table, places): (&mut Table, &mut Places),
        key: &str,
        value: &Value,
    ) -> Result<()> {
        let usage = |message: String| Error::Usage {
            message: format!("`--set {key}={value}`: {message}"),
            help: "the keys are listed in docs/config.md".into(),
        };
        let before = self.schema.problems(table);
        set(table, key, value.clone(), &self.schema).map_err(usage)?;
        let problems = self.schema.problems(table);
        if let Some(problem) = problems.into_iter().find(|it| !before.contains(it)) {
            return Err(usage(problem.message));
        }
        let key = by_position(table, key);
        let below = format!("{key}.");
        // What is wrong with it is told at the nearest table, by its whole key.
        places.retain(|it, _| *it != key && !it.starts_with(&below));
        Ok(())
    }

    /// The settings in `table`, which hold `choices` of the grid, if nothing is wrong with them.
    fn deserialize(
        &mut self,
        file: usize,
        table: &Table,
        places: &Places,
        choices: &[Choice],
    ) -> Option<Experiment> {
        let problems = match Experiment::deserialize_from(table) {
            Ok(experiment) => {
                let mut problems = experiment.check();
                problems.extend(missing_files(&experiment));
                if problems.is_empty() {
                    return Some(experiment);
                }
                problems
            }
            Err(message) => vec![Problem::new("", message)],
        };
        for problem in problems {
            let culprit = grid::culprit(choices, table, &problem);
            self.tell(file, places, &culprit.map_or(problem.clone(), |it| it.blamed(&problem)));
        }
        None
    }

    fn points(
        &mut self,
        file: usize,
        experiment: &Experiment,
        table: &Table,
        places: &Places,
    ) -> Vec<Point> {
        for problem in grid::check(&experiment.grid) {
            self.tell(file, places, &problem);
        }
        let mut points = Vec::new();
        for choices in grid::combinations(&experiment.grid) {
            let Some(settings) = self.point(file, table, places, &choices) else { continue };
            let varies = choices.into_iter().map(|it| (it.key, it.value)).collect::<Vec<_>>();
            points.extend(experiment.seeds.iter().map(|seed| {
                let settings = Experiment { seeds: vec![*seed], ..settings.clone() };
                Point { varies: varies.clone(), seed: *seed, settings }
            }));
        }
        points
    }

    /// The settings of one point of the grid.
    fn point(
        &mut self,
        file: usize,
        table: &Table,
        places: &Places,
        choices: &[Choice],
    ) -> Option<Experiment> {
        let mut table = table.clone();
        table.remove("grid");
        for choice in choices {
            let set = set(&mut table, &choice.key, choice.value.clone(), &self.schema);
            let problem = match set {
                Err(message) => Some(Problem::of_key(choice.list(), message)),
                Ok(()) => self.schema.problems(&table).first().map(|it| choice.blamed(it)),
            };
            if let Some(problem) = problem {
                self.tell(file, places, &problem);
                return None;
            }
        }
        self.deserialize(file, &table, places, choices)
    }

    /// Tells `problem` at its place, or at the nearest table that is written down.
    fn tell(&mut self, file: usize, places: &Places, problem: &Problem) {
        let mut key = problem.key.as_str();
        let mut exact = true;
        let place = loop {
            if let Some(place) = places.get(key) {
                break place.clone();
            }
            exact = false;
            match key.rsplit_once('.') {
                Some((outer, _)) => key = outer,
                None => break Place { file, key: 0..0, value: 0..0 },
            }
        };
        let span = if problem.of_key || !exact { place.key } else { place.value };
        let message = match (exact, problem.key.as_str()) {
            (true, _) | (_, "") => problem.message.clone(),
            (false, key) => format!("`{key}` {}", problem.message),
        };
        self.tell_span(place.file, span, &message);
    }

    fn tell_span(&mut self, file: usize, span: Range<usize>, message: &str) {
        let label = LabeledSpan::new_with_span(Some(message.to_owned()), span);
        let known = self.problems.iter().any(|(other, it)| {
            *it == label && self.files[*other].name() == self.files[file].name()
        });
        if !known {
            self.problems.push((file, label));
        }
    }

    fn finish(self, written: Vec<Written>) -> Result<Vec<Written>> {
        if self.problems.is_empty() {
            return Ok(written);
        }
        let mut files: Vec<FileProblems> = Vec::new();
        for (file, label) in self.problems {
            let source = &self.files[file];
            match files.iter_mut().find(|it| it.source.name() == source.name()) {
                Some(file) => file.problems.push(label),
                None => files.push(FileProblems { source: source.clone(), problems: vec![label] }),
            }
        }
        for file in &mut files {
            file.problems.sort_by_key(LabeledSpan::offset);
        }
        Err(Error::Config { files })
    }
}

impl Experiment {
    fn deserialize_from(table: &Table) -> Result<Self, String> {
        table.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())
    }
}

/// The experiment that these settings start from, by its name.
fn source(settings: &Experiment) -> Option<&str> {
    match &settings.model.weights {
        Weights::Experiment(name) => Some(name),
        _ => None,
    }
}

/// The file of the experiment `name` beside the one at `path`.
fn source_path(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(format!("{name}.toml"))
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}
