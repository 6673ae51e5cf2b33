//! `ferrite export torch`.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::store::folder::files;

use crate::cli::export::network::Exported;
use crate::export::torch::{SCRIPT, write};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ferrite export torch fruit/seed-0 --out fruit
  pip install torch torchvision safetensors pillow numpy     # timm for Xception
  python fruit/load.py pear.png")]
pub(in crate::cli) struct TorchArguments {
    /// The folder to write into
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    exported: Exported,
}

pub(super) fn torch_command(arguments: &TorchArguments) -> Result<()> {
    let run = arguments.exported.open()?;
    write(&run, &arguments.out)?;
    let written = [SCRIPT, files::MODEL].map(|it| arguments.out.join(it));
    arguments.exported.tell(&run, &written)
}
