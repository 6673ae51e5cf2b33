//! Weight files that PyTorch wrote, files made by hand here, and files that mean harm.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::file::{Format, TensorFile};
use super::{Account, Wanted};

/// A file of its own for each test.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open(&self, bytes: &[u8]) -> Result<TensorFile, String> {
        let path: PathBuf = self.0.path().join("w.pth");
        std::fs::write(&path, bytes).unwrap();
        TensorFile::open(&path).map_err(|it| it.to_string().replace(path.to_str().unwrap(), "w"))
    }
}

/// Pieces of pickles, as Python's protocol 2 writes them.
mod make {
    pub(super) fn text(it: &str) -> Vec<u8> {
        [b"X", &(it.len() as u32).to_le_bytes()[..], it.as_bytes()].concat()
    }

    pub(super) fn int(it: i64) -> Vec<u8> {
        [&[0x8a, 8], &it.to_le_bytes()[..]].concat()
    }

    pub(super) fn name(module: &str, name: &str) -> Vec<u8> {
        format!("c{module}\n{name}\n").into_bytes()
    }

    pub(super) fn tuple(items: &[Vec<u8>]) -> Vec<u8> {
        [b"(", &items.concat()[..], b"t"].concat()
    }

    pub(super) fn call(callee: Vec<u8>, arguments: &[Vec<u8>]) -> Vec<u8> {
        [callee, tuple(arguments), b"R".to_vec()].concat()
    }

    pub(super) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let items = items.iter().flat_map(|(key, value)| [text(key), value.clone()]);
        [b"}(", &items.collect::<Vec<_>>().concat()[..], b"u"].concat()
    }

    pub(super) fn sizes(items: &[i64]) -> Vec<u8> {
        tuple(&items.iter().map(|it| int(*it)).collect::<Vec<_>>())
    }

    pub(super) fn storage(kind: &str, key: &str, elements: i64) -> Vec<u8> {
        let parts = [text("storage"), name("torch", kind), text(key), text("cpu"), int(elements)];
        [tuple(&parts), b"Q".to_vec()].concat()
    }

    pub(super) fn tensor(storage: Vec<u8>, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
        let hooks = call(name("collections", "OrderedDict"), &[]);
        let flag = b"\x89".to_vec();
        let arguments = [storage, int(offset), sizes(shape), sizes(strides), flag, hooks];
        call(name("torch._utils", "_rebuild_tensor_v2"), &arguments)
    }

    pub(super) fn pickle(value: &[u8]) -> Vec<u8> {
        [b"\x80\x02", value, b"."].concat()
    }
}

use make::{call, dict, int, name, pickle, sizes, storage, tensor, text, tuple};

/// A file in the zip format, not compressed, as PyTorch writes it.
fn zipped(value: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    archived(value, storages, CompressionMethod::Stored)
}

fn archived(value: &[u8], storages: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(method);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut add = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    };
    add("data.pkl", &pickle(value));
    add("byteorder", b"little");
    for (key, bytes) in storages {
        add(&format!("data/{key}"), bytes);
    }
    zip.finish().unwrap().into_inner()
}

/// A file in the format before 1.6; each storage has its number of elements.
fn legacy(value: &[u8], storages: &[(&str, u64, &[u8])]) -> Vec<u8> {
    let magic = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let machine = dict(&[("protocol_version", int(1001)), ("little_endian", b"\x88".to_vec())]);
    let keys: Vec<_> = storages.iter().map(|(key, _, _)| text(key)).collect();
    let keys = [b"](", &keys.concat()[..], b"e"].concat();
    let parts = [magic.to_vec(), int(1001), machine, value.to_vec(), keys];
    let mut file = parts.map(|it| pickle(&it)).concat();
    for (_, elements, bytes) in storages {
        file.extend_from_slice(&elements.to_le_bytes());
        file.extend_from_slice(bytes);
    }
    file
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|it| it.to_le_bytes()).collect()
}

