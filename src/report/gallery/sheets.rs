//! Sheets of many small images, each image once: JPEG, since a thousand faces as PNG would be as large as the rest of the
//! page together.

use std::ops::Range;

use ferrite_core::data::picture::{in_channels, resized};
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder};
use maud::{Markup, PreEscaped, html};
use rayon::prelude::*;

use crate::format;
use crate::report::gallery::album::Album;

/// Images side by side, and on one sheet.
pub(super) const COLUMNS: usize = 16;
const CELLS: usize = 256;

/// Images are shown with their stored size up to this many pixels of the longer side.
const LONGEST: usize = 64;
/// JPEG codes squares of 8 pixels: a cell of whole squares is not blurred by its neighbours.
const SQUARE: usize = 8;
/// JPEG's scale from 1 to 100.
const QUALITY: u8 = 85;
/// Sheets that are drawn between two looks at what they weigh.
const AT_ONCE: usize = 8;

/// What sheets may weigh.
#[derive(Debug, Clone, Copy)]
pub(in crate::report) struct Room {
    /// Bytes of all sheets as base 64.
    pub(super) bytes: usize,
    /// Images.
    pub(in crate::report) images: usize,
}

/// Some images on sheets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sheets {
    /// Width and height of a cell.
    pub(super) cell: [usize; 2],
    /// Each sheet as JPEG, with the range of the images on it, of those that were asked for.
    pub(super) drawn: Vec<(Range<usize>, Vec<u8>)>,
    /// Width and height of each image within its cell.
    pub(super) sizes: Vec<[usize; 2]>,
}

/// Where an image is seen.
pub(super) struct View {
    sheet: usize,
    /// Its corner and size on the sheet.
    window: String,
}

impl View {
    /// The image called `id` as an element.
    pub(super) fn drawn(&self, id: &str) -> Markup {
        html! {
            svg .face viewBox=(self.window) role="img" aria-label={ "image " (id) } {
                (PreEscaped(format!("<use href=\"#sheet-{}\"></use>", self.sheet)))
            }
        }
    }
}

impl Sheets {
    /// The images at `rows` of `album`, in this order, as far as there is `room`. The first sheet has the first `first`
    /// images alone, since it is shown at once.
    pub(super) fn of(album: &Album, rows: &[u32], first: usize, room: Room) -> Self {
        let rows = &rows[..rows.len().min(room.images)];
        let shapes = rows.iter().map(|it| album.image(*it).1);
        let shown: Vec<[usize; 3]> = shapes.map(shown).collect();
        let largest = |side: usize| shown.iter().map(|it| it[side]).max().unwrap_or(0);
        let [height, width] = [0, 1].map(|it| largest(it).next_multiple_of(SQUARE));
        let drawing = Drawing { album, shown: &shown, cell: [width, height], channels: largest(2) };
        let (mut sheets, mut bytes) = (Vec::new(), 0);
        'all: for chunk in ranges(rows.len(), first).chunks(AT_ONCE) {
            let drawn: Vec<Vec<u8>> =
                chunk.par_iter().map(|it| drawing.sheet(rows, it.clone())).collect();
            for (range, jpeg) in chunk.iter().zip(drawn) {
                bytes += jpeg.len().div_ceil(3) * 4;
                if bytes > room.bytes && !sheets.is_empty() {
                    break 'all;
                }
                sheets.push((range.clone(), jpeg));
            }
        }
        let there = sheets.last().map_or(0, |it: &(Range<usize>, _)| it.0.end);
        let sizes = shown[..there].iter().map(|[height, width, _]| [*width, *height]).collect();
        Self { cell: [width, height], drawn: sheets, sizes }
    }

    /// The sheets with the first `first` images alone, drawn once on a page and used by reference.
    pub(super) fn markup(&self, first: usize) -> Markup {
        let sheets = self.drawn.iter().enumerate();
        html! {
            svg #gallery-sheets .sheets width="0" height="0" aria-hidden="true" {
                @for (at, (range, jpeg)) in sheets.filter(|it| it.1.0.end <= first) {
                    @let [width, height] = self.size(range.len());
                    image id={ "sheet-" (at) } width=(width) height=(height)
                        href={ "data:image/jpeg;base64," (PreEscaped(format::base64(jpeg))) } {}
                }
            }
        }
    }

    /// Width and height of a sheet with so many images.
    pub(super) fn size(&self, images: usize) -> [usize; 2] {
        let [width, height] = self.cell;
        [images.min(COLUMNS) * width, images.div_ceil(COLUMNS) * height]
    }

    /// Where the image at `place` is seen; none if it is on no sheet.
    pub(super) fn view(&self, place: usize) -> Option<View> {
        let sheet = self.drawn.iter().position(|it| it.0.contains(&place))?;
        let within = place - self.drawn[sheet].0.start;
        let [cell_width, cell_height] = self.cell;
        let (x, y) = (within % COLUMNS * cell_width, within / COLUMNS * cell_height);
        let [width, height] = *self.sizes.get(place)?;
        Some(View { sheet, window: format!("{x} {y} {width} {height}") })
    }

    /// How many images are on them.
    pub(super) fn count(&self) -> usize {
        self.sizes.len()
    }
}

