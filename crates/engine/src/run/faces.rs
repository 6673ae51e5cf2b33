//! Images of faces, made of pictures and of the faces that were found in them, and sheets that show what was done.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

use ferrite_core::data;
use ferrite_core::data::faces::found::{self, Face, chosen};
use ferrite_core::data::faces::placed::{self, How, Placed};
use ferrite_core::data::originals::{Originals, Visit};
use ferrite_core::data::picture::{Picture, resized};
use ferrite_core::error::{Error, Result};
use ferrite_core::files::write_whole;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::steps::faces::Faces;
use ferrite_core::store::clear;
use ferrite_core::store::lock::Caller;

use crate::mark::Sheet;
use crate::run::detections::{Decoded, going_on};
use crate::run::perform::Perform;

/// Pictures that a sheet shows, and pixels a side of each.
const SHOWN: usize = 12;
const SIDE: u32 = 96;
const GAP: u32 = 4;

impl Perform<Decoded> for Faces {
    const KIND: Kind = Kind::Faces;

    fn precision(&self, _: &Decoded) -> Option<String> {
        None
    }

    fn perform(&self, decoded: &mut Decoded, caller: &mut Caller<'_>, folder: &Path) -> Result<()> {
        clear(folder)?;
        let originals = Originals::open(&self.data, &decoded.images)?;
        let found = found::read(&decoded.found)?;
        let settings = self.data.faces.as_ref().ok_or_else(|| Error::Internal {
            message: "faces are placed that nobody asked for".into(),
            place: file!().into(),
        })?;
        let placing =
            Placing { originals: &originals, found: &found, settings, side: self.data.image_size };
        let (started, all) = (Instant::now(), originals.count());
        let sheets = placing.sheets();
        let (mut copy, mut rows, mut shown) =
            (originals.copy(folder)?, Vec::with_capacity(all), BTreeMap::new());
        originals.visit(Visit {
            look: &|row, picture| {
                let is_shown = sheets.iter().any(|it| it.1.contains(&row));
                Ok(placing.place(row, &picture, is_shown))
            },
            take: &mut |row, One { image, placed, tiles }| {
                copy.push(row, &image)?;
                rows.push(placed);
                shown.extend(tiles.map(|it| (row, it)));
                going_on(caller, [rows.len(), all], started)
            },
        })?;
        copy.finish()?;
        placed::write(folder, &rows)?;
        for (name, rows) in sheets {
            let tiles: Vec<&[Sheet; 2]> = rows.iter().filter_map(|it| shown.get(it)).collect();
            write_whole(&folder.join(format!("faces-{name}.png")), &sheet(&tiles))?;
        }
        Ok(())
    }

    fn check(&self, folder: &Path) -> Result<()> {
        data::dataset::open(&self.data, folder).map(|_| ())
    }
}

/// What became of one picture.
struct One {
    image: Picture,
    placed: Placed,
    /// It before and after, if it is shown.
    tiles: Option<[Sheet; 2]>,
}

/// What decides what becomes of pictures.
struct Placing<'a> {
    originals: &'a Originals<'a>,
    found: &'a HashMap<String, Vec<Face>>,
    settings: &'a data::faces::Faces,
    side: usize,
}

impl Placing<'_> {
    fn faces(&self, row: u32) -> &[Face] {
        self.found.get(&self.originals.ids()[row as usize]).map(Vec::as_slice).unwrap_or_default()
    }

    fn place(&self, row: u32, picture: &Picture, is_shown: bool) -> One {
        let faces = self.faces(row);
        let [height, width, _] = picture.shape;
        let face = chosen(faces, self.settings.choose, [height, width]);
        let placed = ferrite_detect::placed(picture, face, self.settings, self.side);
        let tiles = is_shown.then(|| {
            let marked: Vec<&Face> = face.into_iter().collect();
            let before = Sheet::fitting(picture, &marked, SIDE as usize);
            [before, Sheet::fitting(&placed.picture, &[], SIDE as usize)]
        });
        let row = Placed {
            id: self.originals.ids()[row as usize].clone(),
            how: placed.how,
            faces: faces.len(),
            score: face.map(|it| it.score),
            roll: face.and_then(Face::roll),
            difference: difference(&self.originals.decoded(row), &placed),
        };
        One { image: placed.picture, placed: row, tiles }
    }

    /// The pictures that sheets show, by the sheet's name: some whose face was found, from all over the data; those that
    /// were turned most; those whose faces are the least sure; some without a face.
    fn sheets(&self) -> Vec<(&'static str, Vec<u32>)> {
        let rows = 0..self.originals.count() as u32;
        let first = |row: &u32| self.faces(*row).first();
        let (mut with, without): (Vec<u32>, Vec<u32>) = rows.partition(|it| first(it).is_some());
        let found = spread(&with);
        let roll = |row: &u32| first(row).and_then(Face::roll).unwrap_or_default().abs();
        with.sort_by(|a, b| roll(b).total_cmp(&roll(a)).then(a.cmp(b)));
        let turned = with.iter().take(SHOWN).copied().collect();
        let score = |row: &u32| first(row).map_or(0.0, |it| it.score);
        with.sort_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
        let unsure = with.iter().take(SHOWN).copied().collect();
        let sheets = [
            ("found", found),
            ("turned", turned),
            ("unsure", unsure),
            ("missing", spread(&without)),
        ];
        sheets.into_iter().filter(|it| !it.1.is_empty()).collect()
    }
}

/// Some of `rows`, evenly spread over them.
fn spread(rows: &[u32]) -> Vec<u32> {
    let count = rows.len().min(SHOWN);
    (0..count).map(|it| rows[it * rows.len() / count]).collect()
}

/// Mean absolute difference of an image from what the network would see of its whole picture, in gray levels.
fn difference(whole: &Picture, placed: &ferrite_detect::Placed) -> f32 {
    let [height, width, channels] = placed.picture.shape;
    if placed.how == How::Whole {
        return 0.0;
    }
    let whole = whole.clone().in_channels(channels);
    let pixels = resized(&whole.pixels, whole.shape, [height, width]);
    let apart = pixels.iter().zip(&placed.picture.pixels).map(|(a, b)| u64::from(a.abs_diff(*b)));
    apart.sum::<u64>() as f32 / pixels.len().max(1) as f32
}

/// Pictures above, what became of them below.
fn sheet(tiles: &[&[Sheet; 2]]) -> Vec<u8> {
    let place = |column: usize, row: u32| [column as u32 * (SIDE + GAP), row * (SIDE + GAP)];
    let mut sheet = Sheet::blank([tiles.len() as u32 * (SIDE + GAP) - GAP, 2 * SIDE + GAP]);
    for (column, [before, after]) in tiles.iter().enumerate() {
        sheet.put(before, place(column, 0));
        sheet.put(after, place(column, 1));
    }
    sheet.to_png()
}