/// What both formats hold in most tests: six numbers as `w`, read row by row and column by column.
fn six() -> (Vec<u8>, Vec<u8>) {
    let rows = tensor(storage("FloatStorage", "0", 6), 0, &[2, 3], &[3, 1]);
    let columns = tensor(storage("FloatStorage", "0", 6), 0, &[3, 2], &[1, 3]);
    let last = tensor(storage("FloatStorage", "0", 6), 5, &[], &[]);
    let value = dict(&[("rows", rows), ("columns", columns), ("last", last)]);
    (value, bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
}

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
    let zip = include_bytes!("../../../tests/fixtures/weights/zip.pth");
    let legacy = include_bytes!("../../../tests/fixtures/weights/legacy.pth");
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

/// The names of the tensors of a saved value in which `w` stands for a tensor.
#[track_caller]
fn check_names(value: impl Fn(Vec<u8>) -> Vec<u8>, names: &[&str]) {
    let w = tensor(storage("FloatStorage", "0", 1), 0, &[1], &[1]);
    let file = Place::new().open(&zipped(&value(w), &[("0", &bytes(&[7.0]))])).unwrap();
    assert_eq!(file.tensors().map(|it| it.name).collect::<Vec<_>>(), names);
    assert_eq!(file.values(names[0]).unwrap(), [7.0]);
}

#[test]
fn a_state_dict_is_found_where_training_scripts_put_it() {
    check_names(|w| dict(&[("a.weight", w)]), &["a.weight"]);
    check_names(|w| dict(&[("epoch", int(3)), ("state_dict", dict(&[("a", w)]))]), &["a"]);
    check_names(|w| dict(&[("best", w.clone()), ("model", dict(&[("a", w)]))]), &["a"]);
    check_names(|w| dict(&[("model", dict(&[("model_state_dict", dict(&[("a", w)]))]))]), &["a"]);
    let module = |w: Vec<u8>| dict(&[("module.a", w.clone()), ("module.b", w)]);
    check_names(module, &["a", "b"]);
    check_names(|w| dict(&[("module.a", w.clone()), ("b", w)]), &["b", "module.a"]);
    check_names(|w| dict(&[("module.model.a", w)]), &["a"]);
    let parameter = |w| call(name("torch._utils", "_rebuild_parameter"), &[w, b"\x88}".to_vec()]);
    check_names(|w| dict(&[("a", parameter(w))]), &["a"]);
    // Attributes of a dictionary, as PyTorch writes the versions of modules.
    let versions = [dict(&[]), dict(&[("_metadata", dict(&[]))]), b"b".to_vec()].concat();
    check_names(|w| [versions.clone(), [b"(", &text("a")[..], &w, b"u"].concat()].concat(), &["a"]);
    // As Python 2 wrote it: a list of lists.
    let pair = |w: Vec<u8>| [b"](](", &text("a")[..], &w, b"ee"].concat();
    check_names(|w| call(name("collections", "OrderedDict"), &[pair(w)]), &["a"]);
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

/// Checks that a pickle is refused in both formats, and with which words.
#[track_caller]
fn check_refused(value: &[u8], says: &str) {
    let numbers = bytes(&[1.0, 2.0, 3.0, 4.0]);
    let files = [zipped(value, &[("0", &numbers)]), legacy(value, &[("0", 4, &numbers)])];
    for file in files {
        let error = Place::new().open(&file).unwrap_err();
        assert!(error.contains(says), "`{says}` is not in {error}");
    }
}

#[test]
fn a_pickle_that_asks_for_more_than_tensors_is_refused_by_name() {
    let touch = [text("touch /tmp/ferrite-was-here")];
    check_refused(&call(name("os", "system"), &touch), "it asks for `os.system`");
    check_refused(&call(name("posix", "system"), &touch), "it asks for `posix.system`");
    check_refused(&call(name("builtins", "eval"), &touch), "it asks for `builtins.eval`");
    check_refused(&call(name("__builtin__", "eval"), &touch), "it asks for `__builtin__.eval`");
    let on_stack = [text("os"), text("system"), vec![0x93]].concat();
    check_refused(&call(on_stack, &touch), "it asks for `os.system`");
    check_refused(&name("torch.hub", "load"), "it asks for `torch.hub.load`");
    check_refused(&name("torch", "load"), "it asks for `torch.load`");
    let network = name("torchvision.models.resnet", "ResNet");
    check_refused(&network, "it asks for `torchvision.models.resnet.ResNet`");
    // Hidden where an innocent file has something harmless.
    let hooks = call(name("subprocess", "Popen"), &touch);
    check_refused(&dict(&[("w", int(1)), ("x", hooks)]), "it asks for `subprocess.Popen`");
    // Old and new ways to make an object: `INST`, `OBJ`, `NEWOBJ_EX`, extension codes.
    check_refused(b"(ios\nsystem\n", "the instruction 0x69");
    check_refused(&[b"(", &name("collections", "OrderedDict")[..], b"o"].concat(), "0x6f");
    check_refused(b")))\x92", "0x92");
    check_refused(b"\x82\x01", "0x82");
    // Attributes of what has none, and calls of what is none.
    check_refused(&[int(1), dict(&[]), b"b".to_vec()].concat(), "sets attributes");
    check_refused(&call(text("os.system"), &touch), "calls what cannot be called");
    check_refused(&call(name("torch", "Size"), &[]), "calls Size with what it does not take");
}

#[test]
fn numbers_that_cannot_be_are_refused() {
    let four = || storage("FloatStorage", "0", 4);
    let one = |tensor| dict(&[("w", tensor)]);
    check_refused(&one(tensor(four(), 0, &[5], &[1])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 1, &[4], &[1])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 0, &[2, 2], &[3, 1])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 0, &[1 << 40], &[0])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 0, &[1 << 62, 1 << 62], &[1, 1])), "does not lie within");
    check_refused(&one(tensor(four(), i64::MAX, &[1], &[1])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 0, &[2], &[i64::MAX])), "does not lie within its storage");
    check_refused(&one(tensor(four(), 0, &[2], &[-1])), "it holds -1 where a size belongs");
    check_refused(&one(tensor(four(), -1, &[2], &[1])), "it holds -1 where a size belongs");
    check_refused(&one(tensor(four(), 0, &[-2], &[1])), "it holds -2 where a size belongs");
    check_refused(&one(tensor(four(), 0, &[2], &[1, 1])), "a tensor has 1 dimensions");
    check_refused(&one(tensor(four(), 0, &[1; 9], &[1; 9])), "a tensor has 9 dimensions");
    check_refused(&one(tensor(int(1), 0, &[2], &[1])), "a tensor has no storage");
    check_refused(&[0x8b, 0xff, 0xff, 0xff, 0xff], "it ends in the middle");
    check_refused(&[0x8e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "it ends in the middle");
    check_refused(&sizes(&[1]), "no dictionary of tensors");
    check_refused(&dict(&[("w", int(1))]), "it holds no tensor by name");
    check_refused(b"j\xff\xff\xff\xff", "refers to value 4294967295");
    check_refused(b"\x87", "takes more values than it has");
    check_refused(b"t", "an end without a beginning");
}

