//! Which state dict of a file is taken, and what is taken off its names.

use crate::model::weights::Wanted;
use crate::model::weights::account::{Account, Reshaped};
use crate::model::weights::tests::make::{call, dict, int, name, storage, tensor, text, tuple};
use crate::model::weights::tests::{Place, many, one, one_number, six, zipped};

/// The names of the tensors of a saved value in which `w` stands for a tensor.
#[track_caller]
fn check_names(value: impl Fn(Vec<u8>) -> Vec<u8>, names: &[&str]) {
    let file = Place::new().open(&one_number(&value(one()))).unwrap();
    assert_eq!(file.tensors().map(|it| it.name).collect::<Vec<_>>(), names);
    assert_eq!(file.values(names[0]).unwrap(), [7.0]);
}

#[test]
fn a_state_dict_is_found_where_training_scripts_put_it() {
    check_names(|w| dict(&[("a.weight", w)]), &["a.weight"]);
    check_names(|w| dict(&[("epoch", int(3)), ("state_dict", dict(&[("a", w)]))]), &["a"]);
    check_names(|w| dict(&[("best", w.clone()), ("model", dict(&[("a", w)]))]), &["a"]);
    check_names(|w| dict(&[("model", dict(&[("model_state_dict", dict(&[("a", w)]))]))]), &["a"]);
    check_names(|w| dict(&[("whatever", dict(&[("a", w)]))]), &["a"]);
    check_names(|w| tuple(&[dict(&[("a", w)]), int(3)]), &["a"]);
    let parameter = |w| call(name("torch._utils", "_rebuild_parameter"), &[w, b"\x88}".to_vec()]);
    check_names(|w| dict(&[("a", parameter(w))]), &["a"]);
    // Attributes of a dictionary, as PyTorch writes the versions of modules.
    let versions = [dict(&[]), dict(&[("_metadata", dict(&[]))]), b"b".to_vec()].concat();
    check_names(|w| [versions.clone(), [b"(", &text("a")[..], &w, b"u"].concat()].concat(), &["a"]);
    // As Python 2 wrote it: a list of lists.
    let pair = |w: Vec<u8>| [b"](](", &text("a")[..], &w, b"ee"].concat();
    check_names(|w| call(name("collections", "OrderedDict"), &[pair(w)]), &["a"]);
    // In a kind of dictionary that nobody knows.
    let kind = call(name("easydict", "EasyDict"), &[]);
    check_names(|w| [&kind[..], b"(", &text("a"), &w, b"u"].concat(), &["a"]);
}

/// Checks which state dict of a saved dictionary is taken, and whether that is a guess.
#[track_caller]
fn check_taken(items: &[(&str, Vec<u8>)], asked: Option<&str>, expected: (&str, bool)) {
    let file = Place::new().open_part(&one_number(&dict(items)), asked).unwrap();
    let taken = file.taken.state_dict.unwrap_or_default();
    assert_eq!((taken.as_str(), file.taken.ambiguous), expected);
}

#[test]
fn of_several_state_dicts_the_average_is_taken_unless_another_is_asked_for() {
    let sure = |it| (it, false);
    let timm = [
        ("state_dict", many("a.", 4)),
        ("state_dict_ema", many("a.", 4)),
        ("optimizer", dict(&[("momentum", many("m.", 2))])),
    ];
    check_taken(&timm, None, sure("state_dict_ema"));
    check_taken(&timm, Some("state_dict"), sure("state_dict"));
    check_taken(&timm, Some("momentum"), sure("optimizer.momentum"));
    check_taken(&timm, Some("optimizer.momentum"), sure("optimizer.momentum"));
    let nested = [("model", dict(&[("state_dict", many("a.", 3))])), ("ema", many("a.", 3))];
    check_taken(&nested, None, sure("ema"));
    check_taken(&nested, Some("model.state_dict"), sure("model.state_dict"));
    for average in ["model_ema", "ema_model", "modelEMA", "swa_state_dict", "averaged"] {
        check_taken(&[("model", many("a", 2)), (average, many("a", 2))], None, sure(average));
    }
    // A word that only ends so, and a few numbers beside a network.
    check_taken(&[("schema", many("a", 4)), ("model", many("a", 4))], None, sure("model"));
    check_taken(&[("net", many("a", 4)), ("ema", many("decay", 1))], None, sure("net"));
    check_taken(&[("a", one()), ("b", one()), ("ema", many("n", 2))], Some("."), sure(""));
    // Adam's moments, by the names of what they belong to.
    let adam = dict(&[("state", dict(&[("exp_avg", many("a", 4)), ("ema", many("a", 4))]))]);
    check_taken(&[("optimizer", adam), ("model", many("a", 4))], None, sure("model"));
    check_taken(&[("exp_avg", many("a", 4)), ("model", many("a", 4))], None, sure("model"));
    // Equals.
    check_taken(&[("student", many("a", 3)), ("teacher", many("a", 3))], None, ("student", true));
    check_taken(
        &[("student", many("a", 3)), ("teacher", many("a", 3))],
        Some("teacher"),
        sure("teacher"),
    );
    let error = Place::new().open_part(&one_number(&dict(&timm)), Some("model")).unwrap_err();
    assert!(
        error.contains("no state dict `model`") && error.contains("`state_dict_ema`"),
        "{error}"
    );
}

