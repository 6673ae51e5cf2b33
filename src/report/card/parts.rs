//! Sections of a card that tell what the model is, what it is for, and how to have it again.

use ferrite_core::digits::{counted, thousands};
use ferrite_core::model::Input;
use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::model::weights::input_of;
use ferrite_core::store::folder::files;
use ferrite_core::store::record::Record;
use toml::Value;

use crate::format;
use crate::format::markdown;
use crate::report::card::origin::{self, code};
use crate::report::card::{command, quoted, table};
use crate::report::trial::Files;
use crate::study::Run;

/// What no model of faces is for, as the page and the card say it.
pub(super) const NOT_FOR: &str = "Decisions about people, such as in hiring, policing, health care, schools or insurance; telling \
    what a person feels or who a person is; pictures unlike those that it was tested on.";

/// Names of classes that are expressions of a face.
const EXPRESSIONS: [&str; 12] = [
    "angry",
    "anger",
    "disgust",
    "fear",
    "happy",
    "happiness",
    "sad",
    "sadness",
    "surprise",
    "neutral",
    "contempt",
    "smile",
];

pub(super) fn details(run: &Run<'_>) -> String {
    let record = run.record;
    let setting = |key: &str| {
        key.split('.')
            .try_fold(&Value::Table(record.settings.clone()), |it, key| it.get(key))
            .cloned()
    };
    let mut rows = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(it) = &record.facts.network {
        row("Network", format!("{} and a head of {}", code(&it.backbone), head(record)));
        let whole = thousands(it.backbone_parameters + it.head_parameters);
        let (backbone, head) = (thousands(it.backbone_parameters), thousands(it.head_parameters));
        let statistics = it.backbone_statistics + it.head_statistics;
        let statistics = match statistics {
            0 => String::new(),
            n => format!("; {} running statistics of batch norms besides", thousands(n)),
        };
        row(
            "Parameters",
            format!("{whole}: {backbone} in the backbone, {head} in the head{statistics}"),
        );
        if let Some((trained, _)) = run.parameters() {
            row("Trained in the last stage", counted(trained, "parameter"));
        }
        let side = it.image_size;
        row("Input", format!("{side} × {side} pixels, RGB; {}", scaling(record)));
    }
    if let Some(it) = &record.facts.dataset {
        let classes: Vec<_> = it.classes.iter().map(|it| markdown(it)).collect();
        row(
            "Output",
            format!(
                "probabilities of {}, in this order: {}",
                classes_in_words(classes.len()),
                classes.join(", ")
            ),
        );
        let [height, width, channels] = it.size;
        let colour = if channels == 1 { "gray" } else { "RGB" };
        row(
            "Images as kept",
            format!(
                "{width} × {height}, {colour}; gray ones are given to all three channels of the network"
            ),
        );
    }
    let weights = origin::of_weights(record);
    row("First weights", weights.what);
    row("Licence of these", format!("{}.", weights.terms));
    row(
        "Licence of this model",
        "unknown: who passes it on decides, within the terms of first weights and images.".into(),
    );
    row("Weights", format!("{}, under torchvision's (timm's) tensor names", code(files::MODEL)));
    if let Some(it) = &record.facts.start {
        row("Trained with", format!("Ferrite {}", markdown(&it.ferrite)));
    }
    row(
        "Trained",
        format!("{}, in {}", format::moment(record.began_ms), format::duration(record.seconds)),
    );
    if let Some(it) = record.facts.energy() {
        let of = match (it.processor, it.gpu) {
            (Some(_), Some(_)) => "processor and GPU",
            (Some(_), None) => "processor",
            _ => "GPU",
        };
        row("Energy of its epochs", format!("{}, of the {of}", format::energy(it.joules())));
    }
    if let Some(Value::Array(seeds)) = setting("seeds") {
        row("Seed", seeds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    table(&["", ""], rows)
}

/// The hidden layers of the head, in words.
fn head(record: &Record) -> String {
    let head = record.settings.get("model").and_then(|it| it.get("head"));
    let of = |key: &str| head.and_then(|it| it.get(key));
    let layers = of("layers").and_then(Value::as_array).map_or(0, Vec::len);
    let mut parts = vec![match layers {
        0 => "one linear layer".to_owned(),
        _ => format!(
            "hidden layers {} and a linear one",
            of("layers").map_or_else(String::new, ToString::to_string)
        ),
    }];
    parts.extend(of("pool").and_then(Value::as_str).map(|it| format!("pooling {}", code(it))));
    parts.extend(
        of("batch_norm").filter(|it| it.as_bool() == Some(true)).map(|_| "batch norm".into()),
    );
    parts.extend(
        of("dropout").filter(|it| it.as_float() != Some(0.0)).map(|it| format!("dropout {it}")),
    );
    parts.join(", ")
}

fn classes_in_words(n: usize) -> String {
    if n == 1 { "1 class".into() } else { format!("{n} classes") }
}

/// How pixels become the network's input, as the header of the weights says.
fn scaling(record: &Record) -> String {
    let file = TensorFile::open(&record.folder.join(files::MODEL));
    let said = file.and_then(|it| input_of(&it, Backbone::default())).ok().flatten();
    match said {
        Some(Input::PlusMinusOne) => "gray levels x of 0 to 255 become x / 127.5 − 1".into(),
        Some(Input::Torchvision) => "gray levels x of 0 to 255 become (x / 255 − mean) / std, with mean 0.485, 0.456, 0.406 and std \
                                     0.229, 0.224, 0.225 (torchvision's)"
            .into(),
        Some(Input::Caffe) => "BGR, from gray levels of 0 to 255 the means 103.939, 116.779, 123.68 are taken".into(),
        None => format!("how pixels are scaled stands in the header of {}, which could not be read", code(files::MODEL)),
    }
}

fn shows_expressions(run: &Run<'_>) -> bool {
    let known = |it: &String| EXPRESSIONS.contains(&it.to_lowercase().as_str());
    run.record
        .facts
        .dataset
        .as_ref()
        .is_some_and(|it| it.classes.iter().filter(|it| known(it)).count() >= 2)
}

pub(super) fn use_of(run: &Run<'_>) -> String {
    let classes = run.record.facts.dataset.as_ref().map_or(0, |it| it.classes.len());
    let predict = format!("ferrite predict {} PICTURES", quoted(&run.place));
    let expression = if shows_expressions(run) {
        "\n\nThe classes are names that people gave to expressions. What a face shows is no sure sign of what a person feels \
         (Barrett et al. 2019, <https://doi.org/10.1177/1529100619832930>)."
    } else {
        ""
    };
    format!(
        "**For:** research and teaching on transfer learning; comparing ways of training; sorting pictures of the kind below into \
         these {} where a wrong answer harms nobody. {} prints what it says of pictures.\n\n**Not for:** {NOT_FOR}{expression}",
        classes_in_words(classes),
        code(&predict)
    )
}

pub(super) fn factors(run: &Run<'_>) -> String {
    let faces = match &run.record.facts.faces {
        Some(it) => {
            let all = it.all();
            format!(
                "Faces were looked for by {} and found in {} % of {}; the score holds for pictures that were treated so.",
                code(&it.detector),
                format::percent(all.share()),
                counted(all.images, "image")
            )
        }
        None => "Pictures were used whole; no face was looked for.".into(),
    };
    format!(
        "Scores are given for each class below. Ferrite was told nothing of the age, gender or skin colour of the people in the \
         images, nor of cameras and light, so how the scores differ between these is unknown: measure it before you rely on \
         it. {faces}"
    )
}

pub(super) fn ethics(run: &Run<'_>) -> String {
    let (weights, images) = (origin::of_weights(run.record), origin::of_images(run.record));
    let consent = if images.kind == "synthetic-faces" {
        "The training images show nobody."
    } else {
        "Pictures of faces are personal data. Whether the people in the training images agreed to this use is unknown to Ferrite."
    };
    format!(
        "{consent} Before you pass the model on:\n\n- images: {}\n- first weights: {}\n\nPut the licence that follows into \
         the first lines of this card, in the place of {}.",
        images.origin.terms,
        weights.terms,
        code("unknown")
    )
}

pub(super) fn repeat(run: &Run<'_>, files: &Files) -> String {
    let record = run.record;
    let begins_with =
        record.settings.get("model").and_then(|it| it.get("weights")?.get("run")?.as_str());
    let first = begins_with.map_or_else(String::new, |it| {
        format!(" once the run {} whose weights it begins with lies there too", code(it))
    });
    let mut text = format!(
        "```sh\n{}\n```\n\nIn the run's own folder this makes only what is missing there; with another folder behind {} everything is \
         computed anew{first}. On a processor with as many threads the weights are the same to the last bit, on a GPU but for rounding.\n\n",
        command(run),
        code("--runs")
    );
    let mut rows = Vec::new();
    if let Some(it) = &record.facts.start {
        rows.push(vec!["key of the run".to_owned(), code(&it.key)]);
        rows.push(vec![
            "device".into(),
            format!("{}, {}", markdown(&it.device), counted(it.threads, "thread")),
        ]);
        rows.push(vec!["precision".into(), markdown(&it.precision)]);
    }
    let named = |it: &&(String, String)| !["device", "threads", "host"].contains(&it.0.as_str());
    rows.extend(
        files
            .environment
            .iter()
            .filter(named)
            .map(|(key, value)| vec![markdown(key), markdown(value)]),
    );
    text.push_str(&table(&["", ""], rows));
    text
}

pub(super) fn references(run: &Run<'_>) -> String {
    origin::papers(run.record).iter().map(|it| format!("- {it}\n")).collect()
}
