//! The FER2013 table in its published layouts: a CSV file with one face a row.
//!
//! The file is mapped, cut into blocks of whole lines and parsed in parallel; a general CSV reader
//! would take several times as long over its 75 million numbers.

mod block;
mod header;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::data::broken::{self, Broken};
use crate::data::fer2013::block::{Block, SIZE};
use crate::data::fer2013::header::Header;
use crate::data::prepared::{Item, Notes, Writer};
use crate::data::{OnError, Progress};
use crate::error::Result;
use crate::mapped;

/// The classes in label order.
pub const CLASSES: [&str; 7] = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

/// Height, width and channels of a face.
const SHAPE: [usize; 3] = [SIZE, SIZE, 1];

/// Bytes of a block: enough blocks for even work, few enough to keep their overhead small.
const BLOCK: usize = 2 << 20;

/// Decodes the table at `csv` into `folder`. An image's id is its data row, counted from 0.
pub(super) fn decode(
    csv: &Path,
    on_error: OnError,
    folder: &Path,
    progress: Progress<'_>,
) -> Result<()> {
    let bytes = mapped::map(csv)
        .map_err(|error| broken::unreadable(csv, "data.source.fer2013.csv", error))?;
    let (header, lines) = header::read(&bytes).map_err(|it| it.about(csv))?;
    let mut blocks = parse(header, lines, progress);
    block::mark_cut_off(&mut blocks, lines);
    let skipped = broken::settle(on_error, broken_rows(csv, &blocks))?;
    let mut writer = Writer::create(folder)?;
    let mut before = 0;
    for block in &blocks {
        for (row, pixels) in block.rows.iter().zip(block.pixels.chunks_exact(SIZE * SIZE)) {
            let id = (before + row.position).to_string();
            let (split, label) = (block.splits[row.split].as_str(), row.label);
            let item = Item { id: &id, split, group: "", label, content: row.content };
            writer.push(item, SHAPE, pixels)?;
        }
        before += block.data_lines;
    }
    let notes = Notes { skipped, ..Notes::default() };
    writer.finish("fer2013", CLASSES.map(str::to_owned).to_vec(), notes)
}

/// Parses all lines below the header.
fn parse(header: Header, lines: &[u8], progress: Progress<'_>) -> Vec<Block> {
    let done = AtomicUsize::new(0);
    let parse = |text: &&[u8]| {
        let block = Block::parse(header, text);
        progress(done.fetch_add(text.len(), Ordering::Relaxed) + text.len(), lines.len());
        block
    };
    cut(lines).par_iter().map(parse).collect()
}

/// Cuts `lines` into blocks of whole lines.
fn cut(mut lines: &[u8]) -> Vec<&[u8]> {
    let mut blocks = Vec::new();
    while !lines.is_empty() {
        let start = BLOCK.min(lines.len());
        let rest = lines[start..].iter().position(|it| *it == b'\n');
        let (block, after) = lines.split_at(rest.map_or(lines.len(), |it| start + it + 1));
        blocks.push(block);
        lines = after;
    }
    blocks
}

/// Every broken row with its line in the file, counted from 1 for the header.
fn broken_rows(csv: &Path, blocks: &[Block]) -> Vec<Broken> {
    let mut all = Vec::new();
    let mut before = 2;
    for block in blocks {
        all.extend(block.broken.iter().map(|(line, message)| {
            let place = format!("row {}", before + line);
            let name = place.clone();
            Broken { path: csv.to_owned(), place, name, message: message.clone() }
        }));
        before += block.lines;
    }
    all
}

#[cfg(test)]
mod tests;
