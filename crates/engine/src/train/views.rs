//! Views of a test image, over which the final evaluation averages.
//!
//! Validation while training is always plain: it chooses epochs, and a plain look is enough for that.

use burn::tensor::Tensor;
use ferrite_core::data::augment::Window;
use ferrite_core::event::Scores;
use ferrite_core::event::acts::Viewed;
use ferrite_core::settings::evaluate::Views;
use ferrite_torch::loss;
use ferrite_torch::picture;

use crate::forward::network::Network;
use crate::train::images::{Images, Split};

/// What the final weights are worth on a split.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Loss and accuracy over all views.
    pub scores: Scores,
    /// Each image's class probabilities, image by image.
    pub probabilities: Vec<f32>,
    /// What the views were and what a plain look gives; none if the look was plain.
    pub viewed: Option<Viewed>,
}

/// Class scores of images: those of a plain look as the network gives them, else the logarithms of the class
/// probabilities, averaged over the views. `look` shows a part of each image at the network's size, gray levels 0-255.
///
/// - output: `[rows, classes]`
pub fn infer(views: Views, network: &Network, look: &dyn Fn(Window) -> Tensor<4>) -> Tensor<2> {
    let scores = |x| network.infer(network.scale_pixels(x), 0);
    if views == Views::Plain {
        return scores(look(Window::WHOLE));
    }
    let looks = views.windows().into_iter().flat_map(|window| {
        let x = look(window);
        [x.clone(), picture::mirror(x)]
    });
    loss::log_mean_probability(looks.map(scores).collect())
}

/// Tests `network` on a split. `progress` hears how many images are done where there is more than one view.
pub fn judge(
    split: &Split<'_>,
    network: &Network,
    images: &Images<'_>,
    views: Views,
    progress: &mut dyn FnMut(usize),
) -> Judged {
    let (plain, probabilities) = split.evaluate(network, images);
    if views == Views::Plain {
        return Judged { scores: plain, probabilities, viewed: None };
    }
    let mut done = 0;
    let (scores, probabilities) = split.score(images, &mut |positions| {
        let rows = split.at(positions);
        let logits = infer(views, network, &|window| images.window(&rows, window));
        done += positions.len();
        progress(done);
        logits
    });
    let viewed = Viewed { name: views.to_string(), count: views.count(), plain };
    Judged { scores, probabilities, viewed: Some(viewed) }
}

#[cfg(test)]
mod tests {
    use ferrite_core::data::augment::Change;
    use ferrite_core::data::dataset::{self, Dataset};
    use ferrite_core::data::decode::decode;
    use ferrite_core::device::Device;
    use ferrite_core::model::trainable::resolve;
    use ferrite_core::model::{FrozenNorm, Input, Model};
    use ferrite_core::precision::{Precision, Precisions};
    use ferrite_core::settings::evaluate::TenCrop;
    use ferrite_torch::tensor::{from_floats, to_floats};

    use super::*;
    use crate::forward::network::Plan;
    use crate::train::images::{Features, compute_features};

    const SIZE: usize = 32;

    /// A few faces, as they lie on disk.
    fn faces() -> Dataset {
        let data = toml::from_str("source = { synthetic = { faces = 80 } }").unwrap();
        let folder = tempfile::tempdir().unwrap();
        decode(&data, folder.path(), &|_, _| {}).unwrap();
        dataset::open(&data, folder.path()).unwrap()
    }

    fn network(dataset: &Dataset) -> Network {
        let plan = Plan {
            model: &Model::default(),
            input: Input::default(),
            frozen_norm: FrozenNorm::Inference,
            image_size: SIZE,
            classes: dataset.classes.len(),
            seed: 3,
            precisions: Precisions::all(Precision::F32),
        };
        Network::new(&plan, Device::Cpu)
    }

    fn judged(split: &Split<'_>, network: &Network, images: &Images<'_>, views: Views) -> Judged {
        judge(split, network, images, views, &mut |_| {})
    }

