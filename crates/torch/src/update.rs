//! One optimizer step over everything that trains, in place.
//!
//! The formulas are PyTorch's (`torch.optim.Adam`, `AdamW`, `RAdam`, `RMSprop`, `SGD`, `Muon`), so that fifty
//! steps of either give the same weights.

mod muon;

use ferrite_core::device::Device;
use ferrite_core::model::spec::hidden_matrices;
use ferrite_core::settings::rule::{AdamRule, Decay, MuonRule, Rule};
use rayon::prelude::*;
use tch::Kind;

use crate::OnDevice;
use crate::native::gpu::{AdamTensors, adam};
use crate::numbers::Numbers;
use crate::parameters::{Gradient, Parameters};
use crate::tensor::{floats, floats_mut};
use crate::update::muon::{Matrix, MuonScalars};

/// What carries a step out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdateKernel {
    /// Adam on a processor: one pass over memory instead of the nine of LibTorch's operations, which take as long as
    /// the arithmetic of a small network.
    Pass,
    /// Adam on a GPU, where LibTorch has such a pass.
    Fused,
    /// LibTorch's operations.
    Operations,
}

/// The numbers that differ from step to step, where the values lie, so that a step that was recorded on a GPU reads
/// today's.
#[derive(Debug)]
struct StepScalars(tch::Tensor);

impl StepScalars {
    /// Steps, this one included.
    const STEPS: usize = 0;
    /// Learning rate; beside Muon's that of Adam.
    const LR: usize = 1;
    /// Those of Adam: see [`AdamStep`].
    const EPS: usize = 2;
    const SHRINK: usize = 3;
    const RATE: usize = 4;
    const SCALE: usize = 5;
    /// Those of Muon: see [`MuonScalars`].
    const MUON_LR: usize = 6;
    const MUON_SHRINK: usize = 7;
    const COUNT: usize = 8;

    fn get(&self, scalar: usize) -> tch::Tensor {
        self.0.select(0, scalar as i64)
    }
}

/// The numbers of one Adam step.
struct AdamStep {
    /// Share of the new gradient in each moment: 1 - beta, which is exact only if taken in 64 bits.
    shares: [f32; 2],
    eps: f32,
    /// L2 penalty.
    penalty: f32,
    /// Decoupled weight decay: what is left of each value.
    shrink: f32,
    /// Learning rate, rectified, over the first moment's bias correction.
    rate: f32,
    /// Reciprocal root of the second moment's bias correction.
    scale: f32,
}

const TWO_MOMENTS: &str = "Adam has two moments";

/// What belongs together of the values, of each moment and of the gradient, in one dimension.
struct Piece {
    /// Rows and columns of what Muon trains, which has one moment.
    matrix: Option<[usize; 2]>,
    values: tch::Tensor,
    moments: Vec<tch::Tensor>,
    gradient: tch::Tensor,
}

/// Values that one thread steps over at a time; a few of them fit its cache.
const CHUNK: usize = 1 << 14;

impl AdamStep {
    /// One pass over values and moments, in parallel.
    fn pass(&self, pieces: &mut [Piece]) {
        let mut chunks = Vec::new();
        for piece in pieces {
            let [first, second] = &mut piece.moments[..] else { unreachable!("{TWO_MOMENTS}") };
            let [values, first, second] =
                [&mut piece.values, first, second].map(|it| floats_mut(it).chunks_mut(CHUNK));
            let gradient = floats(&piece.gradient).chunks(CHUNK);
            chunks.extend(values.zip(first.zip(second)).zip(gradient));
        }
        chunks.into_par_iter().with_min_len(4).for_each(|((values, (first, second)), gradient)| {
            self.chunk([values, first, second], gradient);
        });
    }

    /// The same as LibTorch's operations, which take what differs from step to step from `scalars`.
    fn operations(&self, scalars: &StepScalars, pieces: &mut [Piece]) {
        let [share1, share2] = self.shares.map(f64::from);
        let [eps, shrink, rate, scale] =
            [StepScalars::EPS, StepScalars::SHRINK, StepScalars::RATE, StepScalars::SCALE]
                .map(|it| scalars.get(it));
        for Piece { values, moments, gradient, .. } in pieces {
            let [first, second] = &mut moments[..] else { unreachable!("{TWO_MOMENTS}") };
            let gradient = &penalized(gradient, values, f64::from(self.penalty));
            let _ = first.lerp_(gradient, share1);
            let _ = second.lerp_(&gradient.square(), share2);
            let mut change = second.sqrt();
            let _ = change.g_mul_(&scale).g_add_(&eps);
            let _ = change.reciprocal_().g_mul_(first).g_mul_(&rate);
            let _ = values.g_mul_(&shrink).g_sub_(&change);
        }
    }

