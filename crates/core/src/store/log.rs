//! The log of a run: events as lines of JSON, each with a checksum of everything before it.
//!
//! So a line that was changed or lost is noticed, in runs that go on as well as in finished ones. Lines of older
//! versions have no checksum and are believed; one behind them covers them too.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;

use crate::error::{Error, Result};
use crate::event::{Event, FORMAT, Kind};
use crate::files::output::Output;
use crate::files::sealed;
use crate::store::artifact::damaged;

/// A log that this process appends to.
#[derive(Debug)]
pub(in crate::store) struct Log {
    path: PathBuf,
    file: Output,
    length: u64,
    hasher: Hasher,
}

impl Log {
    /// Opens the log at `path` or begins it. A last line that a killed process left without its end is cut off,
    /// so that the next event stands alone.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be read or written.
    pub(in crate::store) fn open(path: &Path) -> Result<Self> {
        let cannot = || Error::file("cannot write", path);
        let mut file = Output::append(path).map_err(cannot())?;
        let text = std::fs::read(path).map_err(Error::file("cannot read", path))?;
        let whole = whole_lines(&text);
        if whole < text.len() {
            file.cut(whole as u64).map_err(cannot())?;
        }
        let mut hasher = Hasher::new();
        hasher.update(&text[..whole]);
        Ok(Self { path: path.to_owned(), file, length: whole as u64, hasher })
    }

    /// Appends what happened, as a whole line or not at all.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written.
    pub(in crate::store) fn append(&mut self, kind: Kind) -> Result<()> {
        let event = Event { at_ms: now_ms(), kind };
        let mut line = serde_json::to_string(&event).expect("events are plain JSON");
        line.pop();
        let mut hasher = self.hasher.clone();
        hasher.update(line.as_bytes());
        let end = sealed::end(hasher.clone().finalize()) + "\n";
        hasher.update(end.as_bytes());
        line.push_str(&end);
        if let Err(error) = self.file.write_all(line.as_bytes()) {
            // The part that was written would spoil the next line.
            let _ = self.file.cut(self.length);
            return Err(Error::file("cannot write", &self.path)(error));
        }
        self.length += line.len() as u64;
        self.hasher = hasher;
        Ok(())
    }
}

/// Reads what is appended to a log by another process, as it comes.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Where the next line begins.
    from: u64,
}

impl Follower {
    /// A follower of the log at `path`, which need not be there yet, from where its last whole line ends now. What a killed
    /// process left behind that is cut off by whoever goes on.
    pub fn from_its_end(path: &Path) -> Self {
        let from = std::fs::read(path).map_or(0, |it| whole_lines(&it));
        Self { path: path.to_owned(), from: from as u64 }
    }

    /// What was appended since the last look, as far as it is whole lines. Whether they are what was written is looked at
    /// by [`events`].
    pub fn news(&mut self) -> Vec<Kind> {
        let Ok(mut file) = File::open(&self.path) else { return Vec::new() };
        let length = file.metadata().map_or(0, |it| it.len());
        if length < self.from {
            // It was set aside, and another one begun.
            self.from = 0;
        }
        let mut text = Vec::new();
        if length == self.from
            || file.seek(SeekFrom::Start(self.from)).is_err()
            || file.read_to_end(&mut text).is_err()
        {
            return Vec::new();
        }
        let whole = whole_lines(&text);
        self.from += whole as u64;
        let lines = text[..whole].split(|it| *it == b'\n');
        lines.filter_map(|it| Event::parse(it).ok()).map(|it| it.kind).collect()
    }
}

/// The events of the log at `path`, without a last line that was not written to its end.
///
/// # Errors
/// [`Error::File`]; [`Error::Damaged`] with the line that is no event, or not the one that was written;
/// [`Error::Usage`] if a newer version wrote it.
pub fn events(path: &Path) -> Result<Vec<Event>> {
    let text = std::fs::read(path).map_err(Error::file("cannot read", path))?;
    let mut events = Vec::new();
    let mut hasher = Hasher::new();
    // A last line without its end was being written when the process was killed.
    let lines = text.split_inclusive(|it| *it == b'\n').filter(|it| it.ends_with(b"\n"));
    for (index, line) in lines.enumerate() {
        let wrong = |message: &str| damaged(path, &format!("line {} {message}", index + 1));
        let (said, checksum) = sealed::split(&line[..line.len() - 1]);
        hasher.update(said);
        if checksum.is_some_and(|it| it != hasher.clone().finalize()) {
            return Err(wrong("is not what was written, or follows a line that is lost"));
        }
        hasher.update(&line[said.len()..]);
        let event = Event::parse(line).map_err(|it| wrong(&format!("is no event: {it}")))?;
        if let Kind::RunStarted(start) = &event.kind
            && start.format > FORMAT
        {
            let (path, format) = (path.display(), start.format);
            return Err(Error::Usage {
                message: format!(
                    "`{path}` has format {format}, newer than this Ferrite's {FORMAT}"
                ),
                help: "use the newer Ferrite, or another folder with `--runs`".into(),
            });
        }
        events.push(event);
    }
    Ok(events)
}

