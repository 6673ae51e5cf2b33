//! The convolutions of a network, listed without making it: what a training step asks of each, so that a plan can say how
//! each is computed.

use crate::kernels::Convolution;
use crate::model::Model;
use crate::model::backbone::Description;
use crate::model::head::Head;
use crate::model::layer::{Builder, ConvShape, Layer};
use crate::model::spec::{Slot, Spec};
use crate::model::trainable::{Trained, layer_of};
use crate::precision::{Precision, Precisions};

/// A convolution of a network and what a training step asks of it. Its output is always computed.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvolutionUse {
    /// The layer's name in weight files.
    pub layer: String,
    /// The convolution, for images as the layer sees them.
    pub convolution: Convolution,
    /// Whether the layer lies in the frozen prefix.
    pub is_in_prefix: bool,
    /// Whether a step computes its input's gradient: something before it trains.
    pub needs_input_gradient: bool,
    /// Whether a step computes its weight's gradient: the weight trains.
    pub needs_weight_gradient: bool,
}

/// The convolutions of `model` in forward order, for images of `image_size` pixels a side, where `trained` trains and each
/// part computes in its precision. Hidden layers of the head are convolutions where they compute in bfloat16.
pub fn convolutions(
    model: &Model,
    image_size: usize,
    trained: &Trained,
    precisions: Precisions,
) -> Vec<ConvolutionUse> {
    let Description { network: backbone, tensors } = model.description();
    let mut builder = Builder { specs: tensors.specs.clone(), ..Builder::default() };
    let side = backbone.side(image_size);
    // How many classes there are changes nothing: the classifier has 32 bits.
    let sizes = [backbone.channels, side * side, 1];
    let head = Head::build(&mut builder, &model.head, backbone.classifier, sizes);
    let mut walk = Walk {
        specs: &builder.specs,
        trained,
        precision: precisions.frozen,
        is_in_prefix: true,
        side: image_size,
        records: model.input_norm,
        found: Vec::new(),
    };
    let (prefix, rest) = backbone.blocks.split_at(trained.frozen_blocks);
    for block in prefix {
        walk.through(&block.layers);
    }
    walk.precision = precisions.trained;
    walk.is_in_prefix = false;
    for block in rest {
        walk.through(&block.layers);
    }
    if precisions.head == Precision::Bf16 {
        walk.precision = precisions.head;
        head.hidden_weights().for_each(|it| walk.through_hidden_layer(it));
    }
    walk.found
}

/// A pass over layers that computes nothing.
struct Walk<'a> {
    specs: &'a [Spec],
    trained: &'a Trained,
    precision: Precision,
    is_in_prefix: bool,
    /// Pixels a side of what the next layer sees.
    side: usize,
    /// Whether something before the next layer trains.
    records: bool,
    found: Vec<ConvolutionUse>,
}

