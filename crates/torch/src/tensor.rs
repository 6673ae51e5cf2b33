//! Burn tensors and the LibTorch tensors inside them.

#![expect(deprecated, reason = "0.22 is the last Burn with LibTorch, and says so at every use")]

use burn::backend::libtorch::{LibTorch, TchTensor};
use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::mapped::Bytes;
use ferrite_core::precision::Precision;
use tch::Kind;

use crate::OnDevice;
use crate::precision::{kind, precision_of};

/// The LibTorch tensor inside `x`, with no copy.
pub(super) fn open<const D: usize>(x: Tensor<D>) -> tch::Tensor {
    open_shared(x).tensor
}

/// A Burn tensor around `x`, with no copy. The caller gives `x` away: Burn works in place where it
/// alone holds a tensor, so nothing else may read `x` afterwards.
pub(super) fn close<const D: usize>(x: tch::Tensor) -> Tensor<D> {
    Tensor::from_primitive::<LibTorch>(TchTensor::new(x))
}

/// `change` applied to the tensor inside `x`. Burn goes on to know who shares its memory.
pub(super) fn map<const D: usize, const E: usize>(
    x: Tensor<D>,
    change: impl FnOnce(&tch::Tensor) -> tch::Tensor,
) -> Tensor<E> {
    let TchTensor { tensor, storage } = open_shared(x);
    Tensor::from_primitive::<LibTorch>(TchTensor::from_existing(change(&tensor), storage))
}

/// `in_place` where nobody else holds `x`, else `fresh`.
pub(super) fn map_in_place<const D: usize>(
    x: Tensor<D>,
    in_place: impl Fn(tch::Tensor) -> tch::Tensor,
    fresh: impl Fn(&tch::Tensor) -> tch::Tensor,
) -> Tensor<D> {
    Tensor::from_primitive::<LibTorch>(open_shared(x).unary_ops(in_place, fresh))
}

fn open_shared<const D: usize>(x: Tensor<D>) -> TchTensor {
    x.try_into_primitive::<LibTorch>().expect("every tensor of Ferrite lives on LibTorch")
}

/// A tensor of `shape` with these values, in row-major order.
pub fn from_floats<const D: usize>(values: &[f32], shape: [usize; D], device: Device) -> Tensor<D> {
    let shape = shape.map(|it| it as i64);
    close(device.tensor_of(values).reshape(shape))
}

/// All values in row-major order.
pub fn to_floats<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    read_floats(&open(x))
}

pub(super) fn read_floats(x: &tch::Tensor) -> Vec<f32> {
    let x = x.detach().to_device(tch::Device::Cpu).to_kind(Kind::Float).contiguous();
    let mut values = vec![0.0; x.numel()];
    x.copy_data(&mut values, x.numel());
    values
}

/// The values of a contiguous `f32` tensor on the processor, in place.
#[expect(unsafe_code, reason = "tch gives no slice of a tensor's memory")]
pub(super) fn floats(x: &tch::Tensor) -> &[f32] {
    assert_is_floats(x);
    // SAFETY: the memory holds `numel` floats, as was just asserted, and lives as long as `x`.
    unsafe { std::slice::from_raw_parts(x.data_ptr().cast(), x.numel()) }
}

/// As [`floats`], to be changed. The caller sees to it that nothing reads the same memory meanwhile.
#[expect(unsafe_code, reason = "tch gives no slice of a tensor's memory")]
pub(super) fn floats_mut(x: &mut tch::Tensor) -> &mut [f32] {
    assert_is_floats(x);
    // SAFETY: as above; `x` is borrowed mutably for as long as the slice lives.
    unsafe { std::slice::from_raw_parts_mut(x.data_ptr().cast(), x.numel()) }
}

fn assert_is_floats(x: &tch::Tensor) {
    let fine = x.kind() == Kind::Float && x.device() == tch::Device::Cpu && x.is_contiguous();
    assert!(fine && x.numel() > 0, "expected some contiguous floats on the processor");
}

/// The one value of a scalar; waits for the device.
pub fn to_scalar(x: Tensor<1>) -> f64 {
    open(x).double_value(&[0])
}

