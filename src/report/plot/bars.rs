//! Bars in groups: a group a class, a bar a series.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN, label_room};
use super::canvas::{Align, Canvas, Ink, shorten, text_width};
use super::style::Style;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEGEND_ROW: f64 = 20.0;
const TEXT: f64 = 12.5;
/// What stands where there is no bar.
const NOTHING: &str = "–";

/// Bars in groups.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// Names and colours of the bars of every group.
    pub series: Vec<(String, Style)>,
    /// The groups.
    pub groups: Vec<Group>,
    /// How heights are written.
    pub format: Format,
}

/// One group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Its name.
    pub label: String,
    /// A height for each series; not a number for none, which a dash stands for.
    pub values: Vec<f64>,
}

impl Bars {
    pub(super) fn size(&self) -> (f64, f64) {
        (WIDTH, HEIGHT + self.legend().1)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (places, legend_height) = self.legend();
        let finite = self.groups.iter().flat_map(|it| &it.values).filter(|it| it.is_finite());
        let highest = finite.fold(0.0_f64, |high, it| high.max(*it)).min(1e9) * 1.06;
        let y = Axis::between(0.0, highest, self.format);
        let frame = Frame {
            left: label_room(&y),
            top: legend_height + 12.0,
            right: canvas.size.0 - 4.0,
            bottom: canvas.size.1 - 28.0,
        };
        let y = y.over(frame.bottom, frame.top);
        frame.rows(canvas, &y)?;
        for ((name, style), (left, top)) in self.series.iter().zip(places) {
            canvas.rect((left, top + 4.0), (left + 11.0, top + 15.0), Ink::series(*style))?;
            canvas.marker((left + 5.5, top + 9.5), 3.0, *style, Ink::PAPER)?;
            let name = shorten(name, TEXT, LONGEST);
            canvas.text(&name, (left + 17.0, top + 9.5), TEXT, Ink::TEXT, Align::Left)?;
        }
        let width = (frame.right - frame.left) / self.groups.len().max(1) as f64;
        // Names of many narrow groups are those of numbers, of which some are enough.
        let widest = self.groups.iter().map(|it| text_width(&it.label, TEXT) * GROWN + 4.0);
        let widest = widest.fold(0.0, f64::max);
        let every =
            if self.groups.len() > MANY { (widest / width).ceil().max(1.0) as usize } else { 1 };
        for (at, group) in self.groups.iter().enumerate() {
            let left = frame.left + at as f64 * width;
            let named = at.is_multiple_of(every);
            self.draw_group(canvas, group, named, (left, left + width), &y)?;
        }
        Ok(())
    }

    fn draw_group<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        group: &Group,
        named: bool,
        (left, right): (f64, f64),
        y: &Axis,
    ) -> io::Result<()> {
        let room = right - left;
        let step = (room * 0.8 / self.series.len().max(1) as f64).min(34.0);
        let first = f64::midpoint(left, right) - step * self.series.len() as f64 / 2.0;
        let floor = y.at(0.0).unwrap_or(canvas.size.1);
        for (at, ((name, style), value)) in self.series.iter().zip(&group.values).enumerate() {
            let from = first + at as f64 * step;
            let Some(top) = y.at(*value) else {
                let middle = (from + step / 2.0, floor - 7.0);
                canvas.text(NOTHING, middle, TEXT, Ink::series(*style), Align::Centre)?;
                continue;
            };
            let gap = if step > 5.0 { 1.0 } else { 0.0 };
            canvas.rect((from, top), (from + step - gap, floor), Ink::series(*style))?;
            if step > 9.0 && floor - top > 14.0 && self.series.len() > 1 {
                // Which bar it is, for those to whom its colour does not tell.
                let size = (step * 0.16).min(3.5);
                canvas.marker(
                    (from + (step - gap) / 2.0, floor - 7.0),
                    size,
                    *style,
                    Ink::PAPER,
                )?;
            }
            canvas.hit((from + step / 2.0, f64::midpoint(top, floor)), || {
                format!("{}, {name}: {}", group.label, self.format.say(*value))
            });
        }
        if !named {
            return Ok(());
        }
        let whole = if self.groups.len() > MANY { f64::MAX } else { (room + 2.0) / GROWN };
        let label = shorten(&group.label, TEXT, whole);
        let at = (f64::midpoint(left, right), floor + 15.0);
        canvas.text(&label, at, TEXT, Ink::TEXT, Align::Centre)
    }

    /// The upper left corner of each legend entry, and the height of all; none for a single series.
    fn legend(&self) -> (Vec<(f64, f64)>, f64) {
        if self.series.len() < 2 {
            return (Vec::new(), 0.0);
        }
        let (mut left, mut top) = (4.0, 0.0);
        let mut places = Vec::new();
        for (name, _) in &self.series {
            let width = (text_width(name, TEXT).min(LONGEST) * GROWN).min(WIDTH - 40.0) + 30.0;
            if left + width > WIDTH && left > 4.0 {
                (left, top) = (4.0, top + LEGEND_ROW);
            }
            places.push((left, top));
            left += width;
        }
        (places, top + LEGEND_ROW)
    }
}

const LONGEST: f64 = 290.0;
/// From how many groups on they are those of a histogram.
const MANY: usize = 14;
