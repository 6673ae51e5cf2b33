//! Changes of training images and views of test images, as they are computed on the device.

use burn::tensor::Tensor;
use ferrite_core::data::augment::{Augment, Change, Window};
use ferrite_torch::picture;

/// What changed images are brought to.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    /// Pixels a side.
    pub size: usize,
    /// The gray level of what is erased.
    pub fill: f64,
}

/// Changes a batch and brings it to a size.
///
/// - input: `[batch, channels, h, w]`, gray levels 0-255
/// - output: `[batch, channels, size, size]`, gray levels 0-255
pub fn apply(augment: &Augment, x: Tensor<4>, changes: &[Change], to: Canvas) -> Tensor<4> {
    let Canvas { size, fill } = to;
    let maps: Vec<_> = changes.iter().map(Change::map).collect();
    let factors =
        |of: fn(&Change) -> f64| -> Vec<f32> { changes.iter().map(|it| of(it) as f32).collect() };
    let mut x = picture::sample_affine(x, &maps, size);
    if augment.brightness.is_some() {
        x = picture::brighten(x, &factors(|it| it.brightness));
    }
    if augment.contrast.is_some() {
        x = picture::change_contrast(x, &factors(|it| it.contrast));
    }
    if augment.erase > 0.0 {
        let erased: Vec<_> = changes.iter().map(|it| it.erased).collect();
        x = picture::erase(x, &erased, fill);
    }
    x
}

/// A part of each picture of `x`, at `size` pixels a side; the whole is resized as images are that
/// do not change.
///
/// - input: `[batch, channels, h, w]`
/// - output: `[batch, channels, size, size]`
pub(super) fn look(window: Window, x: Tensor<4>, size: usize) -> Tensor<4> {
    if window == Window::WHOLE {
        return picture::resize(x, size);
    }
    let [batch, ..] = x.dims();
    let map = Change { window, ..Change::NONE }.map();
    picture::sample_affine(x, &vec![map; batch], size)
}

#[cfg(test)]
mod tests {
    use ferrite_core::data::augment::Rectangle;
    use ferrite_core::device::Device;
    use ferrite_torch::tensor::{from_floats, to_floats};

    use super::*;

    /// Applies `change` to a 4x4 image whose pixel in row y, column x is 10 y + x.
    fn changed(change: Change) -> Vec<f32> {
        let pixels: Vec<f32> = (0..16_u8).map(|it| f32::from(10 * (it / 4) + it % 4)).collect();
        let image = from_floats(&pixels, [1, 1, 4, 4], Device::Cpu);
        let all = Augment { brightness: Some([0.5, 2.0]), erase: 1.0, ..Augment::default() };
        to_floats(apply(&all, image, &[change], Canvas { size: 4, fill: 99.0 }))
            .iter()
            .map(|it| it.round())
            .collect()
    }

    #[test]
    fn without_a_change_the_image_stays_as_it_is() {
        let expected: Vec<f32> = (0..16_u8).map(|it| f32::from(10 * (it / 4) + it % 4)).collect();
        assert_eq!(changed(Change::NONE), expected);
    }

    #[test]
    fn flip_mirrors_left_and_right() {
        let row = &changed(Change { flip: true, ..Change::NONE })[..4];
        assert_eq!(row, [3.0, 2.0, 1.0, 0.0]);
    }

    #[test]
    fn a_quarter_turn_maps_columns_to_rows() {
        let turned = changed(Change { rotation: 90.0, ..Change::NONE });
        assert_eq!(turned[..4], [3.0, 13.0, 23.0, 33.0]);
    }

