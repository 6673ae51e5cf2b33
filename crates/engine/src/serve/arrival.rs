//! How the bytes of a request arrive: as many as are wanted, in memory that is counted.

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Bytes, Incoming};
use memmap2::MmapMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::serve::refusal::Refusal;

/// What is passed over of a request that is refused while it still arrives, in bytes. Most programs read the refusal only after
/// they have sent everything.
const PASSED_OVER: usize = 1 << 30;

/// Bytes that arrived, in pages of their own: what was not written to takes no memory, and what is dropped goes back to the
/// system at once. The allocator keeps large blocks instead, as is best for LibTorch.
#[derive(Debug)]
pub(super) struct Held {
    pages: MmapMut,
    length: usize,
    /// The memory that they are counted in, as long as they are there.
    counted: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.pages[..self.length]
    }
}

impl Held {
    /// Nothing yet, with room for so many bytes, which are `counted` as they come.
    fn with_room(most: usize, counted: OwnedSemaphorePermit) -> Result<Self, Refusal> {
        let pages = MmapMut::map_anon(most.max(1)).map_err(|_| no_room())?;
        Ok(Self { pages, length: 0, counted })
    }

    /// Adds `bytes`, for which there is room.
    fn add(&mut self, bytes: &[u8]) {
        self.pages[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// What `part` finds in these bytes, counted as they were.
    ///
    /// # Errors
    /// Those of `part`, and if the system has no memory left.
    pub(super) async fn replaced<P: Future<Output = Result<Bytes, Refusal>>>(
        self,
        part: impl FnOnce(Bytes) -> P,
    ) -> Result<Self, Refusal> {
        let Self { pages, length, counted } = self;
        let found = part(Bytes::from_owner(pages).slice(..length)).await?;
        let mut held = Self::with_room(found.len(), counted)?;
        held.add(&found);
        Ok(held)
    }
}

/// Receives a body of at most `most` bytes, which are taken from `memory` as they arrive.
///
/// # Errors
/// If it is larger, if there is no memory left, or if it breaks off.
pub(super) async fn receive(
    body: &mut Incoming,
    most: usize,
    memory: &Arc<Semaphore>,
) -> Result<Held, Refusal> {
    let announced = body.size_hint().upper().unwrap_or(u64::MAX);
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::too_many_bytes(most));
    }
    let mut arrived = Held::with_room(most.min(announced as usize), taken(memory, 0)?)?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            let help = "send as many bytes as `Content-Length` says";
            Refusal::new(StatusCode::BAD_REQUEST, "the request breaks off", help)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if arrived.length + data.len() > most {
            return Err(Refusal::too_many_bytes(most));
        }
        arrived.counted.merge(taken(memory, data.len())?);
        arrived.add(&data);
    }
    Ok(arrived)
}

/// So many bytes of `memory`.
fn taken(memory: &Arc<Semaphore>, bytes: usize) -> Result<OwnedSemaphorePermit, Refusal> {
    let taken = memory.clone().try_acquire_many_owned(bytes as u32);
    taken.map_err(|_| no_room())
}

fn no_room() -> Refusal {
    Refusal::busy("the pictures that arrive and wait take all the memory that they may")
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
