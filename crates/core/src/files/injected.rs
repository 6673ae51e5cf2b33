//! Operations on files that fail because a test wants them to: a hook for tests, and for nothing else.
//!
//! The variable [`VARIABLE`] says which, in five words: the program (`ferrite` or `ferrite-engine`), the kind of operation
//! (`create`, `write`, `sync`, `rename`, `remove`, or `any`), which of these in each process, counted from 1 (`7`: that one;
//! `7+`: that one and all after it), the error (`ENOSPC`, `EIO`, `EROFS`), and a file to which a line is added for each
//! operation that was made to fail. The variable is read once. Where it is not set, an operation costs one comparison more.

use std::io::{Error, Result, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pulse::beat;

/// The name of the variable.
const VARIABLE: &str = "FERRITE_TEST_FILE_FAULT";

/// What is done to a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::files) enum Operation {
    /// A file or a folder is made.
    Create,
    /// Bytes are written, or a file is cut off.
    Write,
    /// What was written is to be on the disk.
    Sync,
    /// A file or a folder gets another name.
    Rename,
    /// A file or a folder is taken away.
    Remove,
}

const OPERATIONS: [(&str, Operation); 5] = [
    ("create", Operation::Create),
    ("write", Operation::Write),
    ("sync", Operation::Sync),
    ("rename", Operation::Rename),
    ("remove", Operation::Remove),
];

const ERRORS: [(&str, i32); 3] =
    [("ENOSPC", libc::ENOSPC), ("EIO", libc::EIO), ("EROFS", libc::EROFS)];

/// Which operations are to fail, and how.
#[derive(Debug)]
struct Fault {
    /// None: any.
    operation: Option<Operation>,
    first: u64,
    /// Whether those after the first fail, too.
    stays: bool,
    error: i32,
    /// Where it is told.
    told: PathBuf,
    seen: AtomicU64,
}

/// Whether this operation on what lies at `path` may be tried; if not, the error that a test wants.
pub(in crate::files) fn may(operation: Operation, path: &Path) -> Result<()> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    beat();
    match FAULT.get_or_init(wanted) {
        None => Ok(()),
        Some(fault) => fault.may(operation, path),
    }
}

/// What the variable asks of this program.
fn wanted() -> Option<Fault> {
    let text = std::env::var(VARIABLE).ok()?;
    let program = std::env::current_exe().ok()?;
    let (whose, fault) = Fault::read(&text).expect("the variable of a test is in its form");
    (program.file_name()? == whose).then_some(fault)
}

impl Fault {
    /// The fault that `text` asks for, and of which program.
    fn read(text: &str) -> Option<(&str, Self)> {
        let mut words = text.splitn(5, ' ');
        let (program, operation, at) = (words.next()?, words.next()?, words.next()?);
        let (error, told) = (words.next()?, words.next()?);
        let operation = match operation {
            "any" => None,
            name => Some(OPERATIONS.iter().find(|it| it.0 == name)?.1),
        };
        let first = at.trim_end_matches('+').parse().ok()?;
        let error = ERRORS.iter().find(|it| it.0 == error)?.1;
        let (stays, told, seen) = (at.ends_with('+'), told.into(), AtomicU64::new(0));
        Some((program, Self { operation, first, stays, error, told, seen }))
    }

    fn may(&self, operation: Operation, path: &Path) -> Result<()> {
        if self.operation.is_some_and(|it| it != operation) {
            return Ok(());
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        if number < self.first || (number > self.first && !self.stays) {
            return Ok(());
        }
        self.tell(operation, path)?;
        Err(Error::from_raw_os_error(self.error))
    }

    fn tell(&self, operation: Operation, path: &Path) -> Result<()> {
        let name = OPERATIONS.iter().find(|it| it.1 == operation).map_or("", |it| it.0);
        let line = format!("{name} {}\n", path.display());
        let mut file = std::fs::File::options().create(true).append(true).open(&self.told)?;
        file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of ten operations, in turn writes and syncs, fail under this text.
    fn failing(text: &str) -> Vec<u32> {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join("told with a space");
        let text = format!("{text} {}", told.display());
        let (program, fault) = Fault::read(&text).unwrap();
        assert_eq!(program, "ferrite-engine");
        let operation = |it| if it % 2 == 0 { Operation::Sync } else { Operation::Write };
        let fails = |it: &u32| match fault.may(operation(*it), Path::new("runs/a")) {
            Err(error) => error.raw_os_error() == Some(libc::EROFS),
            Ok(()) => false,
        };
        let failing: Vec<u32> = (1..=10).filter(fails).collect();
        let lines = std::fs::read_to_string(told).unwrap_or_default().lines().count();
        assert_eq!(lines, failing.len());
        failing
    }

    #[test]
    fn the_operation_that_is_named_fails_and_is_told() {
        assert_eq!(failing("ferrite-engine any 3 EROFS"), [3]);
        assert_eq!(failing("ferrite-engine write 3 EROFS"), [5]);
        assert_eq!(failing("ferrite-engine sync 3+ EROFS"), [6, 8, 10]);
        assert!(failing("ferrite-engine rename 1 EROFS").is_empty());
    }

    #[test]
    fn what_is_not_in_the_form_is_no_fault() {
        for text in
            ["", "ferrite", "ferrite any x EIO t", "ferrite any 1 EPERM t", "f read 1 EIO t"]
        {
            assert!(Fault::read(text).is_none(), "{text}");
        }
    }
}
