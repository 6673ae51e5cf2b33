//! The readers of bytes that others wrote, each as a function of these bytes alone.
//!
//! libFuzzer calls them with bytes that it makes up (`fuzz_targets/`), and a test of the project with mutations of the
//! small files in `seeds/`. **Invariant:** a reader ends with a result or an error, for any bytes.

use std::path::PathBuf;
use std::sync::{LazyLock, Once};

use ferrite_core::config::read;
use ferrite_core::data::labels::{Ferplus, Labels};
use ferrite_core::data::manifest::Manifest;
use ferrite_core::data::part::Part;
use ferrite_core::data::source::Source;
use ferrite_core::data::split::Split;
use ferrite_core::data::{Data, OnError, dataset, decode, picture};
use ferrite_core::error::Error;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::weights::account::Account;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{Wanted, ancestry};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::read::all;
use tempfile::TempDir;

/// What reads bytes of others.
pub type Reader = fn(&[u8]);

/// Every reader, by the name of its fuzz target and of its folder below `seeds/`.
pub const READERS: [(&str, Reader); 12] = [
    ("weights", weights),
    ("picture", picture),
    ("fer2013", fer2013),
    ("ferplus", ferplus),
    ("csv_table", csv_table),
    ("parquet_table", parquet_table),
    ("decoded", decoded),
    ("experiment", experiment),
    ("events", events),
    ("predictions", predictions),
    ("trial", trial),
    ("step", step),
];

thread_local! {
    /// A folder that readers of files find these in; one for each thread, since tests run in several.
    static PLACE: TempDir = in_memory();
}

/// A new folder that no disk slows down where the system has such folders, since readers make sure of what they write.
fn in_memory() -> TempDir {
    TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).expect("there is room for small files")
}

/// The path of `name` in this thread's folder.
fn place(name: &str) -> PathBuf {
    PLACE.with(|it| it.path().join(name))
}

/// Writes a file in this thread's folder, with the folders above it.
fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = place(name);
    let folder = path.parent().expect("it lies in a folder");
    std::fs::create_dir_all(folder).expect("there is room for small files");
    std::fs::write(&path, bytes).expect("there is room for small files");
    path
}

/// Reads weight files: safetensors, both formats of PyTorch's, with the pickles in them, and Keras's, with HDF5 and layers.
pub fn weights(bytes: &[u8]) {
    let path = write("weights", bytes);
    for asked in [None, Some("state_dict"), Some(".")] {
        let Ok(file) = TensorFile::open_part(&path, asked) else { continue };
        let names: Vec<String> = file.tensors().map(|it| it.name.to_owned()).collect();
        for name in &names {
            let _ = file.values(name);
        }
        let wanted: Vec<Wanted> = names
            .first()
            .map(|it| Wanted { name: it.clone(), shape: vec![1] })
            .into_iter()
            .collect();
        let account = Account::new(&file, &wanted);
        let _ = (account.taken(&file), account.complete(&file), ancestry::Ancestry::of(&file));
        let _ = file.for_backbone(Backbone::Vgg16);
    }
}

/// Decodes a picture of any format, and brings it to what a network sees.
pub fn picture(bytes: &[u8]) {
    let Ok(picture) = picture::decode(bytes) else { return };
    assert_eq!(picture.pixels.len(), picture.shape.iter().product::<usize>());
    let picture = picture.fitted(48).in_channels(3);
    assert_eq!(picture.shape[2], 3);
}

/// Decodes the table of FER2013.
pub fn fer2013(bytes: &[u8]) {
    open(&Data { source: Source::Fer2013 { csv: write("fer2013.csv", bytes) }, ..named() });
}

/// Reads FER+'s votes for a table of two faces.
pub fn ferplus(bytes: &[u8]) {
    static DECODED: LazyLock<(Data, TempDir)> = LazyLock::new(|| {
        let folder = in_memory();
        let csv = folder.path().join("two.csv");
        std::fs::write(&csv, include_bytes!("../seeds/fer2013/two.csv"))
            .expect("there is room for small files");
        let data = Data { source: Source::Fer2013 { csv }, ..named() };
        decode::decode(&data, folder.path(), &|_, _| ()).expect("the table is right");
        (data, folder)
    });
    let (data, folder) = &*DECODED;
    let labels =
        Labels::Ferplus(Ferplus { votes: write("votes.csv", bytes), ..Ferplus::default() });
    let _ = dataset::open(&Data { labels, ..data.clone() }, folder.path());
}

