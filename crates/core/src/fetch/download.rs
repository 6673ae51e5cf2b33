//! One download: as many answers of a server as it takes, and what is done about bad ones.

use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::Body;
use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_RANGE, RANGE};

use crate::error::{Error, Result};
use crate::fetch::{Cache, Progress, agent, digest_like, length};
use crate::files::output::Output;
use crate::files::remove_file;
use crate::remote::Remote;

/// How often in a row a download may break off without a new byte.
pub(super) const TRIES: u32 = 3;

/// How long to wait before the first new try; before the next, twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// How long to wait for a connection, and for the next bytes of one.
const PATIENCE: Duration = Duration::from_secs(30);

/// Progress is said at most this often.
const SAY_EVERY: Duration = Duration::from_millis(100);

/// Bytes that are read at once.
const CHUNK: usize = 128 << 10;

/// Why a download stopped.
enum Stop {
    /// Trying again may help.
    Broken(String),
    /// Trying again will not help.
    Refused(String),
    /// Something else, with its own words.
    Failed(Error),
}

/// One download while it goes on.
pub(super) struct Download<'a> {
    pub(super) cache: &'a Cache,
    pub(super) remote: Remote<'a>,
    /// What has come so far.
    pub(super) part: &'a Path,
    pub(super) say: &'a mut dyn FnMut(Progress),
    pub(super) interrupted: &'a dyn Fn() -> bool,
    pub(super) state: State,
}

/// Where what has come of a file is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// From one answer.
    Fresh,
    /// From several answers, perhaps at different times: of different files, if the server's has changed.
    Continued,
    /// From one answer, after what was there before could not be gone on with.
    Anew,
}

impl Download<'_> {
    /// Brings the whole file and returns its digest. What was gone on with and then is another file is fetched once
    /// more, from its beginning.
    pub(super) fn verified(&mut self) -> Result<String> {
        loop {
            self.whole()?;
            let checksum = self.remote.checksum;
            let digest = digest_like(checksum, self.part)?;
            if digest.starts_with(checksum.digits()) {
                return Ok(digest);
            }
            remove_file(self.part)?;
            if self.state == State::Continued {
                self.state = State::Anew;
                continue;
            }
            let message = format!(
                "what came has the {} {digest}, but it should be {}; it was thrown away",
                checksum.name(),
                checksum.digits()
            );
            return Err(self.cache.cannot(self.remote, message));
        }
    }

    /// Brings all of the file, going on with what is there.
    fn whole(&mut self) -> Result<()> {
        let mut tries = 0;
        loop {
            let before = length(self.part);
            let message = match self.attempt() {
                Ok(()) => return Ok(()),
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::Refused(message)) => return Err(self.cache.cannot(self.remote, message)),
                Err(Stop::Broken(message)) => message,
            };
            tries = if length(self.part) > before { 1 } else { tries + 1 };
            if tries >= TRIES {
                return Err(self.cache.cannot(self.remote, message));
            }
            std::thread::sleep(PAUSE * 2_u32.pow(tries - 1));
        }
    }

    fn attempt(&mut self) -> Result<(), Stop> {
        let most = self.remote.most_bytes();
        if length(self.part) > most {
            return Err(self.begin_anew("what was there is longer than the file".into()));
        }
        let there = length(self.part);
        let mut request =
            agent(self.cache.proxy.clone(), PATIENCE).get(self.cache.address(self.remote));
        if there > 0 {
            request = request.header(RANGE, format!("bytes={there}-"));
        }
        let answer = request.call().map_err(|it| unreachable(&it))?;
        let from = match answer.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if range_start(&answer) == Some(there) => there,
            StatusCode::PARTIAL_CONTENT => {
                let why = "the server sent another part of the file than it was asked for";
                return Err(self.begin_anew(why.into()));
            }
            // Nothing is left to be sent: what is there is the whole file, or is not this file.
            StatusCode::RANGE_NOT_SATISFIABLE if there > 0 => {
                self.continued();
                return Ok(());
            }
            status if status.is_server_error() => {
                return Err(Stop::Broken(format!("the server says {status}")));
            }
            status => return Err(Stop::Refused(format!("the server says {status}"))),
        };
        if from > 0 {
            self.continued();
        }
        let of = answer.body().content_length().map(|it| it + from);
        if of.is_some_and(|it| it > most) {
            return Err(self.too_much());
        }
        let mut file = Output::open(self.part).map_err(failed(self.part))?;
        file.cut(from).map_err(failed(self.part))?;
        let done =
            self.copy(answer.into_body(), &mut file, Progress { done: from, of, anew: false })?;
        file.sync().map_err(failed(self.part))?;
        match of {
            Some(of) if done < of => {
                Err(Stop::Broken(format!("the connection ended after {done} of {of} bytes")))
            }
            _ => Ok(()),
        }
    }

    /// Appends what comes to the file, and says every now and then how much is there.
    fn copy(&mut self, body: Body, file: &mut Output, from: Progress) -> Result<u64, Stop> {
        let mut reader = body.into_reader();
        let mut chunk = vec![0; CHUNK];
        let mut done = from.done;
        let mut said: Option<Instant> = None;
        loop {
            let count = reader.read(&mut chunk);
            let count =
                count.map_err(|it| Stop::Broken(format!("the connection broke off ({it})")))?;
            if done + count as u64 > self.remote.most_bytes() {
                return Err(self.too_much());
            }
            file.write_all(&chunk[..count]).map_err(failed(self.part))?;
            done += count as u64;
            if count == 0 || said.is_none_or(|it| it.elapsed() >= SAY_EVERY) {
                said = Some(Instant::now());
                (self.say)(Progress { done, anew: self.state == State::Anew, ..from });
                if (self.interrupted)() {
                    return Err(Stop::Failed(Error::Interrupted));
                }
            }
            if count == 0 {
                return Ok(done);
            }
        }
    }

    /// Notes that what has come is of several answers.
    fn continued(&mut self) {
        if self.state == State::Fresh {
            self.state = State::Continued;
        }
    }

    /// Throws away what is there, once, because of `why`: then it is fetched from its beginning.
    fn begin_anew(&mut self, why: String) -> Stop {
        if self.state == State::Anew {
            return Stop::Refused(why);
        }
        self.state = State::Anew;
        self.throw_away(Stop::Broken(why))
    }

    /// What an answer that is too long comes to. Only if it was to go on with what was there before, the fault may
    /// lie in that.
    fn too_much(&mut self) -> Stop {
        let (most, bytes) = (self.remote.most_bytes(), self.remote.bytes);
        let why =
            format!("the server sends more than {most} bytes, and the file has about {bytes}");
        match self.state {
            State::Continued => self.begin_anew(why),
            State::Fresh | State::Anew => self.throw_away(Stop::Refused(why)),
        }
    }

    /// `stop`, or why what is there cannot be thrown away before it.
    fn throw_away(&self, stop: Stop) -> Stop {
        match remove_file(self.part) {
            Err(error) if self.part.exists() => Stop::Failed(error),
            _ => stop,
        }
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Stop {
    let path = path.to_owned();
    move |error| Stop::Failed(Error::file("cannot write", path)(error))
}

fn unreachable(error: &ureq::Error) -> Stop {
    match error {
        ureq::Error::HostNotFound => Stop::Refused("the server's name is not known here".into()),
        it => Stop::Broken(it.to_string()),
    }
}

/// The first byte that an answer to a request for a range holds.
fn range_start(answer: &ureq::http::Response<Body>) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}
