//! `ferrite plan`: every trial and step, what trains, what is there, who shares it, and what it will cost.

use std::fmt::Write as _;

use clap::Args;

use crate::cli::fitting::Fitting;
use crate::cli::jobs::count;
use crate::cli::networks::{Networks, Trains, lines_of};
use crate::cli::planned::{Guess, Planned, schema, words};
use crate::cli::select::Selection;
use crate::cli::table::{WIDTH, wrapped};
use crate::format;
use crate::sweep::TrialState;
use crate::sweep::rungs::Goal;
use ferrite_core::digits::counted;
use ferrite_core::error::{Result, printable};
use ferrite_core::event::Network;
use ferrite_core::plan::Trial;
use ferrite_core::plan::search::Halved;
use ferrite_core::plan::steps::Kind;
use ferrite_core::store::Store;
use ferrite_core::terminal::{documented, print, print_json};

#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    selection: Selection,
    /// List every layer that trains, and how this processor computes each convolution
    #[arg(long)]
    layers: bool,
    /// Say how long it takes with so many trials at once [default: as many as `ferrite sweep` would take]
    #[arg(long, short, value_parser = count)]
    jobs: Option<u16>,
    /// Say how long it takes there: `cpu`, `cuda:N` [default: where the newest run was]
    #[arg(long, default_value = "auto")]
    device: String,
    /// Print one JSON object (docs/json.md)
    #[arg(long, conflicts_with = "layers")]
    json: bool,
    /// Print the JSON schema of what `--json` prints
    #[arg(long, conflicts_with_all = ["json", "layers"])]
    schema: bool,
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
    let guess = Guess { jobs: arguments.jobs, device: arguments.device.clone() };
    if arguments.schema {
        return print_json(&schema());
    }
    if arguments.json {
        return print_plan(&arguments.selection, &guess);
    }
    let detail = if arguments.layers { Detail::Layers } else { Detail::Steps };
    show_plan(&arguments.selection, &guess, detail)
}

/// Prints the plan for people.
pub(super) fn show_plan(selection: &Selection, guess: &Guess, detail: Detail) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let planned = Planned::new(&store, selection, guess)?;
    let mut text = String::new();
    let mut shown: Option<Network> = None;
    let mut networks = Networks::new(detail);
    let mut fitting = Fitting::new(&store, &planned.trials);
    for (position, trial) in planned.trials.iter().enumerate() {
        let state = &planned.states[position];
        let words = words(&store, trial, state);
        let rung = rung(state, planned.goals[position].as_ref());
        let _ = writeln!(text, "{}  {words}{rung}", printable(&trial.name()));
        let network = networks.of(trial);
        // The seeds of an experiment have the same network; it is said once.
        if shown.as_ref() != Some(&network) {
            text.push_str(&lines_of(&network));
        }
        shown = Some(network);
        // Of what is finished nobody needs the first weights any more.
        if *state != TrialState::Finished {
            for line in fitting.lines(trial) {
                text.push_str(&wrapped("  weights    ", line, WIDTH));
            }
        }
        text.push_str(&steps(&planned, position, &mut networks));
    }
    text.push_str(&summary(&planned));
    planned.halved.iter().for_each(|it| text.push_str(&wrapped("", &search(it), WIDTH)));
    let trials = counted(planned.trials.len(), "trial");
    print(&format!("{text}{trials}, {} to do\n", planned.todo()))?;
    fitting.end()
}

/// Prints the plan for programs.
pub(super) fn print_plan(selection: &Selection, guess: &Guess) -> Result<()> {
    let store = Store { root: selection.place.runs.clone() };
    let told = Planned::new(&store, selection, guess)?.told(&store);
    print_json(&documented(serde_json::to_value(told).expect("a plan is plain JSON")))
}

/// Where in its search a trial stands.
fn rung(state: &TrialState, goal: Option<&Goal>) -> String {
    let Some(Goal { rung: [rung, of], .. }) = goal else { return String::new() };
    match state {
        TrialState::Stopped => format!(" at rung {rung} of {of}"),
        TrialState::Finished | TrialState::Failed(_) | TrialState::Lacking(_) => String::new(),
        TrialState::Interrupted | TrialState::New => format!(", rung {rung} of {of}"),
    }
}

