//! `ferrite data`: what is wrong with images, before anything is trained on them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use ferrite_core::config::read::read;
use ferrite_core::data::decode::decode;
use ferrite_core::data::fingerprint::identify;
use ferrite_core::data::folder::arrangement::arrangement;
use ferrite_core::data::inspect::{Inspected, Unnamed, inspect};
use ferrite_core::data::part::Part;
use ferrite_core::data::source::Source;
use ferrite_core::data::split::Split;
use ferrite_core::data::{Data, OnError};
use ferrite_core::error::{Error, Result};
use ferrite_core::event::audit::{Audit, Groups, Shared};
use ferrite_core::files::write_whole;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::steps::dataset::Dataset;
use ferrite_core::store::lock::Caller;
use ferrite_core::store::{Store, Wanted, clear};
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::interrupt::interrupted;
use ferrite_core::terminal::notes::Notes;
use ferrite_core::terminal::{documented, print, print_json};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::draw::{DrawArguments, draw_command};
use crate::cli::select::experiment_at;
use crate::report::audit::{Examples, Picture, page};

/// Groups and images of a kind that the page shows.
const MOST_GROUPS: usize = 24;
const MOST_IMAGES: usize = 12;

/// Broken images that are named one by one on a terminal.
const MOST_NAMED: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum DataCommand {
    /// Count classes, duplicates, leaks between splits, labels at odds and constant images
    Audit(AuditArguments),
    /// Draw faces as picture files in class folders, to try things out
    Draw(DrawArguments),
}

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct AuditArguments {
    /// The experiment whose images are looked at
    #[arg(required_unless_present_any = ["csv", "folder"])]
    pub(super) experiment: Option<PathBuf>,
    /// A FER2013 table instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["experiment", "folder"])]
    pub(super) csv: Option<PathBuf>,
    /// A folder with a folder for each class instead
    #[arg(long, value_name = "FOLDER", conflicts_with = "experiment")]
    pub(super) folder: Option<PathBuf>,
    /// The class folders, in label order [default: those that are there, by their names]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub(super) classes: Vec<String>,
    /// The folders of splits above the class folders, two or three
    #[arg(long, value_name = "A,B,…", value_delimiter = ',', num_args = 1.., requires = "folder")]
    pub(super) splits: Vec<String>,
    /// Change a setting of the experiment, e.g. `--set data.labels=source`
    #[arg(long, value_name = "KEY=VALUE", requires = "experiment")]
    pub(super) set: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    /// Write a page with the images that were found
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    #[command(flatten)]
    pub(super) place: Place,
}

pub(super) fn data_command(command: &DataCommand) -> Result<()> {
    match command {
        DataCommand::Audit(arguments) => audit_command(arguments),
        DataCommand::Draw(arguments) => draw_command(arguments),
    }
}

fn audit_command(arguments: &AuditArguments) -> Result<()> {
    let (data, unnamed) = settings(arguments)?;
    let folder = decoded(&data, &Store::open(&arguments.place.runs)?)?;
    let inspected = inspect(&data, &folder, unnamed)?;
    let audit = inspected.audit();
    let source = data.source.place().display().to_string();
    if let Some(path) = &arguments.html {
        let page = page(&source, &audit, &inspected.classes, &examples(&inspected));
        write_whole(path, page.as_bytes())?;
    }
    if arguments.json {
        return print_json(&json(&source, &inspected, &audit));
    }
    print(&text(&source, &inspected, &audit))
}

/// The images that are asked for, and what their splits are if they have none.
fn settings(arguments: &AuditArguments) -> Result<(Data, Unnamed)> {
    let of = |source| Data { source, on_error: OnError::Skip, ..Data::default() };
    if let Some(csv) = &arguments.csv {
        return Ok((of(Source::Fer2013 { csv: csv.clone() }), Unnamed::Whole));
    }
    if let Some(path) = &arguments.folder {
        let (classes, splits) = folders(arguments, path)?;
        let source = Source::Folder { path: path.clone(), classes };
        let data = Data { split: named(&splits)?, ..of(source) };
        let problem = data.check().into_iter().next();
        return problem.map_or(Ok((data, Unnamed::Whole)), |it| {
            Err(Error::Usage {
                message: format!("`{}` {}", it.key, it.message),
                help: "list the class folders in label order: `--classes angry,happy,sad`".into(),
            })
        });
    }
    let path = arguments.experiment.clone().unwrap_or_default();
    let written = read(&[experiment_at(&path)?], &arguments.set)?.swap_remove(0);
    Ok((written.experiment.data, Unnamed::Drawn))
}

/// The class folders in `folder`, and the folders of splits above them: those that are named, or else those that are there.
fn folders(arguments: &AuditArguments, folder: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let AuditArguments { classes, splits, .. } = arguments;
    if !classes.is_empty() {
        return Ok((classes.clone(), splits.clone()));
    }
    let found = arrangement(folder)?;
    let there = found.splits.into_iter().flatten().collect();
    Ok((found.classes, if splits.is_empty() { there } else { splits.clone() }))
}

/// The folders of splits as settings; the default, fractions, for none.
fn named(splits: &[String]) -> Result<Split> {
    let part = |at: usize| splits.get(at).cloned().map(Part::Name);
    match (part(0), part(1), splits.len()) {
        (None, _, _) => Ok(Split::default()),
        (Some(train), Some(valid), 2 | 3) => {
            Ok(Split { train, valid, test: part(2), ..Split::default() })
        }
        _ => Err(Error::Usage {
            message: format!("`--splits` names {} folders", splits.len()),
            help: "name two or three, as `--splits train,test`, or leave it out".into(),
        }),
    }
}

