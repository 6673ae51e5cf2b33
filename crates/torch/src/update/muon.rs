//! A step of Muon over one matrix (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>).
//!
//! Kernels of convolutions lie `[out, h, w, in]` here and `[out, in, h, w]` in PyTorch: as matrices with a row for each
//! filter they differ in the order of the columns. For a permutation P the products of X P with its transpose are those
//! of X, so the iteration gives what it gives for X, times P: the same step for the same weight.

use ferrite_core::settings::rule::MuonRule;
use tch::Kind;

/// A matrix that a step changes: values, mean of gradients and gradient, each in one dimension.
pub(super) struct Matrix<'a> {
    /// Rows and columns.
    pub(super) shape: [usize; 2],
    /// What changes.
    pub(super) values: &'a mut tch::Tensor,
    /// Mean of gradients.
    pub(super) momentum: &'a mut tch::Tensor,
    /// Along which.
    pub(super) gradient: &'a tch::Tensor,
}

/// What differs from step to step, where the values lie.
pub(super) struct MuonScalars {
    /// Learning rate.
    pub(super) lr: tch::Tensor,
    /// Weight decay: what is left of each value.
    pub(super) shrink: tch::Tensor,
}

/// A step of `torch.optim.Muon`, whose products are computed in `kind`.
pub(super) fn step(rule: &MuonRule, scalars: &MuonScalars, kind: Kind, matrix: Matrix<'_>) {
    let Matrix { shape, values, momentum, gradient } = matrix;
    let _ = momentum.lerp_(gradient, 1.0 - rule.momentum);
    let along = if rule.nesterov {
        gradient.lerp(momentum, rule.momentum)
    } else {
        momentum.shallow_clone()
    };
    let along = along.view(shape.map(|it| it as i64));
    let mut change = orthogonal(rule, &along.to_kind(kind)).to_kind(Kind::Float).reshape([-1]);
    let _ = change.g_mul_(&(&scalars.lr * rule.adjust.factor(shape)));
    let _ = values.g_mul_(&scalars.shrink).g_sub_(&change);
}

/// `x` with its singular values brought near 1, by an iteration of Newton and Schulz of the fifth power.
///
/// - input: `[rows, columns]`
/// - output: `[rows, columns]`
fn orthogonal(rule: &MuonRule, x: &tch::Tensor) -> tch::Tensor {
    let [a, b, c] = rule.coefficients;
    let [rows, columns] = x.size()[..] else { unreachable!("a matrix has two dimensions") };
    // The products with the transpose are then the small ones.
    let turned = rows > columns;
    let turn = |x: &tch::Tensor| if turned { x.transpose(0, 1) } else { x.shallow_clone() };
    let x = turn(x);
    // A batch of one, since `addmm` of tch takes no factors.
    let mut x = (&x / x.norm().clamp_min(rule.eps)).unsqueeze(0);
    for _ in 0..rule.iterations {
        let gram = x.bmm(&x.transpose(1, 2));
        let factor = gram.baddbmm(&gram, &gram, b, c);
        x = x.baddbmm(&factor, &x, a, 1.0);
    }
    turn(&x.squeeze_dim(0))
}

#[cfg(test)]
mod tests {
    use ferrite_core::device::Device;
    use ferrite_core::model::spec::{Init, Slot, Spec};
    use ferrite_core::settings::muon::{AdjustLr, Muon};
    use ferrite_core::settings::optimizer::{AdamW, Optimizer as Settings};
    use ferrite_core::settings::rule::Rule;

    use super::*;
    use crate::parameters::{Gradient, Parameters};
    use crate::tensor::close;
    use crate::update::{Optimizer, UpdateKernel};

    fn matrix(rows: i64, columns: i64) -> tch::Tensor {
        tch::manual_seed(3);
        tch::Tensor::randn([rows, columns], (Kind::Float, tch::Device::Cpu))
    }

    fn rule() -> MuonRule {
        let Rule::Muon(rule) = Settings::Muon(Muon::default()).rule() else { unreachable!() };
        rule
    }

