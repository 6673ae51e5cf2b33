//! Runs on a tracking server of MLflow, by its REST interface.
//!
//! The server is asked what it has, and is sent what it lacks: a run is known again by a tag with its name, how many of its
//! metrics it has by a tag that is sent in one request with the last of them, and its files by a tag with their digest. So
//! whoever exports may be cut off at any moment and begin again.
//!
//! **Invariant:** a server that has all of a run is sent nothing.

mod client;
mod limits;
pub(crate) mod tracked;

use std::collections::BTreeMap;

use ferrite_core::digits::hex;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::artifact::of_file;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::export::history::Point;
use crate::export::mlflow::client::{Again, Client};
use crate::export::mlflow::tracked::{KEY, NAME, Status, Tracked};

/// How many of its metrics a run has on the server, and their digest.
const METRICS: &str = "ferrite.metrics";

/// The digest of the parameters that were sent.
const PARAMS: &str = "ferrite.params";

/// The digest of the files that were sent.
const FILES: &str = "ferrite.files";

/// The tag by which the server nests runs.
const PARENT: &str = "mlflow.parentRunId";

/// How many runs an answer has.
const PAGE: usize = 200;

/// The scheme of files that the server takes itself.
const PROXIED: &str = "mlflow-artifacts:";

/// What was sent.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Runs that the server did not have.
    pub(crate) created: usize,
    /// Runs that told other things than before, and took the place of what the server had.
    pub(crate) replaced: usize,
    /// Metrics.
    pub(crate) metrics: usize,
    /// Files.
    pub(crate) files: usize,
    /// Runs whose files the server keeps where only its own client can write.
    pub(crate) without_files: usize,
}

impl Sent {
    /// Counts what was sent `more`.
    pub(crate) fn add(&mut self, more: Self) {
        self.created += more.created;
        self.replaced += more.replaced;
        self.metrics += more.metrics;
        self.files += more.files;
        self.without_files += more.without_files;
    }
}

/// An experiment of a tracking server.
pub(crate) struct Server {
    client: Client,
    experiment: String,
    /// Its runs that came from here, by their names.
    runs: BTreeMap<String, Remote>,
    /// What was sent since it was asked.
    pub(crate) sent: Sent,
}

/// A run as the server has it.
struct Remote {
    id: String,
    title: String,
    status: String,
    ended_ms: u64,
    /// Where its files are.
    files: String,
    tags: BTreeMap<String, String>,
}

impl Server {
    /// The experiment called `name` of the server at `address`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::Usage`] if `address` is none, [`Error::Server`] if the server cannot be reached or refuses.
    pub(crate) fn open(address: &str, name: &str) -> Result<Self> {
        let client = Client::new(address)?;
        let experiment = experiment(&client, name)?;
        let mut server = Self { client, experiment, runs: BTreeMap::new(), sent: Sent::default() };
        server.look()?;
        Ok(server)
    }

