//! `ferrite-engine job`: carries out one job in this process.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::Kind;
use ferrite_core::event::failure::Failure;
use ferrite_core::machine;
use ferrite_core::plan::job::Job;
use ferrite_core::pulse;
use ferrite_core::store::Store;
use ferrite_core::store::queued::Claim;
use ferrite_core::store::stop::Watch;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::interrupt::{
    hold_the_lifeline, interrupted, listen_for_interrupts, listen_for_the_end_of_time,
};
use ferrite_core::terminal::notes::note;
use ferrite_torch::device_named;

use crate::run;
use crate::run::{Context, Listener, Recorded};

#[derive(Debug, Args)]
pub(super) struct JobArguments {
    /// The `job.json` of a run
    job: PathBuf,
    /// Print what stands in no log as JSON lines, and stop when standard input closes
    #[arg(long)]
    events: bool,
    /// End when the step under this key is there, which others wait for
    #[arg(long, value_name = "KEY")]
    until: Option<String>,
    /// Take the run over from whoever was at it, for this job of a cluster
    #[arg(long, value_name = "JOB", conflicts_with = "events")]
    claim: Option<String>,
    /// CPU threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn job_command(arguments: &JobArguments) -> Result<()> {
    // First of all, since loading LibTorch takes long enough to be interrupted.
    listen_for_interrupts();
    listen_for_the_end_of_time();
    if arguments.events {
        hold_the_lifeline()?;
        pulse::watch(print_sign_of_life)?;
    }
    let mut told = false;
    let result = carry_out(arguments, &mut |kind: &Kind, recorded: Recorded| {
        told |= matches!(kind, Kind::RunFailed(_));
        match (arguments.events, recorded) {
            (true, Recorded::Nowhere) => print_event(kind),
            (true, Recorded::InLog) => {}
            (false, _) => note(kind),
        }
    });
    // What stops a run before it has a log is told to the scheduler all the same.
    match &result {
        Ok(()) | Err(Error::Interrupted) => {}
        Err(error) if arguments.events && !told => {
            print_event(&Kind::RunFailed(Failure::from(error)));
        }
        Err(_) => {}
    }
    result
}

fn carry_out(arguments: &JobArguments, listener: &mut Listener<'_>) -> Result<()> {
    let threads = arguments.threads.unwrap_or_else(machine::cores);
    let device = device_named(&arguments.device)?;
    ferrite_torch::start(threads, device);
    let store = Store::open(&arguments.place.runs)?;
    let path = &arguments.job;
    let text = std::fs::read(path).map_err(Error::file("cannot read", path))?;
    let job = Job::from_json(&text, path)?;
    if interrupted() {
        return Err(Error::Interrupted);
    }
    let claim = |it: &String| Claim::take(&store.root.join(&job.name), it);
    let claim = arguments.claim.as_ref().map(claim).transpose()?;
    let (claim, until) = (claim.as_ref(), arguments.until.as_deref());
    let asked = Watch::over(&store.root.join(&job.name));
    let interrupted = &|| interrupted() || asked.is_asked() || claim.is_some_and(|it| !it.holds());
    let store = &store;
    run::run(&job, Context { store, device, threads, listener, interrupted, claim, until })
}

/// A line that is no event: this process gets on, and has nothing to tell.
fn print_sign_of_life() {
    let _ = writeln!(std::io::stdout(), "\"alive\"");
}

fn print_event(kind: &Kind) {
    let line = serde_json::to_string(kind).expect("events are plain JSON");
    let mut stdout = std::io::stdout().lock();
    // Without a listener the lifeline ends this process.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}
