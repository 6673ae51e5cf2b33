//! Lines, areas, dots and text in CSS pixels on any backend of plotters.
//!
//! Both backends draw at [`SCALE`] units a pixel: SVG has whole coordinates only, and PNGs shall be crisp.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;

use plotters::coord::Shift;
use plotters::element::{Circle, PathElement, Polygon, Rectangle, Text};
use plotters::prelude::{Color, DrawingArea, DrawingBackend, RGBAColor, RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontFamily, FontStyle, TextStyle};

use super::FONT;
use super::style::{Marker, PALETTE, Style};

/// Units of a backend for one CSS pixel.
pub(super) const SCALE: f64 = 2.0;

pub(super) const INK: RGBColor = RGBColor(0x1B, 0x24, 0x30);
pub(super) const MUTED: RGBColor = RGBColor(0x5F, 0x6B, 0x7A);
pub(super) const GRID: RGBColor = RGBColor(0xE4, 0xE8, 0xED);
pub(super) const PAPER: RGBColor = RGBColor(0xFF, 0xFF, 0xFF);
pub(super) const HEAT: RGBColor = RGBColor(0x0B, 0x5C, 0xAB);
pub(super) const ON_HEAT: RGBColor = RGBColor(0xFE, 0xFE, 0xFE);

/// A colour of the page and how opaque it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink(RGBColor, f64);

impl Ink {
    pub(super) const TEXT: Self = Self(INK, 1.0);
    pub(super) const MUTED: Self = Self(MUTED, 1.0);
    pub(super) const GRID: Self = Self(GRID, 1.0);
    pub(super) const PAPER: Self = Self(PAPER, 1.0);
    pub(super) const HEAT: Self = Self(HEAT, 1.0);
    pub(super) const ON_HEAT: Self = Self(ON_HEAT, 1.0);

    pub(super) fn series(style: Style) -> Self {
        Self(PALETTE[style.colour()], 1.0)
    }

    pub(super) fn faded(self, opacity: f64) -> Self {
        let opacity = if opacity.is_finite() { opacity.clamp(0.0, 1.0) } else { 0.0 };
        Self(self.0, (self.1 * opacity * 1000.0).round() / 1000.0)
    }

    fn colour(self) -> RGBAColor {
        self.0.mix(self.1)
    }
}

/// Which end of a text lies at its point; all are centred vertically.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// How a line is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Long,
    Short,
}

impl Dash {
    pub(super) fn of(style: Style) -> Self {
        match style.round() {
            0 => Self::Solid,
            1 => Self::Long,
            _ => Self::Short,
        }
    }

    /// Lengths of a dash and of the gap behind it.
    fn lengths(self) -> Option<(f64, f64)> {
        match self {
            Self::Solid => None,
            Self::Long => Some((8.0, 4.0)),
            Self::Short => Some((2.5, 3.5)),
        }
    }
}

/// A point in CSS pixels.
pub(super) type At = (f64, f64);

/// What is drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Svg,
    Pixels,
}

/// Somewhere to draw.
pub(super) struct Canvas<'a, DB: DrawingBackend> {
    area: &'a DrawingArea<DB, Shift>,
    /// Width and height.
    pub(super) size: (f64, f64),
    /// How far texts are moved down, as a share of their size, to lie in the middle.
    drop: f64,
    /// What is said where a reader points at.
    hits: RefCell<Vec<Hit>>,
}

/// A place and what is said to a reader who points at it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Hit {
    pub(super) at: At,
    pub(super) text: String,
}

impl<'a, DB: DrawingBackend> Canvas<'a, DB> {
    /// An area of `size` on a `medium`.
    pub(super) fn new(area: &'a DrawingArea<DB, Shift>, size: (f64, f64), medium: Medium) -> Self {
        // A browser puts texts in place; plotters draws them into pixels a little too high.
        let drop = match medium {
            Medium::Svg => 0.0,
            Medium::Pixels => 0.16,
        };
        Self { area, size, drop, hits: RefCell::default() }
    }

