//! Successive halving: who is trained on after a rung, as a function of what the points reached.
//!
//! All points are trained for a few epochs, the best third of them for three times as many, and so on (Jamieson & Talwalkar
//! 2016, <https://arxiv.org/abs/1502.07943>). ASHA (Li et al. 2020, <https://arxiv.org/abs/1810.05934>) lets nobody wait for
//! the slowest of a rung: whoever is among the best third of those that came so far is promoted at once. Who came so far is a
//! matter of time there, so that every run of it promotes others. Here the points come in an order, that of their numbers,
//! and then that in which they were promoted; what is decided after so many of them waits for these and for nobody else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Problem;
use crate::event::Epoch;
use crate::search::Search;
use crate::settings::Stage;
use crate::settings::stopping::Monitor;

/// The `[search.halving]` table: successive halving. All points are trained for `min_epochs`; the best
/// `1 / reduction_factor` of them for `reduction_factor` times as many, and so on, up to the stage's `epochs`. Where a point
/// is stopped is called a rung.
///
/// Nothing is trained twice: whoever is promoted goes on where it stopped, and ends with what it would have learnt without any
/// stop, since schedules always span the whole stage. Who is promoted follows from the scores alone, and neither from the
/// number of workers nor from who was first. The best point of a rung is always promoted.
///
/// ```toml
/// [search]
/// points = 27
///
/// [search.space]
/// "stages.head.optimizer.adam.lr" = { log_uniform = [1e-5, 1e-2] }
///
/// [search.halving]
/// min_epochs       = 2       # 27 points for 2 epochs, 9 of them for 6, 3 of them for all 18
/// reduction_factor = 3
/// monitor          = "valid_loss"
///
/// [[stages]]
/// name   = "head"
/// epochs = 18
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Halving {
    /// The name of the stage that is cut. Left out: the last one. Later stages are trained by those alone that come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The epochs of the first rung: ASHA's and Optuna's `min_resource`, Ray Tune's `grace_period`, `min_iter` of Weights &
    /// Biases.
    #[schemars(extend("x-unit" = "epochs"))]
    pub min_epochs: usize,
    /// One of so many points is promoted, and is trained so many times as long: the `eta` of the papers.
    pub reduction_factor: usize,
    /// What tells which points are better: its value with the weights that the stage would end with, if it ended at the rung
    /// (those of the best epoch under `early_stopping` with `restore_best`, else those of the last).
    pub monitor: Monitor,
}

impl Default for Halving {
    fn default() -> Self {
        Self { stage: None, min_epochs: 1, reduction_factor: 3, monitor: Monitor::ValidLoss }
    }
}

impl Halving {
    /// The position of the stage that is cut.
    pub fn stage(&self, stages: &[Stage]) -> Option<usize> {
        match &self.stage {
            None => stages.len().checked_sub(1),
            Some(name) => stages.iter().position(|it| it.name == *name),
        }
    }

