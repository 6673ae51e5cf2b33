//! Charts as values, drawn by one function: to SVG for a page, to PNG for a paper.
//!
//! A chart says what is shown; `canvas` knows how plotters draws it. The colours live here, once: the
//! PNGs use the light ones, and in the SVGs each becomes a CSS variable, so that a page may be dark.
//!
//! **Invariant:** no chart panics, however few, many or infinite its numbers are.

pub mod axis;
pub mod bars;
mod canvas;
pub mod forest;
pub mod lines;
pub mod matrix;
pub mod scatter;
pub mod strip;

use std::io;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, DrawingArea, DrawingBackend, FontStyle, IntoDrawingArea, RGBColor, SVGBackend,
    WHITE,
};
use plotters::style::register_font;

use bars::Bars;
use canvas::{Canvas, Ink, SCALE};
use forest::Forest;
use lines::LineChart;
use matrix::ConfusionMatrix;
use scatter::Scatter;
use strip::Strip;

/// Name under which the font is registered; cut from the SVGs, which inherit the page's font.
const FONT: &str = "ferrite";

/// Colours of series, safe for colour-blind readers (after Okabe and Ito); dark twins are in `assets/base.css`.
pub const PALETTE: [RGBColor; 8] = [
    RGBColor(0x00, 0x72, 0xB2),
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x9E, 0x73),
    RGBColor(0xB8, 0x5C, 0x93),
    RGBColor(0xE0, 0x9A, 0x00),
    RGBColor(0x4B, 0xAD, 0xE3),
    RGBColor(0x7A, 0x2E, 0x5D),
    RGBColor(0x5A, 0x64, 0x70),
];

/// The other colours and the CSS variable of each.
const INKS: [(RGBColor, &str); 6] = [
    (canvas::INK, "ink"),
    (canvas::MUTED, "muted"),
    (canvas::GRID, "grid"),
    (canvas::PAPER, "card"),
    (canvas::HEAT, "heat"),
    (canvas::ON_HEAT, "on-heat"),
];

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub enum Chart {
    /// Lines over epochs.
    Lines(LineChart),
    /// One score of many configurations, seed by seed.
    Strip(Strip),
    /// Bars in groups.
    Bars(Bars),
    /// What was taken for what.
    Matrix(ConfusionMatrix),
    /// One score against a cost.
    Scatter(Scatter),
    /// Differences around zero.
    Forest(Forest),
}

/// Which style a series has: the colours cycle, and a second and third round are dashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style(pub usize);

impl Style {
    /// Its place in [`PALETTE`].
    pub fn colour(self) -> usize {
        self.0 % PALETTE.len()
    }

    /// Which round of the palette it is in, from 0.
    pub fn round(self) -> usize {
        self.0 / PALETTE.len()
    }
}

impl Chart {
    /// Its title, shown above the PNG and told to screen readers.
    pub fn title(&self) -> &str {
        match self {
            Self::Lines(it) => &it.title,
            Self::Strip(it) => &it.title,
            Self::Bars(it) => &it.title,
            Self::Matrix(it) => &it.title,
            Self::Scatter(it) => &it.title,
            Self::Forest(it) => &it.title,
        }
    }

    /// Width and height in CSS pixels.
    fn size(&self) -> (f64, f64) {
        match self {
            Self::Lines(_) => lines::SIZE,
            Self::Strip(it) => it.size(),
            Self::Bars(it) => it.size(),
            Self::Matrix(it) => it.size(),
            Self::Scatter(_) => scatter::SIZE,
            Self::Forest(it) => it.size(),
        }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        match self {
            Self::Lines(it) => it.draw(canvas),
            Self::Strip(it) => it.draw(canvas),
            Self::Bars(it) => it.draw(canvas),
            Self::Matrix(it) => it.draw(canvas),
            Self::Scatter(it) => it.draw(canvas),
            Self::Forest(it) => it.draw(canvas),
        }
    }
}

/// `chart` as an inline SVG element in CSS colours.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg(chart: &Chart) -> io::Result<String> {
    prepare_font();
    let (width, height) = chart.size();
    let size = (pixels(width), pixels(height));
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        chart.draw(&Canvas::of_svg(&area, chart.size()))?;
        area.present().map_err(canvas::cannot_draw)?;
    }
    let inner = text.split_once('>').map_or("", |(_, rest)| rest);
    let label = escape(chart.title());
    Ok(format!(
        "<svg viewBox=\"0 0 {} {}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">{}",
        size.0,
        size.1,
        with_variables(inner)
    ))
}

