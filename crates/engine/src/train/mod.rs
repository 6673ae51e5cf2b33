//! Training: the loop of a stage, features of frozen prefixes, evaluation, checkpoints.
//!
//! **Invariant:** says what happens to a [`ferrite_core::event::Sink`] and hands checkpoints out; its only file is the
//! checkpoint that it writes where it is told to.

pub mod augment;
pub mod checkpoint;
mod energy;
mod epoch;
mod evidence;
pub mod fit;
pub mod images;
mod mix;
pub mod order;
pub mod pictures;
pub mod views;
