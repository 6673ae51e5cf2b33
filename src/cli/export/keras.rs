//! `ferrite export keras`.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::{Error, Result};

use crate::cli::export::network::Exported;
use crate::export::keras::write;

/// How Keras wants its files to end.
const EXTENSION: &str = "keras";

#[derive(Debug, Args)]
#[command(after_help = "\
The model takes pictures as gray levels from 0 to 255, `[batch, height, width, channels]`, and gives probabilities. Enlarging \
and scaling are inside. The network has to be Keras's: trained from Keras's weights, with `model.implementation = \"keras\"`, \
or VGG16 or VGG19, which are the same everywhere.

Example:
  ferrite export keras fruit/seed-0 --out fruit.keras
  python -c \"import keras; keras.models.load_model('fruit.keras').summary()\"")]
pub(in crate::cli) struct KerasArguments {
    /// The file to write, which ends in `.keras`
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    exported: Exported,
}

pub(super) fn keras_command(arguments: &KerasArguments) -> Result<()> {
    let out = &arguments.out;
    if out.extension().is_none_or(|it| it != EXTENSION) {
        return Err(Error::Usage {
            message: format!("`{}` does not end in `.{EXTENSION}`", out.display()),
            help: "Keras opens a model by its name: let it end so".into(),
        });
    }
    arguments.exported.write_file(out, write)
}
