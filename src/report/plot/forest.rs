//! Differences with their intervals around zero: a row a comparison.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN, Scale};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten, text_width};
use super::style::Style;

const WIDTH: f64 = 560.0;
/// A row: what is compared, and below it the interval.
const ROW: f64 = 42.0;
const TEXT: f64 = 12.5;
const LEGEND_ROW: f64 = 20.0;

/// Rows of differences.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forest {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// A row a comparison.
    pub rows: Vec<ForestRow>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestRow {
    /// The technique, in front.
    pub group: String,
    /// What is compared.
    pub label: String,
    /// The difference, a share.
    pub value: f64,
    /// Its interval.
    pub interval: [f64; 2],
    /// The difference as text.
    pub text: String,
    /// What is known of it.
    pub mark: Mark,
}

/// What is known of a difference, told by shape and colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A full square: it is real.
    Square,
    /// A diamond: real of these networks only.
    Diamond,
    /// A hollow circle: it may be chance.
    Hollow,
}

impl Mark {
    const ALL: [Self; 3] = [Self::Square, Self::Diamond, Self::Hollow];

    /// What it says.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Square => "real",
            Self::Diamond => "one seed: these networks differ",
            Self::Hollow => "not shown",
        }
    }

    fn ink(self) -> Ink {
        match self {
            Self::Square => Ink::series(Style(0)),
            Self::Diamond => Ink::series(Style(4)),
            Self::Hollow => Ink::MUTED,
        }
    }

    fn draw<DB: DrawingBackend>(self, canvas: &Canvas<'_, DB>, (x, y): At) -> io::Result<()> {
        let ink = self.ink();
        match self {
            Self::Square => canvas.rect((x - 4.5, y - 4.5), (x + 4.5, y + 4.5), ink),
            Self::Diamond => {
                canvas.area(&[(x, y - 6.5), (x + 6.5, y), (x, y + 6.5), (x - 6.5, y)], ink)
            }
            Self::Hollow => {
                canvas.dot((x, y), 5.0, ink)?;
                canvas.dot((x, y), 3.0, Ink::PAPER)
            }
        }
    }
}

impl Forest {
    pub(super) fn size(&self) -> (f64, f64) {
        (WIDTH, self.top() + self.rows.len().max(1) as f64 * ROW + 50.0)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (width, height) = canvas.size;
        let top = self.top();
        let frame = Frame {
            left: 14.0,
            top: top - 2.0,
            right: width - self.values(),
            bottom: height - 48.0,
        };
        let values = self.rows.iter().flat_map(|it| [it.interval[0], it.interval[1], it.value]);
        let x = Axis::around(values.chain([0.0]), Scale::Linear, Format::Points);
        let x = x.over(frame.left, frame.right);
        frame.columns(canvas, &x)?;
        frame.feet(canvas, &x, &self.x)?;
        if let Some(zero) = x.at(0.0) {
            canvas.line(
                &[(zero, frame.top - 2.0), (zero, frame.bottom)],
                Ink::TEXT,
                1.5,
                Dash::Solid,
            )?;
        }
        self.draw_legend(canvas)?;
        for (at, row) in self.rows.iter().enumerate() {
            row.draw(canvas, &x, top + at as f64 * ROW)?;
        }
        Ok(())
    }

    /// The marks that occur, in rows, where each lies, and the height of all.
    fn legend(&self) -> (Vec<(Mark, At)>, f64) {
        let (mut x, mut y) = (8.0, 12.0);
        let mut places = Vec::new();
        for mark in Mark::ALL.into_iter().filter(|it| self.rows.iter().any(|row| row.mark == *it)) {
            let room = 13.0 + text_width(mark.word(), TEXT) * GROWN + 20.0;
            if x + room > WIDTH && x > 8.0 {
                (x, y) = (8.0, y + LEGEND_ROW);
            }
            places.push((mark, (x, y)));
            x += room;
        }
        (places, y + LEGEND_ROW)
    }

    /// Room for the differences as text, right of the intervals.
    fn values(&self) -> f64 {
        let widths = self.rows.iter().map(|it| text_width(&it.text, TEXT));
        widths.fold(0.0, f64::max) * GROWN + 18.0
    }

    fn top(&self) -> f64 {
        self.legend().1
    }

    fn draw_legend<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        for (mark, (x, y)) in self.legend().0 {
            mark.draw(canvas, (x, y))?;
            canvas.text(mark.word(), (x + 13.0, y), TEXT, Ink::MUTED, Align::Left)?;
        }
        Ok(())
    }
}

impl ForestRow {
    /// The technique and what is compared.
    pub(super) fn name(&self) -> String {
        match self.group.as_str() {
            "" => self.label.clone(),
            group => format!("{group}: {}", self.label),
        }
    }

    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        x: &Axis,
        top: f64,
    ) -> io::Result<()> {
        let (name, y) = (top + 13.0, top + 31.0);
        let room = canvas.size.0 / GROWN;
        // The texts stand clear of the lines behind them.
        canvas.rect((0.0, name - 8.0), (canvas.size.0, name + 8.0), Ink::PAPER.faded(0.85))?;
        let label = shorten(&self.name(), TEXT, room);
        canvas.text(&label, (0.0, name), TEXT, Ink::TEXT, Align::Left)?;
        canvas.text(&self.text, (canvas.size.0 - 4.0, y), TEXT, Ink::TEXT, Align::Right)?;
        let ink = self.mark.ink();
        if let (Some(low), Some(high)) = (x.at(self.interval[0]), x.at(self.interval[1])) {
            canvas.line(&[(low, y), (high, y)], ink, 2.0, Dash::Solid)?;
            for end in [low, high].iter().filter(|_| high > low) {
                canvas.line(&[(*end, y - 4.0), (*end, y + 4.0)], ink, 1.5, Dash::Solid)?;
            }
        }
        let Some(at) = x.at(self.value) else { return Ok(()) };
        canvas
            .hit((at, y), || format!("{}: {} points, {}", self.label, self.text, self.mark.word()));
        self.mark.draw(canvas, (at, y))
    }
}
