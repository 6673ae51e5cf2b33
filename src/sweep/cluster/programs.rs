//! The programs of a cluster, such as `sbatch`, and what they say.

use std::path::PathBuf;
use std::process::Command;

use ferrite_core::error::{Error, Result};

/// Where the programs of a cluster are.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    /// Their folder; empty where the PATH leads to them.
    pub folder: PathBuf,
}

impl Programs {
    /// Runs the program called `name` and returns what it printed.
    ///
    /// # Errors
    /// [`Error::Usage`] with what it said if it is not there or ended badly; `help` says what is to be done then.
    pub fn run(&self, name: &str, arguments: &[&str], help: &str) -> Result<String> {
        let failed = |message: String| Error::Usage { message, help: help.to_owned() };
        let told = Command::new(self.folder.join(name)).args(arguments).output();
        let told = told.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Usage {
                message: format!("there is no program `{name}` on this computer"),
                help: "call this where jobs are submitted, on a login node of the cluster; docs/clusters.md says more"
                    .into(),
            },
            _ => failed(format!("`{name}` cannot be started: {error}")),
        })?;
        let [said, complaints] =
            [&told.stdout, &told.stderr].map(|it| String::from_utf8_lossy(it).into_owned());
        if told.status.success() {
            return Ok(said);
        }
        let complaint = complaints.trim().lines().collect::<Vec<_>>().join("; ");
        Err(failed(match complaint.as_str() {
            "" => format!("`{name}` ended with {}", told.status),
            it => format!("`{name}` says: {it}"),
        }))
    }
}
