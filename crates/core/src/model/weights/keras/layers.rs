//! The layers of a Keras file: which model of it they lie in, what they are called, and their variables in Keras's order.
//!
//! Keras 3 puts a layer at `layers/<class>_<n>/vars/<i>`, counted by class, and its name into an attribute; a model within
//! the model is a layer with `layers` of its own. The older format has groups by the layers' names, in each the variables
//! by their own names, under `model_weights` where the whole model was saved; a model within the model is one group with
//! the layers of it.

use std::fmt::{Display, Formatter};

use crate::error::printable;
use crate::model::weights::keras::hdf5::Found;

/// Where a file has what an optimizer remembers.
pub(super) const OPTIMIZERS: [&str; 2] = ["optimizer", "optimizer_weights"];

/// Where the older format has a whole model.
const WHOLE: &str = "model_weights";

/// Where Keras 3, and Keras 2.12 and 2.13 in what became the format of Keras 3, have the layers of a model.
const CONTAINERS: [&str; 2] = ["layers", "_layer_checkpoint_dependencies"];

/// Variables by their names in the older format, in the order of Keras's layers.
const VARIABLES: [&str; 8] = [
    "depthwise_kernel",
    "pointwise_kernel",
    "kernel",
    "bias",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
];

/// Where a layer lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::model::weights) struct Place {
    /// The model within the file's model; empty for the file's own.
    pub(super) model: String,
    /// What the layer is called.
    pub(super) layer: String,
    /// Its class and its number among those of it, where the file says that, or else what its name says.
    pub(super) class: (String, usize),
    /// Its place among all layers of the model, where the file says that.
    pub(super) position: Option<usize>,
}

/// A layer of a Keras file.
#[derive(Debug, Clone)]
pub(in crate::model::weights) struct Layer {
    pub(super) place: Place,
    /// Its variables, as the file's tensors are called here.
    pub(super) variables: Vec<String>,
}

impl Layer {
    /// The layer at `place` with these variables, each with its rank.
    pub(super) fn new(place: Place, mut variables: Vec<(String, usize)>) -> Self {
        variables.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        Self { place, variables: variables.into_iter().map(|it| it.0).collect() }
    }
}

/// Which of a layer's variables this one is.
pub(super) fn rank(found: &Found, variable: &str) -> usize {
    let known = || VARIABLES.iter().position(|it| *it == variable);
    found.rank.or_else(|| variable.parse().ok()).or_else(known).unwrap_or(usize::MAX)
}

impl Place {
    /// Where the layer of a dataset lies, and the name of the variable; none of what is no layer's.
    pub(super) fn of(found: &Found) -> Option<(Self, String)> {
        let path: Vec<&str> = found.path.iter().map(String::as_str).collect();
        match path.as_slice() {
            [above @ .., class, "vars", variable] if variable.parse::<usize>().is_ok() => {
                let is_model = |it: &&str| !CONTAINERS.contains(it);
                let model: Vec<&str> = above.iter().copied().filter(is_model).collect();
                let layer = found.group_name.as_deref().unwrap_or(class);
                let place = Self::new(&model.join("/"), layer, counted(class), None);
                Some((place, (*variable).to_owned()))
            }
            // The model's own name may stand between a group and a variable.
            [WHOLE, rest @ ..] | rest => {
                let (variable, above) = rest.split_last()?;
                let (group, layer) = (*above.first()?, *above.last()?);
                let model = if group == layer { "" } else { group };
                let variable = variable.split(':').next().unwrap_or(variable);
                let position = found.position.filter(|_| model.is_empty());
                let place = Self::new(model, layer, counted(layer), position);
                Some((place, printable(variable).into_owned()))
            }
        }
    }

    fn new(
        model: &str,
        layer: &str,
        (class, number): (&str, usize),
        position: Option<usize>,
    ) -> Self {
        let [model, layer, class] = [model, layer, class].map(|it| printable(it).into_owned());
        Self { model, layer, class: (class, number), position }
    }
}

impl Display for Place {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        if !self.model.is_empty() {
            write!(formatter, "{}/", self.model)?;
        }
        formatter.write_str(&self.layer)
    }
}

/// What Keras counts, and the number: `conv2d_3` is the fourth `conv2d` of its session or model.
pub(super) fn counted(name: &str) -> (&str, usize) {
    let numbered = name.rsplit_once('_').and_then(|(name, it)| Some((name, it.parse().ok()?)));
    numbered.unwrap_or((name, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::dtype::Dtype;

    #[track_caller]
    fn check(path: &str, name: Option<&str>, expected: Option<(&str, &str)>) {
        let found = Found {
            path: path.split('/').map(str::to_owned).collect(),
            group_name: name.map(str::to_owned),
            rank: None,
            position: None,
            dtype: Ok(Dtype::F32),
            shape: vec![1],
        };
        let place = Place::of(&found).map(|(place, variable)| (place.to_string(), variable));
        let place = place.as_ref().map(|(place, variable)| (place.as_str(), variable.as_str()));
        assert_eq!(place, expected, "{path}");
    }

    #[test]
    fn layers_are_found_in_all_layouts() {
        let kernel = |layer| Some((layer, "kernel"));
        // Keras 2, weights alone and in a whole model; with another model in it.
        check("block1_conv1/block1_conv1/kernel:0", None, kernel("block1_conv1"));
        check("model_weights/block1_conv1/block1_conv1/kernel:0", None, kernel("block1_conv1"));
        check("model_weights/vgg16/block1_conv1/kernel:0", None, kernel("vgg16/block1_conv1"));
        // Keras 3 in the older format.
        check("model_weights/dense/sequential/dense/kernel", None, kernel("dense"));
        // Keras 1, in which the first official files were written.
        check("block1_conv1/block1_conv1_W_1:0", None, Some(("block1_conv1", "block1_conv1_W_1")));
        // Keras 3.
        check("layers/conv2d_3/vars/0", Some("c"), Some(("c", "0")));
        check("layers/conv2d_3/vars/0", None, Some(("conv2d_3", "0")));
        check("layers/functional/layers/conv2d/vars/1", Some("c"), Some(("functional/c", "1")));
        // Keras 2.13.
        let early = "_layer_checkpoint_dependencies";
        check(&format!("{early}/conv2d_2/vars/0"), None, Some(("conv2d_2", "0")));
        check(
            &format!("{early}/functional/{early}/conv2d/vars/0"),
            None,
            Some(("functional/conv2d", "0")),
        );
        // The layers of a model that is a class of its own.
        check("block1/layers/conv2d/vars/0", Some("c"), Some(("block1/c", "0")));
        check("kernel", None, None);
    }
}
