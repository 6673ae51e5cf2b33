//! What is answered to a request, by its path and method.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;

use ferrite_core::terminal::documented;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPECT, HeaderName, HeaderValue,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::serve::arrival::{pass_over, receive};
use crate::serve::asked::Asked;
use crate::serve::form::Form;
use crate::serve::guard::{Guard, asks_for_leave, let_ask, let_read};
use crate::serve::refusal::Refusal;
use crate::serve::{Limits, Served};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";

/// What goes out with every answer. The page loads nothing but its own files, and no page of others may hold it or
/// read what is answered, unless [`let_read`] adds that it may.
const HEADERS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

type Answer = Response<Full<Bytes>>;

/// What there is to ask for.
#[derive(Debug, Clone, Copy)]
enum Resource {
    Predict,
    Page,
    Style,
    Script,
    Model,
    Health,
}

impl Resource {
    fn at(path: &str) -> Result<Self, Refusal> {
        Ok(match path {
            "/predict" => Self::Predict,
            "/" => Self::Page,
            "/page.css" => Self::Style,
            "/page.js" => Self::Script,
            "/model" => Self::Model,
            "/health" => Self::Health,
            _ => {
                let help = "`/predict` takes pictures; `/model`, `/health` and the page at `/` are there to be read";
                let message = format!("there is nothing at `{path}`");
                return Err(Refusal::new(StatusCode::NOT_FOUND, message, help));
            }
        })
    }

    /// The methods that it takes.
    fn methods(self) -> &'static str {
        match self {
            Self::Predict => "POST",
            Self::Page | Self::Style | Self::Script | Self::Model | Self::Health => "GET, HEAD",
        }
    }
}

/// What answers requests: it holds what they share.
#[derive(Debug)]
pub(super) struct Service {
    /// Its bounds.
    pub(super) limits: Limits,
    described: Value,
    guard: Guard,
    memory: Arc<Semaphore>,
    places: Arc<Semaphore>,
    network: Sender<Asked>,
    taken: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
}

impl Service {
    /// A service that tells of its model what is `described`, and passes pictures of those on to `network` whom `guard` lets
    /// ask.
    pub(super) fn new(
        described: Value,
        guard: Guard,
        limits: Limits,
        network: Sender<Asked>,
    ) -> Self {
        Self {
            limits,
            described,
            guard,
            memory: Arc::new(Semaphore::new(limits.memory)),
            places: Arc::new(Semaphore::new(limits.queue)),
            network,
            taken: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// What came of it so far.
    pub(super) fn served(&self) -> Served {
        let [answered, refused] =
            [&self.answered, &self.refused].map(|it| it.load(Ordering::Relaxed));
        Served { answered, refused }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// None: a refusal is an answer, too.
    pub(super) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Answer, Infallible> {
        let (parts, mut body) = request.into_parts();
        let deadline = Instant::now() + self.limits.sending;
        let checked = self.guard.check(&parts);
        let page = checked.as_ref().ok().cloned().flatten();
        let answer = match checked {
            Ok(Some(_)) if asks_for_leave(&parts) => leave(parts.uri.path()),
            Ok(_) => self.answer(&parts, &mut body, deadline).await,
            Err(refusal) => Err(refusal),
        };
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                // Who waits for a word before sending is not kept waiting.
                if !parts.headers.contains_key(EXPECT) {
                    pass_over(&mut body, deadline).await;
                }
                refused(&refusal)
            }
        };
        if let Some(origin) = page {
            let_read(answer.headers_mut(), origin);
        }
        Ok(answer)
    }

    async fn answer(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let path = parts.uri.path();
        let resource = Resource::at(path)?;
        let methods = resource.methods();
        if !methods.split(", ").any(|it| parts.method == it) {
            return Err(Refusal::method(path, methods));
        }
        let (kind, content) = match resource {
            Resource::Predict => return self.predict(parts, body, deadline).await,
            Resource::Page => (HTML, include_str!("page.html").to_owned()),
            Resource::Style => (CSS, include_str!("page.css").to_owned()),
            Resource::Script => (JAVASCRIPT, include_str!("page.js").to_owned()),
            Resource::Model => (JSON, documented(self.described.clone())),
            Resource::Health => (JSON, documented(self.health())),
        };
        Ok(response(StatusCode::OK, kind, content))
    }

    fn health(&self) -> Value {
        let waiting = self.limits.queue - self.places.available_permits();
        let Served { answered, refused } = self.served();
        json!({
            "status": "ready",
            "taken": self.taken.load(Ordering::Relaxed),
            "waiting": waiting,
            "answered": answered,
            "refused": refused,
        })
    }

    /// What the model says of the picture in `body`.
    async fn predict(
        &self,
        parts: &Parts,
        body: &mut Incoming,
        deadline: Instant,
    ) -> Result<Answer, Refusal> {
        let form = Form::of(&parts.headers)?;
        let Limits { largest, sending, waiting, .. } = self.limits;
        let arrived = receive(body, form.most(largest), &self.memory);
        let arrived = timeout_at(deadline, arrived).await.map_err(|_| {
            let message = format!("the picture did not arrive within {} s", sending.as_secs());
            let help = "send it faster, or let the server begin with a longer `--send-timeout`";
            Refusal::new(StatusCode::REQUEST_TIMEOUT, message, help)
        })??;
        let picture = form.picture(arrived, largest).await?;
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| {
            let queue = self.limits.queue;
            Refusal::busy(format!("as many pictures wait for the network as may: {queue}"))
        })?;
        let (sender, answer) = oneshot::channel();
        let asked = Asked { picture, place: Some(place), answer: sender };
        let gone = || {
            let help = "look at what the server says where it runs, and begin it again";
            let message = "the network answers no more";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message, help)
        };
        self.network.send(asked).map_err(|_| gone())?;
        self.taken.fetch_add(1, Ordering::Relaxed);
        let answer = timeout(waiting, answer).await.map_err(|_| {
            let seconds = waiting.as_secs();
            Refusal::busy(format!("the picture has waited {seconds} s for the network"))
        })?;
        let told = answer.map_err(|_| gone())??;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(response(StatusCode::OK, JSON, documented(told)))
    }
}

/// Lets a page of another origin ask at `path`.
fn leave(path: &str) -> Result<Answer, Refusal> {
    let methods = Resource::at(path)?.methods();
    let mut answer = response(StatusCode::NO_CONTENT, JSON, String::new());
    let_ask(answer.headers_mut(), methods);
    Ok(answer)
}

fn refused(refusal: &Refusal) -> Answer {
    let mut answer = response(refusal.status, JSON, refusal.told());
    if let Some((name, value)) = &refusal.header {
        let value = HeaderValue::from_str(value).expect("digits and names of methods");
        answer.headers_mut().insert(name, value);
    }
    answer
}

fn response(status: StatusCode, kind: &'static str, content: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(content)));
    *answer.status_mut() = status;
    let headers = HEADERS.into_iter().chain([(CONTENT_TYPE, kind)]);
    answer.headers_mut().extend(headers.map(|(name, it)| (name, HeaderValue::from_static(it))));
    answer
}
