//! Lines over a common x, with bands, marks and their names beside them.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN, Scale, TICK_SIZE, label_room, traced};
use super::canvas::{Align, At, Canvas, Dash, Ink, SAMPLE, shorten, shorten_inside, text_width};
use super::range::{clip, robust};
use super::style::Style;

const WIDTH: f64 = 680.0;
const HEIGHT: f64 = 350.0;
/// Height of what is drawn below the lines.
const LOWER: f64 = 92.0;

const LABEL_SIZE: f64 = 12.5;
const LABEL_HEIGHT: f64 = 15.5;
const LONGEST_LABEL: f64 = 165.0;
/// Space between the lines and their names, half of which the last number below may need.
const BESIDE: f64 = 14.0;
/// How many points say their value to who points at them.
const MOST_SAID: usize = 200;

/// Lines over a common x.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LineChart {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// How x is written.
    pub numbers: Format,
    /// From where to where x goes; none for as far as the lines go.
    pub span: Option<[f64; 2]>,
    /// What y is; empty where the title says it.
    pub y: String,
    /// How y is written.
    pub format: Format,
    /// How y is spread.
    pub scale: Scale,
    /// Which of y is shown.
    pub range: Range,
    /// The lines, the most important first.
    pub lines: Vec<Line>,
    /// A fine dotted line to be compared with.
    pub reference: Vec<(f64, f64)>,
    /// Places on x.
    pub marks: Vec<Mark>,
    /// Other lines over the same x, drawn below on a logarithmic axis, and what they are.
    pub lower: Option<(String, Vec<Line>)>,
}

/// Which values an axis shows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Range {
    /// All.
    #[default]
    All,
    /// Those that tell the lines apart: what is far worse than the others is cut off and marked at the edge.
    Robust {
        /// Whether more is better.
        rising: bool,
    },
    /// From one value to another.
    Between(f64, f64),
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its name.
    pub label: String,
    /// Colour, dashes and shape.
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

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let lines = self.points.iter().chain(&self.tail).chain(&self.dots).map(|it| it.1);
        lines.chain(self.band.iter().flat_map(|it| [it.1, it.2]))
    }

    /// The points of it and of its tail, which begins with the last one of these.
    pub(super) fn whole(&self) -> impl Iterator<Item = &(f64, f64)> {
        let again = usize::from(!self.points.is_empty());
        self.points.iter().chain(self.tail.iter().skip(again))
    }

    fn last(&self) -> Option<(f64, f64)> {
        let finite = |it: &&(f64, f64)| it.1.is_finite();
        self.tail.iter().rfind(finite).or_else(|| self.points.iter().rfind(finite)).copied()
    }
}

/// The axes of a chart and what they are laid over.
struct Axes {
    frame: Frame,
    x: Axis,
    y: Axis,
}

impl LineChart {
    pub(super) fn size(&self) -> (f64, f64) {
        let labels = self.labelled().count() as f64 * LABEL_HEIGHT + 84.0;
        let lower = if self.lower.is_some() { LOWER } else { 0.0 };
        (WIDTH, HEIGHT.max(labels) + lower)
    }

    /// How much of the width is more than the names beside the lines, which a narrow page writes below.
    pub(super) fn without_labels(&self) -> f64 {
        (WIDTH - self.label_width() + BESIDE - 4.0).min(WIDTH) / WIDTH
    }

