//! Everything that reads bytes of others, fed with mutations of small files: a result or an error, and nothing else.
//!
//! The readers are those that libFuzzer feeds for as long as one likes (`make fuzz`); here each gets a few hundred
//! files that are the same every time. Weight files and experiments have mutations of their own
//! ([`crate::mutations`], and beside the readers of weights), so here they are read as they are.

use std::path::{Path, PathBuf};

use ferrite_random::{Random, Use};

use crate::mutations::mutated;

#[expect(unreachable_pub, reason = "it is a library of its own in fuzz/")]
#[path = "../../fuzz/src/lib.rs"]
mod fuzz;

/// How many mutations of its files a reader gets, unless [`MORE`] says so.
const MUTATIONS: u64 = 300;

/// A variable that says how many, for whoever has the time.
const MORE: &str = "FERRITE_MUTATIONS";

/// Readers whose files are mutated elsewhere.
const ELSEWHERE: [&str; 2] = ["weights", "experiment"];

/// The small files of a reader.
fn seeds(reader: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(reader);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_reader_ends_with_a_result_or_an_error() {
    let mutations = std::env::var(MORE).ok().and_then(|it| it.parse().ok()).unwrap_or(MUTATIONS);
    for (name, read) in fuzz::READERS {
        let files: Vec<Vec<u8>> = seeds(name).iter().map(|it| std::fs::read(it).unwrap()).collect();
        assert!(!files.is_empty(), "fuzz/seeds/{name} holds no file");
        for file in &files {
            read(file);
        }
        let mutations = if ELSEWHERE.contains(&name) { 0 } else { mutations };
        for index in 0..mutations {
            let mut random = Random::at(1, Use::Split, 0, index);
            let file = &files[random.below(files.len())];
            read(&mutated(file, &mut random));
        }
    }
}

#[test]
fn every_reader_has_a_fuzz_target_that_calls_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in fuzz::READERS {
        let target = std::fs::read_to_string(root.join(format!("fuzz_targets/{name}.rs")));
        assert!(target.unwrap().contains(&format!("ferrite_fuzz::{name}(bytes)")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
    let targets = root.join("fuzz_targets").read_dir().unwrap().count();
    assert_eq!(targets, fuzz::READERS.len());
}
