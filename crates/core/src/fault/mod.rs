//! What ends a program although no error was returned: panics, and what the system refuses. Each is told as what it is.
//!
//! A panic that carries what LibTorch said is LibTorch's refusal, one that says that there is no more memory or no more
//! threads is the system's, and any other is a fault of Ferrite's own, which is told with its place.
//!
//! **Invariant:** no panic is told as something that it is not; advice fits the work that was done.

pub mod allocation;

use std::any::Any;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind};
use std::sync::Mutex;

use crate::error::{Error, Result};

/// The payload of a panic that carries what LibTorch said when it refused an operation.
#[derive(Debug)]
pub struct TorchRefused(pub String);

/// What a program is about, which decides what advice helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// It trains.
    Training,
    /// It asks a trained network about pictures.
    Predicting,
    /// It plans, reports, or looks at images and weights.
    Other,
}

/// A panic as the hook saw it.
struct Seen {
    message: String,
    /// File and line.
    place: String,
}

/// The panics of this process. A payload does not say where it comes from, so whoever catches it looks here.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());

/// Prepares this process for its end: panics are remembered with their place instead of being printed, a process
/// without memory ends with a sentence, and writing beyond a limit of file sizes is an error instead of a signal.
///
/// With `RUST_BACKTRACE` a fault of Ferrite is printed as usual too.
pub fn prepare() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        remember(panic);
        let payload = panic.payload();
        let refused =
            said_by_torch(payload).is_some() || Shortage::in_text(message_of(payload)).is_some();
        if !refused && std::env::var_os("RUST_BACKTRACE").is_some() {
            print(panic);
        }
    }));
    allocation::tell_when_it_fails();
    ignore_file_size_signal();
}

fn remember(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(String::new, |it| format!("{}:{}", source_name(it.file()), it.line()));
    let seen = Seen { message: message_of(panic.payload()).to_owned(), place };
    if let Ok(mut all) = SEEN.lock() {
        all.push(seen);
    }
}

/// A source file as it is called in its project: without the folder that a dependency was unpacked in.
fn source_name(path: &str) -> &str {
    let unpacked = path.split_once("/registry/src/").map(|(_, below)| below);
    unpacked.and_then(|below| below.split_once('/')).map_or(path, |(_, name)| name)
}

#[expect(unsafe_code, reason = "the standard library does not set what a signal does")]
fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal calls no code of ours. A write beyond the limit then fails with EFBIG.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// The result of `job`, or the error that its panic is.
///
/// # Errors
/// Those of `job`; for a panic [`Error::Torch`], [`Error::Exhausted`] or [`Error::Internal`].
pub fn caught<T>(work: Work, job: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|payload| Err(told(&*payload, work)))
}

/// The result of `read`, or the first line of what it panics with: for readers of others, some of which panic over bytes that are
/// damaged.
///
/// # Errors
/// The message of the panic.
pub fn reading<T>(read: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(read))
        .map_err(|payload| message_of(&*payload).lines().next().unwrap_or_default().to_owned())
}

/// The result of `job`, or what was said where it could not have the memory that it needs, on a processor or a GPU. Any
/// other panic goes on.
///
/// # Errors
/// What the system or LibTorch said, in a line.
pub fn within_memory<T>(job: impl FnOnce() -> T) -> std::result::Result<T, String> {
    catch_unwind(AssertUnwindSafe(job)).or_else(|payload| {
        let message = message_of(&*payload);
        let said = said_by_torch(&*payload).map_or(message, first_line);
        match Shortage::in_text(said) {
            Some(Shortage::Memory | Shortage::GpuMemory) => Err(said_by_system(said).to_owned()),
            Some(Shortage::Threads) | None => resume_unwind(payload),
        }
    })
}

/// The error behind a panic.
fn told(payload: &(dyn Any + Send), work: Work) -> Error {
    let message = message_of(payload);
    if let Some(said) = said_by_torch(payload) {
        return refused_by_torch(first_line(said), work);
    }
    exhausted(message, work).unwrap_or_else(|| {
        let seen = SEEN.lock().ok();
        let place = seen.and_then(|all| {
            all.iter().rfind(|it| it.message == message).map(|it| it.place.clone())
        });
        Error::Internal { message: message.to_owned(), place: place.unwrap_or_default() }
    })
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    text.or_else(|| payload.downcast_ref::<TorchRefused>().map(|it| it.0.as_str()))
        .unwrap_or("a panic without a message")
}