    pub(super) fn labelled(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|it| !it.label.is_empty())
    }

    /// Names of the lines that go beyond the axis.
    pub fn cut(&self) -> Vec<&str> {
        let Some([low, high]) = self.robust() else { return Vec::new() };
        let beyond =
            |it: &&Line| it.whole().any(|it| it.1.is_finite() && !(low..=high).contains(&it.1));
        self.lines.iter().filter(beyond).map(|it| it.label.as_str()).collect()
    }

    /// What y is, as far as the title says it.
    pub(super) fn y_name(&self) -> String {
        if self.y.is_empty() { self.title.clone() } else { self.y.clone() }
    }

    fn robust(&self) -> Option<[f64; 2]> {
        let Range::Robust { rising } = self.range else { return None };
        robust(&self.lines, rising)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let axes = self.axes();
        let Axes { frame, x, y } = &axes;
        frame.rows(canvas, y)?;
        if let Some((name, lines)) = &self.lower {
            self.draw_lower(canvas, &axes, name, lines)?;
        } else {
            frame.feet(canvas, x, &self.x)?;
        }
        if !self.y.is_empty() {
            let at = (frame.left + 6.0, 11.0);
            canvas.text(&self.y, at, TICK_SIZE, Ink::MUTED, Align::Left)?;
        }
        self.draw_marks(canvas, frame, x)?;
        for stretch in traced(&self.reference, x, y) {
            canvas.line(&stretch, Ink::MUTED, 1.0, Dash::Short)?;
        }
        for line in self.lines.iter().rev() {
            draw_band(canvas, line, &axes)?;
        }
        for line in self.lines.iter().rev() {
            draw_line(canvas, line, &axes)?;
        }
        self.say(canvas, &axes);
        self.draw_labels(canvas, &axes)
    }

    fn axes(&self) -> Axes {
        let values = || self.lines.iter().flat_map(Line::values);
        let y = match (self.range, self.robust()) {
            (Range::Between(low, high), _) => Axis::between(low, high, self.format),
            (_, Some([low, high])) if self.scale == Scale::Linear => {
                Axis::between(low, high, self.format)
            }
            _ => Axis::around(values(), self.scale, self.format),
        };
        let (width, height) = self.size();
        let lower = if self.lower.is_some() { LOWER } else { 0.0 };
        let frame = Frame {
            left: label_room(&y),
            top: if self.marks.is_empty() && self.y.is_empty() { 12.0 } else { 28.0 },
            right: width - self.label_width(),
            bottom: height - 46.0 - lower,
        };
        let [from, to] = self.span.unwrap_or_else(|| self.reach());
        let x = Axis::between(from, to, self.numbers).over(frame.left + 6.0, frame.right - 6.0);
        Axes { frame, x, y: y.over(frame.bottom, frame.top) }
    }

    /// From the first to the last x; a single epoch lies in the middle.
    fn reach(&self) -> [f64; 2] {
        let xs = self.lines.iter().flat_map(Line::whole).map(|it| it.0);
        let last = xs.filter(|it| it.is_finite()).fold(1.0, f64::max);
        if last > 1.0 { [1.0, last] } else { [0.5, 1.5] }
    }

    fn label_width(&self) -> f64 {
        let labels = self.labelled().map(|it| text_width(&it.label, LABEL_SIZE));
        let widest = labels.fold(0.0, f64::max).min(LONGEST_LABEL);
        if widest > 0.0 { widest + SAMPLE + BESIDE + 14.0 } else { 10.0 }
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
                canvas.text(&label, (at + 4.0, 11.0), TICK_SIZE, Ink::MUTED, Align::Left)?;
                free_from = at + text_width(&label, TICK_SIZE) * GROWN + 12.0;
            }
        }
        Ok(())
    }

    /// What is drawn below over the same x.
    fn draw_lower<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        above: &Axes,
        name: &str,
        lines: &[Line],
    ) -> io::Result<()> {
        let Frame { left, right, bottom, .. } = above.frame;
        let frame = Frame { left, right, top: bottom + 30.0, bottom: canvas.size.1 - 46.0 };
        let values = lines.iter().flat_map(Line::values);
        let y = Axis::around(values, Scale::Logarithmic, Format::Number);
        let axes = Axes { frame, x: above.x.clone(), y: y.over(frame.bottom, frame.top) };
        canvas.text(name, (left, frame.top - 14.0), TICK_SIZE, Ink::MUTED, Align::Left)?;
        frame.rows_at_most(canvas, &axes.y, 3)?;
        frame.feet(canvas, &axes.x, &self.x)?;
        lines.iter().rev().try_for_each(|it| draw_line(canvas, it, &axes))
    }

    /// Says values to who points at them: those that stand out, and as many others as there is room for.
    fn say<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>, axes: &Axes) {
        let name = self.x.split(',').next().unwrap_or_default();
        let all: usize = self.lines.iter().map(|it| it.whole().count()).sum();
        let every = all.div_ceil(MOST_SAID).max(1);
        for line in &self.lines {
            let named = if line.label.is_empty() { "" } else { ", " };
            let kept = line.dots.iter().map(|it| (it, ", kept"));
            for ((x, y), note) in line.whole().step_by(every).map(|it| (it, "")).chain(kept) {
                let Some(at) = axes.place((*x, *y)) else { continue };
                canvas.hit(at, || {
                    let (x, y) = (self.numbers.say(*x), self.format.say(*y));
                    format!("{}{named}{name} {x}: {y}{note}", line.label)
                });
            }
        }
    }

    /// Writes each line's name beside its end, moved apart where they would overlap.
    fn draw_labels<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        axes: &Axes,
    ) -> io::Result<()> {
        let frame = &axes.frame;
        let end = |it: &Line| {
            let (x, y) = (axes.x.at(it.last()?.0)?, axes.y.at(it.last()?.1)?);
            // Where all lines end at the same place, as at a corner, their names are a list.
            let y = if self.span.is_some() { frame.top } else { y.clamp(frame.top, frame.bottom) };
            Some((x, y))
        };
        let mut ends: Vec<_> = self.labelled().filter_map(|it| Some((end(it)?, it))).collect();
        ends.sort_by(|left, right| left.0.1.total_cmp(&right.0.1));
        let places = spread(&ends.iter().map(|it| it.0.1).collect::<Vec<_>>(), frame);
        for ((end, line), place) in ends.iter().zip(places) {
            if frame.right - end.0 > 14.0 && self.span.is_none() {
                let leader = [(end.0 + 6.0, end.1), (frame.right + BESIDE - 2.0, place)];
                canvas.line(&leader, Ink::series(line.style).faded(0.45), 0.5, Dash::Short)?;
            }
            canvas.sample((frame.right + BESIDE, place), line.style)?;
            let label = shorten_inside(&line.label, LABEL_SIZE, LONGEST_LABEL);
            let at = (frame.right + BESIDE + SAMPLE + 6.0, place);
            canvas.text(&label, at, LABEL_SIZE, Ink::TEXT, Align::Left)?;
        }
        Ok(())
    }
}

