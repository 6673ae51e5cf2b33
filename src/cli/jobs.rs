//! How many trials run at once: what is asked for, and what is best where nobody asks.

use ferrite_core::machine;

/// A number of trials or threads, as an argument says it.
pub(super) fn count(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|it| *it > 0);
    number.ok_or_else(|| format!("it must be a whole number from 1 to {}", u16::MAX))
}

/// How many trials at once carry out the most in an hour, of `todo`.
///
/// On a processor one thread a trial loses nothing to threads that wait for each other: two trials on a core
/// each train 1.1 to 1.4 times as many images as one on two cores (docs/benchmarks.md). On a GPU four trials of
/// small images together train 1.3 times as many as one, and while one starts or writes the others go on.
pub(super) fn best_jobs(device: &str, todo: usize) -> usize {
    /// What a trial may need beside the data set: the largest networks at the study's batch and image size.
    const BYTES_PER_TRIAL: u64 = 2 << 30;
    /// The same on a GPU, with what CUDA takes for each process.
    const BYTES_PER_TRIAL_ON_GPU: u64 = 4 << 30;
    const MOST_ON_GPU: usize = 4;
    let (most, memory, bytes) = if device == "cpu" {
        (machine::cores(), machine::available_memory(), BYTES_PER_TRIAL)
    } else {
        (MOST_ON_GPU.min(machine::cores()), free_memory_of_gpus(), BYTES_PER_TRIAL_ON_GPU)
    };
    let fitting = memory.map_or(1, |it| it / bytes) as usize;
    most.min(fitting).min(todo).max(1)
}

/// Bytes that are free on the GPU with the least, as the driver's own tool says; none where it does not.
pub(super) fn free_memory_of_gpus() -> Option<u64> {
    let query = ["--query-gpu=memory.free", "--format=csv,noheader,nounits"];
    let told = std::process::Command::new("nvidia-smi").args(query).output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let mebibytes = text.lines().filter_map(|it| it.trim().parse::<u64>().ok()).min()?;
    Some(mebibytes << 20)
}
