//! What training minimises and counts: labels, cross-entropy, tallies.

use std::ops::Range;

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use tch::{Kind, Reduction};

use crate::OnDevice;
use crate::tensor::{close, open, read_floats, to_scalar};

/// Mean cross-entropy against the true classes, or against their probabilities where labels have some.
///
/// - input: `[batch, classes]`
pub fn cross_entropy(logits: &Tensor<2>, labels: &Labels) -> Tensor<1> {
    entropy(logits, labels, None, 0.0)
}

/// What training minimises: cross-entropy with smoothed labels and weighted classes, as PyTorch's
/// `cross_entropy` has them.
///
/// A batch whose images are all of classes with weight 0 has the loss 0 and no gradient, as in Keras; PyTorch divides 0
/// by 0 there.
#[derive(Debug)]
pub struct Objective {
    smoothing: f64,
    weights: Option<Weights>,
}

/// How much each class counts.
#[derive(Debug)]
struct Weights {
    of_classes: tch::Tensor,
    /// Whether one is 0, so that those of a batch may sum up to 0.
    some_are_zero: bool,
}

impl Objective {
    /// `smoothing` of every label is spread evenly over the classes; `weights` holds how much each class
    /// counts, if they do not count the same.
    pub fn new(smoothing: f64, weights: Option<&[f64]>, device: Device) -> Self {
        let weights = weights.map(|it| {
            let floats: Vec<f32> = it.iter().map(|it| *it as f32).collect();
            let some_are_zero = floats.contains(&0.0);
            Weights { of_classes: device.tensor_of(&floats), some_are_zero }
        });
        Self { smoothing, weights }
    }

    /// The loss of a batch.
    ///
    /// - input: `[batch, classes]`
    pub fn loss(&self, logits: &Tensor<2>, labels: &Labels) -> Tensor<1> {
        entropy(logits, labels, self.weights.as_ref(), self.smoothing)
    }

    /// How much the images with these labels count together: the loss of a batch is the mean of those of its parts, each
    /// counted so.
    fn count(&self, labels: &Labels) -> tch::Tensor {
        match &self.weights {
            Some(weights) if labels.are_classes() => {
                weights.of_classes.index_select(0, &labels.indices).sum(Kind::Float)
            }
            _ => labels.indices.ones_like().sum(Kind::Float),
        }
    }

    /// What the loss of a part of a batch is of the batch's.
    ///
    /// - input: `[part, classes]`
    pub fn share(&self, logits: &Tensor<2>, part: &Labels, batch: &Labels) -> Tensor<1> {
        let all = self.count(batch);
        // Where nothing counts, the loss is 0, whatever its share.
        let share = self.count(part) / (&all + all.eq(0.0).to_kind(Kind::Float));
        close(open(self.loss(logits, part)) * share)
    }

    /// The least loss of a batch with these labels: that of answers which are as sure as the labels are. Waits for the
    /// device.
    pub fn least(&self, labels: &Labels, classes: usize) -> f64 {
        /// A share of nothing, whose logarithm is a number.
        const NOTHING: f64 = 1e-30;
        let rows = labels.rows(classes) * (1.0 - self.smoothing) + self.smoothing / classes as f64;
        let rows = self.weights.as_ref().map_or_else(|| rows.copy(), |it| &rows * &it.of_classes);
        to_scalar(self.loss(&close(rows.clamp_min(NOTHING).log()), labels))
    }
}

fn entropy(
    logits: &Tensor<2>,
    labels: &Labels,
    weights: Option<&Weights>,
    smoothing: f64,
) -> Tensor<1> {
    if let (Some(weights), true) = (weights, labels.are_classes())
        && (weights.some_are_zero || smoothing > 0.0)
    {
        let weights = &weights.of_classes;
        return smoothed_and_weighted(&open(logits.clone()), &labels.indices, weights, smoothing);
    }
    let loss = open(logits.clone()).cross_entropy_loss(
        labels.probabilities.as_ref().unwrap_or(&labels.indices),
        weights.map(|it| &it.of_classes),
        Reduction::Mean,
        IGNORE_NONE,
        smoothing,
    );
    close(loss.reshape([1]))
}

