//! The numbers of a network: all that train in one flat tensor, the others as they are.
//!
//! A stage gathers what it trains into one 1-D tensor; every layer sees its part as a view, which is a leaf
//! for gradients. The optimizer steps over the flat tensor, and a checkpoint is one blob. Convolution kernels
//! are stored `[out, h, w, in]`, so that their views have the channels-last strides LibTorch's convolutions
//! are fastest with.
//!
//! **Invariant:** the views of what trains share the flat tensor's memory, which is only changed in place.

use std::cell::{OnceCell, RefCell};

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::model::spec::{Init, Slot, Spec};
use ferrite_random::{Random, Use};
use tch::Kind;

use crate::OnDevice;
use crate::folded::FoldedConvolutions;
use crate::native;
use crate::numbers::Numbers;
use crate::tensor::{open, read_floats};

/// Every tensor of a network, by slot.
#[derive(Debug)]
pub struct Parameters {
    specs: Vec<Spec>,
    /// What layers read: views into `flat` that require gradients for what trains, tensors of their own for
    /// the rest. First values are drawn when they are first asked for, since those of a backbone are mostly
    /// replaced by loaded weights before.
    views: Vec<OnceCell<tch::Tensor>>,
    seed: u64,
    trainable: Vec<Slot>,
    flat: tch::Tensor,
    /// What trains in bfloat16, from the first time that a GPU asks for it.
    rounded: RefCell<Option<Rounded>>,
    pub(super) folds: FoldedConvolutions,
    device: Device,
}

/// What trains, in bfloat16. Each layer's own cast, and that of its gradient, would be launches of their own.
#[derive(Debug)]
struct Rounded {
    flat: tch::Tensor,
    /// Views of it that require gradients in place of those of 32 bits, for what was asked for.
    views: Vec<Option<tch::Tensor>>,
}

impl Parameters {
    /// Fresh parameters; each tensor's values follow from (`seed`, its slot).
    pub fn new(specs: Vec<Spec>, seed: u64, device: Device) -> Self {
        let flat = tch::Tensor::zeros([0], (Kind::Float, device.torch()));
        let views = specs.iter().map(|_| OnceCell::new()).collect();
        let (rounded, folds) = (RefCell::new(None), FoldedConvolutions::default());
        Self { views, seed, specs, trainable: Vec::new(), flat, rounded, folds, device }
    }

    /// Where they are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Every slot with what it is.
    pub fn specs(&self) -> impl Iterator<Item = (Slot, &Spec)> {
        self.specs.iter().enumerate().map(|(slot, spec)| (Slot::nth(slot), spec))
    }

    /// What `slot` is.
    pub fn spec(&self, slot: Slot) -> &Spec {
        &self.specs[slot.index()]
    }

    /// Everything that trains, in one dimension.
    pub(super) fn flat(&self) -> &tch::Tensor {
        &self.flat
    }

    pub(super) fn view(&self, slot: Slot) -> &tch::Tensor {
        self.views[slot.index()].get_or_init(|| {
            let random = Random::at(self.seed, Use::Init, 0, slot.index() as u64);
            let spec = &self.specs[slot.index()];
            from_torch_order(&draw(spec, random), &spec.shape, self.device)
        })
    }

    /// What `slot` is in this type. On a GPU that of what trains is refreshed by each step.
    pub(super) fn of_kind(&self, slot: Slot, kind: Kind) -> tch::Tensor {
        let place = self.trainable.binary_search(&slot).ok();
        match place.filter(|_| kind == Kind::BFloat16 && self.device != Device::Cpu) {
            Some(place) => self.rounded(place),
            None => self.view(slot).to_kind(kind),
        }
    }

    /// What trains at `place`, in bfloat16.
    fn rounded(&self, place: usize) -> tch::Tensor {
        let mut rounded = self.rounded.borrow_mut();
        let Rounded { flat, views } = rounded.get_or_insert_with(|| Rounded {
            flat: self.flat.to_kind(Kind::BFloat16),
            views: self.trainable.iter().map(|_| None).collect(),
        });
        let view = views[place].get_or_insert_with(|| {
            let before = &self.trainable[..place];
            let start: usize = before.iter().map(|it| self.spec(*it).len()).sum();
            let spec = self.spec(self.trainable[place]);
            let part = flat.narrow(0, start as i64, spec.len() as i64);
            shown(&part, &spec.shape).detach().set_requires_grad(true)
        });
        view.shallow_clone()
    }

