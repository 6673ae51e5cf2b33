//! `ferrite new`: a commented experiment file to begin with, and beside it the schema that editors read.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::config::editors;
use ferrite_core::config::facts::Facts;
use ferrite_core::config::names::refusal;
use ferrite_core::config::read::read;
use ferrite_core::data::fingerprint::identify;
use ferrite_core::data::folder::arrangement::{Arrangement, arrangement};
use ferrite_core::error::{Error, Result};
use ferrite_core::files::output::Output;
use ferrite_core::files::{create_folder, remove_file, write_whole};
use ferrite_core::model::Model;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::trainable::resolve;
use ferrite_core::terminal::print;

use crate::cli::select::EXPERIMENTS;

#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// Its name: `experiments/NAME.toml` is written
    name: String,
    /// The pretrained network: `vgg16`, `resnet50`, …
    #[arg(long, default_value = "mobilenet_v2", value_parser = backbone)]
    backbone: Backbone,
    /// A folder with a folder for each class in it, or with such folders below `train`, `valid` and `test`
    #[arg(long, value_name = "FOLDER", conflicts_with = "csv")]
    folder: Option<PathBuf>,
    /// A table of FER2013
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The images that a file begins with, which are there.
enum Images {
    Fer2013(PathBuf),
    Folder(PathBuf, Arrangement),
    /// Drawn faces, which need no data.
    Synthetic,
}

fn backbone(name: &str) -> Result<Backbone, String> {
    let known = || Backbone::ALL.iter().copied();
    known().find(|it| it.name() == name).ok_or_else(|| {
        let names: Vec<&str> = known().map(Backbone::name).collect();
        format!("there are {}", names.join(", "))
    })
}

pub(super) fn new_command(arguments: &NewArguments) -> Result<()> {
    let NewArguments { name, backbone, .. } = arguments;
    let fine = |it: char| it.is_ascii_alphanumeric() || "-_/".contains(it);
    if !name.chars().all(fine) || refusal(name).is_some() {
        return Err(Error::Usage {
            message: format!("`{name}` cannot be the name of an experiment"),
            help: "use letters, digits, `-` and `_`, and `/` for folders; `plots` is taken".into(),
        });
    }
    let path = Path::new(EXPERIMENTS).join(format!("{name}.toml"));
    let images = images(arguments)?;
    // A path counts from the file that names it.
    let way_up = "../".repeat(name.matches('/').count());
    let schema = format!("#:schema {way_up}{}\n", editors::FILE);
    write_new(&path, &(schema + &text(*backbone, &images)))?;
    if let Err(error) = runs(&path) {
        // What it would train on is there and does not do; a file that stops every sweep is worse than none.
        let _ = remove_file(&path);
        return Err(error);
    }
    write_schema()?;
    let next = format!("next: ferrite plan {name}, then ferrite sweep {name}");
    // A closed stderr leaves nobody to tell.
    let _ = writeln!(std::io::stderr(), "{next}");
    print(&format!("{}\n", path.display()))
}

/// The images that are asked for: of nobody's choice the table of FER2013, if it lies where README.md puts it, or else
/// drawn faces.
fn images(arguments: &NewArguments) -> Result<Images> {
    const USUAL: &str = "data/fer2013.csv";
    if let Some(folder) = &arguments.folder {
        return Ok(Images::Folder(folder.clone(), arrangement(folder)?));
    }
    let csv =
        arguments.csv.clone().or_else(|| Some(PathBuf::from(USUAL)).filter(|it| it.is_file()));
    let Some(csv) = csv else { return Ok(Images::Synthetic) };
    if csv.is_file() {
        return Ok(Images::Fer2013(csv));
    }
    Err(Error::Usage {
        message: format!("there is no table `{}`", csv.display()),
        help: "name the file, or leave `--csv` out to begin with drawn faces; README.md says where FER2013 comes from".into(),
    })
}

/// Whether the experiment in the file at `path` could run: its settings are right and its images can be split.
fn runs(path: &Path) -> Result<()> {
    for written in read(&[path.to_owned()], &[])? {
        let data = &written.experiment.data;
        identify(data, Path::new(""))?.check(data)?;
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    create_folder(folder)?;
    let made = Output::create_new(path);
    match made.and_then(|mut it| it.write_all(text.as_bytes())) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::Usage {
            message: format!("there is a `{}` already", path.display()),
            help: "choose another name, or edit that file".into(),
        }),
        Err(error) => Err(Error::file("cannot write", path)(error)),
        Ok(()) => Ok(()),
    }
}

/// Writes the schema that new experiments name, unless it is there already.
fn write_schema() -> Result<()> {
    let (path, schema) = (Path::new(EXPERIMENTS).join(editors::FILE), editors::schema());
    if std::fs::read(&path).is_ok_and(|it| it == schema.as_bytes()) {
        return Ok(());
    }
    write_whole(&path, schema.as_bytes())
}

