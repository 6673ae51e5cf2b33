//! What a file is, by its content and its name.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use image::ImageFormat;

/// Endings of names that pictures of the formats that are read have.
const ENDINGS: [&str; 18] = [
    "apng", "bmp", "dib", "gif", "jfif", "jpe", "jpeg", "jpg", "pbm", "pgm", "pjp", "pjpeg", "png",
    "pnm", "ppm", "tif", "tiff", "webp",
];

/// The formats that are read, for messages.
pub const FORMATS: &str = "PNG, JPEG, WebP, TIFF, BMP, GIF, PGM and PPM";

/// Names of files and folders that systems and programs leave among pictures without being asked. What is hidden (its
/// name begins with a dot) is left out, too.
const DROPPINGS: [&str; 9] = [
    "$RECYCLE.BIN",
    "@eaDir",
    "Icon\r",
    "System Volume Information",
    "Thumbs.db",
    "__MACOSX",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
];

/// What the content of a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A picture of a format that is read.
    Read(ImageFormat),
    /// A picture of another format, by its name.
    Unread(&'static str),
    /// No bytes at all.
    Empty,
    /// No picture, as far as anyone can tell.
    Other,
}

/// What a file that lies where pictures are looked for is taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A picture that can be read, or should be: it has the name of one.
    Picture,
    /// A picture that cannot be read, and why.
    Broken(String),
    /// No picture.
    Other,
}

/// What the file at `path` is taken for. It is opened only where its name does not tell.
pub fn judge(path: &Path) -> Verdict {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_lowercase();
    if ENDINGS.contains(&ending.as_str()) {
        return Verdict::Picture;
    }
    let mut start = [0; START];
    let length = match File::open(path).and_then(|it| read_start(it, &mut start)) {
        Ok(length) => length,
        Err(error) => return Verdict::Broken(format!("it cannot be read: {error}")),
    };
    match of_content(&start[..length]) {
        Kind::Read(_) => Verdict::Picture,
        Kind::Unread(name) => Verdict::Broken(unread(name)),
        Kind::Empty | Kind::Other => of_name(&ending),
    }
}

/// Endings of pictures that are not read and that have no content to be known by.
fn of_name(ending: &str) -> Verdict {
    const UNREAD: [&str; 8] = ["avif", "heic", "heif", "j2k", "jp2", "jxl", "psd", "tga"];
    match UNREAD.iter().find(|it| **it == ending) {
        Some(name) => Verdict::Broken(unread(name)),
        None => Verdict::Other,
    }
}

/// Bytes at the start of a file that tell its format.
const START: usize = 32;

fn read_start(mut file: File, start: &mut [u8; START]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < START {
        match file.read(&mut start[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(length)
}

/// What `bytes`, the first of a file, are the start of.
pub fn of_content(bytes: &[u8]) -> Kind {
    if bytes.is_empty() {
        return Kind::Empty;
    }
    let brand = bytes.get(4..12).filter(|it| it.starts_with(b"ftyp")).map(|it| &it[4..]);
    let name = match (bytes, brand) {
        (_, Some(b"avif" | b"avis")) => "AVIF",
        (_, Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1")) => "HEIC",
        ([0, 0, 0, 12, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..], _) => "JPEG 2000",
        ([0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', ..], _) => "JPEG XL",
        ([b'8', b'B', b'P', b'S', ..], _) => "Photoshop",
        ([0x49, 0x49, 0xbc, ..], _) => "JPEG XR",
        ([b'P', b'F' | b'f', b'\n' | b' ', ..], _) => "PFM",
        _ => return of_read_formats(bytes),
    };
    Kind::Unread(name)
}

fn of_read_formats(bytes: &[u8]) -> Kind {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    match bytes {
        // A text that begins with `P1` is a picture only if a blank or a comment follows.
        [b'P', b'1'..=b'7', after, ..] if after.is_ascii_whitespace() || *after == b'#' => {
            Kind::Read(Pnm)
        }
        // Texts may begin with `BM`; a bitmap says behind it how long it is, and has zeros then.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Kind::Read(Bmp),
        [b'P' | b'B', ..] => Kind::Other,
        _ => match image::guess_format(bytes) {
            Ok(it @ (Bmp | Gif | Jpeg | Png | Tiff | WebP)) => Kind::Read(it),
            _ => Kind::Other,
        },
    }
}

/// Why a picture of the format called `name` cannot be used.
pub fn unread(name: &str) -> String {
    format!("its format is {name}, which is not read; convert it to PNG or JPEG")
}

/// Whether a file or folder is hidden, or was left by a system without being asked.
pub fn is_left_behind(path: &Path) -> bool {
    let Some(name) = path.file_name() else { return false };
    name.as_encoded_bytes().starts_with(b".") || DROPPINGS.iter().any(|it| name == *it)
}
