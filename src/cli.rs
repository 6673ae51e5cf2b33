//! The command line: what can be asked of Ferrite.

use std::fmt::Write as _;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use sha2::{Digest, Sha256};

use crate::config::docs::manual;
use crate::config::read::{Written, read, read_trial};
use crate::data::Data;
use crate::data::fingerprint::{fingerprint, hex};
use crate::error::{Error, Result};
use crate::event::Kind;
use crate::plan;
use crate::plan::{Lookup, Trial};
use crate::progress::Display;
use crate::report;
use crate::run;
use crate::run::Context;
use crate::store::Store;
use crate::store::read::{all, finished_key};
use crate::store::record::State;
use crate::sweep;
use crate::sweep::{Said, Settings, Standing, standing};
use crate::torch;
use crate::torch::Device;

/// Declarative transfer-learning experiments on face images.
#[derive(Debug, Parser)]
#[command(name = "ferrite", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Carry out every trial that is not finished, then write the report
    Sweep(SweepArguments),
    /// Print every trial and step and what is finished; change nothing
    Plan(Selection),
    /// Carry out trials that failed, and what else is not finished
    Retry(SweepArguments),
    /// Carry out one trial in this process, from its `trial.toml`
    Run(RunArguments),
    /// Write the report of all runs
    Report(Place),
    /// Print how far every run is
    Status(Place),
    /// Print the reference manual of experiment files
    Docs,
}

#[derive(Debug, Args)]
struct Place {
    /// The folder of runs
    #[arg(long, default_value = "runs", value_name = "FOLDER")]
    runs: PathBuf,
}

#[derive(Debug, Args)]
struct Selection {
    /// Experiment files, or folders of them
    #[arg(default_value = "experiments")]
    experiments: Vec<PathBuf>,
    /// Change a setting of every named experiment, e.g. `--set data.limit=2000`; what they start from stays
    /// as it is written
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct SweepArguments {
    #[command(flatten)]
    selection: Selection,
    /// Trials at once; the processor's threads are divided among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// CPU threads of each trial [default: all cores, divided by the jobs]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    device: String,
    /// Stop at the first trial that fails
    #[arg(long)]
    fail_fast: bool,
    /// Print what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Say nothing but the report's path
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The `trial.toml` of a run
    trial: PathBuf,
    /// Print every event as a JSON line, and stop when standard input closes
    #[arg(long)]
    events: bool,
    /// CPU threads [default: all cores]
    #[arg(long)]
    threads: Option<usize>,
    /// Where to train: `auto`, `cpu`, `cuda`, `cuda:N`
    #[arg(long, default_value = "auto")]
    device: String,
    #[command(flatten)]
    place: Place,
}

/// Runs the command line and says how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Sweep(arguments) => sweep_command(&arguments, false),
        Command::Retry(arguments) => sweep_command(&arguments, true),
        Command::Plan(selection) => plan_command(&selection),
        Command::Run(arguments) => run_command(&arguments),
        Command::Report(place) => report_command(&place),
        Command::Status(place) => status_command(&place),
        Command::Docs => print(&manual()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = error.exit_code();
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
    }
}

/// Prints to stdout. A reader that went away, as `head` does, is no failure.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::file("cannot write", "stdout")(error))
        }
        _ => Ok(()),
    }
}

/// How often the user asked to stop.
static ASKED_TO_STOP: AtomicUsize = AtomicUsize::new(0);

/// From now on Ctrl-C, or a termination signal, asks to stop; a second one stops at once.
fn listen_for_interrupts() {
    let heard = ctrlc::set_handler(|| {
        if ASKED_TO_STOP.fetch_add(1, Ordering::SeqCst) > 0 {
            leave_at_once();
        }
    });
    // Without a handler the signal ends the process, and the next sweep goes on as after a kill.
    drop(heard);
}

/// Ends this process without tidying up, as a kill would.
///
/// `std::process::exit` takes down LibTorch's tables while another thread still computes with them;
/// what that thread then meets would be written into the run's log as its failure.
#[expect(unsafe_code, reason = "the standard library only ends a process with its exit handlers")]
fn leave_at_once() -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(i32::from(Error::Interrupted.exit_code())) }
}

fn interrupted() -> bool {
    ASKED_TO_STOP.load(Ordering::SeqCst) > 0
}

/// The disk, as planning asks for it.
struct Disk<'a> {
    store: &'a Store,
}

impl Lookup for Disk<'_> {
    fn images(&self, data: &Data) -> Result<String> {
        fingerprint(data, &self.store.fingerprints())
    }

    fn file(&self, path: &Path) -> Result<String> {
        let bytes = fs_err::read(path).map_err(Error::file("cannot read", path))?;
        Ok(hex(&Sha256::digest(bytes)))
    }

    fn run(&self, name: &str) -> Result<String> {
        finished_key(self.store, name).ok_or_else(|| Error::Usage {
            message: format!("there is no finished run `{name}`, whose weights are asked for"),
            help: "name a folder below the runs; `ferrite status` lists them".into(),
        })
    }
}

