//! Pictures of every format: whole, cut off at every byte, gray and in colour, and at the sizes that networks see.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, GrayImage, Luma, Rgb, RgbImage};

use super::*;

const FORMATS: [ImageFormat; 7] = [
    ImageFormat::Png,
    ImageFormat::Jpeg,
    ImageFormat::WebP,
    ImageFormat::Gif,
    ImageFormat::Bmp,
    ImageFormat::Tiff,
    ImageFormat::Pnm,
];

/// The pixel in row y, column x and channel k of the pictures that Pillow was given: (37 y + 23 x + 5 x y + 70 k) mod
/// 256.
fn level(x: u32, y: u32, k: u32) -> u8 {
    ((37 * y + 23 * x + 5 * x * y + 70 * k) % 256) as u8
}

fn colour(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|k| level(x, y, k))))
}

fn gray(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| Luma([level(x, y, 0)]))
}

fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format_is_read_by_its_content_and_lossless_ones_exactly() {
    let (gray, colour) = (gray(19, 13), colour(19, 13));
    for format in FORMATS {
        for (image, channels) in
            [(DynamicImage::from(gray.clone()), 1), (DynamicImage::from(colour.clone()), 3)]
        {
            // The encoder of GIF takes colours only, and makes a palette of them.
            let is_gif = format == ImageFormat::Gif;
            let given = if is_gif { image.to_rgba8().into() } else { image.clone() };
            let picture =
                decode(&file(&given, format)).unwrap_or_else(|it| panic!("{format:?}: {it}"));
            if !is_gif && format != ImageFormat::Jpeg {
                assert_eq!(picture.shape, [13, 19, channels], "{format:?}");
                assert_eq!(picture.pixels, image.as_bytes(), "{format:?}");
            }
            assert_eq!(picture.shape[..2], [13, 19], "{format:?}");
        }
    }
}

#[test]
fn a_file_that_ends_before_its_picture_does_is_refused_wherever_it_was_cut() {
    for format in FORMATS {
        let whole = file(&DynamicImage::from(colour(19, 13)), format);
        // The last byte of a GIF says that no further frame follows, which the first one does not need.
        let needed = whole.len() - usize::from(format == ImageFormat::Gif);
        for length in 0..needed {
            let cut = decode(&whole[..length]);
            assert!(cut.is_err(), "{format:?} is accepted with {length} of {} bytes", whole.len());
        }
        let more = [&whole[..], b"what someone wrote behind it"].concat();
        assert_eq!(decode(&more), decode(&whole), "{format:?}");
    }
}

#[test]
fn of_an_animation_the_first_frame_is_read() {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    for level in [40, 200] {
        let frame = RgbImage::from_pixel(9, 9, Rgb([level, 10, 20]));
        let frame = DynamicImage::from(frame).into_rgba8();
        encoder.encode_frame(image::Frame::new(frame)).unwrap();
    }
    drop(encoder);
    let picture = decode(&bytes).unwrap();
    assert_eq!((picture.shape, &picture.pixels[..3]), ([9, 9, 3], &[40, 10, 20][..]));
}

#[test]
fn depth_and_transparency_and_needless_colours_are_left_out() {
    let plain = gray(8, 8);
    let deep: DynamicImage = DynamicImage::from(plain.clone()).to_luma16().into();
    let clear: DynamicImage = DynamicImage::from(plain.clone()).to_rgba8().into();
    let needless: DynamicImage = DynamicImage::from(plain.clone()).to_rgb8().into();
    for image in [deep, clear, needless] {
        let picture = decode(&file(&image, ImageFormat::Png)).unwrap();
        assert_eq!((picture.shape, &picture.pixels), ([8, 8, 1], plain.as_raw()));
    }
}

