//! Ctrl-C, and the lifeline of a worker.

use std::io::BufRead;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::{Error, Result};
use crate::fault::{Work, no_thread};

/// How often the user asked to stop.
static ASKED_TO_STOP: AtomicUsize = AtomicUsize::new(0);

/// From now on Ctrl-C, or a termination signal, asks to stop; a second one stops at once.
pub(super) fn listen_for_interrupts() {
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

pub(super) fn interrupted() -> bool {
    ASKED_TO_STOP.load(Ordering::SeqCst) > 0
}

/// Follows the process that started this one: `stop` on standard input asks to stop, and its end, which
/// also comes when that process is killed, ends this one.
///
/// # Errors
/// [`Error::Exhausted`] if the system starts no thread that listens.
pub(super) fn hold_the_lifeline() -> Result<()> {
    let listen = || {
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|it| it == "stop") {
                ASKED_TO_STOP.fetch_add(1, Ordering::SeqCst);
            }
        }
        leave_at_once();
    };
    let started = std::thread::Builder::new().spawn(listen);
    started.map(|_| ()).map_err(no_thread(Work::Training))
}
