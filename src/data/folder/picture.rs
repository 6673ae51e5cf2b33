//! One image file as gray or RGB bytes.

use std::path::Path;

use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader};

/// A decoded image: 8-bit gray if all its pixels are, else 8-bit RGB.
pub(in crate::data) struct Picture(DynamicImage);

/// What images have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Width and height, if they are the same for all.
    size: Option<(u32, u32)>,
    /// Whether all are gray.
    gray: bool,
}

impl Shape {
    /// What the images of both have in common.
    pub(super) fn and(self, other: Self) -> Self {
        Self { size: self.size.filter(|_| self.size == other.size), gray: self.gray && other.gray }
    }

    /// Height, width and channels of what is stored. Images of different sizes become `side`
    /// squared.
    pub(super) fn stored(shape: Option<Self>, side: u32) -> [usize; 3] {
        let (width, height) = shape.and_then(|it| it.size).unwrap_or((side, side));
        let channels = if shape.is_none_or(|it| it.gray) { 1 } else { 3 };
        [height as usize, width as usize, channels]
    }
}

/// Decodes the file at `path`, upright, without transparency; or says why it cannot be.
pub(in crate::data) fn read(path: &Path) -> Result<Picture, String> {
    let cannot = |why: &dyn ToString| format!("it cannot be decoded: {}", why.to_string());
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(|it| cannot(&it))?;
    let mut decoder = reader.into_decoder().map_err(|it| cannot(&it))?;
    let orientation = decoder.orientation().map_err(|it| cannot(&it))?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|it| cannot(&it))?;
    image.apply_orientation(orientation);
    Ok(Picture(simplest(image)))
}

fn simplest(image: DynamicImage) -> DynamicImage {
    if !image.color().has_color() {
        return image.into_luma8().into();
    }
    let image = image.into_rgb8();
    if image.pixels().any(|it| it.0[0] != it.0[1] || it.0[0] != it.0[2]) {
        return image.into();
    }
    GrayImage::from_fn(image.width(), image.height(), |x, y| [image.get_pixel(x, y).0[0]].into())
        .into()
}

impl Picture {
    /// What this image alone allows to be stored.
    pub(super) fn shape(&self) -> Shape {
        let size = Some((self.0.width(), self.0.height()));
        Shape { size, gray: !self.0.color().has_color() }
    }

    /// The pixels with so many channels and their height, width and channels: as they are if square and no
    /// larger than `side`, else scaled to it.
    pub(in crate::data) fn seen(self, channels: usize, side: u32) -> (Vec<u8>, [usize; 3]) {
        let (width, height) = (self.0.width(), self.0.height());
        let image = if width == height && width <= side {
            self.0
        } else {
            self.0.resize_exact(side, side, FilterType::Triangle)
        };
        let shape = [image.height() as usize, image.width() as usize, channels];
        let gray = channels == 1;
        (if gray { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() }, shape)
    }

    /// The pixels as [`Shape::stored`] says.
    pub(super) fn fitted(self, shape: Option<Shape>, side: u32) -> Vec<u8> {
        let [height, width, channels] = Shape::stored(shape, side);
        let (height, width) = (height as u32, width as u32);
        let image = if (self.0.width(), self.0.height()) == (width, height) {
            self.0
        } else {
            self.0.resize_exact(width, height, FilterType::Triangle)
        };
        if channels == 1 { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() }
    }
}
