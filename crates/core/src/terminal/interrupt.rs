//! Ctrl-C, what a cluster says before it takes a node away, and the lifeline of a worker.

use std::io::BufRead;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::fault::{Work, no_thread};

/// Whether this process heard a signal that asks to stop.
static SIGNALLED: AtomicBool = AtomicBool::new(false);

/// Whether the process that started this one passed such a request on. A terminal sends its signal to both, and this
/// must not look like a second one, nor must what a script of a cluster sends.
static TOLD_TO_STOP: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, or a termination signal, asks to stop; a second one stops at once.
pub fn listen_for_interrupts() {
    let heard = ctrlc::set_handler(|| {
        if SIGNALLED.swap(true, Ordering::SeqCst) {
            leave_at_once();
        }
    });
    // Without a handler the signal ends the process, and the next sweep goes on as after a kill.
    drop(heard);
}

/// From now on SIGUSR1 asks to stop, however often it comes: a cluster sends it before a job's time is over.
#[expect(unsafe_code, reason = "the standard library listens for no signal")]
pub fn listen_for_the_end_of_time() {
    extern "C" fn heard(_: libc::c_int) {
        TOLD_TO_STOP.store(true, Ordering::SeqCst);
    }
    let handler: extern "C" fn(libc::c_int) = heard;
    // SAFETY: the handler stores into an atomic and does nothing else, which a signal's may.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
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

/// Whether someone asked this process to stop.
pub fn interrupted() -> bool {
    SIGNALLED.load(Ordering::SeqCst) || TOLD_TO_STOP.load(Ordering::SeqCst)
}

/// Follows the process that started this one: `stop` on standard input asks to stop, and its end, which
/// also comes when that process is killed, ends this one.
///
/// # Errors
/// [`Error::Exhausted`] if the system starts no thread that listens.
pub fn hold_the_lifeline() -> Result<()> {
    let listen = || {
        for line in std::io::stdin().lock().lines() {
            if line.is_ok_and(|it| it == "stop") {
                TOLD_TO_STOP.store(true, Ordering::SeqCst);
            }
        }
        leave_at_once();
    };
    let started = std::thread::Builder::new().spawn(listen);
    started.map(|_| ()).map_err(no_thread(Work::Training))
}
