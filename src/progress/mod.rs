//! What a sweep shows while it runs: bars on a terminal, plain lines elsewhere.
//!
//! **Invariant:** everything goes to stderr; stdout is for results.

pub mod download;
mod line;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use console::Term;
use ferrite_core::digits::counted;
use ferrite_core::error::printable_lines;
use ferrite_core::event::progress::{Advance, Progress};
use ferrite_core::event::{Epoch, Kind};
use ferrite_core::plan::Trial;
use ferrite_core::plan::steps::Kind as StepKind;
use ferrite_core::store::Store;
use ferrite_core::store::record::Facts;
use ferrite_core::terminal::notes::waits_for;
use ferrite_core::warning::{Fact, Watch};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::format::{self, duration};
use crate::progress::line::{ended, fitted, reached, scores_of, short, time_left};
use crate::progress::work::Work;
use crate::sweep::{Outcome, SweepEvent};

/// Without a terminal, epochs of a trial are said at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Time left is told once this share of the work is done and this much time has gone by: before, it is a guess.
const LEAST_DONE: f64 = 0.01;
const LEAST_TIME: Duration = Duration::from_secs(3);

/// The width of a bar, with the spaces around it.
const BAR: usize = 10;
const AROUND_BAR: usize = 4;

/// A terminal that does not say how wide it is.
const USUAL_WIDTH: usize = 80;

/// Shows a sweep.
pub struct Display {
    store: Store,
    bars: Option<Bars>,
    running: BTreeMap<String, Shown>,
    quiet: bool,
    total: usize,
    ended: usize,
    began: Instant,
    work: Work,
    /// Warnings that were told, and how many more of the same words there were.
    warned: BTreeSet<String>,
    alike: usize,
}

/// The bars on a terminal: one for each running trial, and below them one for the sweep.
struct Bars {
    all: MultiProgress,
    sweep: ProgressBar,
}

/// One running trial.
struct Shown {
    bar: ProgressBar,
    name: String,
    /// The keys of its stages, by their names.
    stages: BTreeMap<String, String>,
    stage: String,
    epochs: usize,
    /// The share of the running stage that is done.
    done: f64,
    /// Validation accuracy of the last epoch.
    valid: Option<f64>,
    /// Seconds of the last epoch.
    epoch_seconds: f64,
    facts: Facts,
    started: Instant,
    said: Option<Instant>,
    /// Warns of each thing once: every stage measures anew.
    watch: Watch,
}

impl Display {
    /// A display that has nothing to show yet. If it is to be `quiet`, it will only ever show what fails. The runs lie in `store`.
    pub fn new(store: &Store, quiet: bool) -> Self {
        let store = store.clone();
        let bars = (!quiet && std::io::stderr().is_terminal()).then(Bars::new);
        let (running, work, began) = (BTreeMap::new(), Work::default(), Instant::now());
        let (warned, alike) = (BTreeSet::new(), 0);
        Self { store, bars, running, quiet, total: 0, ended: 0, began, work, warned, alike }
    }

    /// Shows what a sweep says.
    pub fn show(&mut self, event: SweepEvent<'_>) {
        match event {
            SweepEvent::Planned { todo, costs } => {
                self.total = todo;
                self.work = Work::of(&costs);
            }
            SweepEvent::Started(trial) => self.start(trial),
            SweepEvent::Happened(trial, kind) => self.happened(trial, kind),
            SweepEvent::Recalled(trial) => self.leave(trial, &line::recalled(trial)),
            SweepEvent::Silent(trial, time) => self.silent(trial, time),
            SweepEvent::Again(trial, failure) => self.leave(trial, &line::again(trial, failure)),
            SweepEvent::Settled(it) => self.say(&line::settled(it)),
            SweepEvent::Promoted(trial, [rung, of]) => {
                self.say(&format!("{}  goes on with rung {rung} of {of}", trial.name()));
            }
            SweepEvent::Ended(trial, outcome) => self.end(trial, outcome),
            SweepEvent::NoUse { failures } => self.say(&line::no_use(failures)),
            SweepEvent::Stopping => self.say(
                "stopping at the end of each running epoch, where the next sweep goes on; Ctrl-C again stops at once",
            ),
        }
        self.show_sweep();
    }

