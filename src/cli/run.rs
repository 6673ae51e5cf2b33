//! `ferrite run`: one trial in this process.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::Place;
use crate::cli::interrupt::{hold_the_lifeline, interrupted, listen_for_interrupts};
use crate::cli::select::Disk;
use crate::config::read::{Written, read_trial};
use crate::error::{Error, Result};
use crate::event::Kind;
use crate::plan;
use crate::plan::Trial;
use crate::run;
use crate::run::Context;
use crate::store::Store;
use crate::torch;
use crate::torch::Device;

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The `trial.toml` of a run
    pub(super) trial: PathBuf,
    /// Print every event as a JSON line, and stop when standard input closes
    #[arg(long)]
    pub(super) events: bool,
    /// CPU threads [default: all cores]
    #[arg(long)]
    pub(super) threads: Option<usize>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    pub(super) device: String,
    #[command(flatten)]
    pub(super) place: Place,
}

pub(super) fn run_command(arguments: &RunArguments) -> Result<()> {
    let threads = arguments.threads.unwrap_or_else(torch::cores);
    let device = Device::named(&arguments.device)?;
    torch::start(threads, device);
    let store = Store::open(&arguments.place.runs)?;
    let written = read_trial(&arguments.trial, &store.root)?;
    let trial = only_trial(&written, &store)?;
    listen_for_interrupts();
    if arguments.events {
        hold_the_lifeline()?;
    }
    let mut listener = |kind: &Kind| {
        if arguments.events {
            let line = serde_json::to_string(kind).expect("events are plain JSON");
            let mut stdout = std::io::stdout().lock();
            // Without a listener the lifeline ends this process.
            let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        }
    };
    let context = Context {
        store: &store,
        device,
        threads,
        listener: &mut listener,
        interrupted: &interrupted,
    };
    run::run(&trial, context)
}

/// The trial of a `trial.toml`, under the name that its folder has.
fn only_trial(written: &Written, store: &Store) -> Result<Trial> {
    let folder = written.path.parent().and_then(Path::file_name);
    let trials = plan::trials(std::slice::from_ref(written), &Disk { store })?;
    let [trial] = &trials[..] else {
        return Err(Error::Usage {
            message: format!("`{}` describes {} trials", written.path.display(), trials.len()),
            help: "use `ferrite sweep` for experiments; `run` takes the trial.toml of one run"
                .into(),
        });
    };
    let id = folder.map_or_else(|| trial.id.clone(), |it| it.to_string_lossy().into_owned());
    Ok(Trial { id, ..trial.clone() })
}
