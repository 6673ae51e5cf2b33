//! The largest of some numbers: what a classifier or a crowd decides for.

/// The index of the largest value, the first of equals, as in numpy's and PyTorch's argmax; 0 of none.
pub fn first_largest(values: &[impl Copy + Into<f64>]) -> usize {
    let value = |at: usize| -> f64 { values[at].into() };
    (0..values.len()).rev().max_by(|a, b| value(*a).total_cmp(&value(*b))).unwrap_or(0)
}
