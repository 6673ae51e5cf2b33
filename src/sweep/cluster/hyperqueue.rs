//! Tasks as one job of `HyperQueue`, which starts them on its workers when those that they wait for have ended well.
//!
//! A server that is started anew without a journal counts its jobs from 1 again, so a job is known by its name.

use std::collections::{BTreeMap, BTreeSet};

use ferrite_core::config::clusters::HyperQueue as Settings;
use ferrite_core::error::{Error, Result};
use ferrite_core::files::write_whole;
use serde::Deserialize;
use toml::{Table, Value};

use crate::sweep::cluster::known::{JobState, Listed};
use crate::sweep::cluster::programs::Programs;
use crate::sweep::cluster::script::{Parts, body};
use crate::sweep::cluster::{Asked, AskedTask, Place};

/// What to do when `hq` refuses something.
const HELP: &str = "a server must run (`hq server start`), and workers (`hq worker start`): docs/clusters.md shows how";

/// `HyperQueue`, as a submission asks it.
pub(super) struct HyperQueue<'a> {
    pub(super) programs: &'a Programs,
    pub(super) settings: &'a Settings,
}

impl HyperQueue<'_> {
    /// Submits `asked` as one job, and returns what each task is called.
    pub(super) fn submit(&self, asked: &Asked<'_>) -> Result<Vec<String>> {
        let path = |name: &str| asked.folder.join(name);
        let lines: String = asked.tasks.iter().map(AskedTask::line).collect();
        write_whole(&path("0.tasks"), lines.as_bytes())?;
        write_whole(&path("0.sh"), self.script(asked).as_bytes())?;
        let definition = path("0.toml");
        write_whole(&definition, self.definition(asked).as_bytes())?;
        let definition = definition.to_string_lossy();
        let arguments = ["job", "submit-file", &definition, "--output-mode", "json"];
        let said = self.programs.run("hq", &arguments, HELP)?;
        let Answer { id } = read(&said)?;
        Ok((0..asked.tasks.len()).map(|it| format!("{id}@{it}")).collect())
    }

    pub(super) fn script(&self, asked: &Asked<'_>) -> String {
        let task = "run=$1 until=$2\njob=\"hyperqueue $HQ_JOB_ID@$HQ_TASK_ID\"";
        let setup = &self.settings.setup;
        let parts = Parts { threads: self.settings.cpus, setup, task, end: "" };
        format!("#!/bin/bash\n{}", body(asked.site, &parts))
    }

    /// The job as `hq` reads it. A task of another job cannot be waited for: its lock is, where the task is at work.
    fn definition(&self, asked: &Asked<'_>) -> String {
        let Settings { cpus, gpus, time, crash_limit, .. } = self.settings;
        let text = |it: &str| Value::String(it.to_owned());
        let path = |it: String| text(&asked.folder.join(it).to_string_lossy());
        let mut resources = Table::new();
        resources.insert("cpus".into(), Value::Integer(i64::from(*cpus)));
        if *gpus > 0 {
            resources.insert("gpus/nvidia".into(), Value::Integer(i64::from(*gpus)));
        }
        let mut request = Table::new();
        request.insert("resources".into(), Value::Table(resources));
        request.extend(time.iter().map(|it| ("time_request".to_owned(), text(it))));
        let tasks = asked.tasks.iter().enumerate().map(|(at, task)| {
            let until = task.until.as_deref().unwrap_or_default();
            let command = [text("/bin/bash"), path("0.sh".into()), text(&task.run), text(until)];
            let own = |it: &Place| match it {
                Place::Asked(it) => Some(Value::Integer(*it as i64)),
                Place::Queued(_) => None,
            };
            let deps: Vec<Value> = task.after.iter().filter_map(own).collect();
            Value::Table(Table::from_iter([
                ("id".to_owned(), Value::Integer(at as i64)),
                ("command".to_owned(), Value::Array(command.to_vec())),
                ("deps".to_owned(), Value::Array(deps)),
                ("crash_limit".to_owned(), Value::Integer(i64::from(*crash_limit))),
                ("stdout".to_owned(), path(format!("0-{at}.out"))),
                ("stderr".to_owned(), path(format!("0-{at}.err"))),
                ("cwd".to_owned(), text(&asked.site.here.to_string_lossy())),
                ("request".to_owned(), Value::Array(vec![Value::Table(request.clone())])),
            ]))
        });
        let name = asked.folder.file_name().unwrap_or_default().to_string_lossy();
        let job = Table::from_iter([
            ("name".to_owned(), Value::String(format!("ferrite:{name}"))),
            ("task".to_owned(), Value::Array(tasks.collect())),
        ]);
        toml::to_string(&job).expect("texts and numbers are plain TOML")
    }
}

/// What `hq` prints when it has taken a job.
#[derive(Deserialize)]
struct Answer {
    id: u64,
}

/// A job in a list of `hq`.
#[derive(Deserialize)]
struct Job {
    id: u64,
    name: String,
}

/// A task in a list of `hq`.
#[derive(Deserialize)]
struct Task {
    id: u64,
    state: String,
    #[serde(default)]
    error: Option<String>,
}

/// What `HyperQueue` has of jobs that were submitted from here; of those for which `is_ours` of the submission holds.
///
/// # Errors
/// [`Error::Usage`] with what it said, such as that no server runs.
pub(super) fn list(programs: &Programs, is_ours: &dyn Fn(&str) -> bool) -> Result<Vec<Listed>> {
    let said = programs.run("hq", &["job", "list", "--all", "--output-mode", "json"], HELP)?;
    let mut listed = Vec::new();
    for Job { id, name } in read::<Vec<Job>>(&said)? {
        let Some(submission) = name.strip_prefix("ferrite:").filter(|it| is_ours(it)) else {
            continue;
        };
        let number = id.to_string();
        let said = programs.run("hq", &["task", "list", &number, "--output-mode", "json"], HELP)?;
        let tasks: BTreeMap<String, Vec<Task>> = read(&said)?;
        for task in tasks.into_values().flatten() {
            let state = match task.state.as_str() {
                "waiting" => JobState::Waiting(String::new()),
                "running" => JobState::Running,
                state => JobState::Over(task.error.unwrap_or_else(|| state.to_uppercase())),
            };
            listed.push(Listed {
                submission: submission.to_owned(),
                list: 0,
                index: task.id as usize,
                job: format!("{id}@{}", task.id),
                state,
            });
        }
    }
    Ok(listed)
}

/// Asks `HyperQueue` to cancel these tasks. It cancels whole jobs alone, so the job of each goes.
///
/// # Errors
/// [`Error::Usage`] with what it said.
pub(super) fn cancel(programs: &Programs, tasks: &[&str]) -> Result<()> {
    let jobs = tasks.iter().filter_map(|it| it.split('@').next());
    let jobs: Vec<&str> = jobs.collect::<BTreeSet<_>>().into_iter().collect();
    let jobs = jobs.join(",");
    programs.run("hq", &["job", "cancel", &jobs], HELP).map(|_| ())
}

fn read<T: serde::de::DeserializeOwned>(said: &str) -> Result<T> {
    serde_json::from_str(said).map_err(|error| Error::Usage {
        message: format!("`hq` says what is not understood ({error}): {}", said.trim()),
        help: "Ferrite knows HyperQueue 0.26; another version may print its lists in another way"
            .into(),
    })
}