    /// Asks which runs there are.
    ///
    /// # Errors
    /// [`Error::Server`] if the server cannot be reached or refuses.
    pub(crate) fn look(&mut self) -> Result<()> {
        self.runs.clear();
        let mut page = Value::Null;
        loop {
            let asked = json!({
                "experiment_ids": [self.experiment],
                "run_view_type": "ACTIVE_ONLY",
                "max_results": PAGE,
                "order_by": ["attributes.start_time ASC"],
                "page_token": page,
            });
            let answer = self.client.post("runs/search", &asked, Again::Harmless)?;
            for run in answer["runs"].as_array().into_iter().flatten() {
                let remote = Remote::of(run);
                // Where an answer got lost there may be two; the first one counts.
                if let Some(name) = remote.tags.get(NAME).cloned() {
                    self.runs.entry(name).or_insert(remote);
                }
            }
            page = answer["next_page_token"].clone();
            if page.as_str().unwrap_or_default().is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends what the server lacks of `tracked`. Its parent has to be sent before.
    ///
    /// # Errors
    /// [`Error::Server`] if the server cannot be reached or refuses, [`Error::File`] if a file cannot be read.
    pub(crate) fn send(&mut self, tracked: &Tracked) -> Result<()> {
        let known = self.runs.get(&tracked.name);
        let had = known.map_or(Had::Nothing, |it| it.has(tracked));
        if had == Had::More {
            return Ok(());
        }
        match had {
            Had::Nothing => {
                self.create(tracked)?;
                self.sent.created += 1;
            }
            Had::Other => self.replace(tracked)?,
            Had::Some | Had::More => {}
        }
        self.send_settings(tracked)?;
        self.send_metrics(tracked)?;
        self.send_files(tracked)?;
        self.update(tracked)
    }

    /// Puts `tracked` in the place of what the server has under its name.
    fn replace(&mut self, tracked: &Tracked) -> Result<()> {
        let old = self.runs[&tracked.name].id.clone();
        self.client.post("runs/delete", &json!({ "run_id": old }), Again::Harmless)?;
        self.runs.remove(&tracked.name);
        self.create(tracked)?;
        self.sent.replaced += 1;
        // What was nested in the old one is nested in the new one.
        let new = self.runs[&tracked.name].id.clone();
        let nested = self.runs.iter().filter(|it| it.1.tags.get(PARENT) == Some(&old));
        let nested: Vec<String> = nested.map(|it| it.0.clone()).collect();
        let tags = BTreeMap::from([(PARENT.to_owned(), new)]);
        nested.iter().try_for_each(|it| self.tag(it, &tags))
    }

    fn create(&mut self, tracked: &Tracked) -> Result<()> {
        let parent = tracked.parent.as_ref().and_then(|it| self.runs.get(it)).map(|it| &it.id);
        let mut tags = vec![json!({ "key": NAME, "value": limits::tag_value(&tracked.name) })];
        tags.extend(parent.map(|it| json!({ "key": PARENT, "value": it })));
        if !tracked.about.is_empty() {
            // Once, since people write there as well.
            let about = limits::tag_value(&tracked.about);
            tags.push(json!({ "key": "mlflow.note.content", "value": about }));
        }
        let asked = json!({
            "experiment_id": self.experiment,
            "run_name": tracked.title,
            "start_time": tracked.began_ms,
            "tags": tags,
        });
        let answer = self.client.post("runs/create", &asked, Again::Harmful)?;
        self.runs.insert(tracked.name.clone(), Remote::of(&answer["run"]));
        Ok(())
    }

    fn send_settings(&mut self, tracked: &Tracked) -> Result<()> {
        let digest = hex(&Sha256::digest(format!("{:?}", tracked.params))[..8]);
        let remote = &self.runs[&tracked.name];
        let news: BTreeMap<String, String> = tracked
            .tags
            .iter()
            .map(|(key, value)| (limits::key(key), limits::tag_value(value)))
            .filter(|(key, value)| remote.tags.get(key) != Some(value))
            .collect();
        if remote.tags.get(PARAMS) != Some(&digest) {
            for params in limits::params(tracked.params.iter()) {
                self.log(&tracked.name, &json!({ "params": params }))?;
            }
            self.tag(&tracked.name, &BTreeMap::from([(PARAMS.to_owned(), digest)]))?;
        }
        self.tag(&tracked.name, &news)
    }

    fn send_metrics(&mut self, tracked: &Tracked) -> Result<()> {
        let points = &tracked.points;
        let from = self.runs[&tracked.name].metrics().map_or(0, |it| it.0);
        let mut done = from;
        for batch in limits::batches(&points[from..]) {
            done += batch.len();
            let told = format!("{done} {}", digest(&points[..done]));
            let metrics: Vec<Value> = batch.iter().map(limits::metric).collect();
            let tags = json!([{ "key": METRICS, "value": told }]);
            self.log(&tracked.name, &json!({ "metrics": metrics, "tags": tags }))?;
            self.note(&tracked.name, METRICS, told);
            self.sent.metrics += batch.len();
        }
        Ok(())
    }

    fn send_files(&mut self, tracked: &Tracked) -> Result<()> {
        if tracked.files.is_empty() {
            return Ok(());
        }
        let mut hasher = Sha256::new();
        for (name, path) in &tracked.files {
            hasher.update(format!("{name} {:?}\n", of_file(path)?));
        }
        let digest = hex(&hasher.finalize()[..8]);
        let remote = &self.runs[&tracked.name];
        if remote.tags.get(FILES) == Some(&digest) {
            return Ok(());
        }
        let Some(folder) = proxied(&remote.files) else {
            self.sent.without_files += 1;
            return Ok(());
        };
        for (name, path) in &tracked.files {
            self.client.put(&format!("{folder}/{name}"), path)?;
            self.sent.files += 1;
        }
        self.tag(&tracked.name, &BTreeMap::from([(FILES.to_owned(), digest)]))
    }

    /// Says how far the run is, where the server does not know it.
    fn update(&mut self, tracked: &Tracked) -> Result<()> {
        let Tracked { title, status, ended_ms, .. } = tracked;
        let remote = self.runs.get_mut(&tracked.name).expect("it was created, if it was not there");
        let is_over = *status != Status::Running;
        let ended_ms = if is_over { *ended_ms } else { remote.ended_ms };
        if (&remote.title, remote.status.as_str(), remote.ended_ms)
            == (title, status.word(), ended_ms)
        {
            return Ok(());
        }
        let mut asked = json!({ "run_id": remote.id, "status": status.word(), "run_name": title });
        if is_over {
            asked["end_time"] = json!(ended_ms);
        }
        self.client.post("runs/update", &asked, Again::Harmless)?;
        remote.title.clone_from(title);
        status.word().clone_into(&mut remote.status);
        remote.ended_ms = ended_ms;
        Ok(())
    }

    fn tag(&mut self, name: &str, tags: &BTreeMap<String, String>) -> Result<()> {
        for batch in limits::tags(tags.iter()) {
            self.log(name, &json!({ "tags": batch }))?;
        }
        for (key, value) in tags {
            self.note(name, key, value.clone());
        }
        Ok(())
    }

    /// Sends `batch` for the run called `name`. The server keeps what it has already, so it may be sent twice.
    fn log(&self, name: &str, batch: &Value) -> Result<()> {
        let mut batch = batch.clone();
        batch["run_id"] = json!(self.runs[name].id);
        self.client.post("runs/log-batch", &batch, Again::Harmless).map(drop)
    }

    /// Takes note of a tag that the run called `name` has now.
    fn note(&mut self, name: &str, key: &str, value: String) {
        if let Some(it) = self.runs.get_mut(name) {
            it.tags.insert(key.to_owned(), value);
        }
    }
}

/// What a server has of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Had {
    Nothing,
    /// The beginning of it, or all.
    Some,
    /// Epochs that the run, which goes on from a checkpoint, has not told anew yet.
    More,
    /// Another run of the same name, or other numbers of it.
    Other,
}

impl Remote {
    /// What the server says of a run.
    fn of(run: &Value) -> Self {
        let (info, data) = (&run["info"], &run["data"]);
        let word = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let tags = data["tags"].as_array().into_iter().flatten();
        Self {
            id: word(&info["run_id"]),
            title: word(&info["run_name"]),
            status: word(&info["status"]),
            ended_ms: info["end_time"].as_u64().unwrap_or_default(),
            files: word(&info["artifact_uri"]),
            tags: tags.map(|it| (word(&it["key"]), word(&it["value"]))).collect(),
        }
    }