    fn chunk(&self, [values, first, second]: [&mut [f32]; 3], gradient: &[f32]) {
        let [share1, share2] = self.shares;
        let all = values.iter_mut().zip(first).zip(second).zip(gradient);
        for (((value, first), second), gradient) in all {
            let gradient = gradient + self.penalty * *value;
            *first += (gradient - *first) * share1;
            *second += (gradient * gradient - *second) * share2;
            let root = second.sqrt() * self.scale + self.eps;
            *value = *value * self.shrink - self.rate * *first / root;
        }
    }
}

/// `gradient` with an L2 penalty of `decay` on `values`.
fn penalized(gradient: &tch::Tensor, values: &tch::Tensor, decay: f64) -> tch::Tensor {
    if decay > 0.0 { gradient + values * decay } else { gradient.shallow_clone() }
}

/// The factor that `RAdam` puts on the rate in a step, and whether the second moment is trusted.
fn rectified(step: i32, beta2: f64) -> (f64, bool) {
    let most = 2.0 / (1.0 - beta2) - 1.0;
    let length = most - 2.0 * f64::from(step) * beta2.powi(step) / (1.0 - beta2.powi(step));
    if length <= 5.0 {
        return (1.0, false);
    }
    let part = |it: f64| (it - 4.0) * (it - 2.0) / it;
    ((part(length) / part(most)).sqrt(), true)
}

/// What a rule remembers between steps.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    kernel: UpdateKernel,
    /// What Muon divides the values into.
    tensors: Vec<Trained>,
    steps: u64,
    /// Learning rate of the step that is next.
    lr: f64,
    moments: Vec<tch::Tensor>,
    scalars: StepScalars,
    device: Device,
}

/// A tensor that Muon or the Adam beside it trains.
#[derive(Debug)]
struct Trained {
    length: i64,
    /// Rows and columns, if it is Muon's.
    matrix: Option<[usize; 2]>,
}

/// What an optimizer goes on from.
#[derive(Debug, Clone)]
pub struct OptimizerState {
    /// Steps that were done.
    pub steps: u64,
    /// Each moment of all values that have it.
    pub moments: Vec<Numbers>,
}

impl Optimizer {
    /// An optimizer that has not stepped yet.
    pub fn new(rule: Rule, parameters: &Parameters) -> Self {
        let device = parameters.device();
        let all = parameters.trainable_values() as i64;
        let tensors = if matches!(rule, Rule::Muon(_)) { trained(parameters) } else { Vec::new() };
        let sizes = match rule {
            Rule::Adam(_) => vec![all; 2],
            Rule::Muon(_) => {
                let rest = tensors.iter().filter(|it| it.matrix.is_none());
                vec![all, rest.map(|it| it.length).sum()]
            }
            Rule::RmsProp { momentum, centered, .. } => {
                vec![all; 1 + usize::from(momentum > 0.0) + usize::from(centered)]
            }
            Rule::Sgd { momentum, .. } => vec![all; usize::from(momentum > 0.0)],
        };
        let kernel = match rule {
            Rule::Adam(_) | Rule::Muon(_) if device == Device::Cpu => UpdateKernel::Pass,
            Rule::Adam(AdamRule { rectified: false, .. }) | Rule::Muon(_) => UpdateKernel::Fused,
            _ => UpdateKernel::Operations,
        };
        let zeros = |size| tch::Tensor::zeros([size], (Kind::Float, device.torch()));
        let moments = sizes.into_iter().map(zeros).collect();
        let scalars = StepScalars(zeros(StepScalars::COUNT as i64));
        Self { rule, kernel, tensors, steps: 0, lr: 0.0, moments, scalars, device }
    }

