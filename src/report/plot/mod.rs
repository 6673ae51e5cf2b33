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
pub mod gantt;
pub mod lines;
pub mod matrix;
pub mod multiples;
pub mod parallel;
mod range;
pub mod reliability;
pub mod scatter;
pub mod strip;
mod style;
pub mod table;

use std::fmt::Write as _;
use std::io;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::{
    BitMapBackend, DrawingArea, DrawingBackend, FontStyle, IntoDrawingArea, RGBColor, SVGBackend,
    WHITE,
};
use plotters::style::register_font;

use bars::Bars;
use canvas::{Canvas, Hit, Ink, Medium, SCALE};
use forest::Forest;
use gantt::Gantt;
use lines::LineChart;
use matrix::ConfusionMatrix;
use multiples::Multiples;
use parallel::Parallel;
use reliability::Reliability;
use scatter::Scatter;
use strip::Strip;
pub use style::{PALETTE, Style};

/// Name under which the font is registered; cut from the SVGs of a page, which inherit the page's font.
const FONT: &str = "ferrite";

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
    /// How often a network is right when it is so confident.
    Reliability(Reliability),
    /// What was taken for what, at several moments.
    Multiples(Multiples),
    /// Settings and the score of many configurations.
    Parallel(Parallel),
    /// Who worked when.
    Gantt(Gantt),
}

/// Carries out the same for whichever chart it is.
macro_rules! each {
    ($chart:expr, $it:ident => $body:expr) => {
        match $chart {
            Chart::Lines($it) => $body,
            Chart::Strip($it) => $body,
            Chart::Bars($it) => $body,
            Chart::Matrix($it) => $body,
            Chart::Scatter($it) => $body,
            Chart::Forest($it) => $body,
            Chart::Reliability($it) => $body,
            Chart::Multiples($it) => $body,
            Chart::Parallel($it) => $body,
            Chart::Gantt($it) => $body,
        }
    };
}

impl Chart {
    /// Its title, shown above the PNG and told to screen readers.
    pub fn title(&self) -> &str {
        each!(self, it => &it.title)
    }

    /// Names and styles of the series that are named beside the drawing only; a narrow page writes them below it.
    pub fn legend(&self) -> Vec<(&str, Style)> {
        let Self::Lines(it) = self else { return Vec::new() };
        it.labelled().map(|it| (it.label.as_str(), it.style)).collect()
    }

    /// Whether its texts stand in cells, where they can grow a little only.
    pub fn is_dense(&self) -> bool {
        matches!(self, Self::Matrix(_))
    }

    /// Width and height in CSS pixels.
    fn size(&self) -> (f64, f64) {
        match self {
            Self::Scatter(_) => scatter::SIZE,
            Self::Reliability(_) => reliability::SIZE,
            Self::Parallel(_) => parallel::SIZE,
            Self::Lines(it) => it.size(),
            Self::Strip(it) => it.size(),
            Self::Bars(it) => it.size(),
            Self::Matrix(it) => it.size(),
            Self::Forest(it) => it.size(),
            Self::Multiples(it) => it.size(),
            Self::Gantt(it) => it.size(),
        }
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<'_, DB>) -> io::Result<()> {
        each!(self, it => it.draw(canvas))
    }
}

/// `chart` as an inline SVG element in CSS colours, which says values to who points at them.
///
/// # Errors
/// If plotters cannot draw it.
pub fn svg(chart: &Chart) -> io::Result<String> {
    prepare_font();
    let (width, height) = chart.size();
    let size = (pixels(width), pixels(height));
    let mut text = String::new();
    let hits = {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let canvas = Canvas::new(&area, chart.size(), Medium::Svg);
        chart.draw(&canvas)?;
        area.present().map_err(canvas::cannot_draw)?;
        canvas.into_hits()
    };
    let inner = text.split_once('>').map_or("", |(_, rest)| rest);
    let inner = inner.trim_end().trim_end_matches("</svg>");
    let label = escape(chart.title());
    // A narrow page shows it without the names at its right, which it writes below.
    let whole = match chart {
        Chart::Lines(it) => 100.0 / it.without_labels(),
        _ => 100.0,
    };
    Ok(format!(
        "<svg viewBox=\"0 0 {} {}\" width=\"{width}\" height=\"{height}\" style=\"--whole:{whole:.0}%\" \
         role=\"img\" aria-label=\"{label}\">{}{}</svg>",
        size.0,
        size.1,
        for_page(inner),
        said(&hits)
    ))
}