    /// What an optimizer multiplies matrices in: bfloat16 where a GPU's layers do, as PyTorch's Muon does, and otherwise 32
    /// bits.
    pub(super) fn kind_of_products(&self) -> Kind {
        if self.rounded.borrow().is_some() { Kind::BFloat16 } else { Kind::Float }
    }

    /// Whether gradients reach `slot` now.
    pub fn trains(&self, slot: Slot) -> bool {
        self.trainable.binary_search(&slot).is_ok()
    }

    /// The values of `slot` in PyTorch's order.
    pub fn values(&self, slot: Slot) -> Vec<f32> {
        read_floats(self.view(slot))
    }

    /// The same as little-endian bytes.
    pub fn bytes(&self, slot: Slot) -> Vec<u8> {
        Numbers::shared(&self.view(slot).contiguous().reshape([-1])).bytes().into_owned()
    }

    /// Sets the values of `slot`, given in PyTorch's order.
    ///
    /// To be called while nothing trains: before [`Parameters::train`].
    pub fn set(&mut self, slot: Slot, values: &[f32]) {
        let values = from_torch_order(values, &self.specs[slot.index()].shape, self.device);
        self.views[slot.index()] = values.into();
        self.folds.forget();
    }

    /// From now on `slots` train, in this order, and nothing else.
    pub fn train(&mut self, mut slots: Vec<Slot>) {
        slots.sort_unstable();
        for view in self.views.iter_mut().filter_map(OnceCell::get_mut) {
            *view = view.detach().copy();
        }
        self.trainable = slots;
        self.rounded = RefCell::new(None);
        self.folds.forget();
        let sizes = self.sizes();
        self.flat =
            tch::Tensor::zeros([sizes.iter().sum::<i64>()], (Kind::Float, self.device.torch()));
        if sizes.is_empty() {
            return;
        }
        for (slot, mut part) in self.trainable.iter().zip(self.flat.split_with_sizes(&sizes, 0)) {
            part.copy_(&stored(self.view(*slot)).reshape([-1]));
            let view = shown(&part, &self.specs[slot.index()].shape);
            self.views[slot.index()] = view.detach().set_requires_grad(true).into();
        }
    }

    /// How many values train.
    pub fn trainable_values(&self) -> usize {
        self.flat.numel()
    }

    /// The L2 norm of everything that trains; waits for the device.
    pub fn norm(&self) -> f64 {
        self.flat.detach().norm().double_value(&[])
    }

    /// How many values each tensor that trains has.
    fn sizes(&self) -> Vec<i64> {
        self.trainable.iter().map(|it| self.spec(*it).len() as i64).collect()
    }

    /// The gradient of `loss`. The graph behind `loss` is gone afterwards.
    pub fn gradient(&self, loss: Tensor<1>) -> Gradient {
        let rounded = self.rounded.borrow();
        let leaf = |(place, slot): (usize, &Slot)| {
            let rounded = rounded.as_ref().and_then(|it| it.views[place].as_ref());
            rounded.unwrap_or_else(|| self.view(*slot))
        };
        let leaves: Vec<&tch::Tensor> = self.trainable.iter().enumerate().map(leaf).collect();
        let parts = tch::Tensor::run_backward(&[open(loss)], &leaves, false, false);
        let parts: Vec<_> = parts.iter().map(|it| stored(it).reshape([-1])).collect();
        // A GPU is asked for few large operations; a processor needs no copy in one piece.
        let whole = self.device != Device::Cpu;
        Gradient { parts: if whole { vec![self.gathered(parts)] } else { parts } }
    }

    /// The parts of a gradient, of 32 bits or 16, as one of 32.
    fn gathered(&self, parts: Vec<tch::Tensor>) -> tch::Tensor {
        let whole = self.flat.empty_like();
        let places = whole.split_with_sizes(self.sizes(), 0);
        let pairs = places.into_iter().zip(parts);
        let (rounded, exact): (Vec<_>, Vec<_>) =
            pairs.partition(|(_, part)| part.kind() == Kind::BFloat16);
        for pairs in [rounded, exact] {
            let (places, parts): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            if !parts.is_empty() {
                crate::without_gradients(|| native::gpu::copy_all(&places, &parts));
            }
        }
        whole
    }

