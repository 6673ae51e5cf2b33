//! Arguments that commands of both programs have.

use std::path::PathBuf;

use clap::Args;

/// Where the runs are.
#[derive(Debug, Args)]
pub struct Place {
    /// The folder of runs
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    pub runs: PathBuf,
}

/// What is asked of a trained model.
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A finished run: its folder, or its name below the runs (an experiment's, if it has one run)
    pub run: PathBuf,
    /// Pictures (PNG, JPEG, WebP, TIFF, BMP, GIF, PGM, PPM), or folders of them
    #[arg(required = true)]
    pub pictures: Vec<PathBuf>,
    /// Which of its weights: `final`, or a metric that it kept a checkpoint for
    #[arg(long, default_value = "final")]
    pub weights: String,
    /// Print a JSON object for each picture, one a line
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV: path, prediction, and a column for each class
    #[arg(long)]
    pub csv: bool,
    /// Where to compute: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Where the runs are.
    #[command(flatten)]
    pub place: Place,
}