    /// Sets everything for the next step, which is at learning rate `lr`.
    pub fn advance(&mut self, lr: f64) {
        self.steps += 1;
        self.lr = lr;
        let mut scalars = [0.0; StepScalars::COUNT];
        scalars[StepScalars::STEPS] = self.steps as f32;
        scalars[StepScalars::LR] = lr as f32;
        if let Some((_, AdamStep { eps, shrink, rate, scale, .. })) = self.adam() {
            scalars[StepScalars::EPS..=StepScalars::SCALE]
                .copy_from_slice(&[eps, shrink, rate, scale]);
        }
        if let Rule::Muon(MuonRule { weight_decay, rest_lr, .. }) = self.rule {
            scalars[StepScalars::LR] = (lr * rest_lr) as f32;
            scalars[StepScalars::MUON_LR] = lr as f32;
            scalars[StepScalars::MUON_SHRINK] = (1.0 - lr * weight_decay) as f32;
        }
        self.scalars.0.copy_(&self.device.tensor_of(&scalars));
    }

    /// Does the step that was set: changes `parameters` along `gradient`.
    pub fn apply(&self, parameters: &mut Parameters, gradient: Gradient) {
        let products = parameters.kind_of_products();
        parameters.step(|values| {
            let mut pieces = self.pieces(values, gradient);
            if let Rule::Muon(rule) = &self.rule {
                let matrices = pieces.extract_if(.., |it| it.matrix.is_some());
                matrices.for_each(|it| self.muon(rule, products, it));
            }
            match (self.kernel, self.adam()) {
                (UpdateKernel::Pass, Some((_, step))) => step.pass(&mut pieces),
                (UpdateKernel::Fused, Some((rule, _))) => {
                    for piece in &pieces {
                        self.fused_adam(rule, piece);
                    }
                }
                (_, Some((_, step))) => step.operations(&self.scalars, &mut pieces),
                (_, None) => pieces.iter_mut().for_each(|it| match self.rule {
                    Rule::RmsProp { .. } => self.rms_prop(it),
                    _ => self.sgd(it),
                }),
            }
        });
    }

    /// The parts of `values` and of the moments that belong to each part of `gradient`, or with Muon to each tensor.
    fn pieces(&self, values: &tch::Tensor, gradient: Gradient) -> Vec<Piece> {
        let lengths: Vec<i64> = self.tensors.iter().map(|it| it.length).collect();
        let parts = match &gradient.parts[..] {
            [whole] if !lengths.is_empty() => whole.split_with_sizes(&lengths, 0),
            _ => gradient.parts,
        };
        let matrices = self.tensors.iter().map(|it| it.matrix).chain(std::iter::repeat(None));
        let (mut start, mut starts) = (0, vec![0; self.moments.len()]);
        let pieces = parts.into_iter().zip(matrices).map(|(gradient, matrix)| {
            let length = gradient.size()[0];
            let moments = self.moments.iter().zip(&mut starts);
            let own = if matrix.is_some() { 1 } else { self.moments.len() };
            let moments = moments.take(own).map(|(moment, start)| {
                *start += length;
                moment.narrow(0, *start - length, length)
            });
            let moments = moments.collect();
            start += length;
            let values = values.narrow(0, start - length, length);
            Piece { matrix, values, moments, gradient: gradient.contiguous() }
        });
        pieces.collect()
    }

    fn muon(&self, rule: &MuonRule, products: Kind, piece: Piece) {
        let Piece { matrix: Some(shape), mut values, mut moments, gradient } = piece else {
            return;
        };
        let momentum = moments.first_mut().expect("Muon has a mean of gradients");
        let [lr, shrink] =
            [StepScalars::MUON_LR, StepScalars::MUON_SHRINK].map(|it| self.scalars.get(it));
        let matrix = Matrix { shape, values: &mut values, momentum, gradient: &gradient };
        muon::step(rule, &MuonScalars { lr, shrink }, products, matrix);
    }

    fn fused_adam(&self, rule: AdamRule, Piece { values, moments, gradient, .. }: &Piece) {
        let AdamRule { betas, eps, decay, .. } = rule;
        let [first, second] = &moments[..] else { unreachable!("{TWO_MOMENTS}") };
        let (steps, rate) =
            (&self.scalars.get(StepScalars::STEPS), &self.scalars.get(StepScalars::LR));
        let tensors = AdamTensors { values, gradient, moments: [first, second], steps, rate };
        let decay = match decay {
            Decay::L2(decay) => (decay, false),
            Decay::Decoupled(decay) => (decay, true),
        };
        adam(tensors, betas, eps, decay);
    }