impl Walk<'_> {
    fn through(&mut self, layers: &[Layer]) {
        for layer in layers {
            match layer {
                Layer::Conv(slots, shape) => {
                    let own = [Some(slots.weight), slots.bias];
                    self.see(slots.weight, *shape, self.trains(slots.weight));
                    self.records |= own.into_iter().flatten().any(|it| self.trains(it));
                    self.side = layer.side(self.side);
                }
                Layer::Norm(norm) => {
                    let own = [norm.slots.weight, norm.slots.bias];
                    self.records |= own.into_iter().any(|it| self.trains(it));
                }
                Layer::LayerNorm(norm) => {
                    self.records |= self.trains(norm.weight) || self.trains(norm.bias);
                }
                Layer::Scale(factors) => self.records |= self.trains(*factors),
                Layer::Relu
                | Layer::Relu6
                | Layer::Silu
                | Layer::Gelu
                | Layer::StochasticDepth(_) => {}
                Layer::Excite(layers) => {
                    let side = std::mem::replace(&mut self.side, 1);
                    self.through(layers);
                    self.side = side;
                }
                Layer::MaxPool(_) | Layer::Same(_) => self.side = layer.side(self.side),
                Layer::Residual { body, shortcut } => {
                    let before = (self.side, self.records);
                    self.through(body);
                    let behind = (self.side, self.records);
                    (self.side, self.records) = before;
                    self.through(shortcut);
                    self.side = behind.0;
                    self.records |= behind.1;
                }
            }
        }
    }

    /// Sees a linear layer, which is a convolution of an image of one position.
    fn through_hidden_layer(&mut self, weight: Slot) {
        self.side = 1;
        self.see(weight, ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 }, true);
        self.records = true;
    }

    fn see(&mut self, weight: Slot, shape: ConvShape, trains: bool) {
        let ConvShape { kernel, stride, padding, groups } = shape;
        let Spec { name, shape: channels, .. } = weight.of(self.specs);
        let convolution = Convolution {
            input: channels[1] * groups,
            output: channels[0],
            height: self.side,
            width: self.side,
            kernel,
            stride,
            padding,
            groups,
            precision: self.precision,
        };
        self.found.push(ConvolutionUse {
            layer: layer_of(name).to_owned(),
            convolution,
            is_in_prefix: self.is_in_prefix,
            needs_input_gradient: self.records,
            needs_weight_gradient: trains,
        });
    }

    fn trains(&self, slot: Slot) -> bool {
        self.trained.slots.binary_search(&slot).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Head as HeadSettings;
    use crate::model::backbone::Backbone;
    use crate::model::trainable::resolve;

    fn listed(model: &Model, trainable: &str, precisions: Precisions) -> Vec<ConvolutionUse> {
        let trained = resolve(model, &trainable.into()).unwrap();
        convolutions(model, 48, &trained, precisions)
    }

    #[test]
    fn gradients_are_needed_behind_what_trains() {
        let model = Model { backbone: Backbone::ResNet50, ..Model::default() };
        let frozen = Precisions { frozen: Precision::Bf16, ..Precisions::all(Precision::F32) };
        let all = listed(&model, "layer4", frozen);
        assert_eq!(all.len(), 53);
        let (prefix, rest): (Vec<_>, Vec<_>) = all.iter().partition(|it| it.is_in_prefix);
        assert_eq!((prefix.len(), rest.len()), (43, 10));
        assert!(prefix.iter().all(|it| it.convolution.precision == Precision::Bf16));
        assert!(prefix.iter().all(|it| !it.needs_input_gradient && !it.needs_weight_gradient));
        assert!(rest.iter().all(|it| it.needs_weight_gradient));
        // The first one of the body and that of the shortcut see the prefix.
        let first = rest.iter().filter(|it| !it.needs_input_gradient);
        let first: Vec<&str> = first.map(|it| it.layer.as_str()).collect();
        assert_eq!(first, ["layer4.0.conv1", "layer4.0.downsample.0"]);
        // What is behind both needs gradients again.
        assert!(all.last().unwrap().needs_input_gradient);
    }

    #[test]
    fn sides_and_channels_are_those_that_layers_see() {
        let model = Model { backbone: Backbone::ResNet50, ..Model::default() };
        let all = listed(&model, "all", Precisions::all(Precision::F32));
        let of = |name: &str| all.iter().find(|it| it.layer == name).unwrap().convolution;
        let sizes = |it: Convolution| [it.input, it.output, it.height, it.kernel, it.stride];
        assert_eq!(sizes(of("conv1")), [3, 64, 48, 7, 2]);
        assert_eq!(sizes(of("layer1.0.downsample.0")), [64, 256, 12, 1, 1]);
        assert_eq!(sizes(of("layer4.0.conv2")), [512, 512, 3, 3, 2]);
        assert_eq!(sizes(of("layer4.2.conv3")), [512, 2048, 2, 1, 1]);
    }

    #[test]
    fn a_norm_in_front_of_the_backbone_needs_all_gradients() {
        let model = Model { backbone: Backbone::Vgg16, input_norm: true, ..Model::default() };
        let all = listed(&model, "head", Precisions::all(Precision::F32));
        assert!(all.iter().all(|it| it.needs_input_gradient && !it.needs_weight_gradient));
    }

    #[test]
    fn hidden_layers_are_convolutions_where_they_compute_in_bfloat16() {
        let head = HeadSettings { layers: vec![1024, 512], ..HeadSettings::default() };
        let model = Model { backbone: Backbone::Vgg16, head, ..Model::default() };
        let all = listed(&model, "head", Precisions::all(Precision::Bf16));
        let hidden = &all[13..];
        let sizes = hidden.iter().map(|it| [it.convolution.input, it.convolution.output]);
        assert_eq!(sizes.collect::<Vec<_>>(), [[512, 1024], [1024, 512]]);
        let needs = |it: &ConvolutionUse| [it.needs_input_gradient, it.needs_weight_gradient];
        assert_eq!([needs(&hidden[0]), needs(&hidden[1])], [[false, true], [true, true]]);
        assert_eq!(listed(&model, "head", Precisions::all(Precision::F32)).len(), 13);
    }
}
