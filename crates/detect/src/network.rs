//! The network of YuNet, computed by tract: pixels in, candidates out.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ferrite_core::data::faces::found::Face;
use ferrite_core::error::{Error, Result};
use tract_onnx::pb::{GraphProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::{bail, ensure};

use crate::candidates::Grid;

/// Pixels of the network's input between one cell and the next, for its three grids.
const STRIDES: [usize; 3] = [8, 16, 32];

/// What the network says of each cell of a grid, in the order of its outputs: numbers of the class, the object, the
/// rectangle and the landmarks. Each comes for all three grids.
const NUMBERS: [usize; 4] = [1, 1, 4, 10];

/// The sides of the input are multiples of this, so that all grids are whole.
const MULTIPLE: usize = 32;

/// The most plans that are kept.
const MOST_PLANS: usize = 64;

/// A network made ready for input of one height and width.
type Plan = Arc<TypedRunnableModel>;

/// The network, and plans for the shapes (height, width, channels) that were asked for last.
pub(crate) struct Network {
    path: PathBuf,
    colour: InferenceModel,
    gray: InferenceModel,
    plans: RwLock<HashMap<[usize; 3], Plan>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Network {
    /// The network that `bytes` of the ONNX file at `path` describe. They are trusted: tract panics at some that are none.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is another network.
    pub(crate) fn new(path: &Path, bytes: &[u8]) -> Result<Self> {
        let parsed = |channels| parsed(bytes, channels).map_err(|it| damaged(path, &it));
        let (colour, gray) = (parsed(3)?, parsed(1)?);
        let network = Self { path: path.to_owned(), colour, gray, plans: RwLock::default() };
        network.plan([MULTIPLE, MULTIPLE, 3])?;
        Ok(network)
    }

    /// The faces of at least the score `least` in a picture with pixels of this `shape` (height, width, channels).
    ///
    /// # Errors
    /// [`Error::Damaged`] if the network cannot be computed.
    pub(crate) fn find(&self, pixels: &[u8], shape: [usize; 3], least: f32) -> Result<Vec<Face>> {
        let [height, width] = [shape[0], shape[1]].map(|it| it.next_multiple_of(MULTIPLE));
        let plan = self.plan([height, width, shape[2]])?;
        input(pixels, shape, [height, width])
            .and_then(|it| plan.run(tvec!(it.into())))
            .and_then(|it| faces(&it, width, least))
            .map_err(|it| damaged(&self.path, &it))
    }

    /// The plan for input of this height, width and channels. Threads that want the same one at once each make it, rather than wait
    /// for each other.
    fn plan(&self, shape: [usize; 3]) -> Result<Plan> {
        let known = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = known.get(&shape) {
            return Ok(plan.clone());
        }
        drop(known);
        let model = if shape[2] == 1 { &self.gray } else { &self.colour };
        let plan = planned(model, shape).map_err(|it| damaged(&self.path, &it))?;
        let mut plans = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= MOST_PLANS {
            plans.clear();
        }
        plans.insert(shape, plan.clone());
        Ok(plan)
    }
}

fn damaged(path: &Path, why: &TractError) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: format!("it is not the network of YuNet: {}", why.root_cause()),
        help: "delete it: it is then downloaded again".into(),
    }
}

/// The network that an ONNX file holds, for pictures of so many channels. The sizes that it names for its intermediate results and outputs are those of an
/// input of 640 x 640, and tract would hold others against them.
fn parsed(bytes: &[u8], channels: usize) -> TractResult<InferenceModel> {
    let onnx = onnx().with_ignore_value_info(true).with_ignore_output_shapes(true);
    let mut file = onnx.proto_model_for_read(&mut &bytes[..])?;
    if let Some(graph) = &mut file.graph {
        if channels == 1 {
            see_gray(graph)?;
        }
        graph.node = std::mem::take(&mut graph.node).into_iter().flat_map(in_two_steps).collect();
    }
    onnx.model_for_proto_model(&file)
}

