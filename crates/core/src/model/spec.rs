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

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
