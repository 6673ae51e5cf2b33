//! The command line: what can be asked of Ferrite. A command is a file, and a line in [`Command`].

mod data;
pub mod engine;
mod fitting;
mod interrupt;
mod job;
mod layers;
mod new;
mod plan;
mod predict;
mod run;
mod select;
mod show;
mod sweep;
mod weights;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::cli::data::{DataCommand, data_command};
use crate::cli::engine::become_engine;
use crate::cli::new::{NewArguments, new_command};
use crate::cli::plan::{PlanArguments, plan_command};
use crate::cli::predict::PredictArguments;
use crate::cli::run::{RunArguments, run_command};
use crate::cli::show::{report_command, status_command};
use crate::cli::sweep::{SweepArguments, sweep_command};
use crate::cli::weights::{WeightsCommand, weights_command};
use crate::config::docs::manual;
use crate::config::editors;
use crate::error::{Error, Result, is_unprintable, printable_lines};
use crate::fault::{self, Work, caught};

/// Declarative transfer-learning experiments on face images.
#[derive(Debug, Parser)]
#[command(name = "ferrite", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a commented experiment file to begin with
    New(NewArguments),
    /// Carry out every trial that is not finished, then write the report
    Sweep(SweepArguments),
    /// Print every trial and step and what is finished; change nothing
    Plan(PlanArguments),
    /// Carry out trials that failed, and what else is not finished
    Retry(SweepArguments),
    /// Carry out one trial in this process, from its `trial.toml`
    Run(RunArguments),
    /// Print what the model of a finished run says about pictures
    Predict(PredictArguments),
    /// Write the report of all runs
    Report(Place),
    /// Print how far every run is
    Status(Place),
    /// Published weights and weight files: list, fetch, import, inspect
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Look at images before training on them
    #[command(subcommand)]
    Data(DataCommand),
    /// Print the reference manual of experiment files
    Docs {
        /// Print their JSON schema, from which editors complete and check, instead
        #[arg(long)]
        schema: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder of runs
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub(super) runs: PathBuf,
}

/// What this process is asked for; ends it where that is no command.
fn asked<C: Parser>() -> C {
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

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    fault::prepare();
    ended(caught(Work::Other, || match asked::<Cli>().command {
        Command::New(arguments) => new_command(&arguments),
        Command::Sweep(arguments) => sweep_command(&arguments, false),
        Command::Retry(arguments) => sweep_command(&arguments, true),
        Command::Plan(arguments) => plan_command(&arguments),
        Command::Report(place) => report_command(&place),
        Command::Status(place) => status_command(&place),
        Command::Weights(command) => weights_command(&command),
        Command::Data(command) => data_command(&command),
        Command::Docs { schema: false } => print(&manual()),
        Command::Docs { schema: true } => print_json(&editors::schema()),
        Command::Run(arguments) => run_command(&arguments),
        Command::Predict(_) => become_engine(),
    }))
}

fn ended(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

/// Prints to stdout for people: names of others in it reach no terminal with control characters.
fn print(text: &str) -> Result<()> {
    write_out(&printable_lines(text))
}

/// Prints to stdout for programs, to which every character counts. A terminal is shown it as everything else.
fn print_data(text: &str) -> Result<()> {
    if std::io::stdout().is_terminal() { print(text) } else { write_out(text) }
}

/// Prints JSON to stdout. It has escapes of its own for what no terminal should carry out.
fn print_json(text: &str) -> Result<()> {
    let escaped = |it: char| match it {
        '\n' => it.to_string(),
        it if is_unprintable(it) => format!("\\u{:04x}", u32::from(it)),
        it => it.to_string(),
    };
    write_out(&text.chars().map(escaped).collect::<String>())
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
