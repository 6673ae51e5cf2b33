//! What goes from and to the other side: tensors in files.

use std::error::Error;
use std::path::Path;

use burn::tensor::Tensor;
use ferrite_core::device::Device;
use ferrite_core::mapped::Bytes;
use ferrite_core::model::weights::output::bytes_of;
use ferrite_core::precision::Precision;
use ferrite_torch::tensor::{Table, to_floats};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Images as bytes, `[images, h, w, channels]`.
pub(crate) fn images(input: &SafeTensors<'_>, name: &str) -> Result<Table> {
    let images = input.tensor(name)?;
    let shape: [usize; 4] = images.shape().try_into()?;
    Ok(Table::of_bytes(images.data(), shape, Device::Cpu))
}

/// Feature maps as 32-bit floats, `[images, h, w, channels]`.
pub(crate) fn feature_maps(features: &TensorView<'_>) -> Table {
    let bytes = Bytes::Heap(features.data().to_vec());
    Table::of_numbers(bytes, Precision::F32, features.shape(), Device::Cpu)
}

/// All of them at once, gray levels 0-255.
pub(crate) fn all_images(input: &SafeTensors<'_>) -> Result<Tensor<4>> {
    let count = input.tensor("images")?.shape()[0] as u32;
    Ok(images(input, "images")?.images(&(0..count).collect::<Vec<_>>()))
}

/// Results on their way into a file.
#[derive(Default)]
pub(crate) struct Output {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Output {
    pub(crate) fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.tensors.push((name.to_owned(), Dtype::F32, shape.to_vec(), bytes_of(values)));
    }

    pub(crate) fn numbers(&mut self, name: &str, values: &[f64]) {
        let bytes = values.iter().flat_map(|it| it.to_le_bytes()).collect();
        self.tensors.push((name.to_owned(), Dtype::F64, vec![values.len()], bytes));
    }

    pub(crate) fn tensor<const D: usize>(&mut self, name: &str, x: Tensor<D>) {
        let shape = x.dims();
        self.floats(name, &shape, &to_floats(x));
    }

    /// Text as its bytes.
    pub(crate) fn text(&mut self, name: &str, text: &str) {
        let bytes = text.as_bytes().to_vec();
        self.tensors.push((name.to_owned(), Dtype::U8, vec![bytes.len()], bytes));
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        });
        let views: Vec<_> = views.collect::<Result<_>>()?;
        fs_err::write(path, safetensors::serialize(views, None)?)?;
        Ok(())
    }
}
