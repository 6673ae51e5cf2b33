//! Learning curves of two configurations over each other, and how long every run trained.

use std::io;

use ferrite_core::event::Epoch;
use maud::{Markup, html};

use crate::format;
use crate::report::curves::{curve, marks};
use crate::report::figures::figure;
use crate::report::page::{figure as drawn, scroll, state};
use crate::report::plot::axis::Format;
use crate::report::plot::lines::{Line, LineChart};
use crate::report::plot::{Chart, Style};
use crate::study::contrast::Contrast;
use crate::study::{Configuration, Run};

type Value = fn(&Epoch) -> f64;

pub(super) fn curves(it: &Contrast<'_, '_>, styles: [Style; 2]) -> io::Result<Markup> {
    let chart = |title: &str, format: Format, value: Value| {
        let line = |(at, side): (usize, &Configuration<'_>)| {
            let curve = curve(&side.drawn(), value);
            Line {
                label: format!("{}: {}", ["A", "B"][at], side.label),
                points: curve.points,
                tail: curve.tail,
                band: curve.band,
                dots: curve.kept,
                ..Line::new(styles[at])
            }
        };
        let lines: Vec<Line> = it.sides.into_iter().enumerate().map(line).collect();
        let marks = marks(&it.sides[0].drawn());
        let (title, x) = (title.to_owned(), "epoch, over all stages".to_owned());
        Chart::Lines(LineChart { title, x, format, lines, marks, ..LineChart::default() })
    };
    let caption =
        "Mean over seeds, shaded from lowest to highest; dots are the epochs that were kept.";
    let accuracy = chart("Validation accuracy", Format::Percent, |it| it.valid.accuracy);
    let loss = chart("Validation loss", Format::Number, |it| it.valid.loss);
    let row = |(letter, run): (&str, &Run<'_>)| {
        let kept = run.epoch();
        html! { tr {
            th scope="row" {
                (letter) ", seed " (run.seed) @if let Some([fold, _]) = run.fold() { ", fold " (fold) }
            }
            td { (state(&run.record.state)) }
            td .num { (kept.map_or(format::NOTHING.into(), |it| format!("{} of {}", it.epoch, it.stage))) }
            td .num { (run.epochs()) }
            td .num { (kept.map_or(format::NOTHING.into(), |it| format::score(it.valid.loss))) }
            td .num { (format::duration(run.record.seconds)) }
        } }
    };
    let runs = ["A", "B"].into_iter().zip(it.sides);
    let runs = runs.flat_map(|(letter, side)| side.trained().map(move |it| (letter, it)));
    Ok(html! {
        div .figures { (drawn(&figure("", accuracy, caption))?) (drawn(&figure("", loss, caption))?) }
        (scroll("Training of every run", html! { table .pair .runs .compact {
            thead { tr {
                th scope="col" { "Run" } th scope="col" { "State" } th .num scope="col" { "Kept epoch" }
                th .num scope="col" { "Epochs" } th .num scope="col" { "Validation loss" } th .num scope="col" { "Time" }
            } }
            tbody { @for it in runs { (row(it)) } }
        } }))
    })
}
