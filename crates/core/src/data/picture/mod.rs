//! One picture of a file as gray or RGB bytes, and what a network sees of it.
//!
//! [`fit`] alone decides how many pixels of a picture reach a network. Training, evaluation, `predict` and reports
//! take pictures from there, so they see the same ones.

mod jpeg;
pub mod kind;
mod whole;

use std::borrow::Cow;
use std::hash::Hasher;
use std::io::{Cursor, Read};
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use twox_hash::XxHash3_64;

use crate::data::picture::kind::Kind;
use crate::mapped;

/// The most pixels of a picture. Pillow warns from 89 million on; a camera's photograph has 12 to 50 million.
pub const MOST_PIXELS: u64 = 100_000_000;

/// The most bytes that a decoder may ask for: pixels of 16 bits in four channels.
const MOST_BYTES: u64 = MOST_PIXELS * 8;

/// The most bytes of a picture's file: those of the most pixels in four channels.
const MOST_FILE_BYTES: u64 = MOST_PIXELS * 4;

/// A decoded picture: 8-bit gray if all its pixels are gray, else 8-bit RGB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Row after row, channels together.
    pub pixels: Vec<u8>,
    /// Height, width and channels (1 or 3).
    pub shape: [usize; 3],
}

/// Why bytes cannot be used as a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What kind of reason it is.
    pub why: Why,
    /// The reason: a fragment of a sentence that begins with "it".
    pub message: String,
}

/// What kind of reason there is not to use a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is of a format that is not read, or no picture.
    Format,
    /// It says that it has more pixels than are wanted.
    Size,
    /// It is damaged, or has pixels that networks do not see.
    Damage,
}

impl From<String> for Unusable {
    fn from(message: String) -> Self {
        Self { why: Why::Damage, message }
    }
}

/// Decodes the file at `path`, upright, without transparency; or says why it cannot be decoded.
///
/// # Errors
/// A fragment of a sentence that begins with "it".
pub fn read(path: &Path) -> Result<Picture, String> {
    let cannot = |it| format!("it cannot be read: {it}");
    let mut file = mapped::open_file(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    if length > MOST_FILE_BYTES {
        let (length, most) = (length >> 20, MOST_FILE_BYTES >> 20);
        return Err(format!("it has {length} MiB, and more than {most} are not read"));
    }
    let mut bytes = Vec::with_capacity(length as usize);
    file.read_to_end(&mut bytes).map_err(cannot)?;
    decode(&bytes)
}

/// Decodes the `bytes` of a picture file, upright, without transparency; or says why they cannot be decoded. Of
/// an animation it is the first frame.
///
/// # Errors
/// A fragment of a sentence that begins with "it".
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    decode_up_to(bytes, MOST_PIXELS).map_err(|it| it.message)
}

/// Decodes the `bytes` of a picture file as [`decode`] does, unless it says that it has more than `most` pixels: then no
/// memory is asked for.
///
/// # Errors
/// Why it cannot be used.
pub fn decode_up_to(bytes: &[u8], most: u64) -> Result<Picture, Unusable> {
    let of_format = |message: String| Unusable { why: Why::Format, message };
    let format = match kind::of_content(bytes) {
        Kind::Read(format) => format,
        Kind::Unread(name) => return Err(of_format(kind::unread(name))),
        Kind::Empty => return Err(of_format("it is empty".into())),
        Kind::Other => {
            return Err(of_format("it is no picture: its content is of no known format".into()));
        }
    };
    whole::check(bytes, format)?;
    let (image, orientation) = match format {
        ImageFormat::Jpeg => jpeg::decode(bytes, most)?,
        _ => decode_other(bytes, format, most)?,
    };
    let mut image = simplest(image);
    image.apply_orientation(orientation);
    Ok(of_image(image))
}

fn decode_other(
    bytes: &[u8],
    format: ImageFormat,
    most: u64,
) -> Result<(DynamicImage, Orientation), Unusable> {
    let cannot = |why: image::ImageError| format!("it cannot be decoded: {why}");
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(cannot)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), most)?;
    if matches!(decoder.color_type(), ColorType::Rgb32F | ColorType::Rgba32F) {
        let message = "its pixels are floating-point numbers; save it with 8 or 16 bits";
        return Err(message.to_owned().into());
    }
    let orientation = decoder.orientation().map_err(cannot)?;
    Ok((DynamicImage::from_decoder(decoder).map_err(cannot)?, orientation))
}

/// Refuses a picture that says it is larger than memory should be asked for, before it is: than `most` pixels.
fn check_size(width: u64, height: u64, most: u64) -> Result<(), Unusable> {
    if width == 0 || height == 0 {
        return Err(format!("it has no pixels: it says it is {width}x{height}").into());
    }
    if width * height <= most {
        return Ok(());
    }
    let most = most / 1_000_000;
    let message =
        format!("it says it is {width}x{height} pixels, and more than {most} million are not read");
    Err(Unusable { why: Why::Size, message })
}

