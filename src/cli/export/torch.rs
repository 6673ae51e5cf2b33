//! `ferrite export torch`.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::event::FINAL;
use ferrite_core::finished::Finished;
use ferrite_core::store::find::run_of;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::print;

use crate::cli::export::onnx::tell_differences;
use crate::cli::status::existing;
use crate::export::torch::{SCRIPT, write};

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  ferrite export torch fruit/seed-0 --out fruit
  pip install torch torchvision safetensors pillow numpy     # timm for Xception
  python fruit/load.py pear.png")]
pub(in crate::cli) struct TorchArguments {
    /// A finished run: `fruit/seed-0`, its folder, or its experiment if that has one run
    run: PathBuf,
    /// The folder to write into
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

pub(super) fn torch_command(arguments: &TorchArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let run = Finished::open(&store, (&run_of(&store, &arguments.run)?, FINAL))?;
    write(&run, &arguments.out)?;
    tell_differences(&run);
    print(&format!("{}\n", arguments.out.join(SCRIPT).display()))
}