    #[track_caller]
    fn near(found: &tch::Tensor, expected: &tch::Tensor, within: f64) {
        let difference = (found - expected).abs().max().double_value(&[]);
        assert!(difference < within, "{difference}");
    }

    #[test]
    fn every_singular_value_goes_where_the_polynomial_takes_it() {
        let rule = rule();
        let [first, third, fifth] = rule.coefficients;
        for [rows, columns] in [[6, 20], [20, 6], [7, 7], [1, 5]] {
            let x = matrix(rows, columns);
            let (u, mut s, v) = x.to_kind(Kind::Double).svd(true, true);
            s /= s.norm();
            for _ in 0..rule.iterations {
                s = &s * first + s.pow_tensor_scalar(3) * third + s.pow_tensor_scalar(5) * fifth;
            }
            assert!(s.max().double_value(&[]) < 1.3, "{s}");
            let expected = (u * s).matmul(&v.transpose(0, 1)).to_kind(Kind::Float);
            near(&orthogonal(&rule, &x), &expected, 1e-5);
            // As a GPU has it.
            let rounded = orthogonal(&rule, &x.to_kind(Kind::BFloat16)).to_kind(Kind::Float);
            near(&rounded, &expected, 0.05);
        }
    }

    #[test]
    fn columns_in_another_order_give_the_same_in_that_order() {
        let x = matrix(8, 18);
        let order: Vec<i64> = (0..18).map(|it| 5 * it % 18).collect();
        let order = tch::Tensor::from_slice(&order);
        let turned = orthogonal(&rule(), &x.index_select(1, &order));
        near(&turned, &orthogonal(&rule(), &x).index_select(1, &order), 1e-5);
    }

    #[test]
    fn a_matrix_without_a_gradient_stays() {
        let nothing = tch::Tensor::zeros([3, 4], (Kind::Float, tch::Device::Cpu));
        near(&orthogonal(&rule(), &nothing), &nothing, 1e-30);
    }

    /// A first and a last layer, and between them a kernel, a tall matrix, a bias and a depthwise kernel.
    const SHAPES: [&[usize]; 6] =
        [&[2, 3, 1, 1], &[4, 2, 2, 3], &[6, 4], &[6], &[3, 1, 2, 2], &[3, 6]];

    /// Checks values after 1, 10 and 50 steps against PyTorch 2.9.1, whose `Muon` stepped over the second and the third
    /// tensor as matrices, without its cast to bfloat16, and whose `AdamW` stepped over the others. In the order of PyTorch
    /// value i begins at cos(i + 1), and has the gradient (0.5 + 0.1 (i mod 7)) (value - sin i) + 0.3 sin((1 + i mod 3) step).
    #[track_caller]
    fn check_steps(muon: &Muon, expected: [[f64; 8]; 3]) {
        check_steps_by(UpdateKernel::Pass, muon, expected, |parts| parts);
        // As a GPU has them.
        check_steps_by(UpdateKernel::Fused, muon, expected, |parts| {
            vec![tch::Tensor::cat(&parts, 0)]
        });
    }