/// Makes the first convolution see one channel instead of three equal ones: its weights for them are summed up, which
/// saves a tenth of the network's time.
fn see_gray(graph: &mut GraphProto) -> TractResult<()> {
    let first = graph.node.iter().find(|it| {
        it.op_type == "Conv"
            && !graph.input.is_empty()
            && it.input.first() == Some(&graph.input[0].name)
    });
    let weights = first.and_then(|it| it.input.get(1).cloned());
    let tensor = weights.and_then(|name| graph.initializer.iter_mut().find(|it| it.name == name));
    let Some(tensor) = tensor.filter(|it| it.dims.len() == 4 && it.dims[1] == 3) else {
        bail!("its first convolution does not see three channels")
    };
    let numbers: Vec<f32> = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let number = |it: &[u8]| it.try_into().map_or(f32::NAN, f32::from_le_bytes);
        tensor.raw_data.chunks_exact(4).map(number).collect()
    };
    let window = (tensor.dims[2] * tensor.dims[3]) as usize;
    ensure!(numbers.len() == tensor.dims[0] as usize * 3 * window, "its first weights are cut off");
    let summed = |it: &[f32]| {
        (0..window).map(|at| it[at] + it[window + at] + it[2 * window + at]).collect::<Vec<_>>()
    };
    tensor.float_data = numbers.chunks_exact(3 * window).flat_map(summed).collect();
    tensor.raw_data = Default::default();
    tensor.dims[1] = 1;
    Ok(())
}

/// The maxima of 2 x 2 pixels as those of columns and then of rows, which are the same: tract has no vector instructions
/// for the former where windows do not overlap.
fn in_two_steps(node: NodeProto) -> Vec<NodeProto> {
    if node.op_type != "MaxPool" {
        return vec![node];
    }
    let [mut columns, mut rows] = [node.clone(), node];
    for (step, sides) in [(&mut columns, [2, 1]), (&mut rows, [1, 2])] {
        for it in &mut step.attribute {
            if ["kernel_shape", "strides"].contains(&it.name.as_str()) && it.ints == [2, 2] {
                it.ints = sides.to_vec();
            }
        }
    }
    columns.output[0].push_str("/columns");
    columns.name.push_str("/columns");
    rows.input.clone_from(&columns.output);
    vec![columns, rows]
}

fn planned(model: &InferenceModel, [height, width, channels]: [usize; 3]) -> TractResult<Plan> {
    ensure!(model.inputs.len() == 1, "it has {} inputs", model.inputs.len());
    let fact = f32::fact([1, channels, height, width]);
    let model = model.clone().with_input_fact(0, fact.into())?.into_optimized()?;
    let expected: Vec<[usize; 3]> = NUMBERS
        .iter()
        .flat_map(|it| STRIDES.map(|stride| [1, height / stride * (width / stride), *it]))
        .collect();
    ensure!(model.outputs.len() == expected.len(), "it has {} outputs", model.outputs.len());
    for (at, expected) in expected.iter().enumerate() {
        let fact = model.output_fact(at)?;
        let fits =
            fact.datum_type == f32::datum_type() && fact.shape.as_concrete() == Some(expected);
        ensure!(fits, "an output is {fact:?} instead of {expected:?}");
    }
    model.into_runnable()
}

/// The network's input: gray levels 0-255 of gray, or of blue, green and red, with zeros right of the picture and below it.
fn input(pixels: &[u8], shape: [usize; 3], [height, width]: [usize; 2]) -> TractResult<Tensor> {
    let channels = shape[2];
    let mut tensor = Tensor::zero::<f32>(&[1, channels, height, width])?;
    let mut plain = tensor.try_as_plain_ram_mut()?;
    let planes = plain.as_slice_mut::<f32>()?;
    for (at, plane) in planes.chunks_exact_mut(height * width).enumerate() {
        let channel = channels - 1 - at;
        let rows = plane.chunks_exact_mut(width).zip(pixels.chunks_exact(shape[1] * channels));
        for (row, pixels) in rows {
            for (value, pixel) in row.iter_mut().zip(pixels.chunks_exact(channels)) {
                *value = f32::from(pixel[channel]);
            }
        }
    }
    Ok(tensor)
}

/// The faces of at least the score `least` in the outputs for an input of this `width`.
fn faces(outputs: &[TValue], width: usize, least: f32) -> TractResult<Vec<Face>> {
    let mut faces = Vec::new();
    for (at, stride) in STRIDES.into_iter().enumerate() {
        let plain = |kind: usize| outputs[kind * STRIDES.len() + at].try_as_plain_ram();
        let [class, object, bounds, landmarks] = [plain(0)?, plain(1)?, plain(2)?, plain(3)?];
        let grid = Grid {
            stride,
            columns: width / stride,
            class: class.as_slice()?,
            object: object.as_slice()?,
            bounds: bounds.as_slice()?,
            landmarks: landmarks.as_slice()?,
        };
        grid.add_to(&mut faces, least);
    }
    Ok(faces)
}
