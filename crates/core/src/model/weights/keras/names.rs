//! A backbone's layers among those of a Keras file, by name and shape, and how their numbers are turned.
//!
//! Most of Keras's layers have names of their own. The others are called after their class and counted by the session that
//! made them (Xception's shortcuts), and a file of Keras 3's first versions says no names at all: these are found as a row
//! of layers of their class whose shapes are the backbone's. Where the names are others altogether, as in files of Keras 1,
//! the layers go by their order, which is how Keras itself loads them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::backbone::Backbone;
use crate::model::implementation::Implementation;
use crate::model::spec::Spec;
use crate::model::weights::file::Tensors;
use crate::model::weights::keras::Layer;

/// Names that Keras makes by counting.
const AUTOMATIC: [&str; 2] = ["conv2d", "batch_normalization"];

/// How a tensor of a network lies in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::model::weights) struct Turned {
    /// What it is called here.
    pub(in crate::model::weights) name: String,
    /// What the file's tensor is called.
    pub(in crate::model::weights) there: String,
    /// The file's dimension for each of its own.
    pub(in crate::model::weights) axes: Vec<usize>,
}

/// What a file has of a backbone.
#[derive(Debug, Default)]
pub(in crate::model::weights) struct Match {
    /// The model that most of it lies in; empty for the file's own.
    pub(in crate::model::weights) model: String,
    pub(in crate::model::weights) tensors: Vec<Turned>,
    /// Whether all is there, in its shape.
    pub(in crate::model::weights) is_complete: bool,
}

/// The layers of `backbone` among `layers`, whose variables are in `tensors`.
pub(in crate::model::weights) fn find(
    backbone: Backbone,
    layers: &[Layer],
    tensors: &Tensors,
) -> Match {
    let description = backbone.description(Implementation::Keras);
    let specs = &description.tensors.specs;
    let wanted: Vec<Wanted<'_>> = description
        .network
        .keras
        .iter()
        .filter(|it| !it.slots.is_empty())
        .map(|it| Wanted::new(&it.name, it.slots.iter().map(|slot| slot.of(specs)).collect()))
        .collect();
    let search = Search { wanted: &wanted, layers, tensors };
    let models: BTreeSet<&str> = layers.iter().map(|it| it.place.model.as_str()).collect();
    let all = models.into_iter().map(|it| (it, search.within(it)));
    let best =
        all.max_by_key(|(model, found)| (search.score(found), std::cmp::Reverse(model.len())));
    best.map(|(model, found)| search.told(model, &found)).unwrap_or_default()
}

/// A layer of the backbone, as Keras has it.
struct Wanted<'a> {
    name: &'a str,
    class: &'static str,
    specs: Vec<&'a Spec>,
}

impl<'a> Wanted<'a> {
    fn new(name: &'a str, specs: Vec<&'a Spec>) -> Self {
        let kernels: Vec<&[usize]> =
            specs.iter().map(|it| it.shape.as_slice()).filter(|it| it.len() == 4).collect();
        let class = match kernels.as_slice() {
            [] => "batch_normalization",
            [[channels, 1, _, _]] if *channels > 1 => "depthwise_conv2d",
            [_] => "conv2d",
            _ => "separable_conv2d",
        };
        Self { name, class, specs }
    }

    /// Whether its name follows from what else the session made.
    fn is_automatic(&self) -> bool {
        AUTOMATIC.contains(&super::layers::counted(self.name).0)
    }
}

/// The file's layer for each that is wanted.
type Found<'a> = BTreeMap<usize, &'a Layer>;

struct Search<'a> {
    wanted: &'a [Wanted<'a>],
    layers: &'a [Layer],
    tensors: &'a Tensors,
}