/// The experiment files that `paths` mean: files as they are, folders as the `.toml` files in them.
fn experiment_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_file() {
            files.push(path.clone());
            continue;
        }
        if !path.exists() {
            return Err(Error::Usage {
                message: format!("there is no experiment `{}`", path.display()),
                help: "name `.toml` files, or folders of them; the default is `experiments`".into(),
            });
        }
        let entries = fs_err::read_dir(path).map_err(Error::file("cannot read", path))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|it| it.ok().map(|it| it.path()))
            .filter(|it| it.extension().is_some_and(|it| it == "toml"))
            .collect();
        found.sort();
        if found.is_empty() {
            return Err(Error::Usage {
                message: format!("there is no experiment in `{}`", path.display()),
                help: "put a `.toml` file there; README.md shows one".into(),
            });
        }
        files.append(&mut found);
    }
    Ok(files)
}

fn experiments(selection: &Selection) -> Result<Vec<Written>> {
    read(&experiment_files(&selection.experiments)?, &selection.set)
}

fn sweep_command(arguments: &SweepArguments, retry: bool) -> Result<()> {
    if arguments.dry_run {
        return plan_command(&arguments.selection);
    }
    let device = Device::named(&arguments.device)?.to_string();
    let written = experiments(&arguments.selection)?;
    let store = Store::open(&arguments.selection.place.runs)?;
    let trials = plan::trials(&written, &Disk { store: &store })?;
    let jobs = usize::from(arguments.jobs);
    let threads = arguments.threads.map_or((torch::cores() / jobs).max(1), usize::from);
    let settings = Settings { jobs, threads, device, retry, fail_fast: arguments.fail_fast };
    let mut display = Display::new(arguments.quiet);
    listen_for_interrupts();
    let started = Instant::now();
    let said = &mut |it: Said<'_>| {
        if let Said::Planned(todo @ 1..) = it {
            let (of, device) = (trials.len(), &settings.device);
            display.say(&format!("{todo} of {of} trials to do, {jobs} at once on {device}"));
        }
        display.show(it);
    };
    let summary = sweep::sweep(&store, &trials, &settings, said, &interrupted)?;
    let index = write_report(&store)?;
    let (done, found) = (summary.done.len(), summary.found.len());
    let seconds = started.elapsed().as_secs_f64();
    display
        .say(&format!("{done} trials carried out in {seconds:.1} s, {found} were finished before"));
    print(&format!("{}\n", index.display()))?;
    if summary.failed.is_empty() {
        return Ok(());
    }
    let (failed, names) = (summary.failed.len(), summary.failed.join(", "));
    Err(Error::TrialsFailed { failed, total: trials.len(), names })
}

fn plan_command(selection: &Selection) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let trials = plan::trials(&experiments(selection)?, &Disk { store: &store })?;
    let mut text = String::new();
    let mut todo = 0;
    for trial in &trials {
        let standing = standing(&store, trial);
        todo += usize::from(matches!(standing, Standing::Interrupted | Standing::New));
        let state = match standing {
            Standing::Finished => "finished",
            Standing::Failed(_) => "failed earlier",
            Standing::Interrupted => "to go on with",
            Standing::New => "to do",
        };
        let _ = writeln!(text, "{}  {state}", trial.name());
        for step in &trial.steps {
            let (kind, key) = (step.kind.name(), &step.key[..8]);
            let found = store.has(step.kind.name(), &step.key);
            let found = if found { "  there" } else { "" };
            let _ = writeln!(text, "  {kind:9} {key}  {}{found}", step.stage);
        }
    }
    print(&format!("{text}{} trials, {todo} to do\n", trials.len()))
}

fn run_command(arguments: &RunArguments) -> Result<()> {
    let threads = arguments.threads.unwrap_or_else(torch::cores);
    torch::start(threads);
    let device = Device::named(&arguments.device)?;
    let store = Store::open(&arguments.place.runs)?;
    let written = read_trial(&arguments.trial, &store.root)?;
    let trial = only_trial(&written, &store)?;
    listen_for_interrupts();
    if arguments.events {
        hold_the_lifeline();
    }
    // What LibTorch panics with is told as an error, once.
    std::panic::set_hook(Box::new(|_| {}));
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

/// Follows the process that started this one: `stop` on standard input asks to stop, and its end, which
/// also comes when that process is killed, ends this one.
fn hold_the_lifeline() {
    std::thread::spawn(|| {
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|it| it == "stop") {
                ASKED_TO_STOP.fetch_add(1, Ordering::SeqCst);
            }
        }
        leave_at_once();
    });
}

fn write_report(store: &Store) -> Result<PathBuf> {
    let runs = all(store);
    report::write(&runs.records, &runs.damaged, &store.root)
}

fn report_command(place: &Place) -> Result<()> {
    let index = write_report(&Store::open(&place.runs)?)?;
    print(&format!("{}\n", index.display()))
}

fn status_command(place: &Place) -> Result<()> {
    let runs = all(&Store { root: place.runs.clone() });
    let mut text = String::new();
    for record in &runs.records {
        let state = match &record.state {
            State::Running => "running".to_owned(),
            State::Finished => "finished".to_owned(),
            State::Failed(failure) => format!("failed: {}", failure.message),
            State::Interrupted => "interrupted".to_owned(),
        };
        let epochs: usize = record.facts.stages.iter().map(|it| it.epochs.len()).sum();
        let (experiment, trial) = (&record.experiment, &record.trial);
        let seconds = record.seconds;
        let _ = writeln!(text, "{experiment}/{trial}  {epochs} epochs  {seconds:.0} s  {state}");
    }
    for error in &runs.damaged {
        let _ = writeln!(text, "{error}");
    }
    print(&text)
}
