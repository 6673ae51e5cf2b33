//! What cannot be right in the tables of the model, each judged alone.

use crate::error::Problem;
use crate::model::implementation::Implementation;
use crate::model::{Head, Model, Noise, Unit, Weights};

impl Model {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let head = self.head.check().into_iter().map(|it| it.within("head"));
        let named =
            |key, name: &str| Problem::unless(!name.trim().is_empty(), key, "must name something");
        let weights = match &self.weights {
            Weights::None => None,
            Weights::Imagenet | Weights::ImagenetV2 | Weights::KerasImagenet => {
                self.check_published()
            }
            Weights::Experiment(name) => named("weights.experiment", name),
            Weights::Run(name) => named("weights.run", name),
            Weights::File(file) => named("weights.file.path", &file.path.to_string_lossy())
                .or_else(|| named("weights.file.state_dict", file.state_dict.as_ref()?)),
        };
        weights.or_else(|| self.check_implementation()).into_iter().chain(head).collect()
    }

    fn check_published(&self) -> Option<Problem> {
        let known: Vec<_> =
            self.backbone.published().iter().map(|it| format!("`{}`", it.name)).collect();
        let mut message = format!("this backbone has only {}", known.join(" and "));
        if self.weights == Weights::KerasImagenet && self.backbone.has(Implementation::Keras) {
            message.push_str(
                "; of its own file Keras publishes no checksum: save the network in Keras \
                 (`keras.applications.MobileNetV2(include_top=False).save(\"mobilenet_v2.keras\")`), and write \
                 `weights = { file = { path = \"mobilenet_v2.keras\" } }`",
            );
        }
        Problem::unless(self.published().is_some(), "weights", &message)
    }

    /// Whether there is such an implementation, and the published weights are of it.
    fn check_implementation(&self) -> Option<Problem> {
        let asked = self.implementation?;
        let name = self.backbone.name();
        if !self.backbone.has(asked) {
            let message = format!("Keras's `{name}` is not known here, only torchvision's");
            return Some(Problem::new("implementation", message));
        }
        let published = self.published()?;
        let message = format!(
            "is {}, but the weights `{}` are of `{}`: leave it out",
            asked.name(),
            published.name,
            published.implementation.name()
        );
        Problem::unless(published.implementation == asked, "implementation", &message)
    }
}

impl Head {
    fn check(&self) -> Vec<Problem> {
        /// More than any head has; each is built to be counted.
        const MOST_LAYERS: usize = 64;
        let few = self.layers.len() <= MOST_LAYERS;
        let wide = self.layers.iter().all(|it| (1..=65_536).contains(it));
        let dropout = (0.0..1.0).contains(&self.dropout);
        let normed = !self.batch_norm || !self.layers.is_empty();
        let norm =
            "needs a hidden layer to stand behind: give `layers` a width, or set it to false";
        [
            Problem::unless(few, "layers", "lists more than 64 hidden layers"),
            Problem::unless(wide, "layers", "each width must be from 1 to 65536"),
            Problem::unless(dropout, "dropout", "must be at least 0 and below 1"),
            Problem::unless(normed, "batch_norm", norm),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Noise {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        let layers = [("input", self.input), ("features", self.features)];
        let mut problems: Vec<_> = layers
            .into_iter()
            .filter_map(|(key, noise)| {
                let fine = noise.is_none_or(|it| it.std > 0.0 && it.std.is_finite());
                let message = "must be a positive number; leave the noise out to have none";
                Problem::unless(fine, &format!("{key}.std"), message)
            })
            .collect();
        let gray = self.features.is_some_and(|it| it.unit == Unit::Gray);
        let message = "features are no gray levels: use `input-std` or `layer`";
        problems.extend(Problem::unless(!gray, "features.unit", message));
        problems
    }
}
