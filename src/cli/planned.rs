//! A plan as it is shown: trials, what is there of their steps, who shares them and what they cost. What programs read of it
//! has a schema, which is made from the same structs.

use std::collections::BTreeSet;

use ferrite_core::error::Result;
use ferrite_core::plan::graph::{Graph, Node};
use ferrite_core::plan::search::Halved;
use ferrite_core::plan::{Step, Trial};
use ferrite_core::store::Store;
use ferrite_core::store::folder::files;
use ferrite_core::store::lock::is_locked;
use rayon::prelude::*;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;

use crate::cli::jobs::guessed;
use crate::cli::select::{Selection, experiments, trials};
use crate::forecast::{Basis, Bill, Cost, Forecast};
use crate::sweep::rungs::Goal;
use crate::sweep::{Agenda, TrialState};

/// How a sweep of the plan would be started, as far as its time depends on it.
#[derive(Debug, Clone)]
pub(super) struct Guess {
    /// Trials at once, if somebody says so.
    pub(super) jobs: Option<u16>,
    /// The device as it was asked for.
    pub(super) device: String,
}

/// A plan, and what was looked up for it.
pub(super) struct Planned {
    pub(super) trials: Vec<Trial>,
    pub(super) states: Vec<TrialState>,
    /// How far those of searches may go.
    pub(super) goals: Vec<Option<Goal>>,
    /// The searches that stop trials.
    pub(super) halved: Vec<Halved>,
    pub(super) graph: Graph,
    /// Whether the result of each node is there.
    pub(super) there: Vec<bool>,
    /// What each node costs.
    pub(super) costs: Vec<Cost>,
    pub(super) jobs: usize,
    pub(super) device: String,
    /// How many recorded runs the costs were found from.
    pub(super) recorded: usize,
    pub(super) bill: Bill,
}

impl Planned {
    /// Plans `selection`, whose results lie in `store`.
    pub(super) fn new(store: &Store, selection: &Selection, guess: &Guess) -> Result<Self> {
        let written = experiments(selection)?;
        let trials = trials(selection, &written, store)?;
        let halved = Halved::all(&written, &trials);
        let agenda = Agenda::of(store, &trials, halved.clone());
        let goals: Vec<Option<Goal>> = (0..trials.len()).map(|it| agenda.rungs.goal(it)).collect();
        let states = agenda.states;
        let graph = Graph::new(trials.iter().map(|it| it.steps.as_slice()));
        let has = |it: &Node| store.has(it.kind.name(), &it.key);
        let there: Vec<bool> = graph.nodes.par_iter().map(has).collect();
        let asked = (guess.device != "auto").then_some(guess.device.as_str());
        let mut forecast = Forecast::new(store, asked);
        let nothing = Cost { seconds: 0.0, basis: Basis::Recorded, counted: true };
        let mut costs = vec![nothing; graph.nodes.len()];
        for (trial, chain) in trials.iter().zip(&graph.chains) {
            for (node, cost) in chain.iter().zip(forecast.of(trial)) {
                costs[*node] = cost;
            }
        }
        let todo: Vec<bool> = states.iter().map(|it| it.is_to_do(false)).collect();
        let count = todo.iter().filter(|it| **it).count();
        let jobs = guess.jobs.map_or_else(|| guessed(forecast.device(), count), usize::from);
        let bill = Bill::of(&trials, (&graph, &there, &costs), &todo, jobs);
        let (device, recorded) = (forecast.device().to_owned(), forecast.runs());
        Ok(Self {
            trials,
            states,
            goals,
            halved,
            graph,
            there,
            costs,
            jobs,
            device,
            recorded,
            bill,
        })
    }

    /// How many trials a sweep would carry out.
    pub(super) fn todo(&self) -> usize {
        self.states.iter().filter(|it| it.is_to_do(false)).count()
    }

    /// The other experiments that need the step of `node` beside `experiment`, sorted.
    pub(super) fn shared_with(&self, node: usize, experiment: &str) -> BTreeSet<&str> {
        let users = self.graph.nodes[node].trials.iter();
        let names = users.map(|it| self.trials[*it].experiment.as_str());
        names.filter(|it| *it != experiment).collect()
    }

    /// The plan for programs.
    pub(super) fn told(&self, store: &Store) -> PlanTold {
        let step = |trial: &Trial, (step, node): (&Step, &usize)| StepTold {
            kind: step.kind.name(),
            of: step.of.clone(),
            key: step.key.clone(),
            there: self.there[*node],
            shared_by: self.graph.nodes[*node].trials.len(),
            shared_with: self
                .shared_with(*node, &trial.experiment)
                .into_iter()
                .map(str::to_owned)
                .collect(),
            seconds: self.costs[*node].seconds,
            basis: self.costs[*node].basis.into(),
        };
        let positions = 0..self.trials.len();
        let trials = positions.map(|at| {
            let (trial, chain) = (&self.trials[at], &self.graph.chains[at]);
            TrialTold {
                trial: trial.name(),
                experiment: trial.experiment.clone(),
                seed: trial.seed,
                state: words(store, trial, &self.states[at]),
                point: trial.point,
                rung: self.goals[at].as_ref().map(|it| it.rung[0]),
                needs: trial.needs.clone(),
                key: trial.key.clone(),
                steps: trial.steps.iter().zip(chain).map(|it| step(trial, it)).collect(),
            }
        });
        let Bill { seconds, alone, with_jobs, basis, guessed, counted } = self.bill;
        let searches = self.halved.iter().map(|it| {
            let [epochs_at_most, epochs_of_all] = it.epochs();
            SearchTold {
                experiment: it.experiment.clone(),
                points: it.points.len(),
                rungs: it.rungs.clone(),
                entrants: it.contest().entrants(),
                epochs_at_most,
                epochs_of_all,
            }
        });
        PlanTold {
            trials: trials.collect(),
            searches: searches.collect(),
            costs: CostsTold {
                device: self.device.clone(),
                jobs: self.jobs,
                recorded_runs: self.recorded,
                seconds,
                seconds_alone: alone,
                seconds_with_jobs: with_jobs,
                basis: basis.map(Into::into),
                guessed_share: guessed,
                images_are_counted: counted,
            },
        }
    }
}

