//! Where a number lies on an axis, and which numbers are written beside it.

use std::io;

use plotters::prelude::DrawingBackend;

use super::canvas::{Align, At, Canvas, Dash, Ink, text_width};
use crate::format;

/// Size of the text of axes.
pub(super) const TICK_SIZE: f64 = 12.0;

/// How much wider texts may become where a narrow page shows a chart smaller (`assets/base.css`).
pub(super) const GROWN: f64 = 1.35;

/// Seconds that are round in some unit, far enough apart on a logarithmic axis.
const TIMES: [f64; 20] = [
    0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0,
    18_000.0, 36_000.0, 72_000.0, 180_000.0, 360_000.0, 720_000.0,
];

/// Distances in seconds between ticks that are round in some unit.
const STEPS: [f64; 16] = [
    2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0,
    14_400.0, 21_600.0, 43_200.0,
];
const DAY: f64 = 86_400.0;

/// How the numbers of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// As they are.
    #[default]
    Number,
    /// Shares as percent.
    Percent,
    /// Differences of shares as percentage points, with their sign.
    Points,
    /// Seconds as seconds, minutes or hours.
    Duration,
    /// Things that are counted, such as epochs: there is nothing between two of them.
    Count,
}

impl Format {
    /// `value` as a table or a hint says it, to about four digits.
    pub fn say(self, value: f64) -> String {
        if !value.is_finite() {
            return format::NOTHING.into();
        }
        match self {
            Self::Percent => format!("{:.1} %", value * 100.0),
            Self::Points => format!("{:+.1}", value * 100.0),
            Self::Duration => format::duration(value),
            Self::Count => format!("{value:.0}"),
            Self::Number if value == 0.0 => "0".into(),
            Self::Number if !(1e-3..1e6).contains(&value.abs()) => format!("{value:.2e}"),
            Self::Number => {
                let digits = (3.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
                trim_zeros(format!("{value:.digits$}"))
            }
        }
    }
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// How numbers are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// Evenly.
    #[default]
    Linear,
    /// By their logarithm; numbers that have none are left out.
    Logarithmic,
}

/// A stretch of numbers laid over a stretch of pixels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    pixels: (f64, f64),
    scale: Scale,
    format: Format,
}

/// The rectangle that data is drawn in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

impl Axis {
    /// An axis that holds all finite `values`, with a little room around them.
    pub(super) fn around(values: impl Iterator<Item = f64>, scale: Scale, format: Format) -> Self {
        let numbers = values.map(|it| to_scale(it, scale)).filter(|it| it.abs() < 1e12);
        let ends =
            numbers.fold((f64::MAX, f64::MIN), |(low, high), it| (low.min(it), high.max(it)));
        let (low, high) = if ends.0 > ends.1 { (0.0, 1.0) } else { ends };
        let room = ((high - low) * 0.06).max(high.abs() * 1e-3).max(1e-6);
        let (mut low, mut high) = (low - room, high + room);
        if format == Format::Percent {
            (low, high) = (low.max(0.0), high.min(1.0).max(low.max(0.0) + 1e-6));
        }
        Self { low, high, pixels: (0.0, 1.0), scale, format }
    }

