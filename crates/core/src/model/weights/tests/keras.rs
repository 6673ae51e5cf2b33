//! Files of Keras's in all formats, whole, cut off, and with bytes changed.

use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::weights::account::Account;
use crate::model::weights::file::Format;
use crate::model::weights::tests::Place;
use crate::model::weights::tests::mutation::read;
use crate::model::weights::{implementation_of, input_of, tensors_of};

/// The first three are from Keras 3.15.1, the others from h5py 3.16:
///
/// ```python
/// inputs = keras.Input((4, 4, 2))
/// x = keras.layers.Conv2D(3, 2, name="first")(inputs)
/// x = keras.layers.BatchNormalization(name="norm")(x)
/// base = keras.Model(inputs, x, name="base")
/// model = keras.Sequential([keras.Input((4, 4, 2)), base, keras.layers.Flatten(), keras.layers.Dense(1, name="head")])
/// base.get_layer("first").kernel.assign(np.arange(24.0).reshape(2, 2, 2, 3) / 8)
/// model.save("whole.keras")
/// model.save("whole.h5")
/// model.save_weights("new.weights.h5")
/// with h5py.File("old.h5", "w") as file:
///     file.attrs["layer_names"] = [b"first"]
///     group = file.create_group("first")
///     group.attrs["weight_names"] = [b"first_W:0", b"first_b:0"]
///     kernel = np.arange(24, dtype=">f4").reshape(2, 2, 2, 3) / 8
///     group.create_dataset("first_W:0", data=kernel, chunks=(2, 2, 1, 3), compression="gzip", shuffle=True)
///     group.create_dataset("first_b:0", data=np.array([1, -2, 0.5], "f2"))
/// with h5py.File("latest.weights.h5", "w", libver="latest") as file:
///     group = file.create_group("layers/conv2d/vars")
///     group.attrs["name"] = "first"
///     group.create_dataset("0", data=np.arange(24, dtype="f8").reshape(2, 2, 2, 3) / 8)
///     group.create_dataset("1", data=np.array([1, -2, 0.5], "f4"))
/// ```
const WHOLE: &[u8] = include_bytes!("../../../../../../tests/fixtures/weights/keras/whole.keras");
const WHOLE_OLD: &[u8] = include_bytes!("../../../../../../tests/fixtures/weights/keras/whole.h5");
const NEW: &[u8] = include_bytes!("../../../../../../tests/fixtures/weights/keras/new.weights.h5");
const OLD: &[u8] = include_bytes!("../../../../../../tests/fixtures/weights/keras/old.h5");
const LATEST: &[u8] =
    include_bytes!("../../../../../../tests/fixtures/weights/keras/latest.weights.h5");

#[test]
fn files_of_keras_are_read_as_it_wrote_them() {
    let kernel: Vec<f32> = (0..24_u8).map(|it| f32::from(it) / 8.0).collect();
    for (bytes, format, first, dtype) in [
        (WHOLE, Format::Keras, "functional/first/0", "float32"),
        (WHOLE_OLD, Format::KerasHdf5, "base/first/kernel", "float32"),
        (NEW, Format::KerasHdf5, "functional/first/0", "float32"),
        // Compressed, with the bytes shuffled and of another order.
        (OLD, Format::KerasHdf5, "first/first_W", "float32"),
        (LATEST, Format::KerasHdf5, "first/0", "float64"),
    ] {
        let file = Place::new().open(bytes).unwrap();
        assert_eq!(file.format, format);
        let listed = file.tensors().find(|it| it.name == first).unwrap();
        assert_eq!((listed.dtype.name(), listed.shape), (dtype, &[2, 2, 2, 3][..]), "{first}");
        assert_eq!(file.values(first).unwrap(), kernel, "{first}");
        assert_eq!(implementation_of(&file).unwrap(), Implementation::Keras);
        assert_eq!(input_of(&file, Backbone::Vgg16).unwrap(), Backbone::Vgg16.keras_input());
    }
    let file = Place::new().open(OLD).unwrap();
    assert_eq!(file.values("first/first_b").unwrap(), [1.0, -2.0, 0.5]);
    let names = |bytes| {
        let file = Place::new().open(bytes).unwrap();
        file.tensors().map(|it| it.name.to_owned()).collect::<Vec<_>>()
    };
    let norm =
        ["gamma", "beta", "moving_mean", "moving_variance"].map(|it| format!("base/norm/{it}"));
    let names = names(WHOLE_OLD);
    assert!(norm.iter().all(|it| names.contains(it)), "{names:?}");
    assert!(names.contains(&"head/kernel".to_owned()), "{names:?}");
}

#[test]
fn a_model_within_the_model_can_be_asked_for() {
    let place = Place::new();
    assert!(place.open_part(WHOLE_OLD, Some("base")).is_ok());
    let error = place.open_part(WHOLE_OLD, Some("other")).unwrap_err();
    assert!(error.contains("it has no model `other` in it: it has `.`, `base`"), "{error}");
}

#[test]
fn another_network_or_one_that_is_not_known_is_said() {
    let whole = || Place::new().open(WHOLE).unwrap();
    let error = whole().for_backbone(Backbone::ResNet18).unwrap_err().to_string();
    assert!(error.contains("Keras's, whose `resnet18` is not known here"), "{error}");
    let file = whole().for_backbone(Backbone::Vgg16).unwrap();
    assert!(file.shape("features.0.weight").is_none());
    let wanted = tensors_of(Backbone::Vgg16, Implementation::Keras);
    let error = Account::new(&file, &wanted).complete(&file).unwrap_err().to_string();
    assert!(error.contains("26 of the network's 26 tensors are not in it"), "{error}");
}

#[test]
fn a_file_of_keras_that_is_cut_off_anywhere_is_refused() {
    let place = Place::new();
    for file in [LATEST, OLD, WHOLE, WHOLE_OLD, NEW] {
        for length in 0..file.len() {
            let error = place.open(&file[..length]).unwrap_err();
            assert!(error.starts_with("cannot load weights from `w`: "), "{length}: {error}");
        }
    }
}

/// A file of the first version of HDF5 says at this place how long it is, by which one that is cut off is known at once.
const LENGTH: std::ops::Range<usize> = 40..48;

#[test]
fn a_file_of_keras_that_is_cut_off_and_hides_it_is_refused_or_read_but_nothing_else() {
    let place = Place::new();
    for (file, step) in [(OLD, 1), (WHOLE_OLD, 5), (NEW, 5)] {
        assert_eq!(file[LENGTH], (file.len() as u64).to_le_bytes());
        for length in (LENGTH.end..file.len()).step_by(step) {
            let mut file = file[..length].to_vec();
            file[LENGTH].copy_from_slice(&(length as u64).to_le_bytes());
            read(&place, &file, None);
        }
    }
}

#[test]
fn a_file_of_keras_with_any_byte_changed_is_refused_or_read_but_nothing_else() {
    let place = Place::new();
    for (file, step) in [(LATEST, 1), (OLD, 2), (WHOLE, 29), (WHOLE_OLD, 11), (NEW, 13)] {
        for at in (0..file.len()).step_by(step) {
            let mut file = file.to_vec();
            file[at] ^= [0xff, 0x80, 1][at % 3];
            read(&place, &file, None);
        }
    }
}
