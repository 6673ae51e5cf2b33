//! What a run has to show, each as the value of a summary in the form that all of TensorBoard's readers know.
//!
//! Scalars are `simple_value`, pictures `image`, distributions `histo`: forms that `EventAccumulator` lists by kind, and that
//! TensorBoard's own loaders bring up to date by themselves. A scalar as a tensor of 64-bit floats would be dropped by one of
//! them without a word.

use ferrite_core::metrics::Prediction;
use image::ImageReader;
use prost::Message as _;

use crate::export::tensorboard::message::{
    Content, DataClass, DataType, Dim, Histogram, Hparams, HparamsWhat, Image, Kind, Metadata,
    Plugin, PrCurve, Setting, Shape, Tensor, Value,
};
use ferrite_core::config::flat::plain;

/// How many thresholds a curve of precision and recall has: what TensorBoard's own summary has.
const THRESHOLDS: usize = 201;

/// How many buckets of equal width a distribution of probabilities has: what TensorBoard's own summary has.
const BUCKETS: usize = 30;

/// What precision and recall are divided by at least, as in TensorBoard's own summary.
const LEAST_COUNT: f32 = 1e-7;

/// A number; readers keep 32 bits of it.
pub(super) fn scalar(tag: &str, value: f64) -> Value {
    let content = Some(Content::SimpleValue(value as f32));
    Value { tag: tag.to_owned(), metadata: None, content }
}

/// A text in Markdown.
pub(super) fn text(tag: &str, markdown: &str) -> Value {
    let shape = Some(Shape { dim: Vec::new() });
    let strings = vec![markdown.as_bytes().to_vec()];
    let tensor = Tensor { dtype: DataType::String.into(), shape, content: Vec::new(), strings };
    Value {
        tag: tag.to_owned(),
        metadata: Some(of_plugin("text", Vec::new(), "", DataClass::Tensor)),
        content: Some(Content::Tensor(tensor)),
    }
}

/// The picture in the bytes of a PNG; none if it is none.
pub(super) fn picture(tag: &str, png: Vec<u8>) -> Option<Value> {
    let reader = ImageReader::with_format(std::io::Cursor::new(&png), image::ImageFormat::Png);
    let (width, height) = reader.into_dimensions().ok()?;
    let image = Image {
        height: i32::try_from(height).ok()?,
        width: i32::try_from(width).ok()?,
        colorspace: 3,
        encoded: png,
    };
    Some(Value { tag: tag.to_owned(), metadata: None, content: Some(Content::Image(image)) })
}

/// The distribution of some probabilities; none if there are none.
pub(super) fn distribution(tag: &str, probabilities: &[f64]) -> Option<Value> {
    let mut bucket = vec![0.0; BUCKETS];
    for it in probabilities {
        bucket[((it * BUCKETS as f64) as usize).min(BUCKETS - 1)] += 1.0;
    }
    let histogram = Histogram {
        min: probabilities.iter().copied().reduce(f64::min)?,
        max: probabilities.iter().copied().reduce(f64::max)?,
        num: probabilities.len() as f64,
        sum: probabilities.iter().sum(),
        sum_squares: probabilities.iter().map(|it| it * it).sum(),
        bucket_limit: (1..=BUCKETS).map(|it| it as f64 / BUCKETS as f64).collect(),
        bucket,
    };
    let content = Some(Content::Histogram(histogram));
    Some(Value { tag: tag.to_owned(), metadata: None, content })
}

/// The curve of precision and recall of `class` against all others over [`THRESHOLDS`] thresholds; none where a prediction
/// has no probability of it.
pub(super) fn precision_recall(
    tag: &str,
    description: &str,
    predictions: &[Prediction],
    class: usize,
) -> Option<Value> {
    let mut counts = [[0_u32; THRESHOLDS]; 2];
    for it in predictions {
        let probability = *it.probabilities.get(class)?;
        let bucket = (probability * (THRESHOLDS - 1) as f64) as usize;
        counts[usize::from(it.truth == class)][bucket.min(THRESHOLDS - 1)] += 1;
    }
    // What is at or above each threshold.
    let [others, of_class] = counts.map(|mut it| {
        (1..THRESHOLDS).rev().for_each(|at| it[at - 1] += it[at]);
        it.map(|it| it as f32)
    });
    let not = |all: &[f32; THRESHOLDS]| all.map(|it| all[0] - it);
    let (missed, refused) = (not(&of_class), not(&others));
    let share = |of: &[f32; THRESHOLDS]| {
        let pair = of_class.iter().zip(of);
        pair.map(|(right, other)| right / (right + other).max(LEAST_COUNT)).collect::<Vec<_>>()
    };
    let (precision, recall) = (share(&others), share(&missed));
    let rows = [&of_class[..], &others, &refused, &missed, &precision, &recall];
    let size = |it: usize| Dim { size: it as i64 };
    let tensor = Tensor {
        dtype: DataType::Float.into(),
        shape: Some(Shape { dim: vec![size(rows.len()), size(THRESHOLDS)] }),
        content: rows.iter().flat_map(|it| it.iter()).flat_map(|it| it.to_le_bytes()).collect(),
        strings: Vec::new(),
    };
    let said = PrCurve { version: 0, num_thresholds: THRESHOLDS as u32 }.encode_to_vec();
    Some(Value {
        tag: tag.to_owned(),
        metadata: Some(of_plugin("pr_curves", said, description, DataClass::Tensor)),
        content: Some(Content::Tensor(tensor)),
    })
}

/// What the plugin of hyperparameters is told: where a run begins or ends. It has no value.
pub(super) fn hparams(tag: &str, what: HparamsWhat) -> Value {
    let said = Hparams { version: 0, what: Some(what) }.encode_to_vec();
    // A tensor without numbers, as in TensorBoard's own summary: some readers leave out values that have no content.
    let nothing = Tensor {
        dtype: DataType::Float.into(),
        shape: Some(Shape { dim: vec![Dim { size: 0 }] }),
        content: Vec::new(),
        strings: Vec::new(),
    };
    Value {
        tag: tag.to_owned(),
        metadata: Some(of_plugin("hparams", said, "", DataClass::Unknown)),
        content: Some(Content::Tensor(nothing)),
    }
}

/// A setting, whose value is TOML: a number or a truth value as such, all else as text.
pub(super) fn setting(value: &str) -> Setting {
    let number = value.parse().ok().filter(|it: &f64| it.is_finite());
    let kind = match (value.parse(), number) {
        (Ok(truth), _) => Kind::Truth(truth),
        (_, Some(number)) => Kind::Number(number),
        _ => Kind::Text(plain(value).to_owned()),
    };
    Setting { kind: Some(kind) }
}

fn of_plugin(name: &str, content: Vec<u8>, description: &str, class: DataClass) -> Metadata {
    let plugin = Some(Plugin { name: name.to_owned(), content });
    Metadata { plugin, description: description.to_owned(), data_class: class.into() }
}
