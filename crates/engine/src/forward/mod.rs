//! Networks with their numbers: passes through the layers that [`ferrite_core::model`] describes.
//!
//! **Invariant:** knows nothing of data sets, files of runs or optimizers.

pub mod head;
pub mod layer;
pub mod network;
pub mod weights;