#[test]
fn a_storage_has_as_many_numbers_as_its_pickle_says() {
    let numbers = bytes(&[1.0, 2.0]);
    let value = dict(&[("w", tensor(storage("FloatStorage", "0", 1 << 50), 0, &[1], &[1]))]);
    let error = Place::new().open(&zipped(&value, &[("0", &numbers)])).unwrap_err();
    assert!(error.contains("the storage of `w` holds 2 numbers instead of"), "{error}");
    let error = Place::new().open(&zipped(&value, &[])).unwrap_err();
    assert!(error.contains("`archive/data/0` is not in it"), "{error}");
    for count in [3, 1 << 40, u64::MAX] {
        let error = Place::new().open(&legacy(&value, &[("0", count, &numbers)])).unwrap_err();
        assert!(error.contains("it is cut off: of 1 storages it holds 0"), "{error}");
    }
    let error = Place::new().open(&legacy(&value, &[])).unwrap_err();
    assert!(error.contains("the storage of `w` is not in it"), "{error}");
}

#[test]
fn what_grows_without_end_is_refused_or_stays_small() {
    // Tuples in tuples: as deep as there are bytes.
    let deep = [&b")"[..], &b"\x85".repeat(1 << 20)].concat();
    check_refused(&deep, "no dictionary of tensors");
    // Ten times the last, thirty times over: 10^30 leaves, if anyone followed them all.
    let mut laughs = [text("ha"), b"q\0".to_vec()].concat();
    for level in 0..30_u8 {
        let again = [b'h', level].repeat(10);
        laughs.extend([b"(", &again[..], b"t", &[b'q', level + 1]].concat());
    }
    check_refused(&laughs, "no dictionary of tensors");
    // One long list, made into a dictionary again and again.
    let pair = [tuple(&[text("a"), int(1)]), b"q\0".to_vec()].concat();
    let pairs = [&b"]("[..], &pair, &b"h\0".repeat(5000), b"eq\x01"].concat();
    let mut copies = pairs;
    for _ in 0..5000 {
        copies.extend(call(name("collections", "OrderedDict"), &[b"h\x01".to_vec()]));
    }
    check_refused(&copies, "copies the same items again and again");
    // A dictionary that holds itself.
    let itself = [b"}q\0(", &text("state_dict")[..], b"h\0u"].concat();
    check_refused(&itself, "it holds no tensor by name");
}

