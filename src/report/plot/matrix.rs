//! A confusion matrix: rows are true classes, columns what they were taken for.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::Format;
use super::canvas::{Align, Canvas, Ink, shorten, text_width};

const LABEL: f64 = 12.0;
const TOP: f64 = 44.0;
/// How much wider texts may become on a narrow page; less than those of other charts, since cells leave no room.
const GROWN: f64 = 1.1;

/// A matrix of shares, each row of its own sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ConfusionMatrix {
    /// What it shows.
    pub title: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Shares by true class; none for a class without images.
    pub shares: Vec<Option<Vec<f64>>>,
    /// Images by true class, written under the shares; empty to leave them out.
    pub counts: Vec<Vec<u64>>,
}

/// The colour of a share.
pub(super) fn heat(share: f64) -> Ink {
    Ink::HEAT.faded(0.02 + 0.98 * share.clamp(0.0, 1.0).powf(0.8))
}

impl ConfusionMatrix {
    pub(super) fn size(&self) -> (f64, f64) {
        let n = self.classes.len().max(2) as f64;
        let side = n * self.cell();
        (self.label_room() + side + 6.0, TOP + side + 8.0)
    }

    fn cell(&self) -> f64 {
        if self.counts.is_empty() { 54.0 } else { 58.0 }
    }

    fn label_room(&self) -> f64 {
        let widths = self.classes.iter().map(|it| text_width(it, LABEL));
        widths.fold(30.0, f64::max).min(100.0) * GROWN + 12.0
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (left, cell) = (self.label_room(), self.cell());
        let side = cell * self.classes.len() as f64;
        canvas.text("predicted as", (left, 9.0), 11.0, Ink::MUTED, Align::Left)?;
        canvas.text("true", (left - 8.0, TOP - 14.0), 11.0, Ink::MUTED, Align::Right)?;
        for (at, class) in self.classes.iter().enumerate() {
            let middle = (at as f64 + 0.5) * cell;
            let name = shorten(class, LABEL, (left - 10.0) / GROWN);
            canvas.text(&name, (left - 8.0, TOP + middle), LABEL, Ink::TEXT, Align::Right)?;
            let name = shorten(class, LABEL - 0.5, cell / GROWN);
            let at = (left + middle, TOP - 14.0);
            canvas.text(&name, at, LABEL - 0.5, Ink::TEXT, Align::Centre)?;
        }
        canvas.rect((left, TOP), (left + side, TOP + side), Ink::GRID.faded(0.45))?;
        for (row, shares) in self.shares.iter().enumerate() {
            for (column, share) in shares.iter().flatten().enumerate() {
                let corner = (left + column as f64 * cell, TOP + row as f64 * cell);
                self.draw_cell(canvas, corner, *share, (row, column))?;
            }
        }
        Ok(())
    }

    fn draw_cell<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        (left, top): (f64, f64),
        share: f64,
        (row, column): (usize, usize),
    ) -> io::Result<()> {
        let cell = self.cell();
        let (from, to) = ((left + 1.0, top + 1.0), (left + cell - 1.0, top + cell - 1.0));
        canvas.rect(from, to, Ink::PAPER)?;
        canvas.rect(from, to, heat(share))?;
        let ink = match share {
            0.45.. => Ink::ON_HEAT,
            0.05.. => Ink::TEXT,
            _ => Ink::MUTED,
        };
        let middle = (left + cell / 2.0, top + cell / 2.0);
        let name = |at: usize| self.classes.get(at).map_or("", String::as_str);
        canvas.hit(middle, || {
            let share = Format::Percent.say(share);
            format!("{} taken for {}: {share}", name(row), name(column))
        });
        let text = format!("{:.0}", share * 100.0);
        let Some(count) = self.counts.get(row).and_then(|it| it.get(column)) else {
            return canvas.text(&text, middle, 13.5, ink, Align::Centre);
        };
        canvas.text(&format!("{text} %"), (middle.0, middle.1 - 7.0), 13.5, ink, Align::Centre)?;
        let below = (middle.0, middle.1 + 11.0);
        canvas.text(&count.to_string(), below, 10.5, ink.faded(0.85), Align::Centre)
    }
}
