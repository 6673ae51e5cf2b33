//! Where in its feature maps a network sees what speaks for a class.

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use tch::Kind;

use crate::OnDevice;
use crate::tensor::{close, open};

/// Grad-CAM (Selvaraju et al. 2017, <https://arxiv.org/abs/1610.02391>): for each image the sum of its `maps`, each weighed
/// with the mean over all positions of the gradient of a class's score by it, where that sum is positive. `rest` makes class
/// scores of the maps, without anything that depends on the other images of the batch; image `i` is asked about class
/// `classes[i]`.
///
/// - maps: `[batch, channels, h, w]`, which no gradient is recorded for
/// - output: `[batch, 1, h, w]`
pub fn grad_cam(
    maps: Tensor<4>,
    classes: &[usize],
    rest: impl FnOnce(Tensor<4>) -> Tensor<2>,
) -> Tensor<4> {
    let maps = open(maps).detach().set_requires_grad(true);
    // Not the leaf itself, since layers may work in place where they alone hold their input.
    let scores = open(rest(close(&maps * 1.0)));
    let classes: Vec<i64> = classes.iter().map(|it| *it as i64).collect();
    let classes = Device::of(&maps).tensor_of(&classes).unsqueeze(1);
    let score = scores.gather(1, &classes, false).sum(Kind::Float);
    let gradients = tch::Tensor::run_backward(&[&score], &[&maps], false, false);
    tch::no_grad(|| {
        let weights = gradients[0].mean_dim([2, 3].as_slice(), true, Kind::Float);
        let sum = (weights * &maps).sum_dim_intlist([1].as_slice(), true, Kind::Float);
        close(sum.relu())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{from_floats, map, to_floats};

    #[test]
    fn maps_count_by_the_mean_of_their_gradients_and_only_what_speaks_for_the_class_is_left() {
        // Two channels of two positions. The score of class 0 is 2 a0 + 4 a1 - 2 b0, that of class 1 its negative.
        let maps = [1.0, 0.5, 2.0, 1.0];
        let maps = || from_floats(&[maps, maps].concat(), [2, 2, 1, 2], Device::Cpu);
        let rest = |x: Tensor<4>| {
            map(x.flatten::<2>(1, 3), |x| {
                let weight = tch::Tensor::from_slice(&[2.0_f32, 4.0, -2.0, 0.0]);
                let score = (x * weight).sum_dim_intlist([1].as_slice(), true, Kind::Float);
                tch::Tensor::cat(&[&score, &-&score], 1)
            })
        };
        // The means of the gradients are 3 and -1: 3 * [1, 0.5] - [2, 1], and for the other class what is left of its negative.
        let found = to_floats(grad_cam(maps(), &[0, 1], rest));
        assert_eq!(found, [1.0, 0.5, 0.0, 0.0]);
    }
}
