//! The FER2013 table, read once and opened many times; a folder of pictures, read.

use std::path::PathBuf;
use std::time::Instant;

use ferrite_core::data::decode::decode;
use ferrite_core::data::source::Source;
use ferrite_core::data::{Data, dataset};
use ferrite_core::device::Device;
use serde::Deserialize;
use serde_json::json;

use crate::{Result, done, ready};

/// A table.
#[derive(Deserialize)]
pub(crate) struct Csv {
    path: PathBuf,
}

/// Rounds of reading the table into a fresh folder and opening that.
pub(crate) fn read(csv: &Csv) -> Result<()> {
    let path = csv.path.to_string_lossy();
    let data = toml::from_str(&format!("source.fer2013.csv = {path:?}"))?;
    ready(Device::Cpu);
    loop {
        let folder = tempfile::tempdir()?;
        let began = Instant::now();
        decode(&data, folder.path(), &|_, _| {})?;
        let parse = began.elapsed().as_secs_f64();
        // The first look at the pixels is kept beside them.
        dataset::open(&data, folder.path())?;
        let began = Instant::now();
        let faces = dataset::open(&data, folder.path())?;
        let reopen = began.elapsed().as_secs_f64();
        let images = faces.labels.len();
        if !done(Device::Cpu, json!({ "parse_s": parse, "reopen_s": reopen, "images": images })) {
            return Ok(());
        }
    }
}

/// A folder with a folder of pictures for each class.
#[derive(Deserialize)]
pub(crate) struct Folder {
    path: PathBuf,
    classes: Vec<String>,
    size: usize,
}

/// Rounds of reading the folder into a fresh one, for a network of `size` pixels a side.
pub(crate) fn read_folder(folder: &Folder) -> Result<()> {
    let Folder { path, classes, size } = folder;
    let data = Data {
        source: Source::Folder { path: path.clone(), classes: classes.clone() },
        image_size: *size,
        ..Data::default()
    };
    ready(Device::Cpu);
    loop {
        let decoded = tempfile::tempdir()?;
        let began = Instant::now();
        decode(&data, decoded.path(), &|_, _| {})?;
        let seconds = began.elapsed().as_secs_f64();
        let images = dataset::open(&data, decoded.path())?.labels.len();
        if !done(Device::Cpu, json!({ "images_per_second": images as f64 / seconds })) {
            return Ok(());
        }
    }
}
