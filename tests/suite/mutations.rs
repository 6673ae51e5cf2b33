//! Experiment files with something wrong in them, thousands of them: each is read or told, and none ends the program.

use std::path::Path;

use ferrite_core::config::read::read;
use ferrite_core::error::Error;
use ferrite_random::{Random, Use};
use ferrite_testing::Place;

/// How many mutated files are read.
const FILES: u64 = 2000;

/// What is put into files: what TOML is made of, what it is not made of, and what is hard to hold.
const PIECES: [&str; 32] = [
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "#",
    "\n",
    "\r",
    "\t",
    "\0",
    "\u{1b}",
    "\u{feff}",
    "\u{202e}",
    "ü",
    "\\u0000",
    "nan",
    "-inf",
    "1e999",
    "-1",
    "0",
    "99999999999999999999",
    "true",
    "1979-05-27",
    "stages",
    "~",
    "../",
];

/// `bytes` with a few changes.
pub(crate) fn mutated(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let to = (at + random.below(20)).min(bytes.len());
        match random.below(6) {
            0 => drop(bytes.drain(at..to)),
            1 => drop(bytes.splice(at..to, PIECES[random.below(PIECES.len())].bytes())),
            2 => drop(bytes.splice(at..at, PIECES[random.below(PIECES.len())].bytes())),
            3 => bytes.truncate(at),
            4 => {
                let copy = bytes[at..to].to_vec();
                let there = random.below(bytes.len() + 1);
                bytes.splice(there..there, copy);
            }
            _ => bytes.iter_mut().skip(at).take(1).for_each(|it| *it = random.below(256) as u8),
        }
    }
    bytes
}

#[test]
fn no_file_ends_the_reader() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    let place = Place::with(&[]);
    let mut originals = Vec::new();
    for entry in walkdir::WalkDir::new(&root).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.path().extension().is_some_and(|it| it == "toml") {
            let below = entry.path().strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(entry.path()).unwrap();
            place.write(&format!("experiments/{below}"), &bytes);
            originals.push((below, bytes));
        }
    }
    assert!(originals.len() > 10);
    let (mut good, mut bad) = (0, 0);
    for index in 0..FILES {
        let mut random = Random::at(0, Use::Split, 0, index);
        let (below, bytes) = &originals[random.below(originals.len())];
        let bytes = mutated(bytes, &mut random);
        let path = place.path(&format!("experiments/{below}"));
        let folder = path.parent().unwrap();
        let path = folder.join("mutated.toml");
        std::fs::write(&path, &bytes).unwrap();
        match read(std::slice::from_ref(&path), &[]) {
            Ok(_) => good += 1,
            Err(error) => {
                bad += 1;
                check(&error, &bytes);
            }
        }
        std::fs::remove_file(path).unwrap();
    }
    assert!(good > 0 && bad > 0, "{good} were read and {bad} told");
}

/// Checks that `error` says where it is, in words that can be shown.
#[track_caller]
fn check(error: &Error, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Error::Config { files } = error else { panic!("{error}:\n{text}") };
    assert!(!files.is_empty());
    for file in files {
        assert!(!file.problems.is_empty(), "{text}");
        for problem in &file.problems {
            let end = problem.offset() + problem.len();
            assert!(file.source.inner().is_char_boundary(problem.offset()), "{text}");
            assert!(end <= file.source.inner().len(), "{text}");
            assert!(problem.label().is_some_and(|it| !it.is_empty()), "{text}");
        }
    }
}
