//! How large the gradients of a stage are.

use serde::{Deserialize, Serialize};

use crate::event::number;

/// How large the gradient of an epoch's last optimizer step was, as the backward pass gave it: before clipping, weight decay
/// and whatever the optimizer makes of it.
///
/// Of one step, so that it costs a pass over the gradient an epoch. On a GPU, where steps are recorded, that step is carried
/// out without the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gradient {
    /// The L2 norm of all of it.
    #[serde(with = "number")]
    pub norm: f64,
    /// The L2 norms of its parts, in the order of [`StageStart::groups`](crate::event::StageStart::groups).
    #[serde(with = "number::floats")]
    pub groups: Vec<f32>,
}
