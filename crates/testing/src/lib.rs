//! A folder of its own for each test, with experiments, and the `ferrite` command in it.
//!
//! Tests of two crates use it, and both of their programs are called `suite`: those beside `ferrite`, which need no
//! LibTorch, and those of `ferrite-engine`. Cargo builds a program before the tests of its own crate, so
//! `cargo test` and `cargo test --test suite` build both programs side by side. Where only the engine's tests are
//! asked for, `ferrite` may be missing or older than its sources; [`Place`] then says so and starts nothing.

#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test that called it")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use ferrite_core::event::{Event, Kind};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::read;
use ferrite_core::store::record::Record;
use tempfile::TempDir;

/// The smallest experiment that trains: a head on random features of a few faces.
pub const SMALL: &str = r#"
    [data]
    source = { synthetic = { faces = 80 } }
    image_size = 32

    [[stages]]
    name = "head"
    epochs = 2
    batch_size = 16
"#;

/// The `ferrite` that tests start.
static FERRITE: LazyLock<PathBuf> = LazyLock::new(ferrite);

/// Nothing here should take longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The folder of the project, in which `experiments/`, `runs/` and `docs/` lie.
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Crates that `ferrite` is made of, as Cargo names their files.
const MADE_OF: [&str; 4] = ["ferrite", "ferrite_core", "ferrite_faces", "ferrite_random"];

/// The `ferrite` of the build that this test is of: it lies above the folder of the test's own program.
fn ferrite() -> PathBuf {
    const BUILD: &str =
        "`cargo test` or `cargo test --test suite` at the top of the project builds it";
    let test = std::env::current_exe().unwrap();
    let built = test.parent().unwrap();
    let ferrite = built.with_file_name("ferrite");
    let Some(since) = changed(&ferrite) else {
        panic!("`{}` is missing, which this test starts: {BUILD}", ferrite.display());
    };
    let newer = sources(built).into_iter().find(|it| changed(it) > Some(since));
    if let Some(source) = newer {
        panic!("`{}` is older than `{}`: {BUILD}", ferrite.display(), source.display());
    }
    ferrite
}

/// The sources that the libraries in `built` were made of, but for those of tests: rustc notes them beside each.
fn sources(built: &Path) -> Vec<PathBuf> {
    let files = built.read_dir().unwrap().map(|it| it.unwrap().path());
    let of_ferrite = |it: &PathBuf| {
        let name = it.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".d") && name.split_once('-').is_some_and(|it| MADE_OF.contains(&it.0))
    };
    let notes = files.filter(of_ferrite).map(|it| std::fs::read_to_string(it).unwrap());
    let sources = notes.flat_map(|text| {
        let library = text.lines().find_map(|it| it.split_once(".rlib: "));
        let sources = library.map_or("", |it| it.1).split_whitespace();
        sources.map(|it| project().join(it)).collect::<Vec<_>>()
    });
    sources.collect()
}

/// When a file was last changed, if there is one.
fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|it| it.modified()).ok()
}

/// A folder that users work in.
pub struct Place(TempDir);

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Told {
    /// The exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it printed on stdout.
    pub out: String,
    /// What it printed on stderr.
    pub err: String,
}

/// A command that runs.
pub struct Started {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Place {
    /// A folder with these experiments, by name.
    pub fn with(experiments: &[(&str, &str)]) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        for (name, text) in experiments {
            place.write(&format!("experiments/{name}.toml"), text);
        }
        place
    }

    /// The path of what lies at `below` in this folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// Writes a file at `below`, and the folders above it.
    pub fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Starts `ferrite` with these arguments.
    pub fn start(&self, arguments: &[&str]) -> Started {
        self.start_as(Command::new(&*FERRITE).args(arguments))
    }

    /// Starts a copy of `ferrite` at `below`, which takes for its engine what lies beside it there.
    pub fn start_copy(&self, below: &str, arguments: &[&str]) -> Started {
        let copy = self.path(below);
        if !copy.exists() && std::fs::hard_link(&*FERRITE, &copy).is_err() {
            std::fs::copy(&*FERRITE, &copy).unwrap();
        }
        self.start_as(Command::new(copy).args(arguments))
    }

    /// Starts a command that leads to `ferrite`.
    fn start_as(&self, command: &mut Command) -> Started {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let [out, err] = ["out", "err"].map(|it| self.path(&format!(".{n}.{it}")));
        let file = |path: &Path| std::fs::File::create(path).unwrap();
        let child = command
            .current_dir(self.0.path())
            .env("NO_COLOR", "1")
            .env_remove("RUST_BACKTRACE")
            // Nothing of the user's cache, and nothing from a network: nobody listens there.
            .env("FERRITE_CACHE", self.path("cache"))
            .env("FERRITE_MIRROR", "http://127.0.0.1:9")
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(file(&out))
            .stderr(file(&err))
            .spawn()
            .unwrap();
        Started { child, out, err }
    }

    /// Runs `ferrite` with these arguments to its end.
    pub fn ferrite(&self, arguments: &[&str]) -> Told {
        self.start(arguments).end()
    }

    /// Runs `ferrite` with these variables in its environment to its end.
    pub fn ferrite_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Told {
        self.start_as(Command::new(&*FERRITE).args(arguments).envs(variables.iter().copied())).end()
    }

    /// Runs `ferrite` under a limit of the shell's `ulimit` to its end.
    pub fn limited(&self, limit: &str, arguments: &[&str]) -> Told {
        let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
        let shell = &mut Command::new("sh");
        shell.args(["-c", &script]).arg(&*FERRITE).args(arguments);
        self.start_as(shell).end()
    }

    /// `ferrite sweep` on one thread.
    pub fn sweep(&self) -> Told {
        self.ferrite(&["sweep", "--threads", "1"])
    }

