//! What lies in a pickle beside its tensors: passed over, told, never carried out.

use crate::model::weights::Wanted;
use crate::model::weights::account::Account;
use crate::model::weights::tests::make::{call, dict, int, name, sizes, storage, text, tuple};
use crate::model::weights::tests::{Place, bytes, check_refused, legacy, one, one_number, zipped};

/// Checks that a value beside a tensor is passed over, in both formats, and how it is told.
#[track_caller]
fn check_ignored(beside: &[u8], ignored: &[(&str, usize)]) {
    let value = dict(&[("a", one()), ("beside", beside.to_vec()), ("b", one())]);
    let numbers = bytes(&[7.0]);
    for file in [zipped(&value, &[("0", &numbers)]), legacy(&value, &[("0", 1, &numbers)])] {
        let file = Place::new().open(&file).unwrap();
        assert_eq!(file.tensors().map(|it| it.name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(file.values("b").unwrap(), [7.0]);
        let expected = ignored.iter().map(|(name, count)| ((*name).to_owned(), *count));
        assert_eq!(file.taken.ignored, expected.collect());
    }
}

#[test]
fn objects_beside_the_tensors_are_passed_over_and_nothing_of_them_is_carried_out() {
    let touch = [text("touch /tmp/ferrite-was-here")];
    check_ignored(&call(name("os", "system"), &touch), &[("os.system", 1)]);
    let on_stack = [text("builtins"), text("eval"), vec![0x93]].concat();
    check_ignored(&call(on_stack, &touch), &[("builtins.eval", 1)]);
    check_ignored(&name("torch.hub", "load"), &[("torch.hub.load", 1)]);
    check_ignored(&name("torch", "load"), &[("torch.load", 1)]);
    // A class with attributes: `NEWOBJ`, `BUILD`. Three of them are one line.
    let meter =
        [name("__main__", "Meter"), b")\x81".to_vec(), dict(&[("sum", int(3))]), b"b".to_vec()];
    check_ignored(&tuple(&vec![meter.concat(); 3]), &[("__main__.Meter", 3)]);
    // A scalar of NumPy, whose bytes are pickled for Python 2.
    let dtype = call(name("numpy", "dtype"), &[text("f8"), b"\x89".to_vec(), b"\x88".to_vec()]);
    let encoded = call(name("_codecs", "encode"), &[text("x"), text("latin1")]);
    let scalar = call(name("numpy.core.multiarray", "scalar"), &[dtype, encoded]);
    check_ignored(&scalar, &[("numpy.core.multiarray.scalar", 1), ("numpy.dtype", 1)]);
    // Kinds of lists and dictionaries, sets, bytes, floats, long numbers, texts of other systems.
    let deque = [call(name("collections", "deque"), &[]), b"(K\x01e".to_vec()].concat();
    check_ignored(&deque, &[("collections.deque", 1)]);
    let counter = [call(name("collections", "Counter"), &[]), b"K\x01K\x02s".to_vec()].concat();
    check_ignored(&counter, &[("collections.Counter", 1)]);
    check_ignored(b"\x8f(K\x01K\x02\x90", &[]);
    check_ignored(b"(K\x01K\x02\x91", &[]);
    check_ignored(b"C\x02ab", &[]);
    check_ignored(&[&b"\x96\x02"[..], &[0; 7], b"ab\x98"].concat(), &[]);
    check_ignored(b"G\0\0\0\0\0\0\0\0", &[]);
    check_ignored(&[&[0x8a, 40][..], &[1; 40]].concat(), &[]);
    check_ignored(b"X\x02\0\0\0\xff\xfe", &[]);
    // Old and new ways to make an object: `INST`, `OBJ`, `NEWOBJ_EX`, extension codes.
    check_ignored(b"(K\x01ios\nsystem\n", &[("os.system", 1)]);
    check_ignored(&[b"(", &name("os", "system")[..], b"K\x01o"].concat(), &[("os.system", 1)]);
    check_ignored(&[&name("os", "system")[..], b")}\x92"].concat(), &[("os.system", 1)]);
    check_ignored(b"\x82\x01", &[("copyreg.extension", 1)]);
    // A call of what was itself called: `getattr(os, "system")("…")`.
    let got = call(name("builtins", "getattr"), &[name("os", "path"), text("x")]);
    check_ignored(&call(got, &touch), &[("builtins.getattr", 2), ("os.path", 1)]);
    // Nothing that a terminal would obey, and no name without end.
    check_ignored(&name("a\x1b[2J", "b"), &[("a\\u{1b}[2J.b", 1)]);
    check_ignored(&name(&"m".repeat(500), "b"), &[(&"m".repeat(120), 1)]);
}

#[test]
fn a_tensor_that_something_unknown_would_build_is_refused_where_it_is_wanted() {
    let quantized =
        call(name("torch._utils", "_rebuild_qtensor"), &[storage("QInt8Storage", "0", 4)]);
    let array = call(name("numpy", "array"), &[int(1)]);
    let class =
        [name("torch._utils", "_rebuild_tensor_v2"), name("my", "Kind"), tuple(&[]), b"N".to_vec()];
    let subclass = call(name("torch._tensor", "_rebuild_from_type_v2"), &class);
    for (value, maker) in [
        (quantized, "torch._utils._rebuild_qtensor"),
        (array, "numpy.array"),
        (subclass, "my.Kind"),
    ] {
        let value = dict(&[("a", one()), ("q", value)]);
        let file = Place::new().open(&one_number(&value)).unwrap();
        assert_eq!(file.values("a").unwrap(), [7.0]);
        let says = format!("`q` is made by `{maker}`");
        let error = file.values("q").unwrap_err().to_string();
        assert!(error.contains(&says), "{error}");
        let wanted = |it: &str| Wanted { name: it.into(), shape: vec![1] };
        assert!(Account::new(&file, &[wanted("a")]).complete(&file).is_ok());
        let error = Account::new(&file, &[wanted("a"), wanted("q")]).complete(&file).unwrap_err();
        assert!(error.to_string().contains(&says), "{error}");
    }
    // A tensor with attributes is a tensor.
    let numbers = bytes(&[7.0]);
    let arguments = [storage("FloatStorage", "0", 1), int(0), sizes(&[1]), sizes(&[1])];
    let plain = [
        name("torch._utils", "_rebuild_tensor_v2"),
        name("torch.nn.parameter", "Parameter"),
        tuple(&arguments),
        dict(&[]),
    ];
    let value = dict(&[("a", call(name("torch._tensor", "_rebuild_from_type_v2"), &plain))]);
    let file = Place::new().open(&zipped(&value, &[("0", &numbers)])).unwrap();
    assert_eq!(file.values("a").unwrap(), [7.0]);
}

#[test]
fn a_pickle_without_tensors_is_refused_and_what_it_asks_for_is_named() {
    let touch = [text("touch /tmp/ferrite-was-here")];
    check_refused(
        &call(name("os", "system"), &touch),
        "no dictionary of tensors but one `os.system`",
    );
    let network = [name("torchvision.models.resnet", "ResNet"), b")\x81}b".to_vec()].concat();
    check_refused(&network, "`torchvision.models.resnet.ResNet`; nothing of it was carried out");
    // Attributes of what has none, and calls of what is none.
    check_refused(&[int(1), dict(&[]), b"b".to_vec()].concat(), "sets attributes");
    check_refused(&call(text("os.system"), &touch), "calls what cannot be called");
    check_refused(&call(name("torch", "Size"), &[]), "calls Size with what it does not take");
}
