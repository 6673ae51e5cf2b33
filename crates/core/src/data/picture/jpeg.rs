//! JPEG files.
//!
//! They are decoded without the `image` crate in between, which shows what can be made of a damaged file and does not
//! say that it is one.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::data::picture::{Unusable, check_size};

/// Decodes a whole JPEG file of `most` pixels at most.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decode(bytes: &[u8], most: u64) -> Result<(DynamicImage, Orientation), Unusable> {
    let cannot = |why: &dyn std::fmt::Debug| format!("it cannot be decoded: {why:?}");
    // Cameras write more into headers than they should, which harms nothing.
    let lenient = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), lenient);
    decoder.decode_headers().map_err(|it| cannot(&it))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| "it says no size".to_owned())?;
    check_size(width as u64, height as u64, most)?;
    let gray = decoder.input_colorspace().is_some_and(|it| it == ColorSpace::Luma);
    let colours = if gray { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(lenient.set_strict_mode(true).jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(|it| cannot(&it))?;
    let orientation = decoder.exif().and_then(|it| Orientation::from_exif_chunk(it));
    let size = (width as u32, height as u32);
    let image = if gray {
        GrayImage::from_raw(size.0, size.1, pixels).map(DynamicImage::from)
    } else {
        RgbImage::from_raw(size.0, size.1, pixels).map(DynamicImage::from)
    };
    let image = image.ok_or_else(|| "it has other pixels than it says".to_owned())?;
    Ok((image, orientation.unwrap_or(Orientation::NoTransforms)))
}
