//! Confusion matrices beside each other without numbers: how what is taken for what changes over the epochs.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Format, GROWN};
use super::canvas::{Align, Canvas, Ink, shorten};
use super::matrix::heat;

const WIDTH: f64 = 560.0;
const COLUMNS: usize = 4;
const GAP: f64 = 14.0;
const TITLE: f64 = 24.0;
const TEXT: f64 = 12.0;

/// Small matrices, one a moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Multiples {
    /// What it shows.
    pub title: String,
    /// Names of the classes, in the order of rows and columns.
    pub classes: Vec<String>,
    /// What stands above each matrix, and its shares by true class; none for a class without images.
    pub panels: Vec<(String, Vec<Option<Vec<f64>>>)>,
}

impl Multiples {
    pub(super) fn size(&self) -> (f64, f64) {
        let rows = self.panels.len().div_ceil(COLUMNS).max(1) as f64;
        (WIDTH, rows * (TITLE + side() + GAP))
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        for (at, (title, shares)) in self.panels.iter().enumerate() {
            let (column, row) = ((at % COLUMNS) as f64, (at / COLUMNS) as f64);
            let (left, top) = (column * (side() + GAP), row * (TITLE + side() + GAP));
            let title = shorten(title, TEXT, side() / GROWN);
            canvas.text(&title, (left, top + 12.0), TEXT, Ink::TEXT, Align::Left)?;
            self.draw_panel(canvas, (left, top + TITLE), &title, shares)?;
        }
        Ok(())
    }

    fn draw_panel<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        (left, top): (f64, f64),
        title: &str,
        shares: &[Option<Vec<f64>>],
    ) -> io::Result<()> {
        canvas.rect((left, top), (left + side(), top + side()), Ink::GRID.faded(0.45))?;
        let cell = side() / self.classes.len().max(1) as f64;
        for (row, shares) in shares.iter().enumerate() {
            for (column, share) in shares.iter().flatten().enumerate() {
                let corner = (left + column as f64 * cell, top + row as f64 * cell);
                let (from, to) = (
                    (corner.0 + 0.5, corner.1 + 0.5),
                    (corner.0 + cell - 0.5, corner.1 + cell - 0.5),
                );
                canvas.rect(from, to, Ink::PAPER)?;
                canvas.rect(from, to, heat(*share))?;
                let name = |at: usize| self.classes.get(at).map_or("", String::as_str);
                canvas.hit((corner.0 + cell / 2.0, corner.1 + cell / 2.0), || {
                    let share = Format::Percent.say(*share);
                    format!("{title}: {} taken for {}: {share}", name(row), name(column))
                });
            }
        }
        Ok(())
    }
}

/// Pixels a side of each matrix.
fn side() -> f64 {
    (WIDTH - (COLUMNS - 1) as f64 * GAP) / COLUMNS as f64
}