/// The same with both, for which LibTorch's own waits for the device: it looks for labels to ignore. And where weights
/// may sum up to 0.
fn smoothed_and_weighted(
    logits: &tch::Tensor,
    indices: &tch::Tensor,
    weights: &tch::Tensor,
    smoothing: f64,
) -> Tensor<1> {
    let logarithms = logits.log_softmax(1, Kind::Float);
    let own = logarithms.gather(1, &indices.unsqueeze(1), false).squeeze_dim(1);
    let of_images = weights.index_select(0, indices);
    let right = (own * &of_images).sum(Kind::Float);
    let spread = (logarithms * weights).sum(Kind::Float);
    let share = smoothing / weights.size()[0] as f64;
    let sum = of_images.sum(Kind::Float);
    // Where nothing counts, neither do the shares that smoothing gives to other classes.
    let counts = sum.gt(0.0).to_kind(Kind::Float);
    let divisor: tch::Tensor = sum + counts.logical_not();
    let loss = (right * (1.0 - smoothing) + spread * share) * counts / divisor;
    close(-loss.reshape([1]))
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
        Self { indices: device.tensor_of(&classes), probabilities: None }
    }

    /// Labels that are distributions: `probabilities` holds a row of one for each class, image by image.
    /// `classes` are the classes that count as right.
    pub fn with_probabilities(classes: &[u8], probabilities: &[f32], device: Device) -> Self {
        let rows = device.tensor_of(probabilities).reshape([classes.len() as i64, -1]);
        Self { probabilities: Some(rows), ..Self::new(classes, device) }
    }

    /// Whether each is one class, not a distribution over the classes.
    pub fn are_classes(&self) -> bool {
        self.probabilities.is_none()
    }

    /// Labels of images that were mixed: `own` of each label, and the rest of the label of the image at
    /// its place in `partners`. The label with the greater share counts as right.
    pub fn mixed(&self, partners: &[u32], own: f64, classes: usize) -> Self {
        let partners: Vec<i64> = partners.iter().map(|it| i64::from(*it)).collect();
        let partners = Device::of(&self.indices).tensor_of(&partners);
        let rows = self.rows(classes);
        let probabilities = &rows * own + rows.index_select(0, &partners) * (1.0 - own);
        let indices = if own >= 0.5 {
            self.indices.shallow_clone()
        } else {
            self.indices.index_select(0, &partners)
        };
        Self { indices, probabilities: Some(probabilities) }
    }

    /// The probability of each class, image by image.
    fn rows(&self, classes: usize) -> tch::Tensor {
        let one_hot = || self.indices.one_hot(classes as i64).to_kind(Kind::Float);
        self.probabilities.as_ref().map_or_else(one_hot, tch::Tensor::shallow_clone)
    }

    /// Those of the images in `range`.
    pub fn part(&self, range: Range<usize>) -> Self {
        let part = |it: &tch::Tensor| it.narrow(0, range.start as i64, range.len() as i64);
        Self { indices: part(&self.indices), probabilities: self.probabilities.as_ref().map(part) }
    }

    /// A copy that stays where it is ([`Labels::set`]).
    pub fn graph_input(&self) -> Self {
        let probabilities = self.probabilities.as_ref().map(tch::Tensor::copy);
        Self { indices: self.indices.copy(), probabilities }
    }

    /// Takes the values of `others`, of as many images and of the same kind.
    pub fn set(&mut self, others: &Self) {
        self.indices.copy_(&others.indices);
        if let (Some(own), Some(others)) = (&mut self.probabilities, &others.probabilities) {
            own.copy_(others);
        }
    }
}

/// Sums of loss and right answers that stay on the device until they are asked for.
#[derive(Debug)]
pub struct Tally {
    /// Sum of losses, sum of right answers.
    sums: tch::Tensor,
    images: usize,
    /// Images by true class, then by predicted class, if they are counted so.
    confusion: Option<Confusion>,
}

/// Images by true class, then by predicted class.
#[derive(Debug)]
struct Confusion {
    classes: usize,
    /// In one dimension, row by row.
    counts: tch::Tensor,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(device: Device) -> Self {
        let sums = tch::Tensor::zeros([2], (Kind::Double, device.torch()));
        Self { sums, images: 0, confusion: None }
    }

    /// The same, which counts what images of each class were taken for as well.
    pub fn with_confusion(classes: usize, device: Device) -> Self {
        let cells = (classes * classes) as i64;
        let counts = tch::Tensor::zeros([cells], (Kind::Int64, device.torch()));
        Self { confusion: Some(Confusion { classes, counts }), ..Self::new(device) }
    }

