//! What techniques did in an epoch, beside what the steps themselves count.
//!
//! **Invariant:** it only looks: no weight, no running statistic and no random number of training depends on it.

use ferrite_core::event::acts::{Norm, Orthogonalized, TechniqueEvidence};
use ferrite_core::model::spec::hidden_matrices;
use ferrite_core::settings::optimizer::Optimizer;
use ferrite_random::{Random, Use};
use ferrite_torch::loss::Objective;

use crate::forward::network::Network;
use crate::train::fit::Job;

/// Training images on which dropout is measured.
const MEASURED: usize = 64;

/// Labels whose smoothing is measured, at most.
const MOST_LABELS: usize = 65_536;

/// What the network was like before an epoch.
pub(in crate::train) struct Before {
    norm: Option<f64>,
    means: Option<Vec<f32>>,
}

impl Before {
    /// Looks at `network`, as far as the techniques of `job` change it.
    pub(in crate::train) fn of(network: &Network, job: &Job<'_>) -> Self {
        let decays = job.stage.optimizer.weight_decay() > 0.0;
        let norm = decays.then(|| network.parameters.norm());
        Self { norm, means: network.moving_means() }
    }

    /// What has become of it.
    pub(in crate::train) fn changes(self, network: &Network) -> TechniqueEvidence {
        let after = || network.parameters.norm();
        TechniqueEvidence {
            norm: self.norm.map(|before| Norm { before, after: after() }),
            moved: self.means.zip(network.moving_means()).map(|(a, b)| moved(&a, &b)),
            normalized: network.normalized(),
            ..TechniqueEvidence::default()
        }
    }
}

/// How far `after` is from `before`, as a share of the norm of `after`.
fn moved(before: &[f32], after: &[f32]) -> f64 {
    let norm =
        |it: &mut dyn Iterator<Item = f32>| it.map(|it| f64::from(it).powi(2)).sum::<f64>().sqrt();
    let distance = norm(&mut before.iter().zip(after).map(|(a, b)| b - a));
    distance / norm(&mut after.iter().copied())
}

impl Job<'_> {
    /// Share of the values that dropout sets to 0.
    pub(in crate::train) fn dropped(&self, network: &Network) -> Option<f64> {
        ferrite_torch::seed_layers(Random::at(self.seed, Use::Evidence, 0, 0).bits());
        ferrite_torch::without_gradients(|| {
            network.dropped(self.train.pooled(network, self.images, MEASURED))
        })
    }

    /// The least loss that the smoothed labels of the images at `order` allow; none where none is smoothed.
    pub(in crate::train) fn least_loss(&self, objective: &Objective, order: &[u32]) -> Option<f64> {
        let some = &order[..order.len().min(MOST_LABELS)];
        let labels = || self.images.labels(&self.train.at(some));
        let smooth = self.stage.loss.label_smoothing > 0.0;
        smooth.then(|| objective.least(&labels(), self.images.classes()))
    }

    /// What Muon trains of `network`; none with another optimizer.
    pub(in crate::train) fn orthogonalized(&self, network: &Network) -> Option<Orthogonalized> {
        let Optimizer::Muon(_) = self.stage.optimizer else { return None };
        let specs = || network.parameters.specs();
        let matrices = specs().zip(hidden_matrices(specs().map(|it| it.1)));
        let trained = matrices.filter(|((slot, _), _)| network.parameters.trains(*slot));
        let (muons, others): (Vec<_>, Vec<_>) = trained.partition(|(_, matrix)| matrix.is_some());
        let [values, others] =
            [&muons, &others].map(|all| all.iter().map(|((_, spec), _)| spec.len()).sum());
        Some(Orthogonalized { matrices: muons.len(), values, others })
    }

    /// Each class's share of the loss of the images at `order`; none where all images count the same.
    pub(in crate::train) fn weighed(&self, order: &[u32]) -> Option<Vec<f64>> {
        let weights = self.stage.loss.class_weights.of(&self.images.counts(self.train.rows))?;
        let counts = self.images.counts(&self.train.at(order));
        let counted = counts.iter().zip(&weights).map(|(count, weight)| *count as f64 * weight);
        let counted: Vec<f64> = counted.collect();
        let all: f64 = counted.iter().sum();
        Some(counted.iter().map(|it| it / all.max(f64::MIN_POSITIVE)).collect())
    }
}
