//! What a download shows while it runs.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use ferrite_core::fetch;
use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::LINE_EVERY;

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
