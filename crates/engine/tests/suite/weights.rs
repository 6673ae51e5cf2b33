//! Weight files from outside: published ones, the user's own, and those that mean harm.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ferrite_core::model::weights::file::TensorFile;
use ferrite_core::store::artifact::of_file;
use ferrite_testing::{Place, SMALL};
use safetensors::SafeTensors;

/// The published file of MobileNetV2, and its digest.
const NAME: &str = "mobilenet_v2-b0353104.pth";
const DIGEST: &str = "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889";

/// An experiment that begins with these weights.
fn from(weights: &str) -> String {
    format!("model.weights = {weights}\n{SMALL}")
}

/// A place in which `drawn.safetensors` is a whole MobileNetV2 with random weights.
fn with_a_network() -> Place {
    let place = Place::with(&[("a", SMALL)]);
    place.sweep_well();
    let model = std::fs::read(place.run("a").folder.join("model.safetensors")).unwrap();
    place.write("drawn.safetensors", model);
    place
}

fn header(path: &Path, fact: &str) -> Option<String> {
    TensorFile::open(path).unwrap().facts.remove(fact)
}

#[test]
fn published_weights_come_from_the_cache_and_their_input_with_them() {
    let place = with_a_network();
    let model = std::fs::read(place.path("drawn.safetensors")).unwrap();
    // A file of which Ferrite has noted that it is the published one, and that it has not changed since.
    let cached = format!("cache/weights/{NAME}");
    place.write(&cached, model);
    let crc32 = of_file(&place.path(&cached)).unwrap().crc32;
    place.write(&format!("{cached}.sha256"), format!("{DIGEST} {crc32:08x}"));
    place.write("experiments/b.toml", from("\"imagenet\""));
    place.sweep_well();
    let run = place.run("b");
    let weights = run.facts.weights.unwrap();
    assert!(weights.from.ends_with(NAME) && weights.loaded == 260, "{weights:?}");
    assert_eq!(weights.unexpected, ["classifier.1.bias", "classifier.1.weight"]);
    let model = run.folder.join("model.safetensors");
    assert_eq!(header(&model, "input").as_deref(), Some("torchvision"));
    place
        .ferrite(&["weights", "list"])
        .ends_with(0)
        .says(&format!("there {}", place.path("cache").display()));
}

#[test]
fn without_a_network_the_file_to_get_is_named_before_anything_runs() {
    let place = Place::with(&[("a", &from("\"imagenet\"")), ("b", SMALL)]);
    place.ferrite(&["plan"]).ends_with(0).says("2 trials, 2 to do");
    assert!(!place.path("cache").exists(), "planning needs no file");
    let told = place.ferrite(&["sweep", "a", "--threads", "1"]);
    told.ends_with(7).says("cannot download").says(DIGEST);
    let words = told.words().replace(' ', "");
    assert!(words.contains(&place.path(&format!("cache/weights/{NAME}")).display().to_string()));
    assert!(!place.path("runs/a").exists(), "nothing may run");
    place.ferrite(&["weights", "fetch", "mobilenet_v2", "--quiet"]).ends_with(7);
    place.ferrite(&["weights", "fetch", "mobilenet_v3"]).ends_with(2).says("there is no backbone");
}

#[test]
fn only_some_backbones_have_newer_weights() {
    let place = Place::with(&[("a", &from("\"imagenet-v2\"\nmodel.backbone = \"vgg16\""))]);
    place.ferrite(&["plan"]).ends_with(2).says("this backbone has only `imagenet`");
}