#[test]
fn what_claims_to_be_huge_is_refused_before_memory_is_asked_for() {
    let mut png = file(&gray(8, 8).into(), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let crc = crc_of(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);
    let mut bmp = file(&gray(8, 8).into(), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    let pnm = b"P5 65535 65535 255\n".to_vec();
    let mut jpeg = file(&gray(8, 8).into(), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|it| it == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    for bytes in [png, bmp, pnm, jpeg] {
        let why = decode(&bytes).unwrap_err();
        assert!(why.contains("65535x65535"), "{why}");
    }
}

#[test]
fn whoever_takes_pictures_from_others_may_set_a_lower_bound_and_learns_why_one_is_refused() {
    for format in FORMATS {
        let whole = file(&colour(8, 9).into(), format);
        assert_eq!(decode_up_to(&whole, 72).map_err(|it| it.message), decode(&whole));
        let refused = decode_up_to(&whole, 71).unwrap_err();
        assert_eq!(refused.why, Why::Size, "{format:?}: {}", refused.message);
        let cut = decode_up_to(&whole[..whole.len() / 2], 72).unwrap_err();
        assert_eq!(cut.why, Why::Damage, "{format:?}: {}", cut.message);
    }
    assert_eq!(decode_up_to(b"<html>", 72).unwrap_err().why, Why::Format);
}

/// CRC-32 as PNG has it.
fn crc_of(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |it, _| {
            (it >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(it & 1))
        })
    };
    !bytes.iter().fold(!0, step)
}

#[test]
fn gray_is_that_of_rec_601_as_in_pillow() {
    let pure = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
    assert_eq!(*in_channels(&pure, 3, 1), [76, 150, 29, 255]);
    let picture = of_image(colour(6, 2).into()).in_channels(1);
    // Pillow 13: `Image.fromarray(picture).convert("L")`.
    let expected = [57, 80, 103, 126, 149, 172, 94, 122, 150, 149, 177, 205];
    assert_eq!((picture.shape, &picture.pixels[..]), ([2, 6, 1], &expected[..]));
    assert_eq!(*in_channels(&[7, 9], 1, 3), [7, 7, 7, 9, 9, 9]);
}

/// Pillow 13: `Image.fromarray(picture).resize((side, side), Image.BILINEAR)`.
#[test]
fn shrinking_is_antialiased_as_in_pillow() {
    let shrunk = of_image(gray(7, 11).into()).fitted(4);
    let expected = [57, 102, 138, 144, 149, 148, 104, 121, 108, 110, 147, 124, 104, 127, 115, 148];
    assert_eq!(shrunk, Picture { pixels: expected.into(), shape: [4, 4, 1] });
    let stretched = of_image(colour(6, 9).into()).fitted(8);
    let expected = [
        6, 76, 146, 20, 90, 160, 38, 108, 178, 56, 126, 191, 74, 144, 180, 92, 162, 193, 110, 180,
        211, 124, 194, 226, 46, 116, 186, 65, 135, 205, 87, 157, 203, 109, 179, 161, 130, 200, 38,
        152, 182, 36, 174, 180, 58, 193, 199, 77,
    ];
    assert_eq!((&stretched.pixels[..48], stretched.shape), (&expected[..], [8, 8, 3]));
    let small = of_image(colour(6, 6).into());
    assert_eq!(small.clone().fitted(8), small, "the network enlarges it");
    assert_eq!(small.clone().fitted(6), small);
}

#[test]
fn a_picture_is_known_by_its_content_for_ever() {
    // Python: xxhash.xxh3_64_hexdigest(b"2x3x1\n" + bytes([0, 1, 2, 3, 4, 5]))
    assert_eq!(content(&[0, 1, 2, 3, 4, 5], [2, 3, 1]), 0xca2a_cf8f_4068_50f4);
    assert_ne!(content(&[0, 1, 2, 3, 4, 5], [3, 2, 1]), content(&[0, 1, 2, 3, 4, 5], [2, 3, 1]));
}

#[test]
fn a_file_is_what_its_content_says() {
    let starts: [(&[u8], &str); 8] = [
        (b"\0\0\0\x1cftypheic", "HEIC, which is not read"),
        (b"\0\0\0\x1cftypavif", "AVIF, which is not read"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000, which is not read"),
        (b"8BPS", "Photoshop, which is not read"),
        (b"", "it is empty"),
        (b"<html>", "it is no picture"),
        (b"P1anets", "it is no picture"),
        (b"BMW and others", "it is no picture"),
    ];
    for (bytes, why) in starts {
        let told = decode(bytes).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
}