/// Rows that a network reads many times, kept on the device: images as bytes or features as floats.
#[derive(Debug)]
pub struct Table {
    rows: tch::Tensor,
    /// What `rows` lie in, if that is not theirs.
    _memory: Option<Bytes>,
}

impl Table {
    /// A table of `u8` images from `pixels`: `[images, height, width, channels]`.
    pub fn of_bytes(pixels: &[u8], shape: [usize; 4], device: Device) -> Self {
        let shape = shape.map(|it| it as i64);
        let rows = tch::Tensor::from_data_size(pixels, &shape, Kind::Uint8).to(device.torch());
        Self { rows, _memory: None }
    }

    /// A table of rows of numbers, `[rows, …]`, from their bytes in the processor's order, which on a processor
    /// stay where they lie.
    #[expect(unsafe_code, reason = "a tensor of memory that is not its own")]
    pub fn of_numbers(bytes: Bytes, precision: Precision, shape: &[usize], device: Device) -> Self {
        let count: usize = shape.iter().product();
        assert_eq!(
            bytes.len(),
            count * precision.bytes(),
            "as many bytes as {shape:?} has numbers"
        );
        let shape: Vec<i64> = shape.iter().map(|it| *it as i64).collect();
        let aligned = bytes.as_ptr().align_offset(precision.bytes()) == 0;
        if device != Device::Cpu || !aligned || bytes.is_empty() {
            let rows = tch::Tensor::from_data_size(&bytes, &shape, kind(precision));
            return Self { rows: rows.to(device.torch()), _memory: None };
        }
        // SAFETY: the memory holds `count` numbers, as was just asserted. The table keeps it as long as the tensor,
        // which it never gives away and never writes to.
        let numbers = unsafe {
            let (kind, host) = (kind(precision), tch::Device::Cpu);
            tch::Tensor::from_blob(bytes.as_ptr(), &[count as i64], &[1], kind, host)
        };
        Self { rows: numbers.view(&shape[..]), _memory: Some(bytes) }
    }

    /// Images as floats 0-255.
    ///
    /// - output: `[rows, channels, height, width]`
    pub fn images(&self, rows: &[u32]) -> Tensor<4> {
        close(self.select(rows).to_kind(Kind::Float).permute([0, 3, 1, 2]))
    }

    /// Feature maps as they were stored: `[rows, channels, height, width]`, channels last in memory.
    pub fn features(&self, rows: &[u32]) -> Tensor<4> {
        close(self.select(rows).permute([0, 3, 1, 2]))
    }

    fn select(&self, rows: &[u32]) -> tch::Tensor {
        let rows: Vec<i64> = rows.iter().map(|it| i64::from(*it)).collect();
        self.rows.index_select(0, &Device::of(&self.rows).tensor_of(&rows))
    }
}

/// The images of all `parts`, each at its position among all.
///
/// - input: `[images, channels, h, w]` each, with the position of each image
/// - output: `[images of all parts, channels, h, w]`
pub fn in_order(parts: Vec<(Tensor<4>, &[u32])>) -> Tensor<4> {
    let (images, positions): (Vec<_>, Vec<_>) =
        parts.into_iter().map(|(x, at)| (open(x), at)).unzip();
    let mut order = vec![0_i64; positions.iter().map(|it| it.len()).sum()];
    for (index, position) in positions.into_iter().flatten().enumerate() {
        order[*position as usize] = index as i64;
    }
    let all = tch::Tensor::cat(&images, 0);
    close(all.index_select(0, &Device::of(&all).tensor_of(&order)))
}

/// The values of `x` as bytes of the processor's order, height by height, width by width, channels last; and what each is.
pub fn to_channels_last_bytes(x: Tensor<4>) -> (Vec<u8>, Precision) {
    let x = open(x).permute([0, 2, 3, 1]).to_device(tch::Device::Cpu).contiguous();
    let precision = precision_of(&x);
    let mut bytes = vec![0; x.numel() * precision.bytes()];
    x.view_dtype(Kind::Uint8).copy_data(&mut bytes, x.numel() * precision.bytes());
    (bytes, precision)
}

/// Values from little-endian bytes.
pub fn floats_of(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|it| f32::from_le_bytes([it[0], it[1], it[2], it[3]])).collect()
}
