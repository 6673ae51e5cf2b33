//! The front matter of a card: YAML that the Hub of Hugging Face reads, with the results as a `model-index`.
//!
//! Format: <https://github.com/huggingface/hub-docs/blob/main/modelcard.md>. Texts are written as JSON strings, which YAML's
//! double-quoted ones hold.

use std::fmt::Write as _;

use ferrite_core::metrics::scores::calibration_error;
use ferrite_core::metrics::statistics::wilson;

use crate::format;
use crate::report::card::origin;
use crate::study::Run;
use crate::study::splits::in_source;

/// The lines between the two `---`, and these.
pub(super) fn matter(run: &Run<'_>) -> String {
    let backbone = run.record.facts.network.as_ref().map(|it| it.backbone.as_str());
    let mut text = String::from(
        "---\n\
         # Nobody told Ferrite under which licence you pass this model on: put one into a copy of this card, see \"Ethical considerations\".\n\
         license: unknown\n\
         library_name: ferrite\n\
         pipeline_tag: image-classification\n\
         tags:\n- image-classification\n- transfer-learning\n- ferrite\n",
    );
    if let Some(it) = backbone {
        let _ = writeln!(text, "- {}", string(it));
    }
    let results = [test(run), validation(run)];
    let results: Vec<_> = results.into_iter().flatten().collect();
    if results.is_empty() {
        return format!("{text}---\n");
    }
    text.push_str("metrics:\n- accuracy\n- f1\n- roc_auc\n");
    let _ = writeln!(text, "model-index:\n- name: {}\n  results:", string(&run.record.name()));
    let source = origin::of_images(run.record);
    for (split, metrics) in results {
        let split = in_source(run.record, split).unwrap_or(split);
        let _ = write!(
            text,
            "  - task:\n      type: image-classification\n      name: Image classification\n    dataset:\n      \
             type: {}\n      name: {}\n      split: {}\n    metrics:\n",
            string(source.kind),
            string(&source.name),
            string(split)
        );
        for (kind, name, value) in metrics {
            let _ = write!(
                text,
                "    - type: {kind}\n      value: {value}\n      name: {}\n",
                string(&name)
            );
        }
    }
    text.push_str("---\n");
    text
}

/// Kind, name and value of a metric.
type Metric = (&'static str, String, f64);

/// The split that judged the run, and its scores there.
fn test<'a>(run: &Run<'a>) -> Option<(&'a str, Vec<Metric>)> {
    let split = run.split()?;
    let counts = run.confusion.as_ref().map(|it| (it.right(), it.total()));
    let interval = counts.and_then(|(right, all)| wilson(right, all));
    let interval = interval
        .map_or_else(String::new, |it| format!(", 95 % interval {} %", format::interval(it)));
    let scores = [
        ("accuracy", format!("Accuracy{interval}"), run.test_accuracy()),
        ("f1", "Macro F1".to_owned(), run.macro_f1()),
        ("roc_auc", "ROC AUC, one class against the rest, mean".to_owned(), run.roc_auc()),
        (
            "expected_calibration_error",
            "Expected calibration error, 10 bins".to_owned(),
            calibration_error(&run.record.predictions),
        ),
    ];
    Some((split, defined(scores)))
}

/// The validation split, where another one judged, and the scores there.
fn validation<'a>(run: &Run<'_>) -> Option<(&'a str, Vec<Metric>)> {
    run.split().filter(|it| *it != "valid")?;
    let name = "Accuracy on the images that chose the epoch".to_owned();
    Some(("valid", defined([("accuracy", name, run.valid_accuracy())])))
}

/// Those that have a value; YAML has none for what is not a number that the Hub would take.
fn defined<const N: usize>(scores: [(&'static str, String, Option<f64>); N]) -> Vec<Metric> {
    let known = |(kind, name, value): (_, _, Option<f64>)| {
        Some((kind, name, value.filter(|it| it.is_finite())?))
    };
    scores.into_iter().filter_map(known).collect()
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
