//! The only door to LibTorch: devices, threads, memory, tensors, parameters and fused operations.
//!
//! Everything above passes Burn tensors and [slots](ferrite_core::model::spec::Slot); what needs LibTorch's own calls
//! (its autograd, batch norm in one kernel, in-place updates) is spelled out here once.
//!
//! **Invariant:** no other manifest names `tch` or `burn-tch`.

pub mod attribution;
pub mod average;
pub mod clip;
mod folded;
pub mod loss;
pub mod memory;
mod native;
pub mod numbers;
pub mod ops;
pub mod padding;
pub mod parameters;
pub mod picture;
pub mod precision;
pub mod recording;
pub mod tensor;
pub mod update;

use ferrite_core::device::Device;
use ferrite_core::error::{Error, Result};

/// The device that `name` asks for: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// [`Error::Usage`] for another name, or for a GPU that LibTorch does not see.
pub fn device_named(name: &str) -> Result<Device> {
    let gpus = tch::Cuda::device_count().max(0) as usize;
    let index = match name {
        "cpu" => return Ok(Device::Cpu),
        "auto" => return Ok(if gpus > 0 { Device::Cuda(0) } else { Device::Cpu }),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|it| it.parse().ok()),
    };
    let usage = |message: String, help: &str| Error::Usage { message, help: help.into() };
    let index = index.ok_or_else(|| {
        usage(format!("there is no device `{name}`"), "use `auto`, `cpu`, `cuda` or `cuda:N`")
    })?;
    if index < gpus {
        return Ok(Device::Cuda(index));
    }
    Err(usage(
        format!("LibTorch sees {gpus} CUDA devices, so `{name}` cannot be used"),
        "set up the CUDA build with `make libtorch DEVICE=cuda`, or use `--device cpu`",
    ))
}

/// The most memory that LibTorch has held on `device` so far, in bytes; none for a processor, of which nobody knows.
pub fn peak_memory(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => None,
        Device::Cuda(gpu) => Some(native::gpu::peak(gpu)),
    }
}

/// A device as LibTorch has it.
pub(crate) trait OnDevice: Sized {
    /// Where `x` lies.
    fn of(x: &tch::Tensor) -> Self;

    /// LibTorch's name for it.
    fn torch(self) -> tch::Device;

    /// `values` as a tensor there. On a GPU nobody waits for it.
    fn tensor_of<T: tch::kind::Element>(self, values: &[T]) -> tch::Tensor;
}

impl OnDevice for Device {
    fn of(x: &tch::Tensor) -> Self {
        match x.device() {
            tch::Device::Cuda(gpu) => Self::Cuda(gpu),
            _ => Self::Cpu,
        }
    }

    fn torch(self) -> tch::Device {
        match self {
            Self::Cpu => tch::Device::Cpu,
            Self::Cuda(gpu) => tch::Device::Cuda(gpu),
        }
    }

    fn tensor_of<T: tch::kind::Element>(self, values: &[T]) -> tch::Tensor {
        let x = tch::Tensor::from_slice(values);
        match self {
            Self::Cpu => x,
            Self::Cuda(gpu) => native::gpu::upload(&x, gpu),
        }
    }
}

/// Prepares this process for training on `device` with `threads` CPU threads.
///
/// # Panics
/// If the system does not give that many threads: [`fault::caught`](ferrite_core::fault::caught) says so.
pub fn start(threads: usize, device: Device) {
    memory::prepare();
    // Rayon's pool, and the two of LibTorch.
    try_threads(3 * threads);
    tch::set_num_threads(threads as i32);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    // Where the pool was in use already it keeps its size; that costs speed, not results.
    if let Some(refused) = pool.as_ref().err().and_then(std::error::Error::source) {
        panic!("failed to spawn thread: {refused}");
    }
    if let Device::Cuda(gpu) = device {
        native::gpu::use_own_stream(gpu);
    }
}

/// Starts so many threads at once and ends them. Of LibTorch's two pools one ends the process where the system starts no
/// thread (OpenMP), and the other waits for it for ever (pthreadpool).
///
/// # Panics
/// If the system does not start them.
fn try_threads(threads: usize) {
    /// What OpenMP's threads have by default.
    const STACK: usize = 8 << 20;
    let (hold, end) = std::sync::mpsc::channel::<()>();
    let end = std::sync::Mutex::new(end);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            // Each waits until the last one is there, so that all are at once.
            let wait = || end.lock().is_ok_and(|it| it.recv().is_ok());
            let started = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, wait);
            if let Err(refused) = started {
                panic!("failed to spawn thread: {refused}");
            }
        }
        drop(hold);
    });
}

/// Whether cuDNN tries its kernels for each new shape and takes the fastest, instead of the one that it expects to be.
///
/// Trying takes some tenths of a second for each convolution, and its gain is 10 % of VGG16's step and nothing of the
/// other networks' (docs/benchmarks.md): more than most trials on a GPU take.
pub fn try_kernels(tries: bool) {
    tch::Cuda::cudnn_set_benchmark(tries);
}

/// Version of the LibTorch that this program was built with.
pub fn version() -> &'static str {
    env!("LIBTORCH_VERSION")
}

/// Runs `work` without recording a graph for gradients.
pub fn without_gradients<T>(work: impl FnOnce() -> T) -> T {
    // Given back where `work` panics for want of memory, too.
    let _without = tch::no_grad_guard();
    work()
}

/// Makes the device's own generator (dropout masks, noise) start from `seed`.
///
/// It is one for the whole process, so a process trains one network at a time.
pub fn seed_layers(seed: u64) {
    tch::manual_seed(seed as i64);
}