    pub(super) fn check(&self, search: &Search, stages: &[Stage]) -> Vec<Problem> {
        let position = self.stage(stages);
        let names: Vec<_> = stages.iter().map(|it| format!("`{}`", it.name)).collect();
        let known = format!("is no stage of this experiment; there are {}", names.join(", "));
        let epochs = position.map(|it| stages[it].epochs);
        let below = epochs.is_none_or(|it| self.min_epochs < it);
        let varies = position.and_then(|at| {
            let keys = [at.to_string(), stages[at].name.clone()];
            let keys = keys.map(|it| format!("stages.{it}.epochs"));
            search.space.keys().find(|it| keys.contains(it)).cloned()
        });
        let varies = varies.map(|key| {
            let message =
                format!("needs equal `epochs` in all points: take `{key}` out of the space");
            Problem::new("", message)
        });
        [
            Problem::unless(position.is_some(), "stage", &known),
            Problem::unless(
                self.min_epochs >= 1 && below,
                "min_epochs",
                "must be at least 1 and below the stage's `epochs`",
            ),
            Problem::unless(self.reduction_factor >= 2, "reduction_factor", "must be at least 2"),
            varies,
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// After how many epochs the rungs end; the last one is the whole stage, which has so many.
    pub fn rungs(&self, epochs: usize) -> Vec<usize> {
        let longer = |it: &usize| it.checked_mul(self.reduction_factor.max(2));
        let rungs = std::iter::successors(Some(self.min_epochs.max(1)), longer);
        rungs.take_while(|it| *it < epochs).chain([epochs]).collect()
    }

    /// How good the weights are that `stage` would end with after the first `rung` of its epochs, or where it ended before;
    /// less is better. None where it did not come so far.
    pub fn score(&self, stage: &Stage, reached: &Reached, rung: usize) -> Option<f64> {
        let epochs = reached.epochs.get(..rung).or(reached.is_over.then_some(&reached.epochs[..]));
        if let Some(epochs) = epochs {
            let kept = stage.kept_epoch(epochs);
            let epoch = epochs.iter().find(|it| it.epoch == kept)?;
            return Some(self.monitor.cost(epoch));
        }
        reached.failed.then_some(f64::INFINITY)
    }

    /// What a point is worth at the end of `rung`: the mean over its `seeds`, each with its stage and what it reached. None
    /// before all of them came so far; no number, which is never promoted, for a point without any.
    pub fn worth<'a>(
        &self,
        seeds: impl Iterator<Item = Option<(&'a Stage, &'a Reached)>>,
        rung: usize,
    ) -> Option<f64> {
        let score = |it: Option<(&Stage, &Reached)>| {
            let (stage, reached) = it?;
            self.score(stage, reached, rung)
        };
        let scores: Vec<f64> = seeds.map(score).collect::<Option<_>>()?;
        Some(scores.iter().sum::<f64>() / scores.len() as f64)
    }

    /// The contest of so many points over `rungs`.
    pub fn contest(&self, points: usize, rungs: &[usize]) -> Contest {
        Contest { points, rungs: rungs.len(), factor: self.reduction_factor }
    }
}

/// What a trial of a point reached in the stage that is cut.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reached {
    /// The epochs that it trained, in order.
    pub epochs: Vec<Epoch>,
    /// Whether the stage is over, e.g. because it stopped early.
    pub is_over: bool,
    /// Whether the trial failed, e.g. because its loss became infinite: it is then worse than every other.
    pub failed: bool,
}

/// Points that are held against each other, rung after rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contest {
    /// How many points begin.
    pub points: usize,
    /// How many rungs there are, the last one included, which everyone who enters it trains to its end.
    pub rungs: usize,
    /// One of so many is promoted.
    pub factor: usize,
}

/// How far a point may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The rung, counted from 0, to whose end it may train.
    pub rung: usize,
    /// Whether it can be promoted no more.
    pub is_out: bool,
}

impl Contest {
    /// How many points at most enter each rung, the first one included.
    pub fn entrants(&self) -> Vec<usize> {
        let fewer = |it: &usize| Some((it / self.factor.max(2)).max(1));
        std::iter::successors(Some(self.points), fewer).take(self.rungs).collect()
    }

