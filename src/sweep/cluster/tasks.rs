//! What a cluster is given: trials, and the steps that several of them need, each as a task that others wait for.
//!
//! On one machine the schedule sees to it that a step is made once. A cluster has its own schedule, so the same is said in
//! advance: what several trials need and is not there is a task of its own. **Invariant:** of two tasks that would make one
//! step, one waits for the other. So nothing depends on locks, which not every file system knows on all nodes.

use std::collections::BTreeSet;

use ferrite_core::plan::graph::{Graph, Node as GraphNode};
use ferrite_core::plan::steps::{Key, Kind};
use ferrite_core::plan::{Step, Trial};

use crate::sweep::cluster::Extent;
use crate::sweep::launch::Node;
use crate::sweep::sources;

/// One job of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The position of the trial in whose run it happens.
    pub(super) trial: usize,
    /// The step that it ends with, for which others wait; none where it carries the trial to its end, or to that of a rung.
    pub(super) until: Option<Key>,
    /// The tasks that must have ended well before it begins, by position, ascending. None of them waits for another of
    /// them.
    pub(super) after: Vec<usize>,
}

/// The tasks that carry out the trials as far as `todo` says, those that others wait for first.
///
/// `is_made` says whether the result of a step is there.
pub(super) fn tasks(
    trials: &[Trial],
    todo: &[Extent],
    is_made: &dyn Fn(Node<'_>) -> bool,
) -> Vec<Task> {
    let graph = Graph::new(trials.iter().zip(todo).map(|it| chain(it.0, *it.1)));
    let made: Vec<bool> = graph.nodes.iter().map(|it| is_made(Node::of(it))).collect();
    let mut needed: Vec<Vec<usize>> =
        graph.chains.iter().map(|it| needed(&graph, &made, it)).collect();
    // The stage that a rung cuts is not made, so nobody else gets it from there.
    let cuts = needed.iter_mut().zip(&graph.chains).zip(todo);
    let cuts = cuts.map(|((needed, chain), todo)| match todo {
        Extent::Rung(_) if needed.last() == chain.last() => needed.pop(),
        _ => None,
    });
    let cuts: Vec<Option<usize>> = cuts.collect();
    let mut users = vec![Vec::new(); graph.nodes.len()];
    for (trial, nodes) in needed.iter().enumerate() {
        for node in nodes {
            users[*node].push(trial);
        }
    }
    let mut planner = Planner {
        sources: sources(trials),
        graph: &graph,
        users,
        makers: vec![None; graph.nodes.len()],
        beginners: vec![None; graph.nodes.len()],
        ends: vec![None; trials.len()],
        tasks: Vec::new(),
        before: Vec::new(),
    };
    for (trial, nodes) in needed.iter().enumerate().filter(|it| todo[it.0] != Extent::Nothing) {
        planner.plan(trial, nodes, cuts[trial]);
    }
    planner.tasks
}

/// The steps of a trial up to where it is to be carried out: at a rung, up to the stage that is cut.
fn chain(trial: &Trial, todo: Extent) -> &[Step] {
    let steps = trial.steps.as_slice();
    match todo {
        Extent::Nothing => &[],
        Extent::End => steps,
        Extent::Rung(until) => {
            let stages = steps.iter().enumerate().filter(|it| it.1.kind == Kind::Stage);
            let cut = stages.map(|it| it.0).nth(until.stage);
            &steps[..cut.map_or(steps.len(), |it| it + 1)]
        }
    }
}

/// The nodes of `chain` that have to be made: what comes before a stage that is there serves nobody any more, but for the
/// images, which every step looks at.
fn needed(graph: &Graph, made: &[bool], chain: &[usize]) -> Vec<usize> {
    let stands = |it: &usize| graph.nodes[*it].kind == Kind::Stage && made[*it];
    let from = chain.iter().rposition(stands).map_or(0, |it| it + 1);
    let (before, behind) = chain.split_at(from);
    let images = before.iter().filter(|it| is_of_images(&graph.nodes[**it]));
    images.chain(behind).copied().filter(|it| !made[*it]).collect()
}

fn is_of_images(node: &GraphNode) -> bool {
    matches!(node.kind, Kind::Dataset | Kind::Detections | Kind::Faces)
}

struct Planner<'a> {
    /// The trial that each starts from.
    sources: Vec<Option<usize>>,
    graph: &'a Graph,
    /// The trials that need a node to be made, ascending.
    users: Vec<Vec<usize>>,
    /// The task that makes a node for several trials.
    makers: Vec<Option<usize>>,
    /// The last task that is at a node on its way, of whose result nobody was sure: it trains a part of it, up to a rung, or nobody
    /// else needs it whole.
    beginners: Vec<Option<usize>>,
    /// The task that carries a trial to its end.
    ends: Vec<Option<usize>>,
    tasks: Vec<Task>,
    /// All that a task waits for, directly or not.
    before: Vec<BTreeSet<usize>>,
}

