//! The head: pooled features in, one score per class out.
//!
//! Its tensors are named like those of `torch.nn.Sequential(Linear, ReLU, [BatchNorm1d,] Dropout, …,
//! Linear)` under `classifier`, or under `fc` where torchvision and timm call it so, so that PyTorch can
//! load them. They begin as PyTorch's do.

use crate::model::backbone::Classifier;
use crate::model::layer::Builder;
use crate::model::layer::{LayerNorm, Norm};
use crate::model::spec::{Init, Slot};
use crate::model::{Head as Settings, Pool};

/// The layers of a head.
#[derive(Debug, Clone)]
pub struct Head {
    /// How feature maps become one vector.
    pub pool: Pool,
    /// The backbone's layer norm behind the pooling, if it has one.
    pub norm: Option<LayerNorm>,
    /// Probability of dropping a value behind each hidden layer, or before the classifier if there is none.
    pub dropout: f64,
    /// Its hidden layers.
    pub hidden: Vec<Hidden>,
    /// The layer that gives the class scores.
    pub classifier: Linear,
}

/// A hidden layer: linear, ReLU, batch norm if there is one, dropout.
#[derive(Debug, Clone)]
pub struct Hidden {
    /// Its products.
    pub linear: Linear,
    /// The batch norm behind its ReLU.
    pub norm: Option<Norm>,
}

/// A linear layer's parameters.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Weights, `[out, in]`.
    pub weight: Slot,
    /// Shift of each output.
    pub bias: Slot,
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
        // Dropout counts in the sequence whether it drops anything or not.
        let behind_dropout = usize::from(settings.layers.is_empty());
        let (root, norm, mut position) = match names {
            Classifier::Sequence => ("classifier", None, behind_dropout),
            // torchvision's sequence has no dropout behind its norm and its flattening.
            Classifier::BehindNorm(norm) => ("classifier", Some(norm), 2),
            Classifier::Fc => ("fc", None, behind_dropout),
        };
        let mut hidden = Vec::new();
        for &output in &settings.layers {
            let name = |ahead: usize| format!("{root}.{}", position + ahead);
            let linear = Linear::build(builder, &name(0), [width, output]);
            let norm = settings.batch_norm.then(|| builder.norm(&name(2), output));
            position += 3 + usize::from(settings.batch_norm);
            hidden.push(Hidden { linear, norm });
            width = output;
        }
        let name = if matches!(names, Classifier::Fc) && hidden.is_empty() {
            root.to_owned()
        } else {
            format!("{root}.{position}")
        };
        let classifier = Linear::build(builder, &name, [width, classes]);
        Self { pool: settings.pool, norm, dropout: settings.dropout, hidden, classifier }
    }

    /// The weights of the hidden layers, in forward order.
    pub fn hidden_weights(&self) -> impl Iterator<Item = Slot> {
        self.hidden.iter().map(|it| it.linear.weight)
    }
    /// Whether pooling keeps one value per channel.
    pub fn averages(&self) -> bool {
        self.pool == Pool::Avg
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
}
