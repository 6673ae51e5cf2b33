//! What computes: networks with their numbers, training, one trial, predictions, and the program that does them.
//!
//! The modules lie in layers (ARCHITECTURE.md, `tests/suite/tidy.rs`): each uses only those above it in this list.

pub mod forward;

mod mark;
pub mod train;
pub mod trained;

pub mod explain;
pub mod predict;
pub mod run;

pub mod serve;

pub mod command;
