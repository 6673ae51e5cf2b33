//! The map of the modules, held against the sources: who may use whom, and how files look.
//!
//! Which crate may use which stands in their manifests. Sources are searched as text, which has limits: `super::super::` is
//! not seen.

use std::collections::BTreeSet;
use std::path::Path;

/// Whom each module may use besides itself, of its own crate and of those below, layer by layer.
const MAY_USE: &[(&str, &[&str])] = &[
    // Layer 0 of ferrite-core: what can go wrong, what can happen, files, names of hardware.
    ("device", &[]),
    ("digits", &[]),
    ("error", &["digits"]),
    ("event", &["error"]),
    ("fault", &["error"]),
    ("pulse", &["error", "fault"]),
    ("files", &["error", "pulse"]),
    ("machine", &[]),
    ("mapped", &[]),
    ("largest", &[]),
    // Whoever has predictions may judge them: pages, exports, searches.
    ("metrics", &[]),
    ("processor", &[]),
    ("remote", &[]),
    ("precision", &["processor"]),
    ("kernels", &["precision", "processor"]),
    ("warning", &["digits", "event"]),
    ("terminal", &["error", "event", "fault", "warning"]),
    // Layer 1: images; networks as data. They do not know each other.
    ("data", &["digits", "error", "event", "fault", "files", "largest", "mapped", "remote"]),
    (
        "model",
        &[
            "device",
            "digits",
            "error",
            "event",
            "files",
            "kernels",
            "mapped",
            "precision",
            "remote",
        ],
    ),
    // Layer 2: how a trial trains; the tables together.
    ("settings", &["error", "event", "data", "model"]),
    // Which settings are tried, and which of them are worth more epochs.
    ("search", &["error", "event", "settings"]),
    ("config", &["error", "data", "model", "search", "settings"]),
    // Layer 3: what is to be done; folders and files of others. They do not know each other.
    ("plan", &["digits", "error", "event", "data", "model", "settings", "search", "config"]),
    ("store", &["error", "event", "files", "metrics", "pulse", "warning"]),
    ("fetch", &["digits", "error", "files", "mapped", "remote", "store"]),
    // What a finished run has left.
    ("finished", &["error", "event", "config", "model", "store"]),
    // Layer 4, of `ferrite`: many trials; pages. They do not know each other.
    ("sweep", &["error", "event", "fault", "files", "config", "plan", "search", "store"]),
    // What trials cost, from what steps took.
    ("forecast", &["digits", "machine", "processor", "data", "plan", "store"]),
    ("format", &["error", "metrics"]),
    // A study reads from the schema what settings mean: technique, unit, what is off.
    ("study", &["error", "event", "largest", "metrics", "config", "store", "format"]),
    (
        "report",
        &[
            "digits", "error", "event", "files", "metrics", "warning", "data", "model", "settings",
            "search", "config", "store", "format", "study",
        ],
    ),
    // Runs and what the report says, for other programs: a network as ONNX follows from its layers as data.
    (
        "export",
        &[
            "digits", "error", "event", "files", "mapped", "metrics", "model", "config", "store",
            "fetch", "finished", "format", "study", "report",
        ],
    ),
    (
        "progress",
        &[
            "digits", "error", "event", "warning", "terminal", "plan", "store", "fetch", "sweep",
            "format",
        ],
    ),
    // The program that does everything else.
    (
        "cli",
        &[
            "device",
            "digits",
            "error",
            "event",
            "fault",
            "files",
            "kernels",
            "machine",
            "precision",
            "processor",
            "terminal",
            "data",
            "model",
            "settings",
            "config",
            "plan",
            "store",
            "fetch",
            "finished",
            "remote",
            "sweep",
            "forecast",
            "format",
            "study",
            "report",
            "export",
            "progress",
            "metrics",
            "warning",
        ],
    ),
    // The crate ferrite-detect, whose modules are one here: faces in pictures.
    ("detect", &["error", "data", "fetch"]),
    // The crate ferrite-torch, whose modules are one here: the only door to LibTorch.
    (
        "torch",
        &[
            "device",
            "error",
            "fault",
            "kernels",
            "machine",
            "mapped",
            "precision",
            "processor",
            "data",
            "model",
            "settings",
        ],
    ),
    // The crate ferrite-engine: networks with their numbers; training.
    ("forward", &["device", "error", "event", "precision", "pulse", "model", "torch"]),
    (
        "train",
        &[
            "device",
            "error",
            "event",
            "fault",
            "mapped",
            "precision",
            "data",
            "model",
            "settings",
            "torch",
            "forward",
        ],
    ),
    // Marks on pictures: what was found in them.
    ("mark", &["data"]),
    // The network of a finished run.
    (
        "trained",
        &[
            "device",
            "error",
            "event",
            "precision",
            "config",
            "model",
            "store",
            "finished",
            "forward",
        ],
    ),
    // One trial; use of what it trained; where that looks. They do not know each other.
    (
        "run",
        &[
            "device",
            "error",
            "event",
            "fault",
            "files",
            "largest",
            "machine",
            "mapped",
            "metrics",
            "precision",
            "data",
            "model",
            "settings",
            "plan",
            "store",
            "fetch",
            "remote",
            "detect",
            "torch",
            "forward",
            "mark",
            "train",
        ],
    ),
    (
        "predict",
        &[
            "device", "error", "event", "largest", "data", "settings", "store", "remote", "detect",
            "torch", "forward", "train", "trained",
        ],
    ),
    (
        "explain",
        &[
            "device",
            "error",
            "event",
            "metrics",
            "precision",
            "data",
            "store",
            "torch",
            "forward",
            "mark",
            "train",
            "trained",
        ],
    ),
    // A model that answers over HTTP.
    ("serve", &["error", "fault", "terminal", "data", "torch", "predict"]),
    // The program that computes.
    (
        "command",
        &[
            "device", "digits", "error", "event", "fault", "files", "machine", "pulse", "terminal",
            "data", "plan", "store", "fetch", "finished", "remote", "torch", "mark", "run",
            "predict", "explain", "serve",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Crates whose modules [`MAY_USE`] lists, and the module that a crate is which it lists as one.
const MAPPED: [(&str, Option<&str>); 5] = [
    ("src", None),
    ("crates/core/src", None),
    ("crates/detect/src", Some("detect")),
    ("crates/torch/src", Some("torch")),
    ("crates/engine/src", None),
];

/// Every folder with sources.
const FOLDERS: [&str; 3] = ["src", "tests", "crates"];

/// Crates that are LibTorch. One manifest may name them, so that all else goes through that crate; Burn's tensors
/// belong to everything that computes.
const LIBTORCH: [&str; 3] = ["tch", "torch-sys", "burn-tch"];

/// Lines of code in a file, tests not counted, that a reader can hold in mind.
const LONGEST_FILE: usize = 400;

/// A source file.
struct Source {
    /// Path in the project.
    path: String,
    /// The top-level module of [`MAY_USE`] that it belongs to.
    module: String,
    /// Its text.
    text: String,
}

impl Source {
    /// Its text without comments and without what follows `#[cfg(test)] mod tests {`.
    fn code(&self) -> String {
        without_comments(self.text.split("#[cfg(test)]\nmod tests {").next().unwrap())
    }

    /// The modules that it uses.
    fn used(&self) -> Vec<String> {
        let code = self.code();
        // Where a crate is one module, its own paths lead nowhere else.
        let whole: Vec<&str> = MAPPED.iter().filter_map(|it| it.1).collect();
        let own = (!whole.contains(&self.module.as_str())).then_some("crate::");
        let begins = std::iter::once("ferrite_core::").chain(own);
        let modules = begins.flat_map(|it| code.split(it).skip(1).map(word));
        let crates = whole.iter().filter(|it| code.contains(&format!("ferrite_{it}::")));
        let used: BTreeSet<&str> = modules.chain(crates.copied()).collect();
        used.into_iter().filter(|it| *it != self.module).map(str::to_owned).collect()
    }
}

/// `code` without what stands behind `//` in each line.
fn without_comments(code: &str) -> String {
    let lines = code.lines().map(|it| it.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every file below these folders of the project.
fn sources(folders: &[&str]) -> Vec<Source> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    folders
        .iter()
        .flat_map(|folder| {
            let root = project.join(folder);
            let walk = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter();
            let files = walk.map(|it| it.unwrap().into_path());
            let files = files.filter(|it| it.extension().is_some_and(|it| it == "rs"));
            let whole = MAPPED.iter().find(|it| it.0 == *folder).and_then(|it| it.1);
            let sources: Vec<Source> = files
                .map(|file| {
                    let below = file.strip_prefix(&root).unwrap().with_extension("");
                    let first = below.iter().next().unwrap().to_string_lossy();
                    let module = whole.map_or(first.into_owned(), str::to_owned);
                    let path = file.strip_prefix(project).unwrap().display().to_string();
                    Source { path, module, text: std::fs::read_to_string(&file).unwrap() }
                })
                .collect();
            assert!(!sources.is_empty(), "{} holds no source", root.display());
            sources
        })
        .collect()
}

/// Every file of the crates whose modules have a place on the map.
fn mapped() -> Vec<Source> {
    sources(&MAPPED.map(|it| it.0))
}

/// Whether a file of a crate is no part of its library or program.
fn is_outside(path: &str) -> bool {
    ["/tests/suite/", "/examples/", "/benches/"].iter().any(|it| path.contains(it))
}

/// The word at the beginning of `text`.
fn word(text: &str) -> &str {
    text.split(|it: char| !it.is_alphanumeric() && it != '_').next().unwrap()
}

/// Fails with one line for each complaint.
#[track_caller]
fn none(complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn modules_use_only_what_the_map_allows() {
    let mut complaints = Vec::new();
    for source in mapped() {
        let Source { path, module, .. } = &source;
        let Some((_, allowed)) = MAY_USE.iter().find(|(it, _)| it == module) else {
            complaints.push(format!("{path}: give `{module}` a line in MAY_USE (tidy.rs)"));
            continue;
        };
        let used = source.used();
        complaints.extend(used.iter().filter(|it| !allowed.contains(&it.as_str())).map(|it| {
            format!(
                "{path}: `{module}` may not use `{it}`: move the code to a layer where it may, or change MAY_USE \
                 (tidy.rs) and ARCHITECTURE.md, with the reason"
            )
        }));
    }
    none(complaints);
}

#[test]
fn the_map_lists_only_modules_and_arrows_that_exist() {
    let sources = mapped();
    none(MAY_USE.iter().flat_map(|(module, allowed)| {
        let files: Vec<&Source> = sources.iter().filter(|it| it.module == *module).collect();
        let gone = files.is_empty().then(|| format!("MAY_USE: there is no module `{module}`"));
        let used: BTreeSet<String> = files.iter().flat_map(|it| it.used()).collect();
        // Of the report's line only what every page needs is certain while pages come and go.
        let unused = allowed.iter().filter(|it| *module != "report" && !used.contains(**it));
        let unused =
            unused.map(|it| format!("MAY_USE: `{module}` does not use `{it}`: take it out"));
        gone.into_iter().chain(unused).collect::<Vec<_>>()
    }));
}

#[test]
fn the_map_has_no_way_up() {
    let place = |name: &str| MAY_USE.iter().position(|(it, _)| *it == name);
    none(MAY_USE.iter().enumerate().flat_map(|(at, (module, allowed))| {
        let up = allowed.iter().filter(move |it| place(it).is_none_or(|it| it >= at));
        up.map(move |it| format!("MAY_USE: `{it}` does not lie below `{module}`"))
    }));
}

#[test]
fn only_one_manifest_names_libtorch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = root.join("crates").read_dir().unwrap().map(|it| it.unwrap().path());
    none(folders.chain([root.to_owned()]).filter(|it| !it.ends_with("torch")).flat_map(|folder| {
        let manifest = folder.join("Cargo.toml");
        let text: toml::Table = std::fs::read_to_string(&manifest).unwrap().parse().unwrap();
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let named = |it: &str| {
            tables.iter().any(|table| text.get(*table).is_some_and(|table| table.get(it).is_some()))
        };
        LIBTORCH
            .into_iter()
            .filter(|it| named(it))
            .map(|it| {
                format!(
                    "{}: only crates/torch may name `{it}`: put what is missing there",
                    manifest.display()
                )
            })
            .collect::<Vec<_>>()
    }));
}

/// `make test-light` tests what needs no LibTorch, so a crate that came to need it would only be left out there.
#[test]
fn what_does_not_compute_depends_on_nothing_that_does() {
    let lock: toml::Table =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock"))
            .unwrap()
            .parse()
            .unwrap();
    let packages = lock["package"].as_array().unwrap();
    let needs = |name: &str| -> Vec<String> {
        let package = packages.iter().find(|it| it["name"].as_str() == Some(name)).unwrap();
        let needed = package.get("dependencies").and_then(|it| it.as_array());
        // Where there are several versions, the name has one behind it.
        let names = needed.into_iter().flatten().map(|it| it.as_str().unwrap().split(' ').next());
        names.map(|it| it.unwrap().to_owned()).collect()
    };
    let mut reached = BTreeSet::new();
    let mut waiting = vec!["ferrite".to_owned()];
    while let Some(name) = waiting.pop() {
        if reached.insert(name.clone()) {
            waiting.extend(needs(&name));
        }
    }
    none(LIBTORCH.into_iter().chain(["burn"]).filter(|it| reached.contains(*it)).map(|it| {
        format!("`ferrite` comes to need `{it}` through its manifest or one that it names: `cargo tree -i {it}`")
    }));
}

#[test]
fn every_file_says_what_it_is_for() {
    let all = sources(&FOLDERS);
    none(
        all.iter()
            .filter(|it| !it.text.starts_with("//! "))
            .map(|it| format!("{}: say in a first `//!` line what the file is for", it.path)),
    );
}

#[test]
fn files_are_short_enough_to_read() {
    let all = sources(&["src", "crates"]);
    none(all.iter().filter(|it| !is_outside(&it.path)).filter_map(|source| {
        let code = source.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().count();
        (lines > LONGEST_FILE).then(|| {
            format!("{} has {lines} lines of code, at most {LONGEST_FILE}: split it", source.path)
        })
    }));
}

#[test]
fn imports_are_one_line_a_module() {
    let begins = [
        "crate::{",
        "ferrite_core::{",
        "ferrite_detect::{",
        "ferrite_torch::{",
        "ferrite_engine::{",
    ];
    let all = sources(&["src", "crates"]);
    let grouped = |it: &Source| begins.iter().any(|begin| it.code().contains(begin));
    none(
        all.iter()
            .filter(|it| !is_outside(&it.path) && grouped(it))
            .map(|it| format!("{}: write one `use` line for each module", it.path)),
    );
}

/// What changes files and folders, in the words of the standard library and of `fs-err`.
const CHANGES_FILES: [&str; 16] = [
    "fs::write(",
    "fs_err::write(",
    "File::create",
    "File::options",
    "OpenOptions::new",
    "fs::rename",
    "fs_err::rename",
    "fs::copy",
    "fs::hard_link",
    "create_dir",
    "remove_dir",
    "fs::remove_file",
    "fs_err::remove_file",
    "set_len(",
    "sync_all(",
    "sync_data(",
];

/// Files and folders that hold tests alone: the modules that are declared behind `#[cfg(test)]`, without `.rs`.
fn of_tests(all: &[Source]) -> BTreeSet<String> {
    let declared = all.iter().flat_map(|source| {
        let path = source.path.trim_end_matches(".rs");
        // A file beside a folder of its name declares what lies in that folder.
        let folder = path.trim_end_matches("/mod").trim_end_matches("/lib").to_owned();
        let behind = source.text.split("#[cfg(test)]").skip(1);
        let lines = behind.filter_map(|it| it.trim_start().lines().next());
        let names = lines.filter_map(|it| it.split_once("mod ")?.1.strip_suffix(';'));
        names.map(|it| format!("{folder}/{it}")).collect::<Vec<_>>()
    });
    declared.collect()
}

#[test]
fn files_are_changed_through_one_door() {
    let all = mapped();
    let tests = of_tests(&all);
    let is_of_tests = |path: &str| {
        let path = path.trim_end_matches(".rs");
        tests.iter().any(|it| path == it || path.starts_with(&format!("{it}/")))
    };
    let outside = |it: &&Source| {
        !is_outside(&it.path)
            && !is_of_tests(&it.path)
            && !it.path.starts_with("crates/core/src/files/")
    };
    none(all.iter().filter(outside).flat_map(|source| {
        let code = source.code();
        let found: Vec<&str> = CHANGES_FILES.into_iter().filter(|it| code.contains(it)).collect();
        let path = &source.path;
        found.into_iter().map(move |it| {
            format!("{path}: `{it}` changes files: use `files`, whose operations tests let fail")
        })
    }));
}

#[test]
fn the_toolchain_is_the_version_that_the_manifest_asks_for() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = |file: &str, key: &str| {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let line = text.lines().find_map(|it| it.strip_prefix(key).map(str::to_owned));
        line.unwrap().trim_matches([' ', '=', '"']).to_owned()
    };
    let manifest = said("Cargo.toml", "rust-version");
    assert_eq!(said("rust-toolchain.toml", "channel"), format!("{manifest}.0"));
}

#[test]
fn nothing_is_left_for_later() {
    // In two parts, so that this file does not find itself.
    let words =
        [("TO", "DO"), ("FIX", "ME"), ("#[ign", "ore"), ("todo", "!("), ("unimplemented", "!(")];
    none(sources(&FOLDERS).iter().flat_map(|source| {
        let words = words.into_iter().map(|(start, end)| format!("{start}{end}"));
        let found: Vec<String> = words.filter(|it| source.text.contains(it)).collect();
        let path = &source.path;
        found.into_iter().map(move |it| format!("{path}: do it now instead of writing `{it}`"))
    }));
}
