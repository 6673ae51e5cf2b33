//! Lines over epochs, with bands, marks and their names at their ends.

use std::io;

use plotters::prelude::DrawingBackend;

use super::Style;
use super::axis::{Axis, Format, Frame, Scale, TICK_SIZE, label_room, traced};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten, text_width};

/// Width and height of the chart in CSS pixels.
pub(super) const SIZE: (f64, f64) = (680.0, 350.0);

const LABEL_SIZE: f64 = 12.5;
const LABEL_HEIGHT: f64 = 15.5;
const LONGEST_LABEL: f64 = 175.0;

/// Lines over a common x.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// How y is written.
    pub format: Format,
    /// How y is spread.
    pub scale: Scale,
    /// The lines, the most important first.
    pub lines: Vec<Line>,
    /// Places on x.
    pub marks: Vec<Mark>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub label: String,
    /// Colour and dashes.
    pub style: Style,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
    /// Where it goes on, fainter: fewer runs are left than at its beginning.
    pub tail: Vec<(f64, f64)>,
    /// x, lowest and highest value of the runs behind it.
    pub band: Vec<(f64, f64, f64)>,
    /// Points that stand out.
    pub dots: Vec<(f64, f64)>,
}

/// A vertical line with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Where.
    pub x: f64,
    /// What begins there.
    pub label: String,
}

impl Line {
    /// A line without points.
    pub fn new(style: Style) -> Self {
        let (points, tail, band, dots) = (vec![], vec![], vec![], vec![]);
        Self { label: String::new(), style, points, tail, band, dots }
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        let lines = self.points.iter().chain(&self.tail).chain(&self.dots).map(|it| it.1);
        lines.chain(self.band.iter().flat_map(|it| [it.1, it.2]))
    }

    fn last(&self) -> Option<(f64, f64)> {
        let finite = |it: &&(f64, f64)| it.1.is_finite();
        self.tail.iter().rfind(finite).or_else(|| self.points.iter().rfind(finite)).copied()
    }
}

impl LineChart {
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let y = Axis::around(self.lines.iter().flat_map(Line::values), self.scale, self.format);
        let labels = self.label_width();
        let frame = Frame {
            left: label_room(&y),
            top: if self.marks.is_empty() { 12.0 } else { 26.0 },
            right: canvas.size.0 - labels - 14.0,
            bottom: canvas.size.1 - 44.0,
        };
        let y = y.over(frame.bottom, frame.top);
        let x =
            Axis::between(1.0, self.last_x(), Format::Number).over(frame.left + 6.0, frame.right);
        frame.rows(canvas, &y)?;
        frame.feet(canvas, &x, &self.x)?;
        self.draw_marks(canvas, &frame, &x)?;
        for line in self.lines.iter().rev() {
            draw_band(canvas, line, &x, &y)?;
        }
        for line in self.lines.iter().rev() {
            draw_line(canvas, line, &x, &y)?;
        }
        self.draw_labels(canvas, &frame, (&x, &y))
    }

    fn last_x(&self) -> f64 {
        let xs = self.lines.iter().flat_map(|it| it.points.iter().chain(&it.tail)).map(|it| it.0);
        xs.fold(2.0, f64::max)
    }

    fn label_width(&self) -> f64 {
        let labels = self.lines.iter().map(|it| text_width(&it.label, LABEL_SIZE) + 10.0);
        labels.fold(0.0, f64::max).min(LONGEST_LABEL)
    }

    fn draw_marks<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        frame: &Frame,
        x: &Axis,
    ) -> io::Result<()> {
        let mut free_from = 0.0;
        for mark in &self.marks {
            let Some(at) = x.at(mark.x) else { continue };
            if mark.x > 1.0 {
                let ends = [(at, frame.top - 6.0), (at, frame.bottom)];
                canvas.line(&ends, Ink::MUTED.faded(0.6), 1.0, Dash::Short)?;
            }
            if at >= free_from {
                let label = shorten(&mark.label, TICK_SIZE, 120.0);
                canvas.text(&label, (at + 4.0, 10.0), TICK_SIZE, Ink::MUTED, Align::Left)?;
                free_from = at + text_width(&label, TICK_SIZE) + 12.0;
            }
        }
        Ok(())
    }

    /// Writes each line's name beside its end, moved apart where they would overlap.
    fn draw_labels<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        frame: &Frame,
        (x, y): (&Axis, &Axis),
    ) -> io::Result<()> {
        let most = ((frame.bottom - frame.top) / LABEL_HEIGHT) as usize;
        let ends = self.lines.iter().filter(|it| !it.label.is_empty());
        let mut ends: Vec<_> =
            ends.filter_map(|it| Some((on(x, y, it.last()?)?, it))).take(most).collect();
        ends.sort_by(|left, right| left.0.1.total_cmp(&right.0.1));
        let places = spread(&ends.iter().map(|it| it.0.1).collect::<Vec<_>>(), frame);
        for ((end, line), place) in ends.iter().zip(places) {
            if frame.right - end.0 > 12.0 {
                let leader = [(end.0 + 6.0, end.1), (frame.right + 5.0, place)];
                canvas.line(&leader, Ink::series(line.style).faded(0.45), 0.5, Dash::Short)?;
            }
            let label = shorten(&line.label, LABEL_SIZE, LONGEST_LABEL - 6.0);
            let at = (frame.right + 9.0, place);
            canvas.text(&label, at, LABEL_SIZE, Ink::series(line.style), Align::Left)?;
        }
        Ok(())
    }
}

fn on(x: &Axis, y: &Axis, point: (f64, f64)) -> Option<At> {
    Some((x.at(point.0)?, y.at(point.1)?))
}

fn draw_band<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    line: &Line,
    x: &Axis,
    y: &Axis,
) -> io::Result<()> {
    let lows: Vec<_> = line.band.iter().map(|it| (it.0, it.1)).collect();
    let highs: Vec<_> = line.band.iter().map(|it| (it.0, it.2)).collect();
    for (low, high) in traced(&lows, x, y).iter().zip(&traced(&highs, x, y)) {
        let corners: Vec<_> = low.iter().chain(high.iter().rev()).copied().collect();
        if corners.len() > 3 {
            canvas.area(&corners, Ink::series(line.style).faded(0.13))?;
        }
    }
    Ok(())
}

fn draw_line<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    line: &Line,
    x: &Axis,
    y: &Axis,
) -> io::Result<()> {
    let (ink, dash) = (Ink::series(line.style), Dash::of(line.style));
    for (points, ink) in [(&line.tail, ink.faded(0.4)), (&line.points, ink)] {
        for stretch in traced(points, x, y) {
            canvas.line(&stretch, ink, 2.0, dash)?;
            if let [alone] = stretch[..] {
                canvas.dot(alone, 2.5, ink)?;
            }
        }
    }
    for dot in traced(&line.dots, x, y).into_iter().flatten() {
        canvas.ringed_dot(dot, 3.5, ink)?;
    }
    Ok(())
}

/// Moves ascending `wanted` apart by the height of a label, within `frame`.
fn spread(wanted: &[f64], frame: &Frame) -> Vec<f64> {
    let mut places = wanted.to_vec();
    let mut least = frame.top + 4.0;
    for place in &mut places {
        *place = place.max(least);
        least = *place + LABEL_HEIGHT;
    }
    let mut most = frame.bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - LABEL_HEIGHT;
    }
    places
}
