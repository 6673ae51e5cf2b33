//! Where a tensor lies in a file, and how its numbers come out of there in order.

use std::ops::Range;

use crate::model::weights::dtype::Dtype;

/// A tensor of a file, known to lie within it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    /// Elements from one position to the next, in each dimension.
    pub(super) strides: Vec<usize>,
    /// Its first element.
    pub(super) offset: usize,
    pub(super) home: Home,
}

impl Stored {
    /// The same numbers with the dimensions in this order.
    pub(super) fn turned(self, axes: &[usize]) -> Self {
        let shape = axes.iter().map(|it| self.shape[*it]).collect();
        let strides = axes.iter().map(|it| self.strides[*it]).collect();
        Self { shape, strides, ..self }
    }
}

/// Where a storage lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Home {
    /// In these bytes of the file.
    Bytes(Range<usize>),
    /// In this entry of the archive.
    Entry(String),
    /// In this dataset of the HDF5 file.
    Dataset(String),
}

/// Elements from one position to the next where they follow each other.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension].saturating_mul(shape[dimension]);
    }
    strides
}

/// The elements of a tensor whose values follow each other in row-major order.
pub(super) fn contiguous(tensor: &Stored) -> Option<Range<usize>> {
    let dense = row_major(&tensor.shape);
    let steps = tensor.shape.iter().zip(&tensor.strides).zip(&dense);
    let fits = steps.into_iter().all(|((size, stride), dense)| *size == 1 || stride == dense);
    let end = tensor.offset + tensor.shape.iter().product::<usize>();
    fits.then_some(tensor.offset..end)
}

/// The bytes of a tensor in row-major order, element by element; none if one lies outside of `storage`.
pub(super) fn gather(tensor: &Stored, storage: &[u8]) -> Option<Vec<u8>> {
    let width = tensor.dtype.size();
    let elements: usize = tensor.shape.iter().product();
    let mut bytes = Vec::with_capacity(elements * width);
    let mut index = vec![0; tensor.shape.len()];
    for _ in 0..elements {
        let steps = index.iter().zip(&tensor.strides);
        let at = tensor.offset + steps.map(|(index, stride)| index * stride).sum::<usize>();
        bytes.extend_from_slice(storage.get(at * width..(at + 1) * width)?);
        for dimension in (0..index.len()).rev() {
            index[dimension] += 1;
            if index[dimension] < tensor.shape[dimension] {
                break;
            }
            index[dimension] = 0;
        }
    }
    Some(bytes)
}
