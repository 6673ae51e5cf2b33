//! A trained network as one ONNX file: gray levels in, class scores and probabilities out.
//!
//! The graph follows from the network as data (`model`), so what trains and what is exported are one description. Enlarging
//! and scaling of pixels are inside; finding faces, and shrinking pictures that are larger than the network's input, are not.

mod graph;
mod layers;
mod message;

use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::files::write_derived;
use ferrite_core::finished::Finished;
use prost::Message as _;
use serde_json::json;

use crate::export::network::{Network, key, seen};
use crate::export::onnx::graph::{Builder, Value, int, ints};
use crate::export::onnx::message::{
    Dimension, ElementKind, Entry, Graph, Model, OperatorSet, Shape, Size, TensorType, Type,
    ValueInfo,
};

/// The set of operators: the first one with `LayerNormalization`.
const OPERATOR_SET: i64 = 17;

/// The version of the file's format that came with it.
const FORMAT: i64 = 8;

/// Protocol buffers hold no more in one message.
const MOST_BYTES: usize = 2_147_483_647;

/// Writes the network of `run` to `path`.
///
/// # Errors
/// [`Error::Weights`] if a weight cannot be read, [`Error::Usage`] if the network is too large for the format,
/// [`Error::File`] if the file cannot be written.
pub(crate) fn write(run: &Finished, path: &Path) -> Result<()> {
    let model = model(run)?;
    if model.encoded_len() > MOST_BYTES {
        return Err(Error::Usage {
            message: format!("the network of `{}` is larger than 2 GB", run.record.name()),
            help: "an ONNX file holds no more; `ferrite export torch` has no such limit".into(),
        });
    }
    write_derived(path, &model.encode_to_vec())
}

fn model(run: &Finished) -> Result<Model> {
    let Network { backbone, head, norm, specs } = Network::of(run);
    let mut graph = Builder::new(&specs, &run.weights);
    let mut x = preprocessed(&mut graph, run);
    if let Some(norm) = &norm {
        x = graph.batch_norm(norm, &x)?;
    }
    let mut pixels = run.settings.data.image_size;
    for block in &backbone.blocks {
        x = graph.layers(&block.layers, x, pixels)?;
        pixels = block.layers.iter().fold(pixels, |it, layer| layer.side(it));
    }
    graph.head(&head, x, "logits")?;
    graph.node_called("probabilities", "Softmax", &["logits"], vec![int("axis", 1)]);
    let Builder { nodes, constants, .. } = graph;
    let classes = run.dataset.classes.len();
    let scores = |name: &str, said: &str| value(name, vec![free("batch"), fixed(classes)], said);
    let picture = vec![free("batch"), fixed(run.channels()), free("height"), free("width")];
    let graph = Graph {
        node: nodes,
        name: run.record.name(),
        initializer: constants,
        input: vec![value("image", picture, &seen(run))],
        output: vec![
            scores("logits", "a score for each class"),
            scores("probabilities", "the probability of each class"),
        ],
    };
    Ok(Model {
        ir_version: FORMAT,
        producer_name: "ferrite".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: seen(run),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATOR_SET }],
        metadata_props: facts(run),
    })
}

/// What the network gets of the picture called `image`.
///
/// - input: `[batch, 1 or 3, h, w]`, gray levels 0-255, red before green before blue
/// - output: `[batch, 3, size, size]`, scaled as the weights want it
fn preprocessed(graph: &mut Builder<'_>, run: &Finished) -> Value {
    let size = run.settings.data.image_size;
    let [rows, columns] = [2, 3].map(|axis| interpolation(graph, axis, size));
    let columns = graph.node("Transpose", &[&columns], vec![ints("perm", &[1, 0])]);
    let x = graph.node("MatMul", &["image", &columns], Vec::new());
    let mut x = graph.node("MatMul", &[&rows, &x], Vec::new());
    let (scale, shift, reversed) = run.input.scaling();
    if reversed && run.channels() == 3 {
        let order = graph.integers("blue_green_red", &[2, 1, 0]);
        x = graph.node("Gather", &[&x, &order], vec![int("axis", 1)]);
    }
    // One channel becomes three here.
    let scale = graph.floats("pixel_scale", &scale, &[1, 3, 1, 1]);
    let shift = graph.floats("pixel_shift", &shift, &[1, 3, 1, 1]);
    let x = graph.node("Mul", &[&x, &scale], Vec::new());
    graph.node("Add", &[&x, &shift], Vec::new())
}

/// What takes the positions of `axis` of the picture to `size` positions: bilinear interpolation with half-pixel centres.
///
/// As products and in 64 bits up to the weights: onnxruntime's `Resize` finds positions in 32 bits, and is off by 6e-4 gray
/// levels, from which a network makes more.
///
/// - output: `[size, positions]`
fn interpolation(graph: &mut Builder<'_>, axis: i64, size: usize) -> Value {
    let [zero, one, half] = [("zero_64", 0.0), ("one_64", 1.0), ("half_64", 0.5)]
        .map(|(name, value)| graph.doubles(name, &[value], &[]));
    let centres: Vec<f64> = (0..size).map(|it| (it as f64 + 0.5) / size as f64).collect();
    let centres = graph.doubles("centres", &centres, &[size, 1]);
    let index = graph.integer(&format!("axis_{axis}"), axis);
    let shape = graph.node("Shape", &["image"], Vec::new());
    let count = graph.node("Gather", &[&shape, &index], vec![int("axis", 0)]);
    let count = graph.node("Cast", &[&count], vec![int("to", ElementKind::Double as usize)]);
    let place = graph.node("Mul", &[&centres, &count], Vec::new());
    let place = graph.node("Sub", &[&place, &half], Vec::new());
    let last = graph.node("Sub", &[&count, &one], Vec::new());
    let place = graph.node("Clip", &[&place, &zero, &last], Vec::new());
    let positions = graph.node("Range", &[&zero, &count, &one], Vec::new());
    let distance = graph.node("Sub", &[&place, &positions], Vec::new());
    let distance = graph.node("Abs", &[&distance], Vec::new());
    let near = graph.node("Sub", &[&one, &distance], Vec::new());
    let weights = graph.node("Max", &[&near, &zero], Vec::new());
    graph.node("Cast", &[&weights], vec![int("to", ElementKind::Float as usize)])
}

fn facts(run: &Finished) -> Vec<Entry> {
    let all = [
        ("classes", json!(run.dataset.classes).to_string()),
        ("image_size", run.settings.data.image_size.to_string()),
        ("run", run.record.name()),
        ("key", key(run).to_owned()),
    ];
    all.map(|(key, value)| Entry { key: key.into(), value }).into()
}

fn value(name: &str, dim: Vec<Dimension>, said: &str) -> ValueInfo {
    let tensor = TensorType { elem_type: ElementKind::Float.into(), shape: Some(Shape { dim }) };
    let kind = Some(Type { tensor: Some(tensor) });
    ValueInfo { name: name.into(), kind, doc_string: said.into() }
}

fn free(name: &str) -> Dimension {
    Dimension { size: Some(Size::Free(name.into())) }
}

fn fixed(size: usize) -> Dimension {
    Dimension { size: Some(Size::Fixed(size as i64)) }
}
