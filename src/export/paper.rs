//! Tables for a paper: the board as Markdown and as LaTeX with booktabs, the comparisons as LaTeX. Each names the runs that it
//! is made from.

use std::fmt::Write as _;

use ferrite_core::digits::thousands;
use ferrite_core::error::printable;
use ferrite_core::store::record::State;

use crate::format;
use crate::format::markdown;
use crate::study::comparison::{Comparison, accuracy_interval};
use crate::study::judged::Judged;
use crate::study::splits::in_source;
use crate::study::{Configuration, Run, Study};

/// A mean and its deviation, as they are shown.
type Shown = Option<(String, Option<String>)>;

/// One row of the board.
struct Row<'s, 'a> {
    configuration: &'s Configuration<'a>,
    /// Validation accuracy, accuracy, macro F1.
    scores: [Shown; 3],
    /// Whether each is the highest of its column.
    best: [bool; 3],
    interval: Option<[f64; 2]>,
}

/// The configurations that have a finished run, the best first.
fn board<'s, 'a>(study: &'s Study<'a>) -> Vec<Row<'s, 'a>> {
    let scores = [Run::valid_accuracy, Run::test_accuracy, Run::macro_f1];
    let all = study.configurations.iter().filter(|it| it.finished().next().is_some());
    let best = scores.map(|score| {
        let means = study.ranked().filter_map(|it| it.stat(score)).map(|it| it.mean);
        means.filter(|it| it.is_finite()).fold(f64::MIN, f64::max)
    });
    all.map(|configuration| {
        let stats = scores.map(|score| configuration.stat(score));
        let is_best = |at: usize| {
            configuration.rank.is_some() && stats[at].is_some_and(|it| it.mean == best[at])
        };
        Row {
            configuration,
            scores: stats.map(|it| it.as_ref().map(format::percent_stat)),
            best: [is_best(0), is_best(1), is_best(2)],
            interval: accuracy_interval(configuration),
        }
    })
    .collect()
}

/// What a table of scores must say: what they are of, how many images and seeds, what the ± and the interval are.
fn caption(study: &Study<'_>, name: impl Fn(&str) -> String) -> String {
    if study.runs().all(|it| it.record.state != State::Finished) {
        return "No run has finished yet.".into();
    }
    let judged =
        || study.configurations.iter().filter(|it| it.comparable).flat_map(Configuration::finished);
    let split = study.split().map_or_else(
        || "the splits that judged them".to_owned(),
        |split| {
            let in_source = judged().find_map(|it| in_source(it.record, split));
            let called = in_source.map_or_else(String::new, |it| format!(" ({})", name(it)));
            format!("the {split} split{called}")
        },
    );
    let counts = |of: &dyn Fn(&Run<'_>) -> Option<usize>| {
        let mut all: Vec<usize> = judged().filter_map(of).collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let images = counts(&|it| it.record.facts.evaluation.as_ref().map(|it| it.images));
    let mut seeds: Vec<usize> = study.ranked().map(|it| it.finished().count()).collect();
    seeds.sort_unstable();
    let seeds = match (seeds.first(), seeds.last()) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most} seeds each"),
        (Some(1), _) => "one seed each".to_owned(),
        (Some(n), _) => format!("{n} seeds each"),
        _ => "no seed".to_owned(),
    };
    let images = match images.as_slice() {
        [n] => format!("{} images", thousands(*n)),
        [] => "no images".to_owned(),
        [first, .., last] => format!("{} to {} images", thousands(*first), thousands(*last)),
    };
    format!(
        "Accuracy and macro F1 in percent on {split}, {images}, {seeds}: mean ± sample standard deviation over seeds. The 95 % \
         interval of the accuracy is over seeds and images (two-way analysis of variance without repetition, \
         Satterthwaite’s degrees of freedom), with one seed Wilson’s over images. Ranked by validation accuracy of the kept epoch; \
         bold is the highest of a column."
    )
}

/// A configuration's label, with what judges it where that is not what judges most.
fn called(study: &Study<'_>, it: &Configuration<'_>) -> String {
    let own = it.runs.iter().find_map(Run::judged_by);
    let other = own.filter(|own| study.judged_by().as_ref() != Some(own));
    other.map_or_else(|| it.label.clone(), |own| format!("{} (judged on {own})", it.label))
}

