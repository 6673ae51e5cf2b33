//! One score against a cost, a dot a configuration.

use std::io;

use plotters::prelude::DrawingBackend;

use super::axis::{Axis, Format, Frame, GROWN, Scale, TICK_SIZE, label_room};
use super::canvas::{Align, At, Canvas, Dash, Ink, shorten_inside, text_width};
use super::style::Style;

pub(super) const SIZE: (f64, f64) = (560.0, 400.0);

const TEXT: f64 = 12.0;

/// Dots with names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scatter {
    /// What it shows.
    pub title: String,
    /// What x counts.
    pub x: String,
    /// What x is in one or two words.
    pub x_name: String,
    /// What y is.
    pub y_name: String,
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

/// The points that no other one beats on both axes, the cheapest first: each costs more than the one before and earns more.
pub fn front(points: &[Point]) -> Vec<&Point> {
    let mut sorted: Vec<_> =
        points.iter().filter(|it| it.x.is_finite() && it.y.is_finite()).collect();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(b.y.total_cmp(&a.y)));
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|it| {
        it.y > best && {
            best = it.y;
            true
        }
    });
    sorted
}

impl Scatter {
    pub(super) fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        let sd = |it: &Point| it.sd.unwrap_or(0.0);
        let ys = self.points.iter().flat_map(|it| [it.y - sd(it), it.y + sd(it)]);
        let y = Axis::around(ys, Scale::Linear, Format::Percent);
        let (width, height) = canvas.size;
        let left = label_room(&y);
        let frame = Frame { left, top: 28.0, right: width - 20.0, bottom: height - 44.0 };
        let y = y.over(frame.bottom, frame.top);
        let xs = self.points.iter().map(|it| it.x);
        let x = Axis::around(xs, Scale::Logarithmic, self.format);
        let x = x.over(frame.left + 12.0, frame.right - 12.0);
        frame.rows(canvas, &y)?;
        frame.feet(canvas, &x, &self.x)?;
        canvas.text(&self.y_name, (left, 11.0), TICK_SIZE, Ink::MUTED, Align::Left)?;
        let mut taken = self.draw_front(canvas, &frame, (&x, &y))?;
        let places = self.points.iter().filter_map(|it| Some((it, (x.at(it.x)?, y.at(it.y)?))));
        let places: Vec<_> = places.collect();
        for (point, at) in places.iter().rev() {
            let ends = (y.at(point.y - sd(point)), y.at(point.y + sd(point)));
            if let (Some(low), Some(high)) = ends {
                let ink = Ink::series(point.style).faded(0.6);
                canvas.line(&[(at.0, low), (at.0, high)], ink, 1.5, Dash::Solid)?;
                let middle = (at.0, f64::midpoint(low, high));
                taken.push(Box::around(middle, (2.0, (low - high).abs() / 2.0)));
            }
            canvas.ringed_marker(*at, 5.0, point.style)?;
            canvas.hit(*at, || {
                let (cost, score) = (self.format.say(point.x), Format::Percent.say(point.y));
                format!("{}: {score}, {cost}", point.label)
            });
        }
        draw_labels(canvas, &frame, &places, taken)
    }

    /// Steps along the points that nothing beats; gives back the room that they take.
    fn draw_front<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<'_, DB>,
        frame: &Frame,
        (x, y): (&Axis, &Axis),
    ) -> io::Result<Vec<Box>> {
        let mut steps: Vec<At> = Vec::new();
        for at in front(&self.points).into_iter().filter_map(|it| Some((x.at(it.x)?, y.at(it.y)?)))
        {
            steps.extend(steps.last().map(|before| (at.0, before.1)));
            steps.push(at);
        }
        steps.extend(steps.last().map(|it| (frame.right, it.1)));
        canvas.line(&steps, Ink::MUTED, 1.5, Dash::Long)?;
        let around = |it: &[At]| {
            let middle = (f64::midpoint(it[0].0, it[1].0), f64::midpoint(it[0].1, it[1].1));
            let half = ((it[1].0 - it[0].0).abs() / 2.0, (it[1].1 - it[0].1).abs() / 2.0);
            Box::around(middle, (half.0 + 1.0, half.1 + 1.0))
        };
        Ok(steps.windows(2).map(around).collect())
    }
}

/// Writes each name beside its dot, or further off with a thin line to it where there is no room.
fn draw_labels<DB: DrawingBackend>(
    canvas: &Canvas<'_, DB>,
    frame: &Frame,
    places: &[(&Point, At)],
    mut taken: Vec<Box>,
) -> io::Result<()> {
    taken.extend(places.iter().map(|(_, at)| Box::around(*at, (7.0, 7.0))));
    for (point, at) in places {
        let label = shorten_inside(&point.label, TEXT, 180.0);
        let width = text_width(&label, TEXT) * GROWN;
        let free =
            |it: &(Box, bool)| it.0.within(frame) && !taken.iter().any(|other| it.0.meets(other));
        if let Some((place, near)) = candidates(*at, width).find(free) {
            let middle = f64::midpoint(place.top, place.bottom);
            if !near {
                let end = at.0.clamp(place.left, place.right);
                let leader = [*at, (end, middle + 7.0 * (at.1 - middle).signum())];
                canvas.line(&leader, Ink::MUTED.faded(0.7), 0.7, Dash::Solid)?;
            }
            canvas.text(&label, (place.left, middle), TEXT, Ink::TEXT, Align::Left)?;
            taken.push(place);
        }
    }
    Ok(())
}

/// Places for a name of `width` around the dot at `x`, `y`, the best first, and whether each is beside it.
fn candidates((x, y): At, width: f64) -> impl Iterator<Item = (Box, bool)> {
    const HALF: f64 = 9.0;
    let text = move |left: f64, middle: f64| {
        Box::around((left + width / 2.0, middle), (width / 2.0, HALF))
    };
    let (right, left) = (x + 10.0, x - 10.0 - width);
    let near = [
        text(right, y),
        text(left, y),
        text(right - 4.0, y - 15.0),
        text(right - 4.0, y + 15.0),
        text(left + 4.0, y - 15.0),
        text(left + 4.0, y + 15.0),
        text(x - width / 2.0, y - 18.0),
        text(x - width / 2.0, y + 18.0),
    ];
    let far = (2..9).flat_map(move |step| {
        let off = f64::from(step) * 17.0;
        [
            (right, -off),
            (left, -off),
            (right, off),
            (left, off),
            (x - width / 2.0, -off),
            (x - width / 2.0, off),
        ]
        .map(|(left, off)| text(left, y + off))
    });
    near.into_iter().map(|it| (it, true)).chain(far.map(|it| (it, false)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_is_what_no_other_point_beats_on_both_axes() {
        let point = |(label, x, y): (&str, f64, f64)| Point {
            label: label.into(),
            style: Style(0),
            x,
            y,
            sd: None,
        };
        let all =
            [("slow", 9.0, 0.8), ("cheap", 1.0, 0.5), ("beaten", 5.0, 0.5), ("best", 4.0, 0.8)];
        let all = all.map(point);
        let names: Vec<_> = front(&all).into_iter().map(|it| it.label.as_str()).collect();
        assert_eq!(names, ["cheap", "best"]);
        assert!(front(&[point(("none", f64::NAN, 1.0))]).is_empty());
    }
}
