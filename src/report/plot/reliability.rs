//! How often a network is right when it is so confident: a bar a bin, against the line on which it would lie.

use std::io;

use ferrite_core::metrics::curves::Bin;
use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, TICK_SIZE, label_room};
use super::canvas::{Align, Canvas, Dash, Ink};
use super::style::Style;

pub(super) const SIZE: (f64, f64) = (560.0, 430.0);
/// Height of the bars that say how many images each bin has.
const COUNTS: f64 = 60.0;

/// A reliability diagram.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reliability {
    /// What it shows.
    pub title: String,
    /// The bins, from low to high confidence.
    pub bins: Vec<Bin>,
}

impl Reliability {
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let (width, height) = canvas.size;
        let y = Axis::between(0.0, 1.0, Format::Percent);
        let bottom = height - 46.0 - COUNTS - 24.0;
        let frame = Frame { left: label_room(&y), top: 28.0, right: width - 28.0, bottom };
        let x = Axis::between(0.0, 1.0, Format::Percent).over(frame.left, frame.right);
        let y = y.over(frame.bottom, frame.top);
        frame.rows(canvas, &y)?;
        canvas.text("accuracy", (frame.left, 11.0), TICK_SIZE, Ink::MUTED, Align::Left)?;
        for bin in &self.bins {
            draw_bin(canvas, bin, &x, &y)?;
        }
        let diagonal = [(frame.left, frame.bottom), (frame.right, frame.top)];
        canvas.line(&diagonal, Ink::TEXT, 1.5, Dash::Long)?;
        self.draw_counts(canvas, &frame, &x)
    }

    /// How many images each bin has, below.
    fn draw_counts<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        above: &Frame,
        x: &Axis,
    ) -> io::Result<()> {
        let bottom = canvas.size.1 - 46.0;
        let frame = Frame { top: bottom - COUNTS, bottom, ..*above };
        let most = self.bins.iter().map(|it| it.images).max().unwrap_or(0).max(1) as f64;
        let at = (frame.left, frame.top - 12.0);
        canvas.text("images", at, TICK_SIZE, Ink::MUTED, Align::Left)?;
        for bin in &self.bins {
            let (Some(left), Some(right)) = (x.at(bin.low), x.at(bin.high)) else { continue };
            let top = bottom - (COUNTS - 14.0) * bin.images as f64 / most;
            canvas.rect((left + 1.0, top), (right - 1.0, bottom), Ink::MUTED.faded(0.55))?;
            if bin.images > 0 {
                let middle = (f64::midpoint(left, right), top - 7.0);
                canvas.text(&bin.images.to_string(), middle, 10.0, Ink::MUTED, Align::Centre)?;
            }
        }
        canvas.line(&[(frame.left, bottom), (frame.right, bottom)], Ink::GRID, 1.0, Dash::Solid)?;
        frame.feet(canvas, x, "confidence: probability of the class that was named")
    }
}

fn draw_bin<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    bin: &Bin,
    x: &Axis,
    y: &Axis,
) -> io::Result<()> {
    let (Some(accuracy), Some(confidence)) = (bin.accuracy, bin.confidence) else { return Ok(()) };
    let places = (x.at(bin.low), x.at(bin.high), y.at(accuracy), y.at(0.0), y.at(confidence));
    let (Some(left), Some(right), Some(top), Some(floor), Some(said)) = places else {
        return Ok(());
    };
    canvas.rect((left + 1.0, top), (right - 1.0, floor), Ink::series(Style(0)).faded(0.75))?;
    // The gap to what was said, from the top of the bar.
    let (from, to) = (top.min(said), top.max(said));
    canvas.rect((left + 1.0, from), (right - 1.0, to), Ink::PAPER)?;
    canvas.rect((left + 1.0, from), (right - 1.0, to), Ink::series(Style(1)).faded(0.3))?;
    let middle = f64::midpoint(left, right);
    canvas.line(
        &[(left + 1.0, said), (right - 1.0, said)],
        Ink::series(Style(1)),
        2.0,
        Dash::Solid,
    )?;
    canvas.hit((middle, top), || {
        let [accuracy, confidence] = [accuracy, confidence].map(|it| Format::Percent.say(it));
        format!("{} images, mean confidence {confidence}, accuracy {accuracy}", bin.images)
    });
    Ok(())
}
