//! What is put around feature maps where both sides do not get the same: LibTorch's windows pad alike on both.

use burn::tensor::Tensor;
use ferrite_core::model::layer::{PaddingValue, SamePadding};

use crate::tensor::map;

/// Values around the input, as windows behind it need them.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, h', w']`
pub fn pad(x: Tensor<4>, padding: SamePadding) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    let [[top, bottom], [left, right]] = [height, width].map(|it| padding.around(it));
    let sides = [left, right, top, bottom].map(|it| it as i64);
    let value = match padding.value {
        PaddingValue::Zero => 0.0,
        PaddingValue::Lowest => f64::NEG_INFINITY,
    };
    if sides == [0; 4] {
        return x;
    }
    map(x, |x| x.pad(sides, "constant", value))
}