/// A trial's state in a word.
pub(super) fn words(store: &Store, trial: &Trial, state: &TrialState) -> &'static str {
    match state {
        TrialState::Interrupted | TrialState::New
            if is_locked(&store.root.join(trial.name()).join(files::LOCK)) =>
        {
            "running"
        }
        TrialState::Finished => "finished",
        TrialState::Failed(_) | TrialState::Lacking(_) => "failed",
        TrialState::Stopped => "stopped",
        TrialState::Interrupted => "interrupted",
        TrialState::New => "to do",
    }
}

/// The schema of what `ferrite plan --json` prints.
pub(super) fn schema() -> String {
    let mut schema = schema_for!(PlanTold);
    schema.insert("title".into(), "What `ferrite plan --json` prints, version 1".into());
    let version = serde_json::json!({
        "description": "The version of what commands print for programs (docs/json.md).",
        "type": "integer",
        "const": ferrite_core::terminal::JSON_VERSION,
    });
    if let Some(properties) = schema.get_mut("properties").and_then(|it| it.as_object_mut()) {
        properties.insert("version".into(), version);
    }
    if let Some(required) = schema.get_mut("required").and_then(|it| it.as_array_mut()) {
        required.insert(0, "version".into());
    }
    let text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    format!("{text}\n")
}

/// Every trial of the named experiments, what is there of it and what it will cost.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PlanTold {
    /// The trials, those that others start from first.
    trials: Vec<TrialTold>,
    /// The searches that stop points.
    searches: Vec<SearchTold>,
    /// What is left to do costs.
    costs: CostsTold,
}

/// A search that stops the points that are behind.
#[derive(Debug, Serialize, JsonSchema)]
struct SearchTold {
    /// Its experiment.
    experiment: String,
    /// How many points it has.
    points: usize,
    /// Epochs after which each rung ends.
    rungs: Vec<usize>,
    /// How many points at most begin each rung.
    entrants: Vec<usize>,
    /// Epochs of all its trials, at most.
    epochs_at_most: usize,
    /// Epochs if no point were stopped.
    epochs_of_all: usize,
}

/// A trial: every setting fixed, one seed.
#[derive(Debug, Serialize, JsonSchema)]
struct TrialTold {
    /// Its name, which is that of its run's folder.
    trial: String,
    /// Its experiment.
    experiment: String,
    /// Its seed.
    seed: u64,
    /// `to do`, `running`, `stopped`, `interrupted`, `failed` or `finished`.
    state: &'static str,
    /// Of a search, the number of its point, from 1.
    point: Option<usize>,
    /// Of a search that stops points, the number of the rung that it may reach, from 1.
    rung: Option<usize>,
    /// The run whose weights it starts from.
    needs: Option<String>,
    /// The key of its last step.
    key: String,
    /// Its steps, in order.
    steps: Vec<StepTold>,
}

/// A step of a trial. Steps with one key are one step, whichever trials they stand in.
#[derive(Debug, Serialize, JsonSchema)]
struct StepTold {
    /// `dataset`, `detections`, `faces`, `features`, `stage` or `evaluate`.
    kind: &'static str,
    /// The stage that it belongs to, for features with the split behind it; empty for those of no stage.
    of: String,
    /// The name of its result.
    key: String,
    /// Whether its result is there.
    there: bool,
    /// How many trials of the plan need it.
    shared_by: usize,
    /// The other experiments whose trials need it.
    shared_with: Vec<String>,
    /// Seconds that one worker takes or took for it, if no stage ends early.
    seconds: f64,
    /// What that was found from.
    basis: BasisTold,
}

/// What everything costs that is to be done and not there yet, in seconds.
#[derive(Debug, Serialize, JsonSchema)]
struct CostsTold {
    /// Where it is believed to be carried out.
    device: String,
    /// Trials at once.
    jobs: usize,
    /// How many runs of this machine the forecast was made from.
    recorded_runs: usize,
    /// All steps, each once, one after the other.
    seconds: f64,
    /// The same if every trial made its steps for itself.
    seconds_alone: f64,
    /// The least that a sweep with so many jobs takes.
    seconds_with_jobs: f64,
    /// The worst basis among these steps; null if nothing is to be done.
    basis: Option<BasisTold>,
    /// Which share of `seconds` is a guess from multiplications.
    guessed_share: f64,
    /// Whether the images were counted: of tables that were not decoded yet their number is guessed.
    images_are_counted: bool,
}

/// What a cost was found from, the best first: the same step on this machine; steps with the same network, size and device;
/// multiplications at the speed of other steps of this machine; multiplications at a constant speed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum BasisTold {
    Recorded,
    Alike,
    Multiplications,
    Constant,
}

impl From<Basis> for BasisTold {
    fn from(basis: Basis) -> Self {
        match basis {
            Basis::Recorded => Self::Recorded,
            Basis::Alike => Self::Alike,
            Basis::Multiplications => Self::Multiplications,
            Basis::Constant => Self::Constant,
        }
    }
}
