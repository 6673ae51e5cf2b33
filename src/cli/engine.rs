//! How `ferrite` calls `ferrite-engine`, which lies beside it and alone needs LibTorch.
//!
//! Loading LibTorch takes a third of a second. What only plans, lists and reports does not wait for it: no crate that this
//! one names needs LibTorch. The engine is started where something is computed.

use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output};

use ferrite_core::device::Answer;
use ferrite_core::error::{Error, Result};
use ferrite_core::fault::{Work, exhausted};
use ferrite_core::machine;

use crate::cli::run::RunArguments;

const NAME: &str = "ferrite-engine";

/// The engine, which lies beside this program.
///
/// # Errors
/// [`Error::Usage`] if it does not.
pub(super) fn engine() -> Result<PathBuf> {
    let here = std::env::current_exe().map_err(Error::file("cannot find", "ferrite"))?;
    let engine = here.with_file_name(NAME);
    if engine.is_file() {
        return Ok(engine);
    }
    Err(Error::Usage {
        message: format!("`{}` is missing, which trains and predicts", engine.display()),
        help: "`make install` puts both on the PATH, and so does `cargo install --path crates/engine`; keep them in one \
               folder"
            .into(),
    })
}

/// Becomes the engine, with the arguments of this process.
///
/// # Errors
/// [`Error::Usage`] or [`Error::File`] if it cannot be started. Else it does not return.
pub(super) fn become_engine() -> Result<()> {
    becoming(|engine| {
        engine.args(std::env::args_os().skip(1));
    })
}

/// Becomes the engine that carries out the job in the file `job`, as `arguments` say.
///
/// # Errors
/// As of [`become_engine`].
pub(super) fn become_worker(job: &Path, arguments: &RunArguments) -> Result<()> {
    becoming(|engine| {
        engine.arg("job").arg(job).args(["--device", &arguments.device]);
        engine.args(arguments.threads.map(|it| format!("--threads={it}")));
        engine.arg("--runs").arg(&arguments.place.runs);
    })
}

fn becoming(with: impl FnOnce(&mut Process)) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let engine = engine()?;
    if machine::memory_is_limited() {
        // The system's loader would end it with a message of its own, and nobody would be left to explain it.
        device(&engine, "cpu")?;
    }
    let mut process = Process::new(&engine);
    with(&mut process);
    Err(Error::file("cannot start", &engine)(process.exec()))
}

/// The device that `name` asks for, as `engine` sees them: `cpu` or `cuda:N`.
///
/// # Errors
/// [`Error::Usage`] if it leads nowhere, or if the engine does not answer.
pub(super) fn device(engine: &Path, name: &str) -> Result<String> {
    let told = Process::new(engine).args(["device", name]).output();
    let told = told.map_err(Error::file("cannot start", engine))?;
    let answer = serde_json::from_slice::<Answer>(&told.stdout);
    let answer = answer.map_err(|_| does_not_start(engine, &told))?;
    answer.map_err(|(message, help)| Error::Usage { message, help })
}

/// The error of an engine that gave no answer: what the system's loader complained about, or how it died.
fn does_not_start(engine: &Path, told: &Output) -> Error {
    use std::os::unix::process::ExitStatusExt;
    let text = String::from_utf8_lossy(&told.stderr);
    if let Some(error) = exhausted(&text, Work::Other) {
        return error;
    }
    let (said, help) = match (told.status.signal(), text.lines().last()) {
        (Some(_), _) => (
            told.status.to_string(),
            "it may have been killed for memory: look into the system's log (`dmesg`); if not, build it again with \
             `make build`",
        ),
        (None, said) => {
            (said.unwrap_or("it says nothing").to_owned(), "build it again with `make build`")
        }
    };
    let message = format!("`{}` does not start: {said}", engine.display());
    Error::Usage { message, help: help.into() }
}
