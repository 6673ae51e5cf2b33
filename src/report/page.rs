//! The parts that every page is made of: head, navigation, sections, figures, tables.

use std::io;

use ferrite_core::digits::thousands;
use ferrite_core::metrics::scores::{ClassScores, Confusion, Stat};
use ferrite_core::store::record::State;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::format;
use crate::report::figures::Figure;
use crate::report::plot::{Style, svg};

/// Styles of all parts; a part with many rules of its own has a file of its own.
pub(super) const STYLE_SHEET: &str = concat!(include_str!("assets/base.css"));
/// What pages do beyond being read, a file for each thing; a page without it is whole.
pub(super) const SCRIPT: &str =
    concat!(include_str!("assets/view.js"), include_str!("assets/tables.js"));

/// A whole page.
pub(super) struct Page {
    pub(super) title: String,
    /// Name and link of the page above; none for the study.
    pub(super) home: Option<(String, String)>,
    /// Fingerprint of what the page was made from.
    pub(super) inputs: String,
    /// Names of the PNGs that belong to it.
    pub(super) plots: Vec<String>,
    pub(super) header: Markup,
    pub(super) sections: Vec<Section>,
    pub(super) footer: Markup,
}

/// One part of a page, reached from the navigation.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) body: Markup,
}

impl Page {
    pub(super) fn render(self) -> String {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="ferrite-inputs" content=(self.inputs);
                    meta name="ferrite-plots" content=(self.plots.join(" "));
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE_SHEET)) }
                }
                body {
                    (self.navigation())
                    main {
                        header .hero { (self.header) }
                        @for it in &self.sections {
                            section id=(it.id) { h2 { (it.title) } (it.body) }
                        }
                        footer { (self.footer) }
                    }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        markup.into_string()
    }

    fn navigation(&self) -> Markup {
        html! {
            nav aria-label="Sections" {
                div .bar {
                    @match &self.home {
                        Some((name, link)) => { a .brand href=(link) { "← " (name) } }
                        None => { a .brand href="#top" { (logo()) "Ferrite" } }
                    }
                    div .links {
                        @for it in &self.sections { a href={ "#" (it.id) } { (it.title) } }
                    }
                }
            }
        }
    }
}

fn logo() -> Markup {
    html! {
        span .logo aria-hidden="true" { i .c1 {} i .c2 {} i .c3 {} i .c4 {} }
    }
}

/// A chart in its card, with a link to its PNG.
pub(super) fn figure(it: &Figure) -> io::Result<Markup> {
    let drawing = svg(&it.chart)?;
    Ok(html! {
        figure {
            div .top {
                h3 { (it.chart.title()) }
                a .png href={ "plots/" (it.name) ".png" } { "PNG" }
            }
            div .chart tabindex="0" { (PreEscaped(drawing)) }
            figcaption { (it.caption) }
        }
    })
}

/// Charts side by side where there is room.
pub(super) fn figures(all: &[Figure]) -> io::Result<Markup> {
    let cards = all.iter().map(figure).collect::<io::Result<Vec<_>>>()?;
    Ok(html! { div .figures { @for it in cards { (it) } } })
}

/// The colour of a configuration.
pub(super) fn swatch(style: Style) -> Markup {
    let round = style.round().min(2);
    html! { span class={ "swatch c" (style.colour() + 1) " r" (round) } aria-hidden="true" {} }
}

/// A short sentence above the content of a section.
pub(super) fn lead(text: &str) -> Markup {
    html! { p .lead { (prose(text)) } }
}

/// `text` that may break where its words join.
pub(super) fn breakable(text: &str) -> Markup {
    html! {
        @for part in text.split_inclusive(['.', '_', '-', '/']) { (part) wbr; }
    }
}

/// A message in which what stands between backticks is code.
pub(super) fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A number in a card.
pub(super) fn tile(name: &str, value: Markup, note: &str) -> Markup {
    html! {
        div .tile {
            div .name { (name) }
            div .value { (value) }
            div .note { (note) }
        }
    }
}

/// A cell with a mean of shares in percent, its deviation, and its interval if there is one to tell.
pub(super) fn share_cell(stat: Option<Stat>, class: &str, interval: Option<[f64; 2]>) -> Markup {
    let Some(stat) = stat else { return html! { td .num { span .none { (format::NOTHING) } } } };
    let (mean, sd) = format::percent_stat(&stat);
    html! {
        td class={ "num " (class) } data-v=(sort_value(stat.mean)) {
            (mean) @if let Some(sd) = sd { span .sd { " ± " (sd) } }
            @if let Some(it) = interval { div .interval { (format::interval(it)) } }
        }
    }
}

/// A cell with any other mean.
pub(super) fn mean_cell(stat: Option<Stat>, write: impl Fn(f64) -> String) -> Markup {
    let Some(it) = stat else { return html! { td .num { span .none { (format::NOTHING) } } } };
    html! { td .num data-v=(sort_value(it.mean)) { (write(it.mean)) } }
}

/// What a table sorts by: a number, or nothing for what is none.
pub(super) fn sort_value(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// A run's state as a coloured word.
pub(super) fn state(state: &State) -> Markup {
    let name = state.word();
    html! { span class={ "state " (name) } { (name) } }
}

/// Precision, recall and F1 of every class.
pub(super) fn class_table(classes: &[String], confusion: &Confusion) -> Markup {
    let scores = confusion.classes();
    let number = |value: Option<f64>| {
        html! {
            @match value {
                Some(it) => { td .num style=(heat(it)) { (format::percent(it)) } }
                None => { td .num { span .none { (format::NOTHING) } } }
            }
        }
    };
    let mean = |of: fn(&ClassScores) -> Option<f64>| {
        let mean = confusion.macro_stat(of);
        let fewer = mean.filter(|it| it.n < scores.len());
        html! { td .num {
            (mean.map_or(format::NOTHING.into(), |it| format::percent(it.mean)))
            @if let Some(it) = fewer { div .interval { "over " (it.n) " of " (scores.len()) } }
        } }
    };
    html! {
        div .scroll { table .compact {
            thead { tr {
                th { "Class" } th .num { "Images" } th .num { "Precision" } th .num { "Recall" }
                th .num { "F1" }
            } }
            tbody {
                @for (name, it) in classes.iter().zip(&scores) {
                    tr {
                        th scope="row" { (name) }
                        td .num { (thousands(it.support as usize)) }
                        (number(it.precision)) (number(it.recall)) (number(it.f1))
                    }
                }
            }
            tfoot { tr {
                th scope="row" { "macro average" }
                td .num { (thousands(confusion.total() as usize)) }
                (mean(|it| it.precision)) (mean(|it| it.recall)) (mean(|it| it.f1))
            } }
        } }
    }
}

/// A background that grows with a share.
pub(super) fn heat(share: f64) -> String {
    let percent = (share.clamp(0.0, 1.0) * 34.0).round();
    format!("background:color-mix(in srgb,var(--heat) {percent}%,transparent)")
}
