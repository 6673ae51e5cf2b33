//! The terminal as every command of both programs uses it: arguments, output, interrupts, and what is said meanwhile.
//!
//! **Invariant:** names of others reach no terminal with control characters.

pub mod arguments;
pub mod interrupt;
pub mod notes;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, Result, is_unprintable, printable_lines};

/// What this process is asked for; ends it where that is no command.
pub fn asked<C: Parser>() -> C {
    C::try_parse().unwrap_or_else(|error| {
        // An argument may be the name of a file that someone else chose.
        let plain = |it: OsString| !it.to_string_lossy().contains(is_unprintable);
        if std::env::args_os().all(plain) {
            error.exit();
        }
        let text = error.render().to_string();
        // A closed stderr leaves nobody to tell.
        let _ = write!(std::io::stderr(), "{}", printable_lines(&text));
        std::process::exit(error.exit_code());
    })
}

/// How a command ended, after its error was told.
pub fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // A message holds its cause already. That another handler was set is no reason to say nothing.
            let _ = miette::set_hook(Box::new(|_| {
                Box::new(miette::MietteHandlerOpts::new().without_cause_chain().build())
            }));
            for report in reports(error) {
                // A closed stderr leaves nobody to tell.
                let _ = writeln!(std::io::stderr(), "{report:?}");
            }
            ExitCode::from(code)
        }
    }
}

/// What is told of `error`: of experiment files each by itself.
fn reports(error: Error) -> Vec<miette::Report> {
    match error {
        Error::Config { files } => files.into_iter().map(miette::Report::new).collect(),
        error => vec![miette::Report::new(error)],
    }
}

/// Prints to stdout for people: names of others in it reach no terminal with control characters.
///
/// # Errors
/// [`Error::File`] if it cannot be written; a reader that went away is no failure.
pub fn print(text: &str) -> Result<()> {
    write_out(&printable_lines(text))
}

/// Prints to stdout for programs, to which every character counts. A terminal is shown it as everything else.
///
/// # Errors
/// [`Error::File`] if it cannot be written; a reader that went away is no failure.
pub fn print_data(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

/// Prints JSON to stdout. It has escapes of its own for what no terminal should carry out.
///
/// # Errors
/// [`Error::File`] if it cannot be written; a reader that went away is no failure.
pub fn print_json(text: &str) -> Result<()> {
    let escaped = |it: char| match it {
        '\n' => it.to_string(),
        it if is_unprintable(it) => format!("\\u{:04x}", u32::from(it)),
        it => it.to_string(),
    };
    write_out(&text.chars().map(escaped).collect::<String>())
}

/// Version of what commands print under `--json` (docs/json.md). Fields may come without a new version; one that
/// goes, or means something else, brings one.
pub const JSON_VERSION: u32 = 1;

/// The object `told` as text, with the version of its form and a line end behind.
pub fn documented(told: serde_json::Value) -> String {
    let mut whole = serde_json::Map::new();
    whole.insert("version".into(), JSON_VERSION.into());
    if let serde_json::Value::Object(told) = told {
        whole.extend(told);
    }
    format!("{}\n", serde_json::Value::Object(whole))
}

/// Writes to stdout. A reader that went away, as `head` does, is no failure.
fn write_out(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::file("cannot write", "stdout")(error))
        }
        _ => Ok(()),
    }
}