    fn sgd(&self, Piece { values, moments, gradient, .. }: &mut Piece) {
        let Rule::Sgd { momentum, nesterov, weight_decay } = self.rule else { return };
        let mut gradient = penalized(gradient, values, weight_decay);
        if let Some(velocity) = moments.first_mut() {
            let _ = velocity.g_mul_scalar_(momentum).g_add_(&gradient);
            gradient =
                if nesterov { gradient + &*velocity * momentum } else { velocity.shallow_clone() };
        }
        let _ = values.g_sub_(&(gradient * self.scalars.get(StepScalars::LR)));
    }

    fn rms_prop(&self, Piece { values, moments, gradient, .. }: &mut Piece) {
        let Rule::RmsProp { alpha, eps, momentum, weight_decay, .. } = self.rule else { return };
        let gradient = penalized(gradient, values, weight_decay);
        let mut moments = moments.iter_mut();
        let square = moments.next().expect("RMSprop has a mean of squares");
        let _ = square.lerp_(&gradient.square(), 1.0 - alpha);
        let velocity = if momentum > 0.0 { moments.next() } else { None };
        let mut root = match moments.next() {
            Some(mean) => {
                let _ = mean.lerp_(&gradient, 1.0 - alpha);
                (&*square - mean.square()).sqrt()
            }
            None => square.sqrt(),
        };
        let mut change = gradient / root.g_add_scalar_(eps);
        if let Some(velocity) = velocity {
            let _ = velocity.g_mul_scalar_(momentum).g_add_(&change);
            change = velocity.shallow_clone();
        }
        let _ = values.g_sub_(&(change * self.scalars.get(StepScalars::LR)));
    }

    /// The numbers of the step that is next, where it is one of Adam or some values are trained by it.
    fn adam(&self) -> Option<(AdamRule, AdamStep)> {
        let (rule, lr) = match self.rule {
            Rule::Adam(rule) => (rule, self.lr),
            Rule::Muon(MuonRule { rest, rest_lr, .. }) => (rest, self.lr * rest_lr),
            Rule::RmsProp { .. } | Rule::Sgd { .. } => return None,
        };
        let AdamRule { betas, eps, decay, rectified: rectifies } = rule;
        let steps = self.steps as i32;
        let [correction1, correction2] = betas.map(|it| 1.0 - it.powi(steps));
        let (factor, trusted) = if rectifies { rectified(steps, betas[1]) } else { (1.0, true) };
        // PyTorch's RAdam adds eps before it corrects the root, its Adam afterwards.
        let scale = 1.0 / correction2.sqrt();
        let (scale, eps) = match (trusted, rectifies) {
            (true, false) => (scale, eps),
            (true, true) => (scale, eps * scale),
            (false, _) => (0.0, 1.0),
        };
        let (penalty, decoupled) = match decay {
            Decay::L2(decay) => (decay, 0.0),
            Decay::Decoupled(decay) => (0.0, decay),
        };
        let step = AdamStep {
            shares: betas.map(|it| (1.0 - it) as f32),
            eps: eps as f32,
            penalty: penalty as f32,
            shrink: (1.0 - lr * decoupled) as f32,
            rate: (lr * factor / correction1) as f32,
            scale: scale as f32,
        };
        Some((rule, step))
    }

    /// Everything it remembers. The moments are not copied, so it is to be used before the next step.
    pub fn shared_snapshot(&self) -> OptimizerState {
        let moments = self.moments.iter().map(Numbers::shared).collect();
        OptimizerState { steps: self.steps, moments }
    }

    /// Goes on from `state`, taken from an optimizer of the same rule and size.
    pub fn restore(&mut self, state: OptimizerState) {
        self.steps = state.steps;
        for (moment, values) in self.moments.iter_mut().zip(state.moments) {
            moment.copy_(values.tensor());
        }
    }
}

