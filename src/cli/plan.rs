//! `ferrite plan`: every trial and step, what trains, and what is there.

use std::fmt::Write as _;

use clap::Args;
use ferrite_core::digits::thousands;
use ferrite_core::error::{Result, printable};
use ferrite_core::event::Network;
use ferrite_core::model::summary::{summarize, trained_layers};
use ferrite_core::model::trainable::resolve;
use ferrite_core::plan;
use ferrite_core::plan::graph::Graph;
use ferrite_core::plan::steps::Kind;
use ferrite_core::plan::{Step, Trial};
use ferrite_core::processor::Processor;
use ferrite_core::settings::Stage;
use ferrite_core::store::Store;
use ferrite_core::terminal::print;

use crate::cli::fitting::Fitting;
use crate::cli::layers::kernels;
use crate::cli::select::{Disk, Selection, experiments};
use crate::sweep::{TrialState, state_of};

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    selection: Selection,
    /// List every layer that trains, and how this processor computes each convolution
    #[arg(long)]
    layers: bool,
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
    let detail = if arguments.layers { Detail::Layers } else { Detail::Steps };
    show_plan(&arguments.selection, detail)
}

pub(super) fn show_plan(selection: &Selection, detail: Detail) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let trials = plan::trials(&experiments(selection)?, &Disk { store: &store })?;
    let mut text = String::new();
    let mut todo = 0;
    let mut shown: Option<Network> = None;
    let mut fitting = Fitting::new(&store, &trials);
    let graph = Graph::new(trials.iter().map(|it| it.steps.as_slice()));
    let there: Vec<bool> =
        graph.nodes.iter().map(|it| store.has(it.kind.name(), &it.key)).collect();
    for (position, trial) in trials.iter().enumerate() {
        let state = state_of(&store, trial);
        todo += usize::from(matches!(state, TrialState::Interrupted | TrialState::New));
        let _ = writeln!(text, "{}  {}", printable(&trial.name()), words(&state));
        let network = network(trial);
        // The seeds of an experiment have the same network; it is said once.
        if shown.as_ref() != Some(&network) {
            text.push_str(&network_lines(&network));
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
            text.push_str(&step_lines(trial, step, detail, place));
        }
    }
    text.push_str(&summary(&graph, &there));
    print(&format!("{text}{} trials, {todo} to do\n", trials.len()))?;
    fitting.end()
}

fn words(state: &TrialState) -> &'static str {
    match state {
        TrialState::Finished => "finished",
        TrialState::Failed(_) => "failed earlier",
        TrialState::Interrupted => "to go on with",
        TrialState::New => "to do",
    }
}

fn network(trial: &Trial) -> Network {
    let data = &trial.settings.data;
    summarize(&trial.settings.model, data.image_size, data.classes().len())
}

fn network_lines(it: &Network) -> String {
    let [channels, height, width] = it.feature_map;
    let statistics = |count: usize| match count {
        0 => String::new(),
        count => format!(" and {} running statistics", thousands(count)),
    };
    format!(
        "  network   {} at {} px, feature maps {channels}x{height}x{width}, {} parameters\n\
         \x20           backbone {}{}, head {}{}\n",
        it.backbone,
        it.image_size,
        thousands(it.total()),
        thousands(it.backbone_parameters),
        statistics(it.backbone_statistics),
        thousands(it.head_parameters),
        statistics(it.head_statistics),
    )
}

/// How many steps the graph has, and what sharing saves.
fn summary(graph: &Graph, there: &[bool]) -> String {
    let asked: usize = graph.chains.iter().map(Vec::len).sum();
    let (steps, left) = (graph.nodes.len(), there.iter().filter(|it| !**it).count());
    let shared = match asked - steps {
        0 => String::new(),
        saved => format!(", where trials one by one would do {}", steps + saved),
    };
    format!("{steps} steps, {left} of them not there yet{shared}\n")
}

/// What is there of a step, and who needs it.
#[derive(Clone, Copy)]
struct Place {
    there: bool,
    /// How many trials of the plan need it.
    users: usize,
}

fn step_lines(trial: &Trial, step: &Step, detail: Detail, place: Place) -> String {
    let (kind, key) = (step.kind.name(), &step.key[..8]);
    let stage = trial.settings.stages.iter().find(|it| it.name == step.of);
    let trains = stage.filter(|_| step.kind == Kind::Stage).map(|it| trains(trial, it, detail));
    let (short, long) = trains.unwrap_or_default();
    let there = if place.there { "  there" } else { "" };
    let shared = match place.users {
        0 | 1 => String::new(),
        users => format!("  shared by {users} trials"),
    };
    let line = format!("  {kind:9} {key}  {}{short}{there}{shared}", step.of);
    format!("{}\n{long}", line.trim_end())
}

/// What trains in a stage: a phrase, and a line for each layer.
fn trains(trial: &Trial, stage: &Stage, detail: Detail) -> (String, String) {
    let model = &trial.settings.model;
    let trained = resolve(model, &stage.trainable).expect("the settings were checked");
    let network = network(trial);
    let sizes = [network.image_size, trial.settings.data.classes().len()];
    let layers = trained_layers(model, sizes, &trained);
    let all: usize = layers.iter().map(|it| it.parameters).sum();
    let backbone = all - network.head_parameters;
    let first = layers.first().map(|it| it.name.as_str()).unwrap_or_default();
    let keras = if trained.keras_parameters == backbone {
        String::new()
    } else {
        format!(" (Keras counts {})", thousands(trained.keras_parameters))
    };
    let short = format!(
        ": trains {} parameters in {} layers from {first} on, {} in the backbone{keras}",
        thousands(all),
        layers.len(),
        thousands(backbone),
    );
    let line = |name: &str, count: usize| format!("      {:>12}  {name}\n", thousands(count));
    let lines = match detail {
        Detail::Steps => String::new(),
        Detail::Layers => {
            let layers: String = layers.iter().map(|it| line(&it.name, it.parameters)).collect();
            layers + &kernels(model, network.image_size, &trained, &Processor::this())
        }
    };
    (short, lines)
}
