//! `ferrite plan`: every trial and step, what trains, and what is there.

use std::fmt::Write as _;

use clap::Args;

use crate::cli::fitting::Fitting;
use crate::cli::layers::kernels;
use crate::cli::print;
use crate::cli::select::{Disk, Selection, experiments};
use crate::error::{Result, printable};
use crate::event::Network;
use crate::model::summary::{summarize, trained_layers};
use crate::model::trainable::resolve;
use crate::plan;
use crate::plan::{Kind, Step, Trial};
use crate::store::Store;
use crate::sweep::{Standing, standing};
use crate::torch::processor::Processor;
use crate::train::Stage;

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
    for trial in &trials {
        let standing = standing(&store, trial);
        todo += usize::from(matches!(standing, Standing::Interrupted | Standing::New));
        let _ = writeln!(text, "{}  {}", printable(&trial.name()), state(&standing));
        let network = network(trial);
        // The seeds of an experiment have the same network; it is said once.
        if shown.as_ref() != Some(&network) {
            text.push_str(&network_lines(&network));
        }
        shown = Some(network);
        // Of what is finished nobody needs the first weights any more.
        if standing != Standing::Finished {
            for line in fitting.lines(trial) {
                let _ = writeln!(text, "  weights   {line}");
            }
        }
        for step in &trial.steps {
            let found = store.has(step.kind.name(), &step.key);
            text.push_str(&step_lines(trial, step, detail, found));
        }
    }
    print(&format!("{text}{} trials, {todo} to do\n", trials.len()))?;
    fitting.end()
}

fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing::Finished => "finished",
        Standing::Failed(_) => "failed earlier",
        Standing::Interrupted => "to go on with",
        Standing::New => "to do",
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
        count => format!(" and {} running statistics", grouped(count)),
    };
    format!(
        "  network   {} at {} px, feature maps {channels}x{height}x{width}, {} parameters\n\
         \x20           backbone {}{}, head {}{}\n",
        it.backbone,
        it.image_size,
        grouped(it.total()),
        grouped(it.backbone_parameters),
        statistics(it.backbone_statistics),
        grouped(it.head_parameters),
        statistics(it.head_statistics),
    )
}

fn step_lines(trial: &Trial, step: &Step, detail: Detail, found: bool) -> String {
    let (kind, key) = (step.kind.name(), &step.key[..8]);
    let stage = trial.settings.stages.iter().find(|it| it.name == step.stage);
    let trains = stage.filter(|_| step.kind == Kind::Stage).map(|it| trains(trial, it, detail));
    let (short, long) = trains.unwrap_or_default();
    let found = if found { "  there" } else { "" };
    let line = format!("  {kind:9} {key}  {}{short}{found}", step.stage);
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
        format!(" (Keras counts {})", grouped(trained.keras_parameters))
    };
    let short = format!(
        ": trains {} parameters in {} layers from {first} on, {} in the backbone{keras}",
        grouped(all),
        layers.len(),
        grouped(backbone),
    );
    let line = |name: &str, count: usize| format!("      {:>12}  {name}\n", grouped(count));
    let lines = match detail {
        Detail::Steps => String::new(),
        Detail::Layers => {
            let layers: String = layers.iter().map(|it| line(&it.name, it.parameters)).collect();
            layers + &kernels(model, network.image_size, &trained, &Processor::this())
        }
    };
    (short, lines)
}

/// A count with its thousands apart.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|it| std::str::from_utf8(it).unwrap_or_default())
        .collect();
    groups.join(",")
}