    /// An axis from exactly `low` to `high`.
    pub(super) fn between(low: f64, high: f64, format: Format) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, pixels: (0.0, 1.0), scale: Scale::Linear, format }
    }

    /// A logarithmic axis from `low` to `high`, which are positive.
    pub(super) fn decades_between(low: f64, high: f64, format: Format) -> Self {
        let mut axis = Self::between(low.log10(), high.log10(), format);
        axis.scale = Scale::Logarithmic;
        axis
    }

    /// The same axis laid over the pixels `from` to `to`.
    pub(super) fn over(self, from: f64, to: f64) -> Self {
        Self { pixels: (from, to), ..self }
    }

    /// The pixel of `value`; none if it has none.
    pub(super) fn at(&self, value: f64) -> Option<f64> {
        let share = (to_scale(value, self.scale) - self.low) / (self.high - self.low);
        let pixel = self.pixels.0 + (self.pixels.1 - self.pixels.0) * share;
        (share.is_finite() && share.abs() < 1e3).then_some(pixel)
    }

    /// Round numbers along the axis and how they are written.
    pub(super) fn ticks(&self, most: usize) -> Vec<(f64, String)> {
        match self.scale {
            Scale::Logarithmic => self.decades(most),
            Scale::Linear => {
                let step = self.step(most);
                let first = (self.low / step - 1e-9).ceil() as i64;
                let last = (self.high / step + 1e-9).floor() as i64;
                let last = last.min(first.saturating_add(50));
                (first..=last)
                    .map(|it| it as f64 * step)
                    .map(|it| (it, self.write(it, step)))
                    .collect()
            }
        }
    }

    fn decades(&self, most: usize) -> Vec<(f64, String)> {
        if self.format == Format::Duration {
            let shown = TIMES.iter().filter(|it| (self.low..=self.high).contains(&it.log10()));
            return shown.map(|it| (*it, self.write(*it, *it))).collect();
        }
        let fine = self.high - self.low < 1.7;
        let mantissas: &[f64] = if fine { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let (first, last) = (self.low.floor() as i32, self.high.ceil() as i32);
        let every = usize::try_from(last - first).unwrap_or(0).div_ceil(most.max(1)).max(1);
        (first..=last)
            .step_by(every)
            .flat_map(|power| mantissas.iter().map(move |it| it * 10_f64.powi(power)))
            .filter(|it| (self.low..=self.high).contains(&it.log10()))
            .map(|it| (it, self.write(it, it)))
            .collect()
    }

    /// A round distance between at most `most` ticks.
    fn step(&self, most: usize) -> f64 {
        let rough = (self.high - self.low) / most.max(1) as f64;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().find(|it| it * power >= rough);
        let step = step.unwrap_or(10.0) * power;
        if self.format == Format::Duration && rough > 1.0 {
            let round = STEPS.into_iter().find(|it| *it >= rough);
            return round.unwrap_or_else(|| (rough / DAY).ceil() * DAY);
        }
        if self.format == Format::Count { step.max(1.0) } else { step }
    }

    fn write(&self, value: f64, step: f64) -> String {
        let digits = |step: f64| (-step.abs().log10().floor()).clamp(0.0, 6.0) as usize;
        match self.format {
            Format::Percent => format!("{:.*} %", digits(step * 100.0), value * 100.0),
            Format::Points if value.abs() < step * 1e-6 => "0".into(),
            Format::Points => format!("{:+.*}", digits(step * 100.0), value * 100.0),
            Format::Duration if value >= 3600.0 && value % 1800.0 > 1.0 => {
                let minutes = (value / 60.0).round();
                format!("{}:{:02} h", (minutes / 60.0).floor(), minutes % 60.0)
            }
            Format::Duration if value >= 3600.0 => format!("{} h", trim(value / 3600.0)),
            Format::Duration if value >= 60.0 => format!("{} min", trim(value / 60.0)),
            Format::Duration => format!("{} s", trim(value)),
            Format::Count => format!("{value:.0}"),
            Format::Number if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) => {
                format!("{value:e}")
            }
            Format::Number => format!("{value:.*}", digits(step)),
        }
    }
}