/// Places that say something to who points at them; nobody sees them.
fn said(hits: &[Hit]) -> String {
    let mut text = String::new();
    for it in hits {
        let (x, y) = (it.at.0 * SCALE, it.at.1 * SCALE);
        let said = escape(&it.text);
        let _infallible = write!(
            text,
            "<circle class=\"hit\" cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"14\"><title>{said}</title></circle>"
        );
    }
    text
}

/// `charts` as one SVG file, `columns` beside each other, each under its title, in its own light colours.
///
/// # Errors
/// If plotters cannot draw them.
pub fn svg_file(charts: &[Chart], columns: usize) -> io::Result<String> {
    prepare_font();
    let sheet = Sheet::of(charts, columns);
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, sheet.size).into_drawing_area();
        sheet.draw(charts, &area, Medium::Svg)?;
    }
    Ok(text.replace(&format!("font-family=\"{FONT}\""), "font-family=\"sans-serif\""))
}

/// `charts` as one PNG, `columns` beside each other, each under its title; light, at double resolution.
///
/// # Errors
/// If plotters cannot draw them or they do not fit into an image.
pub fn png(charts: &[Chart], columns: usize) -> io::Result<Vec<u8>> {
    prepare_font();
    let sheet = Sheet::of(charts, columns);
    let (width, height) = sheet.size;
    let mut buffer = vec![0_u8; width as usize * height as usize * 3];
    {
        let area = BitMapBackend::with_buffer(&mut buffer, (width, height)).into_drawing_area();
        sheet.draw(charts, &area, Medium::Pixels)?;
    }
    encode(&buffer, width, height)
}

/// Space around a chart in a file, and above it for the title.
const MARGIN: f64 = 14.0;
const TITLE: f64 = 44.0;

/// Several charts beside and below each other.
struct Sheet {
    columns: usize,
    rows: usize,
    size: (u32, u32),
}

impl Sheet {
    fn of(charts: &[Chart], columns: usize) -> Self {
        let columns = columns.clamp(1, charts.len().max(1));
        let cell = charts
            .iter()
            .map(Chart::size)
            .fold((1.0_f64, 1.0_f64), |most, it| (most.0.max(it.0), most.1.max(it.1)));
        let cell = (cell.0 + 2.0 * MARGIN, cell.1 + TITLE + MARGIN);
        let rows = charts.len().div_ceil(columns).max(1);
        let size = (pixels(cell.0) * columns as u32, pixels(cell.1) * rows as u32);
        Self { columns, rows, size }
    }

