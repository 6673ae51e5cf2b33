//! Images that are right under one of two configurations and wrong under the other.

use ferrite_core::digits::counted;
use maud::{Markup, html};

use crate::format;
use crate::report::gallery::few::Few;
use crate::report::page::{breakable, lead, prose, scroll};
use crate::study::contrast::Contrast;
use crate::study::contrast::classes::Classes;
use crate::study::contrast::images::{Images, Seen, Sides};

/// Images that are shown on each side.
const MOST_IMAGES: usize = 24;

/// The images of two configurations, and how to show one.
struct Shown<'p> {
    seeds: usize,
    classes: Option<&'p Classes>,
    /// Pictures of those that are shown; none where they are no longer there.
    pictures: Option<Few>,
}

/// How many images changed side, and which.
pub(super) fn images(contrast: &Contrast<'_, '_>, it: &Images<'_>) -> Markup {
    let seeds = it.seeds.len();
    let changed = |to: bool| {
        let turned =
            move |it: &&Seen<'_>| it.changed_side(seeds) && (it.right[1] > it.right[0]) == to;
        it.all.iter().filter(turned).collect::<Vec<_>>()
    };
    let (gained, lost) = (changed(true), changed(false));
    let ids: Vec<&str> = [&gained, &lost]
        .iter()
        .flat_map(|it| it.iter().take(MOST_IMAGES))
        .map(|it| it.id)
        .collect();
    let pictures = pictures(contrast, &ids);
    let note = pictures.as_ref().err().cloned();
    let shown = Shown { seeds, classes: contrast.classes.as_ref(), pictures: pictures.ok() };
    html! {
        (lead("An image counts once under each seed; in the last line it is right if it is under more than half of the seeds."))
        (counts(it))
        @if let Some(note) = note { p .warning { "There are no pictures. " (prose(&note)) } }
        @if let Some(it) = &shown.pictures { (it.sheets()) }
        (shown.turned("Right under B, wrong under A", &gained))
        (shown.turned("Right under A, wrong under B", &lost))
    }
}

/// Pictures from the runs of either side, whichever still has them.
fn pictures(contrast: &Contrast<'_, '_>, ids: &[&str]) -> Result<Few, String> {
    let records = contrast.sides.iter().filter_map(|it| it.finished().next());
    let mut found = records.map(|it| Few::of(it.record, ids));
    let first = found.next().unwrap_or_else(|| Err("No run is finished.".into()));
    first.or_else(|why| found.find_map(Result::ok).ok_or(why))
}

fn counts(it: &Images<'_>) -> Markup {
    let row = |name: &str, it: &Sides| {
        html! { tr {
            th scope="row" { (name) }
            @for n in [it.both, it.lost, it.gained, it.neither] { td .num { (n) } }
        } }
    };
    scroll(
        "Images by who is right",
        html! { table .pair .compact {
            thead { tr {
                th scope="col" { "Seed" } th .num scope="col" { "Both right" } th .num scope="col" { "A alone" }
                th .num scope="col" { "B alone" } th .num scope="col" { "Both wrong" }
            } }
            tbody {
                @for (seed, sides) in &it.seeds { (row(seed, sides)) }
                @if it.seeds.len() > 1 { (row("all seeds", &it.sum)) (row("most seeds", &it.majority)) }
            }
        } },
    )
}

impl Shown<'_> {
    /// Images that changed side, those whose class gained or lost most probability first.
    fn turned(&self, title: &str, all: &[&Seen<'_>]) -> Markup {
        let shown = &all[..all.len().min(MOST_IMAGES)];
        html! {
            h3 .table-title { (title) span .tag { (counted(all.len(), "image")) } }
            @if all.is_empty() { p .lead { "No image." } } @else {
                p .lead {
                    @if all.len() > shown.len() { "The first " (shown.len()) ", by the change of the probability of their class" }
                    @else { "By the change of the probability of their class" }
                    @if self.seeds > 1 { ", on average over the seeds" } "."
                    @if self.pictures.is_some() {
                        " Below each image: its id, its class, and what A and B take it for, with the probability that each gives its class."
                    }
                }
                @match &self.pictures {
                    Some(few) => {
                        ol .faces { @for it in shown { (self.face(few, it)) } }
                        details { summary { "The same as a table" } (self.table(title, shown)) }
                    }
                    None => (self.table(title, shown)),
                }
            }
        }
    }

    fn face(&self, few: &Few, it: &Seen<'_>) -> Markup {
        let said = |side: usize| {
            let probability = it.probability.map(|it| format!(", {:.2}", it[side]));
            html! {
                span .by {
                    (["A", "B"][side]) ": " (self.class(it.said[side]))
                    @if let Some(it) = probability { small title="probability of its class" { (it) } }
                }
            }
        };
        html! {
            li {
                (few.face(it.id))
                span .id { bdi { (it.id) } }
                span .label { (self.class(it.truth)) }
                (said(0)) (said(1))
            }
        }
    }

    fn class(&self, class: usize) -> Markup {
        let name = self.classes.map_or_else(|| class.to_string(), |it| it.names[class].clone());
        html! { bdi { (name) } }
    }

    fn table(&self, title: &str, all: &[&Seen<'_>]) -> Markup {
        let seeds = self.seeds;
        let row = |it: &Seen<'_>| {
            html! { tr {
                th scope="row" { bdi { (breakable(it.id)) } }
                td { (self.class(it.truth)) }
                @for side in it.said { td { (self.class(side)) } }
                @for side in 0..2 {
                    td .num { (it.probability.map_or(format::NOTHING.into(), |it| format::percent(it[side]))) }
                }
                td .num { (it.change().map_or(format::NOTHING.into(), format::points)) }
                @if seeds > 1 { td .num { (it.right[0]) " and " (it.right[1]) } }
            } }
        };
        scroll(
            title,
            html! { table .pair .sortable .compact .images-seen {
                thead { tr {
                    th scope="col" { "Image" } th scope="col" { "Class" } th scope="col" { "A says" } th scope="col" { "B says" }
                    th .num scope="col" { "Class under A, %" } th .num scope="col" { "under B, %" } th .num scope="col" { "B − A" }
                    @if seeds > 1 { th .num scope="col" { "Seeds right, of " (seeds) } }
                } }
                tbody { @for it in all { (row(it)) } }
            } },
        )
    }
}