    /// Counts a batch with its mean loss.
    pub fn add(&mut self, loss: &Tensor<1>, logits: &Tensor<2>, labels: &Labels) {
        let logits = open(logits.clone()).detach();
        let images = logits.size()[0];
        let loss = open(loss.clone()).detach().to_kind(Kind::Double).reshape([1]) * images as f64;
        let predicted = logits.argmax(1, false);
        let right = predicted.eq_tensor(&labels.indices).sum(Kind::Double);
        let _ = self.sums.g_add_(&tch::Tensor::cat(&[loss, right.reshape([1])], 0));
        self.images += images as usize;
        if let Some(Confusion { classes, counts }) = &mut self.confusion {
            let cells = &labels.indices * *classes as i64 + &predicted;
            let _ = counts.index_add_(0, &cells, &cells.ones_like());
        }
    }

    /// Mean loss and accuracy; waits for the device.
    pub fn means(&self) -> [f64; 2] {
        let sums = self.sums.to_device(tch::Device::Cpu);
        let images = self.images.max(1) as f64;
        [sums.double_value(&[0]) / images, sums.double_value(&[1]) / images]
    }

    /// Images by true class, then by predicted class, row by row; empty where they were not counted so. Waits for the
    /// device.
    pub fn confusion(&self) -> Vec<u32> {
        let Some(Confusion { counts, .. }) = &self.confusion else { return Vec::new() };
        let counts = counts.to_device(tch::Device::Cpu);
        (0..counts.numel()).map(|cell| counts.int64_value(&[cell as i64]) as u32).collect()
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
/// - input: `[batch, classes]`, once for each batch
pub fn probabilities(logits: Vec<Tensor<2>>) -> Vec<f32> {
    if logits.is_empty() {
        return Vec::new();
    }
    let of_batches: Vec<_> = logits.into_iter().map(open).collect();
    read_floats(&tch::Tensor::cat(&of_batches, 0).softmax(1, Kind::Double))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{from_floats, to_scalar};

    const CLASSES: [u8; 4] = [2, 0, 1, 1];
    const WEIGHTS: [f64; 3] = [0.5, 2.0, 1.0];

    fn logits() -> Tensor<2> {
        let values = [0.2, -1.0, 1.5, 2.0, 0.1, -0.3, -0.5, 0.4, 0.9, 1.0, 1.0, -2.0];
        from_floats(&values, [4, 3], Device::Cpu)
    }

    /// Checks the losses without and with smoothing of 0.1, each without and with class weights, against
    /// `torch.nn.functional.cross_entropy` (PyTorch 2.9.1) on the same numbers.
    #[track_caller]
    fn check(labels: &Labels, expected: [[f64; 2]; 2]) {
        for (smoothing, expected) in [0.0, 0.1].into_iter().zip(expected) {
            for (weights, expected) in [None, Some(&WEIGHTS[..])].into_iter().zip(expected) {
                let objective = Objective::new(smoothing, weights, Device::Cpu);
                let found = to_scalar(objective.loss(&logits(), labels));
                assert!((found - expected).abs() < 1e-5, "{smoothing} {weights:?}: {found}");
            }
        }
        let plain = to_scalar(cross_entropy(&logits(), labels));
        assert!((plain - expected[0][0]).abs() < 1e-5, "{plain}");
    }

    #[test]
    fn losses_of_classes_are_pytorchs() {
        check(
            &Labels::new(&CLASSES, Device::Cpu),
            [[0.590_284, 0.742_590], [0.685_284, 0.807_506]],
        );
    }

    #[test]
    fn the_losses_of_parts_add_up_to_that_of_their_batch() {
        let rows = [0.1, 0.2, 0.7, 0.6, 0.4, 0.0, 0.0, 1.0, 0.0, 0.25, 0.25, 0.5];
        let classes = Labels::new(&CLASSES, Device::Cpu);
        let distributions = Labels::with_probabilities(&CLASSES, &rows, Device::Cpu);
        let nothing = [0.0; 3];
        for labels in [classes, distributions] {
            for weights in [None, Some(&WEIGHTS[..]), Some(&nothing[..])] {
                for smoothing in [0.0, 0.1] {
                    let objective = Objective::new(smoothing, weights, Device::Cpu);
                    let part = |range: Range<usize>| {
                        let logits = logits().slice([range.clone()]);
                        to_scalar(objective.share(&logits, &labels.part(range), &labels))
                    };
                    let whole = to_scalar(objective.loss(&logits(), &labels));
                    let sum: f64 = [0..1, 1..3, 3..4].map(part).into_iter().sum();
                    assert!((sum - whole).abs() < 1e-6, "{weights:?} {smoothing}: {sum}, {whole}");
                }
            }
        }
    }

    #[test]
    fn a_batch_of_classes_with_weight_0_has_the_loss_0_and_no_gradient() {
        let check = |classes: &[u8; 4], weights: &[f64; 3], smoothing: f64| {
            let objective = Objective::new(smoothing, Some(weights), Device::Cpu);
            let logits = open(logits()).set_requires_grad(true);
            let labels = Labels::new(classes, Device::Cpu);
            let loss = open(objective.loss(&close(logits.shallow_clone()), &labels));
            let gradient = tch::Tensor::run_backward(&[&loss], &[&logits], false, false).remove(0);
            (loss.double_value(&[0]), gradient.norm().double_value(&[]))
        };
        for smoothing in [0.0, 0.1] {
            assert_eq!(check(&[0, 0, 1, 1], &[0.0, 0.0, 1.0], smoothing), (0.0, 0.0));
            let (loss, gradient) = check(&[0, 2, 1, 1], &[0.0, 0.0, 1.0], smoothing);
            assert!(loss > 0.0 && gradient > 0.0, "{loss} {gradient}");
        }
        // F.cross_entropy(logits, tensor([2, 0, 1, 1]), weight=tensor([0.0, 2.0, 1.0]))
        let (loss, _) = check(&CLASSES, &[0.0, 2.0, 1.0], 0.0);
        assert!((loss - 0.794_548).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn losses_of_distributions_are_pytorchs() {
        let rows = [0.1, 0.2, 0.7, 0.6, 0.4, 0.0, 0.0, 1.0, 0.0, 0.25, 0.25, 0.5];
        check(
            &Labels::with_probabilities(&CLASSES, &rows, Device::Cpu),
            [[1.312_784, 1.930_139], [1.335_534, 1.928_491]],
        );
    }

    #[test]
    fn images_are_counted_by_true_and_predicted_class() {
        // The scores say 2, 0, 2, 0; labels that are distributions count as the class that they were given.
        let rows = [0.1, 0.2, 0.7, 0.6, 0.4, 0.0, 0.0, 1.0, 0.0, 0.25, 0.5, 0.25];
        let distributions = Labels::with_probabilities(&CLASSES, &rows, Device::Cpu);
        for labels in [Labels::new(&CLASSES, Device::Cpu), distributions] {
            let mut tally = Tally::with_confusion(3, Device::Cpu);
            for _ in 0..2 {
                tally.add(&cross_entropy(&logits(), &labels), &logits(), &labels);
            }
            assert_eq!(tally.confusion(), [2, 0, 0, 2, 0, 2, 0, 0, 2]);
            assert_eq!(tally.means()[1], 0.5);
        }
        assert!(Tally::new(Device::Cpu).confusion().is_empty());
    }

    #[test]
    fn a_mixed_label_costs_its_shares_and_counts_as_the_greater() {
        let labels = Labels::new(&CLASSES, Device::Cpu).mixed(&[2, 3, 1, 0], 0.3, 3);
        // 0.3 cross_entropy(logits, classes) + 0.7 cross_entropy(logits, classes[[2, 3, 1, 0]])
        let found = to_scalar(cross_entropy(&logits(), &labels));
        assert!((found - 2.042_784).abs() < 1e-5, "{found}");
        let mut tally = Tally::new(Device::Cpu);
        // The greater share has 1, 1, 0, 2; the scores say 2, 0, 2, 0.
        tally.add(&cross_entropy(&logits(), &labels), &logits(), &labels);
        assert_eq!(tally.means()[1], 0.0);
        let labels = Labels::new(&CLASSES, Device::Cpu).mixed(&[2, 3, 1, 0], 0.6, 3);
        let mut tally = Tally::new(Device::Cpu);
        tally.add(&cross_entropy(&logits(), &labels), &logits(), &labels);
        assert_eq!(tally.means()[1], 0.5);
    }
}