    /// How far each point may go, by what is known of the points at the ends of rungs: less is better, infinite is what
    /// failed, and none what is not known yet.
    ///
    /// In each rung one point is promoted after every `factor` of them, in the order in which they entered it: the best of those
    /// so far that was not promoted before. The first time it is after so many more as are left over, so that after the last
    /// of them all have been considered. So as many are promoted as if a rung was waited for as a whole, and the best one
    /// always is: from when it came on, nobody is better.
    pub fn standings(&self, score: &dyn Fn(usize, usize) -> Option<f64>) -> Vec<Standing> {
        let mut standings = vec![Standing { rung: 0, is_out: false }; self.points];
        let entrants = self.entrants();
        // None stands for a promotion that nobody was worth.
        let mut entered: Vec<Option<usize>> = (0..self.points).map(Some).collect();
        for rung in 0..self.rungs.saturating_sub(1) {
            let scores: Vec<f64> = entered
                .iter()
                .map_while(|it| it.map_or(Some(f64::INFINITY), |it| score(it, rung)))
                .collect();
            let (all, slots) = (entrants[rung], entrants[rung + 1]);
            let mut promoted: Vec<Option<usize>> = Vec::new();
            for slot in 1..=slots {
                let after = all - (slots - slot) * self.factor.max(2);
                let Some(scores) = scores.get(..after) else { break };
                let left = scores.iter().enumerate().filter(|it| it.1.is_finite());
                let left = left.filter(|it| !promoted.contains(&entered[it.0]));
                let best = left.min_by(|a, b| a.1.total_cmp(b.1));
                promoted.push(best.and_then(|it| entered[it.0]));
            }
            let is_complete = promoted.len() == slots;
            for point in entered.iter().flatten() {
                let goes_on = promoted.contains(&Some(*point));
                standings[*point] =
                    Standing { rung: rung + usize::from(goes_on), is_out: is_complete && !goes_on };
            }
            entered = promoted;
        }
        standings
    }
}

#[cfg(test)]
mod tests {
    use ferrite_random::{Random, Use};

    use super::*;

    /// A contest of 27 points over 3 rungs, one of three promoted.
    const USUAL: Contest = Contest { points: 27, rungs: 3, factor: 3 };

    /// Points whose scores are the same in every rung.
    fn scores(seed: u64, points: usize) -> Vec<f64> {
        let mut all: Vec<usize> = (0..points).collect();
        Random::at(seed, Use::Search, 0, 0).shuffle(&mut all);
        all.into_iter().map(|it| it as f64).collect()
    }

    fn in_rung(standings: &[Standing], rung: usize) -> usize {
        standings.iter().filter(|it| it.rung >= rung).count()
    }

    #[test]
    fn rungs_grow_by_the_factor_up_to_the_stages_epochs() {
        let rungs = |min_epochs, reduction_factor, epochs| {
            Halving { min_epochs, reduction_factor, ..Halving::default() }.rungs(epochs)
        };
        assert_eq!(rungs(2, 3, 18), [2, 6, 18]);
        assert_eq!(rungs(1, 3, 10), [1, 3, 9, 10]);
        assert_eq!(rungs(4, 2, 5), [4, 5]);
        assert_eq!(USUAL.entrants(), [27, 9, 3]);
    }

    #[test]
    fn as_many_are_promoted_as_if_rungs_were_waited_for_in_whatever_order_the_points_come() {
        let ascending: Vec<f64> = (0..27).map(f64::from).collect();
        let descending: Vec<f64> = (0..27).rev().map(f64::from).collect();
        let mut orders: Vec<Vec<f64>> = (0..200).map(|it| scores(it, 27)).collect();
        orders.extend([ascending, descending]);
        for order in orders {
            let standings = USUAL.standings(&|point, _| Some(order[point]));
            assert_eq!([0, 1, 2].map(|it| in_rung(&standings, it)), [27, 9, 3]);
            let best = order.iter().position(|it| *it == 0.0).unwrap();
            assert_eq!(standings[best], Standing { rung: 2, is_out: false });
            assert!(standings.iter().all(|it| it.is_out == (it.rung < 2)));
        }
    }

