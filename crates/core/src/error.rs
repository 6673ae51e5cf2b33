//! What can go wrong, as far as a user can do something about it, and the exit code of each.
//!
//! Knows no other module but `digits`. **Invariant:** every message names the file, row or setting it speaks of, and holds nothing
//! that a terminal would carry out: names come from others' files.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};
use thiserror::Error;

use crate::digits::counted;

/// A setting that cannot be right, named by its dotted key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted key of the setting, relative to the table that judged it; list items by position.
    pub key: String,
    /// What is wrong with it and what would be right: a fragment without a full stop.
    pub message: String,
    /// Whether the key itself is wrong, rather than its value.
    pub of_key: bool,
}

impl Problem {
    /// A problem with the value of `key`.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into(), of_key: false }
    }

    /// A problem with `key` itself.
    pub fn of_key(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { of_key: true, ..Self::new(key, message) }
    }

    /// A problem with `key` unless `fine`.
    pub fn unless(fine: bool, key: &str, message: &str) -> Option<Self> {
        (!fine).then(|| Self::new(key, message))
    }

    /// The same problem seen from the table that holds this one under `table`.
    pub fn within(self, table: &str) -> Self {
        let key = if self.key.is_empty() { table.into() } else { format!("{table}.{}", self.key) };
        Self { key, ..self }
    }
}

/// Everything that is wrong with one experiment file, each problem at its place.
#[derive(Debug)]
pub struct FileProblems {
    /// The file's name and text, for pointing into.
    pub source: Arc<NamedSource<String>>,
    /// One labelled place per problem, in file order.
    pub problems: Vec<LabeledSpan>,
    /// How many further problems are not listed, because nobody would read them all.
    pub left_out: usize,
}

impl fmt::Display for FileProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len() + self.left_out;
        let count = counted(count, "problem");
        write!(f, "{count} in `{}`", printable(self.source.name()))?;
        match self.left_out {
            0 => Ok(()),
            _ => write!(f, ", of which the first {} are shown", self.problems.len()),
        }
    }
}

impl std::error::Error for FileProblems {}

impl Diagnostic for FileProblems {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&*self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.problems.iter().cloned()))
    }
}

/// A failure the user can do something about.
#[derive(Debug, Error, Diagnostic)]
pub enum Error {
    /// Experiment files that cannot be read as settings, or whose settings contradict each other.
    #[error("the experiments cannot run as they are written")]
    Config {
        /// Every problem of every file.
        #[related]
        files: Vec<FileProblems>,
    },

    /// A command-line argument that names nothing.
    #[error("{}", printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Usage {
        /// What is wrong.
        message: String,
        /// What to type instead.
        help: String,
    },

    /// Images or labels that cannot be read.
    #[error("cannot use `{}`{}: {}", shown(path), at_place(place), printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Data {
        /// The file or folder.
        path: PathBuf,
        /// Where in it, e.g. `row 17`; empty for the whole.
        place: String,
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },

    /// A weight file that does not fit the network.
    #[error("cannot load weights from `{}`: {}", shown(path), printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Weights {
        /// The weight file.
        path: PathBuf,
        /// What is wrong, naming the first tensor.
        message: String,
        /// What to do.
        help: String,
    },

    /// A file that cannot be downloaded.
    #[error("cannot download `{}`: {}", printable(url), printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Download {
        /// What was asked for.
        url: String,
        /// Why it did not come.
        message: String,
        /// Where to put the file by hand.
        help: String,
    },

    /// A server that cannot be reached, or does not do what it is asked.
    #[error("the server at `{}` {}", printable(url), printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Server {
        /// Its address.
        url: String,
        /// What it did, e.g. `refuses the token`.
        message: String,
        /// What to do.
        help: String,
    },

    /// A file or folder that the operating system refused.
    #[error("{action} `{}`: {source}", shown(path))]
    #[diagnostic(help("{}", help_for(source)))]
    File {
        /// What was tried, e.g. `cannot write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// A file of ours under `runs/` that does not hold what it should.
    #[error("`{}` is damaged: {}", shown(path), printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
        /// What to do.
        help: String,
    },

    /// The loss stopped being a number.
    #[error(
        "training diverged in stage `{}`, epoch {epoch}, step {step}: the loss is {loss}",
        printable(stage)
    )]
    #[diagnostic(help(
        "lower the learning rate of stage `{0}` (`stages.{0}.optimizer`), or check its input",
        printable(stage)
    ))]
    Diverged {
        /// Name of the stage.
        stage: String,
        /// Epoch, counted from 1.
        epoch: usize,
        /// Step within the epoch, counted from 1.
        step: usize,
        /// The value that was not finite.
        loss: f64,
    },

    /// LibTorch refused an operation or a device.
    #[error("LibTorch cannot go on: {}", printable(message))]
    #[diagnostic(help("{}", printable(help)))]
    Torch {
        /// The first line of what LibTorch said.
        message: String,
        /// What to do.
        help: String,
    },

    /// Trials of a sweep that failed, or whose process died; the others are finished.
    #[error("{}", trials_left(failed, interrupted, *total))]
    #[diagnostic(help("{}", help_for_trials(failed, interrupted)))]
    TrialsFailed {
        /// Names of those that failed.
        failed: Vec<String>,
        /// Names of those that were interrupted, because their process died, or that of the trial they start from.
        interrupted: Vec<String>,
        /// How many were to be carried out.
        total: usize,
    },

    /// Stopped by Ctrl-C or a termination signal.
    #[error("interrupted; the next sweep goes on from the last finished epoch")]
    Interrupted,

    /// The system refuses this process more memory or threads.
    #[error("the system gives no more {what}: {message}")]
    #[diagnostic(help("{help}"))]
    Exhausted {
        /// What there is no more of, e.g. `memory`.
        what: &'static str,
        /// What was said when it was refused.
        message: String,
        /// What to do.
        help: String,
    },

    /// A fault in Ferrite itself.
    #[error("Ferrite has a fault: {message}{}", in_source(place))]
    #[diagnostic(help(
        "nothing that you did should lead here: please report this message, the command, and ferrite's version ({}); of a \
         run, its trial.toml and events.jsonl help to find the reason",
        env!("CARGO_PKG_VERSION")
    ))]
    Internal {
        /// What the panic said.
        message: String,
        /// The source file and line that it comes from; empty if nobody knows.
        place: String,
    },
}