impl<'a> Search<'a> {
    /// What there is in `model`, and by their names in others.
    fn within(&self, model: &str) -> Found<'a> {
        let mut found = Found::new();
        for (index, wanted) in self.wanted.iter().enumerate().filter(|it| !it.1.is_automatic()) {
            let named = || self.layers.iter().filter(|it| it.place.layer == wanted.name);
            let here = named().find(|it| it.place.model == model);
            let fits = || named().filter(|it| self.fits(wanted, it));
            // One model may keep its layers in several of its own.
            let only = || fits().next().filter(|_| fits().count() == 1);
            if let Some(layer) = here.or_else(only) {
                found.insert(index, layer);
            }
        }
        let classes: BTreeSet<&str> = self.wanted.iter().map(|it| it.class).collect();
        for class in classes {
            self.in_a_row(model, class, &mut found);
        }
        if self.score(&found) < self.wanted.len() {
            found = self.in_order(model).unwrap_or(found);
        }
        found
    }

    /// All layers by their order, if the model has a row of layers with the backbone's shapes.
    fn in_order(&self, model: &str) -> Option<Found<'a>> {
        let mut all: Vec<&Layer> =
            self.layers.iter().filter(|it| it.place.model == model).collect();
        all.retain(|it| it.place.position.is_some());
        all.sort_by_key(|it| it.place.position);
        let fits = |row: &&[&'a Layer]| {
            self.wanted.iter().zip(*row).all(|(wanted, layer)| self.fits(wanted, layer))
        };
        let row = all.windows(self.wanted.len().max(1)).find(fits)?;
        Some(row.iter().copied().enumerate().collect())
    }

    /// Finds what is left of a class as a row of the model's layers of it.
    fn in_a_row(&self, model: &str, class: &str, found: &mut Found<'a>) {
        let left = (0..self.wanted.len()).filter(|it| !found.contains_key(it));
        let left: Vec<usize> = left.filter(|it| self.wanted[*it].class == class).collect();
        let taken: BTreeSet<&str> = found.values().map(|it| it.place.layer.as_str()).collect();
        let is_free = |it: &&Layer| {
            it.place.model == model
                && it.place.class.0 == class
                && !taken.contains(it.place.layer.as_str())
        };
        let mut free: Vec<&Layer> = self.layers.iter().filter(is_free).collect();
        free.sort_by_key(|it| it.place.class.1);
        let fits = |row: &&[&'a Layer]| {
            left.iter().zip(*row).all(|(index, layer)| self.fits(&self.wanted[*index], layer))
        };
        if left.is_empty() {
            return;
        }
        if let Some(row) = free.windows(left.len()).find(fits) {
            found.extend(left.iter().copied().zip(row.iter().copied()));
        }
    }

    fn fits(&self, wanted: &Wanted<'_>, layer: &Layer) -> bool {
        let pairs = || wanted.specs.iter().zip(&layer.variables);
        wanted.specs.len() == layer.variables.len()
            && pairs().all(|(spec, it)| axes(self.shape(it), &spec.shape).is_some())
    }

    fn shape(&self, name: &str) -> &[usize] {
        self.tensors.get(name).and_then(|it| it.as_ref().ok()).map_or(&[], |it| &it.shape)
    }

    /// How many layers fit.
    fn score(&self, found: &Found<'_>) -> usize {
        found.iter().filter(|(index, layer)| self.fits(&self.wanted[**index], layer)).count()
    }

    fn told(&self, model: &str, found: &Found<'_>) -> Match {
        let mut tensors = Vec::new();
        for (index, layer) in found {
            for (spec, there) in self.wanted[*index].specs.iter().zip(&layer.variables) {
                let shape = self.shape(there);
                let axes = axes(shape, &spec.shape).unwrap_or_else(|| (0..shape.len()).collect());
                let (name, there) = (spec.name.clone(), there.clone());
                tensors.push(Turned { name, there, axes });
            }
        }
        let is_complete = self.score(found) == self.wanted.len();
        Match { model: model.to_owned(), tensors, is_complete }
    }
}

