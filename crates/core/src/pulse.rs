//! Signs of life: whoever gets on with something says so here, so that a process which computes can be told from one that
//! only exists.
//!
//! A beat is one addition. It is said where work gets on: for a block of a network, a file that is written, a picture, a
//! look at a lock that others hold. A thread that only shows that its process lives would say nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::Result;
use crate::fault::{Work, no_thread};

static BEATS: AtomicU64 = AtomicU64::new(0);

/// How often [`watch`] looks.
const EVERY: Duration = Duration::from_secs(1);

/// Something was got on with.
pub fn beat() {
    BEATS.fetch_add(1, Ordering::Relaxed);
}

/// From now on `tell` is called about every second in which there was a beat, by a thread of its own.
///
/// # Errors
/// [`crate::error::Error::Exhausted`] if the system starts no thread.
pub fn watch(tell: impl Fn() + Send + 'static) -> Result<()> {
    // Before the thread is there, so that no beat is missed while it comes up.
    let mut before = BEATS.load(Ordering::Relaxed);
    let look = move || {
        loop {
            std::thread::sleep(EVERY);
            let now = BEATS.load(Ordering::Relaxed);
            if now != before {
                before = now;
                tell();
            }
        }
    };
    std::thread::Builder::new().spawn(look).map(drop).map_err(no_thread(Work::Training))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_beat_is_told_and_nothing_else_is() {
        let (sender, told) = channel();
        watch(move || sender.send(()).unwrap_or_default()).unwrap();
        beat();
        told.recv_timeout(Duration::from_mins(1)).unwrap();
    }
}
