//! Images and features on their way into a network: batches of them, by position in their split.

use burn::tensor::Tensor;
use ferrite_core::data::augment::{Augment, Change, Window};
use ferrite_core::data::dataset::Dataset;
use ferrite_core::device::Device;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::{MOST_CONFUSED, Scores, Signal};
use ferrite_core::fault::within_memory;
use ferrite_core::mapped::Bytes;
use ferrite_core::precision::Precision;
use ferrite_torch::loss::{self, Labels, Tally};
use ferrite_torch::ops;
use ferrite_torch::tensor::{Table, to_channels_last_bytes};

use crate::forward::network::Network;
use crate::train::pictures::Pictures;

/// How many images of `size` pixels a side run through a network at once where no gradient is needed.
///
/// A processor is fastest with what its cache still holds a part of; a GPU wants much to do, and its memory is the
/// limit: the largest activations, which are VGG's, then take about a gigabyte each.
pub fn inference_batch(size: usize, device: Device) -> usize {
    const POSITIONS: usize = 1024 * 96 * 96;
    match device {
        Device::Cpu => 128,
        Device::Cuda(_) => (POSITIONS / (size * size).max(1)).clamp(16, 1024),
    }
}

/// The images of a data set on the device, as a network of a given input size sees them.
#[derive(Debug)]
pub struct Images<'a> {
    dataset: &'a Dataset,
    pictures: Pictures,
    size: usize,
    device: Device,
    /// Mean and standard deviation of the training pixels, in gray levels 0-255.
    pub pixels: Signal,
}

impl<'a> Images<'a> {
    /// Uploads the images once; `size` is the network's input, in pixels a side.
    pub fn new(dataset: &'a Dataset, size: usize, device: Device) -> Self {
        let pictures = Pictures::new(dataset.pixels(), &dataset.layout, size, device);
        Self { dataset, pictures, size, device, pixels: dataset.signal(&dataset.train) }
    }

    /// Images at the network's size, gray levels 0-255: as they are, or as an epoch changes them.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn seen(&self, rows: &[u32], changes: Option<Augmented<'_>>) -> Tensor<4> {
        let Some(changes) = changes else { return self.plain(rows) };
        self.pictures.changed(rows, changes.augment, &changes.draw(rows), self.pixels.mean)
    }

    /// Images as they are, at the network's size, gray levels 0-255.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn plain(&self, rows: &[u32]) -> Tensor<4> {
        self.pictures.plain(rows)
    }

    /// A part of each image, at the network's size, gray levels 0-255.
    ///
    /// - output: `[rows, channels, size, size]`
    pub fn window(&self, rows: &[u32], window: Window) -> Tensor<4> {
        self.pictures.window(rows, window)
    }

    /// How many classes there are.
    pub fn classes(&self) -> usize {
        self.dataset.classes.len()
    }

    /// What the classes are called, in label order.
    pub fn class_names(&self) -> &[String] {
        &self.dataset.classes
    }

    /// Whether each label is one class, not a distribution over the classes.
    pub fn have_classes(&self) -> bool {
        self.dataset.probabilities.is_none()
    }

    /// The class of each of `rows`.
    pub fn classes_of(&self, rows: &[u32]) -> Vec<u8> {
        rows.iter().map(|it| self.dataset.labels[*it as usize]).collect()
    }

    /// How many of `rows` are of each class.
    pub fn counts(&self, rows: &[u32]) -> Vec<usize> {
        self.dataset.counts(rows)
    }

    /// Pixels a side of the network's input.
    pub fn size(&self) -> usize {
        self.size
    }

    /// True classes, or where labels are distributions, those.
    pub fn labels(&self, rows: &[u32]) -> Labels {
        let classes = self.classes_of(rows);
        let Some(all) = &self.dataset.probabilities else {
            return Labels::new(&classes, self.device);
        };
        let width = self.dataset.classes.len();
        let of_row = |row: &u32| &all[*row as usize * width..][..width];
        let probabilities: Vec<f32> = rows.iter().flat_map(of_row).copied().collect();
        Labels::with_probabilities(&classes, &probabilities, self.device)
    }
}

