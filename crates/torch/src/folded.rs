//! Convolutions as they are computed where no gradient is recorded: the batch norm behind them folded in, their numbers in
//! the type that a GPU computes with. Made once, used by every batch.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ferrite_core::model::spec::Slot;
use tch::Kind;

/// Weight and bias of a convolution.
#[derive(Debug)]
pub(super) struct Kernels {
    /// `[out, in / groups, kernel, kernel]`
    pub(super) weight: tch::Tensor,
    /// `[out]`
    pub(super) bias: Option<tch::Tensor>,
}

impl Kernels {
    fn shared(&self) -> Self {
        let bias = self.bias.as_ref().map(tch::Tensor::shallow_clone);
        Self { weight: self.weight.shallow_clone(), bias }
    }

    /// The same numbers in another type.
    pub(super) fn of_kind(self, kind: Kind) -> Self {
        Self { weight: self.weight.to_kind(kind), bias: self.bias.map(|it| it.to_kind(kind)) }
    }
}

/// What was folded so far.
#[derive(Debug, Default)]
pub(super) struct FoldedConvolutions {
    /// Of what neither trains nor moves: they hold until other tensors train. A recorded step reads them, so that
    /// until then they stay where they are.
    staying: RefCell<BTreeMap<Key, Kernels>>,
    /// Of what trains: they hold until the next step.
    passing: RefCell<BTreeMap<Key, Kernels>>,
}

/// A convolution's weight, and whether the batch norm behind it is folded in.
pub(super) type Key = (Slot, bool);

impl FoldedConvolutions {
    /// What `make` gives, or gave before.
    pub(super) fn get(&self, key: Key, stays: bool, make: impl FnOnce() -> Kernels) -> Kernels {
        if let Some(found) = self.staying.borrow().get(&key) {
            return found.shared();
        }
        let place = if stays { &self.staying } else { &self.passing };
        if let Some(found) = place.borrow().get(&key) {
            return found.shared();
        }
        let kernels = make();
        place.borrow_mut().entry(key).or_insert(kernels).shared()
    }

    /// What trains has changed.
    pub(super) fn forget_passing(&self) {
        self.passing.borrow_mut().clear();
    }

    /// Anything may have changed.
    pub(super) fn forget(&self) {
        self.staying.borrow_mut().clear();
        self.forget_passing();
    }
}
