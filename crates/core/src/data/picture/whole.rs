//! Whether a picture file is whole, as far as its format can tell: decoders show what they can of a file that was cut
//! off, and do not all say so.

use image::ImageFormat;

/// Refuses `bytes` of a file of this `format` that end before the picture does.
///
/// # Errors
/// That it was cut off, as a fragment of a sentence that begins with "it".
pub(super) fn check(bytes: &[u8], format: ImageFormat) -> Result<(), String> {
    let whole = match format {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => png(bytes),
        ImageFormat::Gif => gif(bytes),
        ImageFormat::WebP => webp(bytes),
        // What is missing of the others, their decoders miss.
        _ => Some(()),
    };
    whole.ok_or_else(|| "it is not whole: the file ends before the picture does".to_owned())
}

/// Follows the segments of a JPEG file to its end-of-image marker (ITU-T T.81, annex B).
fn jpeg(bytes: &[u8]) -> Option<()> {
    const END: u8 = 0xd9;
    let mut rest = bytes.get(2..)?;
    loop {
        rest = from_marker(rest)?;
        let marker = *rest.get(1)?;
        rest = &rest[2..];
        match marker {
            END => return Some(()),
            // Markers without a length: restarts, and the start of an image.
            0x01 | 0xd0..=0xd8 => {}
            _ => {
                let length = u16::from_be_bytes([*rest.first()?, *rest.get(1)?]);
                rest = rest.get(usize::from(length.max(2))..)?;
            }
        }
    }
}

/// `bytes` from the next marker on: 0xff, and neither a stuffed zero nor another 0xff.
fn from_marker(bytes: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|it| *it == 0xff)?;
        match bytes.get(at + 1)? {
            0x00 => at += 2,
            0xff => at += 1,
            _ => return Some(&bytes[at..]),
        }
    }
}

/// Follows the chunks of a PNG file to `IEND`.
fn png(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let length = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = rest.get(4..8)?;
        let chunk = rest.get(..length.checked_add(12)?)?;
        if kind == b"IEND" {
            return Some(());
        }
        rest = &rest[chunk.len()..];
    }
}

/// Follows the blocks of a GIF file to its trailer, or to the end of the file between two blocks.
fn gif(bytes: &[u8]) -> Option<()> {
    const IMAGE: u8 = 0x2c;
    const EXTENSION: u8 = 0x21;
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut rest = bytes.get(13..)?.get(table(*bytes.get(10)?)..)?;
    let mut images = 0;
    loop {
        match rest.first() {
            Some(&EXTENSION) => rest = behind_blocks(rest.get(2..)?)?,
            Some(&IMAGE) => {
                let flags = *rest.get(9)?;
                rest = behind_blocks(rest.get(11 + table(flags)..)?)?;
                images += 1;
            }
            // The trailer, or what is no block; and some programs forget the trailer.
            _ => return (images > 0).then_some(()),
        }
    }
}

/// What follows the sub-blocks at the start of `bytes`.
fn behind_blocks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let length = usize::from(*bytes.first()?);
        bytes = bytes.get(1 + length..)?;
        if length == 0 {
            return Some(bytes);
        }
    }
}

/// Compares the length of a WebP file with the one in its header.
fn webp(bytes: &[u8]) -> Option<()> {
    let length = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    bytes.get(..length.checked_add(8)?).map(|_| ())
}
