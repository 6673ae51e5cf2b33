//! What training takes from the mains.

use serde::{Deserialize, Serialize};

/// What a process's share of processors and GPUs drew, in joules. A part that the machine does not tell is none, and not 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Of processors and memory: of what they drew in that time, the share that this process had of their busy time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<f64>,
    /// Of the GPU: what its board drew in that time, in equal parts of all processes that compute on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<f64>,
}

impl Energy {
    /// Of all that is known.
    pub fn joules(&self) -> f64 {
        self.processor.unwrap_or_default() + self.gpu.unwrap_or_default()
    }

    /// Both together. A part that one of them does not know is known of neither.
    fn and(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        Self { processor: sum(self.processor, other.processor), gpu: sum(self.gpu, other.gpu) }
    }

    /// Of all of `parts` together; none where one is not known at all, or there are none.
    pub fn of_all(parts: impl IntoIterator<Item = Option<Self>>) -> Option<Self> {
        let sum = parts.into_iter().reduce(|sum, it| Some(sum?.and(it?)))??;
        (sum.processor.is_some() || sum.gpu.is_some()).then_some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_what_all_parts_know() {
        let of = |processor, gpu| Some(Energy { processor, gpu });
        let both = of(Some(3.0), Some(10.0));
        assert_eq!(Energy::of_all([both, both]), of(Some(6.0), Some(20.0)));
        assert_eq!(Energy::of_all([both, of(Some(1.0), None)]), of(Some(4.0), None));
        assert_eq!(Energy::of_all([both, of(None, None)]), None);
        assert_eq!(Energy::of_all([both, None]), None);
        assert_eq!(Energy::of_all([]), None);
        assert_eq!(both.map(|it| it.joules()), Some(13.0));
    }
}
