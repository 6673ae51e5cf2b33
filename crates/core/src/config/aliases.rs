//! What Keras, PyTorch and timm call settings that have another name here, so that whoever writes one of theirs is told ours.

/// Their name and ours. A name of theirs may stand for several of ours, of which one fits the place.
const ALIASES: &[(&str, &str)] = &[
    ("arch", "backbone"),
    ("architecture", "backbone"),
    ("autocontrast", "contrast"),
    ("batch", "batch_size"),
    ("beta_1", "betas"),
    ("beta_2", "betas"),
    ("brightness_range", "brightness"),
    ("class_weight", "class_weights"),
    ("clipnorm", "clip"),
    ("color_jitter", "brightness"),
    ("data_dir", "path"),
    ("directory", "path"),
    ("drop_rate", "dropout"),
    ("epoch", "epochs"),
    ("eta", "reduction_factor"),
    ("global_clipnorm", "clip"),
    ("grace_period", "min_epochs"),
    ("height_shift_range", "shift"),
    ("hflip", "flip"),
    ("horizontal_flip", "flip"),
    ("img_size", "image_size"),
    ("input_shape", "image_size"),
    ("input_size", "image_size"),
    ("int", "int_uniform"),
    ("learning_rate", "lr"),
    ("log_uniform_values", "log_uniform"),
    ("loguniform", "log_uniform"),
    ("max_norm", "clip"),
    ("metric", "monitor"),
    ("min_iter", "min_epochs"),
    ("min_resource", "min_epochs"),
    ("model", "backbone"),
    ("n_splits", "folds"),
    ("n_trials", "points"),
    ("num_epochs", "epochs"),
    ("num_samples", "points"),
    ("param_space", "space"),
    ("parameters", "space"),
    ("pooling", "pool"),
    ("pretrained", "weights"),
    ("qlograndint", "int_log_uniform"),
    ("quniform", "int_uniform"),
    ("randint", "int_uniform"),
    ("random_erasing", "erase"),
    ("random_horizontal_flip", "flip"),
    ("random_rotation", "rotation"),
    ("reduce_lr_on_plateau", "plateau"),
    ("reprob", "erase"),
    ("restore_best_weights", "restore_best"),
    ("rotation_range", "rotation"),
    ("run_cap", "points"),
    ("shear_range", "shear"),
    ("smoothing", "label_smoothing"),
    ("target_size", "image_size"),
    ("trials", "points"),
    ("val", "valid"),
    ("val_acc", "valid_accuracy"),
    ("val_accuracy", "valid_accuracy"),
    ("val_loss", "valid_loss"),
    ("validation", "valid"),
    ("validation_split", "valid"),
    ("values", "choice"),
    ("width_shift_range", "shift"),
    ("zoom_range", "zoom"),
];

/// Which of `known` is meant by `name`: by what others call it, or written in another way (`MobileNetV2`).
pub(super) fn meant<'a>(
    name: &str,
    mut known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let plain = |it: &str| -> String {
        it.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
    };
    let name = plain(name);
    let ours = ALIASES.iter().filter(|it| plain(it.0) == name).map(|it| it.1);
    let ours = ours.collect::<Vec<_>>();
    known.clone().find(|it| plain(it) == name).or_else(|| known.find(|it| ours.contains(it)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema::Schema;

    #[test]
    fn names_of_others_lead_to_ours_where_these_fit() {
        let augment = ["flip", "rotation", "shift"];
        assert_eq!(meant("horizontal_flip", augment.into_iter()), Some("flip"));
        assert_eq!(meant("width_shift_range", augment.into_iter()), Some("shift"));
        assert_eq!(meant("learning_rate", augment.into_iter()), None);
        assert_eq!(
            meant("MobileNetV2", ["vgg16", "mobilenet_v2"].into_iter()),
            Some("mobilenet_v2")
        );
        assert_eq!(meant("Adam", ["adam", "sgd"].into_iter()), Some("adam"));
        assert_eq!(
            meant("val_accuracy", ["valid_loss", "valid_accuracy"].into_iter()),
            Some("valid_accuracy")
        );
    }

    #[test]
    fn every_name_of_ours_is_one_that_the_schema_knows() {
        let schema = Schema::of_experiment().root.to_string();
        for (theirs, ours) in ALIASES {
            assert!(
                schema.contains(&format!("\"{ours}\"")),
                "{theirs} leads to `{ours}`, which is nothing here"
            );
        }
    }
}
