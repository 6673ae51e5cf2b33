//! Where first weights and images come from, and what is known of their licences.
//!
//! Only what their publishers say is told, with the place where they say it. Of files of the user nothing is known, and that is
//! said as well.

use ferrite_core::error::printable;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::store::record::Record;
use toml::Value;

/// Where something comes from. Both are Markdown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// What it is and who made it.
    pub(super) what: String,
    /// Under which terms it is given out, with the source of that statement.
    pub(super) terms: String,
}

/// Nobody told Ferrite.
const UNKNOWN: &str = "unknown: Ferrite was not told. Find out and write it down in a copy of this card (every report writes \
    the card itself anew) before you pass the model on";

/// What Stanford and Princeton ask of whoever takes ImageNet.
const IMAGENET: &str = "They were trained on ImageNet (ILSVRC 2012), whose terms of access allow the images to be used for \
    non-commercial research and educational purposes only (<https://image-net.org/download.php>). Whether that binds weights \
    trained on them is disputed";

/// The first weights of the run of `record`.
pub(super) fn of_weights(record: &Record) -> Origin {
    let model = record.settings.get("model");
    let named = |it: &str| model?.get(it)?.as_str();
    let weights = model.and_then(|it| it.get("weights"));
    match weights {
        Some(Value::String(name)) if name != "none" => {
            published(named("backbone").unwrap_or_default(), name)
        }
        Some(Value::Table(table)) => of_other(table),
        _ => Origin {
            what: "None: the network began with random numbers, which follow from the seed.".into(),
            terms: "nothing of others is in these weights but what the training images leave there"
                .into(),
        },
    }
}

/// Weights that Ferrite downloads.
fn published(backbone: &str, name: &str) -> Origin {
    let known = Backbone::ALL.iter().find(|it| it.name() == backbone);
    let known = known.and_then(|it| it.published().iter().find(|it| it.name == name));
    let Some(it) = known else {
        let what = format!("Published weights that are called {}.", code(name));
        return Origin { what, terms: UNKNOWN.into() };
    };
    let (library, terms) = if it.implementation == Implementation::Keras {
        (
            "Keras",
            "Keras has the Apache licence 2.0; of the weights it says where they were taken over from, which is each network's \
             authors under terms of their own (<https://keras.io/api/applications/>)",
        )
    } else if it.remote.url.starts_with("https://download.pytorch.org/") {
        (
            "torchvision",
            "torchvision's code has the BSD 3-clause licence; of the weights it says that they \"may have their own licenses or \
             terms and conditions derived from the dataset used for training\" \
             (<https://github.com/pytorch/vision#pre-trained-model-license>)",
        )
    } else {
        (
            "timm, which took them over from Keras",
            "timm's code has the Apache licence 2.0; of the weights its README says that it is not clear what ImageNet's terms \
             mean for them (<https://github.com/huggingface/pytorch-image-models#licenses>)",
        )
    };
    let (kind, digest) = (it.remote.checksum.name(), it.remote.checksum.digits());
    let what = format!(
        "{} (ImageNet), published by {library}: <{}>, {kind} {}.",
        code(name),
        it.remote.url,
        code(digest)
    );
    Origin { what, terms: format!("{terms}. {IMAGENET}") }
}

/// Weights of another run, or of a file.
fn of_other(table: &toml::Table) -> Origin {
    if let Some(run) = table.get("run").and_then(Value::as_str) {
        return Origin {
            what: format!("Those that the run {} ended with.", code(run)),
            terms: format!("as for that run, whose card is {}", code(&format!("{run}/MODEL.md"))),
        };
    }
    let path = table.get("file").and_then(|it| it.get("path")).and_then(Value::as_str);
    let name = path.map_or_else(|| "a file".to_owned(), |it| format!("the file {}", code(it)));
    Origin { what: format!("Those in {name}."), terms: UNKNOWN.into() }
}

/// What is known of a source of images.
pub(super) struct Source {
    /// What a Hub calls it: short and lower case.
    pub(super) kind: &'static str,
    /// What people call it.
    pub(super) name: String,
    /// Where it comes from.
    pub(super) origin: Origin,
    /// What its publishers say of its labels and images that a reader of scores should know. Markdown, whole sentences.
    pub(super) notes: Option<&'static str>,
}

