//! The types of numbers in weight files, and how each becomes `f32`.

use half::{bf16, f16};

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// 64-bit float.
    F64,
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 16-bit float with the exponent of a 32-bit one.
    BF16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 8-bit integer without a sign.
    U8,
    /// True or false, a byte each.
    Bool,
    /// Any other, which is listed but not read: its name, and how many bytes one number takes.
    Other(&'static str, usize),
}

/// Types of PyTorch that are listed but not read: their name, their size, what its storages are called.
const OTHERS: [(&str, usize, &str); 15] = [
    ("uint16", 2, "UInt16"),
    ("uint32", 4, "UInt32"),
    ("uint64", 8, "UInt64"),
    ("complex32", 4, "ComplexHalf"),
    ("complex64", 8, "ComplexFloat"),
    ("complex128", 16, "ComplexDouble"),
    ("qint8", 1, "QInt8"),
    ("quint8", 1, "QUInt8"),
    ("qint32", 4, "QInt32"),
    ("quint4x2", 1, "QUInt4x2"),
    ("quint2x4", 1, "QUInt2x4"),
    ("float8_e4m3fn", 1, "Float8_e4m3fn"),
    ("float8_e5m2", 1, "Float8_e5m2"),
    ("float8_e4m3fnuz", 1, "Float8_e4m3fnuz"),
    ("float8_e5m2fnuz", 1, "Float8_e5m2fnuz"),
];

impl Dtype {
    /// Its name as PyTorch writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "float64",
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I64 => "int64",
            Self::I32 => "int32",
            Self::I16 => "int16",
            Self::I8 => "int8",
            Self::U8 => "uint8",
            Self::Bool => "bool",
            Self::Other(name, _) => name,
        }
    }

    /// Bytes of one number; none where nobody says.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::BF16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Other(_, size) => size,
        }
    }

    /// Whether its numbers can be weights.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// The type of the elements of PyTorch's `…Storage`.
    pub(super) fn of_storage(name: &str) -> Option<Self> {
        Some(match name {
            "Double" => Self::F64,
            "Float" => Self::F32,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Long" => Self::I64,
            "Int" => Self::I32,
            "Short" => Self::I16,
            "Char" => Self::I8,
            "Byte" => Self::U8,
            "Bool" => Self::Bool,
            name => {
                let other = OTHERS.iter().find(|it| it.2 == name)?;
                Self::Other(other.0, other.1)
            }
        })
    }

    /// PyTorch's `torch.…`.
    pub(super) fn of_torch(name: &str) -> Option<Self> {
        let all = [
            Self::F64,
            Self::F32,
            Self::F16,
            Self::BF16,
            Self::I64,
            Self::I32,
            Self::I16,
            Self::I8,
            Self::U8,
            Self::Bool,
        ];
        let others = OTHERS.iter().map(|it| Self::Other(it.0, it.1));
        all.into_iter().chain(others).find(|it| it.name() == name)
    }

    /// The type of a tensor in a safetensors file.
    pub(super) fn of_safetensors(dtype: safetensors::Dtype) -> Self {
        match dtype {
            safetensors::Dtype::F64 => Self::F64,
            safetensors::Dtype::F32 => Self::F32,
            safetensors::Dtype::F16 => Self::F16,
            safetensors::Dtype::BF16 => Self::BF16,
            safetensors::Dtype::I64 => Self::I64,
            safetensors::Dtype::I32 => Self::I32,
            safetensors::Dtype::I16 => Self::I16,
            safetensors::Dtype::I8 => Self::I8,
            safetensors::Dtype::U8 => Self::U8,
            safetensors::Dtype::BOOL => Self::Bool,
            safetensors::Dtype::U16 => Self::Other("uint16", 2),
            safetensors::Dtype::U32 => Self::Other("uint32", 4),
            safetensors::Dtype::U64 => Self::Other("uint64", 8),
            safetensors::Dtype::C64 => Self::Other("complex64", 8),
            safetensors::Dtype::F8_E5M2 => Self::Other("float8_e5m2", 1),
            safetensors::Dtype::F8_E4M3 => Self::Other("float8_e4m3fn", 1),
            _ => Self::Other("of another type", 0),
        }
    }

    /// Numbers from little-endian bytes; none if they are no floats.
    pub(super) fn floats(self, bytes: &[u8]) -> Option<Vec<f32>> {
        Some(match self {
            Self::F64 => each(bytes, |it| f64::from_le_bytes(it) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |it| f16::from_le_bytes(it).to_f32()),
            Self::BF16 => each(bytes, |it| bf16::from_le_bytes(it).to_f32()),
            _ => return None,
        })
    }
}

fn each<const WIDTH: usize>(bytes: &[u8], number: impl Fn([u8; WIDTH]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<WIDTH>();
    numbers.iter().map(|it| number(*it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_float_type_becomes_the_nearest_f32() {
        assert_eq!(Dtype::F64.floats(&0.1_f64.to_le_bytes()), Some(vec![0.1]));
        assert_eq!(Dtype::F32.floats(&0.1_f32.to_le_bytes()), Some(vec![0.1]));
        // IEEE 754: 0x3555 is the half nearest to 1/3, 0x3eab the bfloat16 nearest to it.
        assert_eq!(Dtype::F16.floats(&[0x55, 0x35]), Some(vec![0.333_251_95]));
        assert_eq!(Dtype::BF16.floats(&[0xab, 0x3e]), Some(vec![0.333_984_38]));
        assert_eq!(Dtype::I64.floats(&1_i64.to_le_bytes()), None);
    }
}
