//! Gradient clipping, and how often it acted.

use ferrite_core::device::Device;
use tch::Kind;

use crate::OnDevice;
use crate::parameters::Gradient;

/// What a gradient may not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The L2 norm of all of it: PyTorch's `clip_grad_norm_`.
    Norm(f64),
    /// The size of each value: PyTorch's `clip_grad_value_`.
    Value(f64),
}

/// Clips gradients; counts on the device, so that no step waits for it.
#[derive(Debug)]
pub struct Clipper {
    limit: Limit,
    /// Gradients that were changed, sum of the norms before.
    sums: tch::Tensor,
}

impl Clipper {
    /// Nothing counted yet.
    pub fn new(limit: Limit, device: Device) -> Self {
        Self { limit, sums: tch::Tensor::zeros([2], (Kind::Double, device.torch())) }
    }

    /// Counts from nothing again.
    pub fn reset(&mut self) {
        let _ = self.sums.zero_();
    }

    /// Brings `gradient` within the limit.
    pub fn clip(&mut self, gradient: &mut Gradient) {
        let norms: Vec<_> = gradient.parts.iter().map(tch::Tensor::norm).collect();
        let norm = tch::Tensor::stack(&norms, 0).norm();
        let over = match self.limit {
            Limit::Norm(most) => {
                let share = ((&norm + 1e-6).reciprocal() * most).clamp_max(1.0);
                for part in &mut gradient.parts {
                    let _ = part.g_mul_(&share);
                }
                norm.gt(most)
            }
            Limit::Value(most) => {
                let largest: Vec<_> = gradient.parts.iter().map(|it| it.abs().max()).collect();
                for part in &mut gradient.parts {
                    let _ = part.clamp_(-most, most);
                }
                tch::Tensor::stack(&largest, 0).max().gt(most)
            }
        };
        let counted = [over, norm].map(|it| it.to_kind(Kind::Double).reshape([1]));
        let _ = self.sums.g_add_(&tch::Tensor::cat(&counted, 0));
    }

    /// Share of so many gradients that were changed, and the mean norm before; waits for the device.
    pub fn means(&self, gradients: usize) -> [f64; 2] {
        let sums = self.sums.to_device(tch::Device::Cpu);
        [0, 1].map(|it| sums.double_value(&[it]) / gradients.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(values: &[f32]) -> Gradient {
        let (first, rest) = values.split_at(1);
        Gradient { parts: [first, rest].map(tch::Tensor::from_slice).into() }
    }

    fn values(gradient: &Gradient) -> Vec<f32> {
        gradient.parts.iter().flat_map(crate::tensor::read_floats).collect()
    }

    #[test]
    fn a_norm_is_bounded_and_small_gradients_stay() {
        let mut clipper = Clipper::new(Limit::Norm(1.0), Device::Cpu);
        let (mut long, mut short) = (gradient(&[3.0, 4.0]), gradient(&[0.3, 0.4]));
        clipper.clip(&mut long);
        clipper.clip(&mut short);
        let norm = |it: &Gradient| values(it).iter().map(|it| it * it).sum::<f32>().sqrt();
        assert!((norm(&long) - 1.0).abs() < 1e-5 && (norm(&short) - 0.5).abs() < 1e-6);
        let [share, mean] = clipper.means(2);
        assert!(share == 0.5 && (mean - 2.75).abs() < 1e-6, "{share} {mean}");
    }

    #[test]
    fn every_value_is_bounded() {
        let mut clipper = Clipper::new(Limit::Value(0.25), Device::Cpu);
        let mut gradient = gradient(&[3.0, -4.0, 0.1]);
        clipper.clip(&mut gradient);
        assert_eq!(values(&gradient), [0.25, -0.25, 0.1]);
        assert_eq!(clipper.means(1)[0], 1.0);
        clipper.reset();
        assert_eq!(clipper.means(1), [0.0, 0.0]);
    }
}
