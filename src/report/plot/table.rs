//! The numbers of a chart as a table, for readers who cannot see it and for those who copy.

use std::collections::BTreeMap;

use super::Chart;
use super::axis::Format;
use super::lines::LineChart;
use super::matrix::ConfusionMatrix;
use crate::format;

/// Rows that a table has at most.
const MOST: usize = 60;

/// What a chart shows, as text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// What stands above the columns.
    pub head: Vec<String>,
    /// The rows, of which the first cell is a name.
    pub rows: Vec<Vec<String>>,
    /// How many rows there would be if none were left out.
    pub of: usize,
}

impl Table {
    fn new<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> Self {
        let rows = rows.map(Vec::from).collect();
        Self::sampled(head.map(str::to_owned).to_vec(), rows)
    }

    /// A table of at most [`MOST`] of `rows`, which lie evenly among them.
    fn sampled(head: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        let of = rows.len();
        if of <= MOST {
            return Self { head, rows, of };
        }
        let wanted = (0..MOST).map(|it| it * (of - 1) / (MOST - 1));
        Self { head, rows: wanted.map(|it| rows[it].clone()).collect(), of }
    }
}

impl Chart {
    /// Its numbers, rounded.
    pub fn table(&self) -> Table {
        let percent = |it: f64| Format::Percent.say(it);
        let deviation = |it: Option<f64>| it.map_or_else(String::new, percent);
        match self {
            Self::Lines(it) => lines(it),
            Self::Matrix(it) => matrix(it),
            Self::Strip(it) => {
                let values = |it: &[f64]| it.iter().map(|it| percent(*it)).collect::<Vec<_>>();
                let rows = it.rows.iter().map(|it| {
                    let each = values(&it.values).join(", ");
                    [it.label.clone(), percent(it.mean), deviation(it.sd), each]
                });
                Table::new(["", "Mean", "Standard deviation", "Each run"], rows)
            }
            Self::Bars(it) => {
                let series = it.series.iter().map(|it| it.0.clone());
                let head = std::iter::once(String::new()).chain(series).collect();
                let row = |group: &super::bars::Group| {
                    let values = group.values.iter().map(|value| it.format.say(*value));
                    std::iter::once(group.label.clone()).chain(values).collect()
                };
                Table::sampled(head, it.groups.iter().map(row).collect())
            }
            Self::Scatter(it) => {
                let rows = it.points.iter().map(|point| {
                    let x = it.format.say(point.x);
                    [point.label.clone(), x, percent(point.y), deviation(point.sd)]
                });
                Table::new(["", &it.x_name, &it.y_name, "Standard deviation"], rows)
            }
            Self::Forest(it) => {
                let points = |it: f64| Format::Points.say(it);
                let rows = it.rows.iter().map(|it| {
                    let [low, high] = it.interval.map(points);
                    [it.name(), points(it.value), low, high, it.mark.word().to_owned()]
                });
                Table::new(["", "Points", "From", "To", "Verdict"], rows)
            }
            Self::Reliability(it) => {
                let rows = it.bins.iter().map(|it| {
                    let range = format!("{:.1} to {:.1}", it.low, it.high);
                    let share = |it: Option<f64>| it.map_or(format::NOTHING.into(), percent);
                    [range, it.images.to_string(), share(it.confidence), share(it.accuracy)]
                });
                Table::new(["Confidence", "Images", "Mean confidence", "Accuracy"], rows)
            }
            Self::Multiples(it) => {
                let rows = it.panels.iter().flat_map(|(title, shares)| {
                    let named = it.classes.iter().zip(shares);
                    named.map(move |(class, shares)| {
                        let cells = shares.iter().flatten().map(|it| percent(*it));
                        std::iter::once(format!("{title}: {class}")).chain(cells).collect()
                    })
                });
                let head = std::iter::once(String::new()).chain(it.classes.iter().cloned());
                Table::sampled(head.collect(), rows.collect())
            }
            Self::Parallel(it) => it.table(Table::sampled),
            Self::Gantt(it) => {
                let rows = it.lanes.iter().flat_map(|lane| {
                    lane.bars.iter().map(|bar| {
                        let from = Format::Duration.say(bar.from);
                        let took = Format::Duration.say(bar.until - bar.from);
                        let saved = bar.saved.map(|it| Format::Duration.say(it));
                        let reused = if bar.reused { "reused" } else { "made" };
                        let saved = saved.unwrap_or_default();
                        [lane.name.clone(), bar.label.clone(), from, took, reused.into(), saved]
                    })
                });
                Table::new(["", "Step", "After", "Took", "Result", "Saved"], rows)
            }
        }
    }
}