/// The names in weight files of the last block, and of the first in the last third that Keras does not call
/// another one by.
fn blocks(backbone: Backbone) -> [String; 2] {
    let model = Model { backbone, ..Model::default() };
    let mut names: Vec<String> = backbone
        .description(Implementation::default())
        .network
        .blocks
        .iter()
        .map(|it| it.name.clone())
        .collect();
    let names = names.split_off(names.len() * 2 / 3);
    let last = names.last().cloned().unwrap_or_default();
    let clear = |it: &String| resolve(&model, &it.as_str().into()).is_ok();
    let middle = names.into_iter().find(clear).unwrap_or_else(|| last.clone());
    [last, middle]
}

/// The lines that say which images there are and how they are split.
fn source(images: &Images) -> String {
    let quoted = |it: &str| toml::Value::String(it.to_owned()).to_string();
    let path = |it: &Path| quoted(&it.to_string_lossy());
    let fractions = "split      = { train = 0.7, valid = 0.15, test = 0.15 }\n";
    match images {
        Images::Fer2013(csv) => format!(
            "source     = {{ fer2013 = {{ csv = {} }} }}\n\
             split      = {{ train = \"Training\", valid = \"PublicTest\", test = \"PrivateTest\" }}\n\
             # leakage  = \"drop-from-train\"      # leave out training images that have a twin in valid or test\n",
            path(csv)
        ),
        Images::Folder(folder, Arrangement { splits, classes }) => {
            let classes: Vec<String> = classes.iter().map(|it| quoted(it)).collect();
            let split = match splits {
                [None, _, _] => fractions.to_owned(),
                [Some(train), valid, test] => {
                    let valid = valid.as_deref().map_or_else(|| "0.15".to_owned(), quoted);
                    let test = test.as_deref().map(|it| format!(", test = {}", quoted(it)));
                    let train = quoted(train);
                    format!(
                        "split      = {{ train = {train}, valid = {valid}{} }}\n",
                        test.unwrap_or_default()
                    )
                }
            };
            format!(
                "# The order of the classes is that of the labels.\n\
                 source     = {{ folder = {{ path = {}, classes = [{}] }} }}\n{split}",
                path(folder),
                classes.join(", ")
            )
        }
        Images::Synthetic => {
            format!(
                "# Faces that are drawn, to try things out: `--folder` and `--csv` begin with images of yours.\n\
                     source     = {{ synthetic = {{ faces = 3000 }} }}\n{fractions}"
            )
        }
    }
}

fn text(backbone: Backbone, images: &Images) -> String {
    let minimum = backbone.description(Implementation::default()).network.least_image_size;
    let source = source(images);
    let (name, size) = (backbone.name(), minimum.max(96));
    let [late, middle] = blocks(backbone);
    let counted = if backbone.description(Implementation::default()).network.keras.is_empty() {
        ""
    } else {
        ", { last = 6 } as Keras counts"
    };
    let unit = |key: &str| Facts::all().of(key).unit.clone().unwrap_or_default();
    let [rotation, shift, pixels] =
        ["augment.rotation", "augment.shift", "data.image_size"].map(unit);
    format!(
        r#"# `ferrite docs` describes every setting; `ferrite plan` says what this file means.
about = "{name}: first a new head, then everything from {middle} on"
seeds = [0, 1, 2]

[data]
{source}image_size = {size}                      # {pixels} a side; {name} takes {minimum} and more
# limit    = 2000                    # for a quick look

# [augment]                          # training images only
# flip       = 0.5
# rotation   = 10                    # {rotation}
# shift      = 0.1                   # {shift}
# zoom       = 0.1
# brightness = [0.8, 1.2]
# erase      = 0.25

[model]
backbone = "{name}"
weights  = "imagenet"                # or "none", or {{ file = {{ path = "…", input = "torchvision" }} }}

[model.head]
pool       = "avg"                   # or "flatten"
layers     = [256]                   # hidden layers; [] for none
batch_norm = false
dropout    = 0.5

# [noise]                            # in training only
# input = {{ std = 0.1, unit = "input-std" }}

[[stages]]
name       = "head"
trainable  = "head"
epochs     = 5
batch_size = 64
optimizer  = {{ adam = {{ lr = 1e-3 }} }}

[[stages]]
name           = "fine-tune"
trainable      = "{middle}"          # from here on; or "{late}", "all"{counted}
epochs         = 30
batch_size     = 64
optimizer      = {{ adam = {{ lr = 1e-4 }} }}
schedule       = {{ plateau = {{ monitor = "valid_loss", factor = 0.1, patience = 5 }} }}
early_stopping = {{ monitor = "valid_loss", patience = 10 }}
# loss         = {{ label_smoothing = 0.1 }}

# [grid]                             # every combination is a trial
# "model.head.dropout" = [0.3, 0.5]
"#
    )
}
