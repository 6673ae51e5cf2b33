//! The table of drawn faces (`ferrite-faces`), judged.

use ferrite_faces::frame::Frame;
use ferrite_faces::{SIZE, Synthetic, Task};

use crate::error::Problem;

/// More persons than any data set of faces for expressions shows.
const MOST_PERSONS: usize = 10_000;

/// What cannot be right in this table alone.
pub(super) fn check(synthetic: &Synthetic) -> Vec<Problem> {
    let Synthetic { faces, seed: _, difficulty, task, identities, persons, ref frame } = *synthetic;
    let enough = task != Task::Identity || (2..=256).contains(&identities);
    let some = persons.is_none_or(|it| (2..=MOST_PERSONS).contains(&it));
    let frame = frame.iter().flat_map(check_frame).map(|it| it.within("frame"));
    [
        Problem::unless(faces >= 1, "faces", "must be at least 1"),
        Problem::unless((0.0..=1.0).contains(&difficulty), "difficulty", "must be between 0 and 1"),
        Problem::unless(enough, "identities", "must be between 2 and 256"),
        Problem::unless(some, "persons", "must be between 2 and 10000"),
    ]
    .into_iter()
    .flatten()
    .chain(frame)
    .collect()
}

/// The largest frame, in pixels a side: it takes a core a twentieth of a second to draw.
const LARGEST: usize = 512;

fn check_frame(frame: &Frame) -> Vec<Problem> {
    let Frame { size, rotation, scale: [least, most] } = *frame;
    let sized = (SIZE..=LARGEST).contains(&size) && size.is_multiple_of(2);
    let scaled = 0.1 <= least && least <= most && most <= 1.0;
    [
        Problem::unless(sized, "size", "must be an even number between 48 and 512"),
        Problem::unless((0.0..=180.0).contains(&rotation), "rotation", "must be between 0 and 180"),
        Problem::unless(
            scaled,
            "scale",
            "must be two shares of the side, the smaller one first, between 0.1 and 1, like `[0.4, 0.7]`",
        ),
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

    #[test]
    fn one_person_alone_is_no_group_among_others() {
        for persons in [0, 1, 10_001] {
            let source = Synthetic { persons: Some(persons), ..Synthetic::default() };
            assert_eq!(check(&source)[0].key, "persons");
        }
    }

    #[test]
    fn frames_that_cannot_be_right_are_refused() {
        let keys = |frame: Frame| -> Vec<String> {
            let source = Synthetic { frame: Some(frame), ..Synthetic::default() };
            check(&source).into_iter().map(|it| it.key).collect()
        };
        let fine = Frame::default();
        assert!(keys(fine.clone()).is_empty());
        for size in [0, 46, 97, 514] {
            assert_eq!(keys(Frame { size, ..fine.clone() }), ["frame.size"]);
        }
        for rotation in [-1.0, 181.0, f64::NAN] {
            assert_eq!(keys(Frame { rotation, ..fine.clone() }), ["frame.rotation"]);
        }
        for scale in [[0.7, 0.4], [0.0, 0.5], [0.5, 1.1], [f64::NAN, 0.5]] {
            assert_eq!(keys(Frame { scale, ..fine.clone() }), ["frame.scale"]);
        }
    }
}
