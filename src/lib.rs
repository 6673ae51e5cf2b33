//! Declarative transfer-learning experiments on face images.
//!
//! An experiment file says what to train; a sweep trains it and shows what came out. The modules lie
//! in layers (ARCHITECTURE.md): each uses only those above it in this list.

pub mod error;
pub mod event;
pub mod random;
pub mod report;
pub mod store;
