//! The tensors that a network asks for: their names, shapes and first values, but no numbers.

/// The place of one tensor in a network's parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(usize);

impl Slot {
    /// The slot of the `index`-th spec that a network asks for.
    pub fn nth(index: usize) -> Self {
        Self(index)
    }

    /// How many others stand before it.
    pub fn index(self) -> usize {
        self.0
    }

    /// What it is, of the `specs` that a network asks for.
    pub fn of(self, specs: &[Spec]) -> &Spec {
        &specs[self.0]
    }
}

/// How a tensor begins where no weights are loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Every value the same.
    Constant(f32),
    /// Normal with mean 0 and standard deviation `sqrt(2 / fan)` (He et al. 2015).
    KaimingNormal {
        /// Inputs or outputs that share in a value.
        fan: usize,
    },
    /// Normal with mean 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform within `±1 / sqrt(fan_in)`, PyTorch's default for linear layers.
    Uniform {
        /// Inputs of the layer.
        fan_in: usize,
    },
}

/// One tensor of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Its name in weight files, e.g. `features.0.0.weight`.
    pub name: String,
    /// Its shape as PyTorch writes it.
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
    /// Whether gradients can change it; running statistics are none.
    pub learns: bool,
}

impl Spec {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Rows and columns, if it is a matrix: the weights of a linear layer, or the kernels of a convolution with a row for
    /// each filter. The filters of a depthwise convolution see one channel each, and are none.
    pub fn matrix(&self) -> Option<[usize; 2]> {
        match self.shape[..] {
            [rows, columns] => Some([rows, columns]),
            [filters, channels, height, width] if channels > 1 => {
                Some([filters, channels * height * width])
            }
            _ => None,
        }
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows and columns of each of a network's `specs` that is a hidden matrix: one between the first layer, which reads the
/// pixels, and the last, which gives the classes.
pub fn hidden_matrices<'a>(specs: impl IntoIterator<Item = &'a Spec>) -> Vec<Option<[usize; 2]>> {
    let specs: Vec<&Spec> = specs.into_iter().collect();
    let is_layer = |it: &&Spec| it.shape.len() > 1;
    let (first, last) = (specs.iter().position(is_layer), specs.iter().rposition(is_layer));
    let hidden = |place| Some(place) != first && Some(place) != last;
    specs.iter().enumerate().map(|(place, it)| it.matrix().filter(|_| hidden(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::backbone::Backbone;
    use crate::model::implementation::Implementation;
    use crate::model::layer::Builder;

    #[test]
    fn matrices_are_hidden_between_the_first_layer_and_the_last() {
        let spec = |shape: &[usize]| {
            let (name, shape, init) = (String::new(), shape.to_vec(), Init::Constant(0.0));
            Spec { name, shape, init, learns: true }
        };
        let shapes: [&[usize]; 8] = [
            &[3],
            &[8, 3, 3, 3],
            &[8],
            &[16, 8, 3, 2],
            &[16, 1, 3, 3],
            &[16, 1, 1],
            &[4, 16],
            &[7, 4],
        ];
        let found = hidden_matrices(&shapes.map(spec));
        let expected = [None, None, None, Some([16, 48]), None, None, Some([4, 16]), None];
        assert_eq!(found, expected);
        assert_eq!(hidden_matrices(&[spec(&[7, 4])]), [None]);
        assert_eq!(hidden_matrices(&[]), []);
    }

    #[test]
    fn the_first_convolution_of_every_backbone_is_the_one_that_reads_colours() {
        for backbone in Backbone::ALL {
            let mut builder = Builder::default();
            backbone.build(Implementation::default(), &mut builder);
            let first = builder.specs.iter().find(|it| it.shape.len() > 1).unwrap();
            assert_eq!(first.shape[1], 3, "{} {first:?}", backbone.name());
        }
    }
}