impl Planner<'_> {
    /// Adds the tasks that `trial` is the first to need, and its own, which trains a part of `cut`.
    fn plan(&mut self, trial: usize, needed: &[usize], cut: Option<usize>) {
        let source = self.sources[trial].and_then(|it| self.ends[it]);
        let mut after = BTreeSet::new();
        let mut at = 0;
        while let Some(&node) = needed.get(at) {
            if self.makers[node].is_none() && self.is_first_of_several(node, trial) {
                // A run of nodes that the same trials need is one task.
                let same = |it: &&usize| self.users[**it] == self.users[node];
                let run: Vec<usize> = needed[at..].iter().take_while(same).copied().collect();
                let images = run.iter().all(|it| is_of_images(&self.graph.nodes[*it]));
                let last = run.last().map(|it| self.graph.nodes[*it].key.clone());
                let waits = after.iter().copied().chain(source.filter(|_| !images)).collect();
                let task = self.add(trial, last, waits);
                for node in run {
                    self.makers[node] = Some(task);
                }
            }
            after.extend(self.makers[node].or(self.beginners[node]));
            at += 1;
        }
        after.extend(source);
        after.extend(cut.and_then(|it| self.makers[it].or(self.beginners[it])));
        let end = self.add(trial, None, after);
        self.ends[trial] = Some(end);
        let own = needed.iter().filter(|it| self.makers[**it].is_none());
        for node in own.chain(&cut).copied().collect::<Vec<_>>() {
            self.beginners[node] = Some(end);
        }
    }

    fn is_first_of_several(&self, node: usize, trial: usize) -> bool {
        let users = &self.users[node];
        users.len() > 1 && users[0] == trial
    }

    fn add(&mut self, trial: usize, until: Option<Key>, after: BTreeSet<usize>) -> usize {
        let implied = |it: &usize| after.iter().any(|other| self.before[*other].contains(it));
        let direct: Vec<usize> = after.iter().copied().filter(|it| !implied(it)).collect();
        let mut before = after;
        for it in &direct {
            before.extend(&self.before[*it]);
        }
        self.before.push(before);
        self.tasks.push(Task { trial, until, after: direct });
        self.tasks.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use ferrite_random::{Random, Use};

    use ferrite_core::plan::job::Until;

    use crate::sweep::made_up::{step, trial};
    use crate::sweep::simulation;

    /// The steps that each task makes, as the engine does: what is on the way to its end and is not made before it.
    fn made_by(trials: &[Trial], tasks: &[Task], made: &BTreeSet<String>) -> Vec<BTreeSet<String>> {
        let mut by: Vec<BTreeSet<String>> = Vec::new();
        for (at, task) in tasks.iter().enumerate() {
            let before: BTreeSet<&String> =
                closure(tasks, at).into_iter().flat_map(|it| &by[it]).collect();
            let chain = &trials[task.trial].steps;
            let end = task.until.as_ref().map(|until| chain.iter().position(|it| it.key == *until));
            let end = end.map_or(chain.len(), |it| it.expect("it is a step of the trial") + 1);
            let from =
                chain.iter().rposition(|it| it.kind == Kind::Stage && made.contains(&it.key));
            let chain = &chain[from.map_or(0, |it| it + 1).min(end)..end];
            let new = chain.iter().map(|it| it.key.clone());
            by.push(new.filter(|it| !made.contains(it) && !before.contains(it)).collect());
        }
        by
    }

    fn closure(tasks: &[Task], of: usize) -> BTreeSet<usize> {
        let mut all = BTreeSet::new();
        let mut waiting = tasks[of].after.clone();
        while let Some(it) = waiting.pop() {
            assert!(it < of, "what others wait for comes first");
            if all.insert(it) {
                waiting.extend(&tasks[it].after);
            }
        }
        all
    }

    #[test]
    fn no_step_is_made_by_two_tasks_and_every_trial_comes_to_its_end() {
        let mut shared = 0;
        for seed in 0..3000 {
            let mut count = 0;
            let mut draw = |below: u64| {
                count += 1;
                Random::at(seed, Use::Augment, count, 0).bits() % below
            };
            let trials = simulation::trials(&mut draw);
            let extent = |todo: bool| if todo { Extent::End } else { Extent::Nothing };
            let todo: Vec<Extent> = trials.iter().map(|_| extent(draw(5) > 0)).collect();
            let made: BTreeSet<String> = trials
                .iter()
                .flat_map(|it| &it.steps[..it.steps.len() - 1])
                .filter(|_| draw(6) == 0)
                .map(|it| it.key.clone())
                .collect();
            let tasks = tasks(&trials, &todo, &|it| made.contains(it.key));
            let by = made_by(&trials, &tasks, &made);
            let mut makers = BTreeMap::new();
            for (at, keys) in by.iter().enumerate() {
                for key in keys {
                    let other = makers.insert(key, at);
                    assert_eq!(other, None, "seed {seed}: {key} is made by two of {tasks:#?}");
                }
                shared += usize::from(tasks[at].until.is_some());
                let direct = &tasks[at].after;
                let implied = direct.iter().flat_map(|it| closure(&tasks, *it));
                assert!(implied.into_iter().all(|it| !direct.contains(&it)));
            }
            let ends: BTreeSet<usize> =
                tasks.iter().filter(|it| it.until.is_none()).map(|it| it.trial).collect();
            let wanted = (0..trials.len()).filter(|it| todo[*it] != Extent::Nothing);
            let wanted: BTreeSet<usize> = wanted.collect();
            assert_eq!(ends, wanted);
            for (at, task) in tasks.iter().enumerate().filter(|it| it.1.until.is_none()) {
                let source = trials[task.trial].needs.as_ref();
                let source = source.and_then(|it| {
                    tasks.iter().position(|other| {
                        other.until.is_none() && trials[other.trial].name() == *it
                    })
                });
                assert!(source.is_none_or(|it| closure(&tasks, at).contains(&it)));
                // Nobody else is in its run meanwhile.
                let same = |it: &usize| tasks[*it].trial == task.trial && *it != at;
                let same: Vec<usize> = (0..tasks.len()).filter(same).collect();
                assert!(same.iter().all(|it| closure(&tasks, at).contains(it)), "seed {seed}");
            }
        }
        assert!(shared > 1000, "{shared} shared tasks are few");
    }

    #[test]
    fn features_that_some_trials_share_are_made_once_where_no_chain_begins_like_another() {
        let of = |(at, keys): (usize, &&[&str])| {
            let kind = |key: &str| match key {
                "images" => Kind::Dataset,
                "train" | "valid" | "test" => Kind::Features,
                _ => Kind::Stage,
            };
            trial(at, keys.iter().map(|it| step(kind(it), *it)).collect())
        };
        let chains: [&[&str]; 3] = [
            &["images", "valid", "test", "a"],
            &["images", "train", "valid", "test", "b"],
            &["images", "train", "valid", "c"],
        ];
        let trials: Vec<Trial> = chains.iter().enumerate().map(of).collect();
        let tasks = tasks(&trials, &[Extent::End; 3], &|_| false);
        let told: Vec<_> =
            tasks.iter().map(|it| (it.trial, it.until.as_deref(), &it.after[..])).collect();
        let expected: [(usize, Option<&str>, &[usize]); 6] = [
            (0, Some("valid"), &[]),
            (0, Some("test"), &[0]),
            (0, None, &[1]),
            (1, Some("train"), &[0]),
            (1, None, &[1, 3]),
            (2, None, &[3]),
        ];
        assert_eq!(told, expected);
        let by = made_by(&trials, &tasks, &BTreeSet::new());
        assert_eq!(by.iter().map(BTreeSet::len).sum::<usize>(), 4 + 3);
    }

    #[test]
    fn a_trial_that_stops_at_a_rung_makes_what_comes_before_it_and_shares_it() {
        let of = |(at, keys): (usize, &[&str; 3])| {
            let [images, first, cut] = keys.map(str::to_owned);
            let steps = [
                (Kind::Dataset, images),
                (Kind::Stage, first),
                (Kind::Stage, cut),
                (Kind::Stage, format!("end {at}")),
            ];
            trial(at, steps.into_iter().map(|(kind, key)| step(kind, key)).collect())
        };
        // The last two would train the same, and differ behind it alone.
        let chains = [["images", "head", "a"], ["images", "head", "b"], ["images", "head", "b"]];
        let trials: Vec<Trial> = chains.iter().enumerate().map(of).collect();
        let rung = Extent::Rung(Until { stage: 1, epochs: 2 });
        let told = |tasks: Vec<Task>| -> Vec<(usize, Option<String>, Vec<usize>)> {
            tasks.into_iter().map(|it| (it.trial, it.until, it.after)).collect()
        };
        let begun = told(tasks(&trials, &[rung; 3], &|_| false));
        let head = Some("head".to_owned());
        assert_eq!(
            begun,
            [(0, head, vec![]), (0, None, vec![0]), (1, None, vec![0]), (2, None, vec![2])]
        );
        // One that is promoted to the end trains that on its way.
        let extents = [Extent::Nothing, Extent::End, rung];
        let is_made = |it: Node<'_>| ["images", "head"].contains(&it.key);
        let promoted = told(tasks(&trials, &extents, &is_made));
        assert_eq!(promoted, [(1, None, vec![]), (2, None, vec![0])]);
        // What is there already is looked at again by the trial's own job alone.
        let done = told(tasks(&trials, &[rung, Extent::Nothing, Extent::Nothing], &|it| {
            it.key != "end 0"
        }));
        assert_eq!(done, [(0, None, vec![])]);
    }
}
