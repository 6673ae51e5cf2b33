//! What a cluster is given: trials, and the steps that several of them need, each as a task that others wait for.
//!
//! On one machine the schedule sees to it that a step is made once. A cluster has its own schedule, so the same is said in
//! advance: what several trials need and is not there is a task of its own. **Invariant:** of two tasks that would make one
//! step, one waits for the other. So nothing depends on locks, which not every file system knows on all nodes.

use std::collections::BTreeSet;

use ferrite_core::plan::Trial;
use ferrite_core::plan::graph::{Graph, Node as GraphNode};
use ferrite_core::plan::steps::{Key, Kind};

use crate::sweep::launch::Node;
use crate::sweep::sources;

/// One job of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    /// The position of the trial in whose run it happens.
    pub(super) trial: usize,
    /// The step that it ends with, for which others wait; none where it carries the trial to its end.
    pub(super) until: Option<Key>,
    /// The tasks that must have ended well before it begins, by position, ascending. None of them waits for another of
    /// them.
    pub(super) after: Vec<usize>,
}

/// The tasks that carry out the trials that are `todo`, those that others wait for first.
///
/// `is_made` says whether the result of a step is there.
pub(super) fn tasks(
    trials: &[Trial],
    todo: &[bool],
    is_made: &dyn Fn(Node<'_>) -> bool,
) -> Vec<Task> {
    let chains = trials.iter().zip(todo);
    let chains = chains.map(|(trial, todo)| if *todo { trial.steps.as_slice() } else { &[] });
    let graph = Graph::new(chains);
    let made: Vec<bool> = graph.nodes.iter().map(|it| is_made(Node::of(it))).collect();
    let needed: Vec<Vec<usize>> = graph.chains.iter().map(|it| needed(&graph, &made, it)).collect();
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
        ends: vec![None; trials.len()],
        tasks: Vec::new(),
        before: Vec::new(),
    };
    for (trial, nodes) in needed.iter().enumerate().filter(|it| todo[it.0]) {
        planner.plan(trial, nodes);
    }
    planner.tasks
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
    /// The task that carries a trial to its end.
    ends: Vec<Option<usize>>,
    tasks: Vec<Task>,
    /// All that a task waits for, directly or not.
    before: Vec<BTreeSet<usize>>,
}

impl Planner<'_> {
    /// Adds the tasks that `trial` is the first to need, and its own.
    fn plan(&mut self, trial: usize, needed: &[usize]) {
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
            after.extend(self.makers[node]);
            at += 1;
        }
        after.extend(source);
        self.ends[trial] = Some(self.add(trial, None, after));
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
            let todo: Vec<bool> = trials.iter().map(|_| draw(5) > 0).collect();
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
            let wanted: BTreeSet<usize> = (0..trials.len()).filter(|it| todo[*it]).collect();
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
        let tasks = tasks(&trials, &[true; 3], &|_| false);
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
}
