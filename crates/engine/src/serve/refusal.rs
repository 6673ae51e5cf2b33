//! What is not done, why, and what to do instead: an HTTP status and JSON in the words of Ferrite's messages.

use ferrite_core::data::picture::kind::FORMATS;
use ferrite_core::data::picture::{Unusable, Why};
use ferrite_core::error::Error;
use ferrite_core::terminal::documented;
use hyper::StatusCode;
use hyper::header::{ALLOW, HeaderName, RETRY_AFTER};
use miette::Diagnostic;
use serde_json::json;

/// Why a request is not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status that says it to programs.
    pub(super) status: StatusCode,
    /// A header that belongs to the status, and its value.
    pub(super) header: Option<(HeaderName, String)>,
    message: String,
    help: String,
}

impl Refusal {
    /// A refusal of this status: what is wrong, and what to do.
    pub(super) fn new(
        status: StatusCode,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status, header: None, message: message.into(), help: help.into() }
    }

    /// There is no room now, but there will be.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        let help =
            "ask again in a second, or let the server begin with a larger `--queue` or `--memory`";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, message, help);
        Self { header: Some((RETRY_AFTER, "1".into())), ..refusal }
    }

    /// The path takes only these methods.
    pub(super) fn method(path: &str, allowed: &str) -> Self {
        let message = format!("`{path}` does not take this method");
        let refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, message, format!("use {allowed}"));
        Self { header: Some((ALLOW, allowed.into())), ..refusal }
    }

    /// The file of a picture has more than `most` bytes.
    pub(super) fn too_many_bytes(most: usize) -> Self {
        let message = format!("the picture has more than {} MiB", most >> 20);
        let help = "send a smaller one, or let the server begin with a larger `--largest`";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, message, help)
    }

    /// What is wrong, in JSON.
    pub(super) fn told(&self) -> String {
        documented(json!({
            "error": {
                "status": self.status.as_u16(),
                "message": self.message,
                "help": self.help,
            },
        }))
    }
}

impl From<Unusable> for Refusal {
    fn from(Unusable { why, message }: Unusable) -> Self {
        let formats = || format!("{FORMATS} are read");
        let (status, help) = match why {
            Why::Format => (StatusCode::UNSUPPORTED_MEDIA_TYPE, formats()),
            Why::Size => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "send a smaller one, or let the server begin with more `--most-pixels`".into(),
            ),
            Why::Damage => (
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("send the whole file as it lies on the disk; {}", formats()),
            ),
        };
        Self::new(status, format!("the picture cannot be used: {message}"), help)
    }
}

/// What the model could not do.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let help = error.help().map(|it| it.to_string()).unwrap_or_default();
        if matches!(error, Error::Exhausted { .. }) {
            return Self { help, ..Self::busy(error.to_string()) };
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), help)
    }
}