/// The folder of the decoded images: the one that a sweep would use.
fn decoded(data: &Data, store: &Store) -> Result<PathBuf> {
    let step = Dataset { data: data.clone() };
    // Images that cannot be split can be looked at all the same.
    let key = step.key_of(&identify(data, &store.fingerprints())?.fingerprint);
    // Without a terminal it shows nothing.
    let bar = ProgressBar::new(0).with_message(data.source.place().display().to_string());
    bar.set_style(ProgressStyle::with_template("  {bar:24.cyan/238} {msg}").expect("it is fixed"));
    let progress = |done: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    };
    let wanted = Wanted {
        kind: Kind::Dataset.name(),
        key: &key,
        precision: None,
        needs: None,
        check: &|_| Ok(()),
    };
    let mut caller = Caller { sink: &mut Notes, interrupted: &interrupted };
    let (folder, _) = store.step(&wanted, &mut caller, |folder: &Path, _| {
        clear(folder)?;
        decode(data, folder, &progress)
    })?;
    bar.finish_and_clear();
    Ok(folder)
}

fn json(source: &str, inspected: &Inspected, audit: &Audit) -> String {
    let Inspected { classes, unlabelled, skipped, beside, groups, .. } = inspected;
    documented(serde_json::json!({
        "source": source,
        "classes": classes,
        "audit": audit,
        "unlabelled": unlabelled,
        "skipped": skipped,
        "beside": beside,
        "groups": groups,
    }))
}

/// Tables for a terminal.
fn text(source: &str, inspected: &Inspected, audit: &Audit) -> String {
    let mut text = format!("{source}\n\n");
    let mut line = |it: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{it}");
    };
    for row in class_table(&inspected.classes, audit) {
        line(row);
    }
    line(String::new());
    let exact = &audit.exact;
    line(format!(
        "equal images: {} in {} groups, the largest of {}; {} redundant",
        exact.images, exact.groups, exact.largest, exact.redundant
    ));
    line(format!(
        "labels at odds: {} groups of equal images, with {} images",
        exact.conflicting_groups, exact.conflicting_images
    ));
    for it in &audit.shared {
        line(shared("", it, audit));
    }
    if let Some(near) = &audit.near {
        line(String::new());
        line(format!(
            "nearly equal: {} pairs of pictures, {} of them mirrored; {} images in {} groups, \
             the largest of {}",
            near.pairs, near.mirrored, near.groups.images, near.groups.groups, near.groups.largest
        ));
        let (groups, images) = (near.groups.conflicting_groups, near.groups.conflicting_images);
        line(format!("labels at odds: {groups} groups, with {images} images"));
        for it in &near.shared {
            line(shared("nearly ", it, audit));
        }
    }
    for (why, n) in &inspected.unlabelled {
        line(format!("without a label: {n}, {why}"));
    }
    if let Some(it) = &inspected.groups {
        let Groups { count, in_several_splits: several, .. } = it;
        line(format!("groups: {count}, of which {several} have images in more than one split"));
    }
    for (what, lines) in [("broken", &inspected.skipped), ("beside the images", &inspected.beside)]
    {
        if !lines.is_empty() {
            line(format!("{what}: {}", lines.len()));
        }
        for it in lines.iter().take(MOST_NAMED) {
            line(format!("  {it}"));
        }
        if lines.len() > MOST_NAMED {
            line(format!("  and {} more; `--json` has all", lines.len() - MOST_NAMED));
        }
    }
    text
}

fn shared(nearly: &str, it: &Shared, audit: &Audit) -> String {
    let all = audit.splits.iter().find(|split| split.name == it.split).map_or(0, |it| it.images);
    let Shared { split, with, images, same_label } = it;
    let percent = 100.0 * *images as f64 / all.max(1) as f64;
    format!(
        "{split} images that are {nearly}in {with} too: {images} ({percent:.1} %), {same_label} \
         with the same label"
    )
}

/// A row a split: images, each class, and what the split has of itself twice or too flat.
fn class_table(classes: &[String], audit: &Audit) -> Vec<String> {
    let head = ["split".to_owned(), "images".to_owned()].into_iter().chain(classes.iter().cloned());
    let tail = ["redundant", "constant", "nearly constant"].map(str::to_owned);
    let mut rows = vec![head.chain(tail).collect::<Vec<_>>()];
    rows.extend(audit.splits.iter().map(|it| {
        let tail = [it.redundant, it.constant, it.nearly_constant];
        let numbers = [it.images].into_iter().chain(it.classes.iter().copied()).chain(tail);
        [it.name.clone()].into_iter().chain(numbers.map(|it| it.to_string())).collect()
    }));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|it| it[column].chars().count()).max().unwrap_or_default())
        .collect();
    let aligned = |(column, cell): (usize, &String)| match column {
        0 => format!("{cell:<width$}", width = widths[0]),
        column => format!("{cell:>width$}", width = widths[column]),
    };
    let line = |it: &Vec<String>| it.iter().enumerate().map(aligned).collect::<Vec<_>>().join("  ");
    rows.iter().map(line).collect()
}

/// The images that the page shows.
fn examples(inspected: &Inspected) -> Vec<Examples> {
    let picture = |row: &u32| Picture {
        png: inspected.png(*row),
        id: inspected.ids[*row as usize].clone(),
        split: inspected.split_of(*row).to_owned(),
        class: inspected.classes[usize::from(inspected.labels[*row as usize])].clone(),
    };
    let group = |rows: &Vec<u32>| rows.iter().take(MOST_IMAGES).map(picture).collect();
    let examples = inspected.examples(MOST_GROUPS);
    examples
        .iter()
        .map(|it| Examples {
            title: it.title.to_owned(),
            groups: it.groups.iter().map(group).collect(),
            of: it.of,
        })
        .collect()
}