/// The random changes that an epoch draws.
#[derive(Debug, Clone, Copy)]
pub struct Augmented<'a> {
    /// What is drawn.
    pub augment: &'a Augment,
    /// Decides it, with the epoch.
    pub seed: u64,
    /// The epoch, from 1 on.
    pub epoch: usize,
}

impl Augmented<'_> {
    /// What happens to each of `rows`.
    pub fn draw(&self, rows: &[u32]) -> Vec<Change> {
        rows.iter().map(|row| self.augment.draw(self.seed, self.epoch, *row)).collect()
    }
}

/// The output of a frozen prefix for each image of a split, in the split's order, or for several views of each.
#[derive(Debug)]
pub struct Features {
    views: Vec<Table>,
    /// Blocks that are behind it.
    pub blocks: usize,
}

/// Features as a cache keeps them.
#[derive(Debug)]
pub struct FeatureBytes {
    /// Numbers in the processor's order of bytes, channels last.
    pub bytes: Bytes,
    /// What they are.
    pub precision: Precision,
    /// Images, height, width, channels.
    pub shape: [usize; 4],
}

impl Features {
    /// Features behind `blocks` blocks, from their bytes.
    pub fn new(features: FeatureBytes, blocks: usize, device: Device) -> Self {
        Self { views: vec![features.table(device)], blocks }
    }

    /// The same with another view of each image, which the epochs take in turn.
    pub fn with_view(mut self, features: FeatureBytes, device: Device) -> Self {
        self.views.push(features.table(device));
        self
    }

    /// The first view.
    ///
    /// - output: `[positions, channels, h, w]`
    pub fn at(&self, positions: &[u32]) -> Tensor<4> {
        self.in_epoch(1, positions)
    }

    /// The view whose turn it is in `epoch`, from 1 on.
    ///
    /// - output: `[positions, channels, h, w]`
    pub fn in_epoch(&self, epoch: usize, positions: &[u32]) -> Tensor<4> {
        self.views[(epoch - 1) % self.views.len()].features(positions)
    }
}

impl FeatureBytes {
    fn table(self, device: Device) -> Table {
        Table::of_numbers(self.bytes, self.precision, &self.shape, device)
    }
}

/// Runs the first `blocks` blocks over `rows`, as they are or changed. `go_on` hears how many images are done and says whether to.
///
/// # Errors
/// [`Error::Interrupted`] if `go_on` says no.
pub fn compute_features(
    network: &Network,
    images: &Images<'_>,
    (rows, changes): (&[u32], Option<Augmented<'_>>),
    blocks: usize,
    go_on: &mut dyn FnMut(usize) -> bool,
) -> Result<FeatureBytes> {
    let mut bytes = Vec::new();
    let (mut position, mut precision) = ([1, 1, 1], Precision::F32);
    let compute = |batch: &[u32]| {
        ferrite_torch::without_gradients(|| {
            let x = network.scale_pixels(images.seen(batch, changes));
            let x = network.frozen_prefix(x, blocks);
            let [_, channels, height, width] = x.dims();
            ([height, width, channels], to_channels_last_bytes(x))
        })
    };
    let (mut at_once, mut done) = (inference_batch(images.size, images.device), 0);
    while done < rows.len() {
        let batch = &rows[done..rows.len().min(done + at_once)];
        let computed =
            if batch.len() < 2 { Ok(compute(batch)) } else { within_memory(|| compute(batch)) };
        let Ok((of_image, (of_batch, each))) = computed else {
            // Memory does not hold so many at once.
            ferrite_torch::memory::give_back();
            at_once = batch.len() / 2;
            continue;
        };
        (position, precision) = (of_image, each);
        bytes.extend(of_batch);
        done += batch.len();
        if !go_on(done) {
            return Err(Error::Interrupted);
        }
    }
    let [height, width, channels] = position;
    let shape = [rows.len(), height, width, channels];
    Ok(FeatureBytes { bytes: Bytes::Heap(bytes), precision, shape })
}

/// A split of a data set, with the features of its images if they are at hand.
#[derive(Debug)]
pub struct Split<'a> {
    /// Rows of the data set.
    pub rows: &'a [u32],
    /// Output of the frozen prefix, row by row.
    pub features: Option<Features>,
}