    /// Sweeps and expects all to end well.
    #[track_caller]
    pub fn sweep_well(&self) -> Told {
        let told = self.sweep();
        assert_eq!(told.code, Some(0), "{told:#?}");
        told
    }

    /// The store in the folder of runs.
    pub fn store(&self) -> Store {
        Store { root: self.path("runs") }
    }

    /// Every run, none of them damaged.
    #[track_caller]
    pub fn runs(&self) -> Vec<Record> {
        let runs = read::all(&self.store());
        assert!(runs.damaged.is_empty(), "{:?}", runs.damaged);
        runs.records
    }

    /// The one run of `experiment`.
    #[track_caller]
    pub fn run(&self, experiment: &str) -> Record {
        let mut runs = self.runs();
        runs.retain(|it| it.experiment == experiment);
        assert_eq!(runs.len(), 1, "runs of {experiment}");
        runs.remove(0)
    }

    /// Everything below a folder: path, content and time of change.
    pub fn files(&self, below: &str) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
        let walk = walkdir::WalkDir::new(self.path(below)).into_iter().filter_map(Result::ok);
        let files = walk.filter(|it| it.file_type().is_file());
        files
            .map(|it| {
                let changed = it.metadata().unwrap().modified().unwrap();
                (it.path().to_owned(), (std::fs::read(it.path()).unwrap(), changed))
            })
            .collect()
    }

    /// Names of the finished steps of a kind.
    pub fn steps(&self, kind: &str) -> Vec<String> {
        let folder = self.path("runs/.store").join(kind);
        let entries = folder.read_dir().into_iter().flatten().map(|it| it.unwrap());
        let names = entries.map(|it| it.file_name().to_string_lossy().into_owned());
        names.filter(|it| !it.contains('.')).collect()
    }

    /// Waits until a run of this place says what `wanted` asks for.
    #[track_caller]
    pub fn wait_until(&self, wanted: impl Fn(&Kind) -> bool) {
        let since = Instant::now();
        while !logs(&self.path("runs")).iter().flat_map(|it| events(it)).any(|it| wanted(&it.kind))
        {
            assert!(since.elapsed() < PATIENCE, "it never happened");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Told {
    /// Both streams as one line of words: how a message is wrapped and framed makes no difference.
    pub fn words(&self) -> String {
        let text = format!("{} {}", self.out, self.err);
        text.split_whitespace().filter(|it| *it != "│").collect::<Vec<_>>().join(" ")
    }

    /// Fails unless `part` is in what it printed.
    #[track_caller]
    pub fn says(&self, part: &str) -> &Self {
        assert!(self.words().contains(part), "`{part}` is not in {self:#?}");
        self
    }

    /// Fails unless it ended with this exit code.
    #[track_caller]
    pub fn ends_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Started {
    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed on stdout so far.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap()).into()
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.err).unwrap()).into()
    }

    /// Sends a signal by its name, as `kill -INT`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end. Nobody ever gets to see a panic.
    #[track_caller]
    pub fn end(mut self) -> Told {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if since.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("it does not end; it said {}", std::fs::read_to_string(&self.err).unwrap());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let read = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into();
        let told = Told { code: status.code(), out: read(&self.out), err: read(&self.err) };
        assert!(!told.words().contains("panicked"), "{told:#?}");
        told
    }
}

/// Fails with the first place where the contents of two files differ, never with the contents.
#[track_caller]
pub fn same(what: impl std::fmt::Display, found: &[u8], expected: &[u8]) {
    if let Some(difference) = first_difference(found, expected) {
        panic!("{what}: {difference}");
    }
}

/// Where two contents begin to differ, and a few bytes from there on.
pub fn first_difference(found: &[u8], expected: &[u8]) -> Option<String> {
    const SHOWN: usize = 48;
    if found == expected {
        return None;
    }
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    let at = at.unwrap_or(found.len().min(expected.len()));
    let line = found[..at].split(|it| *it == b'\n').count();
    let shown = |it: &[u8]| {
        let rest = &it[at..];
        format!("\"{}\"", rest[..rest.len().min(SHOWN)].escape_ascii())
    };
    let (a, b) = (shown(found), shown(expected));
    let sizes = format!("{} bytes instead of {}", found.len(), expected.len());
    Some(format!("{sizes}; from byte {at} on, in line {line}, {a} instead of {b}"))
}

/// What [`Place::files`] found, compared: the first file that came, went, or has another content or time.
pub fn first_changed(
    found: &BTreeMap<PathBuf, (Vec<u8>, SystemTime)>,
    expected: &BTreeMap<PathBuf, (Vec<u8>, SystemTime)>,
) -> Option<String> {
    let gone = expected.keys().find(|it| !found.contains_key(*it));
    let gone = gone.map(|it| format!("{} is gone", it.display()));
    let changed = |(path, (bytes, time)): (&PathBuf, &(Vec<u8>, SystemTime))| {
        let path_name = path.display();
        let Some((old, then)) = expected.get(path) else {
            return Some(format!("{path_name} is new"));
        };
        let rewritten = (time != then).then(|| format!("{path_name} was written again"));
        let other = first_difference(bytes, old).map(|it| format!("{path_name}: {it}"));
        other.or(rewritten)
    };
    gone.or_else(|| found.iter().find_map(changed))
}

/// The logs of all runs below a folder.
pub fn logs(runs: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(runs).into_iter().filter_map(Result::ok);
    walk.filter(|it| it.file_name() == files::EVENTS).map(|it| it.path().to_owned()).collect()
}

/// The events of a log, as far as they are whole.
pub fn events(log: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
    lines
        .map(|it| Event::parse(it.as_bytes()).unwrap_or_else(|error| panic!("{it}: {error}")))
        .collect()
}
