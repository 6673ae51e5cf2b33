//! How the bytes of a request arrive: as many as are wanted, in memory that is counted.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::serve::refusal::Refusal;

/// What is passed over of a request that is refused while it still arrives, in bytes. Most programs read the refusal only after
/// they have sent everything.
const PASSED_OVER: usize = 1 << 30;

/// The body of a request.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// The memory that they are counted in, until they are dropped.
    pub(super) memory: OwnedSemaphorePermit,
}

/// Receives a body of at most `most` bytes, which are taken from `memory` as they arrive.
///
/// # Errors
/// If it is larger, if there is no memory left, or if it breaks off.
pub(super) async fn receive(
    body: &mut Incoming,
    most: usize,
    memory: &Arc<Semaphore>,
) -> Result<Arrived, Refusal> {
    let mut arrived = Arrived { bytes: Vec::new(), memory: taken(memory, 0)? };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let help = "send as many bytes as `Content-Length` says";
            Refusal::new(StatusCode::BAD_REQUEST, "the request breaks off", help)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if arrived.bytes.len() + data.len() > most {
            return Err(Refusal::too_many_bytes(most));
        }
        arrived.memory.merge(taken(memory, data.len())?);
        arrived.bytes.extend_from_slice(&data);
    }
    Ok(arrived)
}

/// So many bytes of `memory`.
fn taken(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let taken = memory.clone().try_acquire_many_owned(bytes as u32);
    taken.map_err(|_| {
        Refusal::busy("the pictures that arrive and wait take all the memory that they may")
    })
}

/// Passes over what is left of a body, as far as it arrives before `deadline`.
pub(super) async fn pass_over(body: &mut Incoming, deadline: Instant) {
    let all = async {
        let mut passed = 0;
        while let Some(Ok(frame)) = body.frame().await {
            passed += frame.data_ref().map_or(0, Bytes::len);
            if passed > PASSED_OVER {
                break;
            }
        }
    };
    // Who has not sent it by then loses the connection.
    let _ = timeout_at(deadline, all).await;
}
