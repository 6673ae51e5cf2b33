//! Runs for programs.

use ferrite_core::event::Epoch;
use ferrite_core::store::record::{Record, Stage, State};
use serde_json::{Value, json};

use crate::cli::status::progress::{epochs, job, left, planned};

/// A run for programs.
pub(in crate::cli) fn run_json(it: &Record) -> Value {
    let stage = |stage: &Stage| {
        json!({
            "name": stage.start.stage,
            "planned_epochs": stage.start.epochs,
            "kept_epoch": stage.end.as_ref().map(|it| it.kept_epoch),
            "epochs": stage.epochs.iter().map(epoch_json).collect::<Vec<_>>(),
        })
    };
    let (failure, evaluation) = (
        match &it.state {
            State::Failed(failure) => json!({
                "message": failure.message,
                "help": failure.help,
                "exit_code": failure.exit_code,
            }),
            _ => Value::Null,
        },
        it.facts.evaluation.as_ref(),
    );
    json!({
        "run": it.name(),
        "experiment": it.experiment,
        "folder": it.folder,
        "about": it.about(),
        "tags": it.description.tags,
        "state": if it.state == State::Interrupted && job(it).is_some() { "waiting" } else { it.state.word() },
        "was_asked": it.state == State::Interrupted && it.facts.stopped,
        "failure": failure,
        "job": job(it).map(|(queued, node)| json!({
            "executor": queued.executor,
            "job": queued.job,
            "node": node,
        })),
        "began_ms": it.began_ms,
        "seconds": it.seconds,
        "joules": it.facts.energy().map(|it| it.joules()),
        "epochs": epochs(it).count(),
        "planned_epochs": planned(it),
        "seconds_left": left(it),
        "valid_accuracy": it.facts.kept_epoch().map(|it| it.valid.accuracy),
        "split": evaluation.map(|it| it.split.as_str()),
        "accuracy": evaluation.map(|it| it.scores.accuracy),
        "loss": evaluation.map(|it| it.scores.loss),
        "stages": it.facts.stages.iter().map(stage).collect::<Vec<_>>(),
    })
}

pub(in crate::cli) fn epoch_json(it: &Epoch) -> Value {
    json!({
        "epoch": it.epoch,
        "learning_rate": it.lr,
        "loss": it.train.loss,
        "accuracy": it.train.accuracy,
        "valid_loss": it.valid.loss,
        "valid_accuracy": it.valid.accuracy,
        "seconds": it.seconds,
        "joules": it.energy.map(|it| it.joules()),
    })
}
