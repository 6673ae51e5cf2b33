//! `ferrite weights`: what is published and what lies here, downloads, imports, and a look into a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ferrite_core::data::faces::YUNET;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::failure::Failure;
use ferrite_core::fetch::Cache;
use ferrite_core::files::write_whole_by;
use ferrite_core::model::Input;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::backbone::published::Published;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::weights::account::{Account, Reshaped};
use ferrite_core::model::weights::ancestry::Ancestry;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::{convert, facts, implementation_of, input_of, tensors_of};
use ferrite_core::plan::Trial;
use ferrite_core::remote::Remote;
use ferrite_core::terminal::interrupt::{interrupted, listen_for_interrupts};
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::fitting::told;
use crate::format;
use crate::progress::download::Download;

#[derive(Debug, Subcommand)]
pub(super) enum WeightsCommand {
    /// List the published weights and where each lies
    List(ListArguments),
    /// Download published weights, so that experiments find them without a network
    Fetch(FetchArguments),
    /// Write the backbone's weights from a file of yours as safetensors that knows its input
    Import(ImportArguments),
    /// Print what is in a weight file; nothing in it is carried out
    Inspect(InspectArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct FetchArguments {
    /// Backbones, as `model.backbone` calls them, `yunet` for the face detector, or `all`
    #[arg(required = true, value_name = "BACKBONE")]
    backbones: Vec<String>,
    /// Which of its weights, as `model.weights` calls them; `all` for each
    #[arg(long, default_value = "imagenet", value_name = "NAME")]
    weights: String,
    /// Say nothing but the files' paths
    #[arg(long)]
    quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The weight file: safetensors, a state dict that PyTorch saved, or a file of Keras's
    file: PathBuf,
    /// The network it belongs to, as `model.backbone` calls it
    #[arg(long, value_name = "BACKBONE")]
    backbone: String,
    /// How the network wants pixels to be scaled: `torchvision`, `plus-minus-one` or `caffe` [default: as
    /// the file's header says, or Keras's `preprocess_input`]
    #[arg(long)]
    input: Option<String>,
    /// Which state dict of the file, by its key or by what stands before the names of its tensors [default: the
    /// averaged weights if there are any, else the one with the usual name]
    #[arg(long, value_name = "NAME")]
    state_dict: Option<String>,
    /// The file to write [default: the file's name with `.safetensors`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct InspectArguments {
    /// The weight file
    file: PathBuf,
    /// Also say what this backbone would take from it
    #[arg(long, value_name = "BACKBONE")]
    backbone: Option<String>,
    /// Which state dict of the file, by its key or by what stands before the names of its tensors [default: the
    /// averaged weights if there are any, else the one with the usual name]
    #[arg(long, value_name = "NAME")]
    state_dict: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn weights_command(command: &WeightsCommand) -> Result<()> {
    match command {
        WeightsCommand::List(arguments) => list(arguments),
        WeightsCommand::Fetch(arguments) => fetch(arguments),
        WeightsCommand::Import(arguments) => import(arguments),
        WeightsCommand::Inspect(arguments) => inspect(arguments),
    }
}

/// Downloads what `trials` begin with and what is not there yet. Returns the names of those that begin with what cannot be
/// had, and why not.
///
/// # Errors
/// [`Error::Interrupted`]; or what cannot be had, if each of `trials` lacks something or starts from one that does: then
/// nothing is left to be done without it.
pub(super) fn prepare(trials: &[&Trial], quiet: bool) -> Result<BTreeMap<String, Failure>> {
    let mut known: Vec<(Remote<'_>, Option<Failure>)> = Vec::new();
    let mut lacking = BTreeMap::new();
    let mut first = None;
    for trial in trials {
        let weights = trial.settings.model.published().map(|it| it.remote);
        let detector = trial.settings.data.faces.as_ref().and_then(|it| it.detector.model());
        for remote in weights.into_iter().chain(detector) {
            let position = known.iter().position(|it| it.0 == remote);
            let position = position.unwrap_or_else(|| {
                let fetched = Cache::of_user().and_then(|it| fetch_one(&it, remote, quiet));
                known.push((remote, fetched.as_ref().err().map(Failure::from)));
                first = first.take().or(fetched.err());
                known.len() - 1
            });
            if let Some(failure) = &known[position].1 {
                lacking.insert(trial.name(), failure.clone());
            }
        }
        if interrupted() {
            return Err(Error::Interrupted);
        }
    }
    // Those that others start from stand before them.
    let mut blocked = BTreeSet::new();
    for trial in trials {
        let needs = trial.needs.as_ref().is_some_and(|it| blocked.contains(it));
        if needs || lacking.contains_key(&trial.name()) {
            blocked.insert(trial.name());
        }
    }
    match first {
        Some(error) if blocked.len() == trials.len() => Err(error),
        _ => Ok(lacking),
    }
}

fn fetch_one(cache: &Cache, remote: Remote<'_>, quiet: bool) -> Result<PathBuf> {
    let mut shown = Download::new(remote.name(), remote.bytes, quiet);
    let path = cache.fetch(remote, &mut |it| shown.show(it), &interrupted);
    shown.end();
    path
}

fn list(arguments: &ListArguments) -> Result<()> {
    let cache = Cache::of_user()?;
    let mut rows = Vec::new();
    for it in all_published() {
        let state = match cache.find(it.remote) {
            Ok(Some(_)) => "there",
            Ok(None) => "not there",
            Err(_) => "damaged",
        };
        let path = cache.path(it.remote);
        rows.push((it, state, path));
    }
    if arguments.json {
        let rows = rows.iter().map(|(it, state, path)| {
            json!({
                "backbone": it.network, "weights": it.name, "input": it.input, "bytes": it.remote.bytes,
                "implementation": it.implementation, "url": it.remote.url, it.remote.checksum.name(): it.remote.checksum.digits(),
                "state": state, "path": path,
            })
        });
        return print_json(&documented(json!({ "weights": rows.collect::<Vec<_>>() })));
    }
    let mut text = String::new();
    for (it, state, path) in rows {
        let (input, size) = (plain(&json!(it.input)), format::bytes(it.remote.bytes));
        let place = if state == "not there" { String::new() } else { path.display().to_string() };
        let line =
            format!("{:13} {:14} {input:15} {size:>9}  {state:9}  {place}", it.network, it.name);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    print(&text)
}

fn fetch(arguments: &FetchArguments) -> Result<()> {
    let mut chosen = all_published();
    if arguments.backbones != ["all"] {
        for name in &arguments.backbones {
            if name != DETECTOR {
                named(name)?;
            }
        }
        chosen.retain(|it| arguments.backbones.iter().any(|name| name == it.network));
    }
    let name = arguments.weights.as_str();
    // There is one file of a detector, which is no weights by the name of a data set.
    chosen.retain(|it| name == "all" || it.name == name || it.network == DETECTOR);
    if chosen.is_empty() {
        return Err(Error::Usage {
            message: format!("there are no weights `{name}` of these backbones"),
            help: "`ferrite weights list` lists what there is".into(),
        });
    }
    listen_for_interrupts();
    let cache = Cache::of_user()?;
    for it in chosen {
        let path = fetch_one(&cache, it.remote, arguments.quiet)?;
        print(&format!("{}\n", path.display()))?;
    }
    Ok(())
}

fn import(arguments: &ImportArguments) -> Result<()> {
    let backbone = named(&arguments.backbone)?;
    let file = TensorFile::open_part(&arguments.file, arguments.state_dict.as_deref())?;
    let file = file.for_backbone(backbone)?;
    let implementation = implementation_of(&file)?;
    let input = match &arguments.input {
        Some(input) => Some(serde_json::from_value(json!(input)).map_err(|_| Error::Usage {
            message: format!("there is no input `{input}`"),
            help: "write `torchvision`, `plus-minus-one` or `caffe`".into(),
        })?),
        None => input_of(&file, backbone)?,
    };
    let input = input.ok_or_else(|| Error::Usage {
        message: format!("`{}` does not say how pixels are scaled", arguments.file.display()),
        help: "add `--input torchvision`, `plus-minus-one` or `caffe`".into(),
    })?;
    let out = arguments.out.clone().unwrap_or_else(|| arguments.file.with_extension("safetensors"));
    if same_file(&out, &arguments.file) {
        return Err(Error::Usage {
            message: format!("`{}` would be written over itself", out.display()),
            help: "name another file with `--out`".into(),
        });
    }
    let account = Account::new(&file, &tensors_of(backbone, implementation));
    account.complete(&file)?;
    let mut header = Ancestry::of(&file).facts();
    header.insert(facts::BACKBONE.to_owned(), backbone.name().to_owned());
    header.insert(facts::INPUT.to_owned(), plain(&json!(input)));
    if implementation != Implementation::default() {
        header.insert(facts::IMPLEMENTATION.to_owned(), implementation.name().to_owned());
    }
    write_whole_by(&out, |path| convert(&file, &account, header, path))?;
    let (loaded, left) = (account.loaded.len(), account.unexpected.len());
    let told = told(&account.taken(&file)).into_iter().map(|it| format!("{it}\n"));
    print(&format!(
        "{}{}: {loaded} tensors, {left} left out\n",
        told.collect::<String>(),
        out.display()
    ))
}

fn inspect(arguments: &InspectArguments) -> Result<()> {
    let file = TensorFile::open_part(&arguments.file, arguments.state_dict.as_deref())?;
    let backbone = arguments.backbone.as_deref().map(named).transpose()?;
    let file = match backbone {
        Some(backbone) => file.for_backbone(backbone)?,
        None => file,
    };
    let implementation = implementation_of(&file)?;
    let account =
        backbone.map(|it| (it.name(), Account::new(&file, &tensors_of(it, implementation))));
    if arguments.json {
        return print_json(&documented(inspection(&file, account.as_ref())));
    }
    let mut text = String::new();
    for it in file.tensors() {
        let _ = writeln!(text, "{:48} {:9} {:?}", it.name, it.dtype.name(), it.shape);
    }
    let (tensors, numbers) = totals(&file);
    let format = file.format.name();
    let _ = writeln!(text, "{format}, {tensors} tensors, {numbers} numbers");
    for (name, value) in &header(&file) {
        let _ = writeln!(text, "header: {name} = {value}");
    }
    let taken = account.as_ref().map_or_else(|| file.taken.clone(), |it| it.1.taken(&file));
    for line in told(&taken) {
        let _ = writeln!(text, "{line}");
    }
    if let Some((backbone, account)) = account {
        let _ = write!(text, "{}", said(backbone, &account));
    }
    print(&text)
}

/// What the header of a file says, without the numbers of thousands of images.
fn header(file: &TensorFile) -> BTreeMap<String, String> {
    let mut header = file.facts.clone();
    header.remove(facts::TRAINED_ON);
    header
}

/// What a backbone would take from a file, in words.
fn said(backbone: &str, account: &Account) -> String {
    let Account { loaded, missing, unreadable, reshaped, unexpected, .. } = account;
    let wanted = loaded.len() + missing.len() + unreadable.len() + reshaped.len();
    let mut text = format!("{backbone}: {} of {wanted} tensors fit\n", loaded.len());
    let mut list = |title: &str, names: &mut dyn Iterator<Item = String>| {
        for name in names {
            let _ = writeln!(text, "{title}: {name}");
        }
    };
    list("missing", &mut missing.iter().cloned());
    list("not readable", &mut unreadable.iter().cloned());
    let mut shapes = reshaped.iter().map(|Reshaped { name, there, wanted }| {
        format!("{name} is {there:?}, should be {wanted:?}")
    });
    list("of another shape", &mut shapes);
    list("left out", &mut unexpected.iter().cloned());
    text
}

fn inspection(file: &TensorFile, account: Option<&(&str, Account)>) -> serde_json::Value {
    let (tensors, numbers) = totals(file);
    let listed = file
        .tensors()
        .map(|it| json!({ "name": it.name, "dtype": it.dtype.name(), "shape": it.shape }));
    let mut inspection = json!({
        "format": file.format.name(), "tensors": tensors, "numbers": numbers,
        "header": header(file), "taken": file.taken, "list": listed.collect::<Vec<_>>(),
    });
    if let Some((backbone, it)) = account {
        let reshaped = it.reshaped.iter().map(|Reshaped { name, there, wanted }| {
            json!({ "name": name, "shape": there, "wanted": wanted })
        });
        inspection["taken"] = json!(it.taken(file));
        inspection["account"] = json!({
            "backbone": backbone, "loaded": it.loaded, "missing": it.missing,
            "unreadable": it.unreadable,
            "reshaped": reshaped.collect::<Vec<_>>(), "unexpected": it.unexpected,
        });
    }
    inspection
}

/// How many tensors a file has, and how many numbers in all.
fn totals(file: &TensorFile) -> (usize, usize) {
    let numbers = file.tensors().map(|it| it.shape.iter().product::<usize>()).sum();
    (file.tensors().count(), numbers)
}

/// A published file.
struct Offer {
    /// The backbone that it is for, as `model.backbone` calls it, or [`DETECTOR`].
    network: &'static str,
    /// What `model.weights` calls it.
    name: &'static str,
    /// How its network wants pixels to be scaled; none for a detector, which scales them itself.
    input: Option<Input>,
    /// Whose network it is; none for a detector.
    implementation: Option<Implementation>,
    remote: Remote<'static>,
}

/// What `data.faces.detector` calls the detector whose file is published.
const DETECTOR: &str = "yunet";

fn all_published() -> Vec<Offer> {
    let of_backbone = |backbone: &Backbone| {
        let network = backbone.name();
        backbone.published().iter().map(move |it| {
            let Published { name, remote, input, implementation } = *it;
            let implementation = Some(implementation);
            Offer { network, name, input: Some(input), implementation, remote }
        })
    };
    let (network, name) = (DETECTOR, "faces");
    let detector = Offer { network, name, input: None, implementation: None, remote: YUNET };
    Backbone::ALL.iter().flat_map(of_backbone).chain([detector]).collect()
}

/// The backbone that `model.backbone` calls `name`.
fn named(name: &str) -> Result<Backbone> {
    let mut all = Backbone::ALL.iter().copied();
    let names = Backbone::ALL.iter().map(|it| it.name()).collect::<Vec<_>>();
    all.find(|it| it.name() == name).ok_or_else(|| Error::Usage {
        message: format!("there is no backbone `{name}`"),
        help: format!("there are {}, and the detector `{DETECTOR}`", names.join(", ")),
    })
}

/// A JSON string without its quotes.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}