#[test]
fn what_a_user_asks_for_may_stand_before_the_names() {
    let value = dict(&[("student.a", one()), ("teacher.b", one()), ("students", one())]);
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4]).unwrap();
    let tensors = ["student.a", "teacher.b", "students"].map(|it| (it, view.clone()));
    for file in [one_number(&value), safetensors::serialize(tensors, None).unwrap()] {
        let file = Place::new().open_part(&file, Some("student")).unwrap();
        assert_eq!(file.tensors().map(|it| it.name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(file.taken.prefix, "student.");
    }
    let error = Place::new().open_part(&one_number(&value), Some("stud")).unwrap_err();
    assert!(error.contains("no state dict `stud`"), "{error}");
}

/// What is wanted in most tests: three tensors of one number.
fn wanted() -> Vec<Wanted> {
    ["conv.weight", "conv.bias", "norm.weight"]
        .map(|it| Wanted { name: it.into(), shape: vec![1] })
        .into()
}

/// Checks what is taken off the names of a state dict that has `wanted` behind each of `prefixes`, and `strays`
/// beside.
#[track_caller]
fn check_prefix(prefixes: &[&str], strays: &[&str], expected: &str, others: &[&str]) {
    let names = prefixes
        .iter()
        .flat_map(|prefix| wanted().into_iter().map(move |it| format!("{prefix}{}", it.name)));
    let names: Vec<String> = names.chain(strays.iter().map(|it| (*it).to_owned())).collect();
    let items: Vec<_> = names.iter().map(|it| (it.as_str(), one())).collect();
    let file = Place::new().open(&one_number(&dict(&items))).unwrap();
    let account = Account::new(&file, &wanted());
    assert!(account.is_complete(), "{account:?}");
    assert_eq!(
        (account.prefix.as_str(), account.other_prefixes),
        (expected, others.iter().map(|it| (*it).to_owned()).collect())
    );
    assert!(strays.iter().all(|it| account.unexpected.iter().any(|there| there == it)));
}

#[test]
fn whatever_stands_before_all_names_that_are_wanted_is_taken_off_and_strays_stay_beside() {
    check_prefix(&[""], &["criterion.weight", "n_averaged"], "", &[]);
    for prefix in ["module.", "model._orig_mod.", "_orig_mod.module.", "net.", "a.b.c.d.backbone."]
    {
        check_prefix(&[prefix], &["criterion.weight", "head.fc.weight", "conv"], prefix, &[]);
    }
    // The network as it is goes before others that are it, too; of others an average, then the shorter name.
    check_prefix(&["", "ema."], &[], "", &[]);
    check_prefix(&["student.", "ema_model.module."], &[], "ema_model.module.", &["student."]);
    check_prefix(&["teacher.", "other."], &[], "other.", &["teacher."]);
}

#[test]
fn numbers_that_are_no_floats_are_told_before_they_are_read() {
    let whole = tensor(storage("LongStorage", "0", 1), 0, &[1], &[1]);
    let file = zipped(&dict(&[("w", whole)]), &[("0", &[0; 8])]);
    let file = Place::new().open(&file).unwrap();
    let account = Account::new(&file, &[Wanted { name: "w".into(), shape: vec![1] }]);
    assert_eq!(account.unreadable, ["`w` is int64; only floats can be weights"]);
    assert!(account.complete(&file).is_err());
}

#[test]
fn a_prefix_is_what_stands_before_most_names_even_where_some_are_missing() {
    let items = [("net.conv.weight", one()), ("net.conv.bias", one()), ("loss.weight", one())];
    let file = Place::new().open(&one_number(&dict(&items))).unwrap();
    let account = Account::new(&file, &wanted());
    assert_eq!(
        (account.prefix.as_str(), account.missing.as_slice()),
        ("net.", &["norm.weight".to_owned()][..])
    );
}

#[test]
fn the_names_of_others_are_recognised_where_they_do_not_fit() {
    let help = |names: &[&str]| {
        let items: Vec<_> = names.iter().map(|it| (*it, one())).collect();
        let file = Place::new().open(&one_number(&dict(&items))).unwrap();
        let error = Account::new(&file, &wanted()).complete(&file).unwrap_err();
        miette::Diagnostic::help(&error).unwrap().to_string()
    };
    assert!(help(&["conv_stem.weight", "blocks.0.0.conv_dw.weight"]).contains("timm's names"));
    assert!(help(&["resnet.embedder.embedder.convolution.weight"]).contains("Hugging Face"));
    assert!(help(&["x"]).contains("another network"));
}

#[test]
fn the_account_tells_apart_what_fits_what_is_missing_and_what_has_another_shape() {
    let (value, numbers) = six();
    let file = Place::new().open(&zipped(&value, &[("0", &numbers)])).unwrap();
    let wanted = |name: &str, shape: &[usize]| Wanted { name: name.into(), shape: shape.into() };
    let account = Account::new(&file, &[wanted("rows", &[2, 3]), wanted("last", &[1])]);
    let reshaped = vec![Reshaped { name: "last".to_owned(), there: vec![], wanted: vec![1] }];
    let (loaded, unexpected) = (vec!["rows".to_owned()], vec!["columns".to_owned()]);
    assert_eq!(account, Account { loaded, reshaped, unexpected, ..Account::default() });
    let error = account.complete(&file).unwrap_err().to_string();
    assert!(error.ends_with("`last` has shape [], the network needs [1]"), "{error}");
    let account = Account::new(&file, &[wanted("other", &[2])]);
    let error = account.complete(&file).unwrap_err().to_string();
    assert!(error.contains("1 of the network's 1 tensors are not in it, the first is `other`"));
}
