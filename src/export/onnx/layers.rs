//! Layers as operators. The network is the one that `ferrite_core::model` describes, so every backbone has its graph.

use ferrite_core::error::Result;
use ferrite_core::model::Pool;
use ferrite_core::model::head::{Head, Linear};
use ferrite_core::model::layer::{
    ConvShape, ConvSlots, Layer, LayerNorm, Norm, PaddingValue, PoolShape, SamePadding,
};

use crate::export::onnx::graph::{Builder, Value, float, int, ints};

impl Builder<'_> {
    /// What `layers` make of `x`, which is `side` pixels high and wide, one after the other.
    ///
    /// - input: `[batch, channels, side, side]`
    /// - output: `[batch, channels', h', w']`
    pub(super) fn layers(
        &mut self,
        layers: &[Layer],
        mut x: Value,
        mut side: usize,
    ) -> Result<Value> {
        for layer in layers {
            x = self.layer(layer, x, side)?;
            side = layer.side(side);
        }
        Ok(x)
    }

    fn layer(&mut self, layer: &Layer, x: Value, side: usize) -> Result<Value> {
        Ok(match layer {
            Layer::Conv(slots, shape) => self.convolution(slots, shape, &x)?,
            Layer::Norm(norm) => self.batch_norm(norm, &x)?,
            Layer::LayerNorm(norm) => self.layer_norm(norm, &x)?,
            Layer::Scale(factors) => {
                let factors = self.weight(*factors)?;
                self.node("Mul", &[&x, &factors], Vec::new())
            }
            Layer::Relu => self.node("Relu", &[&x], Vec::new()),
            Layer::Relu6 => {
                let bounds =
                    [("zero", 0.0), ("six", 6.0)].map(|it| self.floats(it.0, &[it.1], &[]));
                self.node("Clip", &[&x, &bounds[0], &bounds[1]], Vec::new())
            }
            Layer::Silu => {
                let gate = self.node("Sigmoid", &[&x], Vec::new());
                self.node("Mul", &[&x, &gate], Vec::new())
            }
            Layer::Gelu => self.gelu(&x),
            Layer::MaxPool(shape) => self.max_pool(shape, &x),
            Layer::Same(padding) => self.pad(*padding, &x, side),
            Layer::Excite(layers) => {
                let means = self.node("GlobalAveragePool", &[&x], Vec::new());
                let factors = self.layers(layers, means, 1)?;
                let factors = self.node("Sigmoid", &[&factors], Vec::new());
                self.node("Mul", &[&x, &factors], Vec::new())
            }
            // It acts in training alone.
            Layer::StochasticDepth(_) => x,
            Layer::Residual { body, shortcut } => {
                let learned = self.layers(body, x.clone(), side)?;
                let other = self.layers(shortcut, x, side)?;
                self.node("Add", &[&learned, &other], Vec::new())
            }
        })
    }

    fn convolution(&mut self, slots: &ConvSlots, shape: &ConvShape, x: &str) -> Result<Value> {
        let ConvShape { kernel, stride, padding, groups } = *shape;
        // Weight files have a linear layer in the place of some windows of one position.
        let kernels = match *self.shape(slots.weight) {
            [output, input] => self.weight_as(slots.weight, &[output, input, 1, 1])?,
            _ => self.weight(slots.weight)?,
        };
        let bias = slots.bias.map(|it| self.weight(it)).transpose()?;
        let inputs: Vec<&str> = [x, &kernels].into_iter().chain(bias.as_deref()).collect();
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
            int("group", groups),
        ];
        Ok(self.node("Conv", &inputs, attributes))
    }

    /// By its running statistics.
    pub(super) fn batch_norm(&mut self, norm: &Norm, x: &str) -> Result<Value> {
        let slots = norm.slots;
        let mut inputs = vec![x.to_owned()];
        for slot in [slots.weight, slots.bias, slots.mean, slots.variance] {
            inputs.push(self.weight(slot)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.node("BatchNormalization", &inputs, vec![float("epsilon", norm.eps)]))
    }

    /// Over the channels of each position; the operator takes the last dimensions.
    fn layer_norm(&mut self, norm: &LayerNorm, x: &str) -> Result<Value> {
        let (weight, bias) = (self.weight(norm.weight)?, self.weight(norm.bias)?);
        let last = self.node("Transpose", &[x], vec![ints("perm", &[0, 2, 3, 1])]);
        let attributes = vec![int("axis", 3), float("epsilon", norm.eps)];
        let normed = self.node("LayerNormalization", &[&last, &weight, &bias], attributes);
        Ok(self.node("Transpose", &[&normed], vec![ints("perm", &[0, 3, 1, 2])]))
    }

    /// `x / 2 · (1 + erf(x / √2))`; an operator of its own came with a later set.
    fn gelu(&mut self, x: &str) -> Value {
        let [root, one, half] =
            [("root_half", std::f32::consts::FRAC_1_SQRT_2), ("one", 1.0), ("half", 0.5)]
                .map(|it| self.floats(it.0, &[it.1], &[]));
        let scaled = self.node("Mul", &[x, &root], Vec::new());
        let error = self.node("Erf", &[&scaled], Vec::new());
        let share = self.node("Add", &[&error, &one], Vec::new());
        let halved = self.node("Mul", &[x, &half], Vec::new());
        self.node("Mul", &[&halved, &share], Vec::new())
    }

    fn max_pool(&mut self, shape: &PoolShape, x: &str) -> Value {
        let PoolShape { kernel, stride, padding } = *shape;
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[padding; 4]),
        ];
        self.node("MaxPool", &[x], attributes)
    }

    /// Rows and columns around an input of `side` of each.
    fn pad(&mut self, padding: SamePadding, x: &str, side: usize) -> Value {
        let [before, behind] = padding.around(side).map(|it| it as i64);
        let pads = [0, 0, before, before, 0, 0, behind, behind];
        let pads = self.integers(&format!("around_{before}_{behind}"), &pads);
        let (name, value) = match padding.value {
            PaddingValue::Zero => ("zero", 0.0),
            PaddingValue::Lowest => ("lowest", f32::MIN),
        };
        let value = self.floats(name, &[value], &[]);
        self.node("Pad", &[x, &pads, &value], Vec::new())
    }

    /// Class scores of feature maps.
    ///
    /// - input: `[batch, channels, h, w]`
    /// - output: `[batch, classes]`, called `output`
    pub(super) fn head(&mut self, head: &Head, x: Value, output: &str) -> Result<()> {
        let mut x = match head.pool {
            Pool::Avg => self.node("GlobalAveragePool", &[&x], Vec::new()),
            Pool::Flatten => x,
        };
        if let Some(norm) = &head.norm {
            x = self.layer_norm(norm, &x)?;
        }
        x = self.node("Flatten", &[&x], vec![int("axis", 1)]);
        for hidden in &head.hidden {
            let name = format!("hidden_{}", self.nodes.len());
            self.linear(&hidden.linear, &x, &name)?;
            x = self.node("Relu", &[&name], Vec::new());
            if let Some(norm) = &hidden.norm {
                x = self.batch_norm(norm, &x)?;
            }
        }
        self.linear(&head.classifier, &x, output)
    }

    fn linear(&mut self, linear: &Linear, x: &str, output: &str) -> Result<()> {
        let (weight, bias) = (self.weight(linear.weight)?, self.weight(linear.bias)?);
        self.node_called(output, "Gemm", &[x, &weight, &bias], vec![int("transB", 1)]);
        Ok(())
    }
}
