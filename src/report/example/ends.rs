//! How made-up runs go on and end, and what they spent their time on.

use ferrite_core::event::failure::Failure;
use ferrite_core::store::record::{Record, State, Work};

/// What 100 images of each of seven classes are taken for: the right one, or evenly for all.
pub(super) fn confused(accuracy: f64) -> Vec<u32> {
    let right = (100.0 * accuracy.clamp(0.0, 1.0)) as u32;
    let cell = |it: u32| if it / 7 == it % 7 { right } else { (100 - right) / 6 };
    (0..49).map(cell).collect()
}

/// Images that the second seed has read, and a stage.
pub(super) fn work(key: &str, from_ms: u64, seconds: f64) -> Vec<Work> {
    let until = |seconds: f64| from_ms + (seconds * 1000.0) as u64;
    let step = |step: &str, key: &str, seconds, reused| Work {
        step: step.into(),
        stage: None,
        key: key.into(),
        from_ms,
        until_ms: until(seconds),
        reused,
        continued: 0,
    };
    vec![
        step("dataset", "images", 2.0, !key.contains("seed=1")),
        step("stage", key, seconds, false),
    ]
}

pub(super) fn interrupt(record: &mut Record) {
    record.state = State::Interrupted;
    record.predictions.clear();
    record.facts.evaluation = None;
    record.facts.stages.truncate(1);
    record.facts.stages[0].end = None;
    record.facts.stages[0].epochs.truncate(6);
}

pub(super) fn fail(record: &mut Record) {
    record.state = State::Failed(Failure {
        message: "training diverged in stage `head`, epoch 2, step 31: the loss is NaN".into(),
        help:
            "lower the learning rate of stage `head` (`stages.head.optimizer`), or check its input"
                .into(),
        exit_code: 10,
    });
    record.predictions.clear();
    record.facts.evaluation = None;
    record.facts.stages.truncate(1);
    record.facts.stages[0].end = None;
    record.facts.stages[0].epochs.truncate(1);
}
