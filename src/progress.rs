//! What a sweep shows while it runs: bars on a terminal, plain lines elsewhere.
//!
//! **Invariant:** everything goes to stderr; stdout is for results.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use ferrite_core::error::printable_lines;
use ferrite_core::event::acts::Stop;
use ferrite_core::event::progress::{Advance, Progress};
use ferrite_core::event::{Epoch, Kind, StageEnd};
use ferrite_core::fetch;
use ferrite_core::plan::Trial;
use ferrite_core::terminal::notes::waits_for;
use ferrite_core::warning::{Fact, Watch};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::sweep::{Outcome, SweepEvent};

/// Without a terminal, epochs of a trial are said at most this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows a sweep.
pub struct Display {
    bars: Option<MultiProgress>,
    running: BTreeMap<String, Shown>,
    quiet: bool,
    total: usize,
    ended: usize,
}

/// One running trial.
struct Shown {
    bar: ProgressBar,
    epochs: usize,
    started: Instant,
    said: Option<Instant>,
    /// Warns of each thing once: every stage measures anew.
    watch: Watch,
}

impl Display {
    /// A display that has nothing to show yet, and never will if it is to be `quiet`.
    pub fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, running: BTreeMap::new(), quiet, total: 0, ended: 0 }
    }

    /// Shows what a sweep says.
    pub fn show(&mut self, event: SweepEvent<'_>) {
        match event {
            SweepEvent::Planned(total) => self.total = total,
            SweepEvent::Started(trial) => self.start(trial),
            SweepEvent::Happened(trial, kind) => self.happened(trial, kind),
            SweepEvent::Recalled(trial) => self.recalled(trial),
            SweepEvent::Ended(trial, outcome) => self.end(trial, outcome),
        }
    }

    /// Says one line, above the bars if there are any.
    pub fn say(&self, line: &str) {
        if self.quiet {
            return;
        }
        let line = printable_lines(line);
        match &self.bars {
            Some(bars) => drop(bars.println(line)),
            // Nothing can be done if stderr is closed.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    fn start(&mut self, trial: &Trial) {
        let bar = match &self.bars {
            Some(bars) => bars.add(ProgressBar::new(1)),
            None => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template("  {bar:24.cyan/238} {prefix}  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(trial.name());
        let shown =
            Shown { bar, epochs: 0, started: Instant::now(), said: None, watch: Watch::default() };
        self.running.insert(trial.name(), shown);
        if self.bars.is_none() {
            self.say(&format!("{}  begins", trial.name()));
        }
    }

    fn happened(&mut self, trial: &Trial, kind: &Kind) {
        let Some(shown) = self.running.get_mut(&trial.name()) else { return };
        let name = trial.name();
        let warnings = Fact::of(kind).map_or_else(Vec::new, |it| shown.watch.see(it));
        let line = match kind {
            Kind::StageStarted(start) => {
                shown.epochs = start.epochs;
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
                Some(format!("{name}  {split} features of {images} images, {speed:.0} images/s"))
            }
            Kind::StageEnded(end) => Some(format!("{name}  {}", ended(end))),
            Kind::Waiting(it) => {
                self.say(&format!("{name}  {}", waits_for(it)));
                None
            }
            _ => None,
        };
        for it in warnings {
            self.say(&format!("{name}  warning: {}", it.message));
        }
        if let Some(line) = line
            && self.bars.is_none()
        {
            self.say(&line);
        }
    }

    fn recalled(&mut self, trial: &Trial) {
        if let Some(shown) = self.running.remove(&trial.name()) {
            shown.bar.finish_and_clear();
        }
        self.say(&format!(
            "{}  is left to the other process; another trial goes on meanwhile",
            trial.name()
        ));
    }

    fn end(&mut self, trial: &Trial, outcome: &Outcome) {
        self.ended += 1;
        let shown = self.running.remove(&trial.name());
        let seconds = shown.as_ref().map_or(0.0, |it| it.started.elapsed().as_secs_f64());
        if let Some(shown) = shown {
            shown.bar.finish_and_clear();
        }
        let of = format!("[{}/{}]", self.ended, self.total);
        let name = trial.name();
        self.say(&match outcome {
            Outcome::Finished => format!("{of} {name}  finished in {seconds:.1} s"),
            Outcome::Interrupted => {
                format!("{of} {name}  interrupted; goes on with the next sweep")
            }
            Outcome::Failed(failure) => {
                format!("{of} {name}  failed: {}\n      {}", failure.message, failure.help)
            }
        });
    }
}

impl Shown {
    fn step(&mut self, progress: &Progress) {
        let Progress { stage, epoch, epochs, step, steps, loss, accuracy, images_per_second } =
            progress;
        self.bar.set_length((epochs * steps) as u64);
        self.bar.set_position(((epoch - 1) * steps + step) as u64);
        let accuracy = 100.0 * accuracy;
        self.bar.set_message(format!(
            "{stage} {epoch}/{epochs}  loss {loss:.3}  accuracy {accuracy:.1} %  {images_per_second:.0} images/s"
        ));
    }

    fn work(&mut self, Advance { what, done, of, per_second }: &Advance) {
        self.bar.set_length(*of as u64);
        self.bar.set_position(*done as u64);
        self.bar.set_message(match what.as_str() {
            "weights" => format!("{what}  {:.1}/{:.1} MB", *done as f64 / 1e6, *of as f64 / 1e6),
            _ => format!("{what}  {done}/{of}  {per_second:.0}/s"),
        });
    }

    /// The line for an epoch, if it is time for one.
    fn epoch(&mut self, epoch: &Epoch) -> Option<String> {
        let last = epoch.epoch == self.epochs;
        if !last && self.said.is_some_and(|it| it.elapsed() < LINE_EVERY) {
            return None;
        }
        self.said = Some(Instant::now());
        let left = epoch.seconds * self.epochs.saturating_sub(epoch.epoch) as f64;
        Some(format!(
            "{} {}/{}  loss {:.3}  valid loss {:.3}  valid accuracy {:.1} %  {:.0} images/s  {left:.0} s left",
            epoch.stage,
            epoch.epoch,
            self.epochs,
            epoch.train.loss,
            epoch.valid.loss,
            100.0 * epoch.valid.accuracy,
            epoch.images_per_second,
        ))
    }
}

/// Shows a download.
pub struct Download {
    name: String,
    /// Bytes it is expected to have.
    bytes: u64,
    bar: Option<ProgressBar>,
    quiet: bool,
    started: Instant,
    said: Option<Instant>,
    /// Whether it was said that it began anew.
    anew: bool,
}

impl Download {
    /// A download of `name`, about `bytes` long, that has not begun; it is never shown if it is to be `quiet`.
    pub fn new(name: &str, bytes: u64, quiet: bool) -> Self {
        let (name, started) = (name.to_owned(), Instant::now());
        Self { name, bytes, bar: None, quiet, started, said: None, anew: false }
    }

    /// Shows how far it is.
    pub fn show(&mut self, progress: fetch::Progress) {
        let of = progress.of.unwrap_or(self.bytes);
        if self.quiet {
            return;
        }
        if progress.anew && !self.anew {
            self.anew = true;
            let name = &self.name;
            let line = format!(
                "{name}: what was there of it could not be gone on with; it is fetched anew"
            );
            match &self.bar {
                Some(bar) => bar.println(line),
                None => drop(writeln!(std::io::stderr(), "{line}")),
            }
        }
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| download_bar(&self.name, progress.done));
            bar.set_length(of);
            bar.set_position(progress.done);
        } else if self.said.is_none_or(|it| it.elapsed() >= LINE_EVERY) {
            self.said = Some(Instant::now());
            let [done, of] = [progress.done, of].map(|it| it as f64 / 1e6);
            let line = format!("downloading {}: {done:.1} of {of:.1} MB", self.name);
            // Nothing can be done if stderr is closed.
            drop(writeln!(std::io::stderr(), "{line}"));
        }
    }

    /// Takes away what is shown.
    pub fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.said.is_some() {
            let (name, seconds) = (&self.name, self.started.elapsed().as_secs_f64());
            drop(writeln!(std::io::stderr(), "{name}: {seconds:.1} s"));
        }
    }
}

fn download_bar(name: &str, done: u64) -> ProgressBar {
    let bar = ProgressBar::new(1).with_position(done);
    // What was there before has no part in the speed.
    bar.reset_eta();
    let template = "  {bar:24.cyan/238} {prefix}  {bytes} of {total_bytes}  {bytes_per_sec}  {eta}";
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_owned());
    bar
}

fn ended(end: &StageEnd) -> String {
    let StageEnd { stage, why, epochs, kept_epoch, .. } = end;
    match why {
        Stop::Completed => format!("{stage} ended after all {epochs} epochs, keeps {kept_epoch}"),
        Stop::Early { monitor, patience, .. } => format!(
            "{stage} stopped after {epochs} epochs: {monitor} did not improve for {patience}; \
             keeps {kept_epoch}"
        ),
    }
}
