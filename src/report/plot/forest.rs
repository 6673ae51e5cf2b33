//! Differences with their intervals around zero: a row a comparison.

use std::io;

use plotters::prelude::DrawingBackend;

use super::Style;
use super::axis::{Axis, Format, Frame, Scale};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten, text_width};

const WIDTH: f64 = 960.0;
const ROW: f64 = 25.0;
const TOP: f64 = 44.0;
const LABELS: f64 = 400.0;
const VALUES: f64 = 150.0;
const TEXT: f64 = 12.5;

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
    const ALL: [(Self, &'static str); 3] = [
        (Self::Square, "real"),
        (Self::Diamond, "one seed: these networks differ"),
        (Self::Hollow, "not shown"),
    ];

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
        (WIDTH, TOP + self.rows.len().max(1) as f64 * ROW + 42.0)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (width, height) = canvas.size;
        let frame =
            Frame { left: LABELS, top: TOP - 4.0, right: width - VALUES, bottom: height - 44.0 };
        let values = self.rows.iter().flat_map(|it| [it.interval[0], it.interval[1], it.value]);
        let x = Axis::around(values.chain([0.0]), Scale::Linear, Format::Points);
        let x = x.over(frame.left, frame.right);
        frame.columns(canvas, &x)?;
        frame.feet(canvas, &x, &self.x)?;
        if let Some(zero) = x.at(0.0) {
            canvas.line(
                &[(zero, frame.top - 4.0), (zero, frame.bottom)],
                Ink::TEXT,
                1.5,
                Dash::Solid,
            )?;
        }
        self.draw_legend(canvas)?;
        let group_width =
            self.rows.iter().map(|it| text_width(&it.group, TEXT)).fold(0.0, f64::max);
        for (at, row) in self.rows.iter().enumerate() {
            row.draw(canvas, &x, TOP + (at as f64 + 0.5) * ROW, group_width.min(150.0))?;
        }
        Ok(())
    }

    /// The marks that occur, with their meaning.
    fn draw_legend<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let mut x = 8.0;
        for (mark, name) in
            Mark::ALL.iter().filter(|it| self.rows.iter().any(|row| row.mark == it.0))
        {
            mark.draw(canvas, (x, 14.0))?;
            canvas.text(name, (x + 13.0, 14.0), TEXT, Ink::MUTED, Align::Left)?;
            x += 13.0 + text_width(name, TEXT) + 26.0;
        }
        Ok(())
    }
}

impl ForestRow {
    fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        x: &Axis,
        y: f64,
        group_width: f64,
    ) -> io::Result<()> {
        let group = shorten(&self.group, TEXT, group_width);
        canvas.text(&group, (0.0, y), TEXT, Ink::MUTED, Align::Left)?;
        let left = if group_width > 0.0 { group_width + 14.0 } else { 0.0 };
        let label = shorten(&self.label, TEXT, LABELS - 18.0 - left);
        canvas.text(&label, (left, y), TEXT, Ink::TEXT, Align::Left)?;
        canvas.text(&self.text, (canvas.size.0 - 4.0, y), TEXT, Ink::TEXT, Align::Right)?;
        let ink = self.mark.ink();
        if let (Some(low), Some(high)) = (x.at(self.interval[0]), x.at(self.interval[1])) {
            canvas.line(&[(low, y), (high, y)], ink, 2.0, Dash::Solid)?;
            for end in [low, high].iter().filter(|_| high > low) {
                canvas.line(&[(*end, y - 4.0), (*end, y + 4.0)], ink, 1.5, Dash::Solid)?;
            }
        }
        x.at(self.value).map_or(Ok(()), |at| self.mark.draw(canvas, (at, y)))
    }
}
