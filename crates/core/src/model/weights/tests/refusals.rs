//! Files that are damaged, or say what cannot be.

use crate::model::weights::tests::make::{
    call, dict, int, name, sizes, storage, tensor, text, tuple,
};
use crate::model::weights::tests::{Place, bytes, check_refused, legacy, six, zipped};

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
    check_refused(&one(tensor(four(), 0, &[1; 65], &[1; 65])), "a tensor has 65 dimensions");
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
fn a_pickle_of_too_many_values_is_not_read_to_its_end() {
    // Each makes a value and throws it away.
    check_refused(&b")0".repeat(3 << 20), "too many values beside its tensors");
}
