//! What Ferrite knows without computing: settings, data, networks as data, plans, what lies on disk.
//!
//! Nothing here needs LibTorch. The modules lie in layers (ARCHITECTURE.md, `tests/suite/tidy.rs`): each uses only those
//! above it in this list.

pub mod device;
pub mod digits;
pub mod error;
pub mod event;
pub mod fault;
pub mod files;
pub mod kernels;
pub mod largest;
pub mod machine;
pub mod mapped;
pub mod metrics;
pub mod precision;
pub mod processor;
pub mod pulse;
pub mod remote;
pub mod warning;

pub mod terminal;

pub mod data;
pub mod model;

pub mod settings;

pub mod search;

pub mod config;

pub mod plan;
pub mod store;

pub mod fetch;
pub mod finished;

/// Memory that is refused is told as what it is.
#[global_allocator]
static ALLOCATOR: fault::allocation::Remembering = fault::allocation::Remembering;
