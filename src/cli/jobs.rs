//! How many trials run at once: what is asked for, and what is best where nobody asks.

use ferrite_core::machine;

/// A number of trials or threads, as an argument says it.
pub(super) fn count(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|it| *it > 0);
    number.ok_or_else(|| format!("it must be a whole number from 1 to {}", u16::MAX))
}

/// How many of `todo` trials at once carry out the most on the processor.
///
/// There one thread a trial loses nothing to threads that wait for each other: two trials on a core
/// each train 1.1 to 1.4 times as many images as one on two cores (docs/benchmarks.md).
pub(super) fn on_processor(todo: usize) -> usize {
    /// What a trial may need beside the data set: the largest networks at the study's batch and image size.
    const BYTES_PER_TRIAL: u64 = 2 << 30;
    most(machine::available_memory(), BYTES_PER_TRIAL, todo)
}

/// How many of `todo` trials at once the memory of a GPU and the cores that feed it have room for.
pub(super) fn most_on_gpu(todo: usize) -> usize {
    /// What a trial may need, with what CUDA takes for each process.
    const BYTES_PER_TRIAL: u64 = 4 << 30;
    /// Each has at least two cores on the machines that such cards stand in, and is fed by them.
    const MOST: usize = 8;
    most(free_memory_of_gpus(), BYTES_PER_TRIAL, todo).min(MOST)
}

fn most(memory: Option<u64>, bytes: u64, todo: usize) -> usize {
    let fitting = memory.map_or(1, |it| it / bytes) as usize;
    machine::cores().min(fitting).min(todo).max(1)
}

/// How many trials at once a plan counts with. On a GPU a sweep finds that out by trying, so what is certain counts: one.
pub(super) fn guessed(device: &str, todo: usize) -> usize {
    if device == "cpu" { on_processor(todo) } else { 1 }
}

/// Bytes that are free on the GPU with the least, as the driver's own tool says; none where it does not.
pub(super) fn free_memory_of_gpus() -> Option<u64> {
    let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits"];
    let told = std::process::Command::new("nvidia-smi").args(query).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let mebibytes = text.lines().filter_map(|it| it.trim().parse::<u64>().ok()).min()?;
    Some(mebibytes << 20)
}
