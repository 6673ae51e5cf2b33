//! A trained model that answers over HTTP: a picture comes in, and what `ferrite predict` says of it goes out.
//!
//! Two threads share the work. One speaks HTTP ([`listen`], [`service`]) and takes pictures in ([`arrival`], [`form`]); the
//! other holds the network and asks it about all that wait ([`asked`]). What a picture becomes on its way through the network is
//! [`predict`](crate::predict)'s, and only that.
//!
//! **Invariant:** everything has a bound: connections, bytes, pixels, pictures that wait, seconds. Who asks gets an answer, or a
//! refusal that says what to do; what was taken is answered before the server ends.

mod arrival;
mod asked;
mod form;
mod guard;
mod listen;
mod refusal;
mod service;

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use std::time::Duration;

use ferrite_core::error::{Error, Result};
use ferrite_core::fault::{Work, caught, no_thread};
use serde_json::{Value, json};

use crate::predict::{Member, Model};
use crate::serve::asked::answer_all;
use crate::serve::guard::Guard;
use crate::serve::listen::run;
use crate::serve::service::Service;

/// What a server takes, and how long it waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Pictures that wait for the network.
    pub queue: usize,
    /// Pictures that go through the network together.
    pub batch: usize,
    /// Bytes of a picture's file.
    pub largest: usize,
    /// Pixels of a picture.
    pub pixels: u64,
    /// Bytes of all pictures' files that arrive and wait.
    pub memory: usize,
    /// How long the head of a request may take to arrive, and then its picture.
    pub sending: Duration,
    /// How long a picture that has arrived may wait for its answer.
    pub waiting: Duration,
}

/// What came of a server's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Pictures that were answered.
    pub answered: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// Listens at a host, by its name or address, and a port; 0 is a free one.
///
/// # Errors
/// [`Error::Usage`] if that cannot be listened at.
pub fn listener(host: &str, port: u16) -> Result<TcpListener> {
    let bound = TcpListener::bind((host, port));
    bound.map_err(|error| Error::Usage {
        message: format!("cannot listen at `{host}`, port {port}: {error}"),
        help: "choose another port with `--port` (0 takes a free one), or one of this machine's addresses with `--host`"
            .into(),
    })
}

/// What programs are told of a `model` that is served within `limits`. What is of one run stands at the top only where one
/// answers.
pub fn described(model: &Model, limits: &Limits) -> Value {
    let runs: Vec<Value> = model.members.iter().map(of_run).collect();
    let mut told = match runs.as_slice() {
        [one] => one.clone(),
        _ => json!({}),
    };
    told["runs"] = runs.into();
    told["classes"] = json!(model.classes);
    told["finds_faces"] = model.finds_faces().into();
    told["limits"] = json!({
        "queue": limits.queue,
        "batch": limits.batch,
        "largest_bytes": limits.largest,
        "most_pixels": limits.pixels,
        "memory_bytes": limits.memory,
        "send_seconds": limits.sending.as_secs(),
        "wait_seconds": limits.waiting.as_secs(),
    });
    told
}

fn of_run(Member { origin, channels, image_size, .. }: &Member) -> Value {
    let judged = origin.evaluation.as_ref().map(|it| {
        let (accuracy, loss) = (it.scores.accuracy, it.scores.loss);
        json!({ "split": it.split, "images": it.images, "accuracy": accuracy, "loss": loss })
    });
    json!({
        "run": origin.run,
        "key": origin.key,
        "weights": origin.weights,
        "judged": judged,
        "image_size": image_size,
        "channels": channels,
    })
}

/// Answers with `model` whatever comes to `listener`, from pages of these other `origins` as well, until this process is asked to stop and everything that came before is
/// answered.
///
/// # Errors
/// [`Error::Exhausted`] if the system starts no thread; [`Error::File`] if it does not let this one listen.
pub fn serve(
    model: &Model,
    (listener, address): (TcpListener, SocketAddr),
    limits: &Limits,
    origins: &[String],
) -> Result<Served> {
    let (sender, asked) = channel();
    let guard = Guard { local: address.ip().is_loopback(), origins: origins.to_owned() };
    let service = Service::new(described(model, limits), guard, *limits, sender);
    let http = move || caught(Work::Predicting, || run(listener, service));
    let http = std::thread::Builder::new().name("http".into()).spawn(http);
    let http = http.map_err(no_thread(Work::Predicting))?;
    answer_all(model, &asked, limits);
    http.join().expect("its panics are caught")
}
