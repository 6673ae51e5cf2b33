//! Parallel coordinates: an upright axis a setting and one for the score, a line a configuration.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, GROWN, TICK_SIZE};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten, text_width};
use super::style::Style;
use super::table::Table;

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 360.0;
/// Width and height of the chart in CSS pixels.
pub(super) const SIZE: (f64, f64) = (WIDTH, HEIGHT);
const TOP: f64 = 40.0;
const BOTTOM: f64 = 22.0;
/// From which ratio of the largest to the smallest number on an axis is logarithmic.
const DECADES: f64 = 20.0;

/// Lines over several axes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parallel {
    /// What it shows.
    pub title: String,
    /// The axes, the score last.
    pub axes: Vec<Dimension>,
    /// The lines, the best first.
    pub rows: Vec<ParallelRow>,
}

/// One upright axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// What it is.
    pub name: String,
    /// How its numbers are written.
    pub format: Format,
    /// Names of what is no number, from bottom to top; empty where all are numbers.
    pub categories: Vec<String>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct ParallelRow {
    /// Its name.
    pub label: String,
    /// Colour, dashes and shape.
    pub style: Style,
    /// A value an axis: a number, or the place of a category; not a number where it has none.
    pub values: Vec<f64>,
}

impl Parallel {
    /// Its numbers, as `make` makes a table of a head and rows.
    pub(super) fn table(&self, make: fn(Vec<String>, Vec<Vec<String>>) -> Table) -> Table {
        let head = std::iter::once(String::new()).chain(self.axes.iter().map(|it| it.name.clone()));
        let row = |row: &ParallelRow| {
            let cells = self.axes.iter().zip(&row.values).map(|(axis, value)| axis.say(*value));
            std::iter::once(row.label.clone()).chain(cells).collect()
        };
        make(head.collect(), self.rows.iter().map(row).collect())
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let n = self.axes.len();
        let values = |at: usize| self.rows.iter().filter_map(move |it| it.values.get(at).copied());
        let axes: Vec<Axis> =
            self.axes.iter().enumerate().map(|(at, it)| it.axis(values(at))).collect();
        let room = self.side_room();
        let step = (WIDTH - room - 60.0) / (n.max(2) - 1) as f64;
        let x = |at: usize| room + at as f64 * step;
        for (at, (dimension, axis)) in self.axes.iter().zip(&axes).enumerate() {
            canvas.line(&[(x(at), TOP), (x(at), HEIGHT - BOTTOM)], Ink::MUTED, 1.0, Dash::Solid)?;
            // Names of neighbours stand at two heights.
            let height = if at % 2 == 0 { 10.0 } else { 26.0 };
            let name = shorten(&dimension.name, TICK_SIZE, step * 1.7 / GROWN);
            canvas.text(&name, (x(at), height), TICK_SIZE, Ink::TEXT, Align::Centre)?;
            for (value, text) in dimension.ticks(axis) {
                let Some(y) = axis.at(value) else { continue };
                let text = shorten(&text, 11.0, (step - 20.0).max(34.0) / GROWN);
                canvas.line(&[(x(at) - 4.0, y), (x(at), y)], Ink::MUTED, 1.0, Dash::Solid)?;
                let width = text_width(&text, 11.0) * GROWN;
                let left = x(at) - 8.0 - width;
                canvas.rect((left, y - 7.0), (x(at) - 6.0, y + 7.0), Ink::PAPER.faded(0.75))?;
                canvas.text(&text, (x(at) - 7.0, y), 11.0, Ink::MUTED, Align::Right)?;
            }
        }
        for row in self.rows.iter().rev() {
            let places = axes.iter().zip(&row.values).enumerate();
            let places: Vec<Option<At>> =
                places.map(|(at, (axis, value))| Some((x(at), axis.at(*value)?))).collect();
            self.draw_row(canvas, row, &places)?;
        }
        Ok(())
    }

    fn draw_row<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        row: &ParallelRow,
        places: &[Option<At>],
    ) -> io::Result<()> {
        let ink = Ink::series(row.style).faded(if self.rows.len() > 12 { 0.6 } else { 0.9 });
        for pair in places.windows(2) {
            if let [Some(from), Some(to)] = *pair {
                canvas.line(&[from, to], ink, 1.6, Dash::of(row.style))?;
            }
        }
        for (at, place) in places.iter().enumerate().filter_map(|it| Some((it.0, (*it.1)?))) {
            canvas.ringed_marker(place, 3.0, row.style)?;
            canvas.hit(place, || {
                let axis = &self.axes[at];
                format!("{}: {} {}", row.label, axis.name, axis.say(row.values[at]))
            });
        }
        Ok(())
    }

    /// Room for the numbers left of the first axis.
    fn side_room(&self) -> f64 {
        let Some(first) = self.axes.first() else { return 40.0 };
        let values = self.rows.iter().filter_map(|it| it.values.first().copied());
        let ticks = first.ticks(&first.axis(values));
        let widths = ticks.iter().map(|(_, it)| text_width(it, 11.0) * GROWN);
        let name = text_width(&first.name, TICK_SIZE) * GROWN / 2.0;
        widths.fold(name, f64::max).clamp(40.0, 130.0) + 12.0
    }
}

impl Dimension {
    fn axis(&self, values: impl Iterator<Item = f64> + Clone) -> Axis {
        let finite = values.filter(|it| it.is_finite());
        let low = finite.clone().fold(f64::MAX, f64::min);
        let high = finite.fold(f64::MIN, f64::max);
        let axis = match () {
            () if !self.categories.is_empty() => {
                Axis::between(-0.3, self.categories.len() as f64 - 0.7, Format::Count)
            }
            () if low > high => Axis::between(0.0, 1.0, self.format),
            () if low > 0.0 && high / low >= DECADES => {
                Axis::decades_between(low / 1.1, high * 1.1, self.format)
            }
            () => {
                let room = if high > low { (high - low) * 0.06 } else { high.abs().max(1.0) * 0.5 };
                Axis::between(low - room, high + room, self.format)
            }
        };
        axis.over(HEIGHT - BOTTOM, TOP)
    }

    fn ticks(&self, axis: &Axis) -> Vec<(f64, String)> {
        if self.categories.is_empty() {
            return axis.ticks(5);
        }
        let names = self.categories.iter().enumerate();
        names.map(|(at, name)| (at as f64, name.clone())).collect()
    }

    fn say(&self, value: f64) -> String {
        let category = (value >= 0.0).then(|| self.categories.get(value as usize)).flatten();
        category.cloned().unwrap_or_else(|| self.format.say(value))
    }
}
