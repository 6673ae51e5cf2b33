//! Layers as Keras's. The network is the one that `ferrite_core::model` describes; what one of Keras's layers does in one is
//! put together: `padding = "same"`, separable convolutions, an activation behind a convolution.

use ferrite_core::error::Result;
use ferrite_core::model::Pool;
use ferrite_core::model::head::{Head, Linear};
use ferrite_core::model::layer::{ConvShape, ConvSlots, Layer, Norm, PoolShape};
use serde_json::{Value, json};

use crate::export::keras::graph::{
    BATCH_NORM, Builder, CONVOLUTION, DENSE, DEPTHWISE, Name, Output, SEPARABLE, Shape, plain,
};

/// Where Keras's convolutions and poolings look.
#[derive(Clone, Copy)]
enum Padding {
    /// Within the input.
    Valid,
    /// Around it as well, so that nothing is left out.
    Same,
}

impl Padding {
    fn name(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Same => "same",
        }
    }

    /// Sides and channels of what windows of `kernel` by `stride` make of `shape`.
    fn shape(self, shape: &Shape, [kernel, stride]: [usize; 2], channels: usize) -> Shape {
        let side = |side: &Option<usize>| {
            side.map(|it| match self {
                Self::Valid => (it - kernel) / stride + 1,
                Self::Same => it.div_ceil(stride),
            })
        };
        vec![side(&shape[0]), side(&shape[1]), Some(channels)]
    }
}

