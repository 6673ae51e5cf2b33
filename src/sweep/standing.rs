//! Where the trials of a sweep stand, what is made and who makes it, and which trials can begin.
//!
//! Trials are chains of the nodes of one graph. **Invariant:** at no time two workers make one node. What can begin is known
//! without looking at all trials: whoever changes a place or a node looks again at the trials that it concerns, since to look
//! at ten thousand for every message would take longer than all else.

use std::collections::BTreeMap;

use ferrite_core::plan::Trial;
use ferrite_core::plan::graph::Graph;

use crate::sweep::launch::Node;
use crate::sweep::queue::Queue;
use crate::sweep::schedule::Known;
use crate::sweep::sources;

/// Where a trial stands in this sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is finished.
    Finished,
    /// It failed or its worker died, or so did what it starts from.
    Failed,
    /// It waits for a worker.
    Waiting,
    /// It has a worker.
    Running,
    /// It has a worker that was asked to stop, because it only waited for somebody else's.
    Recalled,
    /// It came to the end of a rung of its search, and waits to be promoted.
    Stopped,
}

/// The trials of a sweep and the nodes that they need.
pub(super) struct Standing {
    graph: Graph,
    /// What each node costs.
    costs: Vec<f64>,
    /// Whether the result of a node lies under its key.
    made: Vec<bool>,
    /// The trial whose worker makes a node.
    makers: Vec<Option<usize>>,
    /// The trial that a trial starts from, where it is one of this sweep.
    needs: Vec<Option<usize>>,
    /// The trials that start from a trial.
    users: Vec<Vec<usize>>,
    /// What the trials that start from a trial cost, along the dearest way.
    behind: Vec<f64>,
    places: Vec<Place>,
    /// How many have a worker.
    workers: usize,
    /// Those that can begin.
    ready: Queue,
}

impl Standing {
    /// Trials that stand at these places, before anything is done.
    pub(super) fn new(trials: &[Trial], places: Vec<Place>, known: Known<'_>) -> Self {
        let needs = sources(trials);
        let mut users = vec![Vec::new(); trials.len()];
        for (at, source) in needs.iter().enumerate() {
            if let Some(source) = source {
                users[*source].push(at);
            }
        }
        let todo = trials.iter().zip(&places).map(|(trial, place)| match place {
            Place::Waiting | Place::Stopped => trial.steps.as_slice(),
            _ => &[],
        });
        let graph = Graph::new(todo);
        let mut standing = Self {
            costs: vec![0.0; graph.nodes.len()],
            made: vec![false; graph.nodes.len()],
            makers: vec![None; graph.nodes.len()],
            graph,
            needs,
            users,
            behind: vec![0.0; trials.len()],
            places,
            workers: 0,
            ready: Queue::new(trials.len()),
        };
        standing.count_costs(trials, known);
        (0..trials.len()).for_each(|at| standing.look_at(at));
        standing
    }

    /// Counts what is to be computed, so that the longest trial is started first and no core waits at the end for
    /// one that began late (Graham 1969, <https://doi.org/10.1137/0117039>).
    fn count_costs(&mut self, trials: &[Trial], known: Known<'_>) {
        for (at, trial) in trials.iter().enumerate() {
            if !matches!(self.places[at], Place::Waiting | Place::Stopped) {
                continue;
            }
            for (node, cost) in self.graph.chains[at].iter().zip((known.costs)(trial)) {
                self.costs[*node] = cost;
            }
        }
        for (node, made) in self.graph.nodes.iter().zip(&mut self.made) {
            *made = node.trials.len() > 1 && (known.is_made)(Node::of(node));
        }
        // Those that others start from stand before them.
        for at in (0..trials.len()).rev() {
            if let Some(source) = self.needs[at] {
                let way = self.left(at) + self.behind[at];
                self.behind[source] = self.behind[source].max(way);
            }
        }
    }