impl Axes {
    fn place(&self, point: (f64, f64)) -> Option<At> {
        let at = (self.x.at(point.0)?, self.y.at(point.1)?);
        (self.frame.top - 1.0..=self.frame.bottom + 1.0).contains(&at.1).then_some(at)
    }
}

fn draw_band<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    line: &Line,
    Axes { frame, x, y }: &Axes,
) -> io::Result<()> {
    let lows: Vec<_> = line.band.iter().map(|it| (it.0, it.1)).collect();
    let highs: Vec<_> = line.band.iter().map(|it| (it.0, it.2)).collect();
    for (low, high) in traced(&lows, x, y).iter().zip(&traced(&highs, x, y)) {
        let corners = low.iter().chain(high.iter().rev());
        let corners: Vec<_> =
            corners.map(|it| (it.0, it.1.clamp(frame.top, frame.bottom))).collect();
        if corners.len() > 3 {
            canvas.area(&corners, Ink::series(line.style).faded(0.13))?;
        }
    }
    Ok(())
}

fn draw_line<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    line: &Line,
    axes: &Axes,
) -> io::Result<()> {
    let Axes { frame, x, y } = axes;
    let (ink, dash) = (Ink::series(line.style), Dash::of(line.style));
    let mut outs = Vec::new();
    for (points, ink) in [(&line.tail, ink.faded(0.4)), (&line.points, ink)] {
        for stretch in traced(points, x, y) {
            let (pieces, beyond) = clip(&stretch, frame.top, frame.bottom);
            outs.extend(beyond);
            for piece in pieces {
                canvas.line(&piece, ink, 2.0, dash)?;
                if let [alone] = piece[..] {
                    canvas.marker(alone, 3.0, line.style, ink)?;
                }
            }
        }
    }
    for at in outs {
        let away = if at.1 < f64::midpoint(frame.top, frame.bottom) { -1.0 } else { 1.0 };
        let corners = [(0.0, 7.0 * away), (5.0, 0.0), (-5.0, 0.0)];
        canvas.area(&corners.map(|it| (at.0 + it.0, at.1 + it.1)), ink)?;
    }
    for dot in line.dots.iter().filter_map(|it| axes.place(*it)) {
        canvas.ringed_marker(dot, 3.5, line.style)?;
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
