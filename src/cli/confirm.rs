//! Asking before something is taken away for good.

use std::io::{IsTerminal, Write, stdin};

use ferrite_core::error::{Error, Result, printable_lines};

/// Whether the user wants what `question` asks: `yes` says so already, and else a person at a terminal does.
///
/// # Errors
/// [`Error::Usage`] if there is nobody to ask.
pub(super) fn confirmed(question: &str, yes: bool) -> Result<bool> {
    if yes {
        return Ok(true);
    }
    if !stdin().is_terminal() {
        return Err(Error::Usage {
            message: "nothing was removed, for there is nobody to ask".into(),
            help: "say `--yes` to remove it without a question".into(),
        });
    }
    // Without a stderr the answer is as good as no.
    let _ = write!(std::io::stderr(), "{} [y/N] ", printable_lines(question));
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(Error::file("cannot read", "stdin"))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
