//! Trials for tests of what decides about them: a name, steps, and nothing else.

use std::sync::Arc;

use ferrite_core::plan::chain::Inputs;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::{Step, Trial};

use crate::sweep::pace::Pace;
use crate::sweep::schedule::Limits;

/// The trial `e/<id>` with these steps.
pub(super) fn trial(id: impl ToString, steps: Vec<Step>) -> Trial {
    Trial {
        experiment: "e".into(),
        id: id.to_string(),
        point: None,
        seed: 0,
        settings: Arc::default(),
        inputs: Inputs { images: "".into(), votes: None, weights: String::new() },
        needs: None,
        key: steps.last().map_or_else(String::new, |it| it.key.clone()),
        steps,
    }
}

/// So many workers at once, and nothing else.
pub(super) fn limits(jobs: usize) -> Limits {
    Limits {
        pace: Pace::fixed(jobs),
        shares_server: false,
        retry: false,
        fail_fast: false,
        most_alike: None,
    }
}

/// A step of this kind under this key.
pub(super) fn step(kind: Kind, key: impl Into<String>) -> Step {
    Step { kind, of: String::new(), key: key.into() }
}