/// What trains, tensor by tensor.
fn trained(parameters: &Parameters) -> Vec<Trained> {
    let matrices = hidden_matrices(parameters.specs().map(|it| it.1));
    let all = parameters.specs().zip(matrices);
    let trained = all.filter(|((slot, _), _)| parameters.trains(*slot));
    trained.map(|((_, spec), matrix)| Trained { length: spec.len() as i64, matrix }).collect()
}

#[cfg(test)]
mod tests {
    use ferrite_core::model::spec::{Init, Slot, Spec};

    use super::*;

    #[test]
    fn adam_is_what_the_formula_says_on_a_processor_and_by_operations() {
        check(AdamStep::pass);
        check(|step, pieces| {
            let scalars = [0.0, 0.0, step.eps, step.shrink, step.rate, step.scale];
            step.operations(&StepScalars(tch::Tensor::from_slice(&scalars)), pieces);
        });
    }

    fn check(take: impl Fn(&AdamStep, &mut [Piece])) {
        let tensor = |values: &[f32]| tch::Tensor::from_slice(values);
        let value = tensor(&[1.0, -2.0, 0.5]);
        let (first, second) = (tensor(&[0.1, 0.0, -0.1]), tensor(&[0.01, 0.0, 0.04]));
        let gradient = tensor(&[0.5, -0.25, 0.0]);
        let (shares, eps, penalty, shrink) = ([0.1, 0.01], 1e-3, 0.2, 0.9);
        let step = AdamStep { shares, eps, penalty, shrink, rate: 0.1, scale: 2.0 };
        let piece = |[start, length]: [i64; 2]| {
            let [values, first, second, gradient] =
                [&value, &first, &second, &gradient].map(|it| it.narrow(0, start, length));
            Piece { matrix: None, values, moments: vec![first, second], gradient }
        };
        take(&step, &mut [[0, 1], [1, 2]].map(piece));
        let expected = [(1.0, 0.1, 0.01, 0.5), (-2.0, 0.0, 0.0, -0.25), (0.5, -0.1, 0.04, 0.0)];
        for (index, (before, m, v, g)) in expected.into_iter().enumerate() {
            let g = g + 0.2 * before;
            let (m, v): (f64, f64) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
            let after = before * 0.9 - 0.1 * m / (v.sqrt() * 2.0 + 1e-3);
            let found = value.double_value(&[index as i64]);
            assert!((found - after).abs() < 1e-6, "{found} {after}");
        }
    }

    /// Checks three values after 1, 10 and 50 steps at rate 0.05 against PyTorch 2.9.1, whose optimizer
    /// of that name was stepped on the same gradients, in float32.
    #[track_caller]
    fn check_steps(rule: Rule, expected: [[f64; 3]; 3]) {
        let kernels = match rule {
            Rule::Adam(AdamRule { rectified: false, .. }) => {
                &[UpdateKernel::Pass, UpdateKernel::Fused, UpdateKernel::Operations][..]
            }
            Rule::Adam(_) => &[UpdateKernel::Pass, UpdateKernel::Operations],
            _ => &[UpdateKernel::Operations],
        };
        for kernel in kernels {
            check_steps_by(*kernel, rule, expected);
        }
    }

    #[track_caller]
    fn check_steps_by(kernel: UpdateKernel, rule: Rule, expected: [[f64; 3]; 3]) {
        let new =
            |parameters: &Parameters| Optimizer { kernel, ..Optimizer::new(rule, parameters) };
        let (name, shape, init) = ("w".to_owned(), vec![3], Init::Constant(0.0));
        let specs = vec![Spec { name, shape, init, learns: true }];
        let mut parameters = Parameters::new(specs, 0, Device::Cpu);
        parameters.set(Slot::nth(0), &[1.0, -2.0, 0.5]);
        parameters.train(vec![Slot::nth(0)]);
        let mut optimizer = new(&parameters);
        let mut found = Vec::new();
        for step in 0..50 {
            // As if nothing but a snapshot were left after every step.
            let state = optimizer.shared_snapshot().clone();
            optimizer = new(&parameters);
            optimizer.restore(state);
            let values = parameters.values(Slot::nth(0));
            let slopes = [(1.0, 0.3, 1.0), (0.2, 1.0, 2.0), (3.0, -0.7, 3.0)];
            let gradient: Vec<f32> = values
                .iter()
                .zip(slopes)
                .map(|(it, (a, b, k))| a * (f64::from(*it) - b) + 0.3 * (k * f64::from(step)).sin())
                .map(|it| it as f32)
                .collect();
            let (first, rest) = gradient.split_at(1);
            let parts = [first, rest].map(tch::Tensor::from_slice).into();
            optimizer.advance(0.05);
            optimizer.apply(&mut parameters, Gradient { parts });
            if [0, 9, 49].contains(&step) {
                found.push(parameters.values(Slot::nth(0)));
            }
        }
        for (found, expected) in found.iter().flatten().zip(expected.as_flattened()) {
            assert!(
                (f64::from(*found) - expected).abs() < 2e-5,
                "{kernel:?} {rule:?}: {found} {expected}"
            );
        }
    }