impl Error {
    /// The process exit code; listed in README.md and stable.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::TrialsFailed { .. } => 1,
            Self::Config { .. } | Self::Usage { .. } => 2,
            Self::Data { .. } => 3,
            Self::Weights { .. } => 4,
            Self::File { .. } | Self::Damaged { .. } => 5,
            Self::Torch { .. } | Self::Exhausted { .. } => 6,
            Self::Download { .. } | Self::Server { .. } => 7,
            Self::Diverged { .. } => 10,
            Self::Internal { .. } => 70,
            Self::Interrupted => 130,
        }
    }

    /// A closure for `map_err`: `action` on `path` failed.
    pub fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source: without_controls(innermost(source)) }
    }
}

/// `text` with every character that a terminal would carry out, or that would change the order of what is read,
/// as an escape like `\u{1b}`. Names of files, columns and tensors are of others. A newline is such a character,
/// so whole texts are made printable line by line.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().map(|it| {
        if is_unprintable(it) { it.escape_unicode().to_string() } else { it.to_string() }
    });
    Cow::Owned(escaped.collect())
}

/// A text of several lines, each of them [`printable`].
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    if !text.contains(|it| it != '\n' && is_unprintable(it)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split('\n').map(printable).collect::<Vec<_>>().join("\n"))
}

/// Whether a terminal carries `it` out (C0, DEL, C1), begins a line at it, or reads on in another direction.
pub fn is_unprintable(it: char) -> bool {
    it.is_control() || matches!(it, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn trials_left(failed: &[String], interrupted: &[String], total: usize) -> String {
    let of = |names: &[String], verb: &str| {
        let names_of = printable(&names.join(", ")).into_owned();
        (!names.is_empty())
            .then(|| format!("{} of {} {verb}: {names_of}", names.len(), counted(total, "trial")))
    };
    let were = if interrupted.len() == 1 { "was interrupted" } else { "were interrupted" };
    let told = [of(failed, "failed"), of(interrupted, were)];
    told.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn help_for_trials(failed: &[String], interrupted: &[String]) -> &'static str {
    match (failed, interrupted) {
        (_, []) => {
            "each is told above, with the reason; `ferrite retry` carries out the failed ones again"
        }
        ([], _) => "the next `ferrite sweep` goes on with what was interrupted",
        _ => {
            "each is told above, with the reason; `ferrite retry` carries out the failed ones again and goes on with what \
             was interrupted, `ferrite sweep` only the latter"
        }
    }
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

/// What the operating system said, without what wraps it: `fs-err` names the path, which the message names already.
fn innermost(error: std::io::Error) -> std::io::Error {
    let inner = error.get_ref().and_then(|it| it.source());
    let inner = inner.and_then(|it| it.downcast_ref::<std::io::Error>());
    inner.and_then(std::io::Error::raw_os_error).map_or(error, std::io::Error::from_raw_os_error)
}

/// `error` in printable words: its text may hold a path, and is shown as it is where causes are listed.
fn without_controls(error: std::io::Error) -> std::io::Error {
    match printable(&error.to_string()) {
        Cow::Borrowed(_) => error,
        Cow::Owned(text) => std::io::Error::new(error.kind(), text),
    }
}

fn at_place(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(", {}", printable(place)) }
}

fn in_source(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" ({place})") }
}

