//! `ferrite export onnx`.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::Result;

use crate::cli::export::network::Exported;
use crate::export::onnx::write;

#[derive(Debug, Args)]
#[command(after_help = "\
The file takes pictures as gray levels from 0 to 255, `[batch, channels, height, width]`, and gives `logits` and \
`probabilities`. Enlarging and scaling are inside. It uses operator set 17.

Example:
  ferrite export onnx fruit/seed-0 --out fruit.onnx")]
pub(in crate::cli) struct OnnxArguments {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    exported: Exported,
}

pub(super) fn onnx_command(arguments: &OnnxArguments) -> Result<()> {
    arguments.exported.write_file(&arguments.out, write)
}