    /// How many metrics it has, and their digest.
    fn metrics(&self) -> Option<(usize, &str)> {
        let (count, digest) = self.tags.get(METRICS)?.split_once(' ')?;
        Some((count.parse().ok()?, digest))
    }

    fn has(&self, tracked: &Tracked) -> Had {
        let key = self.tags.get(KEY).map(String::as_str);
        if key.is_some() && key != tracked.tags.get(KEY).map(String::as_str) {
            return Had::Other;
        }
        let Some((count, known)) = self.metrics() else { return Had::Some };
        match tracked.points.get(..count) {
            Some(points) if digest(points) == known => Had::Some,
            None if tracked.status == Status::Running => Had::More,
            _ => Had::Other,
        }
    }
}

fn digest(points: &[Point]) -> String {
    let mut hasher = Sha256::new();
    for Point { name, step, at_ms, value } in points {
        hasher.update(format!("{name} {step} {at_ms} {:x}\n", value.to_bits()));
    }
    hex(&hasher.finalize()[..8])
}

/// The path of files at `uri` on the server; none if it does not take them itself.
fn proxied(uri: &str) -> Option<&str> {
    let path = uri.strip_prefix(PROXIED)?;
    let path = path.strip_prefix("//").map_or(path, |it| it.split_once('/').map_or("", |it| it.1));
    Some(path.trim_matches('/'))
}

/// The number of the experiment called `name`, which is made if it is not there.
fn experiment(client: &Client, name: &str) -> Result<String> {
    let found = client.find("experiments/get-by-name", &[("experiment_name", name)])?;
    if let Some(found) = found {
        let found = &found["experiment"];
        if found["lifecycle_stage"] == "deleted" {
            return Err(Error::Usage {
                message: format!("the experiment `{name}` was deleted on the server"),
                help: "restore it there (`mlflow experiments restore`), or name another one with `--experiment`".into(),
            });
        }
        return Ok(found["experiment_id"].as_str().unwrap_or_default().to_owned());
    }
    let made = client.post("experiments/create", &json!({ "name": name }), Again::Harmful)?;
    Ok(made["experiment_id"].as_str().unwrap_or_default().to_owned())
}