/// What a table says of rows without a rank.
const OTHER_IMAGES: &str =
    "Rows without a rank are judged on other images, and cannot be compared with the others.";

/// The board as Markdown.
pub(super) fn board_markdown(judged: &Judged<'_, '_>) -> String {
    let rows = board(judged.study);
    let mut text = format!("{}\n\n", caption(judged.study, markdown));
    text.push_str("| # | configuration | seeds | valid accuracy | accuracy | 95 % interval | macro F1 | runs |\n");
    text.push_str("|--:|---|--:|--:|--:|--:|--:|---|\n");
    for row in &rows {
        let Row { configuration: it, scores, best, interval } = row;
        let mut cells = scores.iter().zip(best).map(|(score, best)| {
            let shown = score.as_ref().map_or_else(
                || format::NOTHING.to_owned(),
                |(mean, sd)| match sd {
                    Some(sd) => format!("{mean} ± {sd}"),
                    None => mean.clone(),
                },
            );
            if *best { format!("**{shown}**") } else { shown }
        });
        let [valid, accuracy, f1] = std::array::from_fn(|_| cells.next().unwrap_or_default());
        let runs = it.finished().map(|it| markdown(&it.record.name())).collect::<Vec<_>>();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {valid} | {accuracy} | {} | {f1} | {} |",
            it.rank.map_or_else(|| format::NOTHING.to_owned(), |it| it.to_string()),
            markdown(&called(judged.study, it)),
            it.finished().count(),
            interval.map_or_else(|| format::NOTHING.to_owned(), format::interval),
            runs.join("<br>"),
        );
    }
    if rows.iter().any(|it| it.configuration.rank.is_none()) {
        let _ = write!(text, "\n{OTHER_IMAGES}\n");
    }
    text
}

/// The board as a table of LaTeX.
pub(super) fn board_latex(judged: &Judged<'_, '_>) -> String {
    let rows = board(judged.study);
    let mut text = String::from(PREAMBLE);
    name_runs(&mut text, rows.iter().map(|it| it.configuration));
    let others = rows.iter().any(|it| it.configuration.rank.is_none());
    let others = if others { format!(" {OTHER_IMAGES}") } else { String::new() };
    let caption = caption(judged.study, str::to_owned) + &others;
    begin(&mut text, &caption, "tab:configurations", "rlrrrrr");
    text.push_str("  \\# & Configuration & Seeds & Valid.\\ acc. & Accuracy & 95\\,\\% interval & Macro F1 \\\\\n  \\midrule\n");
    for Row { configuration: it, scores, best, interval } in &rows {
        let mut cells = scores.iter().zip(best).map(|(score, best)| {
            score.as_ref().map_or_else(
                || "--".to_owned(),
                |(mean, sd)| {
                    let mean = if *best { format!("\\textbf{{{mean}}}") } else { mean.clone() };
                    sd.as_ref().map_or_else(|| mean.clone(), |sd| format!("{mean} $\\pm$ {sd}"))
                },
            )
        });
        let [valid, accuracy, f1] = std::array::from_fn(|_| cells.next().unwrap_or_default());
        let _ = writeln!(
            text,
            "  {} & {} & {} & {valid} & {accuracy} & {} & {f1} \\\\",
            it.rank.map_or_else(|| "--".to_owned(), |it| it.to_string()),
            latex(&called(judged.study, it)),
            it.finished().count(),
            interval.map_or_else(|| "--".to_owned(), between),
        );
    }
    end(&mut text);
    text
}