/// Reads a table of pictures in CSV.
pub fn csv_table(bytes: &[u8]) {
    table("pictures.csv", bytes);
}

/// Reads a table of pictures in Parquet.
pub fn parquet_table(bytes: &[u8]) {
    // Its crate panics over some damage, which is caught and told; libFuzzer's hook would end the process before. What nobody
    // catches still ends it.
    static CAUGHT: Once = Once::new();
    CAUGHT.call_once(|| drop(std::panic::take_hook()));
    table("pictures.parquet", bytes);
}

/// Reads `dataset.json` and `items.csv` of a decoded folder: a line of the one, then the lines of the other.
pub fn decoded(bytes: &[u8]) {
    let end = bytes.iter().position(|it| *it == b'\n').unwrap_or(bytes.len());
    let (manifest, items) = bytes.split_at(end);
    write("decoded/dataset.json", manifest);
    write("decoded/items.csv", items.strip_prefix(b"\n").unwrap_or(items));
    write("decoded/images.bin", &[7; 8]);
    let _ = dataset::open(&named(), &place("decoded"));
}

/// Reads an experiment file.
pub fn experiment(bytes: &[u8]) {
    let path = write("experiments/fuzzed.toml", bytes);
    if let Err(error) = read::read(&[path], &[]) {
        tell(error);
    }
}

/// Reads the log of a run.
pub fn events(bytes: &[u8]) {
    run(files::EVENTS, bytes);
}

/// Reads the predictions of a finished run.
pub fn predictions(bytes: &[u8]) {
    run(files::PREDICTIONS, bytes);
}

/// Reads the resolved settings of a run.
pub fn trial(bytes: &[u8]) {
    run(files::TRIAL, bytes);
    let runs = place("runs");
    let _ = read::read_trial(&runs.join("experiment/trial").join(files::TRIAL), &runs);
}

/// Reads the list of a step's files.
pub fn step(bytes: &[u8]) {
    write("runs/.store/stage/key/manifest.json", bytes);
    let _ = Store { root: place("runs") }.has("stage", "key");
}

/// Data with splits by name, which leaves broken images out.
fn named() -> Data {
    let part = |name: &str| Part::Name(name.to_owned());
    let split =
        Split { train: part("train"), valid: part("valid"), test: None, ..Split::default() };
    Data { split, on_error: OnError::Skip, ..Data::default() }
}

/// Decodes the source of `data` and opens what came of it.
fn open(data: &Data) {
    let folder = place("decoded");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("there is room for small files");
    if decode::decode(data, &folder, &|_, _| ()).is_ok() {
        let _ = dataset::open(data, &folder);
    }
}

/// Decodes the table of pictures with this name and content, beside which a picture lies.
fn table(name: &str, bytes: &[u8]) {
    write("tables/a.png", include_bytes!("../seeds/picture/gray.png"));
    let table = write(&format!("tables/{name}"), bytes);
    let classes = ["sad", "glad"].map(str::to_owned).to_vec();
    let manifest = Manifest { table, classes, ..Manifest::default() };
    open(&Data { source: Source::Manifest(manifest), ..named() });
}

/// Looks at a finished run whose file `name` has this content.
fn run(name: &str, bytes: &[u8]) {
    let below = |it: &str| format!("runs/experiment/trial/{it}");
    let whole: [(&str, &[u8]); 3] = [
        (files::EVENTS, include_bytes!("../seeds/events/finished.jsonl")),
        (files::PREDICTIONS, include_bytes!("../seeds/predictions/tested.csv")),
        (files::TRIAL, include_bytes!("../seeds/trial/small.toml")),
    ];
    for (file, whole) in whole {
        write(&below(file), if file == name { bytes } else { whole });
    }
    let runs = all(&Store { root: place("runs") });
    runs.damaged.into_iter().for_each(tell);
}

/// Tells a user what went wrong.
fn tell(error: Error) {
    let told = format!("{:?}", miette::Report::new(error));
    assert!(!told.is_empty());
}
