//! Pictures that wait for the network, and the thread that asks it about them.

use std::sync::mpsc::Receiver;

use ferrite_core::data::picture::decode_up_to;
use ferrite_core::fault::{Work, caught};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::predict::Model;
use crate::serve::Limits;
use crate::serve::arrival::Held;
use crate::serve::refusal::Refusal;

/// A picture that someone asks about.
#[derive(Debug)]
pub(super) struct Asked {
    /// The bytes of its file.
    pub(super) picture: Held,
    /// Its place in the queue, until the network is asked.
    pub(super) place: Option<OwnedSemaphorePermit>,
    /// Where what the model says goes. Who does not wait for it any more has closed it.
    pub(super) answer: oneshot::Sender<Result<serde_json::Value, Refusal>>,
}

/// The bytes of files beyond which a batch takes no further picture: many large ones would keep all that are in it waiting.
const BYTES_OF_A_BATCH: usize = 8 << 20;

/// Answers everything that is `asked`, until nobody is left who could ask.
pub(super) fn answer_all(model: &Model, asked: &Receiver<Asked>, limits: &Limits) {
    while let Ok(first) = asked.recv() {
        let mut bytes = first.picture.as_ref().len();
        let mut batch = vec![first];
        while batch.len() < limits.batch && bytes < BYTES_OF_A_BATCH {
            let Ok(next) = asked.try_recv() else { break };
            bytes += next.picture.as_ref().len();
            batch.push(next);
        }
        batch.retain(|it| !it.answer.is_closed());
        for it in &mut batch {
            it.place = None;
        }
        answer(model, batch, limits.pixels);
    }
}

/// Answers a `batch` of pictures of at most so many `pixels`.
fn answer(model: &Model, batch: Vec<Asked>, pixels: u64) {
    let open = |it: &Asked| Ok::<_, Refusal>(decode_up_to(it.picture.as_ref(), pixels)?);
    match caught(Work::Predicting, || Ok(model.guess(&batch, open))) {
        Ok(guesses) => {
            for (asked, guesses) in batch.into_iter().zip(guesses) {
                tell(asked, guesses.map(|it| model.told(&it)));
            }
        }
        Err(error) if batch.len() == 1 => {
            let refusal = Refusal::from(error);
            for it in batch {
                tell(it, Err(refusal.clone()));
            }
        }
        Err(_) => {
            // What one picture asks too much for must not cost the others their answers.
            ferrite_torch::memory::give_back();
            for it in batch {
                answer(model, vec![it], pixels);
            }
        }
    }
}

fn tell(asked: Asked, answer: Result<serde_json::Value, Refusal>) {
    drop(asked.picture);
    // Who does not wait for it any more needs none.
    let _ = asked.answer.send(answer);
}