    /// Says one line, above the bars if there are any, unless it is to be quiet.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.warn(line);
        }
    }

    /// Says one line that is told in any case: why something failed.
    pub fn warn(&self, line: &str) {
        let line = printable_lines(line);
        match &self.bars {
            Some(bars) => drop(bars.all.println(line)),
            // Nothing can be done if stderr is closed.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// Takes away what is shown, before results are printed.
    pub fn finish(&mut self) {
        if let Some(bars) = &self.bars {
            bars.sweep.finish_and_clear();
        }
        if self.alike > 0 {
            let more = counted(self.alike, "more warning");
            self.say(&format!(
                "{more} with the same words of other trials: the page and `ferrite show` have all"
            ));
        }
    }

    fn start(&mut self, trial: &Trial) {
        let bar = match &self.bars {
            Some(bars) => bars.all.insert_before(&bars.sweep, ProgressBar::new(1)),
            None => ProgressBar::hidden(),
        };
        bar.set_style(style());
        let shown = Shown::new(trial, bar);
        shown.write("begins");
        self.running.insert(trial.name(), shown);
        if self.bars.is_none() {
            self.say(&format!("{}  begins", trial.name()));
        }
    }

    fn silent(&self, trial: &Trial, time: Duration) {
        let (name, time) = (trial.name(), duration(time.as_secs_f64()));
        self.say(&format!(
            "{name}  has given no sign of life for {time}; as long again, and it is ended (`--patience`)"
        ));
    }

    fn happened(&mut self, trial: &Trial, kind: &Kind) {
        let Some(shown) = self.running.get_mut(&trial.name()) else { return };
        let name = trial.name();
        shown.facts.fold(kind.clone());
        let warnings = Fact::of(kind).map_or_else(Vec::new, |it| shown.watch.see(it));
        let line = match kind {
            Kind::StageStarted(start) => {
                (shown.stage, shown.epochs) = (start.stage.clone(), start.epochs);
                shown.done = 0.0;
                None
            }
            Kind::StepEnded(progress) => {
                shown.step(progress);
                None
            }
            Kind::WorkAdvanced(work) => {
                shown.work(work);
                None
            }
            Kind::EpochEnded(epoch) => shown.epoch(epoch).map(|it| format!("{name}  {it}")),
            Kind::FeaturesReady(it) if !it.reused => {
                let speed = it.images as f64 / it.seconds.max(1e-9);
                let (split, images) = (&it.split, it.images);
                Some(format!(
                    "{name}  frozen layers computed once for {images} {split} images, {speed:.0} images/s"
                ))
            }
            Kind::StageEnded(end) => Some(format!("{name}  {}", ended(end))),
            Kind::StepReady(it) => {
                self.work.remove(&it.key);
                shown.done = 0.0;
                None
            }
            Kind::Waiting(it) => {
                shown.write(&waits_for(it));
                self.say(&format!("{name}  {}", waits_for(it)));
                None
            }
            _ => None,
        };
        for it in warnings {
            // Thirty trials that never predict the same rare class are one piece of news.
            if self.warned.insert(it.message.clone()) {
                self.say(&format!("{name}  warning: {}", it.message));
            } else {
                self.alike += 1;
            }
        }
        if let Some(line) = line
            && self.bars.is_none()
        {
            self.say(&line);
        }
    }

    /// The worker of `trial` is gone, and another one comes.
    fn leave(&mut self, trial: &Trial, line: &str) {
        if let Some(shown) = self.running.remove(&trial.name()) {
            shown.bar.finish_and_clear();
        }
        self.say(line);
    }

    fn end(&mut self, trial: &Trial, outcome: &Outcome) {
        // Whoever stopped at a rung may go on.
        self.ended += usize::from(*outcome != Outcome::Stopped);
        let shown = self.running.remove(&trial.name());
        let seconds = shown.as_ref().map_or(0.0, |it| it.started.elapsed().as_secs_f64());
        let scores =
            shown.as_ref().map_or_else(String::new, |it| scores_of(&self.store, trial, &it.facts));
        let at = shown.as_ref().and_then(|it| it.facts.stages.last()?.epochs.last().cloned());
        if let Some(shown) = shown {
            shown.bar.finish_and_clear();
        }
        if *outcome == Outcome::Finished {
            for step in &trial.steps {
                self.work.remove(&step.key);
            }
        }
        let of = format!("[{}/{}]", self.ended, self.total);
        let name = trial.name();
        let line = match outcome {
            Outcome::Finished => {
                format!("{of} {name}  finished{scores}  {}", format::duration(seconds))
            }
            Outcome::Stopped => format!("{name}  at the end of its rung{}", reached(at.as_ref())),
            Outcome::Interrupted => {
                format!("{of} {name}  interrupted; goes on with the next sweep")
            }
            Outcome::Died(it) => line::cannot_go_on(&format!("{of} {name}  interrupted"), it),
            Outcome::Failed(it) => line::cannot_go_on(&format!("{of} {name}  failed"), it),
        };
        if matches!(outcome, Outcome::Failed(_) | Outcome::Died(_)) {
            self.warn(&line);
        } else {
            self.say(&line);
        }
    }

    /// Brings the bar of the sweep up to date.
    fn show_sweep(&self) {
        let Some(bars) = &self.bars else { return };
        if self.total == 0 {
            return;
        }
        let done = self.work.done(self.running.values().filter_map(Shown::at));
        bars.sweep.set_position((done * STEPS as f64) as u64);
        let elapsed = self.began.elapsed();
        let left = (done > LEAST_DONE && elapsed > LEAST_TIME)
            .then(|| elapsed.as_secs_f64() * (1.0 - done) / done)
            .and_then(time_left)
            .map(|it| format!("  about {it}"));
        let trials = counted(self.total, "trial");
        let line = format!("{} of {trials} done{}", self.ended, left.unwrap_or_default());
        if bars.sweep.message() != line {
            bars.sweep.set_message(line);
        }
    }
}

/// Into how many steps the bar of a sweep is divided.
const STEPS: u64 = 10_000;

impl Bars {
    fn new() -> Self {
        let all = MultiProgress::new();
        let sweep = all.add(ProgressBar::new(STEPS));
        sweep.set_style(style());
        Self { all, sweep }
    }
}

/// A bar and one line behind it, which is cut where the terminal ends.
fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(&format!("  {{bar:{BAR}.cyan/238}}  {{wide_msg}}"));
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Shown {
    /// The key of the stage that is being trained, and the share of it that is done.
    fn at(&self) -> Option<(&str, f64)> {
        Some((self.stages.get(&self.stage)?.as_str(), self.done))
    }

    fn new(trial: &Trial, bar: ProgressBar) -> Self {
        let stages = trial.steps.iter().filter(|it| it.kind == StepKind::Stage);
        Self {
            bar,
            name: short(&trial.name()).to_owned(),
            stages: stages.map(|it| (it.of.clone(), it.key.clone())).collect(),
            stage: String::new(),
            epochs: 0,
            done: 0.0,
            valid: None,
            epoch_seconds: 0.0,
            facts: Facts::default(),
            started: Instant::now(),
            said: None,
            watch: Watch::default(),
        }
    }

    /// Shows the trial's name and `what` behind it.
    fn write(&self, what: &str) {
        self.write_parts(&[what.to_owned()]);
    }

    /// Shows the trial's name and `parts` behind it, as far as the terminal is wide.
    fn write_parts(&self, parts: &[String]) {
        let width = Term::stderr().size_checked().map_or(USUAL_WIDTH, |(_, it)| usize::from(it));
        self.bar.set_message(fitted(&self.name, parts, width.saturating_sub(BAR + AROUND_BAR)));
    }

    fn step(&mut self, progress: &Progress) {
        let Progress { stage, epoch, epochs, step, steps, loss, .. } = progress;
        let (done, of) = ((epoch - 1) * steps + step, epochs * steps);
        self.done = done as f64 / of.max(1) as f64;
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
        let valid = self.valid.map(|it| format!("valid {} %", format::percent(it)));
        let left = time_left(self.epoch_seconds * (of - done) as f64 / (*steps).max(1) as f64);
        let parts = [
            Some(format!("{stage} {epoch}/{epochs}")),
            valid,
            left,
            Some(format!("loss {loss:.2}")),
        ];
        self.write_parts(&parts.into_iter().flatten().collect::<Vec<_>>());
    }

    fn work(&mut self, Advance { what, done, of, per_second }: &Advance) {
        self.bar.set_length(*of as u64);
        self.bar.set_position(*done as u64);
        self.write(&match what.as_str() {
            "weights" => format!("{what}  {:.1}/{:.1} MB", *done as f64 / 1e6, *of as f64 / 1e6),
            _ => format!("{what}  {done}/{of}  {per_second:.0}/s"),
        });
    }

    /// The line for an epoch, if it is time for one.
    fn epoch(&mut self, epoch: &Epoch) -> Option<String> {
        (self.valid, self.epoch_seconds) = (Some(epoch.valid.accuracy), epoch.seconds);
        let last = epoch.epoch == self.epochs;
        if !last && self.said.is_some_and(|it| it.elapsed() < LINE_EVERY) {
            return None;
        }
        self.said = Some(Instant::now());
        let left = time_left(epoch.seconds * self.epochs.saturating_sub(epoch.epoch) as f64);
        let left = left.map_or_else(String::new, |it| format!("  {it}"));
        // Of a stage that another process trains the beginning may not have been heard.
        let of = if self.epochs == 0 { String::new() } else { format!("/{}", self.epochs) };
        Some(format!(
            "{} {}{of}  loss {:.3}  valid loss {:.3}  valid accuracy {:.1} %  {:.0} images/s{left}",
            epoch.stage,
            epoch.epoch,
            epoch.train.loss,
            epoch.valid.loss,
            100.0 * epoch.valid.accuracy,
            epoch.images_per_second,
        ))
    }
}
