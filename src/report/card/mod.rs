//! The card of a model: what it is, what it was trained on, how good it is and for what it is not, after Mitchell et al. 2019
//! (<https://arxiv.org/abs/1810.03993>), whose headings it has. It lies beside the weights as Markdown with the front matter
//! that the Hub of Hugging Face reads.
//!
//! **Invariant:** made from the record and the folder of the run alone; what these do not say is said to be unknown.

mod front;
mod origin;
mod parts;
mod quality;
#[cfg(test)]
mod tests;
mod training;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use crate::format::markdown;
use crate::report::figures::capital;
use crate::report::files::CARD;
use crate::report::page::prose;
use crate::report::trial::Files;
use crate::study::Run;
use ferrite_core::store::record::State;

/// The card of a finished `run`.
pub(super) fn text(run: &Run<'_>, files: &Files) -> String {
    let name = run.record.name();
    let about = run.record.about();
    let mut text = front::matter(run);
    let _ = write!(text, "\n# Model card: {}\n\n", markdown(&name));
    if !about.is_empty() {
        let _ = write!(text, "{}\n\n", markdown(about));
    }
    text.push_str(
        "Ferrite wrote this card from the records of the run, and writes it anew whenever `ferrite report` finds that they have \
         changed. It has the headings of Mitchell et al. 2019. What the records do not say is called unknown.\n",
    );
    let sections = [
        ("Model details", parts::details(run)),
        ("Intended use", parts::use_of(run)),
        ("Factors", parts::factors(run)),
        ("Metrics", quality::metrics(run)),
        ("Evaluation data", training::evaluation_data(run)),
        ("Training data", training::training_data(run)),
        ("Training procedure", training::procedure(run)),
        ("Quantitative analyses", quality::analyses(run)),
        ("Ethical considerations", parts::ethics(run)),
        ("Caveats and recommendations", quality::caveats(run)),
        ("How to repeat it", parts::repeat(run, files)),
        ("References", parts::references(run)),
    ];
    for (title, body) in sections {
        let _ = writeln!(text, "\n## {title}\n\n{}", body.trim_end());
    }
    text
}

/// What the page of a finished `run` says of its card.
pub(super) fn section(run: &Run<'_>) -> Option<Markup> {
    let (weights, images) = (origin::of_weights(run.record), origin::of_images(run.record));
    (run.record.state == State::Finished).then(|| {
        html! {
            p .lead {
                a href=(CARD) { (CARD) }
                " beside this page is the model card to pass on with the weights: what the network is and was trained on, where its \
                first weights come from, how good it is by class, for what it is not, and how to repeat it. The Hub of \
                Hugging Face reads its first lines."
            }
            div .card { dl {
                dt { "First weights" } dd { (prose(&plain(&weights.what))) }
                dt { "Their licence" } dd { (prose(&capital(&plain(&weights.terms)))) "." }
                dt { "Images" } dd { (prose(&plain(&images.origin.what))) }
                dt { "Their licence" } dd { (prose(&capital(&plain(&images.origin.terms)))) "." }
                dt { "Not for" } dd { (parts::NOT_FOR) }
                dt { "Repeat it" } dd { code { (command(run)) } }
            } }
        }
    })
}

/// Markdown of [`origin`] for [`prose`], which knows backticks, without the addresses: a page names none, and the card has
/// them.
fn plain(markdown: &str) -> String {
    let mut parts = markdown.split("<https");
    let first = parts.next().unwrap_or_default().to_owned();
    let without =
        parts.fold(first, |text, part| text + part.split_once('>').map_or(part, |(_, rest)| rest));
    without.replace(" ()", "").replace(", )", ")").replace(": ,", ",")
}

/// The command that repeats `run`.
fn command(run: &Run<'_>) -> String {
    let folder = &run.record.folder;
    let above = folder.ancestors().nth(run.place.components().count());
    let runs = above.filter(|it| *it != Path::new("runs") && !it.as_os_str().is_empty());
    let file = quoted(&folder.join("trial.toml"));
    let runs = runs.map_or_else(String::new, |it| format!(" --runs {}", quoted(it)));
    format!("ferrite run {file}{runs}")
}

/// `path` as a word of a shell's command.
fn quoted(path: &Path) -> String {
    let text = PathBuf::from(path).to_string_lossy().into_owned();
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./=,+@%:".contains(it);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A table of Markdown; the cells are Markdown already.
fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(header.iter().map(|it| (*it).to_owned()).collect());
    let _ = writeln!(text, "|{}", "---|".repeat(header.len()));
    text.extend(rows.into_iter().map(line));
    text
}