    pub(super) fn line(&self, points: &[At], ink: Ink, width: f64, dash: Dash) -> io::Result<()> {
        let style = ShapeStyle {
            color: ink.colour(),
            filled: false,
            stroke_width: (width * SCALE).round().max(1.0) as u32,
        };
        for piece in pieces(points, dash) {
            if piece.len() > 1 {
                let path: Vec<_> = piece.into_iter().map(place).collect();
                self.area.draw(&PathElement::new(path, style)).map_err(cannot_draw)?;
            }
        }
        Ok(())
    }

    pub(super) fn area(&self, corners: &[At], ink: Ink) -> io::Result<()> {
        let corners: Vec<_> = corners.iter().copied().map(place).collect();
        self.area.draw(&Polygon::new(corners, ink.colour().filled())).map_err(cannot_draw)
    }

    /// A filled box from its upper left to its lower right corner.
    pub(super) fn rect(&self, from: At, to: At, ink: Ink) -> io::Result<()> {
        let corners = [place(from), place(to)];
        self.area.draw(&Rectangle::new(corners, ink.colour().filled())).map_err(cannot_draw)
    }

    pub(super) fn dot(&self, at: At, radius: f64, ink: Ink) -> io::Result<()> {
        let radius = (radius * SCALE).round().max(1.0) as u32;
        self.area.draw(&Circle::new(place(at), radius, ink.colour().filled())).map_err(cannot_draw)
    }

    /// A mark of the shape of `style`, about as large as a disc of `radius`.
    pub(super) fn marker(&self, at: At, radius: f64, style: Style, ink: Ink) -> io::Result<()> {
        let (x, y) = at;
        let corners = |all: &[At]| -> Vec<At> {
            all.iter().map(|(dx, dy)| (x + dx * radius, y + dy * radius)).collect()
        };
        match style.marker() {
            Marker::Circle => self.dot(at, radius, ink),
            Marker::Square => {
                let half = radius * 0.9;
                self.rect((x - half, y - half), (x + half, y + half), ink)
            }
            Marker::Triangle => {
                self.area(&corners(&[(0.0, -1.25), (1.2, 0.85), (-1.2, 0.85)]), ink)
            }
            Marker::Diamond => {
                self.area(&corners(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]), ink)
            }
        }
    }

    /// A mark set off from what lies under it by a rim in the colour of the page.
    pub(super) fn ringed_marker(&self, at: At, radius: f64, style: Style) -> io::Result<()> {
        self.marker(at, radius + 1.6, style, Ink::PAPER)?;
        self.marker(at, radius, style, Ink::series(style))
    }

    /// A short piece of the line of `style` with its mark, from `left` on: what a legend shows.
    pub(super) fn sample(&self, (left, y): At, style: Style) -> io::Result<()> {
        let ends = [(left, y), (left + SAMPLE, y)];
        self.line(&ends, Ink::series(style), 2.0, Dash::of(style))?;
        self.ringed_marker((left + SAMPLE / 2.0, y), 3.5, style)
    }

    /// Says `text` to who points at `at`.
    pub(super) fn hit(&self, at: At, text: impl FnOnce() -> String) {
        let mut hits = self.hits.borrow_mut();
        if hits.len() < MOST_HITS && at.0.is_finite() && at.1.is_finite() {
            hits.push(Hit { at, text: text() });
        }
    }

    /// What was said.
    pub(super) fn into_hits(self) -> Vec<Hit> {
        self.hits.into_inner()
    }

    pub(super) fn text(
        &self,
        text: &str,
        at: At,
        size: f64,
        ink: Ink,
        align: Align,
    ) -> io::Result<()> {
        let h_pos = match align {
            Align::Left => HPos::Left,
            Align::Centre => HPos::Center,
            Align::Right => HPos::Right,
        };
        let colour = ink.colour();
        let style =
            TextStyle::from(font(size * SCALE)).color(&colour).pos(Pos::new(h_pos, VPos::Center));
        self.area
            .draw(&Text::new(text.to_owned(), place((at.0, at.1 + self.drop * size)), style))
            .map_err(cannot_draw)
    }
}

/// Length of a [`Canvas::sample`].
pub(super) const SAMPLE: f64 = 22.0;