#[test]
fn a_file_says_its_input_or_the_experiment_does() {
    let place = with_a_network();
    let plain = safetensors::serialize(None::<(&str, safetensors::tensor::TensorView<'_>)>, None);
    place.write("plain.safetensors", plain.unwrap());
    place.write("experiments/b.toml", from("{ file = { path = \"plain.safetensors\" } }"));
    place.ferrite(&["plan"]).ends_with(2).says("b.toml").says("its header does not");
    let import = ["weights", "import", "drawn.safetensors", "--backbone", "mobilenet_v2"];
    let caffe = [&import[..], &["--input", "caffe", "--out", "mine.safetensors"]].concat();
    place.ferrite(&caffe).ends_with(0).says("mine.safetensors: 260 tensors, 2 left out");
    place.ferrite(&import).ends_with(2).says("would be written over itself");
    place.write("experiments/b.toml", from("{ file = { path = \"mine.safetensors\" } }"));
    place.sweep_well();
    let model = place.run("b").folder.join("model.safetensors");
    assert_eq!(header(&model, "input").as_deref(), Some("caffe"));
    let told = place.ferrite(&["weights", "inspect", "mine.safetensors", "--backbone", "vgg16"]);
    told.ends_with(0).says("vgg16: 0 of 26 tensors fit").says("header: input = caffe");
    let import = ["weights", "import", "mine.safetensors", "--backbone", "vgg16", "--out", "x"];
    place.ferrite(&import).ends_with(4).says("the first is `features.0.weight`");
}

/// Whatever is trained from Keras's network is Keras's: told by the header, and refused where another one is asked for.
#[test]
fn a_network_of_keras_stays_one_in_all_that_is_trained_from_it() {
    let keras = format!("model.implementation = \"keras\"\n{SMALL}");
    let place = Place::with(&[("a", &keras), ("b", &from("{ experiment = \"a\" }"))]);
    place.sweep_well();
    for name in ["a", "b"] {
        let model = place.run(name).folder.join("model.safetensors");
        assert_eq!(header(&model, "implementation").as_deref(), Some("keras"), "{name}");
    }
    let model = place.run("b").folder.join("model.safetensors");
    place.write("mine.safetensors", std::fs::read(model).unwrap());
    let file = "{ file = { path = \"mine.safetensors\" } }";
    place.write("experiments/c.toml", from(file));
    place.sweep_well();
    let model = place.run("c").folder.join("model.safetensors");
    assert_eq!(header(&model, "implementation").as_deref(), Some("keras"));
    let other = format!("model.implementation = \"pytorch\"\n{}", from(file));
    place.write("experiments/c.toml", other);
    place.sweep().ends_with(2).says("asks for the `pytorch` implementation");
}

/// What old PyTorch writes before what was saved, and what it writes behind it where there are no storages.
fn legacy(saved: &[u8]) -> Vec<u8> {
    let magic = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let rest = b"\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s.";
    [&magic[..], rest, saved, b"\x80\x02]."].concat()
}

#[test]
fn a_pickle_that_means_harm_is_named_before_anything_trains_and_never_carried_out() {
    let file = "{ file = { path = \"evil.pth\", input = \"torchvision\" } }";
    let place = Place::with(&[("a", &from(file)), ("b", SMALL)]);
    // What `pickle.dumps` makes of an object whose `__reduce__` is `(os.system, ("touch harm",))`.
    let harm = b"\x80\x02cposix\nsystem\nX\x0a\0\0\0touch harm\x85R.";
    place.write("evil.pth", legacy(harm));
    for command in [&["plan"][..], &["sweep"], &["weights", "inspect", "evil.pth"]] {
        place
            .ferrite(command)
            .ends_with(4)
            .says("`posix.system`")
            .says("nothing of it was carried out");
    }
    assert!(place.runs().is_empty() && !place.path("harm").exists());
}

#[test]
fn a_file_that_does_not_fit_is_told_by_the_plan_and_before_anything_trains() {
    let place = with_a_network();
    place.write("page.pth", "<!DOCTYPE html><html><body>Sign in</body></html>");
    place.write("keras.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0");
    let file = |path: &str| format!("{{ file = {{ path = '{path}', input = 'torchvision' }} }}");
    let vgg = |weights: &str| format!("model.backbone = 'vgg16'\n{}", from(weights));
    for (experiment, says) in [
        (vgg(&file("drawn.safetensors")), "it fits `mobilenet_v2`: change `model.backbone`"),
        (from(&file("page.pth")), "it is a page of a web site (HTML)"),
        (from(&file("keras.h5")), "it is a damaged HDF5 file"),
        (vgg("{ experiment = 'a' }"), "it will hold a `mobilenet_v2`"),
    ] {
        place.write("experiments/b.toml", experiment);
        place.ferrite(&["plan"]).ends_with(4).says(says).says("2 trials, 1 to do");
        place.sweep().ends_with(4).says(says);
        assert!(!place.path("runs/b").exists(), "nothing may train: {says}");
    }
    // Of several all are named.
    place.write("experiments/b.toml", from(&file("page.pth")));
    place.write("experiments/c.toml", from(&file("keras.h5")));
    place
        .sweep()
        .ends_with(4)
        .says("page of a web site")
        .says("these do not fit either: `keras.h5`");
}

#[test]
fn what_is_taken_from_a_file_is_told_by_plan_import_and_log() {
    let place = with_a_network();
    let bytes = std::fs::read(place.path("drawn.safetensors")).unwrap();
    let drawn = SafeTensors::deserialize(&bytes).unwrap();
    let named = |prefix: &'static str| {
        drawn.iter().map(move |(name, view)| (format!("{prefix}{name}"), view))
    };
    let stray = ("criterion.weight".to_owned(), drawn.tensor("classifier.1.bias").unwrap());
    let all = named("net._orig_mod.").chain([stray]);
    place.write("wrapped.safetensors", safetensors::serialize(all, None).unwrap());
    let all = named("student.").chain(named("teacher."));
    place.write("both.safetensors", safetensors::serialize(all, None).unwrap());
    let file = |more: &str| from(&format!("{{ file = {{ input = 'plus-minus-one', {more} }} }}"));
    place.write("experiments/b.toml", file("path = 'wrapped.safetensors'"));
    place.write("experiments/c.toml", file("path = 'both.safetensors'"));
    let chosen = "path = 'both.safetensors', state_dict = 'teacher'";
    place.write("experiments/d.toml", file(chosen));
    let told = place.ferrite(&["plan"]);
    told.ends_with(0).says("wrapped.safetensors: 260 tensors, 3 left out");
    told.says("names without: net._orig_mod.").says("names without: teacher.");
    told.says("not taken: teacher, any of which may be the one");
    place.sweep_well().says("`both.safetensors` holds the network more than once");
    let taken = |name: &str| place.run(name).facts.weights.unwrap().taken;
    assert_eq!(taken("b").prefix, "net._orig_mod.");
    assert!(taken("c").ambiguous && taken("c").prefix == "student.");
    assert!(!taken("d").ambiguous && taken("d").prefix == "teacher.");
    let unexpected = place.run("b").facts.weights.unwrap().unexpected;
    assert!(unexpected.contains(&"criterion.weight".to_owned()), "{unexpected:?}");
    // All the same weights, so all the same results.
    assert_eq!(place.run("b").predictions, place.run("d").predictions);
}

#[test]
fn equal_runs_write_equal_files_which_all_may_read_whom_the_umask_lets() {
    let place = Place::with(&[("a", SMALL)]);
    let sweep = |runs: &str| {
        place.ferrite(&["sweep", "--threads", "1", "--runs", runs]).ends_with(0);
        let mut files = place.files(runs);
        files.retain(|path, _| !path.components().any(|it| it.as_os_str() == ".lock"));
        files
    };
    let [first, second] = ["one", "two"].map(sweep);
    // A checkpoint also holds the seconds that its epochs took.
    let is_model = |it: &Path| {
        let in_checkpoints = it.components().any(|it| it.as_os_str() == "checkpoint");
        it.extension().is_some_and(|it| it == "safetensors") && !in_checkpoints
    };
    let weights = |files: &BTreeMap<PathBuf, (Vec<u8>, SystemTime)>| {
        let files = files.iter().filter(|it| is_model(it.0));
        files.map(|(_, (bytes, _))| bytes.clone()).collect::<Vec<_>>()
    };
    let (one, two) = (weights(&first), weights(&second));
    assert_eq!(one.len(), 2, "the run's and its stage's");
    // Compared by hand: what differs would be printed byte by byte.
    let differ = one.iter().zip(&two).position(|(a, b)| a != b);
    assert_eq!(differ, None, "the file that differs");
    place.write("plain", "");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let usual = mode(&place.path("plain"));
    for path in first.keys() {
        assert_eq!(mode(path), usual, "{}", path.display());
    }
}
