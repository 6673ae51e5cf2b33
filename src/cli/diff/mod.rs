//! `ferrite diff`: two runs or experiments held against each other, as text, as JSON and as a page.

mod json;
mod text;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use ferrite_core::error::{Error, Result};
use ferrite_core::store::Store;
use ferrite_core::store::find::runs_of;
use ferrite_core::terminal::arguments::Place;
use ferrite_core::terminal::{documented, print, print_json};
use serde_json::json;

use crate::cli::diff::json::to_json;
use crate::cli::diff::text::to_text;
use crate::cli::status::{existing, tell_damaged};
use crate::report;
use crate::study::contrast::Contrast;
use crate::study::judged::Judged;
use crate::study::{Configuration, Run, Study, folds};
use ferrite_core::config::flat::without_seed;

#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// The first: a run, like `fruit/seed-0`, or an experiment, like `fruit`
    #[arg(value_name = "A")]
    first: PathBuf,
    /// The second, of which the first is taken away
    #[arg(value_name = "B")]
    second: PathBuf,
    /// Write a page as well; without a name it is `report/diff-A-B.html` below the runs
    #[arg(long, alias = "html", value_name = "FILE")]
    #[expect(clippy::option_option, reason = "so that clap takes a value that may be left out")]
    page: Option<Option<PathBuf>>,
    /// Print one JSON object (docs/json.md)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn diff_command(arguments: &DiffArguments) -> Result<()> {
    let store = existing(&arguments.place)?;
    let asked = [&arguments.first, &arguments.second];
    let folders = [runs_of(&store, asked[0])?, runs_of(&store, asked[1])?];
    let runs = folds::read(&store);
    tell_damaged(&runs);
    let study = Study::of(&runs.records, &runs.damaged, &store.root);
    let side = |at: usize| side(&study, &store, asked[at], &folders[at]);
    let sides = [side(0)?, side(1)?];
    let [a, b] = &sides;
    let names = |it: &Configuration<'_>| -> BTreeSet<String> {
        it.trained().map(|it| it.record.name()).collect()
    };
    let (of_a, of_b) = (names(a), names(b));
    if of_a == of_b {
        let what = if of_a.len() == 1 { "the same run" } else { "the same runs" };
        let no_page = if arguments.page.is_some() { "; no page is written" } else { "" };
        let told = format!("{} and {} are {what}{no_page}", asked[0].display(), asked[1].display());
        if arguments.json {
            return print_json(&documented(json!({ "same": true, "in_words": told })));
        }
        return print(&format!("{told}\n"));
    }
    if let Some(shared) = of_a.intersection(&of_b).next() {
        return Err(Error::Usage {
            message: format!("`{shared}` is one of the runs on both sides"),
            help: "name two experiments, or two runs".into(),
        });
    }
    let judged = Judged::new(&study);
    let contrast = Contrast::of(&judged, [a, b]);
    let page = arguments.page.as_ref().map(|path| {
        let path =
            path.clone().unwrap_or_else(|| report::pair::default_path(&contrast, &store.root));
        report::pair::write(&contrast, &store.root, &path).map(|()| path)
    });
    let page = page.transpose()?;
    if arguments.json {
        return print_json(&documented(to_json(&contrast, &runs, page.as_deref())));
    }
    let mut text = to_text(&contrast);
    if let Some(page) = page {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{}", page.display());
    }
    print(&text)
}

/// The configuration that `asked` means, whose runs lie in `folders`, with these alone.
fn side<'a>(
    study: &Study<'a>,
    store: &Store,
    asked: &Path,
    folders: &[PathBuf],
) -> Result<Configuration<'a>> {
    let whole = |it: &Path| std::fs::canonicalize(it).unwrap_or_else(|_| it.to_owned());
    let folders: BTreeSet<PathBuf> = folders.iter().map(|it| whole(it)).collect();
    let is_asked = |it: &Run<'_>| folders.contains(&whole(&it.record.folder));
    let mut found = study.configurations.iter().filter(|it| it.trained().any(is_asked));
    let Some(first) = found.next() else {
        // A run that is there and cannot be read is damaged.
        return Err(Error::Usage {
            message: format!("`{}` has no run that can be read", asked.display()),
            help: format!("`ferrite status --runs {}` says what is wrong", store.root.display()),
        });
    };
    let others: Vec<_> = found.collect();
    if !others.is_empty() {
        let all = std::iter::once(first).chain(others);
        let names: BTreeSet<String> = all.filter_map(name).map(|it| format!("`{it}`")).collect();
        let names: Vec<String> = names.into_iter().collect();
        return Err(Error::Usage {
            message: format!("`{}` has {} configurations", asked.display(), names.len()),
            help: format!("name one of them: {}", names.join(", ")),
        });
    }
    let mut side = first.clone();
    // Folds of a cross-validation that are not all asked for are told one by one.
    let asked = |run: Run<'a>| {
        if run.trained().iter().all(is_asked) {
            return vec![run];
        }
        run.trained().iter().filter(|it| is_asked(it)).cloned().collect()
    };
    side.runs = side.runs.into_iter().flat_map(asked).collect();
    if let [only] = &side.runs[..] {
        // A seed among others, or a fold.
        let name = only.record.name();
        if first.runs.len() > 1 || first.runs.iter().all(|it| it.record.name() != name) {
            side.label = name;
        }
    }
    Ok(side)
}

/// What all runs of a configuration go by: the name of one without its seed.
fn name(it: &Configuration<'_>) -> Option<String> {
    let name = it.trained().next()?.record.name();
    Some(without_seed(&name).to_owned())
}
