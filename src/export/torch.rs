//! A trained network for PyTorch: its weights under the names that torchvision and timm give them, and a script that builds the
//! network, loads them and says what it sees in pictures as Ferrite would.

use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::files::{create_folder, write_derived};
use ferrite_core::finished::Finished;
use ferrite_core::mapped::map;
use ferrite_core::model::backbone::{Backbone, Classifier};
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::{Head, Pool};
use ferrite_core::store::folder::files;
use serde_json::json;

use crate::export::network::computes_as;

/// What the script is called.
pub(crate) const SCRIPT: &str = "load.py";

/// Writes weights and script of `run` into `folder`.
///
/// # Errors
/// [`Error::Usage`] if the network is one that neither torchvision nor timm has; [`Error::File`] if they cannot be read or
/// written.
pub(crate) fn write(run: &Finished, folder: &Path) -> Result<()> {
    computes_as(
        run,
        Implementation::Pytorch,
        "`ferrite export onnx` writes it as it is, `ferrite export keras` for Keras",
    )?;
    create_folder(folder)?;
    let weights = &run.weights.path;
    let bytes = map(weights).map_err(Error::file("cannot read", weights))?;
    write_derived(&folder.join(files::MODEL), &bytes)?;
    write_derived(&folder.join(SCRIPT), script(run).as_bytes())
}

/// The script: from the network's name to a probability.
fn script(run: &Finished) -> String {
    let settings = &run.settings.model;
    let (library, name) = constructor(settings.backbone);
    let described = &settings.description().network;
    let side = described.side(run.settings.data.image_size);
    let positions = if settings.head.pool == Pool::Avg { 1 } else { side * side };
    let head = head(
        &settings.head,
        described.classifier,
        [described.channels * positions, described.channels, run.dataset.classes.len()],
    );
    let mut text = String::new();
    let mut line = |it: &str| {
        text.push_str(it);
        text.push('\n');
    };
    line(&format!(
        "\"\"\"What the network of {} sees in pictures: python {SCRIPT} PICTURE...\"\"\"",
        run.record.name()
    ));
    line("import pathlib, sys");
    line(&format!("import numpy, PIL.Image, {library}, torch"));
    line("from safetensors.torch import load_file");
    line("from torch import nn");
    line("");
    line(&format!("CLASSES = {}", json!(run.dataset.classes)));
    line(&format!("weights = load_file(pathlib.Path(__file__).with_name(\"{}\"))", files::MODEL));
    line(&format!("network = {name}"));
    for it in pooling(settings.backbone, settings.head.pool) {
        line(it);
    }
    line(&head);
    if settings.input_norm {
        line("norm = nn.BatchNorm2d(3).eval()");
        line(
            "norm.load_state_dict({it: weights.pop(f\"input_norm.{it}\") for it in (\"weight\", \"bias\", \"running_mean\", \"running_var\")})",
        );
    }
    line("network.load_state_dict(weights)");
    line("network.eval()");
    line("");
    line("");
    pixels(run, &mut line);
    text
}

/// How pictures become the network's input.
fn pixels(run: &Finished, line: &mut impl FnMut(&str)) {
    let size = run.settings.data.image_size;
    let gray = run.channels() == 1;
    let (scale, shift, reversed) = run.input.scaling();
    line("@torch.no_grad()");
    line("def probabilities(picture):");
    line(&format!(
        "    \"\"\"The probability of each class for a square picture of at most {size}x{size}; shrink larger ones before.\"\"\""
    ));
    line(&format!(
        "    pixels = numpy.array(picture.convert(\"{}\"), numpy.float32)",
        if gray { "L" } else { "RGB" }
    ));
    line(&format!(
        "    x = torch.from_numpy(pixels).reshape(1, *pixels.shape[:2], {}).permute(0, 3, 1, 2)",
        run.channels()
    ));
    line(&format!("    x = nn.functional.interpolate(x, ({size}, {size}), mode=\"bilinear\")"));
    let order = if reversed && !gray { ".flip(1)" } else { "" };
    line(&format!(
        "    x = x{order} * torch.tensor({}).reshape(1, 3, 1, 1) + torch.tensor({}).reshape(1, 3, 1, 1)",
        json!(scale.map(f64::from)),
        json!(shift.map(f64::from)),
    ));
    let seen = if run.settings.model.input_norm { "norm(x)" } else { "x" };
    line(&format!("    return network({seen}).softmax(1)[0]"));
    line("");
    line("");
    line("if __name__ == \"__main__\":");
    line("    for path in sys.argv[1:]:");
    line(
        "        print(path, *(f\"{name}={it:.6f}\" for name, it in zip(CLASSES, probabilities(PIL.Image.open(path)))))",
    );
}

/// The library that has `backbone`, and what makes one.
fn constructor(backbone: Backbone) -> (&'static str, String) {
    match backbone {
        Backbone::Xception => ("timm", "timm.create_model(\"legacy_xception\")".into()),
        other => ("torchvision", format!("torchvision.models.{}()", other.name())),
    }
}

/// What makes the pooling of the library's network the run's.
fn pooling(backbone: Backbone, pool: Pool) -> &'static [&'static str] {
    match (backbone, pool) {
        (Backbone::Vgg16 | Backbone::Vgg16Bn | Backbone::Vgg19, Pool::Avg) => {
            &["network.avgpool = nn.AdaptiveAvgPool2d(1)"]
        }
        (_, Pool::Avg) => &[],
        (Backbone::MobileNetV2, Pool::Flatten) => &[
            "network._forward_impl = lambda x: network.classifier(network.features(x).flatten(1))",
        ],
        (Backbone::Xception, Pool::Flatten) => &["network.global_pool = nn.Flatten()"],
        (_, Pool::Flatten) => &["network.avgpool = nn.Identity()"],
    }
}

/// The line that gives the network the run's head; `sizes` are the width of what it gets, the channels that a norm in front
/// of it has, and classes.
fn head(settings: &Head, classifier: Classifier, sizes: [usize; 3]) -> String {
    let [mut width, channels, classes] = sizes;
    let mut layers = Vec::new();
    let (name, is_sequence) = match classifier {
        Classifier::Sequence => ("classifier", true),
        Classifier::BehindNorm(norm) => {
            layers.push(format!(
                "torchvision.models.convnext.LayerNorm2d({channels}, eps={})",
                norm.eps
            ));
            layers.push("nn.Flatten()".into());
            ("classifier", true)
        }
        Classifier::Fc => ("fc", !settings.layers.is_empty()),
    };
    let dropout = format!("nn.Dropout({})", settings.dropout);
    for &output in &settings.layers {
        layers.push(format!("nn.Linear({width}, {output})"));
        layers.push("nn.ReLU()".into());
        layers.extend(settings.batch_norm.then(|| format!("nn.BatchNorm1d({output})")));
        layers.push(dropout.clone());
        width = output;
    }
    let last = format!("nn.Linear({width}, {classes})");
    if !is_sequence {
        return format!("network.{name} = {last}");
    }
    let is_normed = matches!(classifier, Classifier::BehindNorm(_));
    // Dropout counts in the sequence whether it drops anything or not, but behind a norm there is none.
    layers.extend((settings.layers.is_empty() && !is_normed).then_some(dropout));
    layers.push(last);
    format!("network.{name} = nn.Sequential({})", layers.join(", "))
}
