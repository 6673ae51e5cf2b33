//! The map of the modules, held against the sources: who may use whom, who needs LibTorch,
//! and how files look.
//!
//! It searches text, so it has limits: it does not see `super::super::`.

use std::path::Path;

/// Whom each module may use besides itself, layer by layer.
const MAY_USE: &[(&str, &[&str])] = &[
    // Layer 0: what can go wrong, what can happen, files, random numbers, names of hardware.
    ("device", &[]),
    ("digits", &[]),
    ("error", &[]),
    ("event", &["error"]),
    ("fault", &["error"]),
    ("files", &["error"]),
    ("machine", &[]),
    ("mapped", &[]),
    // Whoever has predictions may judge them: pages, exports, searches.
    ("metrics", &[]),
    ("processor", &[]),
    ("precision", &["processor"]),
    ("kernels", &["precision", "processor"]),
    ("random", &[]),
    ("warning", &["event"]),
    ("terminal", &["error", "event", "fault", "warning"]),
    // Layer 1: images; networks as data. They do not know each other.
    ("data", &["digits", "error", "event", "files", "mapped", "random"]),
    ("model", &["device", "digits", "error", "event", "kernels", "mapped", "precision"]),
    // Layer 2: how a trial trains; the tables together.
    ("settings", &["error", "event", "data", "model"]),
    ("config", &["error", "data", "model", "settings"]),
    // Layer 3: what is to be done; folders and files of others. They do not know each other.
    ("plan", &["digits", "error", "event", "random", "data", "model", "settings", "config"]),
    ("store", &["error", "event", "files", "metrics"]),
    ("fetch", &["digits", "error", "files", "mapped", "store"]),
    // Layer 4: many trials; pages. They do not know each other.
    ("sweep", &["error", "event", "fault", "files", "random", "plan", "store"]),
    // The report reads from the schema what settings mean: technique, unit, what is off.
    ("report", &["digits", "error", "event", "files", "metrics", "warning", "config", "store"]),
    ("progress", &["error", "event", "warning", "terminal", "plan", "fetch", "sweep"]),
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
            "sweep",
            "report",
            "progress",
        ],
    ),
    // The computing side, of which nothing above knows. Its lowest layer is the only door to LibTorch.
    (
        "torch",
        &[
            "device",
            "error",
            "fault",
            "kernels",
            "mapped",
            "precision",
            "processor",
            "random",
            "data",
            "model",
            "settings",
        ],
    ),
    // Networks with their numbers; training.
    ("forward", &["device", "error", "event", "precision", "model", "torch"]),
    (
        "train",
        &[
            "device",
            "error",
            "event",
            "mapped",
            "precision",
            "random",
            "data",
            "model",
            "settings",
            "torch",
            "forward",
        ],
    ),
    // One trial; use of what it trained. They do not know each other.
    (
        "run",
        &[
            "device",
            "error",
            "event",
            "fault",
            "files",
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
            "torch",
            "forward",
            "train",
        ],
    ),
    (
        "predict",
        &[
            "device", "error", "data", "model", "settings", "config", "store", "torch", "forward",
            "train",
        ],
    ),
    // The program that computes.
    (
        "engine",
        &[
            "device", "error", "event", "fault", "machine", "terminal", "data", "plan", "store",
            "torch", "run", "predict",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
    ("bin", &[]),
];

/// Modules that compute. Nobody else may name them, LibTorch or Burn, tests included, so that everything else builds without
/// LibTorch.
const COMPUTES: &[&str] = &["torch", "forward", "train", "run", "predict", "engine"];

/// Crates that are LibTorch, or need it.
const NEED_LIBTORCH: &[&str] = &["tch", "torch_sys", "burn", "burn_tch"];

/// Lines of code in a file, tests not counted, that a reader can hold in mind.
const LONGEST_FILE: usize = 400;

/// A source file below `src/`.
struct Source {
    /// Path below `src/`, without `.rs`.
    name: String,
    /// Its text.
    text: String,
}

impl Source {
    /// The top-level module it belongs to.
    fn module(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    /// Its text without comments and without what follows `#[cfg(test)] mod tests {`.
    fn code(&self) -> String {
        without_comments(self.text.split("#[cfg(test)]\nmod tests {").next().unwrap())
    }

    /// Whether it belongs to one of those that [`COMPUTES`] lists.
    fn computes(&self) -> bool {
        COMPUTES.contains(&self.module())
    }
}

/// `code` without what stands behind `//` in each line.
fn without_comments(code: &str) -> String {
    let lines = code.lines().map(|it| it.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// Every file below `folder` of the project.
fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let walk = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().map(|it| it.unwrap());
    let files = walk.filter(|it| it.path().extension().is_some_and(|it| it == "rs"));
    let sources: Vec<Source> = files
        .map(|it| {
            let below = it.path().strip_prefix(&root).unwrap().with_extension("");
            let text = std::fs::read_to_string(it.path()).unwrap();
            Source { name: below.to_string_lossy().into_owned(), text }
        })
        .collect();
    assert!(!sources.is_empty(), "{} holds no source", root.display());
    sources
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
    for source in sources("src") {
        let (name, module) = (&source.name, source.module());
        let Some((_, allowed)) = MAY_USE.iter().find(|(it, _)| *it == module) else {
            complaints.push(format!("src/{name}.rs: give `{module}` a line in MAY_USE (tidy.rs)"));
            continue;
        };
        let code = source.code();
        let mut used: Vec<&str> = code.split("crate::").skip(1).map(word).collect();
        used.sort_unstable();
        used.dedup();
        complaints.extend(used.iter().filter(|it| **it != module && !allowed.contains(it)).map(
            |it| {
                format!(
                    "src/{name}.rs: `{module}` may not use `{it}`: move the code to a layer where \
                     it may, or change MAY_USE (tidy.rs) and ARCHITECTURE.md, with the reason"
                )
            },
        ));
    }
    none(complaints);
}

#[test]
fn the_map_lists_only_modules_and_arrows_that_exist() {
    let sources = sources("src");
    none(MAY_USE.iter().flat_map(|(module, allowed)| {
        let files: Vec<&Source> = sources.iter().filter(|it| it.module() == *module).collect();
        let gone = files.is_empty().then(|| format!("MAY_USE: there is no module `{module}`"));
        let code: String = files.iter().map(|it| it.code()).collect();
        // Of the report's line only what every page needs is certain while pages come and go.
        let unused = allowed.iter().filter(move |it| {
            *module != "report" && !code.split("crate::").skip(1).any(|used| word(used) == **it)
        });
        let unused =
            unused.map(move |it| format!("MAY_USE: `{module}` does not use `{it}`: take it out"));
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
fn only_torch_names_libtorch() {
    let outside: Vec<Source> =
        sources("src").into_iter().filter(|it| it.module() != "torch").collect();
    none(["tch", "burn_tch"].into_iter().flat_map(|it| {
        let named = outside.iter().filter(move |source| names_crate(&source.code(), it));
        named.map(move |source| {
            let name = &source.name;
            format!(
                "src/{name}.rs: only `torch` may name `{it}`: put what is missing into src/torch"
            )
        })
    }));
}

/// Whether `code` has a path that begins with the crate `name`.
fn names_crate(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    code.match_indices(&path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        before.is_none_or(|it| !it.is_alphanumeric() && it != '_' && it != ':')
    })
}

#[test]
fn only_what_computes_needs_libtorch() {
    none(sources("src").iter().filter(|it| !it.computes()).flat_map(|source| {
        let (name, code) = (&source.name, without_comments(&source.text));
        let crates = NEED_LIBTORCH.iter().filter(|it| names_crate(&code, it));
        let modules: Vec<&str> = code.split("crate::").skip(1).map(word).collect();
        let modules = COMPUTES.iter().filter(|it| modules.contains(it));
        let reached: Vec<_> = crates.chain(modules).collect();
        reached.into_iter().map(move |it| {
            format!(
                "src/{name}.rs may not name `{it}`: leave there what is data, and move what computes to the modules of \
                 COMPUTES (tidy.rs)"
            )
        }).collect::<Vec<_>>()
    }));
}

#[test]
fn every_file_says_what_it_is_for() {
    none(["src", "tests"].into_iter().flat_map(|folder| {
        let silent = sources(folder).into_iter().filter(|it| !it.text.starts_with("//! "));
        silent.map(move |it| {
            format!("{folder}/{}.rs: say in a first `//!` line what the file is for", it.name)
        })
    }));
}

#[test]
fn files_are_short_enough_to_read() {
    none(sources("src").iter().filter_map(|source| {
        let code = source.text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let lines = code.lines().count();
        (lines > LONGEST_FILE).then(|| {
            format!(
                "src/{}.rs has {lines} lines of code, at most {LONGEST_FILE}: split it",
                source.name
            )
        })
    }));
}

#[test]
fn imports_are_one_line_a_module() {
    none(sources("src").iter().filter(|it| it.code().contains("crate::{")).map(|source| {
        format!("src/{}.rs: write one `use crate::…` line for each module", source.name)
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
    none(["src", "tests"].into_iter().flat_map(|folder| {
        sources(folder).into_iter().flat_map(move |source| {
            let words = words.into_iter().map(|(start, end)| format!("{start}{end}"));
            let found: Vec<String> = words.filter(|it| source.text.contains(it)).collect();
            let name = format!("{folder}/{}.rs", source.name);
            found.into_iter().map(move |it| format!("{name}: do it now instead of writing `{it}`"))
        })
    }));
}
