//! `ferrite data draw`: drawn faces as picture files in class folders, to try out what is meant for pictures of one's own.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use clap::Args;
use ferrite_core::data::Data;
use ferrite_core::data::source::Source;
use ferrite_core::digits::counted;
use ferrite_core::error::{Error, Result};
use ferrite_core::files::{create_folder, write_derived};
use ferrite_core::terminal::notes::counting;
use ferrite_core::terminal::print;
use ferrite_faces::frame::Frame;
use ferrite_faces::{SIZE, Synthetic};
use image::{GrayImage, ImageFormat};

/// So many faces are drawn for each that is wanted before a class is given up that hardly ever occurs.
const MOST_TRIES: u64 = 1000;

#[derive(Debug, Args)]
pub(super) struct DrawArguments {
    /// The folder to make; each class gets a folder in it
    folder: PathBuf,
    /// Pictures of each class
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    each: u16,
    /// The classes [default: all seven]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    classes: Vec<String>,
    /// Pixels a side; in pictures of more than 48 the face is turned and somewhere in the picture
    #[arg(long, default_value_t = SIZE, value_name = "PIXELS")]
    size: usize,
    /// From 0, posed faces, to 1, subtle expressions in bad light
    #[arg(long, default_value_t = 0.2)]
    difficulty: f64,
    /// Another seed draws other people
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(super) fn draw_command(arguments: &DrawArguments) -> Result<()> {
    let DrawArguments { folder, each, classes, size, difficulty, seed } = arguments;
    let frame = (*size != SIZE).then(|| Frame { size: *size, ..Frame::default() });
    let (seed, difficulty) = (*seed, *difficulty);
    let source = Synthetic { seed, difficulty, frame, ..Synthetic::default() };
    let data = Data { source: Source::Synthetic(source.clone()), ..Data::default() };
    if let Some(problem) = data.check().into_iter().next() {
        let name = problem.key.rsplit('.').next().unwrap_or_default();
        return Err(usage(
            format!("`--{name}` {}", problem.message),
            "`--help` says what there is",
        ));
    }
    let known = source.classes();
    if let Some(strange) = classes.iter().find(|it| !known.contains(it)) {
        let help = format!("there are {}", known.join(", "));
        return Err(usage(format!("no face is drawn as `{strange}`"), &help));
    }
    if folder.read_dir().is_ok_and(|mut it| it.next().is_some()) {
        let help = "name a new folder: nothing of yours is written over";
        return Err(usage(format!("`{}` is not empty", folder.display()), help));
    }
    let wanted = known.iter().enumerate();
    let wanted = wanted.filter(|(_, name)| classes.is_empty() || classes.contains(name));
    let mut left: BTreeMap<usize, u16> = wanted.map(|(label, _)| (label, *each)).collect();
    for label in left.keys() {
        let path = folder.join(&known[*label]);
        create_folder(&path)?;
    }
    let all = left.len() * usize::from(*each);
    let bar = counting("faces", all);
    for index in 0..MOST_TRIES * u64::from(*each) {
        if left.values().all(|it| *it == 0) {
            break;
        }
        let face = source.draw(index);
        let label = usize::from(face.label);
        let Some(count) = left.get_mut(&label).filter(|it| **it > 0) else { continue };
        let path = folder.join(&known[label]).join(format!("{:03}.png", each - *count));
        *count -= 1;
        let side = source.size() as u32;
        let picture =
            GrayImage::from_raw(side, side, face.pixels).expect("a face fills its picture");
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).expect("a picture in memory can be written");
        write_derived(&path, png.get_ref())?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let drawn = all - left.values().map(|it| usize::from(*it)).sum::<usize>();
    print(&format!("{} in {}\n", counted(drawn, "picture"), folder.display()))
}

fn usage(message: String, help: &str) -> Error {
    Error::Usage { message, help: help.to_owned() }
}
