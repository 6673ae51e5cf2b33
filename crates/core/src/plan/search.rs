//! The trials of a search that stops those which are behind: who they are, and how far each of them may go.

use crate::config::read::Written;
use crate::plan::Trial;
use crate::plan::job::Until;
use crate::search::halving::{Contest, Halving, Reached, Standing};

/// The trials of one experiment that are held against each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halved {
    /// Name of the experiment.
    pub experiment: String,
    /// How it halves.
    pub halving: Halving,
    /// The position of the stage that is cut.
    pub stage: usize,
    /// After how many epochs of it the rungs end.
    pub rungs: Vec<usize>,
    /// The positions of the trials of each point, one for each seed.
    pub points: Vec<Vec<usize>>,
}

impl Halved {
    /// Those of `experiments` that halve, with their `trials`.
    pub fn all(experiments: &[Written], trials: &[Trial]) -> Vec<Self> {
        experiments.iter().filter_map(|it| Self::of(it, trials)).collect()
    }

    fn of(written: &Written, trials: &[Trial]) -> Option<Self> {
        let search = written.experiment.search.as_ref()?;
        let halving = search.halving.clone()?;
        let stages = &written.experiment.stages;
        let stage = halving.stage(stages)?;
        let rungs = halving.rungs(stages[stage].epochs);
        let mut points = vec![Vec::new(); search.points];
        for (at, trial) in trials.iter().enumerate() {
            if trial.experiment == written.name
                && let Some(point) = trial.point.and_then(|it| points.get_mut(it.checked_sub(1)?))
            {
                point.push(at);
            }
        }
        Some(Self { experiment: written.name.clone(), halving, stage, rungs, points })
    }

    /// The contest of its points.
    pub fn contest(&self) -> Contest {
        self.halving.contest(self.points.len(), &self.rungs)
    }

    /// How far each point may go, by what the trials reached, of which `trials` are all of the plan. A point is worth the mean
    /// over its seeds, and nothing is known of it before all of them came so far.
    pub fn standings(&self, trials: &[Trial], reached: &[Reached]) -> Vec<Standing> {
        self.contest().standings(&|point, rung| {
            let seeds = self.points[point].iter();
            let seeds =
                seeds.map(|it| Some((&trials[*it].settings.stages[self.stage], &reached[*it])));
            self.halving.worth(seeds, self.rungs[rung])
        })
    }

    /// Where a trial stops that may go to the end of `rung`; none for the last one.
    pub fn until(&self, rung: usize) -> Option<Until> {
        let epochs = self.rungs.get(..self.rungs.len() - 1)?.get(rung)?;
        Some(Until { stage: self.stage, epochs: *epochs })
    }

    /// Epochs of the stage that is cut: those that are trained at most, and those that all points would train.
    pub fn epochs(&self) -> [usize; 2] {
        let seeds = self.points.first().map_or(0, Vec::len);
        let before = [0].iter().chain(&self.rungs);
        let each = self.rungs.iter().zip(before).map(|(it, before)| it - before);
        let most = self.contest().entrants().into_iter().zip(each).map(|(points, it)| points * it);
        let all = self.points.len() * self.rungs.last().copied().unwrap_or(0);
        [most.sum::<usize>() * seeds, all * seeds]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_seven_points_over_three_rungs_cost_about_a_quarter_of_all() {
        let halved = Halved {
            experiment: "e".into(),
            halving: Halving { min_epochs: 2, ..Halving::default() },
            stage: 0,
            rungs: vec![2, 6, 18],
            points: (0..27).map(|it| vec![it]).collect(),
        };
        assert_eq!(halved.epochs(), [126, 486]);
        assert_eq!(halved.until(0), Some(Until { stage: 0, epochs: 2 }));
        assert_eq!(halved.until(1), Some(Until { stage: 0, epochs: 6 }));
        assert_eq!(halved.until(2), None);
    }
}
