//! Many 32-bit floats in a row, on their way to a file or back: weights, moments, averages.

use std::borrow::Cow;

use ferrite_core::model::weights::output::bytes_of;

use crate::tensor::{floats, floats_of, read_floats};

/// Floats in one dimension, copied or shared with what they are part of.
#[derive(Debug)]
pub struct Numbers(tch::Tensor);

impl Numbers {
    /// A copy of `values`.
    pub fn of(values: &[f32]) -> Self {
        Self(tch::Tensor::from_slice(values))
    }

    /// A copy of all values of `x`, on the host.
    pub(super) fn copied(x: &tch::Tensor) -> Self {
        Self(x.detach().reshape([-1]).to_device(tch::Device::Cpu).copy())
    }

    /// The values of `x`, which has one dimension, as they are now and will be: nothing is copied.
    pub(super) fn shared(x: &tch::Tensor) -> Self {
        Self(x.detach())
    }

    pub(super) fn tensor(&self) -> &tch::Tensor {
        &self.0
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.0.numel()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values.
    pub fn to_vec(&self) -> Vec<f32> {
        read_floats(&self.0)
    }

    /// The values as little-endian bytes, with no copy where they lie on the processor.
    #[expect(unsafe_code, reason = "a view of floats as bytes")]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(&[]);
        }
        if self.0.device() == tch::Device::Cpu && cfg!(target_endian = "little") {
            let values = floats(&self.0);
            // SAFETY: every byte of a float is a byte, and the slice lives as long as the floats.
            let bytes =
                unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
            return Cow::Borrowed(bytes);
        }
        Cow::Owned(bytes_of(&self.to_vec()))
    }

    /// The values that little-endian `bytes` hold.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::of(&floats_of(bytes))
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl Clone for Numbers {
    fn clone(&self) -> Self {
        Self::copied(&self.0)
    }
}

impl PartialEq for Numbers {
    fn eq(&self, other: &Self) -> bool {
        self.to_vec() == other.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_little_endian_and_come_back() {
        let numbers = Numbers::of(&[1.0, -0.5]);
        assert_eq!(*numbers.bytes(), [0, 0, 128, 63, 0, 0, 0, 191]);
        assert_eq!(Numbers::from_bytes(&numbers.bytes()), numbers);
        assert!(Numbers::default().bytes().is_empty());
    }

    #[test]
    fn shared_numbers_follow_and_copied_ones_do_not() {
        let mut x = tch::Tensor::from_slice(&[1.0_f32, 2.0]);
        let (shared, copied) = (Numbers::shared(&x), Numbers::copied(&x));
        let _ = x.fill_(3.0);
        assert_eq!((shared.to_vec(), copied.to_vec()), (vec![3.0, 3.0], vec![1.0, 2.0]));
    }
}
