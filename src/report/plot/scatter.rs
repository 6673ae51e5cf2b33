//! One score against a cost, a dot a configuration.

use std::io;

use plotters::prelude::DrawingBackend;

use super::Style;
use super::axis::{Axis, Format, Frame, Scale, label_room};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten, text_width};

/// Width and height of the chart in CSS pixels.
pub(super) const SIZE: (f64, f64) = (680.0, 350.0);

const TEXT: f64 = 12.0;

/// Dots with names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// How x is written; it is spread logarithmically.
    pub format: Format,
    /// The dots, the most important first.
    pub points: Vec<Point>,
}

/// One dot.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name.
    pub label: String,
    /// Its colour.
    pub style: Style,
    /// Its cost.
    pub x: f64,
    /// Its share.
    pub y: f64,
    /// How far y scatters, if known.
    pub sd: Option<f64>,
}

impl Scatter {
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let sd = |it: &Point| it.sd.unwrap_or(0.0);
        let ys = self.points.iter().flat_map(|it| [it.y - sd(it), it.y + sd(it)]);
        let y = Axis::around(ys, Scale::Linear, Format::Percent);
        let (width, height) = canvas.size;
        let left = label_room(&y);
        let frame = Frame { left, top: 14.0, right: width - 20.0, bottom: height - 44.0 };
        let y = y.over(frame.bottom, frame.top);
        let xs = self.points.iter().map(|it| it.x);
        let x = Axis::around(xs, Scale::Logarithmic, self.format);
        let x = x.over(frame.left + 12.0, frame.right - 12.0);
        frame.rows(canvas, &y)?;
        frame.feet(canvas, &x, &self.x)?;
        let places = self.points.iter().filter_map(|it| Some((it, (x.at(it.x)?, y.at(it.y)?))));
        let places: Vec<_> = places.collect();
        let mut whiskers = Vec::new();
        for (point, at) in places.iter().rev() {
            let ends = (y.at(point.y - sd(point)), y.at(point.y + sd(point)));
            if let (Some(low), Some(high)) = ends {
                let ink = Ink::series(point.style).faded(0.6);
                canvas.line(&[(at.0, low), (at.0, high)], ink, 1.5, Dash::Solid)?;
                let middle = (at.0, f64::midpoint(low, high));
                whiskers.push(Box::around(middle, (2.0, (low - high).abs() / 2.0)));
            }
            canvas.ringed_dot(*at, 5.0, Ink::series(point.style))?;
        }
        draw_labels(canvas, &frame, &places, whiskers)
    }
}

/// Writes each name beside its dot where there is room; dots without room stay nameless.
fn draw_labels<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: &Frame,
    places: &[(&Point, At)],
    whiskers: Vec<Box>,
) -> io::Result<()> {
    let mut taken: Vec<_> = places.iter().map(|(_, at)| Box::around(*at, (7.0, 7.0))).collect();
    taken.extend(whiskers);
    for (point, at) in places {
        let label = shorten(&point.label, TEXT, 190.0);
        let width = text_width(&label, TEXT);
        let free = |it: &Box| it.within(frame) && !taken.iter().any(|other| it.meets(other));
        if let Some(place) = candidates(*at, width, frame.right + 16.0).into_iter().find(free) {
            let at = (place.left, f64::midpoint(place.top, place.bottom));
            canvas.text(&label, at, TEXT, Ink::series(point.style), Align::Left)?;
            taken.push(place);
        }
    }
    Ok(())
}

/// Places for a name of `width` around the dot at `x`, `y`, left of `edge`, the best first.
fn candidates((x, y): At, width: f64, edge: f64) -> [Box; 10] {
    let text =
        |left: f64, middle: f64| Box::around((left + width / 2.0, middle), (width / 2.0, 7.0));
    let (right, left) = (x + 10.0, x - 10.0 - width);
    [
        text(right, y),
        text(left, y),
        text(right - 4.0, y - 14.0),
        text(right - 4.0, y + 14.0),
        text(left + 4.0, y - 14.0),
        text(left + 4.0, y + 14.0),
        text(x - width / 2.0, y - 17.0),
        text(x - width / 2.0, y + 17.0),
        text(edge - width, y - 17.0),
        text(edge - width, y + 17.0),
    ]
}

/// A place that is taken or wanted.
#[derive(Clone, Copy)]
struct Box {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Box {
    fn around((x, y): At, (half_width, half_height): (f64, f64)) -> Self {
        let (left, right) = (x - half_width, x + half_width);
        Self { left, right, top: y - half_height, bottom: y + half_height }
    }

    fn within(&self, frame: &Frame) -> bool {
        let across = self.left > frame.left && self.right < frame.right + 17.0;
        across && self.top > frame.top - 12.0 && self.bottom < frame.bottom
    }

    fn meets(&self, other: &Self) -> bool {
        let across = self.left < other.right && other.left < self.right;
        across && self.top < other.bottom && other.top < self.bottom
    }
}