    #[test]
    fn a_shift_moves_by_its_share_and_replicates_the_edge() {
        let shifted = changed(Change { shift: [0.25, 0.0], ..Change::NONE });
        assert_eq!(shifted[..4], [1.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn a_window_of_whole_pixels_is_cut_out() {
        let window = Window { left: 0.25, top: 0.5, side: 0.5 };
        let image = from_floats(&[0.0, 1.0, 2.0, 3.0].repeat(4), [1, 1, 4, 4], Device::Cpu);
        let change = Change { window, flip: true, ..Change::NONE };
        let x = apply(&Augment::default(), image, &[change], Canvas { size: 2, fill: 0.0 });
        assert_eq!(to_floats(x), [2.0, 1.0, 2.0, 1.0]);
    }

    /// Checks `change` on a 6x6 image whose pixel in row y, column x is (37 y + 23 x + 5 x y) mod 200.
    #[track_caller]
    fn check_geometry(change: Change, expected: [[f32; 6]; 6]) {
        let value = |it: u16| (37 * (it / 6) + 23 * (it % 6) + 5 * (it / 6) * (it % 6)) % 200;
        let pixels: Vec<f32> = (0..36).map(|it| f32::from(value(it))).collect();
        let image = from_floats(&pixels, [1, 1, 6, 6], Device::Cpu);
        let got =
            to_floats(apply(&Augment::default(), image, &[change], Canvas { size: 6, fill: 0.0 }));
        for (at, (a, b)) in got.iter().zip(expected.as_flattened()).enumerate() {
            assert!((a - b).abs() < 0.02, "row {}, column {}: {a} for {b}", at / 6, at % 6);
        }
    }

    // The numbers of the next three tests were made with scipy.ndimage.affine_transform(image, …, order=1,
    // mode="nearest") and Keras's matrices: rotation [[cos, -sin], [sin, cos]], shear [[1, -sin], [0, cos]],
    // zoom diag(zx, zy), about the centre, multiplied in this order, x and y swapped for SciPy as
    // `keras.src.legacy.preprocessing.image.apply_affine_transform` does.

    #[test]
    fn shear_is_that_of_keras() {
        let expected = [
            [25.89, 49.64, 73.40, 97.15, 120.90, 124.35],
            [54.94, 83.40, 111.85, 131.02, 150.66, 164.52],
            [80.78, 113.94, 146.06, 141.04, 13.39, 40.87],
            [109.88, 141.26, 179.11, 56.16, 55.84, 92.66],
            [144.65, 165.37, 119.34, 59.75, 93.02, 135.56],
            [179.42, 161.65, 59.30, 80.76, 128.01, 150.64],
        ];
        check_geometry(Change { shear: 20.0, ..Change::NONE }, expected);
    }

    #[test]
    fn rotation_shear_zoom_and_flip_come_in_the_order_of_keras() {
        let change =
            Change { rotation: 12.0, shear: 20.0, zoom: [1.1, 0.8], flip: true, ..Change::NONE };
        let expected = [
            [125.16, 156.72, 147.04, 105.43, 66.29, 29.61],
            [42.35, 55.06, 92.49, 128.14, 85.83, 45.98],
            [84.42, 46.29, 104.64, 146.35, 102.49, 59.48],
            [125.60, 69.58, 58.48, 164.91, 116.28, 83.90],
            [139.26, 89.98, 77.26, 152.68, 127.18, 109.00],
            [149.89, 107.51, 50.63, 175.44, 142.56, 134.10],
        ];
        check_geometry(change, expected);
    }

    // The same with a shift before them, and between zoom and flip a window of 3/4 of the side, 1/5 from the
    // left and 1/20 from the top: all as 3x3 matrices on 0..1, then SciPy once.
    #[test]
    fn all_geometry_at_once_is_interpolated_once() {
        let change = Change {
            rotation: 12.0,
            shear: 20.0,
            zoom: [1.1, 0.8],
            flip: true,
            shift: [0.05, -0.1],
            window: Window { left: 0.2, top: 0.05, side: 0.75 },
            ..Change::NONE
        };
        let expected = [
            [167.97, 157.34, 138.35, 108.07, 79.16, 51.81],
            [126.88, 150.55, 156.11, 128.07, 97.39, 68.09],
            [56.66, 75.43, 74.50, 129.98, 113.99, 82.91],
            [62.61, 35.85, 52.83, 163.22, 128.97, 96.12],
            [94.16, 54.56, 70.04, 133.76, 142.34, 107.70],
            [113.61, 71.65, 31.08, 143.00, 154.09, 117.67],
        ];
        check_geometry(change, expected);
    }

    #[test]
    fn brightness_multiplies_and_clips() {
        let bright = changed(Change { brightness: 2.0, ..Change::NONE });
        assert_eq!(bright[4..8], [20.0, 22.0, 24.0, 26.0]);
    }

    #[test]
    fn erasing_fills_the_rectangle_and_nothing_else() {
        let erased = Some(Rectangle { left: 0.0, top: 0.5, right: 0.5, bottom: 1.0 });
        let image = changed(Change { erased, ..Change::NONE });
        assert_eq!(image[8..12], [99.0, 99.0, 22.0, 23.0]);
        assert_eq!(image[..4], [0.0, 1.0, 2.0, 3.0]);
    }
}
