//! A network for tests with the input and outputs of YuNet: every bright cell is a face.

use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::Dimension;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Extent;
use tract_onnx::pb::type_proto::{Tensor, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

/// What the network says of cells. Its score is the mean of `channels` over the cell's pixels, as shares of 255.
#[derive(Debug, Clone)]
pub(crate) struct Tiny {
    /// By what the scores of the grids of strides 8, 16 and 32 are multiplied.
    pub(crate) gains: [f32; 3],
    /// How much blue, green and red matter.
    pub(crate) channels: [f32; 3],
    /// Middle of the rectangle, from the cell's corner, and logarithms of its size, in strides.
    pub(crate) bounds: [f32; 4],
    /// The landmarks, from the cell's corner, in strides.
    pub(crate) landmarks: Vec<f32>,
}

impl Default for Tiny {
    /// Faces are bright cells of 32 pixels.
    fn default() -> Self {
        Self {
            gains: [0.0, 0.0, 1.0],
            channels: [1.0 / 3.0; 3],
            bounds: [0.5, 0.5, 0.0, 0.0],
            landmarks: vec![0.25, 0.25, 0.75, 0.25, 0.5, 0.5, 0.25, 0.75, 0.75, 0.75],
        }
    }
}

impl Tiny {
    /// The ONNX file, for input of 640 x 640 as YuNet's says it is.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut graph = GraphProto { name: "tiny".into(), ..Default::default() };
        graph.input.push(value("input", &[1, 3, 640, 640]));
        // As in YuNet, a convolution sees the colours first.
        let same = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        graph.initializer.push(floats("first", &[3, 3, 1, 1], &same));
        let kernel = [("kernel_shape", vec![1; 2])];
        graph.node.push(node("Conv", &["input".into(), "first".into()], "seen", &kernel));
        for (stride, gain) in [8, 16, 32].into_iter().zip(self.gains) {
            self.add_grid(&mut graph, stride, gain);
        }
        for (kind, numbers) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
            for stride in [8, 16, 32] {
                let cells = (640 / stride) * (640 / stride);
                graph.output.push(value(&format!("{kind}_{stride}"), &[1, cells, numbers]));
            }
        }
        let version = OperatorSetIdProto { domain: String::new(), version: 11 };
        let model = ModelProto {
            ir_version: 6,
            opset_import: vec![version],
            graph: Some(graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }

    fn add_grid(&self, graph: &mut GraphProto, stride: i64, gain: f32) {
        let pooled = format!("pooled_{stride}");
        let sides = [("kernel_shape", vec![stride; 2]), ("strides", vec![stride; 2])];
        graph.node.push(node("AveragePool", &["seen".into()], &pooled, &sides));
        let score = self.channels.map(|it| it * gain / 255.0);
        let heads: [(&str, &[f32], &[f32]); 4] = [
            ("cls", &score, &[0.0]),
            ("obj", &score, &[0.0]),
            ("bbox", &[0.0; 12], &self.bounds),
            ("kps", &vec![0.0; 3 * self.landmarks.len()], &self.landmarks),
        ];
        for (kind, weight, bias) in heads {
            let name = |it: &str| format!("{kind}_{stride}_{it}");
            let numbers = bias.len() as i64;
            graph.initializer.push(floats(&name("weight"), &[numbers, 3, 1, 1], weight));
            graph.initializer.push(floats(&name("bias"), &[numbers], bias));
            graph.initializer.push(integers(&name("shape"), &[1, -1, numbers]));
            let kernel = [("kernel_shape", vec![1; 2])];
            let inputs = [pooled.clone(), name("weight"), name("bias")];
            graph.node.push(node("Conv", &inputs, &name("map"), &kernel));
            let order = [("perm", vec![0, 2, 3, 1])];
            graph.node.push(node("Transpose", &[name("map")], &name("last"), &order));
            let inputs = [name("last"), name("shape")];
            graph.node.push(node("Reshape", &inputs, &format!("{kind}_{stride}"), &[]));
        }
    }
}

fn node(kind: &str, inputs: &[String], output: &str, lists: &[(&str, Vec<i64>)]) -> NodeProto {
    let list = |(name, ints): &(&str, Vec<i64>)| AttributeProto {
        name: (*name).into(),
        r#type: AttributeType::Ints.into(),
        ints: ints.clone(),
        ..Default::default()
    };
    NodeProto {
        op_type: kind.into(),
        name: output.into(),
        input: inputs.to_vec(),
        output: vec![output.into()],
        attribute: lists.iter().map(list).collect(),
        ..Default::default()
    }
}

fn value(name: &str, shape: &[i64]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|it| Dimension { denotation: String::new(), value: Some(Extent::DimValue(*it)) });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = Tensor { elem_type: DataType::Float.into(), shape };
    let kind = TypeProto { denotation: String::new(), value: Some(Value::TensorType(tensor)) };
    ValueInfoProto { name: name.into(), r#type: Some(kind), doc_string: String::new() }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: DataType::Float.into(),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: DataType::Int64.into(),
        int64_data: values.to_vec(),
        ..Default::default()
    }
}
