//! The head as a pass runs it: pooled features in, one score per class out.

use burn::tensor::Tensor;

use crate::forward::layer::{Pass, normalize_vectors};
use crate::model::Pool;
use crate::model::head::{Head, Hidden, Linear};
use crate::precision::Precision;
use crate::torch::ops;
use crate::torch::precision::cast;

/// Feature maps as one vector.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, features]` of 32-bit floats
pub(super) fn pool(head: &Head, x: Tensor<4>) -> Tensor<2> {
    match head.pool {
        Pool::Avg => ops::average_pool(x),
        Pool::Flatten => cast(x.flatten(1, 3), Precision::F32),
    }
}

/// Class scores; the products of hidden layers are of `precision`.
///
/// - input: `[batch, features]`
/// - output: `[batch, classes]`
pub(super) fn classify(
    head: &Head,
    mut x: Tensor<2>,
    pass: Pass<'_>,
    precision: Precision,
) -> Tensor<2> {
    let drop_some = |x: Tensor<2>| {
        if pass.training && head.dropout > 0.0 { ops::dropout(x, head.dropout) } else { x }
    };
    for Hidden { linear, norm } in &head.hidden {
        x = ops::relu(multiply(linear, x, pass, precision));
        if let Some(norm) = norm {
            x = normalize_vectors(x, norm, pass);
        }
        x = drop_some(x);
    }
    if head.hidden.is_empty() {
        x = drop_some(x);
    }
    multiply(&head.classifier, x, pass, Precision::F32)
}

fn multiply(linear: &Linear, x: Tensor<2>, pass: Pass<'_>, precision: Precision) -> Tensor<2> {
    ops::linear(x, pass.parameters, [linear.weight, linear.bias], precision)
}