    /// Lets `update` change the flat values in place, without recording it.
    pub(super) fn step(&mut self, update: impl FnOnce(&mut tch::Tensor)) {
        tch::no_grad(|| {
            update(&mut self.flat);
            if let Some(rounded) = self.rounded.get_mut() {
                rounded.flat.copy_(&self.flat);
            }
        });
        self.have_changed();
    }

    /// Says that what trains has other values now, where a recorded step changed them.
    pub fn have_changed(&self) {
        self.folds.forget_passing();
    }

    /// The L2 norm of the gradient of each tensor that trains, in the order of the slots; waits for the device.
    pub fn gradient_norms(&self, gradient: &Gradient) -> Vec<f64> {
        let of_tensors;
        let parts = if let [whole] = &gradient.parts[..] {
            of_tensors = whole.split_with_sizes(self.sizes(), 0);
            &of_tensors
        } else {
            &gradient.parts
        };
        // Parts may be of 16 bits, which hold no such sum.
        let norm = |it: &tch::Tensor| it.norm_scalaropt_dtype(2.0, Kind::Float).reshape([1]);
        let norms: Vec<_> = parts.iter().map(norm).collect();
        read_floats(&tch::Tensor::cat(&norms, 0)).into_iter().map(f64::from).collect()
    }

    /// The part of `gradient` that belongs to `slot`, in PyTorch's order; for tests and diagnosis.
    pub fn gradient_of(&self, gradient: &Gradient, slot: Slot) -> Vec<f32> {
        let before = self.trainable.iter().take_while(|it| **it != slot);
        let start: usize = before.map(|it| self.specs[it.index()].len()).sum();
        let spec = &self.specs[slot.index()];
        let flat = tch::Tensor::cat(&gradient.parts, 0);
        read_floats(&shown(&flat.narrow(0, start as i64, spec.len() as i64), &spec.shape))
    }

    /// A copy of all values that training changes: what trains, then the running statistics, on the host.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { flat: Numbers::copied(&self.flat), buffers: self.statistics() }
    }

    /// The same without a copy of what trains: to be used before the next step.
    pub fn shared_snapshot(&self) -> Snapshot {
        Snapshot { flat: Numbers::shared(&self.flat), buffers: self.statistics() }
    }

    fn statistics(&self) -> Numbers {
        let values = self.buffers().flat_map(|slot| read_floats(self.view(slot)));
        Numbers::of(&values.collect::<Vec<_>>())
    }

    /// Goes back to `snapshot`, taken from the same network with the same trainable slots.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        let buffers = snapshot.buffers.to_vec();
        let mut rest = buffers.as_slice();
        for slot in self.buffers().collect::<Vec<_>>() {
            let (values, others) = rest.split_at(self.specs[slot.index()].len());
            rest = others;
            self.set(slot, values);
        }
        self.step(|it| it.copy_(snapshot.flat.tensor()));
    }

    fn buffers(&self) -> impl Iterator<Item = Slot> {
        let buffers = self.specs.iter().enumerate().filter(|(_, spec)| !spec.learns);
        buffers.map(|(slot, _)| Slot::nth(slot))
    }
}

/// The gradient of everything that trains.
#[derive(Debug)]
pub struct Gradient {
    /// One-dimensional pieces that follow one another as in the flat tensor.
    pub(super) parts: Vec<tch::Tensor>,
}

impl Gradient {
    /// Adds that of another part of the same batch.
    pub fn add(&mut self, other: Self) {
        for (sum, part) in self.parts.iter_mut().zip(other.parts) {
            // 16 bits hold no such sum.
            *sum = sum.to_kind(Kind::Float) + part;
        }
    }
}

/// Everything that training changes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// What trains, in the flat order.
    pub flat: Numbers,
    /// Running statistics, slot by slot.
    pub buffers: Numbers,
}