    fn draw<DB: DrawingBackend>(
        &self,
        charts: &[Chart],
        area: &DrawingArea<DB, Shift>,
        medium: Medium,
    ) -> io::Result<()> {
        area.fill(&WHITE).map_err(canvas::cannot_draw)?;
        for (chart, place) in charts.iter().zip(area.split_evenly((self.rows, self.columns))) {
            let (width, height) = chart.size();
            let whole =
                Canvas::new(&place, (width + 2.0 * MARGIN, height + TITLE + MARGIN), medium);
            let title = canvas::shorten(chart.title(), 16.0, width);
            let at = (MARGIN + 4.0, TITLE / 2.0 + 2.0);
            whole.text(&title, at, 16.0, Ink::TEXT, canvas::Align::Left)?;
            let corner = (pixels(MARGIN), pixels(TITLE));
            let inner = place.clone().shrink(corner, (pixels(width), pixels(height)));
            chart.draw(&Canvas::new(&inner, (width, height), medium))?;
        }
        area.present().map_err(canvas::cannot_draw)
    }
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

/// `svg` with the page's colours and font instead of its own, and sizes of texts relative to one that the page sets.
fn for_page(svg: &str) -> String {
    let mut out = String::with_capacity(svg.len());
    // Every attribute ends with a quote, so quotes are where something may have to be changed.
    let mut parts = svg.split('"');
    while let Some(name) = parts.next() {
        let Some(value) = parts.next() else {
            out.push_str(name);
            break;
        };
        // What lies between elements is behind the last attribute of the one before.
        let (between, attribute) = name.rsplit_once(' ').unwrap_or(("", name));
        let dropped = matches!(
            (attribute, value),
            ("opacity=", "1") | ("stroke=", "none") | ("font-family=", FONT)
        );
        out.push_str(between.trim_matches('\n'));
        if dropped {
            continue;
        }
        let _infallible = match attribute {
            "font-size=" => write!(out, " {attribute}\"{}em\"", ems(value)),
            _ => match variable(value) {
                Some(it) => write!(out, " {attribute}\"var(--{it})\""),
                None => write!(out, " {attribute}\"{}\"", value.trim_end()),
            },
        };
    }
    out
}

/// How large texts of an em are, in units of the drawing (`assets/base.css`).
const EM: f64 = 20.0;

fn ems(size: &str) -> f64 {
    let size: f64 = size.parse().unwrap_or(EM);
    (size / EM * 1000.0).round() / 1000.0
}

/// The CSS variable of a colour.
fn variable(colour: &str) -> Option<String> {
    let digits = colour.strip_prefix('#')?;
    let part = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let colour = RGBColor(part(0)?, part(2)?, part(4)?);
    let series = PALETTE.iter().position(|it| *it == colour).map(|it| format!("c{}", it + 1));
    series.or_else(|| INKS.iter().find(|it| it.0 == colour).map(|it| it.1.to_owned()))
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
        draws(&Chart::Reliability(Reliability::default()));
        draws(&Chart::Multiples(Multiples::default()));
        draws(&Chart::Parallel(Parallel::default()));
        draws(&Chart::Gantt(Gantt::default()));
        png(&[], 3).unwrap();
    }

    #[test]
    fn an_svg_has_only_the_colours_of_the_page_and_escapes_names() {
        let svg = draws(&line_chart(9, &[0.1, 0.4, 0.3]));
        assert!(svg.contains("var(--c1)") && svg.contains("var(--muted)"), "{svg}");
        assert!(!svg.contains("\"#") && !svg.contains("<b>") && !svg.contains("http"), "{svg}");
        assert!(svg.contains("aria-label=\"a &lt; &quot;b&quot;\""));
        assert!(svg.contains("font-size=\"1.2em\"") && !svg.contains("font-family"), "{svg}");
        assert!(svg.contains("<title>&lt;b&gt;0, "), "values are said: {svg}");
        let elements = svg.matches('<').count();
        assert_eq!(svg.matches("/>").count() + 2 * svg.matches("</").count(), elements, "{svg}");
    }

    #[test]
    fn an_svg_file_needs_no_page() {
        let chart = line_chart(2, &[0.1, 0.4]);
        let svg = svg_file(&[chart.clone(), chart], 2).unwrap();
        assert!(svg.starts_with("<svg ") && svg.contains("xmlns=\"http://www.w3.org/2000/svg\""));
        assert!(svg.contains("#0072B2") && svg.contains("sans-serif") && !svg.contains("var(--"));
        assert_eq!(svg.matches("a &lt; &quot;b&quot;").count(), 2, "titles");
    }
}
