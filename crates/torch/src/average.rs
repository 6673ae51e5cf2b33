//! The exponential moving average of everything that trains.

use crate::numbers::Numbers;
use crate::parameters::Parameters;

/// A moving average of the flat leaf: `average = decay * average + (1 - decay) * weights` after each
/// step, beginning with the first weights.
///
/// Running statistics are no part of it: they are averages already.
#[derive(Debug)]
pub struct Average {
    decay: f64,
    flat: tch::Tensor,
}

impl Average {
    /// An average that so far is the weights of `parameters`.
    pub fn new(decay: f64, parameters: &Parameters) -> Self {
        Self { decay, flat: parameters.flat().detach().copy() }
    }

    /// Takes in the weights after a step.
    pub fn update(&mut self, parameters: &Parameters) {
        tch::no_grad(|| {
            let _ = self.flat.lerp_(&parameters.flat().detach(), 1.0 - self.decay);
        });
    }

    /// Exchanges the average and the weights; a second time puts both back.
    pub fn swap(&mut self, parameters: &mut Parameters) {
        // Both stay where they are: a recorded step goes on with them.
        parameters.step(|values| {
            let raw = values.detach().copy();
            values.copy_(&self.flat);
            self.flat.copy_(&raw);
        });
    }

    /// The L2 distance of the average from the weights, as a share of the weights' norm; waits for the device.
    pub fn distance(&self, parameters: &Parameters) -> f64 {
        let weights = parameters.flat().detach();
        let distance = (&self.flat - &weights).norm().double_value(&[]);
        distance / weights.norm().double_value(&[])
    }

    /// The average, which is not copied, so to be used before the next step.
    pub fn shared_snapshot(&self) -> Numbers {
        Numbers::shared(&self.flat)
    }

    /// Goes on from `snapshot`, taken from an average of the same size.
    pub fn restore(&mut self, snapshot: &Numbers) {
        self.flat.copy_(snapshot.tensor());
    }
}

#[cfg(test)]
mod tests {
    use ferrite_core::device::Device;
    use ferrite_core::model::spec::{Init, Slot, Spec};

    use super::*;

    #[test]
    fn it_follows_the_weights_and_changes_places_with_them() {
        let (name, shape, init) = ("w".to_owned(), vec![2], Init::Constant(1.0));
        let mut parameters =
            Parameters::new(vec![Spec { name, shape, init, learns: true }], 0, Device::Cpu);
        parameters.train(vec![Slot::nth(0)]);
        let mut average = Average::new(0.75, &parameters);
        for value in [3.0, 5.0] {
            parameters.step(|it| {
                let _ = it.fill_(value);
            });
            average.update(&parameters);
        }
        // 0.75 (0.75 * 1 + 0.25 * 3) + 0.25 * 5
        assert!((average.distance(&parameters) - 2.625 / 5.0).abs() < 1e-6);
        assert_eq!(average.shared_snapshot().to_vec(), [2.375; 2]);
        average.swap(&mut parameters);
        assert_eq!(parameters.values(Slot::nth(0)), [2.375; 2]);
        average.swap(&mut parameters);
        assert_eq!(parameters.values(Slot::nth(0)), [5.0; 2]);
        assert_eq!(average.shared_snapshot().to_vec(), [2.375; 2]);
    }
}