/// Where the last whole line of `text` ends.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1)
}

/// Milliseconds since 1970-01-01 UTC.
fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::failure::Failure;

    /// A log of three events below `folder`.
    fn log(folder: &Path) -> PathBuf {
        let path = folder.join("events.jsonl");
        let mut log = Log::open(&path).unwrap();
        log.append(Kind::RunInterrupted).unwrap();
        let [message, help] = ["it ends in }}".to_owned(), "{\"crc32\":\"00000000\"}".to_owned()];
        log.append(Kind::RunFailed(Failure { message, help, exit_code: 5 })).unwrap();
        drop(log);
        Log::open(&path).unwrap().append(Kind::RunInterrupted).unwrap();
        path
    }

    #[test]
    fn events_come_back_as_they_were_told() {
        let folder = tempfile::tempdir().unwrap();
        let events = events(&log(folder.path())).unwrap();
        assert_eq!(events.len(), 3);
        let Kind::RunFailed(failure) = &events[1].kind else { panic!("{events:?}") };
        assert_eq!(failure.message, "it ends in }}");
    }

    #[test]
    fn no_byte_of_a_log_can_be_flipped_and_tell_another_story() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let told = events(&path).unwrap();
        for at in 0..whole.len() {
            for bit in [1, 32, 128] {
                let mut flipped = whole.clone();
                flipped[at] ^= bit;
                std::fs::write(&path, flipped).unwrap();
                match events(&path) {
                    Err(error) => {
                        assert!(error.to_string().contains("is damaged: line"), "{error}");
                    }
                    // The last line was being written, or only its checksum is not recognised any more.
                    Ok(events) => assert!(told.starts_with(&events), "byte {at}: {events:?}"),
                }
            }
        }
    }

    #[test]
    fn a_lost_line_is_noticed_and_lines_without_checksums_are_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        std::fs::write(&path, [lines[0], lines[2]].concat()).unwrap();
        let error = events(&path).unwrap_err().to_string();
        assert!(error.contains("line 2 is not what was written, or follows a line"), "{error}");
        let old = "{\"at_ms\":1,\"event\":\"run-interrupted\"}\n";
        std::fs::write(&path, old).unwrap();
        Log::open(&path).unwrap().append(Kind::RunInterrupted).unwrap();
        assert_eq!(events(&path).unwrap().len(), 2);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen("\"at_ms\":1", "\"at_ms\":2", 1)).unwrap();
        assert!(events(&path).is_err(), "the new line covers the old one");
    }

    #[test]
    fn a_torn_last_line_is_cut_off_and_what_came_before_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"at_ms\":1,\"eve")).unwrap();
        assert_eq!(events(&path).unwrap().len(), 3);
        Log::open(&path).unwrap().append(Kind::RunInterrupted).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&whole));
        assert_eq!(events(&path).unwrap().len(), 4);
    }

    #[test]
    fn a_follower_hears_what_comes_once_and_nothing_of_before_even_behind_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        let whole = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{whole}{{\"at_ms\":1,\"eve")).unwrap();
        let mut follower = Follower::from_its_end(&path);
        assert_eq!(follower.news(), []);
        let mut log = Log::open(&path).unwrap();
        assert_eq!(follower.news(), [], "the torn line is cut off");
        log.append(Kind::RunInterrupted).unwrap();
        assert_eq!(follower.news(), [Kind::RunInterrupted]);
        assert_eq!(follower.news(), []);
        // Another log was begun in its place.
        std::fs::remove_file(&path).unwrap();
        Log::open(&path).unwrap().append(Kind::RunInterrupted).unwrap();
        assert_eq!(follower.news(), [Kind::RunInterrupted]);
    }

    #[test]
    fn a_log_of_a_newer_version_is_refused_and_not_called_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let start = r#""ferrite":"9","key":"","device":"cpu","threads":1,"resumed":false"#;
        std::fs::write(
            &path,
            format!("{{\"at_ms\":1,\"event\":\"run-started\",\"format\":99,{start}}}\n"),
        )
        .unwrap();
        let error = events(&path).unwrap_err();
        assert!(error.to_string().contains("has format 99, newer than"), "{error}");
        assert!(matches!(error, Error::Usage { .. }));
    }
}