impl Split<'_> {
    /// Class scores in inference mode of the images at `positions`.
    ///
    /// - output: `[positions, classes]`
    fn infer(&self, network: &Network, images: &Images<'_>, positions: &[u32]) -> Tensor<2> {
        if let Some(features) = &self.features {
            return network.infer(features.at(positions), features.blocks);
        }
        network.infer(network.scale_pixels(images.plain(&self.at(positions))), 0)
    }

    /// Rows of the data set at `positions` of the split.
    pub fn at(&self, positions: &[u32]) -> Vec<u32> {
        positions.iter().map(|it| self.rows[*it as usize]).collect()
    }

    /// Standard deviation of the pooled features of the first images, in inference mode.
    pub fn features_std(&self, network: &Network, images: &Images<'_>, most: usize) -> f64 {
        ferrite_torch::without_gradients(|| ops::std_of(self.pooled(network, images, most)))
    }

    /// The pooled features of the first images, as many as `most`, in inference mode.
    pub(super) fn pooled(&self, network: &Network, images: &Images<'_>, most: usize) -> Tensor<2> {
        let positions: Vec<u32> = (0..self.rows.len().min(most) as u32).collect();
        if let Some(features) = &self.features {
            return network.infer_features(features.at(&positions), features.blocks);
        }
        network.infer_features(network.scale_pixels(images.plain(&self.at(&positions))), 0)
    }

    /// Loss and accuracy on all images, and each one's class probabilities.
    pub fn evaluate(&self, network: &Network, images: &Images<'_>) -> (Scores, Vec<f32>) {
        self.score(images, &mut |positions| self.infer(network, images, positions))
    }

    /// Loss and accuracy on all images, and how many of each class were taken for each class
    /// ([`Epoch::confusion`](ferrite_core::event::Epoch::confusion)).
    pub(super) fn validate(&self, network: &Network, images: &Images<'_>) -> (Scores, Vec<u32>) {
        let classes = images.classes();
        let mut tally = if classes <= MOST_CONFUSED {
            Tally::with_confusion(classes, images.device)
        } else {
            Tally::new(images.device)
        };
        self.count(images, &mut tally, &mut |positions| self.infer(network, images, positions));
        (scores(&tally), tally.confusion())
    }

    /// Loss and accuracy on all images of what `infer` says of those at some positions, and each one's class
    /// probabilities.
    pub(super) fn score(
        &self,
        images: &Images<'_>,
        infer: &mut dyn FnMut(&[u32]) -> Tensor<2>,
    ) -> (Scores, Vec<f32>) {
        let mut tally = Tally::new(images.device);
        let logits = self.count(images, &mut tally, infer);
        (scores(&tally), loss::probabilities(logits))
    }

    /// Counts in `tally` what `infer` says of all images, and returns it, batch by batch.
    fn count(
        &self,
        images: &Images<'_>,
        tally: &mut Tally,
        infer: &mut dyn FnMut(&[u32]) -> Tensor<2>,
    ) -> Vec<Tensor<2>> {
        let positions: Vec<u32> = (0..self.rows.len() as u32).collect();
        ferrite_torch::without_gradients(|| {
            let batches = positions.chunks(inference_batch(images.size, images.device));
            let of_batch = |batch: &[u32]| {
                let logits = in_memory(batch, infer);
                let labels = images.labels(&self.at(batch));
                tally.add(&loss::cross_entropy(&logits, &labels), &logits, &labels);
                logits
            };
            batches.map(of_batch).collect()
        })
    }
}

/// What `infer` says of `batch`: of all at once, or where memory does not hold that, of ever fewer at once.
fn in_memory(batch: &[u32], infer: &mut dyn FnMut(&[u32]) -> Tensor<2>) -> Tensor<2> {
    if batch.len() < 2 {
        return infer(batch);
    }
    within_memory(|| infer(batch)).unwrap_or_else(|_| {
        ferrite_torch::memory::give_back();
        let (first, second) = batch.split_at(batch.len() / 2);
        Tensor::cat(vec![in_memory(first, infer), in_memory(second, infer)], 0)
    })
}

fn scores(tally: &Tally) -> Scores {
    let [loss, accuracy] = tally.means();
    Scores { loss, accuracy }
}
