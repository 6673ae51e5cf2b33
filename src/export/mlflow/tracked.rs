//! What a tracking server is to know of a run or of a configuration, as values.
//!
//! A configuration is the parent of its runs: of its seeds, and of its folds where it is a cross-validation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ferrite_core::digits::hex;
use ferrite_core::event::Event;
use ferrite_core::metrics::scores::Stat;
use ferrite_core::store::folder::files;
use ferrite_core::store::record::State;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::export::history::{self, Point, last_ms};
use crate::study::{Configuration, Run};
use ferrite_core::config::flat::{Flat, plain};

/// By which a run or a configuration is known again.
pub(super) const NAME: &str = "ferrite.name";

/// The key of the results that were sent; others under the same name are another run.
pub(super) const KEY: &str = "ferrite.key";

/// What a server is to know of one of its runs.
pub(crate) struct Tracked {
    /// The run or the configuration, for knowing it again.
    pub(super) name: String,
    /// What people see.
    pub(super) title: String,
    /// The [`Tracked::name`] of its parent.
    pub(super) parent: Option<String>,
    /// What it is about, for the server's note.
    pub(super) about: String,
    pub(super) status: Status,
    pub(super) began_ms: u64,
    pub(super) ended_ms: u64,
    pub(super) params: Flat,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) points: Vec<Point>,
    /// Files that lie in the folder of a run which is over, by their names below it.
    pub(super) files: Vec<(String, PathBuf)>,
}

/// How far a run is, in the server's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Running,
    Finished,
    Failed,
    /// Nobody is at it and it is not done.
    Killed,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    fn of(state: &State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Finished => Self::Finished,
            State::Failed(_) => Self::Failed,
            State::Stopped(_) | State::Interrupted => Self::Killed,
        }
    }
}

/// Which files of a run are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// All but weights, which are larger than everything else together.
    WithoutWeights,
    All,
}

/// What is to be known of `run`, whose log has these `events`.
pub(crate) fn of_run(run: &Run<'_>, events: &[Event], which: Files) -> Tracked {
    let record = run.record;
    let status = Status::of(&record.state);
    let params = history::settings(run);
    let is_over = matches!(status, Status::Finished | Status::Failed);
    Tracked {
        name: record.name(),
        title: record.name(),
        parent: Some(name_of_configuration(&record.experiment, &params)),
        about: record.about().to_owned(),
        status,
        began_ms: record.began_ms,
        ended_ms: last_ms(events).max(record.began_ms),
        tags: tags_of_run(run),
        points: history::points(run, events),
        files: if is_over { files_of(&record.folder, which) } else { Vec::new() },
        params: with_seed(run, params),
    }
}

/// The settings of a run and what tells it from others of its configuration.
fn with_seed(run: &Run<'_>, mut settings: Flat) -> Flat {
    settings.insert("seed".into(), run.seed.clone());
    if let Some([fold, _]) = run.fold() {
        settings.insert("fold".into(), fold.to_string());
    }
    without_quotes(settings)
}

/// Texts without the quotes that TOML has around them.
fn without_quotes(settings: Flat) -> Flat {
    settings.into_iter().map(|(key, value)| (key, plain(&value).to_owned())).collect()
}