    /// Class probabilities of `x`, gray levels.
    fn softmax(network: &Network, x: Tensor<4>) -> Vec<f64> {
        let logits = to_floats(network.infer(network.scale_pixels(x), 0));
        let classes = logits.len() / SAMPLE.len();
        let image = |row: &[f32]| {
            let powers: Vec<f64> = row.iter().map(|it| f64::from(*it).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(move |it| it / sum).collect::<Vec<_>>()
        };
        logits.chunks(classes).flat_map(image).collect()
    }

    /// Rows that are looked at.
    const SAMPLE: [u32; 5] = [3, 14, 15, 26, 53];

    #[test]
    fn probabilities_are_the_mean_over_all_views_and_scores_those_of_the_mean() {
        let dataset = faces();
        let network = network(&dataset);
        let images = Images::new(&dataset, SIZE, Device::Cpu);
        let split = Split { rows: &SAMPLE, features: None };
        for views in [Views::Flip, Views::TenCrop(TenCrop { size: 0.75 })] {
            let mut looks = Vec::new();
            for window in views.windows() {
                let x = images.window(&SAMPLE, window);
                looks.push(softmax(&network, picture::mirror(x.clone())));
                looks.push(softmax(&network, x));
            }
            assert_eq!(looks.len(), views.count());
            let mean = |at: usize| looks.iter().map(|it| it[at]).sum::<f64>() / looks.len() as f64;
            let expected: Vec<f64> = (0..looks[0].len()).map(mean).collect();
            let it = judged(&split, &network, &images, views);
            assert_eq!(it.probabilities.len(), expected.len());
            for (a, b) in it.probabilities.iter().zip(&expected) {
                assert!((f64::from(*a) - b).abs() < 1e-5, "{views}: {a} for {b}");
            }
            let classes = dataset.classes.len();
            let truths = SAMPLE.map(|row| usize::from(dataset.labels[row as usize]));
            let of_truth = truths.iter().zip(expected.chunks(classes)).map(|(it, row)| row[*it]);
            let loss = -of_truth.map(f64::ln).sum::<f64>() / SAMPLE.len() as f64;
            assert!((it.scores.loss - loss).abs() < 1e-4, "{views}: {} for {loss}", it.scores.loss);
            let viewed = it.viewed.clone().unwrap();
            assert_eq!((viewed.name, viewed.count), (views.to_string(), looks.len()));
            assert_eq!(viewed.plain, split.evaluate(&network, &images).0);
            assert_ne!(viewed.plain, it.scores, "{views} changes nothing");
            assert_eq!(judged(&split, &network, &images, views), it, "{views}: not the same twice");
        }
    }

    #[test]
    fn windows_of_the_whole_picture_and_features_that_lie_there_change_nothing() {
        let dataset = faces();
        let mut network = network(&dataset);
        network.train(&resolve(&Model::default(), &"head".into()).unwrap());
        let images = Images::new(&dataset, SIZE, Device::Cpu);
        let plain = Split { rows: &SAMPLE, features: None };
        let flip = judged(&plain, &network, &images, Views::Flip);
        let whole = Views::TenCrop(TenCrop { size: 1.0 });
        let whole = judged(&plain, &network, &images, whole);
        for (a, b) in flip.probabilities.iter().zip(&whole.probabilities) {
            assert!((a - b).abs() < 1e-6, "{a} and {b}");
        }
        let blocks = network.frozen_blocks();
        let bytes =
            compute_features(&network, &images, (&SAMPLE, None), blocks, &mut |_| true).unwrap();
        let features = Some(Features::new(bytes, blocks, Device::Cpu));
        let cached = Split { rows: &SAMPLE, features };
        let with_features = judged(&cached, &network, &images, Views::Flip);
        assert_eq!(with_features.probabilities, flip.probabilities);
    }

    /// The windows of a 10x10 picture whose pixel in row y, column x is 10 y + x, against those of
    /// `torchvision.transforms.v2.functional.ten_crop(picture, [6, 6])`, version 0.24: of each crop the
    /// first two pixels, the last one and the sum.
    #[test]
    fn windows_are_those_of_torchvisions_ten_crop() {
        let pixels: Vec<f32> = (0..100_u8).map(f32::from).collect();
        let picture_of = || from_floats(&pixels, [1, 1, 10, 10], Device::Cpu);
        let mut crops = Vec::new();
        for window in Views::TenCrop(TenCrop { size: 0.6 }).windows() {
            let map = Change { window, ..Change::NONE }.map();
            let x = picture::sample_affine(picture_of(), &[map], 6);
            crops.push(to_floats(x.clone()));
            crops.push(to_floats(picture::mirror(x)));
        }
        let mut told: Vec<[f32; 4]> = crops
            .iter()
            .map(|it| [it[0], it[1], it[35], it.iter().sum()].map(f32::round))
            .collect();
        told.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let expected = [
            [0.0, 1.0, 55.0, 990.0],
            [4.0, 5.0, 59.0, 1134.0],
            [5.0, 4.0, 50.0, 990.0],
            [9.0, 8.0, 54.0, 1134.0],
            [22.0, 23.0, 77.0, 1782.0],
            [27.0, 26.0, 72.0, 1782.0],
            [40.0, 41.0, 95.0, 2430.0],
            [44.0, 45.0, 99.0, 2574.0],
            [45.0, 44.0, 90.0, 2430.0],
            [49.0, 48.0, 94.0, 2574.0],
        ];
        assert_eq!(told, expected);
        for value in crops.iter().flatten() {
            assert!((value - value.round()).abs() < 1e-3, "{value} is between two pixels");
        }
    }
}
