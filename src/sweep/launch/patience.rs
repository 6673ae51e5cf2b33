//! How long a worker may give no sign of life: nothing here knows a process or a clock.
//!
//! Nobody knows beforehand how long a step takes on a machine. So the bound is a multiple of the longest silence after which
//! the worker was heard again, and never less than what the user grants.

use std::time::Duration;

/// How long a worker may be silent; none: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience(pub Option<Duration>);

/// What is to be done about a silent worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Wait,
    /// The user is told, once in each silence.
    Tell,
    /// It is ended, since nothing came of waiting as long again.
    End,
}

/// The silence of one worker.
#[derive(Debug, Default)]
pub struct Silence {
    /// How long it has lasted.
    lasts: Duration,
    /// The longest that a sign of life ended.
    longest: Duration,
    told: bool,
}

impl Silence {
    /// The worker was heard.
    pub fn broken(&mut self) {
        self.longest = self.longest.max(self.lasts);
        (self.lasts, self.told) = (Duration::ZERO, false);
    }

    /// How long it has lasted.
    pub fn lasts(&self) -> Duration {
        self.lasts
    }

    /// So much time passed in which the worker could have given a sign of life, and gave none.
    pub fn goes_on(&mut self, time: Duration, patience: Patience) -> Verdict {
        /// A step that takes ten times as long as the longest before it is not on its way any more.
        const TIMES: u32 = 10;
        let Some(least) = patience.0 else { return Verdict::Wait };
        self.lasts += time;
        let bound = least.max(self.longest.saturating_mul(TIMES));
        if self.lasts >= bound.saturating_mul(2) {
            Verdict::End
        } else if self.lasts >= bound && !self.told {
            self.told = true;
            Verdict::Tell
        } else {
            Verdict::Wait
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// After how many seconds of silence each verdict comes.
    fn verdicts(silence: &mut Silence, patience: Patience) -> [Option<u32>; 2] {
        let all: Vec<Verdict> = (0..1000).map(|_| silence.goes_on(SECOND, patience)).collect();
        let at = |wanted| all.iter().position(|it| *it == wanted).map(|it| it as u32 + 1);
        [at(Verdict::Tell), at(Verdict::End)]
    }

    #[test]
    fn a_silent_worker_is_told_and_as_long_again_later_ended() {
        let patience = Patience(Some(10 * SECOND));
        assert_eq!(verdicts(&mut Silence::default(), patience), [Some(10), Some(20)]);
    }

    #[test]
    fn whoever_was_heard_again_after_a_long_silence_is_granted_a_multiple_of_it() {
        let patience = Patience(Some(10 * SECOND));
        let mut silence = Silence::default();
        assert_eq!(silence.goes_on(9 * SECOND, patience), Verdict::Wait);
        silence.broken();
        silence.goes_on(SECOND, patience);
        silence.broken();
        assert_eq!(verdicts(&mut silence, patience), [Some(90), Some(180)]);
    }

    #[test]
    fn a_silence_that_was_told_is_told_anew_only_after_it_was_broken() {
        let patience = Patience(Some(10 * SECOND));
        let mut silence = Silence::default();
        assert_eq!(silence.goes_on(10 * SECOND, patience), Verdict::Tell);
        assert_eq!(silence.goes_on(SECOND, patience), Verdict::Wait);
        silence.broken();
        assert_eq!(silence.goes_on(110 * SECOND, patience), Verdict::Tell);
    }

    #[test]
    fn endless_patience_ends_nobody() {
        assert_eq!(verdicts(&mut Silence::default(), Patience(None)), [None, None]);
    }
}
