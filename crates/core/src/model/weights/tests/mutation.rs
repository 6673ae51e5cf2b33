//! Small files of every kind with bytes changed, cut out, doubled and cut off: an error or a result, and
//! nothing else.

use crate::model::backbone::Backbone;
use crate::model::weights::Wanted;
use crate::model::weights::account::Account;
use crate::model::weights::tests::make::{call, dict, int, name, text, tuple};
use crate::model::weights::tests::{Place, bytes, legacy, many, one, six, zipped};

/// What training scripts save: two state dicts, and objects of every kind beside them.
fn checkpoint() -> Vec<u8> {
    let arguments = [name("argparse", "Namespace"), b")\x81".to_vec(), dict(&[("lr", int(1))])];
    let arguments = [arguments.concat(), b"b".to_vec()].concat();
    let scalar = call(name("numpy.core.multiarray", "scalar"), &[b"C\x01x".to_vec()]);
    let counter = [call(name("collections", "Counter"), &[]), b"K\x01K\x02s".to_vec()].concat();
    let on_stack = [text("my"), text("Enum"), b"\x93K\x01\x85R\x94".to_vec()].concat();
    let kinds =
        tuple(&[b"\x8f(K\x01K\x02\x90".to_vec(), b"(K\x01\x91".to_vec(), b"N\x88\x89".to_vec()]);
    dict(&[
        ("state_dict", many("net.", 2)),
        ("ema", dict(&[("net.0", one()), ("net.1", one()), ("step", int(3))])),
        ("args", arguments),
        ("best", scalar),
        ("seen", counter),
        ("enum", on_stack),
        ("kinds", kinds),
    ])
}

/// Small files in all formats.
fn all_formats() -> Vec<Vec<u8>> {
    let (value, numbers) = six();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, 3], &numbers);
    let saved = safetensors::serialize([("rows", view.unwrap())], None).unwrap();
    let number = bytes(&[7.0]);
    vec![
        zipped(&value, &[("0", &numbers)]),
        legacy(&value, &[("0", 6, &numbers)]),
        saved,
        zipped(&checkpoint(), &[("0", &number)]),
        legacy(&checkpoint(), &[("0", 1, &number)]),
    ]
}

/// Reads all that is in a file, if it is one.
pub(super) fn read(place: &Place, bytes: &[u8], asked: Option<&str>) {
    let Ok(file) = place.open_part(bytes, asked) else { return };
    let names: Vec<String> = file.tensors().map(|it| it.name.to_owned()).collect();
    for name in &names {
        if let Ok(values) = file.values(name) {
            // What is compressed may say more than its bytes, within limits.
            let packed = file.is_keras() && values.len() <= 1032 * bytes.len();
            let fits = 4 * values.len() <= 8 * bytes.len();
            assert!(fits || packed, "more numbers than the file has bytes");
        }
    }
    let wanted = names.first().map(|it| Wanted { name: it.clone(), shape: vec![1] });
    let account = Account::new(&file, &Vec::from_iter(wanted));
    let told = format!("{:?}{:?}", account.taken(&file), account.complete(&file).err());
    assert!(!told.contains(|it: char| it.is_control()), "{told:?}");
    if file.is_keras() {
        let _ = file.for_backbone(Backbone::Vgg16);
    }
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
            read(&place, &file, None);
        }
    }
}

#[test]
fn a_pickle_with_pieces_cut_out_doubled_and_changed_is_refused_or_read_but_nothing_else() {
    let place = Place::new();
    let whole = checkpoint();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        // Marsaglia's xorshift: the same pieces every time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let asked = [None, Some("state_dict"), Some("net"), Some(".")];
    for round in 0..1500 {
        let mut value = whole.clone();
        for _ in 0..=random(3) {
            let from = random(value.len());
            let to = (from + 1 + random(12)).min(value.len());
            let piece = value[from..to].to_vec();
            match random(4) {
                0 => value[from] = random(256) as u8,
                1 => drop(value.drain(from..to)),
                2 => drop(value.splice(from..from, piece)),
                _ => {
                    let at = random(value.len());
                    drop(value.splice(at..at, piece));
                }
            }
        }
        read(&place, &legacy(&value, &[("0", 1, &bytes(&[7.0]))]), asked[round % asked.len()]);
    }
}