    #[test]
    fn fifty_steps_of_adam_with_both_kinds_of_decay_are_pytorchs() {
        let (betas, eps) = ([0.9, 0.999], 1e-8);
        let adam = |decay| Rule::Adam(AdamRule { betas, eps, decay, rectified: false });
        check_steps(
            adam(Decay::L2(0.1)),
            [
                [0.95, -1.95, 0.45],
                [0.538_289, -1.515_753, 0.010_085],
                [0.288_641, 0.015_469, -0.763_524],
            ],
        );
        check_steps(
            adam(Decay::Decoupled(0.1)),
            [
                [0.945, -1.94, 0.447_5],
                [0.508_991, -1.439_236, -0.003_143],
                [0.311_78, 0.161_153, -0.739_861],
            ],
        );
    }

    #[test]
    fn fifty_steps_of_radam_are_pytorchs() {
        let betas = [0.9, 0.99];
        let radam = |decay, eps| Rule::Adam(AdamRule { betas, eps, decay, rectified: true });
        check_steps(
            radam(Decay::L2(0.0), 1e-8),
            [
                [0.965, -1.97, 0.32],
                [0.782_654, -1.832_361, -0.287_28],
                [0.348_868, -1.227_889, -0.680_903],
            ],
        );
        check_steps(
            radam(Decay::L2(0.1), 1e-3),
            [
                [0.96, -1.96, 0.317_5],
                [0.760_044, -1.783_474, -0.293_119],
                [0.321_214, -1.170_343, -0.669_599],
            ],
        );
        check_steps(
            radam(Decay::Decoupled(0.1), 1e-8),
            [
                [0.96, -1.96, 0.317_5],
                [0.742_129, -1.740_212, -0.283_196],
                [0.281_56, -0.887_47, -0.622_954],
            ],
        );
    }

    #[test]
    fn fifty_steps_of_rmsprop_are_pytorchs() {
        let rule = |alpha, eps, momentum, centered, weight_decay| Rule::RmsProp {
            alpha,
            eps,
            momentum,
            centered,
            weight_decay,
        };
        check_steps(
            rule(0.99, 1e-8, 0.0, false, 0.0),
            [
                [0.5, -1.5, 0.0],
                [0.156_467, -0.007_706, -0.703_716],
                [0.397_29, 0.921_425, -0.715_657],
            ],
        );
        check_steps(
            rule(0.9, 1e-8, 0.9, false, 0.1),
            [
                [0.841_886, -1.841_886, 0.341_886],
                [-0.075_239, 1.147_271, -1.350_747],
                [0.299_835, 0.673_815, -0.712_867],
            ],
        );
        check_steps(
            rule(0.99, 1e-8, 0.0, true, 0.0),
            [
                [0.497_481, -1.497_481, -0.002_519],
                [0.155_755, 0.019_292, -0.705_851],
                [0.397_316, 0.935_067, -0.715_948],
            ],
        );
        check_steps(
            rule(0.99, 1e-3, 0.9, true, 0.1),
            [
                [0.503_716, -1.503_716, -0.001_139],
                [1.024_634, 2.304_735, -0.014_35],
                [0.262_336, 0.755_244, -0.663_055],
            ],
        );
    }

    #[test]
    fn fifty_steps_of_sgd_are_pytorchs() {
        check_steps(
            Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1 },
            [
                [0.924, -1.924, 0.153_25],
                [0.008_512, -0.440_443, -0.816_36],
                [0.291_429, 0.598_735, -0.685_774],
            ],
        );
    }
}
