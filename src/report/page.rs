//! The parts that every page is made of: head, navigation, sections, figures, tables.

use std::io;

use ferrite_core::digits::thousands;
use ferrite_core::metrics::scores::{ClassScores, Confusion, Stat};
use ferrite_core::store::record::State;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::format;
use crate::report::figures::Figure;
use crate::report::plot::table::Table;
use crate::report::plot::{Chart, Style, svg};

/// Styles of all parts; a part with many rules of its own has a file of its own.
pub(super) const STYLE_SHEET: &str = concat!(
    include_str!("assets/base.css"),
    include_str!("assets/charts.css"),
    include_str!("assets/board.css"),
    include_str!("assets/pair.css"),
    include_str!("assets/gallery.css"),
);
/// What pages do beyond being read, a file for each thing; a page without it is whole.
pub(super) const SCRIPT: &str = concat!(
    include_str!("assets/view.js"),
    include_str!("assets/tables.js"),
    include_str!("assets/board.js"),
    include_str!("assets/live.js"),
    include_str!("assets/gallery.js"),
    include_str!("assets/print.js"),
);

/// A whole page.
pub(super) struct Page {
    pub(super) title: String,
    /// Name and link of the page above; none for the study.
    pub(super) home: Option<(String, String)>,
    /// Fingerprint of what the page was made from.
    pub(super) inputs: String,
    /// Names of the figures that lie beside it as PNG and SVG.
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
                    a .skip href="#content" { "Skip to the content" }
                    (self.navigation())
                    main id="content" tabindex="-1" {
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
                        Some((name, link)) => { a .brand href=(link) { span aria-hidden="true" { "←" } span { (name) } } }
                        None => { a .brand href="#top" { (logo()) span { "Ferrite" } } }
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

/// A chart in its card, with links to its files and its numbers below.
pub(super) fn figure(it: &Figure) -> io::Result<Markup> {
    card(it, html! { (it.chart.title()) })
}

/// A chart in its card under `heading`.
pub(super) fn card(it: &Figure, heading: Markup) -> io::Result<Markup> {
    let drawing = svg(&it.chart)?;
    let title = it.chart.title();
    // One without files has no name that is its own, which an id would need.
    let id = |of: &str| (!it.name.is_empty()).then(|| format!("{of}-{}", it.name));
    let label = it.name.is_empty().then_some(title);
    Ok(html! {
        figure aria-label=[label] aria-labelledby=[id("figure")] aria-describedby=[id("caption")] {
            div .top {
                h3 id=[id("figure")] { (heading) }
                @if it.in_files { span .files {
                    @for (name, ending) in [("PNG", "png"), ("SVG", "svg")] {
                        a .png href={ "plots/" (it.name) "." (ending) } aria-label={ (name) " of " (title) } { (name) }
                    }
                } }
            }
            div .chart .dense[it.chart.is_dense()] { (PreEscaped(drawing)) }
            (legend(&it.chart))
            figcaption id=[id("caption")] { (it.caption) }
            (numbers(&it.chart))
        }
    })
}

/// Names and styles of a chart's series, for pages too narrow to name them beside the lines.
fn legend(chart: &Chart) -> Markup {
    let series = chart.legend();
    html! {
        @if !series.is_empty() {
            ul .legend aria-hidden="true" { @for (name, style) in series { li { (swatch(style)) (name) } } }
        }
    }
}

/// What a chart shows as a table.
fn numbers(chart: &Chart) -> Markup {
    let Table { head, rows, of } = chart.table();
    html! {
        @if !rows.is_empty() { details .numbers {
            summary { "Numbers" }
            (scroll(&format!("Numbers of {}", chart.title()), html! { table {
                thead { tr { @for it in &head { @if it.is_empty() { td {} } @else { th scope="col" { (it) } } } } }
                tbody { @for row in &rows { tr { @for (at, cell) in row.iter().enumerate() {
                    @if at == 0 { th scope="row" { (cell) } } @else { td { (cell) } }
                } } } }
            } }))
            @if rows.len() < of {
                p .note { "Shown are " (rows.len()) " of " (thousands(of)) " rows, at even distances." }
            }
        } }
    }
}

/// Charts side by side where there is room.
pub(super) fn figures(all: &[Figure]) -> io::Result<Markup> {
    let cards = all.iter().map(figure).collect::<io::Result<Vec<_>>>()?;
    Ok(html! { div .figures { @for it in cards { (it) } } })
}

/// A table in a box of this name, which scrolls by itself where there is no room and is reached by the keyboard.
pub(super) fn scroll(name: &str, table: Markup) -> Markup {
    html! { div .scroll role="region" aria-label=(name) tabindex="0" { (table) } }
}

/// Data for the page's script, which asks for it by `id`. What stands in a script's element is not read as HTML but for `<`,
/// which JSON can do without.
pub(super) fn data(id: &str, data: &serde_json::Value) -> Markup {
    let text = data.to_string().replace('<', "\\u003c");
    html! { script id=(id) type="application/json" { (PreEscaped(text)) } }
}

/// A PNG of many small pictures, which scrolls where it would be too small to see; `style` may give its width.
pub(super) fn sheet(name: &str, png: &[u8], style: Option<String>, caption: &str) -> Markup {
    html! {
        figure .sheet aria-label=(name) {
            div .pictures role="region" aria-label=(name) tabindex="0" {
                img style=[style] alt=(name) src={ "data:image/png;base64," (PreEscaped(format::base64(png))) };
            }
            figcaption { (caption) }
        }
    }
}

/// How a configuration looks in all figures: its line, and its mark on it.
pub(super) fn swatch(style: Style) -> Markup {
    let (colour, round, shape) = (style.colour() + 1, style.round(), style.shape());
    html! { span class={ "swatch c" (colour) " r" (round) " m" (shape) } aria-hidden="true" {} }
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
    tagged_share_cell(stat, class, interval, None)
}

/// The same with what sets the score apart from the others of its column.
pub(super) fn tagged_share_cell(
    stat: Option<Stat>,
    class: &str,
    interval: Option<[f64; 2]>,
    tag: Option<&str>,
) -> Markup {
    let Some(stat) = stat else { return html! { td .num { span .none { (format::NOTHING) } } } };
    let (mean, sd) = format::percent_stat(&stat);
    html! {
        td class={ "num " (class) } data-v=(sort_value(stat.mean)) {
            (mean) @if let Some(sd) = sd { span .sd { " ± " (sd) } }
            @if let Some(it) = interval { div .interval { (format::interval(it)) } }
            @if let Some(it) = tag { div { span .tag { (it) } } }
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

/// Precision, recall and F1 of every class, in a box of this name.
pub(super) fn class_table(name: &str, classes: &[String], confusion: &Confusion) -> Markup {
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
    let table = html! {
        table .compact {
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
        }
    };
    scroll(name, table)
}

/// A background that grows with a share.
pub(super) fn heat(share: f64) -> String {
    let percent = (share.clamp(0.0, 1.0) * 34.0).round();
    format!("background:color-mix(in srgb,var(--heat) {percent}%,transparent)")
}
