//! `ferrite export`: runs for other programs. A program is a file here, and a line in [`ExportCommand`].

mod follow;
mod keras;
mod mlflow;
mod network;
mod onnx;
mod tensorboard;
mod torch;

use clap::Subcommand;
use ferrite_core::error::Result;

use crate::cli::export::keras::{KerasArguments, keras_command};
use crate::cli::export::mlflow::{MlflowArguments, mlflow_command};
use crate::cli::export::onnx::{OnnxArguments, onnx_command};
use crate::cli::export::tensorboard::{TensorboardArguments, tensorboard_command};
use crate::cli::export::torch::{TorchArguments, torch_command};

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Write event files for TensorBoard, one a run
    Tensorboard(TensorboardArguments),
    /// Send runs to a tracking server of MLflow
    Mlflow(MlflowArguments),
    /// Write the network of a finished run as an ONNX file, with what has to be done to pixels inside
    Onnx(OnnxArguments),
    /// Write the weights of a finished run and a script that loads them into the network of torchvision or timm
    Torch(TorchArguments),
    /// Write the network of a finished run as a `.keras` file, if it is Keras's, with what has to be done to pixels inside
    Keras(KerasArguments),
}

pub(super) fn export_command(command: &ExportCommand) -> Result<()> {
    match command {
        ExportCommand::Tensorboard(it) => tensorboard_command(it),
        ExportCommand::Mlflow(it) => mlflow_command(it),
        ExportCommand::Onnx(it) => onnx_command(it),
        ExportCommand::Torch(it) => torch_command(it),
        ExportCommand::Keras(it) => keras_command(it),
    }
}
