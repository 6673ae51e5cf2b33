//! Why a run cannot go on, as its log and its user hear it.

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Why a run cannot go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Why.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let help = Diagnostic::help(error).map(|it| it.to_string()).unwrap_or_default();
        Self { message: error.to_string(), help, exit_code: error.exit_code() }
    }
}
