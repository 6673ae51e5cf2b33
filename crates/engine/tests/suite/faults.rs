//! Operations on files that fail, one after the other: each is told with its file, nothing finished is lost, and the next
//! sweep ends as an undisturbed one does. `tools/reliability.py --only faults` tries every one; here they are some of each
//! program's, ever farther apart.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ferrite_testing::{Place, SMALL, Told, same};

/// What an undisturbed run learns.
static EXPECTED: LazyLock<BTreeMap<String, Vec<u8>>> = LazyLock::new(|| {
    let place = Place::with(&[("e", SMALL)]);
    place.sweep_well();
    learnt(&place)
});

fn learnt(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let folder = place.run("e").folder;
    let read = |name: &str| (name.to_owned(), std::fs::read(folder.join(name)).unwrap());
    ["predictions.csv", "model.safetensors"].map(read).into()
}

/// The name by which messages speak of a file: that which it has once it is written. What is written only to see whether a
/// folder can be written into goes by the folder's name.
fn shown_name(path: &Path) -> String {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    if name.starts_with(".probe-") {
        return "runs".into();
    }
    let written = name.strip_prefix('.').and_then(|it| it.strip_suffix(".tmp"));
    written.and_then(|it| it.rsplit_once('.')).map_or(name.clone(), |it| it.0.to_owned())
}

/// Sweeps while the operations of `program` that `which` says fail. Returns what was told, and the files that they were on.
fn disturbed(place: &Place, program: &str, which: &str) -> (Told, Vec<PathBuf>) {
    let log = place.path("told");
    let fault = format!("{program} {which} {}", log.display());
    let variables = [("FERRITE_TEST_FILE_FAULT", fault.as_str())];
    let told = place.ferrite_with(&variables, &["sweep", "--threads", "1"]);
    let lines = std::fs::read_to_string(log).unwrap_or_default();
    let paths = lines.lines().map(|it| it.split_once(' ').unwrap().1.into()).collect();
    (told, paths)
}

/// Checks a sweep in which these fail, and the next one. Says whether any did.
#[track_caller]
fn check(program: &str, which: &str) -> bool {
    let place = Place::with(&[("e", SMALL)]);
    let (told, paths) = disturbed(&place, program, which);
    let Some(first) = paths.first() else {
        assert_eq!(told.code, Some(0), "{told:#?}");
        return false;
    };
    let why = format!("{program} {which}: {}", first.display());
    assert!(matches!(told.code, Some(0 | 1 | 5)), "{why}: {told:#?}");
    let named = paths.iter().any(|it| told.words().contains(&shown_name(it)));
    assert!(told.code == Some(0) || named, "{why} is not named in {told:#?}");
    // What failed is tried again when that is asked for, and what was interrupted by every sweep.
    for command in ["retry", "sweep"] {
        let again = place.ferrite(&[command, "--threads", "1"]);
        assert_eq!(again.code, Some(0), "{why}: {again:#?}");
    }
    for ((name, found), expected) in learnt(&place).iter().zip(EXPECTED.values()) {
        same(format!("{why}: {name}"), found, expected);
    }
    true
}

/// Checks some single operations of `program`, the first ones one by one.
fn check_some(program: &str, error: &str, apart: usize) {
    let mut at = 1;
    let mut count = 0;
    while check(program, &format!("any {at} {error}")) {
        count += 1;
        at += count * apart;
    }
    assert!(count > 3, "only {count} operations of {program} failed");
}

#[test]
fn any_operation_of_a_worker_may_fail_once() {
    check_some("ferrite-engine", "EIO", 4);
}

#[test]
fn any_operation_of_the_scheduler_may_fail_once() {
    check_some("ferrite", "ENOSPC", 3);
}

#[test]
fn a_disk_may_become_full_or_unwritable_and_stay_so() {
    for (program, which) in [
        ("ferrite-engine", "write 5+ ENOSPC"),
        ("ferrite-engine", "any 30+ EROFS"),
        ("ferrite", "any 6+ ENOSPC"),
    ] {
        assert!(check(program, which), "{program} {which}: nothing failed");
    }
}
