//! What the system refuses: file sizes, threads and memory. Each is told as what it is, with advice that fits.

use ferrite_testing::{Place, SMALL};

/// A stack that no address space holds, so that the system starts no thread.
const ENDLESS_STACK: (&str, &str) = ("RUST_MIN_STACK", "1000000000000000000");

#[test]
fn a_limit_of_file_sizes_is_told_and_ends_no_program_by_a_signal() {
    let place = Place::with(&[("e", SMALL)]);
    // Enough for what the commands say, and not for the images.
    let told = place.limited("-f 32", &["sweep", "--threads", "1"]);
    told.says("File too large").says("`ulimit -f`");
    assert!(matches!(told.code, Some(1 | 5)), "{told:#?}");
    place.ferrite(&["retry", "--threads", "1"]).ends_with(0);
}

#[test]
fn threads_that_the_system_does_not_start_are_told_as_such() {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    let trial = place.run("e").folder.join("trial.toml");
    place.write("picture.png", "");
    std::fs::remove_dir_all(place.path("runs/.store")).unwrap();
    for arguments in [
        &["status"][..],
        &["report"],
        &["run", &trial.to_string_lossy()],
        &["predict", "e", "picture.png"],
    ] {
        let told = place.ferrite_with(&[ENDLESS_STACK], arguments);
        told.ends_with(6).says("the system gives no more threads").says("`ulimit -u`");
        assert!(!told.words().contains("fault") && !told.words().contains("LibTorch"), "{told:#?}");
    }
}

/// A stage whose batch needs about 3 GB, of which what is loaded and mapped is 1 GB.
const LARGE_BATCH: &str = "[data]\nsource = { synthetic = { faces = 300 } }\nimage_size = 96\n\
    [[stages]]\ntrainable = \"all\"\nepochs = 1\nbatch_size = 192\n";

#[test]
fn a_batch_that_a_limit_of_memory_has_no_room_for_is_taken_in_halves() {
    let place = Place::with(&[("e", LARGE_BATCH)]);
    let sweep = ["sweep", "--jobs", "1", "--threads", "1"];
    let told = place.limited("-v 1700000", &sweep);
    told.ends_with(0).says("did not fit into memory").says("images at once are added up");
}