/// Small files in all three formats.
fn all_formats() -> [Vec<u8>; 3] {
    let (value, numbers) = six();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 3], &numbers);
    let saved = safetensors::serialize([("rows", view.unwrap())], None).unwrap();
    [zipped(&value, &[("0", &numbers)]), legacy(&value, &[("0", 6, &numbers)]), saved]
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let place = Place::new();
    for file in all_formats() {
        for length in 0..file.len() {
            let error = place.open(&file[..length]).unwrap_err();
            assert!(error.starts_with("cannot load weights from `w`: "), "{length}: {error}");
        }
    }
}

#[test]
fn a_file_with_any_byte_changed_is_refused_or_read_but_nothing_else() {
    let place = Place::new();
    for file in all_formats() {
        for at in 0..file.len() {
            let mut file = file.clone();
            file[at] ^= if at % 2 == 0 { 0xff } else { 1 };
            if let Ok(file) = place.open(&file) {
                for name in file.tensors().map(|it| it.name.to_owned()) {
                    drop(file.values(&name));
                }
            }
        }
    }
}

#[test]
fn a_storage_whose_sum_is_wrong_names_its_tensor() {
    let (value, numbers) = six();
    let mut file = zipped(&value, &[("0", &numbers)]);
    let at = file.windows(numbers.len()).position(|it| it == numbers).unwrap();
    file[at] ^= 1;
    let error = Place::new().open(&file).unwrap().values("rows").unwrap_err().to_string();
    assert!(error.contains("`rows`") && error.contains("damaged"), "{error}");
}

#[test]
fn the_account_tells_apart_what_fits_what_is_missing_and_what_has_another_shape() {
    let (value, numbers) = six();
    let file = Place::new().open(&zipped(&value, &[("0", &numbers)])).unwrap();
    let wanted = |name: &str, shape: &[usize]| Wanted { name: name.into(), shape: shape.into() };
    let account = Account::new(&file, &[wanted("rows", &[2, 3]), wanted("last", &[1])]);
    let reshaped = vec![("last".to_owned(), vec![], vec![1])];
    let (loaded, unexpected) = (vec!["rows".to_owned()], vec!["columns".to_owned()]);
    assert_eq!(account, Account { loaded, missing: vec![], reshaped, unexpected });
    let error = account.complete(&file).unwrap_err().to_string();
    assert!(error.ends_with("`last` has shape [], the backbone needs [1]"), "{error}");
    let account = Account::new(&file, &[wanted("other", &[2])]);
    let error = account.complete(&file).unwrap_err().to_string();
    assert!(error.contains("1 of the network's 1 tensors are not in it, the first is `other`"));
}