/// How many places of a chart say something at most.
const MOST_HITS: usize = 500;

/// Width of `text` at `size`, with some room for a wider font of the page.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    // Shaping a whole text is what drawing spends most of its time with, so each letter is measured once.
    thread_local! {
        static WIDTHS: RefCell<HashMap<char, f64>> = RefCell::default();
    }
    const MEASURED_AT: f64 = 100.0;
    let measure = |letter: char| {
        super::prepare_font();
        let width = font(MEASURED_AT).box_size(&letter.to_string());
        width.map_or(0.55, |it| f64::from(it.0) / MEASURED_AT)
    };
    let widths = text.chars().map(|letter| {
        WIDTHS.with_borrow_mut(|it| *it.entry(letter).or_insert_with(|| measure(letter)))
    });
    widths.sum::<f64>() * size * 1.08
}

/// `text`, cut with an ellipsis to at most `width` at `size`.
pub(super) fn shorten(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let fits = |n: &usize| {
        let head: String = text.chars().take(*n).collect();
        text_width(&format!("{}…", head.trim_end()), size) <= width
    };
    let most = (1..text.chars().count().min(200)).rev().find(fits).unwrap_or(1);
    let head: String = text.chars().take(most).collect();
    format!("{}…", head.trim_end())
}

/// `text`, cut in its middle to at most `width` at `size`: names that begin alike are told apart by their ends.
pub(super) fn shorten_inside(text: &str, size: f64, width: f64) -> String {
    let letters: Vec<char> = text.chars().take(400).collect();
    let cut = |n: usize| {
        let (head, tail) = (n * 2 / 5, n - n * 2 / 5);
        let head: String = letters[..head].iter().collect();
        let tail: String = letters[letters.len() - tail..].iter().collect();
        format!("{}…{}", head.trim_end(), tail.trim_start())
    };
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let fits = |n: &usize| text_width(&cut(*n), size) <= width;
    cut((1..letters.len()).rev().find(fits).unwrap_or(1).min(letters.len()))
}

/// What plotters says, as an error of the operating system's kind.
pub(super) fn cannot_draw(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// plotters takes a font's line height for its size; SVG wants the em.
const LINE_HEIGHT: f64 = 1.24;

fn font(size: f64) -> FontDesc<'static> {
    FontDesc::new(FontFamily::Name(FONT), size * LINE_HEIGHT, FontStyle::Normal)
}

fn place((x, y): At) -> (i32, i32) {
    let unit = |it: f64| (it * SCALE).round().clamp(-1e5, 1e5) as i32;
    (unit(x), unit(y))
}

/// The polylines that a dashed line through `points` consists of.
fn pieces(points: &[At], dash: Dash) -> Vec<Vec<At>> {
    let Some((on, off)) = dash.lengths() else { return vec![points.to_vec()] };
    let mut pieces = vec![points.iter().take(1).copied().collect::<Vec<_>>()];
    let (mut drawing, mut left) = (true, on);
    for pair in points.windows(2) {
        let [mut from, to] = [pair[0], pair[1]];
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let step = if length > left { left / length } else { 1.0 };
            let until = (from.0 + (to.0 - from.0) * step, from.1 + (to.1 - from.1) * step);
            if let Some(piece) = pieces.last_mut().filter(|_| drawing) {
                piece.push(until);
            }
            if step >= 1.0 || pieces.len() > 2_000 {
                left -= length.min(left);
                break;
            }
            (drawing, left, from) = (!drawing, if drawing { off } else { on }, until);
            if drawing {
                pieces.push(vec![from]);
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_what_tells_them_apart() {
        let (one, other) = ("grid · image_size 48 · lr 0.001", "grid · image_size 48 · lr 0.002");
        let cut = |it: &str| shorten_inside(it, 12.0, 120.0);
        assert!(cut(one) != cut(other) && cut(one).contains('…'), "{} {}", cut(one), cut(other));
        assert!(text_width(&cut(one), 12.0) <= 120.0);
        assert_eq!((cut("short"), cut("")), ("short".into(), String::new()));
        shorten_inside("äöü", 12.0, 1.0);
    }
}
