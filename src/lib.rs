//! Declarative transfer-learning experiments on face images.
//!
//! An experiment file says what to train; a sweep trains it and shows what came out. The modules lie
//! in layers (ARCHITECTURE.md, `tests/suite/tidy.rs`): each uses only those above it in this list.

pub mod error;
pub mod event;
pub mod fault;
pub mod mapped;
pub mod metrics;
pub mod random;
pub mod warning;

pub mod torch;

pub mod data;
pub mod model;

pub mod train;

pub mod config;

pub mod plan;
pub mod store;

pub mod fetch;

pub mod predict;
pub mod report;
pub mod run;
pub mod sweep;

pub mod cli;
pub mod progress;

/// Memory that is refused is told as what it is.
#[global_allocator]
static ALLOCATOR: fault::allocation::Remembering = fault::allocation::Remembering;