/// The images of each sheet.
fn ranges(images: usize, first: usize) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut from = 0;
    while from < images {
        let alone = if from < first { first } else { images };
        let to = (from + CELLS).min(alone).min(images);
        ranges.push(from..to);
        from = to;
    }
    ranges
}

/// The shape in which an image of `shape` (height, width, channels) is shown.
fn shown([height, width, channels]: [usize; 3]) -> [usize; 3] {
    let longest = height.max(width);
    let side = |it: usize| if longest > LONGEST { (it * LONGEST / longest).max(1) } else { it };
    [side(height), side(width), channels]
}

struct Drawing<'a> {
    album: &'a Album,
    shown: &'a [[usize; 3]],
    cell: [usize; 2],
    channels: usize,
}

impl Drawing<'_> {
    fn sheet(&self, rows: &[u32], range: Range<usize>) -> Vec<u8> {
        let [cell_width, cell_height] = self.cell;
        let columns = range.len().min(COLUMNS);
        let (width, height) = (columns * cell_width, range.len().div_ceil(COLUMNS) * cell_height);
        let line = width * self.channels;
        let mut pixels = vec![0; line * height];
        for (place, at) in range.enumerate() {
            let image = self.image(rows[at], self.shown[at]);
            let bytes = self.shown[at][1] * self.channels;
            let left = place % COLUMNS * cell_width * self.channels;
            for (y, from) in image.chunks_exact(bytes).enumerate() {
                let to = (place / COLUMNS * cell_height + y) * line + left;
                pixels[to..to + bytes].copy_from_slice(from);
            }
        }
        let kind = if self.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
            .write_image(&pixels, width as u32, height as u32, kind)
            .expect("a sheet has as many bytes as its size says, and memory takes them");
        jpeg
    }

    fn image(&self, row: u32, [height, width, _]: [usize; 3]) -> Vec<u8> {
        let (pixels, shape) = self.album.image(row);
        let small = if shape[..2] == [height, width] {
            pixels.to_vec()
        } else {
            resized(pixels, shape, [height, width])
        };
        in_channels(&small, shape[2], self.channels).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_images_have_a_sheet_of_their_own() {
        assert_eq!(ranges(700, 90), [0..90, 90..346, 346..602, 602..700]);
        assert_eq!(ranges(300, 300), [0..256, 256..300]);
        assert_eq!(ranges(40, 90), vec![0..40]);
        assert_eq!(ranges(0, 0), []);
    }

    #[test]
    fn large_images_are_made_small_and_small_ones_stay() {
        assert_eq!(shown([48, 48, 1]), [48, 48, 1]);
        assert_eq!(shown([128, 96, 3]), [64, 48, 3]);
        assert_eq!(shown([4000, 2, 3]), [64, 1, 3]);
    }
}
