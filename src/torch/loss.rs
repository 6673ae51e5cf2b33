//! What training minimises and counts: labels, cross-entropy, tallies.

use burn::tensor::Tensor;
use tch::{Kind, Reduction};

use crate::torch::Device;
use crate::torch::tensor::{close, open, read_floats};

/// Mean cross-entropy against the true classes, or against their probabilities where labels have some.
///
/// - input: `[batch, classes]`
pub fn cross_entropy(logits: &Tensor<2>, labels: &Labels) -> Tensor<1> {
    let loss = open(logits.clone()).cross_entropy_loss(
        labels.probabilities.as_ref().unwrap_or(&labels.indices),
        None::<&tch::Tensor>,
        Reduction::Mean,
        IGNORE_NONE,
        0.0,
    );
    close(loss.reshape([1]))
}

/// LibTorch's default for "no class is ignored".
const IGNORE_NONE: i64 = -100;

/// The true classes of a batch, on the device.
#[derive(Debug)]
pub struct Labels {
    indices: tch::Tensor,
    /// `[batch, classes]`, where a label is a distribution over the classes.
    probabilities: Option<tch::Tensor>,
}

impl Labels {
    /// Labels from class indices.
    pub fn new(classes: &[u8], device: Device) -> Self {
        let classes: Vec<i64> = classes.iter().map(|it| i64::from(*it)).collect();
        let indices = tch::Tensor::from_slice(&classes).to(device.torch());
        Self { indices, probabilities: None }
    }

    /// Labels that are distributions: `probabilities` holds a row of one for each class, image by image.
    /// `classes` are the classes that count as right.
    pub fn with_probabilities(classes: &[u8], probabilities: &[f32], device: Device) -> Self {
        let rows = tch::Tensor::from_slice(probabilities).reshape([classes.len() as i64, -1]);
        Self { probabilities: Some(rows.to(device.torch())), ..Self::new(classes, device) }
    }
}

/// Sums of loss and right answers that stay on the device until they are asked for.
#[derive(Debug)]
pub struct Tally {
    /// Sum of losses, sum of right answers.
    sums: tch::Tensor,
    images: usize,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(device: Device) -> Self {
        Self { sums: tch::Tensor::zeros([2], (Kind::Double, device.torch())), images: 0 }
    }

    /// Counts a batch with its mean loss.
    pub fn add(&mut self, loss: &Tensor<1>, logits: &Tensor<2>, labels: &Labels) {
        let logits = open(logits.clone()).detach();
        let images = logits.size()[0];
        let loss = open(loss.clone()).detach().to_kind(Kind::Double).reshape([1]) * images as f64;
        let right = logits.argmax(1, false).eq_tensor(&labels.indices).sum(Kind::Double);
        let _ = self.sums.g_add_(&tch::Tensor::cat(&[loss, right.reshape([1])], 0));
        self.images += images as usize;
    }

    /// Mean loss and accuracy; waits for the device.
    pub fn means(&self) -> [f64; 2] {
        let sums = self.sums.to_device(tch::Device::Cpu);
        let images = self.images.max(1) as f64;
        [sums.double_value(&[0]) / images, sums.double_value(&[1]) / images]
    }

    /// How many images were counted.
    pub fn images(&self) -> usize {
        self.images
    }
}

/// The logarithm of the mean of each class's probability over several views of the same images. As class
/// scores they give these mean probabilities, and their cross-entropy.
///
/// - input: one or more of `[batch, classes]`
/// - output: `[batch, classes]`
pub fn log_mean_probability(views: Vec<Tensor<2>>) -> Tensor<2> {
    let count = views.len() as f64;
    let logarithms: Vec<_> =
        views.into_iter().map(|it| open(it).log_softmax(1, Kind::Double)).collect();
    close(tch::Tensor::stack(&logarithms, 0).logsumexp([0].as_slice(), false) - count.ln())
}

/// Class probabilities, row by row.
///
/// - input: `[batch, classes]`
pub fn probabilities(logits: Tensor<2>) -> Vec<f32> {
    read_floats(&open(logits).softmax(1, Kind::Double))
}
