//! What the exports of a network have in common: the run that is named, and what is told when its files are there.

use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::error::Result;
use ferrite_core::event::FINAL;
use ferrite_core::files::create_folder;
use ferrite_core::finished::Finished;
use ferrite_core::settings::evaluate::Views;
use ferrite_core::store::find::run_of;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::status::{existing, tell};

/// Whose network is exported.
#[derive(Debug, Args)]
pub(super) struct Exported {
    /// A finished run: `fruit/seed-0`, its folder, or its experiment if that has one run
    run: PathBuf,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Exported {
    /// Lets `write` put the network of the run into the file `out`, and tells of it.
    ///
    /// # Errors
    /// What opening the run and `write` fail with; [`Error::File`](ferrite_core::error::Error::File) if there can be no such
    /// folder.
    pub(super) fn write_file(
        &self,
        out: &Path,
        write: impl FnOnce(&Finished, &Path) -> Result<()>,
    ) -> Result<()> {
        let run = self.open()?;
        if let Some(folder) = out.parent().filter(|it| !it.as_os_str().is_empty()) {
            create_folder(folder)?;
        }
        write(&run, out)?;
        self.tell(&run, &[out.to_owned()])
    }

    /// The run with its weights.
    ///
    /// # Errors
    /// [`Error::Usage`](ferrite_core::error::Error::Usage) if there is no such run or it is not finished.
    pub(super) fn open(&self) -> Result<Finished> {
        let store = existing(&self.place)?;
        Finished::open(&store, (&run_of(&store, &self.run)?, FINAL))
    }

    /// Tells which `files` were written, the one to begin with first, and what of the run's own predictions they do not do.
    ///
    /// # Errors
    /// If nothing can be printed.
    pub(super) fn tell(&self, run: &Finished, files: &[PathBuf]) -> Result<()> {
        let differences = differences(run);
        for it in &differences {
            tell(it);
        }
        if self.json {
            return print_json(&documented(json!({
                "run": run.record.name(),
                "files": files,
                "classes": run.dataset.classes,
                "image_size": run.settings.data.image_size,
                "channels": run.channels(),
                "differences": differences,
            })));
        }
        print(&format!("{}\n", files[0].display()))
    }
}

/// What of the run's own predictions an exported network does not do, a sentence each.
fn differences(run: &Finished) -> Vec<String> {
    let mut all = Vec::new();
    let views = run.settings.evaluate.views;
    if views != Views::Plain {
        all.push(format!(
            "the run's own predictions are means over several views of each image (`{views}`); what is exported looks at the image \
             as it is"
        ));
    }
    let start = run.record.facts.start.as_ref();
    if let Some(start) = start.filter(|it| it.precision != "f32") {
        all.push(format!(
            "the run computed in {}; what is exported computes in f32, so that probabilities differ by rounding",
            start.precision
        ));
    }
    if run.settings.data.faces.is_some() {
        all.push(
            "the run looks for faces; what is exported is to be shown the face, as `ferrite predict` places it"
                .into(),
        );
    }
    all
}
