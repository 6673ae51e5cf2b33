//! The table of drawn faces (`ferrite-faces`), judged.

use ferrite_faces::{Synthetic, Task};

use crate::error::Problem;

/// What cannot be right in this table alone.
pub(super) fn check(synthetic: &Synthetic) -> Vec<Problem> {
    let Synthetic { faces, seed: _, difficulty, task, identities } = *synthetic;
    let enough = task != Task::Identity || (2..=256).contains(&identities);
    [
        Problem::unless(faces >= 1, "faces", "must be at least 1"),
        Problem::unless((0.0..=1.0).contains(&difficulty), "difficulty", "must be between 0 and 1"),
        Problem::unless(enough, "identities", "must be between 2 and 256"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_right_are_refused() {
        let fine = Synthetic::default();
        let keys = |source: Synthetic| -> Vec<String> {
            check(&source).into_iter().map(|it| it.key).collect()
        };
        assert!(keys(fine.clone()).is_empty());
        assert_eq!(keys(Synthetic { faces: 0, ..fine.clone() }), ["faces"]);
        for difficulty in [-0.1, 1.1, f64::NAN] {
            assert_eq!(keys(Synthetic { difficulty, ..fine.clone() }), ["difficulty"]);
        }
        for identities in [0, 1, 257] {
            assert!(keys(Synthetic { identities, ..fine.clone() }).is_empty());
            let source = Synthetic { identities, task: Task::Identity, ..fine.clone() };
            assert_eq!(keys(source), ["identities"]);
        }
    }
}
