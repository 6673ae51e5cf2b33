//! One score of many configurations: a dot a seed, the mean and its deviation.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN, Scale};
use super::canvas::{Align, Canvas, Dash, Ink, SAMPLE, shorten, shorten_inside, text_width};
use super::style::Style;

const WIDTH: f64 = 560.0;
/// A row: the name, and below it the dots.
const ROW: f64 = 40.0;
const TOP: f64 = 28.0;
const TEXT: f64 = 12.5;

/// Rows of dots.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Strip {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// A row a configuration, the best first.
    pub rows: Vec<StripRow>,
    /// A value to be compared with, and its name; not drawn if it is far from all others.
    pub reference: Option<(f64, String)>,
}

/// One configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct StripRow {
    /// Its name.
    pub label: String,
    /// Its colour.
    pub style: Style,
    /// A share for each seed.
    pub values: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, if there are several.
    pub sd: Option<f64>,
    /// The mean as text.
    pub text: String,
}

impl Strip {
    pub(super) fn size(&self) -> (f64, f64) {
        (WIDTH, TOP + self.rows.len().max(1) as f64 * ROW + 42.0)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (width, height) = canvas.size;
        let frame =
            Frame { left: 14.0, top: TOP - 4.0, right: width - 14.0, bottom: height - 44.0 };
        let values = self.rows.iter().flat_map(|it| {
            let ends = [it.mean - it.sd.unwrap_or(0.0), it.mean + it.sd.unwrap_or(0.0)];
            it.values.iter().copied().chain(ends)
        });
        let x = Axis::around(values, Scale::Linear, Format::Percent).over(frame.left, frame.right);
        frame.columns(canvas, &x)?;
        frame.feet(canvas, &x, &self.x)?;
        self.draw_reference(canvas, &frame, &x)?;
        for (at, row) in self.rows.iter().enumerate() {
            row.draw(canvas, &x, TOP + at as f64 * ROW)?;
        }
        Ok(())
    }

    fn draw_reference<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        frame: &Frame,
        x: &Axis,
    ) -> io::Result<()> {
        let place = self.reference.as_ref().and_then(|it| Some((x.at(it.0)?, &it.1)));
        let Some((at, name)) = place.filter(|it| it.0 >= frame.left && it.0 <= frame.right) else {
            return Ok(());
        };
        let ends = [(at, frame.top - 4.0), (at, frame.bottom)];
        canvas.line(&ends, Ink::MUTED, 1.0, Dash::Short)?;
        let label = shorten(name, 11.5, frame.right - at);
        canvas.text(&label, (at + 1.0, 11.0), 11.5, Ink::MUTED, Align::Left)
    }
}

impl StripRow {
    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        x: &Axis,
        y: f64,
    ) -> io::Result<()> {
        let ink = Ink::series(self.style);
        let (name, y) = (y + 12.0, y + 29.0);
        let room = canvas.size.0 - SAMPLE - 22.0 - text_width(&self.text, TEXT) * GROWN;
        let label = shorten_inside(&self.label, TEXT, room / GROWN);
        canvas.sample((2.0, name), self.style)?;
        canvas.text(&label, (SAMPLE + 8.0, name), TEXT, Ink::TEXT, Align::Left)?;
        let right = canvas.size.0 - 4.0;
        canvas.text(&self.text, (right, name), TEXT, Ink::TEXT, Align::Right)?;
        for (value, at) in self.values.iter().filter_map(|it| Some((it, x.at(*it)?))) {
            canvas.marker((at, y), 4.0, self.style, ink.faded(0.38))?;
            canvas.hit((at, y), || format!("{}: {}", self.label, Format::Percent.say(*value)));
        }
        let Some(mean) = x.at(self.mean) else { return Ok(()) };
        let sd = self.sd.unwrap_or(0.0);
        if let (Some(low), Some(high)) = (x.at(self.mean - sd), x.at(self.mean + sd)) {
            canvas.line(&[(low, y), (high, y)], ink, 2.0, Dash::Solid)?;
            for end in [low, high].iter().filter(|_| sd > 0.0) {
                canvas.line(&[(*end, y - 4.0), (*end, y + 4.0)], ink, 1.5, Dash::Solid)?;
            }
        }
        canvas.ringed_marker((mean, y), 4.5, self.style)
    }
}
