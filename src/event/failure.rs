//! An error as a run's log tells it.

use crate::error::Error;
use crate::event::Failure;

impl Failure {
    /// What the log says of `error`.
    pub fn of(error: &Error) -> Self {
        let help = miette::Diagnostic::help(error).map(|it| it.to_string()).unwrap_or_default();
        Self { message: error.to_string(), help, exit_code: error.exit_code() }
    }
}
