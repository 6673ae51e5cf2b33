//! The names that a state dict needs: what they mean here, and nothing else.

use crate::model::weights::dtype::Dtype;

/// What a pickle may name and get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model::weights) enum Known {
    OrderedDict,
    /// A dictionary whose arguments say nothing about its items.
    DefaultDict,
    /// Python 3's way to write bytes for Python 2.
    Encode,
    Size,
    RebuildParameter,
    RebuildTensor,
    RebuildTensorV2,
    RebuildTensorV3,
    /// A tensor with attributes: what builds it, the class it is of, and with which arguments.
    RebuildFromType,
    /// PyTorch's own class of tensors.
    Tensor,
    /// A storage and the type of its elements; none for bytes that the tensor gives a type.
    Storage(Option<Dtype>),
    /// A type of elements.
    Dtype(Dtype),
}

/// What `module.name` means, if it is one of the few names that state dicts need.
pub(super) fn known(module: &str, name: &str) -> Option<Known> {
    match (module, name) {
        ("collections", "OrderedDict") => Some(Known::OrderedDict),
        ("collections", "defaultdict") => Some(Known::DefaultDict),
        ("_codecs", "encode") => Some(Known::Encode),
        ("torch", "Size") => Some(Known::Size),
        ("torch", "Tensor") | ("torch.nn.parameter", "Parameter" | "Buffer") => Some(Known::Tensor),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Some(Known::RebuildParameter)
        }
        ("torch._utils", "_rebuild_tensor") => Some(Known::RebuildTensor),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Known::RebuildTensorV2),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Known::RebuildTensorV3),
        ("torch._tensor", "_rebuild_from_type_v2") => Some(Known::RebuildFromType),
        ("torch.storage" | "torch", "UntypedStorage" | "TypedStorage") => {
            Some(Known::Storage(None))
        }
        ("torch" | "torch.storage" | "torch.cuda", name) => match name.strip_suffix("Storage") {
            Some(storage) => Dtype::of_storage(storage).map(|it| Known::Storage(Some(it))),
            None => Dtype::of_torch(name).map(Known::Dtype),
        },
        _ => None,
    }
}
