//! The steps of several trials as one graph: equal keys are one node, whoever asks for them.

use std::collections::HashMap;

use crate::plan::Step;
use crate::plan::steps::{Key, Kind};

/// A step that one or several trials need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it does.
    pub kind: Kind,
    /// Names its result.
    pub key: Key,
    /// The positions of the trials that need it, ascending.
    pub trials: Vec<usize>,
}

/// The steps of some trials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// All steps, each once, those that others start from first.
    pub nodes: Vec<Node>,
    /// For each trial the positions of its steps among the nodes, in order.
    pub chains: Vec<Vec<usize>>,
}

impl Graph {
    /// The graph of the chains of some trials.
    pub fn new<'a>(chains: impl IntoIterator<Item = &'a [Step]>) -> Self {
        let mut graph = Self { nodes: Vec::new(), chains: Vec::new() };
        let mut known = HashMap::new();
        for (position, chain) in chains.into_iter().enumerate() {
            let chain = chain.iter().map(|step| graph.node(&mut known, step, position));
            let chain = chain.collect();
            graph.chains.push(chain);
        }
        graph
    }

    fn node<'a>(
        &mut self,
        known: &mut HashMap<&'a str, usize>,
        step: &'a Step,
        trial: usize,
    ) -> usize {
        let node = *known.entry(&step.key).or_insert_with(|| {
            let Step { kind, key, .. } = step;
            self.nodes.push(Node { kind: *kind, key: key.clone(), trials: Vec::new() });
            self.nodes.len() - 1
        });
        self.nodes[node].trials.push(trial);
        node
    }
}
