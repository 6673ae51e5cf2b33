//! The program `ferrite-engine`, which computes: `ferrite` starts it, or becomes it.

mod explain;
mod job;
mod predict;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ferrite_core::device::Answer;
use ferrite_core::error::Error;
use ferrite_core::fault::{self, Work, caught};
use ferrite_core::terminal::arguments::{ExplainArguments, PredictArguments, ServeArguments};
use ferrite_core::terminal::{asked, ended, print_json};
use ferrite_torch::device_named;

use crate::command::explain::explain_command;
use crate::command::job::{JobArguments, job_command};
use crate::command::predict::predict_command;
use crate::command::serve::serve_command;

/// The part of Ferrite that computes; `ferrite` calls it.
#[derive(Debug, Parser)]
#[command(name = "ferrite-engine", version, about)]
struct Engine {
    #[command(subcommand)]
    command: EngineCommand,
}

#[derive(Debug, Subcommand)]
enum EngineCommand {
    /// Carry out one job in this process
    Job(JobArguments),
    /// Print what the model of a finished run says about pictures
    Predict(PredictArguments),
    /// Answer over HTTP what the model of a finished run says about pictures
    Serve(ServeArguments),
    /// Show where the network of a finished run looks, by Grad-CAM
    Explain(ExplainArguments),
    /// Print where a name of a device leads, as JSON
    Device {
        /// `auto`, `cpu`, `cuda` or `cuda:N`
        name: String,
    },
}

/// Runs the engine's command line and says how it ended.
pub fn main() -> ExitCode {
    fault::prepare();
    let command = asked::<Engine>().command;
    let work = match command {
        EngineCommand::Job(_) => Work::Training,
        EngineCommand::Predict(_) | EngineCommand::Serve(_) | EngineCommand::Explain(_) => {
            Work::Predicting
        }
        EngineCommand::Device { .. } => Work::Other,
    };
    ended(caught(work, || match command {
        EngineCommand::Job(arguments) => job_command(&arguments),
        EngineCommand::Predict(arguments) => predict_command(&arguments),
        EngineCommand::Serve(arguments) => serve_command(&arguments),
        EngineCommand::Explain(arguments) => explain_command(&arguments),
        EngineCommand::Device { name } => print_json(&answer(&name)),
    }))
}

fn answer(name: &str) -> String {
    let answer: Answer = match device_named(name) {
        Ok(device) => Ok(device.to_string()),
        Err(Error::Usage { message, help }) => Err((message, help)),
        Err(error) => Err((error.to_string(), String::new())),
    };
    serde_json::to_string(&answer).expect("plain JSON")
}
