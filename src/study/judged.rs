//! A study together with what its comparisons say.

use std::sync::OnceLock;

use crate::study::Study;
use crate::study::comparison::Comparisons;

/// A study and its comparisons. These take resampling, so they are computed when they are first asked for, and once.
pub(crate) struct Judged<'s, 'a> {
    pub(crate) study: &'s Study<'a>,
    comparisons: OnceLock<Comparisons<'s, 'a>>,
}

impl<'s, 'a> Judged<'s, 'a> {
    pub(crate) fn new(study: &'s Study<'a>) -> Self {
        Self { study, comparisons: OnceLock::new() }
    }

    pub(crate) fn comparisons(&self) -> &Comparisons<'s, 'a> {
        self.comparisons.get_or_init(|| Comparisons::of(self.study))
    }
}