impl Builder<'_> {
    /// What `layers` make of `x`, one after the other.
    pub(super) fn layers(&mut self, layers: &[Layer], mut x: Output) -> Result<Output> {
        let mut left = layers;
        while !left.is_empty() {
            (x, left) = self.first(left, x)?;
        }
        Ok(x)
    }

    /// What as many of `layers` as are one of Keras's make of `x`, and the others.
    fn first<'l>(&mut self, layers: &'l [Layer], x: Output) -> Result<(Output, &'l [Layer])> {
        use Padding::{Same, Valid};
        Ok(match layers {
            // Keras's own networks pad by a layer where their windows are depthwise or the same on both sides.
            [Layer::Same(padding), Layer::Conv(slots, shape), rest @ ..] if shape.groups > 1 => {
                let side = self.shape(x)[0].expect("pictures have one size behind preprocessing");
                let x = self.zeros(padding.around(side), x);
                (self.depthwise(slots, (*shape, Valid), x)?, rest)
            }
            [Layer::Same(_), Layer::Conv(slots, shape), rest @ ..] => {
                (self.convolution(slots, (*shape, Same), "linear", x)?, rest)
            }
            [Layer::Same(_), Layer::MaxPool(shape), rest @ ..] => {
                (self.max_pool(*shape, Same, x), rest)
            }
            [Layer::Conv(depthwise, shape), Layer::Conv(pointwise, _), rest @ ..]
                if shape.groups > 1 =>
            {
                (self.separable([depthwise, pointwise], *shape, x)?, rest)
            }
            [Layer::Conv(slots, shape), rest @ ..] if shape.groups > 1 => {
                (self.depthwise(slots, (*shape, Same), x)?, rest)
            }
            [Layer::Conv(slots, shape), Layer::Relu, rest @ ..] => {
                (self.padded(slots, *shape, "relu", x)?, rest)
            }
            [Layer::Conv(slots, shape), rest @ ..] => {
                (self.padded(slots, *shape, "linear", x)?, rest)
            }
            [Layer::Norm(norm), rest @ ..] => {
                (self.batch_norm(Name::Of(norm.slots.weight), norm, x)?, rest)
            }
            [Layer::Relu, rest @ ..] => (self.relu(json!({ "activation": "relu" }), x), rest),
            [Layer::Relu6, rest @ ..] => (self.relu(json!({ "max_value": 6.0 }), x), rest),
            [Layer::MaxPool(shape), rest @ ..] => {
                let x = self.zeros([shape.padding; 2], x);
                (self.max_pool(*shape, Valid, x), rest)
            }
            [Layer::Residual { body, shortcut }, rest @ ..] => {
                (self.residual(body, shortcut, x)?, rest)
            }
            _ => unreachable!("no network of Keras's that is known here has another layer"),
        })
    }

    /// A convolution whose description pads both sides alike.
    fn padded(
        &mut self,
        slots: &ConvSlots,
        shape: ConvShape,
        activation: &str,
        x: Output,
    ) -> Result<Output> {
        // With windows at every position that is what "same" does.
        if shape.padding > 0 && shape.stride == 1 {
            return self.convolution(slots, (shape, Padding::Same), activation, x);
        }
        let x = self.zeros([shape.padding; 2], x);
        self.convolution(slots, (shape, Padding::Valid), activation, x)
    }

    fn convolution(
        &mut self,
        slots: &ConvSlots,
        (shape, padding): (ConvShape, Padding),
        activation: &str,
        x: Output,
    ) -> Result<Output> {
        let filters = self.dims(slots.weight)[0];
        let mut variables = vec![self.variable(slots.weight, &[2, 3, 1, 0])?];
        if let Some(bias) = slots.bias {
            variables.push(self.variable(bias, &[0])?);
        }
        let mut settings = windows(shape, padding);
        settings["filters"] = json!(filters);
        settings["use_bias"] = json!(slots.bias.is_some());
        settings["activation"] = json!(activation);
        let shape = padding.shape(self.shape(x), [shape.kernel, shape.stride], filters);
        let name = (Name::Of(slots.weight), CONVOLUTION);
        Ok(self.with_variables(name, settings, &[x], (shape, variables)))
    }

    fn depthwise(
        &mut self,
        slots: &ConvSlots,
        (shape, padding): (ConvShape, Padding),
        x: Output,
    ) -> Result<Output> {
        let variables = vec![self.variable(slots.weight, &[2, 3, 0, 1])?];
        let mut settings = windows(shape, padding);
        settings["use_bias"] = json!(false);
        let shape = padding.shape(self.shape(x), [shape.kernel, shape.stride], shape.groups);
        let name = (Name::Of(slots.weight), DEPTHWISE);
        Ok(self.with_variables(name, settings, &[x], (shape, variables)))
    }

    /// A depthwise convolution and one over the channels of each position, which are one layer of Keras's.
    fn separable(
        &mut self,
        [depthwise, pointwise]: [&ConvSlots; 2],
        shape: ConvShape,
        x: Output,
    ) -> Result<Output> {
        let filters = self.dims(pointwise.weight)[0];
        let variables = vec![
            self.variable(depthwise.weight, &[2, 3, 0, 1])?,
            self.variable(pointwise.weight, &[2, 3, 1, 0])?,
        ];
        let mut settings = windows(shape, Padding::Same);
        settings["filters"] = json!(filters);
        settings["use_bias"] = json!(false);
        let shape = Padding::Same.shape(self.shape(x), [shape.kernel, shape.stride], filters);
        let name = (Name::Of(depthwise.weight), SEPARABLE);
        Ok(self.with_variables(name, settings, &[x], (shape, variables)))
    }

    /// A batch norm with its running statistics.
    pub(super) fn batch_norm(&mut self, name: Name<'_>, norm: &Norm, x: Output) -> Result<Output> {
        let slots = norm.slots;
        let mut variables = Vec::new();
        for slot in [slots.weight, slots.bias, slots.mean, slots.variance] {
            variables.push(self.variable(slot, &[0])?);
        }
        // Keras counts the other share.
        let settings = json!({ "axis": -1, "momentum": 1.0 - norm.momentum, "epsilon": norm.eps });
        let shape = self.shape(x).clone();
        Ok(self.with_variables((name, BATCH_NORM), settings, &[x], (shape, variables)))
    }

    fn relu(&mut self, settings: Value, x: Output) -> Output {
        let class = if settings.get("activation").is_some() { "Activation" } else { "ReLU" };
        let shape = self.shape(x).clone();
        self.layer((Name::Next, plain(class)), settings, &[x], shape)
    }

    /// So many rows and columns of zeros before and behind; nothing where there are none. In front of a pooling they are
    /// what Keras has there, behind a ReLU, where nothing is less.
    fn zeros(&mut self, around: [usize; 2], x: Output) -> Output {
        if around == [0, 0] {
            return x;
        }
        let settings = json!({ "padding": [around, around], "data_format": "channels_last" });
        let mut shape = self.shape(x).clone();
        for side in shape[..2].iter_mut().flatten() {
            *side += around[0] + around[1];
        }
        self.layer((Name::Next, plain("ZeroPadding2D")), settings, &[x], shape)
    }

    fn max_pool(&mut self, shape: PoolShape, padding: Padding, x: Output) -> Output {
        let settings = json!({
            "pool_size": [shape.kernel, shape.kernel],
            "strides": [shape.stride, shape.stride],
            "padding": padding.name(),
            "data_format": "channels_last",
        });
        let channels = self.shape(x)[2].expect("the number of channels is known");
        let shape = padding.shape(self.shape(x), [shape.kernel, shape.stride], channels);
        self.layer((Name::Next, plain("MaxPooling2D")), settings, &[x], shape)
    }

    fn residual(&mut self, body: &[Layer], shortcut: &[Layer], x: Output) -> Result<Output> {
        let learned = self.layers(body, x)?;
        let other = self.layers(shortcut, x)?;
        // When it opens the file, Keras counts the layers of both ways in the order of the sum's inputs.
        let mut both = [learned, other];
        both.sort_by_key(|it| self.place(*it));
        let shape = self.shape(learned).clone();
        Ok(self.layer((Name::Next, plain("Add")), json!({}), &both, shape))
    }

    /// Class scores of feature maps.
    pub(super) fn scores(&mut self, head: &Head, x: Output) -> Result<Output> {
        let maps: Vec<usize> = self.shape(x).iter().flatten().copied().collect();
        let [side, channels] = [maps[0], maps[2]];
        let format = json!({ "data_format": "channels_last" });
        let (mut x, mut positions) = match head.pool {
            Pool::Avg => {
                let name = (Name::Own("avg_pool"), plain("GlobalAveragePooling2D"));
                (self.layer(name, format, &[x], vec![Some(channels)]), 1)
            }
            Pool::Flatten => {
                let all = side * side * channels;
                let name = (Name::Own("flatten"), plain("Flatten"));
                (self.layer(name, format, &[x], vec![Some(all)]), side)
            }
        };
        for (hidden, index) in head.hidden.iter().zip(1..) {
            let name = format!("hidden_{index}");
            x = self.linear(&name, (&hidden.linear, positions), "relu", x)?;
            positions = 1;
            if let Some(norm) = &hidden.norm {
                x = self.batch_norm(Name::Own(&format!("{name}_bn")), norm, x)?;
            }
            x = self.dropout(&format!("{name}_dropout"), head.dropout, x);
        }
        if head.hidden.is_empty() {
            x = self.dropout("dropout", head.dropout, x);
        }
        self.linear("logits", (&head.classifier, positions), "linear", x)
    }

    /// Drops values in training, if `rate` says so.
    fn dropout(&mut self, name: &str, rate: f64, x: Output) -> Output {
        if rate == 0.0 {
            return x;
        }
        let shape = self.shape(x).clone();
        self.layer((Name::Own(name), plain("Dropout")), json!({ "rate": rate }), &[x], shape)
    }

    /// A linear layer of what has `side` rows and columns of positions, of which PyTorch counts those of a channel in a row,
    /// and Keras the channels of a position.
    fn linear(
        &mut self,
        name: &str,
        (linear, side): (&Linear, usize),
        activation: &str,
        x: Output,
    ) -> Result<Output> {
        let [units, inputs] = [0, 1].map(|it| self.dims(linear.weight)[it]);
        let dims = [units, inputs / (side * side), side, side];
        let mut kernel = self.variable_as(linear.weight, &dims, &[2, 3, 1, 0])?;
        kernel.shape = vec![inputs, units];
        let variables = vec![kernel, self.variable(linear.bias, &[0])?];
        let settings = json!({ "units": units, "activation": activation, "use_bias": true });
        let name = (Name::Own(name), DENSE);
        Ok(self.with_variables(name, settings, &[x], (vec![Some(units)], variables)))
    }
}

/// The settings of a convolution's windows.
fn windows(shape: ConvShape, padding: Padding) -> Value {
    json!({
        "kernel_size": [shape.kernel, shape.kernel],
        "strides": [shape.stride, shape.stride],
        "padding": padding.name(),
        "data_format": "channels_last",
    })
}
