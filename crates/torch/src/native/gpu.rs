//! What `gpu.cpp` offers.

use std::ffi::{c_char, c_void};

use torch_sys::C_tensor;

use super::{called, checked};

unsafe extern "C" {
    fn ferrite_upload(x: *const C_tensor, gpu: i64, error: *mut *mut c_char) -> *mut C_tensor;

    fn ferrite_copy_all(
        into: *const *const C_tensor,
        from: *const *const C_tensor,
        count: i64,
        error: *mut *mut c_char,
    );

    fn ferrite_adam(
        values: *const C_tensor,
        gradient: *const C_tensor,
        first: *const C_tensor,
        second: *const C_tensor,
        steps: *const C_tensor,
        rate: *const C_tensor,
        beta1: f64,
        beta2: f64,
        eps: f64,
        decay: f64,
        decoupled: bool,
        error: *mut *mut c_char,
    );

    fn ferrite_use_own_stream(gpu: i64, error: *mut *mut c_char);

    fn ferrite_graph_begin(error: *mut *mut c_char) -> *mut c_void;

    fn ferrite_graph_end(graph: *mut c_void, error: *mut *mut c_char);

    fn ferrite_graph_launch(graph: *mut c_void, error: *mut *mut c_char);

    fn ferrite_graph_free(graph: *mut c_void);

    fn ferrite_gpu_peak(gpu: i64, error: *mut *mut c_char) -> i64;
}

/// A copy of `x`, which lies on the processor, on a GPU, without waiting for it.
pub(crate) fn upload(x: &tch::Tensor, gpu: usize) -> tch::Tensor {
    // SAFETY: the tensor outlives the call, which keeps a reference of its own.
    called(|error| unsafe { ferrite_upload(x.as_ptr(), gpu as i64, error) })
}

/// Copies tensors of one type into as many others of one type, in few operations on a GPU.
pub(crate) fn copy_all(into: &[tch::Tensor], from: &[tch::Tensor]) {
    assert_eq!(into.len(), from.len(), "each has its place");
    let pointers = |of: &[tch::Tensor]| of.iter().map(tch::Tensor::as_ptr).collect::<Vec<_>>();
    let (places, values) = (pointers(into), pointers(from));
    // SAFETY: both lists are as long as said, and their tensors outlive the call.
    checked(|error| unsafe {
        ferrite_copy_all(places.as_ptr(), values.as_ptr(), places.len() as i64, error);
    });
}

/// The tensors of a step of Adam; all but the last two have one dimension.
pub(crate) struct AdamTensors<'a> {
    /// What changes.
    pub(crate) values: &'a tch::Tensor,
    /// Along which.
    pub(crate) gradient: &'a tch::Tensor,
    /// Mean of gradients, and of their squares.
    pub(crate) moments: [&'a tch::Tensor; 2],
    /// The number of steps, this one included.
    pub(crate) steps: &'a tch::Tensor,
    /// The learning rate.
    pub(crate) rate: &'a tch::Tensor,
}

/// A step of PyTorch's Adam in one operation.
pub(crate) fn adam(
    tensors: AdamTensors<'_>,
    [beta1, beta2]: [f64; 2],
    eps: f64,
    (decay, decoupled): (f64, bool),
) {
    let AdamTensors { values, gradient, moments, steps, rate } = tensors;
    let [first, second] = moments.map(tch::Tensor::as_ptr);
    let [values, gradient, steps, rate] = [values, gradient, steps, rate].map(tch::Tensor::as_ptr);
    // SAFETY: the tensors outlive the call.
    checked(|error| unsafe {
        ferrite_adam(
            values, gradient, first, second, steps, rate, beta1, beta2, eps, decay, decoupled,
            error,
        );
    });
}

/// From now on this thread's work for the GPU is in an order of its own, which can be recorded.
pub(crate) fn use_own_stream(gpu: usize) {
    // SAFETY: touches no memory of ours.
    checked(|error| unsafe { ferrite_use_own_stream(gpu as i64, error) });
}

/// The most memory that LibTorch has held on a GPU, in bytes.
pub(crate) fn peak(gpu: usize) -> u64 {
    let mut peak = 0;
    // SAFETY: asks LibTorch, and touches no memory of ours.
    checked(|error| peak = unsafe { ferrite_gpu_peak(gpu as i64, error) });
    peak.max(0) as u64
}

/// What a GPU was asked for, as one.
#[derive(Debug)]
pub(crate) struct Graph(*mut c_void);

impl Graph {
    /// Begins to record what this thread asks of the GPU, which does nothing of it.
    pub(crate) fn begin() -> Self {
        let mut graph = Self(std::ptr::null_mut());
        // SAFETY: gives a new graph away, or an error.
        checked(|error| graph.0 = unsafe { ferrite_graph_begin(error) });
        graph
    }

    /// Ends the recording.
    pub(crate) fn end(&mut self) {
        // SAFETY: the graph lives as long as `self`.
        checked(|error| unsafe { ferrite_graph_end(self.0, error) });
    }

    /// Asks the GPU for everything that was recorded.
    pub(crate) fn launch(&self) {
        // SAFETY: the graph lives as long as `self`.
        checked(|error| unsafe { ferrite_graph_launch(self.0, error) });
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: nobody else frees it.
        unsafe { ferrite_graph_free(self.0) }
    }
}
