//! The maps as a picture: each image as the network sees it, and beside it where it looks.

use ferrite_core::data::picture::Picture;
use ferrite_core::store::explained::{Image, Layer};

use crate::mark::Sheet;

/// An image and its maps, as they are drawn.
pub(super) struct Card {
    /// Pixels a side.
    pub(super) size: usize,
    /// One for gray levels, three for colours.
    pub(super) channels: usize,
    /// Gray levels 0-255, channel by channel.
    pub(super) pixels: Vec<f32>,
    /// Each map at the size of the image, from 0 to 1.
    pub(super) overlays: Vec<Vec<f32>>,
}

/// Viridis (van der Walt and Smith 2015), which colour-blind readers can read and which grows lighter all the way; in equal
/// steps from 0 to 1.
const VIRIDIS: [[f32; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [71.0, 44.0, 122.0],
    [59.0, 81.0, 139.0],
    [44.0, 113.0, 142.0],
    [33.0, 144.0, 141.0],
    [39.0, 173.0, 129.0],
    [92.0, 200.0, 99.0],
    [170.0, 220.0, 50.0],
    [253.0, 231.0, 37.0],
];

/// Share of the colour in a pixel where the map is 0, and where it is 1.
const OPACITY: [f32; 2] = [0.25, 0.7];

/// Pixels a side of an image on the sheet.
const SIDE: usize = 96;
/// Pixels between images.
const GAP: usize = 6;
/// Cards in a row.
const COLUMNS: usize = 3;
/// Images in a card: the image, the map of the class that it was taken for, and that of its class.
const IMAGES: usize = 3;
/// Height of a line of text.
const LINE: usize = 18;
/// Around the sheet, and between cards.
const MARGIN: usize = 14;
/// Height of the head: two lines and the scale.
const HEAD: usize = 2 * LINE + 30;

const CARD: [usize; 2] = [IMAGES * (SIDE + GAP) - GAP, 2 * LINE + SIDE];

/// A PNG of all `cards`, which are drawn as `images` say; `layer` is told above them.
pub(super) fn sheet(images: &[Image], cards: &[Card], layer: &Layer) -> Vec<u8> {
    let columns = cards.len().clamp(1, COLUMNS);
    let rows = cards.len().div_ceil(columns);
    let [width, height] = CARD.map(|it| it + MARGIN);
    let size = [MARGIN + columns.max(2) * width, MARGIN + HEAD + rows * height];
    let mut sheet = Sheet::blank(size.map(|it| it as u32));
    head(&mut sheet, layer);
    for (at, (image, card)) in images.iter().zip(cards).enumerate() {
        let corner = [at % columns * width, HEAD + at / columns * height];
        draw(&mut sheet, image, card, corner.map(|it| it + MARGIN));
    }
    sheet.to_png()
}

fn head(sheet: &mut Sheet, layer: &Layer) {
    let Layer { name, height, width, .. } = layer;
    let title = format!("Grad-CAM of {name}, {height}x{width} positions");
    sheet.label(&title, [MARGIN, MARGIN], 15.0);
    let scale: Vec<u8> = (0..10 * 160).flat_map(|it| colour((it % 160) as f32 / 159.0)).collect();
    let scale = Sheet::of(&Picture { pixels: scale, shape: [10, 160, 3] });
    let top = MARGIN + LINE + 6;
    let begin = "does not speak for the class";
    sheet.label(begin, [MARGIN, top], 12.0);
    let left = MARGIN + Sheet::label_width(begin, 12.0) + GAP;
    sheet.put(&scale, [left as u32, top as u32 + 2]);
    sheet.label("speaks for it most, in this map", [left + 160 + GAP, top], 12.0);
}

fn draw(sheet: &mut Sheet, image: &Image, card: &Card, [left, top]: [usize; 2]) {
    let percent = 100.0 * image.probability;
    let whole = CARD[0];
    sheet.label(&fitting(&image.id, whole), [left, top], 12.0);
    let under = top + LINE + SIDE + 5;
    let mut put = |place: usize, pixels: Vec<u8>, text: &str| {
        let left = left + place * (SIDE + GAP);
        let picture = Picture { pixels, shape: [card.size, card.size, 3] };
        let corner = [left, top + LINE].map(|it| it as u32);
        sheet.put(&Sheet::fitting(&picture, &[], SIDE), corner);
        sheet.label(&fitting(text, SIDE), [left, under], 12.0);
    };
    put(0, card.seen(), &format!("is {}", image.truth));
    let texts = [format!("for {} {percent:.0} %", image.predicted), format!("for {}", image.truth)];
    for (at, (overlay, text)) in card.overlays.iter().zip(&texts).enumerate() {
        put(at + 1, card.overlaid(overlay), text);
    }
}

/// As much of `text` as fits into so many pixels.
fn fitting(text: &str, width: usize) -> String {
    let fits = |it: &str| Sheet::label_width(it, 12.0) <= width;
    if fits(text) {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let cut = |length: usize| letters[..length].iter().collect::<String>() + "…";
    (0..letters.len()).rev().map(cut).find(|it| fits(it)).unwrap_or_default()
}

impl Card {
    /// The image in three channels, pixel by pixel.
    fn seen(&self) -> Vec<u8> {
        let pixels = self.size * self.size;
        let level = |pixel: usize, channel: usize| {
            self.pixels[channel.min(self.channels - 1) * pixels + pixel].round() as u8
        };
        (0..pixels).flat_map(|pixel| [0, 1, 2].map(|channel| level(pixel, channel))).collect()
    }

    /// The same in gray, with a map in colours over it.
    fn overlaid(&self, map: &[f32]) -> Vec<u8> {
        let seen = self.seen();
        let pixel = |(levels, share): (&[u8], &f32)| {
            let gray = 0.299 * f32::from(levels[0])
                + 0.587 * f32::from(levels[1])
                + 0.114 * f32::from(levels[2]);
            let share = share.clamp(0.0, 1.0);
            let opacity = OPACITY[0] + (OPACITY[1] - OPACITY[0]) * share;
            colour(share).map(|it| (gray + (f32::from(it) - gray) * opacity).round() as u8)
        };
        seen.chunks(3).zip(map).flat_map(pixel).collect()
    }
}

/// The colour of a share of the largest value.
fn colour(share: f32) -> [u8; 3] {
    let place = share * (VIRIDIS.len() - 1) as f32;
    let below = (place as usize).min(VIRIDIS.len() - 2);
    let rest = place - below as f32;
    [0, 1, 2].map(|it| {
        let [from, to] = [VIRIDIS[below][it], VIRIDIS[below + 1][it]];
        (from + (to - from) * rest).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_begins_and_ends_with_its_colours_and_grows_lighter() {
        assert_eq!((colour(0.0), colour(1.0)), ([68, 1, 84], [253, 231, 37]));
        let light = |it: u8| {
            let [r, g, b] = colour(f32::from(it) / 100.0).map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        };
        assert!((1..=100).all(|it| light(it) > light(it - 1)));
    }

    #[test]
    fn gray_pixels_lie_under_the_colours_and_long_names_are_cut() {
        let card = Card {
            size: 1,
            channels: 1,
            pixels: vec![100.0],
            overlays: vec![vec![0.0], vec![1.0]],
        };
        assert_eq!(card.seen(), [100; 3]);
        assert_eq!(card.overlaid(&[0.0]), [92, 75, 96]);
        assert_eq!(card.overlaid(&[1.0]), [207, 192, 56]);
        let cut = fitting(&"long/".repeat(40), SIDE);
        assert!(cut.ends_with('…') && Sheet::label_width(&cut, 12.0) <= SIDE, "{cut}");
        assert_eq!(fitting("short", SIDE), "short");
    }
}
