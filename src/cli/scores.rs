//! Scores in the terminal: the table that a sweep ends with, and the same for programs.

use std::collections::BTreeSet;

use ferrite_core::metrics::scores::Stat;
use serde_json::{Value, json};

use crate::cli::table::{Column, Table};
use crate::format;
use crate::study::comparison::{Comparison, Verdict, accuracy_interval};
use crate::study::judged::Judged;
use crate::study::{Configuration, Run};

/// A study and what its comparisons say.
pub(super) struct Board<'j, 's, 'a> {
    shown: Vec<&'s Configuration<'a>>,
    judged: &'j Judged<'s, 'a>,
}

impl<'j, 's, 'a> Board<'j, 's, 'a> {
    /// The board of the configurations that have one of the runs called `names`; of all if there are none.
    pub(super) fn new(judged: &'j Judged<'s, 'a>, names: Option<&BTreeSet<String>>) -> Self {
        let is_asked = |it: &&Configuration<'_>| {
            names.is_none_or(|names| it.trained().any(|run| names.contains(&run.record.name())))
        };
        let shown = judged.study.configurations.iter().filter(is_asked).collect();
        Self { shown, judged }
    }

    /// Whether it has a score to show, or a cross-validation of which folds are finished.
    pub(super) fn has_scores(&self) -> bool {
        let some_folds =
            |it: &Configuration<'_>| it.runs.iter().filter_map(Run::folds_done).any(|it| it[0] > 0);
        self.shown.iter().any(|it| it.finished().next().is_some() || some_folds(it))
    }

    /// The board for people.
    pub(super) fn to_text(&self) -> String {
        let mut table = Table::new(vec![
            Column::numbers("#", 6),
            Column::words("experiment", 0).always(),
            Column::numbers("seeds", 2),
            Column::numbers("valid %", 7),
            Column::numbers("test %", 0).always(),
            Column::words("95 % interval", 1),
            Column::words("beside", 5),
            Column::numbers("points", 3),
            Column::words("verdict", 4),
        ]);
        for it in &self.shown {
            table.row(self.row(it));
        }
        let mut text = table.to_text();
        text.push_str("accuracy in percent: mean ± standard deviation over seeds");
        if self.shown.iter().any(|it| self.judged.comparisons().with_extended(it).is_some()) {
            text.push_str("\npoints: the difference from what it extends, which stands beside it");
        }
        text.push('\n');
        text
    }

    fn row(&self, it: &Configuration<'_>) -> Vec<String> {
        let finished = it.finished().count();
        let seeds = match it.runs.len() {
            all if all == finished => all.to_string(),
            all => format!("{finished}/{all}"),
        };
        let label = match folds(it) {
            Some(folds) => format!("{} ({folds})", it.label),
            None => it.label.clone(),
        };
        let tested = it.runs.iter().any(|run| run.record.facts.tested().is_some());
        let test = it.stat(Run::test_accuracy).filter(|_| tested);
        let beside = self.judged.comparisons().with_extended(it);
        let interval = accuracy_interval(it).filter(|_| test.is_some()).map(format::interval);
        vec![
            it.place().unwrap_or_default(),
            label,
            seeds,
            it.stat(Run::valid_accuracy).map_or_else(String::new, percent),
            test.map_or_else(String::new, percent),
            interval.unwrap_or_default(),
            beside.map_or_else(String::new, |it| it.from.label.clone()),
            beside.map_or_else(String::new, |it| format::points(it.difference.mean)),
            beside.map_or_else(String::new, |it| verdict(it.verdict)),
        ]
    }

    /// The board for programs: accuracies as shares of 1, differences as well.
    pub(super) fn to_json(&self) -> Value {
        self.shown.iter().map(|it| self.configuration(it)).collect()
    }

    fn configuration(&self, it: &Configuration<'_>) -> Value {
        json!({
            "rank": it.rank,
            "experiment": it.experiment(),
            "label": it.label,
            "about": it.about(),
            "comparable": it.comparable,
            "runs": it.trained().map(|it| it.record.name()).collect::<Vec<_>>(),
            "folds": it.runs.first().and_then(Run::folds_done).map(|it| it[1]),
            "finished": it.finished().count(),
            "split": it.runs.iter().find_map(Run::split),
            "valid_accuracy": stat(it.stat(Run::valid_accuracy)),
            "accuracy": stat(it.stat(Run::test_accuracy)),
            "accuracy_interval": accuracy_interval(it),
            "macro_f1": stat(it.stat(Run::macro_f1)),
            "loss": stat(it.stat(Run::test_loss)),
            "seconds": stat(it.stat(|it| Some(it.record.seconds))),
            "joules": stat(it.stat(Run::joules)),
            "beside": self.judged.comparisons().with_extended(it).map(comparison),
        })
    }
}

/// What is said of the folds of a cross-validation: how many there are, or how many of those begun are finished.
fn folds(it: &Configuration<'_>) -> Option<String> {
    let all: Vec<[usize; 2]> = it.runs.iter().filter_map(Run::folds_done).collect();
    let [_, of] = *all.first()?;
    let done: usize = all.iter().map(|it| it[0]).sum();
    Some(match all.len() * of {
        every if every == done => format!("{of} folds"),
        every => format!("{done} of {every} folds"),
    })
}

fn comparison(it: &Comparison<'_, '_>) -> Value {
    json!({
        "experiment": it.from.experiment(),
        "label": it.from.label,
        "technique": it.technique,
        "difference": it.difference.mean,
        "interval": it.difference.interval,
        "p": it.p,
        "seeds": it.seeds.len(),
        "images": it.images,
        "by_groups": it.clustered,
        "verdict": it.verdict.words(),
    })
}

pub(super) fn stat(it: Option<Stat>) -> Value {
    it.map_or(Value::Null, |it| json!({ "mean": it.mean, "sd": it.sd, "n": it.n }))
}

fn percent(stat: Stat) -> String {
    let (mean, sd) = format::percent_stat(&stat);
    sd.map_or_else(|| mean.clone(), |sd| format!("{mean} ± {sd}"))
}

fn verdict(it: Verdict) -> String {
    format!("{} {}", it.sign(), it.words())
}
