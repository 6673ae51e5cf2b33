//! `ferrite new`: a commented experiment file to begin with, and beside it the schema that editors read.

use std::io::Write;
use std::path::Path;

use clap::{Args, ValueEnum};
use ferrite_core::config::editors;
use ferrite_core::config::facts::Facts;
use ferrite_core::config::names::refusal;
use ferrite_core::error::{Error, Result};
use ferrite_core::files::write_whole;
use ferrite_core::model::Model;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::trainable::resolve;
use ferrite_core::terminal::print;

/// The folder that new experiments are written to.
const EXPERIMENTS: &str = "experiments";

#[derive(Debug, Args)]
pub(super) struct NewArguments {
    /// Its name: `experiments/NAME.toml` is written
    name: String,
    /// The pretrained network: `vgg16`, `resnet50`, …
    #[arg(long, default_value = "mobilenet_v2", value_parser = backbone)]
    backbone: Backbone,
    /// Where the images come from
    #[arg(long, value_enum, default_value_t = Data::Fer2013)]
    data: Data,
}

/// The kinds of images that a file can begin with.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Data {
    /// `data/fer2013.csv`
    #[value(name = "fer2013")]
    Fer2013,
    /// A folder for each class
    Folder,
    /// Drawn faces, to try things out
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
    let NewArguments { name, backbone, data } = arguments;
    let fine = |it: char| it.is_ascii_alphanumeric() || "-_/".contains(it);
    if !name.chars().all(fine) || refusal(name).is_some() {
        return Err(Error::Usage {
            message: format!("`{name}` cannot be the name of an experiment"),
            help: "use letters, digits, `-` and `_`, and `/` for folders; `plots` is taken".into(),
        });
    }
    let path = Path::new(EXPERIMENTS).join(format!("{name}.toml"));
    // A path counts from the file that names it.
    let way_up = "../".repeat(name.matches('/').count());
    let schema = format!("#:schema {way_up}{}\n", editors::FILE);
    write_new(&path, &(schema + &text(*backbone, *data)))?;
    write_schema()?;
    print(&format!("{}\n", path.display()))
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs_err::create_dir_all(folder).map_err(Error::file("cannot create", folder))?;
    let made = std::fs::File::options().write(true).create_new(true).open(path);
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
    let mut names: Vec<String> =
        backbone.description().network.blocks.iter().map(|it| it.name.clone()).collect();
    let names = names.split_off(names.len() * 2 / 3);
    let last = names.last().cloned().unwrap_or_default();
    let clear = |it: &String| resolve(&model, &it.as_str().into()).is_ok();
    let middle = names.into_iter().find(clear).unwrap_or_else(|| last.clone());
    [last, middle]
}

fn text(backbone: Backbone, data: Data) -> String {
    let minimum = backbone.description().network.least_image_size;
    let source = match data {
        Data::Fer2013 => {
            "source     = { fer2013 = { csv = \"data/fer2013.csv\" } }\n\
             split      = { train = \"Training\", valid = \"PublicTest\", test = \"PrivateTest\" }\n\
             # leakage  = \"drop-from-train\"      # leave out training images that have a twin in valid or test\n"
        }
        Data::Folder => {
            "source     = { folder = { path = \"data/faces\", classes = [\"angry\", \"happy\"] } }   # in label order\n\
             split      = { train = 0.7, valid = 0.15, test = 0.15 }\n"
        }
        Data::Synthetic => {
            "source     = { synthetic = { faces = 3000 } }\n\
             split      = { train = 0.7, valid = 0.15, test = 0.15 }\n"
        }
    };
    let (name, size) = (backbone.name(), minimum.max(96));
    let [late, middle] = blocks(backbone);
    let counted = if backbone.description().network.keras.is_empty() {
        ""
    } else {
        ", { last = 6 } as Keras counts"
    };
    let unit = |key: &str| Facts::all().of(key).unit.clone().unwrap_or_default();
    let [rotation, shift, pixels] =
        ["augment.rotation", "augment.shift", "data.image_size"].map(unit);
    format!(
        r#"# Every setting is described in docs/config.md; `ferrite plan` says what this file means.
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