    /// What is left to compute, by the keys of the steps of `trials`.
    pub(super) fn costs_left<'t>(&self, trials: &'t [Trial]) -> BTreeMap<&'t str, f64> {
        let trials = trials.iter().zip(&self.graph.chains);
        let steps = trials.flat_map(|(trial, chain)| trial.steps.iter().zip(chain));
        let left = steps.filter(|(_, node)| !self.made[**node]);
        left.map(|(step, node)| (step.key.as_str(), self.costs[*node])).collect()
    }

    /// Where each trial stands.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Where a trial stands.
    pub(super) fn place(&self, trial: usize) -> Place {
        self.places[trial]
    }

    /// How many trials have a worker.
    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// The trials that can begin, the one with the most left to do first: they wait, the run that they start from is there,
    /// and none of their nodes is being made.
    pub(super) fn ready(&self) -> impl Iterator<Item = usize> {
        self.ready.iter()
    }

    /// The trials that start from the one at `source`.
    pub(super) fn starting_from(&self, source: usize) -> &[usize] {
        &self.users[source]
    }

    /// The first step of a trial that is not made.
    pub(super) fn next_step(&self, trial: usize) -> Option<Node<'_>> {
        let next = self.graph.chains[trial].iter().find(|it| !self.made[**it]);
        next.map(|it| Node::of(&self.graph.nodes[*it]))
    }

    /// Gives a trial a worker, which makes what is not made of it.
    pub(super) fn start(&mut self, trial: usize) {
        self.put(trial, Place::Running);
        for at in 0..self.graph.chains[trial].len() {
            let node = self.graph.chains[trial][at];
            if !self.made[node] {
                self.set_maker(node, Some(trial));
            }
        }
    }

    /// The step of a trial under `key` is made; nothing happens where it has no such step.
    pub(super) fn made(&mut self, trial: usize, key: &str) {
        let mut chain = self.graph.chains[trial].iter().copied();
        if let Some(node) = chain.find(|it| self.graph.nodes[*it].key == key) {
            self.made[node] = true;
            self.set_maker(node, None);
        }
    }

    /// Takes a trial's worker away.
    pub(super) fn end(&mut self, trial: usize, place: Place) {
        for at in 0..self.graph.chains[trial].len() {
            let node = self.graph.chains[trial][at];
            if self.makers[node] == Some(trial) {
                self.set_maker(node, None);
            }
        }
        self.put(trial, place);
    }

    /// Moves a trial to another place.
    pub(super) fn put(&mut self, trial: usize, place: Place) {
        let works = |it: Place| usize::from(matches!(it, Place::Running | Place::Recalled));
        let before = std::mem::replace(&mut self.places[trial], place);
        self.workers = self.workers + works(place) - works(before);
        self.look_at(trial);
        for at in 0..self.users[trial].len() {
            self.look_at(self.users[trial][at]);
        }
    }

    fn set_maker(&mut self, node: usize, maker: Option<usize>) {
        self.makers[node] = maker;
        for at in 0..self.graph.nodes[node].trials.len() {
            self.look_at(self.graph.nodes[node].trials[at]);
        }
    }

    /// Puts a trial among those that can begin, or takes it out, as it stands now.
    fn look_at(&mut self, trial: usize) {
        let source = self.needs[trial].map(|it| self.places[it]);
        let nobody_at = || self.graph.chains[trial].iter().all(|it| self.makers[*it].is_none());
        let is_ready = self.places[trial] == Place::Waiting
            && source.is_none_or(|it| it == Place::Finished)
            && nobody_at();
        let way = is_ready.then(|| self.left(trial) + self.behind[trial]);
        self.ready.set(trial, way);
    }

    /// What a trial has left to compute.
    fn left(&self, trial: usize) -> f64 {
        let left = self.graph.chains[trial].iter().filter(|it| !self.made[**it]);
        left.map(|it| self.costs[*it]).sum()
    }
}

impl<'a> Node<'a> {
    pub(super) fn of(node: &'a ferrite_core::plan::graph::Node) -> Self {
        Self { kind: node.kind.name(), key: &node.key }
    }
}