/// Each configuration beside what it extends, and one technique at a time, as a table of LaTeX.
pub(super) fn comparisons_latex(judged: &Judged<'_, '_>) -> String {
    let all = &judged.comparisons().effects;
    let mut text = String::from(PREAMBLE);
    let mut compared: Vec<_> = all.iter().flat_map(|it| [it.from, it.to]).collect();
    compared.sort_by_key(|it| it.position);
    compared.dedup_by_key(|it| it.position);
    name_runs(&mut text, compared);
    for it in all {
        let seeds: Vec<_> = it.seeds.iter().map(|it| comment(&it.seed)).collect();
        let (from, to) = (comment(&it.from.label), comment(&it.to.label));
        let _ = writeln!(
            text,
            "% {to} beside {from}: seeds {}, {} images",
            seeds.join(", "),
            it.images
        );
    }
    let caption = "What each change is worth: difference of the accuracies in percentage points, on the same seeds and images, \
                   with its 95 % interval over seeds and images (two-way analysis of variance without repetition; with one seed the \
                   paired bootstrap over images) and its p value, adjusted by Holm’s method for all rows. A difference is \
                   real where p is below 0.05, the interval leaves out zero and there are two seeds or more; not shown does not \
                   mean equal.";
    begin(&mut text, caption, "tab:comparisons", "lllrrrrl");
    text.push_str(
        "  Change & From & To & Seeds & Difference & 95\\,\\% interval & $p$ & Verdict \\\\\n  \\midrule\n",
    );
    for it in all {
        let _ = writeln!(text, "  {} \\\\", comparison(it));
    }
    end(&mut text);
    text
}

fn comparison(it: &Comparison<'_, '_>) -> String {
    let points = |it: f64| latex(&format::points(it));
    let [low, high] = it.difference.interval;
    let p = format::p_value(it.p).replace('<', "$<$").replace(format::NOTHING, "--");
    let cells = [
        latex(&it.technique),
        latex(&it.from.label),
        latex(&it.to.label),
        it.seeds.len().to_string(),
        points(it.difference.mean),
        format!("{} to {}", points(low), points(high)),
        p,
        latex(it.verdict.words()),
    ];
    cells.join(" & ")
}

/// Says in comments which runs each configuration has.
fn name_runs<'s, 'a: 's>(text: &mut String, all: impl IntoIterator<Item = &'s Configuration<'a>>) {
    for it in all {
        let runs: Vec<_> = it.finished().map(|it| comment(&it.record.name())).collect();
        let _ = writeln!(text, "% {}: {}", comment(&it.label), runs.join(", "));
    }
}

/// What stands above every table.
const PREAMBLE: &str = "% Made by Ferrite; `ferrite report` writes it anew. In the preamble of the document: \\usepackage{booktabs}\n\
                        % Letters beyond Latin ones want XeLaTeX or LuaLaTeX and a font that has them.\n";

fn begin(text: &mut String, caption: &str, label: &str, columns: &str) {
    let caption = latex(caption);
    let _ = write!(
        text,
        "\\begin{{table}}\n  \\centering\n  \\caption{{{caption}}}\n  \\label{{{label}}}\n  \\smallskip\n  \\begin{{tabular}}{{{columns}}}\n  \\toprule\n"
    );
}

fn end(text: &mut String) {
    text.push_str("  \\bottomrule\n  \\end{tabular}\n\\end{table}\n");
}

fn between([low, high]: [f64; 2]) -> String {
    format!("{} to {}", format::percent(low), format::percent(high))
}

/// `text` within a comment of LaTeX, which ends with its line.
fn comment(text: &str) -> String {
    printable(text).into_owned()
}

/// `text` as LaTeX shows it, whatever it holds.
pub(super) fn latex(text: &str) -> String {
    let text = printable(text);
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for it in text.chars() {
        match it {
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '_' | '%' | '&' | '#' | '$' | '{' | '}' => out.extend(['\\', it]),
            '<' => out.push_str("\\textless{}"),
            '>' => out.push_str("\\textgreater{}"),
            '|' => out.push_str("\\textbar{}"),
            '"' => out.push_str("''"),
            '`' => out.push_str("\\textasciigrave{}"),
            '\'' => out.push_str("\\textquotesingle{}"),
            // Two of them are another sign.
            '-' if before == '-' => out.push_str("{}-"),
            // What begins a line of a table may be taken for an argument of the line before.
            '[' | ']' | '*' => out.extend(['{', it, '}']),
            '·' => out.push_str("$\\cdot$"),
            '±' => out.push_str("$\\pm$"),
            '−' => out.push_str("$-$"),
            '×' => out.push_str("$\\times$"),
            '–' => out.push_str("--"),
            it => out.push(it),
        }
        before = it;
    }
    out
}