    #[track_caller]
    fn check_steps_by(
        kernel: UpdateKernel,
        muon: &Muon,
        expected: [[f64; 8]; 3],
        gathered: fn(Vec<tch::Tensor>) -> Vec<tch::Tensor>,
    ) {
        let rule = Settings::Muon(muon.clone()).rule();
        let new =
            |parameters: &Parameters| Optimizer { kernel, ..Optimizer::new(rule, parameters) };
        let numbers = |shape: &[usize], of: &dyn Fn(usize) -> f64| -> Vec<f32> {
            (0..shape.iter().product()).map(|it| of(it) as f32).collect()
        };
        let spec = |shape: &&[usize]| {
            let (shape, init) = (shape.to_vec(), Init::Constant(0.0));
            Spec { name: format!("{shape:?}"), shape, init, learns: true }
        };
        let mut parameters = Parameters::new(SHAPES.iter().map(spec).collect(), 0, Device::Cpu);
        let slots: Vec<Slot> = (0..SHAPES.len()).map(Slot::nth).collect();
        for (slot, shape) in slots.iter().zip(SHAPES) {
            parameters.set(*slot, &numbers(shape, &|it| (it as f64 + 1.0).cos()));
        }
        parameters.train(slots.clone());
        let mut optimizer = new(&parameters);
        let mut found = Vec::new();
        for step in 0..50 {
            // As if nothing but a snapshot were left after every step.
            let state = optimizer.shared_snapshot().clone();
            optimizer = new(&parameters);
            optimizer.restore(state);
            let mut loss = tch::Tensor::zeros([1], (Kind::Float, tch::Device::Cpu));
            for (slot, shape) in slots.iter().zip(SHAPES) {
                let tensor = |of: &dyn Fn(usize) -> f64| {
                    let dims: Vec<i64> = shape.iter().map(|it| *it as i64).collect();
                    tch::Tensor::from_slice(&numbers(shape, of)).reshape(dims)
                };
                let value = parameters.view(*slot);
                let bend = tensor(&|it| 0.5 + 0.1 * (it % 7) as f64);
                let wave = tensor(&|it| 0.3 * ((1 + it % 3) as f64 * f64::from(step)).sin());
                let away = value - tensor(&|it| (it as f64).sin());
                loss += (bend * away.square() / 2.0 + wave * value).sum(Kind::Float);
            }
            let Gradient { parts } = parameters.gradient(close(loss));
            let gradient = Gradient { parts: gathered(parts) };
            optimizer.advance(muon.lr);
            optimizer.apply(&mut parameters, gradient);
            if [0, 9, 49].contains(&step) {
                let places = [[0, 0], [1, 17], [2, 23], [3, 2], [4, 5], [5, 11], [1, 46], [2, 4]];
                found.push(places.map(|[slot, place]| parameters.values(slots[slot])[place]));
            }
        }
        for (found, expected) in found.iter().flatten().zip(expected.as_flattened()) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "{kernel:?}: {found} {expected}");
        }
    }

    fn rest() -> AdamW {
        AdamW { lr: 0.02, betas: [0.8, 0.99], eps: 1e-6, weight_decay: 0.05 }
    }

    #[test]
    fn fifty_steps_of_muon_and_of_adamw_for_the_rest_are_pytorchs() {
        check_steps(
            &Muon { lr: 0.05, adamw: rest(), ..Muon::default() },
            [
                [
                    0.519_762, 0.649_167, 0.413_887, -0.969_003, 0.939_21, 0.823_01, -0.974_31,
                    0.266_304,
                ],
                [
                    0.372_663, 0.554_052, 0.249_519, -0.783_49, 0.753_337, 0.638_368, -0.817_6,
                    0.100_614,
                ],
                [
                    0.061_992, -0.085_39, -0.477_111, -0.081_443, 0.045_878, -0.058_745, -0.146_87,
                    -0.495_277,
                ],
            ],
        );
    }

    #[test]
    fn fifty_steps_of_muon_with_other_settings_are_pytorchs() {
        let muon = Muon {
            lr: 0.05,
            weight_decay: 0.0,
            momentum: 0.8,
            nesterov: false,
            ns_coefficients: [2.0, -1.5, 0.5],
            ns_steps: 3,
            eps: 1e-3,
            adjust_lr_fn: AdjustLr::MatchRmsAdamw,
            adamw: rest(),
        };
        check_steps(
            &muon,
            [
                [
                    0.519_762, 0.653_396, 0.421_451, -0.969_003, 0.939_21, 0.823_01, -0.980_999,
                    0.278_181,
                ],
                [
                    0.372_663, 0.590_202, 0.389_82, -0.783_49, 0.753_337, 0.638_368, -0.879_994,
                    0.225_902,
                ],
                [
                    0.061_992, 0.235_011, 0.194_427, -0.081_443, 0.045_878, -0.058_745, -0.410_634,
                    -0.008_477,
                ],
            ],
        );
    }
}