/// What a search will cost.
fn search(halved: &Halved) -> String {
    let list = |all: &[usize]| {
        let all: Vec<String> = all.iter().map(usize::to_string).collect();
        match all.split_last() {
            Some((last, before)) if !before.is_empty() => {
                format!("{} and {last}", before.join(", "))
            }
            _ => all.concat(),
        }
    };
    let [most, all] = halved.epochs();
    format!(
        "search of {}: {}, which end after {} epochs, with {} points at most: no more than {most} epochs of {all}, {} %\n",
        printable(&halved.experiment),
        counted(halved.rungs.len(), "rung"),
        list(&halved.rungs),
        list(&halved.contest().entrants()),
        format::percent(most as f64 / all.max(1) as f64),
    )
}

/// A paragraph for each step of the trial at `position`.
fn steps(planned: &Planned, position: usize, networks: &mut Networks) -> String {
    let trial = &planned.trials[position];
    let mut text = String::new();
    for (step, node) in trial.steps.iter().zip(&planned.graph.chains[position]) {
        let stage = trial.settings.stages.iter().find(|it| it.name == step.of);
        let stage = stage.filter(|_| step.kind == Kind::Stage);
        let Trains { short, long } = stage.map(|it| networks.trains(trial, it)).unwrap_or_default();
        let cost = format::about(planned.costs[*node].seconds);
        let there = if planned.there[*node] { "there".to_owned() } else { cost };
        let what = format!("{}{short}", step.of);
        let parts = [what, there, sharing(planned, *node, trial)];
        let said: Vec<_> = parts.into_iter().filter(|it| !it.is_empty()).collect();
        let begin = format!("  {:10} {}  ", step.kind.name(), &step.key[..8]);
        text.push_str(&wrapped(&begin, &said.join("; "), WIDTH));
        text.push_str(&long);
    }
    text
}

/// Who needs a step beside `trial`.
fn sharing(planned: &Planned, node: usize, trial: &Trial) -> String {
    /// So many experiments are named.
    const MOST: usize = 3;
    let users = planned.graph.nodes[node].trials.len();
    if users < 2 {
        return String::new();
    }
    let others = planned.shared_with(node, &trial.experiment);
    let mut names: Vec<String> = others.iter().take(MOST).map(|it| format!("`{it}`")).collect();
    if others.len() > MOST {
        names.push(format!("{} more", others.len() - MOST));
    }
    let with = match names.pop() {
        None => String::new(),
        Some(only) if names.is_empty() => format!(", with {only}"),
        Some(last) => format!(", with {} and {last}", names.join(", ")),
    };
    format!("shared by {}{with}", counted(users, "trial"))
}

/// How many steps there are, what is left of them costs, and what sharing saves.
fn summary(planned: &Planned) -> String {
    let asked: usize = planned.graph.chains.iter().map(Vec::len).sum();
    let (steps, left) = (planned.there.len(), planned.there.iter().filter(|it| !**it).count());
    let shared = match asked - steps {
        0 => String::new(),
        saved => format!(", where trials one by one would do {}", steps + saved),
    };
    let all = format!("{}, {left} of them not there yet{shared}", counted(steps, "step"));
    let mut text = wrapped("", &all, WIDTH);
    let bill = &planned.bill;
    if bill.basis.is_none() {
        return text;
    }
    let with_jobs = match planned.jobs {
        1 => String::new(),
        jobs => format!(" of work, {} with {jobs} at once", format::about(bill.with_jobs)),
    };
    let (time, origin) = (format::about(bill.seconds), bill.origin(planned.recorded));
    let early = planned.trials.iter().zip(&planned.states).any(|(trial, state)| {
        *state != TrialState::Finished
            && trial.settings.stages.iter().any(|it| it.early_stopping.is_some())
    });
    let early = if early { ", if no stage stops early" } else { "" };
    let line = format!("{time}{with_jobs} on {}{early}: {origin}", planned.device);
    text.push_str(&wrapped("", &line, WIDTH));
    if bill.alone > bill.seconds {
        let saved = format::about(bill.alone - bill.seconds);
        let share = format::percent(bill.saved());
        let line =
            format!("sharing saves {saved}, {share} % of what the trials would take one by one");
        text.push_str(&wrapped("", &line, WIDTH));
    }
    text
}