fn help_for(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    // The standard library has no name for these.
    if let Some(libc::EMFILE | libc::ENFILE) = source.raw_os_error() {
        return "too many files are open: raise the limit (`ulimit -n`), or run fewer trials at once with `--jobs`";
    }
    if source.raw_os_error() == Some(libc::EIO) {
        return "the disk or the network drive does not answer as it should: look into the system's log (`dmesg`)";
    }
    match source.kind() {
        ErrorKind::NotFound => "check the path; it is relative to the folder you run `ferrite` in",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "make the folder writable, or choose another one with the option that names it: `--out`, `--page` or `--runs`"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some disk space and run it again"
        }
        ErrorKind::FileTooLarge => "raise the limit of file sizes (`ulimit -f`) and run it again",
        ErrorKind::OutOfMemory => {
            "end other programs, or raise the limit of memory (`ulimit -v`, or the container's)"
        }
        ErrorKind::WouldBlock => {
            "the system starts no more processes or threads: end others, or raise the limit (`ulimit -u`, or the \
             container's)"
        }
        _ => "check the path and the permissions",
    }
}

/// The result of anything that can fail in a way a user can mend.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(printable(text), shown);
    }

    #[test]
    fn what_a_terminal_carries_out_is_shown_and_nothing_else_is_changed() {
        check("a\u{1b}[2Jb", "a\\u{1b}[2Jb");
        check("\u{0}\t\r\n\u{7f}\u{9b}", "\\u{0}\\u{9}\\u{d}\\u{a}\\u{7f}\\u{9b}");
        check("\u{2028}\u{202e}txt\u{2066}\u{2069}", "\\u{2028}\\u{202e}txt\\u{2066}\\u{2069}");
        for plain in ["", "glücklich 😀 `a\\b` Ελλ.toml", "\u{200d}\u{fe0f}"] {
            check(plain, plain);
            assert!(matches!(printable(plain), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn trials_are_counted_in_the_singular_and_in_the_plural() {
        let names = |n: usize| (0..n).map(|it| format!("t{it}")).collect::<Vec<_>>();
        let told = |failed, interrupted, total| {
            let (failed, interrupted) = (names(failed), names(interrupted));
            Error::TrialsFailed { failed, interrupted, total }.to_string()
        };
        assert_eq!(told(1, 0, 1), "1 of 1 trial failed: t0");
        assert_eq!(told(0, 2, 3), "2 of 3 trials were interrupted: t0, t1");
        assert_eq!(
            told(2, 1, 5),
            "2 of 5 trials failed: t0, t1; 1 of 5 trials was interrupted: t0"
        );
    }

    #[test]
    fn a_text_keeps_its_lines() {
        assert_eq!(printable_lines("a\n\u{1b}b\r\n"), "a\n\\u{1b}b\\u{d}\n");
        assert!(matches!(printable_lines("a\nb\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn no_error_sends_control_characters_to_the_terminal() {
        let bad = "a\u{1b}[2J\u{9b}b".to_owned();
        let path = PathBuf::from(&bad);
        let (message, help, failed) = (bad.clone(), bad.clone(), vec![bad.clone()]);
        let text = || bad.clone();
        let errors = [
            Error::Usage { message, help },
            Error::Data { path: path.clone(), place: text(), message: text(), help: text() },
            Error::Weights { path: path.clone(), message: text(), help: text() },
            Error::Download { url: text(), message: text(), help: text() },
            Error::file("cannot read", &path)(std::io::Error::other(text())),
            Error::Damaged { path, message: text(), help: text() },
            Error::Diverged { stage: text(), epoch: 1, step: 1, loss: f64::NAN },
            Error::Torch { message: text(), help: text() },
            Error::TrialsFailed { failed, interrupted: vec![bad.clone()], total: 2 },
        ];
        for error in errors {
            let told = error.help().map(|it| it.to_string()).unwrap_or_default();
            let causes = std::error::Error::source(&error).map(ToString::to_string);
            let told = format!("{error}{told}{}", causes.unwrap_or_default());
            assert!(!told.contains(is_unprintable), "{told:?}");
            assert!(told.contains("a\\u{1b}[2J\\u{9b}b"), "{told}");
        }
    }
}
