//! The command line: what can be asked of Ferrite. A command is a file, and a line in [`Command`].

mod cluster;
mod completions;
mod confirm;
mod data;
mod diff;
mod draw;
mod engine;
mod ensemble;
mod export;
mod fitting;
mod gc;
mod hardware;
mod jobs;
mod known;
mod layers;
mod networks;
mod new;
mod pick;
mod plan;
mod planned;
mod refresh;
mod remove;
mod report;
mod rm;
mod run;
mod scores;
mod select;
mod show;
mod status;
mod stop;
mod sweep;
mod table;
mod weights;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use ferrite_core::config::docs::manual;
use ferrite_core::config::editors;
use ferrite_core::fault::{self, Work, caught};
use ferrite_core::terminal::arguments::{ExplainArguments, PredictArguments, ServeArguments};
use ferrite_core::terminal::{asked, ended, print, print_json};

use crate::cli::completions::{
    CompletionsArguments, ManArguments, completions_command, man_command,
};
use crate::cli::data::{DataCommand, data_command};
use crate::cli::diff::{DiffArguments, diff_command};
use crate::cli::engine::become_engine;
use crate::cli::ensemble::{EnsembleArguments, ensemble_command};
use crate::cli::export::{ExportCommand, export_command};
use crate::cli::gc::{GcArguments, gc_command};
use crate::cli::new::{NewArguments, new_command};
use crate::cli::plan::{PlanArguments, plan_command};
use crate::cli::report::{ReportArguments, report_command};
use crate::cli::rm::{RmArguments, rm_command};
use crate::cli::run::{RunArguments, run_command};
use crate::cli::show::{ShowArguments, show_command};
use crate::cli::status::{StatusArguments, status_command};
use crate::cli::stop::{StopArguments, stop_command};
use crate::cli::sweep::{SweepArguments, sweep_command};
use crate::cli::weights::{WeightsCommand, weights_command};

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
    /// Try failed trials again, and those that wait for them; `sweep` carries out the rest
    Retry(SweepArguments),
    /// Stop sweeps or runs of other terminals at the end of their epoch
    Stop(StopArguments),
    /// Carry out one trial in this process, from its `trial.toml`
    Run(RunArguments),
    /// Print what the model of a finished run says about pictures
    Predict(PredictArguments),
    /// Answer over HTTP what the model of a finished run says about pictures, with a page that asks
    Serve(ServeArguments),
    /// Show where the network of a finished run looks, by Grad-CAM
    Explain(ExplainArguments),
    /// Write the report of all runs
    Report(ReportArguments),
    /// Write runs for other programs: TensorBoard, MLflow
    #[command(subcommand)]
    Export(ExportCommand),
    /// Print how far every run and sweep is, and scores; `--watch` goes on doing so
    Status(StatusArguments),
    /// Print everything about a run, or about the runs of an experiment
    Show(ShowArguments),
    /// Hold two runs or experiments against each other: settings, scores, classes, images
    Diff(DiffArguments),
    /// Let several runs answer together, and say how much better they are about the test images than each alone
    Ensemble(EnsembleArguments),
    /// Remove runs
    Rm(RmArguments),
    /// Remove what neither experiments nor runs refer to
    Gc(GcArguments),
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
    /// Print what completes commands in a shell
    Completions(CompletionsArguments),
    /// Write manual pages
    Man(ManArguments),
}

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    fault::prepare();
    ended(caught(Work::Other, || match asked::<Cli>().command {
        Command::New(arguments) => new_command(&arguments),
        Command::Sweep(arguments) => sweep_command(&arguments, false),
        Command::Retry(arguments) => sweep_command(&arguments, true),
        Command::Plan(arguments) => plan_command(&arguments),
        Command::Report(arguments) => report_command(&arguments),
        Command::Export(command) => export_command(&command),
        Command::Status(arguments) => status_command(&arguments),
        Command::Stop(arguments) => stop_command(&arguments),
        Command::Rm(arguments) => rm_command(&arguments),
        Command::Gc(arguments) => gc_command(&arguments),
        Command::Show(arguments) => show_command(&arguments),
        Command::Diff(arguments) => diff_command(&arguments),
        Command::Ensemble(arguments) => ensemble_command(&arguments),
        Command::Weights(command) => weights_command(&command),
        Command::Data(command) => data_command(&command),
        Command::Docs { schema: false } => print(&manual()),
        Command::Docs { schema: true } => print_json(&editors::schema()),
        Command::Completions(arguments) => completions_command(&mut Cli::command(), &arguments),
        Command::Man(arguments) => man_command(&Cli::command(), &arguments),
        Command::Run(arguments) => run_command(&arguments),
        Command::Predict(_) | Command::Serve(_) | Command::Explain(_) => become_engine(),
    }))
}