/// A row for every x where the lines share them, otherwise a row for every point.
fn lines(it: &LineChart) -> Table {
    let x_name = it.x.split(',').next().unwrap_or_default().to_owned();
    let name = |label: &str| if label.is_empty() { it.title.clone() } else { label.to_owned() };
    if it.numbers != Format::Count {
        let rows = it.lines.iter().flat_map(|line| {
            line.whole()
                .map(|(x, y)| vec![name(&line.label), it.numbers.say(*x), it.format.say(*y)])
        });
        return Table::sampled(vec![String::new(), x_name, it.y_name()], rows.collect());
    }
    let mut by_x = BTreeMap::<u64, Vec<String>>::new();
    for (column, line) in it.lines.iter().enumerate() {
        for (x, y) in line.whole().filter(|it| it.0 >= 0.0) {
            let row = by_x.entry(*x as u64).or_insert_with(|| vec![String::new(); it.lines.len()]);
            row[column] = it.format.say(*y);
        }
    }
    let rows =
        by_x.into_iter().map(|(x, cells)| std::iter::once(x.to_string()).chain(cells).collect());
    let names = it.lines.iter().map(|it| name(&it.label));
    Table::sampled(std::iter::once(x_name).chain(names).collect(), rows.collect())
}

fn matrix(it: &ConfusionMatrix) -> Table {
    let head = std::iter::once("true class".to_owned()).chain(it.classes.iter().cloned());
    let row = |(at, class): (usize, &String)| {
        let shares = it.shares.get(at).and_then(Option::as_ref);
        let cell = |column: usize| {
            let share = shares.and_then(|it| it.get(column));
            let share = share.map_or(format::NOTHING.into(), |it| Format::Percent.say(*it));
            let count = it.counts.get(at).and_then(|it| it.get(column));
            count.map_or_else(|| share.clone(), |it| format!("{it} ({share})"))
        };
        std::iter::once(class.clone()).chain((0..it.classes.len()).map(cell)).collect()
    };
    Table::sampled(head.collect(), it.classes.iter().enumerate().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Style;
    use crate::report::plot::lines::Line;

    #[test]
    fn epochs_are_rows_and_a_long_table_says_how_long_it_would_be() {
        let points = |n: u32| (1..=n).map(|it| (f64::from(it), 0.5)).collect();
        let line =
            |label: &str, n| Line { label: label.into(), points: points(n), ..Line::new(Style(0)) };
        let mut chart = LineChart {
            x: "epoch, over all stages".into(),
            numbers: Format::Count,
            format: Format::Percent,
            lines: vec![line("a", 2), line("b", 1)],
            ..LineChart::default()
        };
        let table = Chart::Lines(chart.clone()).table();
        assert_eq!(table.head, ["epoch", "a", "b"]);
        assert_eq!(table.rows, [vec!["1", "50.0 %", "50.0 %"], vec!["2", "50.0 %", ""]]);
        chart.lines = vec![line("a", 200)];
        let table = Chart::Lines(chart).table();
        assert_eq!((table.rows.len(), table.of), (MOST, 200));
        assert_eq!((table.rows[0][0].as_str(), table.rows[59][0].as_str()), ("1", "200"));
    }
}
