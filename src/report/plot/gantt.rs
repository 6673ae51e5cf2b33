//! Who worked when: a lane a run or worker, a bar a step, over the time of the sweep.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN};
use super::canvas::{Align, Canvas, Dash, Ink, shorten_inside, text_width};
use super::style::Style;

const WIDTH: f64 = 640.0;
const TEXT: f64 = 11.5;
const TOP: f64 = 30.0;
const LABELS: f64 = 190.0;
/// Seconds from which a step that was taken from an earlier run is marked with what it saved.
const WORTH_SAYING: f64 = 0.5;

/// Bars over time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gantt {
    /// What it shows.
    pub title: String,
    /// The lanes, from top to bottom.
    pub lanes: Vec<Lane>,
    /// What the colours are.
    pub kinds: Vec<(String, Style)>,
    /// Stretches of time in which nothing ran, left out of the axis: after which second, and how long.
    pub pauses: Vec<(f64, f64)>,
}

/// One row of bars.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// Its bars, in order.
    pub bars: Vec<Bar>,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it was.
    pub label: String,
    /// Which of the kinds.
    pub kind: usize,
    /// When it began, in seconds since the sweep did, pauses left out.
    pub from: f64,
    /// When it ended.
    pub until: f64,
    /// Whether an earlier run had made its result.
    pub reused: bool,
    /// Seconds that this saved, if they are known.
    pub saved: Option<f64>,
}

impl Gantt {
    fn lane_height(&self) -> f64 {
        if self.lanes.len() > 30 { 14.0 } else { 18.0 }
    }

    pub(super) fn size(&self) -> (f64, f64) {
        let lanes = self.lanes.len().max(1) as f64 * self.lane_height();
        (WIDTH, TOP + lanes + 50.0)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (width, height) = canvas.size;
        let names = self.lanes.iter().map(|it| text_width(&it.name, TEXT) * GROWN);
        let labels = names.fold(20.0, f64::max).min(LABELS);
        let frame = Frame {
            left: labels + 10.0,
            top: TOP - 4.0,
            right: width - 14.0,
            bottom: height - 46.0,
        };
        let bars = || self.lanes.iter().flat_map(|it| &it.bars);
        let last = bars().map(|it| it.until).filter(|it| it.is_finite()).fold(1.0, f64::max);
        let x = Axis::between(0.0, last, Format::Duration).over(frame.left, frame.right);
        frame.columns(canvas, &x)?;
        frame.feet(canvas, &x, "time since the first run began")?;
        self.draw_legend(canvas)?;
        for (after, _) in &self.pauses {
            let Some(at) = x.at(*after) else { continue };
            canvas.line(&[(at, frame.top), (at, frame.bottom)], Ink::TEXT, 1.0, Dash::Short)?;
        }
        let step = self.lane_height();
        for (at, lane) in self.lanes.iter().enumerate() {
            let middle = TOP + (at as f64 + 0.5) * step;
            let name = shorten_inside(&lane.name, TEXT.min(step - 2.0), labels / GROWN);
            canvas.text(&name, (0.0, middle), TEXT.min(step - 2.0), Ink::TEXT, Align::Left)?;
            for bar in &lane.bars {
                self.draw_bar(canvas, lane, bar, (&x, middle))?;
            }
        }
        Ok(())
    }

    fn draw_bar<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        lane: &Lane,
        bar: &Bar,
        (x, middle): (&Axis, f64),
    ) -> io::Result<()> {
        let (Some(from), Some(until)) = (x.at(bar.from), x.at(bar.until)) else { return Ok(()) };
        let half = self.lane_height() / 2.0 - 2.0;
        let style = self.kinds.get(bar.kind).map_or(Style(0), |it| it.1);
        let until = until.max(from + 1.0);
        canvas.hit((f64::midpoint(from, until), middle), || {
            let took = Format::Duration.say(bar.until - bar.from);
            match bar.saved {
                Some(it) => {
                    let saved = Format::Duration.say(it);
                    format!(
                        "{}: {}, taken from an earlier run, saved {saved}",
                        lane.name, bar.label
                    )
                }
                None if bar.reused => {
                    format!("{}: {}, taken from an earlier run", lane.name, bar.label)
                }
                None => format!("{}: {}, {took}", lane.name, bar.label),
            }
        });
        let (upper, lower) = ((from, middle - half), (until, middle + half));
        if !bar.reused {
            canvas.rect(upper, lower, Ink::series(style))?;
            // A gap tells steps of one kind apart.
            return canvas.rect((until - 0.5, upper.1), lower, Ink::PAPER);
        }
        if bar.saved.is_none_or(|it| it < WORTH_SAYING) {
            return Ok(());
        }
        hatched(canvas, (from - 2.0, middle - half), (from + 6.0, middle + half), style)
    }

    fn draw_legend<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let mut left = 2.0;
        for (name, style) in &self.kinds {
            canvas.rect((left, 5.0), (left + 12.0, 17.0), Ink::series(*style))?;
            canvas.text(name, (left + 17.0, 11.0), TEXT, Ink::TEXT, Align::Left)?;
            left += text_width(name, TEXT) * GROWN + 36.0;
        }
        if self.lanes.iter().flat_map(|it| &it.bars).any(|it| it.reused) {
            hatched(canvas, (left, 5.0), (left + 12.0, 17.0), Style(7))?;
            canvas.text("reused", (left + 17.0, 11.0), TEXT, Ink::TEXT, Align::Left)?;
        }
        Ok(())
    }
}

/// A box of slanted lines.
fn hatched<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    (left, top): (f64, f64),
    (right, bottom): (f64, f64),
    style: Style,
) -> io::Result<()> {
    let ink = Ink::series(style);
    canvas.rect((left, top), (right, bottom), Ink::PAPER)?;
    let edge = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)];
    canvas.line(&edge, ink, 1.0, Dash::Solid)?;
    let height = bottom - top;
    let steps = ((right - left + height) / 4.0) as usize;
    for at in 1..=steps {
        let along = at as f64 * 4.0;
        // From the left or lower edge to the upper or right one.
        let from = (left + (along - height).max(0.0), top + along.min(height));
        let to = (left + along.min(right - left), top + (along - (right - left)).max(0.0));
        canvas.line(&[from, to], ink, 1.0, Dash::Solid)?;
    }
    Ok(())
}
