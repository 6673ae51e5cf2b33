//! Parallel coordinates of experiments that vary several settings.

use std::collections::{BTreeMap, BTreeSet};

use ferrite_core::metrics::scores::Stat;

use crate::report::figures::{Figure, MOST_ROWS, figure};
use crate::report::plot::axis::Format;
use crate::report::plot::parallel::{Dimension, Parallel, ParallelRow};
use crate::report::plot::{Chart, Style};
use crate::study::{Configuration, Run, Study};
use ferrite_core::config::flat::{Flat, Row, differences, plain, short_names};

/// How many settings have an axis.
const MOST_AXES: usize = 7;
/// How many experiments are shown.
const MOST_EXPERIMENTS: usize = 4;
/// From how many configurations on a figure tells more than the board.
const ENOUGH: usize = 4;

/// One figure for each experiment of which several settings vary.
pub(in crate::report) fn parallel(study: &Study<'_>) -> Vec<Figure> {
    let mut by_experiment = BTreeMap::<&str, Vec<&Configuration<'_>>>::new();
    // Points of a search that were stopped have no rank, and tell of the ranges that they were drawn from.
    let stopped = study.compared().filter(|it| it.rank.is_none() && it.is_of_search());
    for it in study.ranked().chain(stopped.filter(|it| so_far(it).is_some())) {
        by_experiment.entry(it.experiment()).or_default().push(it);
    }
    let figures = by_experiment.into_iter().filter_map(|(name, all)| of_experiment(name, &all));
    let named = figures.take(MOST_EXPERIMENTS).enumerate().map(|(at, it)| {
        let name = if at == 0 { "settings".into() } else { format!("settings-{}", at + 1) };
        Figure { name, ..it }
    });
    named.collect()
}

/// The mean validation accuracy of the finished runs, and where there is none, of all runs as far as they came.
fn so_far(it: &Configuration<'_>) -> Option<f64> {
    let all = || Stat::of(&it.runs.iter().filter_map(Run::valid_accuracy).collect::<Vec<_>>());
    it.stat(Run::valid_accuracy).or_else(all).map(|it| it.mean)
}

fn of_experiment(name: &str, all: &[&Configuration<'_>]) -> Option<Figure> {
    let flat: Vec<&Flat> = all.iter().map(|it| &it.settings).collect();
    let mut varied = differences(&flat);
    if varied.len() < 2 || all.len() < ENOUGH {
        return None;
    }
    let left_out = varied.len().saturating_sub(MOST_AXES);
    // Of too many, those with the most values say most.
    varied.sort_by_key(|it| std::cmp::Reverse(it.values.iter().collect::<BTreeSet<_>>().len()));
    varied.truncate(MOST_AXES);
    let names = short_names(&varied.iter().map(|it| it.key.clone()).collect::<Vec<_>>());
    let (mut axes, mut columns) = (Vec::new(), Vec::new());
    for (row, name) in varied.iter().zip(names) {
        let (dimension, values) = dimension(name, row);
        axes.push(dimension);
        columns.push(values);
    }
    let format = Format::Percent;
    axes.push(Dimension { name: "validation accuracy".into(), format, categories: vec![] });
    let rows = all.iter().enumerate().take(MOST_ROWS).map(|(at, it)| {
        let score = so_far(it).unwrap_or(f64::NAN);
        let values = columns.iter().map(|column| column[at]).chain([score]).collect();
        ParallelRow { label: it.label.clone(), style: Style(it.position), values }
    });
    let chart = Parallel {
        title: format!("Settings of {name} and what they score"),
        axes,
        rows: rows.collect(),
    };
    let fewer = all.len() > MOST_ROWS;
    let best = if fewer {
        format!(" Shown are the best {MOST_ROWS} of {}.", all.len())
    } else {
        String::new()
    };
    let settings =
        if left_out > 0 { format!(" {left_out} more settings vary.") } else { String::new() };
    let stopped = if all.iter().any(|it| it.rank.is_none()) {
        " Points that were stopped at a rung have the accuracy that they had there."
    } else {
        ""
    };
    let caption = format!(
        "A line is a configuration, in the style that it has everywhere on this page; it crosses each upright axis at the value \
         of that setting, and the last one at its mean validation accuracy. Settings whose lines end high wherever they begin \
         matter little.{best}{settings}{stopped}"
    );
    Some(figure("settings", Chart::Parallel(chart), caption))
}

/// An axis for a setting, and the place on it of each configuration: numbers as they are, everything else by name.
fn dimension(name: String, row: &Row) -> (Dimension, Vec<f64>) {
    const NOT_SET: &str = "not set";
    let text = |it: &Option<String>| it.as_deref().map_or(NOT_SET, plain).to_owned();
    let numbers: Option<Vec<f64>> = row.values.iter().map(|it| it.as_ref()?.parse().ok()).collect();
    let format = Format::Number;
    if let Some(values) = numbers.filter(|it: &Vec<f64>| it.iter().all(|it| it.is_finite())) {
        return (Dimension { name, format, categories: vec![] }, values);
    }
    let categories: BTreeSet<String> = row.values.iter().map(text).collect();
    let categories: Vec<String> = categories.into_iter().collect();
    let place = |it: &Option<String>| {
        let found = categories.iter().position(|name| *name == text(it));
        found.map_or(f64::NAN, |it| it as f64)
    };
    let values = row.values.iter().map(place).collect();
    (Dimension { name, format, categories }, values)
}

#[cfg(test)]
mod tests {
    use ferrite_core::store::record::Record;

    use super::*;
    use crate::report::example::many;
    use crate::report::tests::in_study;

    #[test]
    fn numbers_lie_where_they_are_and_names_beside_each_other() {
        let row = |values: &[Option<&str>]| Row {
            key: "x".into(),
            values: values.iter().map(|it| it.map(str::to_owned)).collect(),
        };
        let (axis, values) = dimension("lr".into(), &row(&[Some("0.1"), Some("1e-3")]));
        assert_eq!((axis.categories.len(), values), (0, vec![0.1, 1e-3]));
        let (axis, values) = dimension("norm".into(), &row(&[Some("\"batch\""), None, Some("1")]));
        assert_eq!(axis.categories, ["1", "batch", "not set"]);
        assert_eq!(values, [1.0, 2.0, 0.0]);
    }

    #[test]
    fn an_experiment_of_which_several_settings_vary_has_an_axis_for_each_and_one_for_the_score() {
        in_study(|runs| {
            let mut records = many(runs, 18);
            let drawn = |records: &[Record]| parallel(&Study::of(records, &[], runs));
            assert_eq!(drawn(&records).len(), 0, "a single setting varies");
            for (at, it) in records.iter_mut().enumerate() {
                let rate = [0.0, 0.25, 0.5][at / 3 % 3];
                it.settings["model"]["head"]["dropout"] = rate.into();
            }
            let figures = drawn(&records);
            let [Figure { chart: Chart::Parallel(chart), .. }] = &figures[..] else {
                panic!("one figure")
            };
            let names: Vec<_> = chart.axes.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, ["lr", "dropout", "validation accuracy"]);
            assert_eq!((chart.rows.len(), chart.rows[0].values.len()), (6, 3));
        });
    }
}
