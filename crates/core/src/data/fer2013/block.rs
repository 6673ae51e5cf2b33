//! Some lines of a FER2013 table, parsed byte by byte.

use std::io::BufRead;

use crate::data::fer2013::CLASSES;
use crate::data::fer2013::header::Header;
use crate::data::picture::content;

/// Rows and columns of a face.
pub(super) const SIZE: usize = 48;
const PIXELS: usize = SIZE * SIZE;

/// What a number of whole lines holds.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// How many lines there are.
    pub lines: usize,
    /// How many of them are not blank.
    pub data_lines: usize,
    /// The good rows.
    pub rows: Vec<Row>,
    /// Their pixels.
    pub pixels: Vec<u8>,
    /// The names that [`Row::split`] counts through.
    pub splits: Vec<String>,
    /// Broken rows: the line within the block, counted from 0, and what is wrong with it.
    pub broken: Vec<(usize, String)>,
}

/// One good row.
#[derive(Debug)]
pub(super) struct Row {
    /// Place among the block's lines that are not blank, counted from 0.
    pub position: usize,
    /// The label.
    pub label: u8,
    /// Position of the split's name in [`Block::splits`].
    pub split: usize,
    /// What identifies the picture; see [`crate::data::picture::content`].
    pub content: u64,
}

impl Block {
    /// Parses `text`, which ends with a line break or with the file.
    pub(super) fn parse(header: Header, text: &[u8]) -> Self {
        let mut block = Self::default();
        block.pixels.reserve(text.len() / 3);
        let mut rest = text;
        while !rest.is_empty() {
            let (line, _) = until(&mut rest, b'\n');
            if !line.trim_ascii().is_empty() {
                block.read(header, line);
                block.data_lines += 1;
            }
            block.lines += 1;
        }
        block
    }

    /// Reads one line, as a row or as a broken one.
    fn read(&mut self, header: Header, line: &[u8]) {
        let kept = self.pixels.len();
        match row(header, line, &mut self.pixels) {
            Ok((label, name)) => {
                let split = self.split(name);
                let content = content(&self.pixels[kept..], [SIZE, SIZE, 1]);
                self.rows.push(Row { position: self.data_lines, label, split, content });
            }
            Err(message) => {
                self.pixels.truncate(kept);
                let text = std::str::from_utf8(line).is_ok();
                let message = if text { message } else { "is not UTF-8 text".into() };
                self.broken.push((self.lines, message));
            }
        }
    }

    fn split(&mut self, name: &str) -> usize {
        self.splits.iter().position(|it| it == name).unwrap_or_else(|| {
            self.splits.push(name.to_owned());
            self.splits.len() - 1
        })
    }

    fn name_of_last(&self) -> Option<&str> {
        self.rows.last().map(|it| self.splits[it.split].as_str())
    }
}

/// Blames what the end of the file did to the last row of `blocks`, where `lines` do not end with
/// a line break.
///
/// A row that ends within its split's name has all its pixels and would pass for a split of its own.
pub(super) fn mark_cut_off(blocks: &mut [Block], lines: &[u8]) {
    if lines.ends_with(b"\n") {
        return;
    }
    let cut_name = blocks.last().and_then(Block::name_of_last).filter(|last| {
        let splits =
            || blocks.iter().flat_map(|it| it.rows.iter().map(|row| &it.splits[row.split]));
        let once = splits().filter(|it| it == last).count() == 1;
        once && splits().any(|it| it.len() > last.len() && it.starts_with(last))
    });
    let message = cut_name.map(|it| format!("names the split `{it}`{CUT_OFF}"));
    let Some(block) = blocks.last_mut() else { return };
    let last_line = block.lines - 1;
    match (block.broken.last_mut(), message) {
        (Some((line, broken)), _) if *line == last_line => broken.push_str(CUT_OFF),
        (_, Some(message)) => {
            block.rows.pop();
            block.pixels.truncate(block.rows.len() * PIXELS);
            block.broken.push((last_line, message));
        }
        _ => {}
    }
}

const CUT_OFF: &str = ", and the file ends there: it was cut off";

