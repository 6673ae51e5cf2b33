//! `ferrite export onnx`.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::event::FINAL;
use ferrite_core::files::create_folder;
use ferrite_core::finished::Finished;
use ferrite_core::settings::evaluate::Views;
use ferrite_core::store::find::run_of;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::print;

use crate::cli::status::{existing, tell};
use crate::export::onnx::write;

#[derive(Debug, Args)]
#[command(after_help = "\
The file takes pictures as gray levels from 0 to 255, `[batch, channels, height, width]`, and gives `logits` and \
`probabilities`. Enlarging and scaling are inside. It uses operator set 17.

Example:
  ferrite export onnx fruit/seed-0 --out fruit.onnx")]
pub(in crate::cli) struct OnnxArguments {
    /// A finished run: `fruit/seed-0`, its folder, or its experiment if that has one run
    run: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    place: Place,
}

pub(super) fn onnx_command(arguments: &OnnxArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let run = Finished::open(&store, (&run_of(&store, &arguments.run)?, FINAL))?;
    if let Some(folder) = arguments.out.parent().filter(|it| !it.as_os_str().is_empty()) {
        create_folder(folder)?;
    }
    write(&run, &arguments.out)?;
    tell_differences(&run);
    print(&format!("{}\n", arguments.out.display()))
}

/// Says what of the run's own predictions an exported network does not do.
pub(super) fn tell_differences(run: &Finished) {
    let views = run.settings.evaluate.views;
    if views != Views::Plain {
        tell(&format!(
            "the run's own predictions are means over several views of each image (`{views}`); what is exported looks at the image \
             as it is"
        ));
    }
    let start = run.record.facts.start.as_ref();
    if let Some(start) = start.filter(|it| it.precision != "f32") {
        tell(&format!(
            "the run computed in {}; what is exported computes in f32, so that probabilities differ by rounding",
            start.precision
        ));
    }
    if run.settings.data.faces.is_some() {
        tell(
            "the run looks for faces; what is exported is to be shown the face, as `ferrite predict` places it",
        );
    }
}
