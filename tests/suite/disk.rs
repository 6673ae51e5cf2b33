//! What planning asks of a disk, answered without one.

use std::path::Path;

use ferrite_core::data::Data;
use ferrite_core::data::fingerprint::identify;
use ferrite_core::data::source::Source;
use ferrite_core::error::Result;
use ferrite_core::model::WeightFile;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::plan::{FinishedRun, Lookup};

/// A disk on which every file of others holds its own name. What is drawn is identified as always.
pub(crate) struct NamesAsContent;

impl Lookup for NamesAsContent {
    fn images(&self, data: &Data) -> Result<String> {
        match &data.source {
            Source::Synthetic(_) => identify(data, Path::new("no-cache")).map(|it| it.fingerprint),
            other => Ok(format!("the images of {}", name(&other.place()))),
        }
    }

    fn file(&self, path: &Path) -> Result<String> {
        Ok(format!("the content of {}", name(path)))
    }

    fn weights(&self, file: &WeightFile, _: Backbone) -> Result<(WeightFile, Implementation)> {
        Ok((file.clone(), Implementation::default()))
    }

    fn run(&self, name: &str) -> Result<FinishedRun> {
        let implementation = Implementation::default();
        Ok(FinishedRun { name: name.into(), key: format!("the key of {name}"), implementation })
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
