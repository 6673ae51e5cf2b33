//! `ferrite ensemble`: what several runs say together about the test images.

use std::path::PathBuf;

use clap::Args;
use ferrite_core::digits::counted;
use ferrite_core::error::Result;
use ferrite_core::files::write_derived;
use ferrite_core::finished::members_of;
use ferrite_core::metrics::scores::{calibration_error, roc_auc};
use ferrite_core::metrics::statistics::wilson;
use ferrite_core::store::read::{predictions_csv, record};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::{Value, json};

use crate::cli::status::existing;
use crate::cli::table::{Column, Table, WIDTH, wrapped};
use crate::format::{self, p_value, percent};
use crate::study::ensemble::{Ensemble, Member};

#[derive(Debug, Args)]
pub(super) struct EnsembleArguments {
    /// Runs, like `fruit/seed-0`, or experiments, like `fruit`, for all of their seeds
    #[arg(value_name = "RUN", required = true)]
    named: Vec<PathBuf>,
    /// Write what it says of each test image, as a run's `predictions.csv`
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn ensemble_command(arguments: &EnsembleArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let folders = members_of(&store, &arguments.named)?;
    let records: Vec<_> = folders.iter().map(|it| record(&store, it)).collect::<Result<_>>()?;
    let ensemble = Ensemble::of(&records.iter().collect::<Vec<_>>())?;
    if let Some(path) = &arguments.predictions {
        write_derived(path, &predictions_csv(&ensemble.classes, &ensemble.predictions)?)?;
    }
    if arguments.json {
        return print_json(&documented(to_json(&ensemble)));
    }
    print(&to_text(&ensemble))
}

fn to_text(ensemble: &Ensemble) -> String {
    let Ensemble { members, predictions, .. } = ensemble;
    let mut table = Table::new(vec![
        Column::words("run", 0).always(),
        Column::numbers("test %", 7).always(),
        Column::numbers("gained", 5),
        Column::numbers("lost", 5),
        Column::numbers("p", 4),
    ]);
    for Member { name, accuracy, against } in members {
        let (gained, lost) = (against.gained.to_string(), against.lost.to_string());
        table.row(vec![name.clone(), percent(*accuracy), gained, lost, p_value(against.mcnemar())]);
    }
    let row = |name: &str, value| {
        vec![name.to_owned(), value, String::new(), String::new(), String::new()]
    };
    table.row(row("mean of the runs", percent(ensemble.mean_of_members())));
    let confusion = ensemble.confusion();
    table.row(row("ensemble", confusion.accuracy().map_or_else(String::new, percent)));
    let interval = wilson(confusion.right(), confusion.total());
    let interval =
        interval.map_or_else(String::new, |it| format!(", 95 % interval {}", format::interval(it)));
    let scores = [
        ("macro F1", confusion.macro_f1()),
        ("balanced accuracy", confusion.balanced_accuracy()),
        ("ROC AUC", roc_auc(predictions)),
        ("log loss", Some(ensemble.log_loss())),
        ("calibration error", calibration_error(predictions)),
    ];
    let scores = scores.iter().filter_map(|(name, it)| Some(format!("{name} {:.4}", (*it)?)));
    let scores: Vec<String> = scores.collect();
    let said = format!(
        "The mean of the probabilities of {} on {}{interval}: {}. Gained and lost are the images that only the ensemble, and \
         only the run, is right about; p is McNemar's. It is one answer, so it has no spread over seeds, and each image goes \
         through {} networks.",
        counted(members.len(), "run"),
        counted(predictions.len(), "test image"),
        scores.join(", "),
        members.len(),
    );
    format!("{}\n{}", table.to_text_within(WIDTH), wrapped("", &said, WIDTH))
}

fn to_json(ensemble: &Ensemble) -> Value {
    let Ensemble { classes, members, predictions } = ensemble;
    let confusion = ensemble.confusion();
    let member = |it: &Member| {
        json!({
            "run": it.name,
            "test_accuracy": it.accuracy,
            "gained": it.against.gained,
            "lost": it.against.lost,
            "p": it.against.mcnemar(),
        })
    };
    json!({
        "runs": members.iter().map(member).collect::<Vec<_>>(),
        "images": predictions.len(),
        "mean_of_runs": ensemble.mean_of_members(),
        "test_accuracy": confusion.accuracy(),
        "interval": wilson(confusion.right(), confusion.total()),
        "macro_f1": confusion.macro_f1(),
        "balanced_accuracy": confusion.balanced_accuracy(),
        "roc_auc": roc_auc(predictions),
        "log_loss": ensemble.log_loss(),
        "calibration_error": calibration_error(predictions),
        "classes": classes,
        "confusion": confusion.counts,
    })
}
