//! How each convolution of a stage is computed on this processor, as `ferrite plan --layers` shows it.

use std::fmt::Write as _;

use ferrite_core::device::Device;
use ferrite_core::error::printable;
use ferrite_core::kernels::{Algorithms, Convolution};
use ferrite_core::model::Model;
use ferrite_core::model::convolutions::{ConvolutionUse, convolutions};
use ferrite_core::model::trainable::Trained;
use ferrite_core::precision::Bfloat16;
use ferrite_core::processor::{Processor, Vectors};

/// A line for each convolution of `model` on images of `image_size` pixels a side, where `trained` trains, with what computes
/// its forward pass and its gradients on `processor`. On a GPU cuDNN decides.
pub(super) fn kernels(
    model: &Model,
    image_size: usize,
    trained: &Trained,
    processor: &Processor,
) -> String {
    let precisions = model.precisions(Device::Cpu, Bfloat16::of_processor(processor));
    let mut lines = format!(
        "      on this processor ({}) in {precisions}, by\n      {:14}  {:14}  {:15}\n",
        instructions(processor),
        "forward pass",
        "input gradient",
        "weight gradient",
    );
    for it in convolutions(model, image_size, trained, precisions) {
        lines.push_str(&line(&it, processor));
    }
    lines
}

/// The instructions that kernels are chosen by.
fn instructions(processor: &Processor) -> &'static str {
    match processor {
        Processor { amx_bf16: true, .. } => "AVX-512, AMX for bfloat16",
        Processor { avx512_bf16: true, .. } => "AVX-512 with bfloat16",
        Processor { vectors: Vectors::Avx512, .. } => "AVX-512",
        Processor { vectors: Vectors::Avx2, .. } => "AVX2",
        Processor { vectors: Vectors::Baseline, .. } => "no AVX2",
    }
}

fn line(it: &ConvolutionUse, processor: &Processor) -> String {
    let algorithms = Algorithms::of(&it.convolution, processor);
    let gradient = |asked: bool, name: &'static str| if asked { name } else { "-" };
    let mut line = format!(
        "      {:14}  {:14}  {:15}  {}: {}",
        algorithms.forward.name(),
        gradient(it.needs_input_gradient, algorithms.input_gradient.name()),
        gradient(it.needs_weight_gradient, algorithms.weight_gradient.name()),
        printable(&it.layer),
        described(&it.convolution),
    );
    if it.is_in_prefix {
        line.push_str(", frozen");
    }
    line.push('\n');
    line
}

/// A convolution in words: `3x3 of 64 to 128 channels on 24x24`.
fn described(it: &Convolution) -> String {
    let Convolution { input, output, height, width, kernel, stride, groups, .. } = *it;
    let mut text = format!("{kernel}x{kernel} of {input} to {output} channels on {height}x{width}");
    if stride > 1 {
        let _ = write!(text, " in steps of {stride}");
    }
    if groups > 1 {
        let _ = write!(text, " in {groups} groups");
    }
    text
}

#[cfg(test)]
mod tests {
    use ferrite_core::model::backbone::Backbone;
    use ferrite_core::model::trainable::resolve;

    use super::*;

    #[test]
    fn a_plan_says_how_each_convolution_is_computed() {
        let amx = Processor {
            vendor: *b"GenuineIntel",
            family: 6,
            vectors: Vectors::Avx512,
            avx512_bf16: true,
            amx_bf16: true,
        };
        let model = Model { backbone: Backbone::Vgg16, ..Model::default() };
        let trained = resolve(&model, &"block5_conv2".into()).unwrap();
        let lines = kernels(&model, 48, &trained, &amx);
        let lines: Vec<&str> = lines.lines().map(str::trim).collect();
        assert_eq!(lines.len(), 2 + 13);
        assert_eq!(lines[0], "on this processor (AVX-512, AMX for bfloat16) in bf16, by");
        assert_eq!(lines[1], "forward pass    input gradient  weight gradient");
        let first = "LibTorch        -               -                \
                     features.0: 3x3 of 3 to 64 channels on 48x48, frozen";
        assert_eq!(lines[2], first);
        let last = "matrix unit     matrix unit     matrix unit      \
                    features.28: 3x3 of 512 to 512 channels on 3x3";
        assert_eq!(lines[14], last);
    }
}