/// The dimensions of Keras's tensor, in the order in which they have the shape that is wanted; none if they have another.
/// Keras's kernels are height, width, in, out, those of depthwise convolutions height, width, in, 1.
fn axes(there: &[usize], wanted: &[usize]) -> Option<Vec<usize>> {
    let orders: &[&[usize]] = match there.len() {
        1 => &[&[0]],
        4 => &[&[3, 2, 0, 1], &[2, 3, 0, 1]],
        _ => &[],
    };
    let gives = |order: &&&[usize]| order.iter().map(|it| there[*it]).eq(wanted.iter().copied());
    orders.iter().find(gives).map(|it| it.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::weights::dtype::Dtype;
    use crate::model::weights::keras::layers::{Place, counted};
    use crate::model::weights::stored::{Home, Stored};

    /// A file with the layers of `backbone` as Keras has them, each called as `rename` says: the model that it lies in, its
    /// name, and its class with the number.
    fn file(
        backbone: Backbone,
        rename: impl Fn(usize, &str, &str) -> (String, String, (String, usize)),
    ) -> (Vec<Layer>, Tensors) {
        let description = backbone.description(Implementation::Keras);
        let (mut layers, mut tensors) = (Vec::new(), Tensors::new());
        let kept = description.network.keras.iter().filter(|it| !it.slots.is_empty());
        for (index, it) in kept.enumerate() {
            let specs: Vec<&Spec> =
                it.slots.iter().map(|slot| slot.of(&description.tensors.specs)).collect();
            let wanted = Wanted::new(&it.name, specs);
            let (model, layer, class) = rename(index, &it.name, wanted.class);
            let place = Place { model, layer, class, position: Some(index) };
            let mut variables = Vec::new();
            for (nth, spec) in wanted.specs.iter().enumerate() {
                let shape = match spec.shape[..] {
                    [channels, 1, height, width] if wanted.class != "conv2d" && channels > 1 => {
                        vec![height, width, channels, 1]
                    }
                    [output, input, height, width] => vec![height, width, input, output],
                    _ => spec.shape.clone(),
                };
                let name = format!("{place}/{nth}");
                let strides = vec![1; shape.len()];
                let home = Home::Dataset(name.clone());
                let stored = Stored { dtype: Dtype::F32, shape, strides, offset: 0, home };
                tensors.insert(name.clone(), Ok(stored));
                variables.push((name, nth));
            }
            layers.push(Layer::new(place, variables));
        }
        (layers, tensors)
    }

    fn own(name: &str) -> (String, usize) {
        let (class, number) = counted(name);
        (class.to_owned(), number)
    }

    const KNOWN: [Backbone; 5] = [
        Backbone::Vgg16,
        Backbone::Vgg19,
        Backbone::ResNet50,
        Backbone::MobileNetV2,
        Backbone::Xception,
    ];

    #[track_caller]
    fn check(backbone: Backbone, (layers, tensors): &(Vec<Layer>, Tensors), model: &str) {
        let found = find(backbone, layers, tensors);
        assert!(found.is_complete, "{backbone:?}: {} tensors", found.tensors.len());
        assert_eq!(found.model, model);
        let description = backbone.description(Implementation::Keras);
        assert_eq!(found.tensors.len(), description.tensors.specs.len());
        // All others are of other shapes, but VGG19 has all of VGG16's names.
        let is_other = |it: &Backbone| *it != backbone && *it != Backbone::Vgg16;
        for other in KNOWN.into_iter().filter(is_other) {
            assert!(!find(other, layers, tensors).is_complete, "{other:?} in {backbone:?}");
        }
    }

    #[test]
    fn layers_are_found_by_their_names() {
        for backbone in KNOWN {
            let whole = file(backbone, |_, name, _| (String::new(), name.into(), own(name)));
            check(backbone, &whole, "");
            let within = file(backbone, |_, name, _| ("base".into(), name.into(), own(name)));
            check(backbone, &within, "base");
        }
    }

    #[test]
    fn names_that_a_session_counted_may_begin_anywhere() {
        let shifted = file(Backbone::Xception, |_, name, _| {
            let (class, number) = own(name);
            let automatic = AUTOMATIC.contains(&class.as_str());
            let name = if automatic { format!("{class}_{}", number + 1) } else { name.into() };
            (String::new(), name.clone(), own(&name))
        });
        check(Backbone::Xception, &shifted, "");
    }

    /// As Keras 3 counts layers by their class, with a convolution in front and other names.
    #[test]
    fn layers_without_names_go_by_their_class_and_shapes() {
        for backbone in KNOWN {
            let counts = std::cell::RefCell::new(BTreeMap::<String, usize>::new());
            let mut counted = file(backbone, |index, _, class| {
                let mut counts = counts.borrow_mut();
                let number = counts.entry(class.into()).or_insert(1);
                *number += 1;
                (String::new(), format!("mine_{index}"), (class.into(), *number - 1))
            });
            for layer in &mut counted.0 {
                layer.place.position = None;
            }
            let (model, layer, class) = (String::new(), "own".into(), ("conv2d".into(), 0));
            let place = Place { model, layer, class, position: None };
            counted.0.push(Layer::new(place, vec![("none".into(), 0)]));
            check(backbone, &counted, "");
        }
    }

    #[test]
    fn layers_with_other_names_go_by_their_order() {
        for backbone in KNOWN {
            let others = file(backbone, |index, _, _| {
                let name = format!("layer{index}");
                (String::new(), name.clone(), own(&name))
            });
            check(backbone, &others, "");
        }
    }

    #[test]
    fn kernels_are_turned() {
        assert_eq!(axes(&[3, 3, 16, 32], &[32, 16, 3, 3]), Some(vec![3, 2, 0, 1]));
        assert_eq!(axes(&[3, 3, 16, 1], &[16, 1, 3, 3]), Some(vec![2, 3, 0, 1]));
        assert_eq!(axes(&[16], &[16]), Some(vec![0]));
        assert_eq!(axes(&[3, 3, 16, 32], &[16, 32, 3, 3]), Some(vec![2, 3, 0, 1]));
        assert_eq!(axes(&[1, 1, 16, 32], &[32, 16]), None);
    }
}