/// The label and split of one line; its pixels are appended to `pixels`.
fn row<'a>(header: Header, line: &'a [u8], pixels: &mut Vec<u8>) -> Result<(u8, &'a str), String> {
    let (mut label, mut usage) = (Err(String::new()), "");
    let (mut columns, mut rest, mut more) = (0, line, true);
    while more {
        let field;
        (field, more) = field_of(&mut rest);
        let field = unquoted(field);
        if columns == header.pixels {
            read_pixels(field, pixels)?;
        } else if columns == header.label {
            label = read_label(field);
        } else if Some(columns) == header.usage {
            usage = std::str::from_utf8(field).map_err(|it| it.to_string())?;
        }
        columns += 1;
    }
    if columns != header.columns {
        return Err(format!("has {columns} columns, not {}", header.columns));
    }
    if header.usage.is_some() && usage.is_empty() {
        return Err("has an empty `Usage`".into());
    }
    Ok((label?, usage))
}

fn read_label(field: &[u8]) -> Result<u8, String> {
    match field {
        [digit @ b'0'..=b'6'] => Ok(digit - b'0'),
        _ => {
            Err(format!("has the label `{}`, not one of 0 to {}", shown(field), CLASSES.len() - 1))
        }
    }
}

/// Appends the numbers in `field` to `pixels`.
fn read_pixels(field: &[u8], pixels: &mut Vec<u8>) -> Result<(), String> {
    let before = pixels.len();
    let mut at = 0;
    while at < field.len() {
        if field[at] == b' ' {
            at += 1;
            continue;
        }
        let start = at;
        let mut value = 0_u32;
        while at < field.len() && field[at].is_ascii_digit() {
            value = value.wrapping_mul(10).wrapping_add(u32::from(field[at] - b'0'));
            at += 1;
        }
        let whole = at == field.len() || field[at] == b' ';
        if !whole || value > 255 || at - start > 3 {
            return Err(wrong_pixel(&field[start..], pixels.len() - before));
        }
        pixels.push(value as u8);
    }
    match pixels.len() - before {
        PIXELS => Ok(()),
        n => Err(format!("has {n} pixels, not {PIXELS} ({SIZE}x{SIZE})")),
    }
}

/// What is wrong with the number at the start of `rest`, behind `before` others.
fn wrong_pixel(rest: &[u8], before: usize) -> String {
    let token = rest.split(|it| *it == b' ').next().unwrap_or_default();
    let digits = token.iter().all(u8::is_ascii_digit);
    let why = if digits { "above 255" } else { "not a whole number" };
    format!("has `{}` as pixel {}, which is {why}", shown(token), before + 1)
}

/// Takes what comes before the next `end` off `rest`, and `end` with it, if there is one.
///
/// [`BufRead::skip_until`] looks at many bytes at once, unlike `split`.
fn until<'a>(rest: &mut &'a [u8], end: u8) -> (&'a [u8], bool) {
    let all = *rest;
    let taken = &all[..rest.skip_until(end).expect("memory can always be read")];
    taken.strip_suffix(&[end]).map_or((taken, false), |it| (it, true))
}

/// Takes the first field off `rest`, and the comma behind it, if there is one. Commas in quotes belong to the field.
fn field_of<'a>(rest: &mut &'a [u8]) -> (&'a [u8], bool) {
    let all = *rest;
    let blanks = all.iter().take_while(|it| **it == b' ').count();
    let Some(mut quoted) = all[blanks..].strip_prefix(b"\"") else { return until(rest, b',') };
    loop {
        let (_, closed) = until(&mut quoted, b'"');
        if !closed {
            // The quote is never closed: no more than a character.
            return until(rest, b',');
        }
        // Two quotes stand for one that is part of the text.
        match quoted.strip_prefix(b"\"") {
            Some(behind) => quoted = behind,
            None => break,
        }
    }
    let (_, more) = until(&mut quoted, b',');
    *rest = quoted;
    let taken = &all[..all.len() - quoted.len()];
    (if more { &taken[..taken.len() - 1] } else { taken }, more)
}

/// A field without the blanks and quotes around it.
fn unquoted(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    let inner = field.strip_prefix(b"\"").and_then(|it| it.strip_suffix(b"\""));
    inner.unwrap_or(field).trim_ascii()
}

/// The start of `field` as text.
fn shown(field: &[u8]) -> String {
    let text = String::from_utf8_lossy(field);
    let start: String = text.chars().take(20).collect();
    if start.len() < text.len() { start + "…" } else { start }
}
