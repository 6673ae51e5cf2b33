//! Work of a GPU that is recorded once and then launched as a whole.
//!
//! A training step of small images is a thousand operations of a few microseconds each, and to ask for one takes as
//! long. Recorded (a CUDA graph) they are asked for once.

use burn::tensor::Tensor;
use ferrite_core::device::Device;

use crate::native::gpu::Graph;
use crate::tensor::{close, open};

/// A recording, and what its work gives.
#[derive(Debug)]
pub struct Recording<T> {
    graph: Graph,
    result: T,
}

/// Whether `device` can record.
pub fn is_possible(device: Device) -> bool {
    device != Device::Cpu
}

impl<T> Recording<T> {
    /// Records `work` instead of doing it.
    ///
    /// Every launch reads and writes the memory that `work` reads and writes now: its inputs must stay where they are,
    /// and nothing in it may wait for the GPU or read memory of the host. Work of the same shapes was done before, so
    /// that LibTorch need not choose kernels now.
    pub fn of(work: impl FnOnce() -> T) -> Self {
        let mut graph = Graph::begin();
        let result = work();
        graph.end();
        Self { graph, result }
    }

    /// Does the work with what its inputs hold now. The next launch overwrites the result.
    pub fn launch(&self) -> &T {
        self.graph.launch();
        &self.result
    }
}

/// A tensor that stays where it is, as the input of a recording does.
#[derive(Debug)]
pub struct GraphInput<const D: usize>(Tensor<D>);

impl<const D: usize> GraphInput<D> {
    /// A copy of `x`.
    pub fn new(x: Tensor<D>) -> Self {
        Self(close(open(x).detach().copy()))
    }

    /// The tensor.
    pub fn tensor(&self) -> Tensor<D> {
        self.0.clone()
    }

    /// Gives it the values of `x`, which is of the same shape.
    pub fn set(&self, x: Tensor<D>) {
        tch::no_grad(|| open(self.tensor()).copy_(&open(x)));
    }
}

/// `x` without its record for gradients.
pub fn detached<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    close(open(x).detach())
}