/// The images of the run of `record`.
pub(super) fn of_images(record: &Record) -> Source {
    let source = record.settings.get("data").and_then(|it| it.get("source"));
    let table = |kind: &str| source.and_then(|it| it.get(kind));
    let text = |table: &Value, key: &str| {
        table.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if let Some(it) = table("fer2013") {
        return Source {
            kind: "fer2013",
            name: "FER2013".into(),
            origin: Origin {
                what: format!(
                    "FER2013 (Goodfellow et al. 2013, <https://arxiv.org/abs/1307.0414>), read from {}.",
                    code(&text(it, "csv"))
                ),
                terms: "given out under the rules of the Kaggle competition \"Challenges in Representation Learning: Facial \
                        Expression Recognition Challenge\"; the pictures were found by Google's image search, and who holds \
                        rights in them is unknown"
                    .into(),
            },
            notes: Some(
                "Its authors report that people agree with its labels in about 65 % of the images \
                 (Goodfellow et al. 2013). The pictures were found by searching for words of emotion, so they are often posed.",
            ),
        };
    }
    let own = |kind, name: String, what| Source {
        kind,
        name,
        origin: Origin { what, terms: UNKNOWN.into() },
        notes: None,
    };
    if let Some(it) = table("folder") {
        let path = text(it, "path");
        let what = format!("Pictures in the folder {}.", code(&path));
        return own("imagefolder", path, what);
    }
    if let Some(it) = table("manifest") {
        let path = text(it, "table");
        let what = format!("Pictures that the table {} names.", code(&path));
        return own("manifest", path, what);
    }
    Source {
        kind: "synthetic-faces",
        name: "synthetic faces drawn by Ferrite".into(),
        origin: Origin {
            what:
                "Faces drawn by Ferrite from mixtures of facial action units. No person is in them."
                    .into(),
            terms: "Ferrite's own: MIT or Apache 2.0".into(),
        },
        notes: Some(
            "They are drawings: a score on them says nothing of photographs, whatever it says of techniques.",
        ),
    }
}

/// The papers of a backbone, of FER2013 and of FER+.
pub(super) fn papers(record: &Record) -> Vec<&'static str> {
    let backbone = record.settings.get("model").and_then(|it| it.get("backbone"));
    let network = match backbone.and_then(Value::as_str).unwrap_or_default() {
        it if it.starts_with("vgg") => Some(
            "Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition (2015). <https://arxiv.org/abs/1409.1556>",
        ),
        it if it.starts_with("resnet") => Some(
            "He, Zhang, Ren, Sun: Deep residual learning for image recognition (2016). <https://arxiv.org/abs/1512.03385>",
        ),
        it if it.starts_with("mobilenet_v2") => Some(
            "Sandler et al.: MobileNetV2: inverted residuals and linear bottlenecks (2018). <https://arxiv.org/abs/1801.04381>",
        ),
        it if it.starts_with("efficientnet") => Some(
            "Tan, Le: EfficientNet: rethinking model scaling for convolutional neural networks (2019). <https://arxiv.org/abs/1905.11946>",
        ),
        it if it.starts_with("convnext") => {
            Some("Liu et al.: A ConvNet for the 2020s (2022). <https://arxiv.org/abs/2201.03545>")
        }
        it if it.starts_with("xception") => Some(
            "Chollet: Xception: deep learning with depthwise separable convolutions (2017). <https://arxiv.org/abs/1610.02357>",
        ),
        _ => None,
    };
    let data = record.settings.get("data");
    let fer = data.and_then(|it| it.get("source")?.get("fer2013")).map(|_| {
        "Goodfellow et al.: Challenges in representation learning: a report on three machine learning contests (2013). <https://arxiv.org/abs/1307.0414>"
    });
    let votes = data.and_then(|it| it.get("labels")?.get("ferplus")).map(|_| {
        "Barsoum et al.: Training deep networks for facial expression recognition with crowd-sourced label distribution (2016). <https://arxiv.org/abs/1608.01041>"
    });
    let card = "Mitchell et al.: Model cards for model reporting (2019). <https://arxiv.org/abs/1810.03993>";
    network.into_iter().chain(fer).chain(votes).chain([card]).collect()
}

/// `text` as code in Markdown, whatever it holds.
pub(super) fn code(text: &str) -> String {
    let text = printable(text);
    // A fence is longer than any row of backticks within.
    let longest = text.split(|it| it != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 || text.is_empty() { " " } else { "" };
    // A table's cell ends at a bar, even within code.
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}
