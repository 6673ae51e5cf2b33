//! Networks and runs for other programs: what is written, what is told of it, and what is refused. That these programs find
//! in it what the runs say is seen by `make test-doors`.

use ferrite_core::model::backbone::Backbone;
use ferrite_core::model::implementation::Implementation;
use ferrite_core::model::weights::file::{Format, TensorFile};
use ferrite_testing::{Place, SMALL, Told, same};
use serde_json::{Value, json};

/// An experiment with Keras's network of this name, for images of `size` pixels.
fn of_keras(backbone: &str, size: usize, head: &str) -> String {
    format!(
        "model = {{ backbone = \"{backbone}\", implementation = \"keras\", head = {{ {head} }} }}\n\
         data = {{ source = {{ synthetic = {{ faces = 80 }} }}, image_size = {size} }}\n\
         [[stages]]\nname = \"head\"\nepochs = 1\nbatch_size = 8\n"
    )
}

fn object(told: &Told) -> Value {
    serde_json::from_str(&told.ends_with(0).out).unwrap()
}

#[test]
fn a_file_for_keras_has_the_numbers_of_the_run_under_keras_s_names() {
    let cases = [
        (Backbone::Vgg16, 32, "layers = [8]"),
        (Backbone::ResNet50, 33, "dropout = 0.2"),
        (Backbone::MobileNetV2, 40, "layers = [8], batch_norm = true, dropout = 0.2"),
        (Backbone::Xception, 71, "pool = \"flatten\""),
    ];
    let experiments = cases.map(|(it, size, head)| (it.name(), of_keras(it.name(), size, head)));
    let experiments = experiments.each_ref().map(|(name, text)| (*name, text.as_str()));
    let place = Place::with(&experiments);
    place.sweep_well();
    for (backbone, ..) in cases {
        let name = backbone.name();
        let out = format!("out/{name}.keras");
        let told = place.ferrite(&["export", "keras", name, "--out", &out]);
        assert_eq!(told.ends_with(0).out, format!("{out}\n"));
        let file = TensorFile::open(&place.path(&out)).unwrap();
        assert_eq!(file.format, Format::Keras);
        let found = file.for_backbone(backbone).unwrap();
        let model = TensorFile::open(&place.run(name).folder.join("model.safetensors")).unwrap();
        for spec in &backbone.description(Implementation::Keras).tensors.specs {
            let [found, own] = [&found, &model].map(|it| it.values(&spec.name).unwrap());
            assert!(found == own, "{name}: {}", spec.name);
        }
    }
}

#[test]
fn a_network_that_is_not_keras_s_is_refused_with_the_command_to_use() {
    let place = Place::with(&[("a", SMALL)]);
    place.sweep_well();
    place
        .ferrite(&["export", "keras", "a", "--out", "a.keras"])
        .ends_with(2)
        .says("the `mobilenet_v2` of `a/")
        .says("is one for PyTorch: Keras has none that computes the same")
        .says("`ferrite export onnx`");
    place
        .ferrite(&["export", "keras", "a", "--out", "a.h5"])
        .ends_with(2)
        .says("`a.h5` does not end in `.keras`");
    assert!(!place.path("a.keras").exists());
}

#[test]
fn a_file_for_keras_says_how_its_pixels_are_scaled_to_whoever_begins_with_it() {
    let vgg = SMALL.replace("[[stages]]", "[model]\nbackbone = \"vgg16\"\n[[stages]]");
    let next = vgg.replace("backbone", "weights = { file = { path = \"a.keras\" } }\nbackbone");
    let place = Place::with(&[("a", &vgg)]);
    place.sweep_well();
    place.ferrite(&["export", "keras", "a", "--out", "a.keras"]).ends_with(0);
    place.write("experiments/b.toml", next);
    place.sweep_well();
    let header =
        |it: &str| TensorFile::open(&place.run(it).folder.join("model.safetensors")).unwrap().facts;
    // Keras itself scales pixels for VGG16 in another way.
    let [a, b] = [header("a"), header("b")].map(|it| it["input"].clone());
    assert_eq!([a.as_str(), b.as_str()], ["plus-minus-one"; 2]);
    assert_eq!(header("b")["implementation"], "keras");
}

#[test]
fn the_same_export_again_changes_nothing() {
    let place = Place::with(&[("k", &of_keras("mobilenet_v2", 32, ""))]);
    place.sweep_well();
    for (format, out) in [("keras", "k.keras"), ("onnx", "k.onnx")] {
        let export = || {
            place.ferrite(&["export", format, "k", "--out", out]).ends_with(0);
            std::fs::read(place.path(out)).unwrap()
        };
        same(format, &export(), &export());
    }
}

#[test]
fn exports_tell_what_they_wrote_as_an_object() {
    let place = Place::with(&[("a", SMALL), ("k", &of_keras("mobilenet_v2", 32, ""))]);
    place.sweep_well();
    for (format, run, out, files) in [
        ("onnx", "a", "a.onnx", vec!["a.onnx"]),
        ("torch", "a", "a", vec!["a/load.py", "a/model.safetensors"]),
        ("keras", "k", "k.keras", vec!["k.keras"]),
    ] {
        let told = object(&place.ferrite(&["export", format, run, "--out", out, "--json"]));
        assert_eq!(told["version"], 1);
        assert_eq!(told["run"], json!(place.run(run).name()));
        assert_eq!(told["files"], json!(files));
        assert_eq!(told["classes"].as_array().unwrap().len(), 7);
        assert_eq!((&told["image_size"], &told["channels"]), (&json!(32), &json!(1)));
        assert!(told["differences"].is_array(), "{told}");
        assert!(files.iter().all(|it| place.path(it).exists()), "{files:?}");
    }
    let board = ["export", "tensorboard", "--out", "board", "--json"];
    let told = object(&place.ferrite(&board));
    let counts = |written, unchanged| {
        json!({
            "version": 1,
            "folder": "board",
            "written": written,
            "appended": 0,
            "replaced": 0,
            "unchanged": unchanged,
        })
    };
    assert_eq!(told, counts(2, 0));
    assert_eq!(object(&place.ferrite(&board)), counts(0, 2));
    // Nothing is told before it is so.
    let nobody = place.ferrite(&["export", "mlflow", "--to", "http://127.0.0.1:9", "--json"]);
    assert_eq!(nobody.ends_with(7).out, "");
}