/// What LibTorch said, where `payload` carries it: as our own operations do, or as its wrapper does, which unwraps
/// results.
fn said_by_torch(payload: &(dyn Any + Send)) -> Option<&str> {
    let ours = payload.downcast_ref::<TorchRefused>().map(|it| it.0.as_str());
    ours.or_else(|| Some(message_of(payload).split_once("an `Err` value: Torch(\"")?.1))
}

/// The first line of what LibTorch said, without the list of frames behind it.
fn first_line(said: &str) -> &str {
    let said = said.split("\\n").next().unwrap_or_default();
    said.lines().next().unwrap_or_default().trim_end_matches("\")")
}

/// The error behind what LibTorch said when it refused an operation.
pub fn refused_by_torch(message: &str, work: Work) -> Error {
    if let Some(what) = Shortage::in_text(message) {
        let message = format!("there is no more {} ({message})", what.name());
        return Error::Torch { message, help: what.advice(work) };
    }
    let help = match work {
        Work::Training => {
            "this is likely a fault in Ferrite; the run's settings are in its trial.toml"
        }
        Work::Predicting | Work::Other => {
            "a weight file or settings that do not belong together may be the reason; if not, this is a fault in Ferrite"
        }
    };
    Error::Torch { message: message.to_owned(), help: help.into() }
}

/// The error of a process that says in `text` that the system refused it memory or threads, if it says so: a panic, or
/// what a process wrote to its standard error before it died.
pub fn exhausted(text: &str, work: Work) -> Option<Error> {
    let line = text.lines().find(|it| Shortage::in_text(it).is_some())?;
    let what = Shortage::in_text(line)?;
    let (what, message, help) = (what.name(), said_by_system(line).to_owned(), what.advice(work));
    Some(Error::Exhausted { what, message, help })
}

/// What the system said within a line of a library that prints its error as the program sees it.
fn said_by_system(line: &str) -> &str {
    let quoted = line.split_once("message: \"").and_then(|(_, rest)| rest.split_once('"'));
    let last = line.contains(allocation::LAST_WORDS).then_some(allocation::LAST_WORDS);
    quoted.map(|(said, _)| said).or(last).unwrap_or(line.trim())
}

/// The error of a thread that the system did not start.
pub fn no_thread(work: Work) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Exhausted {
        what: Shortage::Threads.name(),
        message: error.to_string(),
        help: Shortage::Threads.advice(work),
    }
}

/// What the system has no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shortage {
    Memory,
    GpuMemory,
    Threads,
}

impl Shortage {
    /// What `line` complains of.
    fn in_text(line: &str) -> Option<Self> {
        const GPU: [&str; 4] = [
            "CUDA out of memory",
            "CUDA error: out of memory",
            "CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN_STATUS_ALLOC_FAILED",
        ];
        const THREADS: [&str; 4] = [
            "failed to spawn thread",
            "ThreadPoolBuildError",
            "Thread creation failed",
            "Resource temporarily unavailable",
        ];
        // oneDNN says no more than that it could not create something where it gets no memory for it.
        const MEMORY: [&str; 12] = [
            "out of memory",
            "not enough memory",
            "allocate memory",
            "bad_alloc",
            "memory allocation of",
            "could not create a primitive",
            "could not create a memory",
            "could not execute a primitive",
            "Error computing Error::what()",
            allocation::LAST_WORDS,
            "failed to map segment",
            "cannot create shared object descriptor",
        ];
        let says = |all: &[&str]| all.iter().any(|it| line.contains(it));
        if says(&GPU) {
            Some(Self::GpuMemory)
        } else if says(&THREADS) {
            Some(Self::Threads)
        } else if says(&MEMORY) {
            Some(Self::Memory)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::GpuMemory => "memory on the GPU",
            Self::Threads => "threads",
        }
    }