fn draw(spec: &Spec, mut random: Random) -> Vec<f32> {
    let mut fill = |mut one: Box<dyn FnMut(&mut Random) -> f64>| {
        (0..spec.len()).map(|_| one(&mut random) as f32).collect()
    };
    match spec.init {
        Init::Constant(value) => vec![value; spec.len()],
        Init::KaimingNormal { fan } => {
            let std = (2.0 / fan as f64).sqrt();
            fill(Box::new(move |it| std * it.normal()))
        }
        Init::Normal { std } => fill(Box::new(move |it| std * it.normal())),
        Init::Uniform { fan_in } => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            fill(Box::new(move |it| it.between(-bound, bound)))
        }
    }
}

/// A tensor in the stored layout from values in PyTorch's order.
fn from_torch_order(values: &[f32], shape: &[usize], device: Device) -> tch::Tensor {
    let dims: Vec<i64> = shape.iter().map(|it| *it as i64).collect();
    let x = tch::Tensor::from_slice(values).reshape(&dims);
    let x = if dims.len() == 4 { x.permute([0, 2, 3, 1]).contiguous() } else { x };
    shown(&x.to(device.torch()).reshape([-1]), shape)
}

/// The stored layout of a shown tensor.
fn stored(x: &tch::Tensor) -> tch::Tensor {
    if x.dim() == 4 { x.permute([0, 2, 3, 1]) } else { x.shallow_clone() }
}

/// Stored values as layers see them: kernels as `[out, in, h, w]` with channels-last strides.
fn shown(values: &tch::Tensor, shape: &[usize]) -> tch::Tensor {
    let dims: Vec<i64> = shape.iter().map(|it| *it as i64).collect();
    match dims[..] {
        [output, input, height, width] => {
            values.view([output, height, width, input]).permute([0, 3, 1, 2])
        }
        _ => values.view(dims.as_slice()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::close;

    fn spec(name: &str, shape: &[usize]) -> Spec {
        let init = Init::Uniform { fan_in: 4 };
        Spec { name: name.into(), shape: shape.to_vec(), init, learns: true }
    }

    #[test]
    fn what_trains_in_bfloat16_gets_the_gradient_and_follows_each_step() {
        let specs = vec![spec("kernel", &[2, 3, 2, 2]), spec("scale", &[5])];
        let mut parameters = Parameters::new(specs, 7, Device::Cpu);
        let (kernel, scale) = (Slot::nth(0), Slot::nth(1));
        parameters.train(vec![kernel, scale]);
        let rounded = parameters.rounded(0);
        let rounding = (&rounded - parameters.view(kernel)).abs().max().double_value(&[]);
        assert!(rounding > 0.0 && rounding < 0.5 / 256.0, "{rounding}");
        let factors = tch::Tensor::arange(24, (Kind::Float, tch::Device::Cpu));
        let product = rounded.to_kind(Kind::Float) * factors.reshape([2, 3, 2, 2]);
        let loss = product.sum(Kind::Float) + parameters.view(scale).sum(Kind::Float) * 2.0;
        let gradient = parameters.gradient(close(loss.reshape([1])));
        let kinds: Vec<Kind> = gradient.parts.iter().map(tch::Tensor::kind).collect();
        assert_eq!(kinds, [Kind::BFloat16, Kind::Float]);
        let whole = Gradient { parts: vec![parameters.gathered(gradient.parts)] };
        let expected: Vec<f32> = (0..24_u8).map(f32::from).collect();
        assert_eq!(parameters.gradient_of(&whole, kernel), expected);
        assert_eq!(parameters.gradient_of(&whole, scale), [2.0; 5]);
        let norms = parameters.gradient_norms(&whole);
        let squares: f64 = (0..24).map(|it| f64::from(it * it)).sum();
        for (norm, expected) in norms.iter().zip([squares.sqrt(), 20_f64.sqrt()]) {
            assert!((norm - expected).abs() < 1e-5 * expected, "{norms:?}");
        }
        parameters.step(|it| {
            let _ = it.fill_(0.5);
        });
        let again = parameters.rounded(0);
        assert_eq!(read_floats(&again), [0.5; 24]);
        assert!(again.requires_grad(), "it is still a leaf");
    }
}
