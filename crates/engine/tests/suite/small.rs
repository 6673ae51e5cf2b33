//! Small networks on faces that are drawn.

use ferrite_core::data::dataset::{self, Dataset};
use ferrite_core::data::decode::decode;
use ferrite_core::device::Device;
use ferrite_core::model::{FrozenNorm, Input, Model};
use ferrite_core::precision::Precisions;
use ferrite_engine::forward::network::{Network, Plan};

/// As many synthetic faces.
pub(crate) fn faces(count: usize) -> Dataset {
    let folder = tempfile::tempdir().unwrap();
    let data = toml::from_str(&format!("source.synthetic.faces = {count}")).unwrap();
    decode(&data, folder.path(), &|_, _| {}).unwrap();
    dataset::open(&data, folder.path()).unwrap()
}

/// A fresh network for images of `faces` at `size` pixels a side.
pub(crate) fn network(
    model: &Model,
    faces: &Dataset,
    size: usize,
    precisions: Precisions,
) -> Network {
    let plan = Plan {
        model,
        input: Input::default(),
        frozen_norm: FrozenNorm::Inference,
        image_size: size,
        classes: faces.classes.len(),
        seed: 0,
        precisions,
    };
    Network::new(&plan, Device::Cpu)
}