    fn advice(self, work: Work) -> String {
        let advice = match (self, work) {
            (Self::Memory, Work::Training) => {
                "lower `batch_size` or `data.image_size`, run fewer trials at once with `--jobs`, or raise the limit \
                 of memory (`ulimit -v`, or the container's)"
            }
            (Self::GpuMemory, Work::Training) => {
                "lower `batch_size` or `data.image_size`, run fewer trials at once with `--jobs`, or train with \
                 `--device cpu`"
            }
            (Self::GpuMemory, _) => "end what else uses the GPU, or say `--device cpu`",
            (Self::Memory, _) => {
                "end other programs, or raise the limit of memory (`ulimit -v`, or the container's)"
            }
            (Self::Threads, Work::Training) => {
                "use fewer with `--threads` and `--jobs`, or raise the limits of processes and memory (`ulimit -u`, \
                 `ulimit -v`, or the container's)"
            }
            (Self::Threads, _) => {
                "end other programs, or raise the limits of processes and memory (`ulimit -u`, `ulimit -v`, or the \
                 container's)"
            }
        };
        advice.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error behind a panic with this message.
    fn behind(message: &str) -> Error {
        told(&message.to_owned(), Work::Training)
    }

    #[test]
    fn only_a_lack_of_memory_is_told_to_whoever_can_do_with_less() {
        let wrapped =
            r#"called `Result::unwrap()` on an `Err` value: Torch("std::bad_alloc\nframe #0")"#;
        let refused = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
                       allocate 8 bytes.";
        for (message, expected) in [(wrapped, "std::bad_alloc"), (refused, refused)] {
            let said = within_memory(|| panic!("{message}"));
            assert_eq!(said, Err::<(), _>(expected.to_owned()));
        }
        assert_eq!(within_memory(|| 1), Ok(1));
        let other = catch_unwind(|| within_memory(|| panic!("index out of bounds")));
        assert_eq!(message_of(&*other.unwrap_err()), "index out of bounds");
    }

    #[test]
    fn of_a_panic_in_libtorch_only_what_it_said_is_told() {
        let wrapped =
            |said: &str| format!("called `Result::unwrap()` on an `Err` value: Torch(\"{said}\")");
        for (panic, expected) in [
            (wrapped(r"bad shape\nframe #0: c10::Error\n"), "LibTorch cannot go on: bad shape"),
            (wrapped("bad shape"), "LibTorch cannot go on: bad shape"),
        ] {
            assert_eq!(behind(&panic).to_string(), expected);
        }
        let ours = told(&TorchRefused("bad shape\nframe".into()), Work::Training);
        assert_eq!(
            (ours.to_string().as_str(), ours.exit_code()),
            ("LibTorch cannot go on: bad shape", 6)
        );
    }

    #[test]
    fn a_panic_of_our_own_is_told_as_a_fault_of_ferrite_even_if_it_speaks_of_memory_or_torch() {
        for message in ["index out of bounds", "memory map too small", "Torch is not here"] {
            let error = behind(message);
            assert!(matches!(error, Error::Internal { .. }), "{error:?}");
            assert_eq!(error.exit_code(), 70);
            assert!(error.to_string().contains(message), "{error}");
        }
    }

    #[test]
    fn what_the_system_refuses_is_told_with_advice_that_fits_the_work() {
        let torch =
            |said: &str| format!("called `Result::unwrap()` on an `Err` value: Torch(\"{said}\")");
        for (panic, what, advice) in [
            (
                torch("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
                "no more memory",
                "batch_size",
            ),
            (torch("std::bad_alloc"), "no more memory", "batch_size"),
            (torch("could not create a primitive"), "no more memory", "ulimit -v"),
            (
                torch("CUDA out of memory. Tried to allocate 2 GiB"),
                "memory on the GPU",
                "--device cpu",
            ),
            ("failed to spawn thread: Os { code: 11 }".into(), "no more threads", "ulimit -u"),
            (
                "ThreadPoolBuildError { kind: IOError(Os { code: 11, message: \"not now\" }) }"
                    .into(),
                "no more threads: not now",
                "--threads",
            ),
        ] {
            let error = behind(&panic);
            let help = miette::Diagnostic::help(&error).unwrap().to_string();
            assert!(error.to_string().contains(what) && help.contains(advice), "{error}: {help}");
            assert_eq!(error.exit_code(), 6);
        }
        let error = told(&torch("std::bad_alloc"), Work::Predicting);
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(!help.contains("batch_size") && help.contains("ulimit -v"), "{help}");
    }

    #[test]
    fn what_a_dead_process_wrote_says_why_it_died_or_nothing() {
        let text = "a line\nmemory allocation of 100 bytes failed\nanother";
        let error = exhausted(text, Work::Training).unwrap();
        assert_eq!(
            error.to_string(),
            "the system gives no more memory: memory allocation of 100 bytes failed"
        );
        let gomp = "\nlibgomp: Thread creation failed: Resource temporarily unavailable";
        assert!(exhausted(gomp, Work::Training).unwrap().to_string().contains("no more threads"));
        assert!(exhausted("a line\nanother", Work::Training).is_none());
    }

    #[test]
    fn sources_of_dependencies_are_named_without_their_folder() {
        let path = "/home/x/.cargo/registry/src/index-1/tch-0.22.0/src/wrappers.rs";
        assert_eq!(source_name(path), "tch-0.22.0/src/wrappers.rs");
        assert_eq!(source_name("crates/engine/src/run/mod.rs"), "crates/engine/src/run/mod.rs");
    }
}