/// The image as 8-bit gray if all its pixels are gray, else as 8-bit RGB.
fn simplest(image: DynamicImage) -> DynamicImage {
    if !image.color().has_color() {
        return image.into_luma8().into();
    }
    let image = image.into_rgb8();
    if image.as_raw().chunks_exact(3).any(|it| it[0] != it[1] || it[0] != it[2]) {
        return image.into();
    }
    let (width, height) = image.dimensions();
    let gray: Vec<u8> = image.into_raw().into_iter().step_by(3).collect();
    image::GrayImage::from_raw(width, height, gray).expect("a third of the bytes of RGB").into()
}

fn of_image(image: DynamicImage) -> Picture {
    let channels = if image.color().has_color() { 3 } else { 1 };
    let shape = [image.height() as usize, image.width() as usize, channels];
    Picture { pixels: image.into_bytes(), shape }
}

impl Picture {
    /// What a network of `side` pixels a side sees of the picture; see [`fit`].
    pub fn fitted(self, side: usize) -> Self {
        match fit(&self.pixels, self.shape, side) {
            (Cow::Borrowed(_), _) => self,
            (Cow::Owned(pixels), shape) => Self { pixels, shape },
        }
    }

    /// The picture in so many channels: colours become gray, or gray becomes a colour.
    pub fn in_channels(self, channels: usize) -> Self {
        let [height, width, _] = self.shape;
        Self {
            pixels: in_channels(&self.pixels, self.shape[2], channels).into_owned(),
            shape: [height, width, channels],
        }
    }

    /// What identifies the picture, wherever it lies and whatever size networks see it in; see [`content`].
    pub fn content(&self) -> u64 {
        content(&self.pixels, self.shape)
    }
}

/// What a network of `side` pixels a side sees of a picture, with its shape (height, width, channels).
///
/// A square picture that is no larger stays as it is, and the network enlarges it without rounding to gray levels
/// (`torch::picture::resize`). Every other picture is brought to `side` squared by a bilinear filter that
/// widens where it shrinks: Pillow's `resize(…, BILINEAR)` and torchvision's `Resize(antialias=True)`.
pub fn fit(pixels: &[u8], shape: [usize; 3], side: usize) -> (Cow<'_, [u8]>, [usize; 3]) {
    let [height, width, channels] = shape;
    if height == width && width <= side {
        return (Cow::Borrowed(pixels), shape);
    }
    (Cow::Owned(resized(pixels, shape, [side, side])), [side, side, channels])
}

/// The pixels of a picture of this `shape` (height, width, channels) brought to another height and width, by a bilinear
/// filter that widens where it shrinks.
pub fn resized(pixels: &[u8], shape: [usize; 3], to: [usize; 2]) -> Vec<u8> {
    let [height, width, channels] = shape;
    let kind = if channels == 1 { PixelType::U8 } else { PixelType::U8x3 };
    let [height, width, to_height, to_width] = [height, width, to[0], to[1]].map(|it| it as u32);
    let from = ImageRef::new(width, height, pixels, kind)
        .expect("a picture has as many bytes as its shape says");
    let mut image = Image::new(to_width, to_height, kind);
    let filter = ResizeAlg::Convolution(FilterType::Bilinear);
    let options = ResizeOptions::new().resize_alg(filter).use_alpha(false);
    Resizer::new().resize(&from, &mut image, &options).expect("both have the same kind of pixels");
    image.into_vec()
}

/// Pixels of `from` channels in `to` channels (each 1 or 3).
///
/// Gray is that of Rec. 601 as Pillow rounds it, as in FER2013: 0.299 red, 0.587 green and 0.114 blue.
pub fn in_channels(pixels: &[u8], from: usize, to: usize) -> Cow<'_, [u8]> {
    match (from, to) {
        (1, 3) => Cow::Owned(pixels.iter().flat_map(|it| [*it; 3]).collect()),
        (3, 1) => {
            Cow::Owned(pixels.chunks_exact(3).map(|it| gray([it[0], it[1], it[2]])).collect())
        }
        _ => Cow::Borrowed(pixels),
    }
}

fn gray([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

/// What identifies a picture of this `shape` (height, width, channels): XXH3 of its shape and pixels, in 64 bits
/// (<https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>). It is kept in files of runs, so it never changes.
pub fn content(pixels: &[u8], [height, width, channels]: [usize; 3]) -> u64 {
    let mut hasher = XxHash3_64::new();
    hasher.write(format!("{height}x{width}x{channels}\n").as_bytes());
    hasher.write(pixels);
    hasher.finish()
}

#[cfg(test)]
mod tests;
