//! The head: pooled features in, one score per class out.
//!
//! Its tensors are named like those of `torch.nn.Sequential(Linear, ReLU, [BatchNorm1d,] Dropout, …,
//! Linear)` under `classifier`, or under `fc` where torchvision and timm call it so, so that PyTorch can
//! load them. They begin as PyTorch's do.

use burn::tensor::Tensor;

use crate::model::backbone::Classifier;
use crate::model::layer::{Builder, Norm, Pass, normalize};
use crate::model::{Head as Settings, Pool};
use crate::torch::ops;
use crate::torch::parameters::{Init, Slot};
use crate::torch::precision::Precision;

/// The layers of a head.
#[derive(Debug, Clone)]
pub struct Head {
    pool: Pool,
    dropout: f64,
    hidden: Vec<Hidden>,
    classifier: Linear,
}

#[derive(Debug, Clone)]
struct Hidden {
    linear: Linear,
    norm: Option<Norm>,
}

#[derive(Debug, Clone)]
struct Linear {
    weight: Slot,
    bias: Slot,
}

impl Head {
    /// A head for `channels` feature maps of `positions` positions each, and `classes` classes; its
    /// tensors are called as `names` says.
    pub fn build(
        builder: &mut Builder,
        settings: &Settings,
        names: Classifier,
        [channels, positions, classes]: [usize; 3],
    ) -> Self {
        let mut width = match settings.pool {
            Pool::Avg => channels,
            Pool::Flatten => channels * positions,
        };
        let root = match names {
            Classifier::Sequence => "classifier",
            Classifier::Fc => "fc",
        };
        // Dropout counts in the sequence whether it drops anything or not.
        let mut position = usize::from(settings.layers.is_empty());
        let mut hidden = Vec::new();
        for &output in &settings.layers {
            let name = |ahead: usize| format!("{root}.{}", position + ahead);
            let linear = Linear::build(builder, &name(0), [width, output]);
            let norm = settings.batch_norm.then(|| builder.norm(&name(2), output));
            position += 3 + usize::from(settings.batch_norm);
            hidden.push(Hidden { linear, norm });
            width = output;
        }
        let name = if names == Classifier::Fc && hidden.is_empty() {
            root.to_owned()
        } else {
            format!("{root}.{position}")
        };
        let classifier = Linear::build(builder, &name, [width, classes]);
        Self { pool: settings.pool, dropout: settings.dropout, hidden, classifier }
    }

    /// - input: `[batch, channels, h, w]`
    /// - output: `[batch, features]` of 32-bit floats
    pub fn pool(&self, x: Tensor<4>) -> Tensor<2> {
        match self.pool {
            Pool::Avg => ops::average_pool(x),
            Pool::Flatten => Precision::F32.of(x.flatten(1, 3)),
        }
    }

    /// The weights of the hidden layers, in forward order.
    pub fn hidden_weights(&self) -> impl Iterator<Item = Slot> {
        self.hidden.iter().map(|it| it.linear.weight)
    }

    /// Whether pooling keeps one value per channel.
    pub fn averages(&self) -> bool {
        self.pool == Pool::Avg
    }

    /// Class scores; the products of hidden layers are of `precision`.
    ///
    /// - input: `[batch, features]`
    /// - output: `[batch, classes]`
    pub fn forward(&self, mut x: Tensor<2>, pass: Pass<'_>, precision: Precision) -> Tensor<2> {
        for Hidden { linear, norm } in &self.hidden {
            x = ops::relu(linear.forward(x, pass, precision));
            if let Some(norm) = norm {
                x = normalize(x, norm, pass);
            }
            x = self.drop_some(x, pass);
        }
        if self.hidden.is_empty() {
            x = self.drop_some(x, pass);
        }
        self.classifier.forward(x, pass, Precision::F32)
    }

    fn drop_some(&self, x: Tensor<2>, pass: Pass<'_>) -> Tensor<2> {
        if pass.training && self.dropout > 0.0 { ops::dropout(x, self.dropout) } else { x }
    }
}

impl Linear {
    fn build(builder: &mut Builder, name: &str, [input, output]: [usize; 2]) -> Self {
        let init = Init::Uniform { fan_in: input };
        Self {
            weight: builder.weight(format!("{name}.weight"), &[output, input], init),
            bias: builder.weight(format!("{name}.bias"), &[output], init),
        }
    }

    fn forward(&self, x: Tensor<2>, pass: Pass<'_>, precision: Precision) -> Tensor<2> {
        ops::linear(x, pass.parameters, [self.weight, self.bias], precision)
    }
}