/// `charts` as one PNG, `columns` beside each other, each under its title; light, at double resolution.
///
/// # Errors
/// If plotters cannot draw them or they do not fit into an image.
pub fn png(charts: &[Chart], columns: usize) -> io::Result<Vec<u8>> {
    prepare_font();
    let columns = columns.clamp(1, charts.len().max(1));
    let cell = charts
        .iter()
        .map(Chart::size)
        .fold((1.0_f64, 1.0_f64), |most, it| (most.0.max(it.0), most.1.max(it.1)));
    let cell = (cell.0 + 2.0 * MARGIN, cell.1 + TITLE + MARGIN);
    let rows = charts.len().div_ceil(columns).max(1);
    let (width, height) = (pixels(cell.0) * columns as u32, pixels(cell.1) * rows as u32);
    let mut buffer = vec![0_u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut buffer, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(canvas::cannot_draw)?;
        for (chart, place) in charts.iter().zip(area.split_evenly((rows, columns))) {
            draw_titled(chart, &place)?;
        }
        area.present().map_err(canvas::cannot_draw)?;
    }
    encode(&buffer, width, height)
}

/// Space around a chart in a PNG, and above it for the title.
const MARGIN: f64 = 14.0;
const TITLE: f64 = 44.0;

fn draw_titled<DB: DrawingBackend>(
    chart: &Chart,
    place: &DrawingArea<DB, Shift>,
) -> io::Result<()> {
    let (width, height) = chart.size();
    let whole = Canvas::of_pixels(place, (width + 2.0 * MARGIN, height + TITLE + MARGIN));
    let title = canvas::shorten(chart.title(), 16.0, width);
    whole.text(&title, (MARGIN + 4.0, TITLE / 2.0 + 2.0), 16.0, Ink::TEXT, canvas::Align::Left)?;
    let corner = (pixels(MARGIN), pixels(TITLE));
    let inner = place.clone().shrink(corner, (pixels(width), pixels(height)));
    chart.draw(&Canvas::of_pixels(&inner, (width, height)))
}

fn encode(buffer: &[u8], width: u32, height: u32) -> io::Result<Vec<u8>> {
    use image::codecs::png::{CompressionType, FilterType, PngEncoder};
    use image::{ExtendedColorType, ImageEncoder};
    let mut out = Vec::new();
    PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Up)
        .write_image(buffer, width, height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(out)
}

fn pixels(length: f64) -> u32 {
    (length * SCALE).round().clamp(1.0, 60_000.0) as u32
}

fn prepare_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // A font that cannot be read shows as a drawing error at the first text.
        let _unreadable =
            register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_err();
    });
}

/// `svg` with the page's colours and font instead of its own.
fn with_variables(svg: &str) -> String {
    let series = PALETTE.iter().enumerate().map(|(at, it)| (*it, format!("c{}", at + 1)));
    let inks = INKS.iter().map(|(colour, name)| (*colour, (*name).to_owned()));
    let mut text = svg.replace(&format!(" font-family=\"{FONT}\""), "");
    text =
        text.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "").replace(" \"/>", "\"/>");
    for (RGBColor(r, g, b), name) in series.chain(inks) {
        text = text.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var(--{name})\""));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lines::Line;

    fn line_chart(n_lines: usize, values: &[f64]) -> Chart {
        let points = || values.iter().enumerate().map(|(x, y)| (x as f64 + 1.0, *y)).collect();
        let line =
            |it| Line { label: format!("<b>{it}"), points: points(), ..Line::new(Style(it)) };
        Chart::Lines(LineChart {
            title: "a < \"b\"".into(),
            lines: (0..n_lines).map(line).collect(),
            ..LineChart::default()
        })
    }

    fn draws(chart: &Chart) -> String {
        assert!(png(std::slice::from_ref(chart), 1).unwrap().starts_with(b"\x89PNG"));
        svg(chart).unwrap()
    }

    #[test]
    fn odd_numbers_are_drawn_without_a_panic() {
        let most = [f64::MAX, f64::MIN];
        for values in [&[][..], &[0.5], &[f64::NAN], &[1.0, f64::NAN, f64::INFINITY, 2.0], &most] {
            for n_lines in [0, 1, 40] {
                draws(&line_chart(n_lines, values));
            }
        }
        draws(&Chart::Strip(Strip::default()));
        draws(&Chart::Bars(Bars::default()));
        draws(&Chart::Matrix(ConfusionMatrix::default()));
        draws(&Chart::Scatter(Scatter::default()));
        draws(&Chart::Forest(Forest::default()));
        png(&[], 3).unwrap();
    }

    #[test]
    fn an_svg_has_only_the_colours_of_the_page_and_escapes_names() {
        let svg = draws(&line_chart(9, &[0.1, 0.4, 0.3]));
        assert!(svg.contains("var(--c1)") && svg.contains("var(--muted)"), "{svg}");
        assert!(!svg.contains("\"#") && !svg.contains("<b>") && !svg.contains("http"), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt; &quot;b&quot;\""));
    }
}
