//! Ferrite's side of `make bench`: does the work that `tools/bench` asks for, a round at a time, so that
//! both sides can take turns.
//!
//! The work is named on the command line as JSON. The program prints a line when it is ready; then it does a
//! round for each line that it reads and answers with its figures, until its input ends.
//!
//! **Invariant:** goes the way a run goes; nothing is written for the sake of a figure.

mod data;
mod faces;
mod network;

use std::io::{BufRead, Write};

use ferrite_core::device::Device;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is measured.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// Optimizer steps.
    Step(network::Setup),
    /// Evaluation without gradients.
    Inference(network::Setup),
    /// A stage that trains the head alone, from fresh images on: a stage a round.
    FrozenStage(network::Setup),
    /// Batches of augmented images, without a network.
    Pipeline(network::Setup),
    /// A FER2013 table, read and opened again.
    Csv(data::Csv),
    /// A folder of pictures, read.
    Folder(data::Folder),
    /// Drawn faces, written for the others.
    DrawFaces(faces::Drawn),
    /// Faces found in pictures.
    Faces(faces::Setup),
}

/// Says that all is prepared, and waits for the first turn.
pub(crate) fn ready(device: Device) -> bool {
    let loaded = if device == Device::Cpu { memory("VmRSS") } else { 0.0 };
    answer(&json!({ "ready": true, "mb": loaded }))
}

/// Gives a round's figures and waits for the next turn; says whether there is one. Memory is that of the device.
pub(crate) fn done(device: Device, figures: Value) -> bool {
    let mut told = figures;
    let of_gpu = ferrite_torch::peak_memory(device).map(|it| it as f64 / f64::from(1 << 20));
    told["peak_mb"] = of_gpu.unwrap_or_else(|| memory("VmHWM")).into();
    answer(&told)
}

#[expect(clippy::print_stdout, reason = "the answer is this program's output")]
fn answer(answer: &Value) -> bool {
    println!("{answer}");
    let mut line = String::new();
    let heard =
        std::io::stdout().flush().and_then(|()| std::io::stdin().lock().read_line(&mut line));
    heard.is_ok_and(|it| it > 0)
}

/// A line of what Linux says about this process's memory, in MB.
fn memory(line: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of_line = status.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(':'));
    let kilobytes =
        of_line.and_then(|it| it.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<()> {
    let work = std::env::args().nth(1).ok_or("usage: bench WORK, as JSON")?;
    match serde_json::from_str(&work)? {
        Work::Step(setup) => network::train(&setup),
        Work::Inference(setup) => network::infer(&setup),
        Work::FrozenStage(setup) => network::frozen_stage(&setup),
        Work::Pipeline(setup) => network::pipeline(&setup),
        Work::Csv(csv) => data::read(&csv),
        Work::Folder(folder) => data::read_folder(&folder),
        Work::DrawFaces(drawn) => faces::draw(&drawn),
        Work::Faces(setup) => faces::find(&setup),
    }
}