fn tags_of_run(run: &Run<'_>) -> BTreeMap<String, String> {
    let record = run.record;
    let start = record.facts.start.as_ref();
    let failure = match &record.state {
        State::Failed(it) => it.message.clone(),
        _ => String::new(),
    };
    let text = fs::read(record.folder.join(files::ENVIRONMENT)).unwrap_or_default();
    let environment: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let all = [
        (NAME, record.name()),
        (KEY, start.map_or_else(String::new, |it| it.key.clone())),
        ("ferrite.experiment", record.experiment.clone()),
        ("ferrite.tags", record.description.tags.join(" ")),
        ("ferrite.state", record.state.word().to_owned()),
        ("ferrite.failure", failure),
        ("ferrite.judged_by", run.judged_by().unwrap_or_default()),
        ("ferrite.device", start.map_or_else(String::new, |it| it.device.clone())),
        ("ferrite.precision", start.map_or_else(String::new, |it| it.precision.clone())),
        ("ferrite.version", start.map_or_else(String::new, |it| it.ferrite.clone())),
        ("mlflow.source.name", "ferrite".into()),
        ("mlflow.source.type", "LOCAL".into()),
        ("mlflow.source.git.commit", environment["commit"].as_str().unwrap_or_default().to_owned()),
    ];
    // A failure that is over is no longer one, so it is told to be nothing.
    let told = all.into_iter().filter(|it| !it.1.is_empty() || it.0 == "ferrite.failure");
    told.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is to be known of `configuration`: means over what of it is finished.
pub(crate) fn of_configuration(configuration: &Configuration<'_>) -> Tracked {
    let runs: Vec<&Run<'_>> = configuration.trained().collect();
    let began_ms = runs.iter().map(|it| it.record.began_ms).min().unwrap_or_default();
    let is = |state: fn(&State) -> bool| runs.iter().any(|it| state(&it.record.state));
    let status = if is(|it| *it == State::Running) {
        Status::Running
    } else if is(|it| matches!(it, State::Failed(_))) {
        Status::Failed
    } else if is(|it| *it != State::Finished) {
        Status::Killed
    } else {
        Status::Finished
    };
    let experiment = configuration.experiment();
    let params = configuration.settings.clone();
    let name = name_of_configuration(experiment, &params);
    let tags = [
        (NAME, name.clone()),
        ("ferrite.experiment", experiment.to_owned()),
        ("mlflow.source.name", "ferrite".into()),
        ("mlflow.source.type", "LOCAL".into()),
    ];
    Tracked {
        title: configuration.label.clone(),
        parent: None,
        about: configuration.about().to_owned(),
        status,
        began_ms,
        ended_ms: runs.iter().map(|it| ended_ms(it)).max().unwrap_or_default(),
        params: without_quotes(params),
        tags: tags.map(|(name, value)| (name.to_owned(), value)).into(),
        points: means(&runs),
        files: Vec::new(),
        name,
    }
}

/// The name by which a configuration is known again: its label changes when others come.
fn name_of_configuration(experiment: &str, settings: &Flat) -> String {
    format!("{experiment}/configuration-{}", hex(&Sha256::digest(format!("{settings:?}"))[..4]))
}

/// When a run said something last, by the time that it took.
fn ended_ms(run: &Run<'_>) -> u64 {
    run.record.began_ms + (run.record.seconds * 1000.0) as u64
}

/// The means of the scores of those of `runs` that are finished: of the first of them, of the first two and so on, in the order
/// in which they were done, so that means which were told once stay.
fn means(runs: &[&Run<'_>]) -> Vec<Point> {
    let mut done: Vec<_> = runs.iter().filter(|it| it.record.state == State::Finished).collect();
    done.sort_by_key(|it| (ended_ms(it), it.record.name()));
    let score = |run: &Run<'_>| {
        let evaluation = run.record.facts.evaluation.as_ref().map(|it| it.scores);
        [
            ("accuracy", evaluation.map(|it| it.accuracy)),
            ("loss", evaluation.map(|it| it.loss)),
            ("valid_accuracy", run.epoch().map(|it| it.valid.accuracy)),
        ]
    };
    let mut points = Vec::new();
    for step in 1..=done.len() {
        let at_ms = ended_ms(done[step - 1]);
        let mut push = |name: String, value| points.push(Point { name, step, at_ms, value });
        push("runs_finished".into(), step as f64);
        for at in 0..3 {
            let scores = done[..step].iter().map(|it| score(it)[at]);
            let name = score(done[0])[at].0;
            let known: Vec<f64> = scores.filter_map(|it| it.1).collect();
            let Some(stat) = Stat::of(&known) else { continue };
            push(format!("{name}_mean"), stat.mean);
            stat.sd.into_iter().for_each(|it| push(format!("{name}_sd"), it));
        }
    }
    points
}

/// The files in the `folder` of a run that a reader wants: not its lock, log of jobs and what was damaged.
fn files_of(folder: &Path, which: Files) -> Vec<(String, PathBuf)> {
    let own = [files::JOB, files::QUEUED, files::ATTEMPT, files::JOB_LOG];
    let walk = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
    let is_hidden = |it: &walkdir::DirEntry| it.file_name().to_string_lossy().starts_with('.');
    let found = walk.filter_entry(|it| !is_hidden(it)).flatten();
    let found = found.filter(|it| it.file_type().is_file()).filter_map(|it| {
        let name = it.path().strip_prefix(folder).ok()?.to_string_lossy().into_owned();
        let is_weights = name.ends_with(".safetensors");
        let wanted = !own.contains(&name.as_str())
            && !name.contains(".damaged")
            && (!is_weights || which == Files::All);
        wanted.then(|| (name, it.path().to_owned()))
    });
    found.collect()
}
