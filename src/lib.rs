//! Declarative transfer-learning experiments on face images.
//!
//! An experiment file says what to train; a sweep trains it and shows what came out. This crate is what users meet: the
//! command line, the schedule of trials, the study that all runs make, the report. What both programs know is `ferrite-core`; what computes is
//! `ferrite-engine`, a program that this one starts. The modules lie in layers (ARCHITECTURE.md,
//! `tests/suite/tidy.rs`): each uses only those above it in this list.

mod export;
mod forecast;
mod format;
mod study;

pub mod report;
pub mod sweep;

pub mod progress;

pub mod cli;
