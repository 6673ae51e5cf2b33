//! Which events are kept, and where.

use crate::event::Kind;
use crate::event::disk::Features;

impl Kind {
    /// Whether it is for progress only, and never stored.
    pub fn is_progress(&self) -> bool {
        matches!(self, Self::StepEnded(_) | Self::WorkAdvanced(_))
    }

    /// Whether it tells how a step's result came about, whichever run made it. Then it is kept with the result, and every
    /// run that takes the result tells it too.
    pub fn is_evidence(&self) -> bool {
        matches!(
            self,
            Self::StageStarted(_)
                | Self::StageContinued(_)
                | Self::FeaturesReady(_)
                | Self::NoiseMeasured(_)
                | Self::AugmentationMeasured(_)
                | Self::BatchDivided(_)
                | Self::EpochEnded(_)
                | Self::StageEnded(_)
                | Self::Evaluated(_)
        )
    }

    /// The same, as a run tells it that takes the result: nothing was computed for it.
    pub fn as_taken(self) -> Self {
        match self {
            Self::FeaturesReady(it) => {
                Self::FeaturesReady(Features { reused: true, seconds: 0.0, ..it })
            }
            other => other,
        }
    }
}
