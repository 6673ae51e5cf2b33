//! Where a run happened: machine, versions, commit.

use std::process::Command;

use ferrite_core::device::Device;
use ferrite_core::machine;

/// `environment.json`.
pub(super) fn describe(device: Device, threads: usize) -> String {
    let facts = serde_json::json!({
        "ferrite": env!("CARGO_PKG_VERSION"),
        "burn": "0.22.1",
        "libtorch": ferrite_torch::version(),
        "device": device.to_string(),
        "threads": threads,
        "cores": machine::cores(),
        "processor": machine::processor(),
        "system": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "host": first_line("/proc/sys/kernel/hostname"),
        "commit": commit(),
    });
    format!("{facts:#}\n")
}

fn first_line(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()?.lines().next().map(str::to_owned)
}

/// The git commit of the folder that the experiments lie in, if git knows one.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|it| output.status.success() && !it.is_empty())
}
