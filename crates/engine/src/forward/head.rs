//! The head as a pass runs it: pooled features in, one score per class out.

use burn::tensor::Tensor;
use ferrite_core::model::Pool;
use ferrite_core::model::head::{Head, Hidden, Linear};
use ferrite_core::precision::Precision;
use ferrite_torch::ops;
use ferrite_torch::precision::cast;

use crate::forward::layer::{Pass, normalize_vectors};

/// Feature maps as one vector, behind the backbone's last layer norm if it has one.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, features]` of 32-bit floats
pub(super) fn pool(head: &Head, x: Tensor<4>, pass: Pass<'_>) -> Tensor<2> {
    let x = match (head.norm, head.pool) {
        (Some(norm), Pool::Avg) => {
            ops::layer_norm(ops::channel_means(cast(x, Precision::F32)), pass.parameters, norm)
        }
        (Some(norm), Pool::Flatten) => {
            ops::layer_norm(cast(x, Precision::F32), pass.parameters, norm)
        }
        (None, _) => x,
    };
    match head.pool {
        Pool::Avg => ops::average_pool(x),
        Pool::Flatten => cast(x.flatten(1, 3), Precision::F32),
    }
}

/// A pass through a head, and the precision of the products in its hidden layers.
#[derive(Clone, Copy)]
struct HeadPass<'a> {
    pass: Pass<'a>,
    precision: Precision,
}

/// Class scores; the products of hidden layers are of `precision`.
///
/// - input: `[batch, features]`
/// - output: `[batch, classes]`
pub(super) fn classify(
    head: &Head,
    x: Tensor<2>,
    pass: Pass<'_>,
    precision: Precision,
) -> Tensor<2> {
    let drop_some = |x: Tensor<2>| {
        if pass.training && head.dropout > 0.0 { ops::dropout(x, head.dropout) } else { x }
    };
    let x = before_classifier(head, x, HeadPass { pass, precision }, drop_some);
    multiply(&head.classifier, x, pass, Precision::F32)
}

/// Share of the values that reach a dropout and are set to 0 by it, drawn from LibTorch's generator; none without
/// dropout.
///
/// - input: `[batch, features]`
pub(super) fn dropped(
    head: &Head,
    x: Tensor<2>,
    pass: Pass<'_>,
    precision: Precision,
) -> Option<f64> {
    let mut sums = [0, 0];
    let counted = |x: Tensor<2>| {
        let kept = ops::dropout(x.clone(), head.dropout);
        let counts = ops::zeroed(x, kept.clone());
        sums = [sums[0] + counts[0], sums[1] + counts[1]];
        kept
    };
    if head.dropout == 0.0 {
        return None;
    }
    before_classifier(head, x, HeadPass { pass, precision }, counted);
    let [there, gone] = sums.map(|it| it as f64);
    (there > 0.0).then(|| gone / there)
}

/// What the classifier gets; `drop` is what happens where dropout stands.
fn before_classifier(
    head: &Head,
    mut x: Tensor<2>,
    HeadPass { pass, precision }: HeadPass<'_>,
    mut drop: impl FnMut(Tensor<2>) -> Tensor<2>,
) -> Tensor<2> {
    for Hidden { linear, norm } in &head.hidden {
        x = ops::relu(multiply(linear, x, pass, precision));
        if let Some(norm) = norm {
            x = normalize_vectors(x, norm, pass);
        }
        x = drop(x);
    }
    if head.hidden.is_empty() { drop(x) } else { x }
}

fn multiply(linear: &Linear, x: Tensor<2>, pass: Pass<'_>, precision: Precision) -> Tensor<2> {
    ops::linear(x, pass.parameters, [linear.weight, linear.bias], precision)
}
