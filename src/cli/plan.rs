//! `ferrite plan`: every trial and step, what trains, and what is there.

use std::fmt::Write as _;

use clap::Args;

use crate::cli::fitting::Fitting;
use crate::cli::networks::{Networks, Trains, lines_of};
use crate::cli::select::{Disk, Selection, experiments};
use crate::sweep::{TrialState, state_of};
use ferrite_core::digits::counted;
use ferrite_core::error::{Result, printable};
use ferrite_core::event::Network;
use ferrite_core::plan;
use ferrite_core::plan::graph::Graph;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::{Step, Trial};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    selection: Selection,
    /// List every layer that trains, and how this processor computes each convolution
    #[arg(long)]
    layers: bool,
    /// Print one JSON object (docs/json.md)
    #[arg(long, conflicts_with = "layers")]
    json: bool,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Detail {
    /// Trials, networks and steps.
    Steps,
    /// Every layer that trains as well.
    Layers,
}

pub(super) fn plan_command(arguments: &PlanArguments) -> Result<()> {
    if arguments.json {
        return print_plan(&arguments.selection);
    }
    let detail = if arguments.layers { Detail::Layers } else { Detail::Steps };
    show_plan(&arguments.selection, detail)
}

pub(super) fn show_plan(selection: &Selection, detail: Detail) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let trials = plan::trials(&experiments(selection)?, &Disk { store: &store })?;
    let mut text = String::new();
    let mut todo = 0;
    let mut shown: Option<Network> = None;
    let mut networks = Networks::new(detail);
    let mut fitting = Fitting::new(&store, &trials);
    let graph = Graph::new(trials.iter().map(|it| it.steps.as_slice()));
    let there: Vec<bool> =
        graph.nodes.iter().map(|it| store.has(it.kind.name(), &it.key)).collect();
    for (position, trial) in trials.iter().enumerate() {
        let state = state_of(&store, trial);
        todo += usize::from(matches!(state, TrialState::Interrupted | TrialState::New));
        let _ = writeln!(text, "{}  {}", printable(&trial.name()), words(&store, trial, &state));
        let network = networks.of(trial);
        // The seeds of an experiment have the same network; it is said once.
        if shown.as_ref() != Some(&network) {
            text.push_str(&lines_of(&network));
        }
        shown = Some(network);
        // Of what is finished nobody needs the first weights any more.
        if state != TrialState::Finished {
            for line in fitting.lines(trial) {
                let _ = writeln!(text, "  weights   {line}");
            }
        }
        for (step, node) in trial.steps.iter().zip(&graph.chains[position]) {
            let place = Place { there: there[*node], users: graph.nodes[*node].trials.len() };
            text.push_str(&step_lines(trial, step, place, &mut networks));
        }
    }
    text.push_str(&summary(&graph, &there));
    print(&format!("{text}{}, {todo} to do\n", counted(trials.len(), "trial")))?;
    fitting.end()
}

/// Prints the plan for programs.
pub(super) fn print_plan(selection: &Selection) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let trials = plan::trials(&experiments(selection)?, &Disk { store: &store })?;
    let graph = Graph::new(trials.iter().map(|it| it.steps.as_slice()));
    let told = trials.iter().zip(&graph.chains).map(|(trial, chain)| {
        let step = |(step, node): (&Step, &usize)| {
            json!({
                "kind": step.kind.name(),
                "of": step.of,
                "key": step.key,
                "there": store.has(step.kind.name(), &step.key),
                "shared_by": graph.nodes[*node].trials.len(),
            })
        };
        json!({
            "trial": trial.name(),
            "experiment": trial.experiment,
            "seed": trial.seed,
            "state": words(&store, trial, &state_of(&store, trial)),
            "needs": trial.needs,
            "key": trial.key,
            "steps": trial.steps.iter().zip(chain).map(step).collect::<Vec<_>>(),
        })
    });
    print_json(&documented(json!({ "trials": told.collect::<Vec<_>>() })))
}

fn words(store: &Store, trial: &Trial, state: &TrialState) -> &'static str {
    match state {
        TrialState::Interrupted | TrialState::New
            if is_locked(&store.root.join(trial.name()).join(files::LOCK)) =>
        {
            "running"
        }
        TrialState::Finished => "finished",
        TrialState::Failed(_) | TrialState::Lacking(_) => "failed",
        TrialState::Interrupted => "interrupted",
        TrialState::New => "to do",
    }
}

/// How many steps the graph has, and what sharing saves.
fn summary(graph: &Graph, there: &[bool]) -> String {
    let asked: usize = graph.chains.iter().map(Vec::len).sum();
    let (steps, left) = (graph.nodes.len(), there.iter().filter(|it| !**it).count());
    let shared = match asked - steps {
        0 => String::new(),
        saved => format!(", where trials one by one would do {}", steps + saved),
    };
    format!("{}, {left} of them not there yet{shared}\n", counted(steps, "step"))
}

/// What is there of a step, and who needs it.
#[derive(Clone, Copy)]
struct Place {
    there: bool,
    /// How many trials of the plan need it.
    users: usize,
}

fn step_lines(trial: &Trial, step: &Step, place: Place, networks: &mut Networks) -> String {
    let (kind, key) = (step.kind.name(), &step.key[..8]);
    let stage = trial.settings.stages.iter().find(|it| it.name == step.of);
    let trains = stage.filter(|_| step.kind == Kind::Stage).map(|it| networks.trains(trial, it));
    let Trains { short, long } = trains.unwrap_or_default();
    let there = if place.there { "  there" } else { "" };
    let shared = match place.users {
        0 | 1 => String::new(),
        users => format!("  shared by {}", counted(users, "trial")),
    };
    let line = format!("  {kind:9} {key}  {}{short}{there}{shared}", step.of);
    format!("{}\n{long}", line.trim_end())
}
