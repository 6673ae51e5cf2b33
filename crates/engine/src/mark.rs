//! Marks on pictures: where faces and their landmarks were found, and what is said of them.

use std::sync::LazyLock;

use ferrite_core::data::faces::found::Face;
use ferrite_core::data::picture::{Picture, in_channels, resized};
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use plotters::backend::BitMapBackend;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{Circle, Rectangle, Text};
use plotters::prelude::{Color, DrawingArea};
use plotters::style::{FontFamily, FontStyle, RGBColor, TextStyle, register_font};

/// The name under which the font is known to plotters.
const FONT: &str = "ubuntu-light";

/// Of a rectangle around a face; blue and bright, so that it stands out from skin and from gray pictures.
const RECTANGLE: RGBColor = RGBColor(0x1A, 0x8C, 0xFF);

/// Of text on white.
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);

/// Of landmarks, in their order: eyes, nose, corners of the mouth.
const LANDMARKS: [RGBColor; 5] = [
    RGBColor(0xE6, 0x3B, 0x2E),
    RGBColor(0xE6, 0x3B, 0x2E),
    RGBColor(0xF5, 0xB7, 0x00),
    RGBColor(0x2E, 0xB8, 0x6E),
    RGBColor(0x2E, 0xB8, 0x6E),
];

static FONT_IS_THERE: LazyLock<bool> = LazyLock::new(|| {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok()
});

/// A picture that is drawn on.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    image: RgbImage,
}

impl Sheet {
    /// White, of this width and height.
    pub(crate) fn blank([width, height]: [u32; 2]) -> Self {
        Self { image: RgbImage::from_pixel(width, height, image::Rgb([255; 3])) }
    }

    /// A picture as it is.
    pub(crate) fn of(picture: &Picture) -> Self {
        let [height, width, channels] = picture.shape;
        let pixels = in_channels(&picture.pixels, channels, 3).into_owned();
        let image = RgbImage::from_raw(width as u32, height as u32, pixels);
        Self { image: image.expect("a picture has as many bytes as its shape says") }
    }

    /// A picture that is enlarged or shrunk to fit into a square of `side` pixels, with `faces` marked.
    pub(crate) fn fitting(picture: &Picture, faces: &[&Face], side: usize) -> Self {
        let [height, width, channels] = picture.shape;
        let scale = side as f64 / height.max(width) as f64;
        let scaled = |it: usize| ((it as f64 * scale).round() as usize).max(1);
        let to = [scaled(height), scaled(width)];
        let pixels = resized(&picture.pixels, picture.shape, to);
        let mut sheet = Self::of(&Picture { pixels, shape: [to[0], to[1], channels] });
        for face in faces {
            sheet.mark(face, scale as f32);
        }
        sheet
    }

    /// Its width and height.
    pub(crate) fn size(&self) -> [u32; 2] {
        [self.image.width(), self.image.height()]
    }

    /// Puts another picture onto this one, its corner at `left` and `top`.
    pub(crate) fn put(&mut self, other: &Self, [left, top]: [u32; 2]) {
        image::imageops::replace(&mut self.image, &other.image, left.into(), top.into());
    }

    /// Marks a face that was found in a picture `scale` times as large.
    pub(crate) fn mark(&mut self, face: &Face, scale: f32) {
        let at = |x: f32, y: f32| ((x * scale) as i32, (y * scale) as i32);
        let [left, top, width, height] = face.bounds;
        let thin = (self.image.width().max(self.image.height()) / 400).max(1);
        let radius = (width.max(height) * scale / 40.0).clamp(1.5, 12.0) as i32;
        self.draw(|area| {
            let corners = [at(left, top), at(left + width, top + height)];
            area.draw(&Rectangle::new(corners, RECTANGLE.stroke_width(thin))).ok()?;
            for (point, colour) in face.landmarks.points().iter().zip(LANDMARKS) {
                area.draw(&Circle::new(at(point[0], point[1]), radius, colour.filled())).ok()?;
            }
            Some(())
        });
    }

    /// Writes a line of text on a strip of its own, above the point at `left` and `bottom` if there is room.
    pub(crate) fn write(&mut self, text: &str, [left, bottom]: [f32; 2]) {
        if !*FONT_IS_THERE {
            return;
        }
        let size =
            (f64::from(self.image.width().max(self.image.height())) / 40.0).clamp(12.0, 60.0);
        let [width, height] = [self.image.width(), self.image.height()].map(|it| it as i32);
        self.draw(|area| {
            let style =
                TextStyle::from((FontFamily::Name(FONT), size)).color(&RGBColor(255, 255, 255));
            let (wide, _) = area.estimate_text_size(text, &style).ok()?;
            let (wide, high) = (wide as i32 + 8, (size * 1.3) as i32);
            let left = (left as i32).min(width - wide).max(0);
            let top = (bottom as i32 - high).min(height - high).max(0);
            let strip = [(left, top), (left + wide, top + high)];
            area.draw(&Rectangle::new(strip, RECTANGLE.filled())).ok()?;
            area.draw(&Text::new(text.to_owned(), (left + 4, top + (size * 0.16) as i32), style))
                .ok()
        });
    }

    /// Writes a line of dark text, its upper left corner at `left` and `top`, with letters of `size` pixels.
    pub(crate) fn label(&mut self, text: &str, [left, top]: [usize; 2], size: f64) {
        if !*FONT_IS_THERE {
            return;
        }
        self.draw(|area| {
            let style = TextStyle::from((FontFamily::Name(FONT), size)).color(&INK);
            area.draw(&Text::new(text.to_owned(), (left as i32, top as i32), style)).ok()
        });
    }

    /// How many pixels wide [`Sheet::label`] writes a text.
    pub(crate) fn label_width(text: &str, size: f64) -> usize {
        if !*FONT_IS_THERE {
            return 0;
        }
        let style = TextStyle::from((FontFamily::Name(FONT), size));
        let mut nothing = [0; 3];
        let area = BitMapBackend::with_buffer(&mut nothing, (1, 1)).into_drawing_area();
        area.estimate_text_size(text, &style).map_or(0, |it| it.0 as usize)
    }

    /// Draws. What cannot be drawn is missing: marks are for looking at, and nothing depends on them.
    fn draw(
        &mut self,
        with: impl FnOnce(&DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>) -> Option<()>,
    ) {
        let size = self.image.dimensions();
        let area = BitMapBackend::with_buffer(&mut self.image, size).into_drawing_area();
        let _ = with(&area);
        let _ = area.present();
    }

    /// It as a PNG file, as small as can be, since pages hold it.
    pub(crate) fn to_png(&self) -> Vec<u8> {
        let mut png = Vec::new();
        let (small, best) = (CompressionType::Best, FilterType::Adaptive);
        let encoder = PngEncoder::new_with_quality(&mut png, small, best);
        self.image.write_with_encoder(encoder).expect("a picture in memory can be written");
        png
    }
}