    #[test]
    fn the_best_comes_to_the_end_whatever_the_numbers_of_points_and_the_factor() {
        for points in 1..40 {
            for factor in 2..5 {
                for seed in 0..20 {
                    let order = scores(seed, points);
                    let contest = Contest { points, rungs: 3, factor };
                    let standings = contest.standings(&|point, _| Some(order[point]));
                    let best = order.iter().position(|it| *it == 0.0).unwrap();
                    assert_eq!(standings[best].rung, 2, "{points} {factor} {seed}");
                    for (rung, most) in contest.entrants().into_iter().enumerate() {
                        assert_eq!(in_rung(&standings, rung), most, "{points} {factor} {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_decided_stays_so_whoever_becomes_known_next() {
        for seed in 0..300 {
            let order = scores(seed, 27);
            let end = USUAL.standings(&|point, _| Some(order[point]));
            // What is known grows in any order; nobody is ever promoted who is not at the end.
            let mut known = vec![0; 27];
            let mut random = Random::at(seed, Use::Search, 1, 0);
            loop {
                let now =
                    USUAL.standings(&|point, rung| (known[point] > rung).then(|| order[point]));
                for (now, end) in now.iter().zip(&end) {
                    assert!(now.rung <= end.rung && (!now.is_out || now == end));
                }
                let open: Vec<usize> = (0..27).filter(|it| known[*it] <= now[*it].rung).collect();
                if open.is_empty() {
                    assert_eq!(now, end);
                    break;
                }
                let next = open[random.below(open.len())];
                known[next] += 1;
            }
        }
    }

    #[test]
    fn promotions_do_not_wait_for_those_behind() {
        let order = scores(3, 27);
        let standings =
            USUAL.standings(&|point, rung| (point < 6 && rung == 0).then(|| order[point]));
        assert_eq!(in_rung(&standings, 1), 2);
        assert!(standings.iter().all(|it| !it.is_out));
    }

    #[test]
    fn what_failed_is_never_promoted_and_blocks_nobody() {
        let standings = USUAL
            .standings(&|point, _| Some(if point < 20 { f64::INFINITY } else { point as f64 }));
        assert!(standings[..20].iter().all(|it| *it == Standing { rung: 0, is_out: true }));
        assert_eq!(standings[20], Standing { rung: 2, is_out: false });
        let nobody = USUAL.standings(&|_, _| Some(f64::INFINITY));
        assert!(nobody.iter().all(|it| it.is_out));
    }

    #[test]
    fn of_equal_points_the_first_is_promoted() {
        let standings = Contest { points: 3, rungs: 2, factor: 3 }.standings(&|_, _| Some(0.5));
        assert_eq!(standings.iter().map(|it| it.rung).collect::<Vec<_>>(), [1, 0, 0]);
    }

    #[test]
    fn a_point_is_worth_the_weights_that_it_would_end_with() {
        let epoch = |(at, loss): (usize, &f64)| {
            let scores = serde_json::json!({ "loss": loss, "accuracy": 1.0 - loss });
            serde_json::from_value::<Epoch>(serde_json::json!({
                "stage": "s", "epoch": at + 1, "lr": 0.1, "train": scores, "valid": scores,
                "seconds": 1.0, "images_per_second": 1.0,
            }))
            .unwrap()
        };
        let epochs: Vec<Epoch> = [0.5, 0.2, 0.4].iter().enumerate().map(epoch).collect();
        let mut reached = Reached { epochs, ..Reached::default() };
        let (halving, mut stage) = (Halving::default(), Stage::default());
        assert_eq!(halving.score(&stage, &reached, 3), Some(0.4));
        assert_eq!(halving.score(&stage, &reached, 4), None);
        stage.early_stopping = Some(crate::settings::stopping::EarlyStopping::default());
        assert_eq!(halving.score(&stage, &reached, 3), Some(0.2));
        assert_eq!(halving.score(&stage, &reached, 1), Some(0.5));
        let accuracy = Halving { monitor: Monitor::ValidAccuracy, ..halving.clone() };
        assert_eq!(accuracy.score(&stage, &reached, 3), Some(-0.8));
        reached.is_over = true;
        assert_eq!(halving.score(&stage, &reached, 9), Some(0.2));
        let failed = Reached { failed: true, is_over: false, ..reached };
        assert_eq!(halving.score(&stage, &failed, 9), Some(f64::INFINITY));
        assert_eq!(halving.score(&stage, &failed, 2), Some(0.2));
    }
}