impl Frame {
    /// Horizontal grid lines with their numbers at the left.
    pub(super) fn rows<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        axis: &Axis,
    ) -> io::Result<()> {
        self.rows_at_most(canvas, axis, 6)
    }

    /// As many horizontal grid lines as are wanted, with their numbers at the left.
    pub(super) fn rows_at_most<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        axis: &Axis,
        most: usize,
    ) -> io::Result<()> {
        for (value, text) in axis.ticks(most) {
            let Some(y) = axis.at(value) else { continue };
            canvas.line(&[(self.left, y), (self.right, y)], Ink::GRID, 1.0, Dash::Solid)?;
            canvas.text(&text, (self.left - 8.0, y), TICK_SIZE, Ink::MUTED, Align::Right)?;
        }
        Ok(())
    }

    /// Numbers under the frame and the name of what they count.
    pub(super) fn feet<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        axis: &Axis,
        name: &str,
    ) -> io::Result<()> {
        for (value, text) in axis.ticks(8) {
            let Some(x) = axis.at(value) else { continue };
            let at = (x, self.bottom + 13.0);
            canvas.line(
                &[(x, self.bottom), (x, self.bottom + 4.0)],
                Ink::GRID,
                1.0,
                Dash::Solid,
            )?;
            canvas.text(&text, at, TICK_SIZE, Ink::MUTED, Align::Centre)?;
        }
        let middle = f64::midpoint(self.left, self.right);
        canvas.text(name, (middle, self.bottom + 31.0), TICK_SIZE, Ink::MUTED, Align::Centre)
    }

    /// Vertical grid lines.
    pub(super) fn columns<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        axis: &Axis,
    ) -> io::Result<()> {
        for x in axis.ticks(8).into_iter().filter_map(|(value, _)| axis.at(value)) {
            canvas.line(&[(x, self.top), (x, self.bottom)], Ink::GRID, 1.0, Dash::Solid)?;
        }
        Ok(())
    }
}

/// Room that the numbers of a vertical `axis` need.
pub(super) fn label_room(axis: &Axis) -> f64 {
    let widths = axis.ticks(6).into_iter().map(|(_, it)| text_width(&it, TICK_SIZE) * GROWN);
    widths.fold(0.0, f64::max) + 12.0
}

/// The stretches of `points` that lie on both axes.
pub(super) fn traced(points: &[At], x: &Axis, y: &Axis) -> Vec<Vec<At>> {
    let mut stretches = vec![Vec::new()];
    for point in points {
        match (x.at(point.0), y.at(point.1)) {
            (Some(x), Some(y)) => {
                if let Some(it) = stretches.last_mut() {
                    it.push((x, y));
                }
            }
            _ => stretches.push(Vec::new()),
        }
    }
    stretches.retain(|it| !it.is_empty());
    stretches
}

fn to_scale(value: f64, scale: Scale) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.log10(),
    }
}

fn trim(value: f64) -> String {
    trim_zeros(format!("{value:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_to_four_digits() {
        let said = [0.0, 12.5, 0.000_12, 1.234_567, 123_456.7].map(|it| Format::Number.say(it));
        assert_eq!(said, ["0", "12.5", "1.20e-4", "1.235", "123457"]);
        assert_eq!(Format::Percent.say(0.6123), "61.2 %");
        assert_eq!(Format::Number.say(f64::NAN), "–");
    }

    fn ticks(low: f64, high: f64, format: Format) -> Vec<String> {
        Axis::between(low, high, format).ticks(6).into_iter().map(|it| it.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks(0.31, 0.67, Format::Percent), ["40 %", "50 %", "60 %"]);
        assert_eq!(ticks(0.6, 0.62, Format::Percent).last().unwrap(), "62.0 %");
        assert_eq!(ticks(0.0, 30.0, Format::Number), ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(ticks(0.0, 1.0, Format::Number)[1], "0.2");
        assert_eq!(ticks(-0.011, 0.021, Format::Points), ["-1", "0", "+1", "+2"]);
        assert_eq!(ticks(1.0, 3.0, Format::Count), ["1", "2", "3"]);
        let hours = ["0 s", "30 min", "1 h", "1.5 h", "2 h"];
        assert_eq!(ticks(0.0, 8000.0, Format::Duration), hours);
        assert_eq!(ticks(0.0, 6000.0, Format::Duration)[4..], ["1:20 h", "1:40 h"]);
        assert_eq!(ticks(0.5, 1.5, Format::Count), ["1"]);
    }

    #[test]
    fn a_logarithmic_axis_counts_decades() {
        let values = [1e-5, 1e-2];
        let axis = Axis::around(values.into_iter(), Scale::Logarithmic, Format::Number);
        let texts: Vec<_> = axis.ticks(6).into_iter().map(|it| it.1).collect();
        assert_eq!(texts, ["1e-5", "1e-4", "0.001", "0.010"].map(|it| it.replace("10", "1")));
        assert_eq!(axis.at(0.0), None);
    }
}
