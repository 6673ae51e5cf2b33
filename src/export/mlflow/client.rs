//! Requests to a tracking server of MLflow, by its REST interface.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ferrite_core::error::{Error, Result};
use ferrite_core::fetch::agent;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Proxy};

/// How often what may be asked twice is asked.
const TRIES: u32 = 3;

/// How long to wait before the second try; before the third, twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to wait for a connection and for an answer. A server that has just been started takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest answer: a page of runs with all that they have.
const LONGEST_ANSWER: u64 = 256 << 20;

/// What cannot stand in the path of an address as it is.
const UNSAFE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// What MLflow's own client reads for the same.
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const USER: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";

/// A tracking server.
pub(super) struct Client {
    agent: Agent,
    address: String,
    authorization: Option<String>,
}

/// Whether a request that may have arrived can be sent again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// The server does not do the same twice.
    Harmless,
    /// It would.
    Harmful,
}

/// Why there is no good answer.
enum Failure {
    /// Trying again may help.
    Broken(String),
    /// It will not.
    Refused { status: StatusCode, code: String, message: String },
}

impl Client {
    /// The server at `address`, with the name or the token that the environment has.
    ///
    /// # Errors
    /// [`Error::Usage`] if that is no address of a server.
    pub(super) fn new(address: &str) -> Result<Self> {
        let is_http = address.starts_with("http://") || address.starts_with("https://");
        if !is_http || address.contains('@') {
            let said = address.rsplit_once('@').map_or(address, |it| it.1);
            return Err(Error::Usage {
                message: format!("`{said}` is no address of a tracking server"),
                help: format!(
                    "it begins with `http://` or `https://`, like http://127.0.0.1:5000, where `mlflow server` answers; a \
                     name and a password are taken from {USER} and {PASSWORD}, a token from {TOKEN}"
                ),
            });
        }
        let agent = agent(Proxy::try_from_env(), PATIENCE);
        let address = address.trim_end_matches('/').to_owned();
        Ok(Self { agent, address, authorization: authorization() })
    }

    /// What the server says to `GET`.
    ///
    /// # Errors
    /// [`Error::Server`] if it cannot be reached or refuses. None if it has no such thing.
    pub(super) fn find(&self, path: &str, query: &[(&str, &str)]) -> Result<Option<Value>> {
        let url = self.url(path);
        let asked = tried(Again::Harmless, &|| {
            let mut request = self.agent.get(&url).query_pairs(query.iter().copied());
            if let Some(it) = &self.authorization {
                request = request.header("Authorization", it);
            }
            answer(request.call())
        });
        match asked {
            Err(Failure::Refused { code, .. }) if code == "RESOURCE_DOES_NOT_EXIST" => Ok(None),
            asked => asked.map(Some).map_err(|it| self.failed(it)),
        }
    }

    /// What the server says to `POST` of `body`.
    ///
    /// # Errors
    /// [`Error::Server`] if it cannot be reached or refuses.
    pub(super) fn post(&self, path: &str, body: &Value, again: Again) -> Result<Value> {
        let url = self.url(path);
        let body = body.to_string();
        let asked = tried(again, &|| {
            let mut request = self.agent.post(&url).header("Content-Type", "application/json");
            if let Some(it) = &self.authorization {
                request = request.header("Authorization", it);
            }
            answer(request.send(&body))
        });
        asked.map_err(|it| self.failed(it))
    }

    /// Sends the file at `path` as the artifact called `name`.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read; [`Error::Server`] if the server cannot be reached or refuses.
    pub(super) fn put(&self, name: &str, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(Error::file("cannot read", path))?;
        drop(file);
        let name = utf8_percent_encode(name, UNSAFE);
        let url = format!("{}/api/2.0/mlflow-artifacts/artifacts/{name}", self.address);
        let asked = tried(Again::Harmless, &|| {
            let file = File::open(path).map_err(|it| Failure::Broken(it.to_string()))?;
            let mut request =
                self.agent.put(&url).header("Content-Type", "application/octet-stream");
            if let Some(it) = &self.authorization {
                request = request.header("Authorization", it);
            }
            answer(request.send(&file))
        });
        asked.map(drop).map_err(|it| self.failed(it))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/2.0/mlflow/{path}", self.address)
    }

    fn failed(&self, failure: Failure) -> Error {
        let url = self.address.clone();
        match failure {
            Failure::Broken(message) => Error::Server {
                url,
                message: format!("does not answer: {message}"),
                help: "start it with `mlflow server`, or name another one with `--to`; the same command goes on where this \
                       one stopped"
                    .into(),
            },
            Failure::Refused {
                status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, ..
            } => Error::Server {
                url,
                message: "does not let this user in".into(),
                help: format!("set {TOKEN}, or {USER} and {PASSWORD}, as for MLflow's own client"),
            },
            Failure::Refused { status, code, message } => {
                let said = if code.is_empty() { status.to_string() } else { code };
                let message = format!("refuses what it is asked ({said}): {message}");
                let help = "see what its log says; `mlflow server` of version 2 or newer is meant".into();
                Error::Server { url, message, help }
            }
        }
    }
}

/// What the environment says for the header of the same name: MLflow's own client prefers name and password to the token.
fn authorization() -> Option<String> {
    let said = |name: &str| std::env::var(name).ok().filter(|it| !it.is_empty());
    let basic = said(USER).zip(said(PASSWORD)).map(|(user, password)| {
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    });
    basic.or_else(|| said(TOKEN).map(|it| format!("Bearer {it}")))
}

/// Asks until there is an answer, or asking again would not help.
fn tried(again: Again, ask: &dyn Fn() -> Result<Value, Failure>) -> Result<Value, Failure> {
    let mut tries = 1;
    loop {
        match ask() {
            Err(Failure::Broken(_)) if again == Again::Harmless && tries < TRIES => {
                std::thread::sleep(PAUSE * 2_u32.pow(tries - 1));
                tries += 1;
            }
            answer => return answer,
        }
    }
}

/// The JSON of an answer.
fn answer(asked: Result<Response<Body>, ureq::Error>) -> Result<Value, Failure> {
    let broken = |it: ureq::Error| Failure::Broken(it.to_string());
    let mut answer = asked.map_err(broken)?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(LONGEST_ANSWER).read_to_string();
    let text = body.map_err(broken)?;
    let said: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(said);
    }
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Failure::Broken(format!("it says {status}")));
    }
    let word = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    let (code, message) = (word("error_code"), word("message"));
    let message = if message.is_empty() { text.chars().take(200).collect() } else { message };
    Err(Failure::Refused { status, code, message })
}
