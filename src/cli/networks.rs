//! What a plan says of networks and of what trains in them. Trials of a grid mostly have the same network, so each is looked
//! at once.

use std::collections::HashMap;

use crate::cli::layers::kernels;
use crate::cli::plan::Detail;
use crate::cli::table::{WIDTH, wrapped};
use ferrite_core::digits::{counted, thousands};
use ferrite_core::event::Network;
use ferrite_core::model::summary::{summarize, trained_layers};
use ferrite_core::model::trainable::resolve;
use ferrite_core::model::{Head, Model, Weights};
use ferrite_core::plan::Trial;
use ferrite_core::processor::Processor;
use ferrite_core::settings::Stage;

/// The networks of a plan.
pub(super) struct Networks {
    detail: Detail,
    known: HashMap<String, Network>,
    trains: HashMap<String, Trains>,
}

/// What trains in a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct Trains {
    /// A phrase.
    pub(super) short: String,
    /// A line for each layer.
    pub(super) long: String,
}

impl Networks {
    /// Nothing is looked at yet; `detail` is how much will be said.
    pub(super) fn new(detail: Detail) -> Self {
        Self { detail, known: HashMap::new(), trains: HashMap::new() }
    }

    /// The network of `trial`.
    pub(super) fn of(&mut self, trial: &Trial) -> Network {
        let data = &trial.settings.data;
        let found = self.known.entry(shape(trial));
        found
            .or_insert_with(|| {
                summarize(&trial.settings.model, data.image_size, data.classes().len())
            })
            .clone()
    }

    /// What trains in `stage` of `trial`.
    pub(super) fn trains(&mut self, trial: &Trial, stage: &Stage) -> Trains {
        let key = format!("{} {:?}", shape(trial), stage.trainable);
        if let Some(known) = self.trains.get(&key) {
            return known.clone();
        }
        let network = self.of(trial);
        let trains = trains(trial, stage, &network, self.detail);
        self.trains.insert(key, trains.clone());
        trains
    }
}

/// What of the settings decides the shape of the network, as a text.
fn shape(trial: &Trial) -> String {
    let model = &trial.settings.model;
    let head = Head { dropout: 0.0, ..model.head.clone() };
    let implementation = Some(model.implementation());
    let model = Model { head, weights: Weights::None, implementation, ..model.clone() };
    format!("{model:?} {} {}", trial.settings.data.image_size, trial.settings.data.classes().len())
}

/// What a plan says of a network.
pub(super) fn lines_of(it: &Network) -> String {
    let [channels, height, width] = it.feature_map;
    let statistics = |count: usize| match count {
        0 => String::new(),
        count => format!(" and {} running statistics", thousands(count)),
    };
    let whole = format!(
        "{} at {} px, feature maps {channels}x{height}x{width}, {} parameters",
        it.backbone,
        it.image_size,
        thousands(it.total()),
    );
    let parts = format!(
        "backbone {}{}, head {}{}",
        thousands(it.backbone_parameters),
        statistics(it.backbone_statistics),
        thousands(it.head_parameters),
        statistics(it.head_statistics),
    );
    wrapped("  network    ", &whole, WIDTH) + &wrapped("             ", &parts, WIDTH)
}

fn trains(trial: &Trial, stage: &Stage, network: &Network, detail: Detail) -> Trains {
    let model = &trial.settings.model;
    let trained = resolve(model, &stage.trainable).expect("the settings were checked");
    let sizes = [network.image_size, trial.settings.data.classes().len()];
    let layers = trained_layers(model, sizes, &trained);
    let all: usize = layers.iter().map(|it| it.parameters).sum();
    let backbone = all - network.head_parameters;
    let first = layers.first().map(|it| it.name.as_str()).unwrap_or_default();
    let keras = match trained.keras_parameters {
        Some(keras) if keras != backbone => format!(" (Keras counts {})", thousands(keras)),
        _ => String::new(),
    };
    let short = format!(
        ": trains {} in {} from {first} on, {} in the backbone{keras}",
        counted(all, "parameter"),
        counted(layers.len(), "layer"),
        thousands(backbone),
    );
    let line = |name: &str, count: usize| format!("      {:>12}  {name}\n", thousands(count));
    let long = match detail {
        Detail::Steps => String::new(),
        Detail::Layers => {
            let layers: String = layers.iter().map(|it| line(&it.name, it.parameters)).collect();
            layers + &kernels(model, network.image_size, &trained, &Processor::this())
        }
    };
    Trains { short, long }
}
