//! Files in every format, as PyTorch writes them and as others pack them anew.

use zip::CompressionMethod;

use crate::model::weights::file::Format;
use crate::model::weights::tests::make::{dict, storage, tensor};
use crate::model::weights::tests::{Place, archived, archived_as, legacy, six, zipped};

/// Both files are from PyTorch 2.9.1, the second one with `_use_new_zipfile_serialization=False`:
///
/// ```python
/// net = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
/// with torch.no_grad():
///     net[0].weight.copy_(torch.arange(6.).reshape(3, 2) / 8)
/// state = net.state_dict()
/// state.update(half=torch.tensor([1 / 3]).half(), bfloat=torch.tensor([1 / 3]).bfloat16(),
///              double=torch.tensor([0.1], dtype=torch.float64),
///              turned=torch.arange(6.).reshape(2, 3).t(), part=torch.arange(6.)[2:4])
/// state["0.bias"] = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
/// torch.save({"epoch": 3, "state_dict": state}, path)
/// ```
#[test]
fn files_of_pytorch_are_read_as_it_wrote_them() {
    let zip = include_bytes!("../../../../../../tests/fixtures/weights/zip.pth");
    let legacy = include_bytes!("../../../../../../tests/fixtures/weights/legacy.pth");
    for file in [&zip[..], &legacy[..]] {
        let file = Place::new().open(file).unwrap();
        assert_eq!(file.tensors().count(), 12);
        for (name, shape, values) in [
            ("0.weight", &[3, 2][..], &[0.0, 0.125, 0.25, 0.375, 0.5, 0.625][..]),
            ("0.bias", &[3], &[1.0, -2.0, 0.5]),
            ("1.running_var", &[3], &[1.0; 3]),
            ("half", &[1], &[0.333_251_95]),
            ("bfloat", &[1], &[0.333_984_38]),
            ("double", &[1], &[0.1]),
            ("turned", &[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            ("part", &[2], &[2.0, 3.0]),
        ] {
            assert_eq!(file.shape(name), Some(shape), "{name}");
            assert_eq!(file.values(name).unwrap(), values, "{name}");
        }
        let counter = file.tensors().find(|it| it.name == "1.num_batches_tracked").unwrap();
        assert_eq!((counter.dtype.name(), counter.shape), ("int64", &[][..]));
    }
}

#[test]
fn tensors_are_views_on_storages_in_both_formats() {
    let (value, numbers) = six();
    for (file, format) in [
        (zipped(&value, &[("0", &numbers)]), Format::PytorchZip),
        // As it comes out of a program that packs archives anew.
        (archived(&value, &[("0", &numbers)], CompressionMethod::Deflated), Format::PytorchZip),
        (legacy(&value, &[("0", 6, &numbers)]), Format::PytorchLegacy),
    ] {
        let file = Place::new().open(&file).unwrap();
        assert_eq!(file.format, format);
        assert_eq!(file.shape("rows"), Some(&[2, 3][..]));
        assert_eq!(file.values("rows").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(file.values("columns").unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(file.values("last").unwrap(), [6.0]);
    }
}

#[test]
fn a_file_of_any_name_is_read_with_the_end_that_pytorch_writes() {
    let (value, numbers) = six();
    for length in 1..60 {
        let root = "r".repeat(length);
        let mut file = archived_as(&root, &value, &[("0", &numbers)], CompressionMethod::Stored);
        // PyTorch always writes the end of a large archive (56 bytes) and where it lies (20 bytes) before the
        // end proper.
        let end = file.len() - 22;
        let list = [16, 12].map(|at| u32::from_le_bytes(*file[end + at..].first_chunk().unwrap()));
        let count = u64::from(u16::from_le_bytes(*file[end + 10..].first_chunk().unwrap()));
        let mut large = b"PK\x06\x06".to_vec();
        large.extend(44_u64.to_le_bytes());
        large.extend([30, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for number in [count, count, list[1].into(), list[0].into()] {
            large.extend(number.to_le_bytes());
        }
        large.extend(b"PK\x06\x07\0\0\0\0");
        large.extend((end as u64).to_le_bytes());
        large.extend(1_u32.to_le_bytes());
        file.splice(end..end, large);
        let file = Place::new().open(&file).unwrap_or_else(|it| panic!("{length}: {it}"));
        assert_eq!(file.values("last").unwrap(), [6.0]);
    }
}

#[test]
fn every_kind_of_float_is_read() {
    let values =
        [("DoubleStorage", 1.5_f64.to_le_bytes().to_vec()), ("HalfStorage", vec![0, 0x3e])];
    let values = [values.to_vec(), vec![("BFloat16Storage", vec![0xc0, 0x3f])]].concat();
    for (kind, bytes) in values {
        let file = dict(&[("w", tensor(storage(kind, "0", 1), 0, &[1], &[1]))]);
        let file = Place::new().open(&zipped(&file, &[("0", &bytes)])).unwrap();
        assert_eq!(file.values("w").unwrap(), [1.5], "{kind}");
    }
    let whole = dict(&[("w", tensor(storage("LongStorage", "0", 1), 0, &[], &[]))]);
    let whole = Place::new().open(&zipped(&whole, &[("0", &[1; 8])])).unwrap();
    let error = whole.values("w").unwrap_err().to_string();
    assert!(error.contains("`w` is int64; only floats can be weights"), "{error}");
}
