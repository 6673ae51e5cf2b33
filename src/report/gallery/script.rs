//! What the page's script knows: answers about the images on the page as bytes, and the sheets that it shows when they
//! are asked for.

use ferrite_core::metrics::Prediction;
use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use crate::format;
use crate::report::gallery::sheets::COLUMNS;
use crate::report::gallery::{Gallery, MOST_CLASSES};
use crate::report::page;
use crate::report::plot::Style;
use crate::study::answers::{Panel, of_answer, of_truth};

impl Gallery<'_> {
    /// The blocks of data.
    pub(super) fn data(&self) -> Markup {
        let lazy = self.sheets.drawn.iter().enumerate().filter(|it| it.1.0.end > self.first);
        html! {
            (page::data("gallery-data", &self.json()))
            @for (at, (_, jpeg)) in lazy {
                script type="text/plain" data-sheet=(at) { (PreEscaped(format::base64(jpeg))) }
            }
        }
    }

    fn json(&self) -> Value {
        let images = self.shown.iter().map(|it| self.answers.images[*it]);
        let panels = &self.answers.panels;
        let truth: Vec<u8> = images.clone().map(|it| it.truth as u8).collect();
        let sizes: Vec<u8> = self.sheets.sizes.iter().flatten().map(|it| *it as u8).collect();
        let sheet = |it: &(std::ops::Range<usize>, _)| {
            let [width, height] = self.sheets.size(it.0.len());
            json!([it.0.start, it.0.end, width, height])
        };
        let votes = self.shown.iter().map(|it| self.votes(*it).unwrap_or_default());
        let votes: Vec<String> = votes.collect();
        let votes = if votes.iter().all(String::is_empty) { Vec::new() } else { votes };
        json!({
            "classes": self.classes,
            "ids": images.map(|it| it.id).collect::<Vec<_>>(),
            "votes": votes,
            "truth": format::base64(&truth),
            "cell": self.sheets.cell,
            "columns": COLUMNS,
            "sheets": self.sheets.drawn.iter().map(sheet).collect::<Vec<_>>(),
            "sizes": format::base64(&sizes),
            "panels": panels.iter().map(|it| self.panel(it)).collect::<Vec<_>>(),
            "only": self.only,
            "rival": self.answers.rival,
        })
    }

    fn panel(&self, panel: &Panel<'_>) -> Value {
        let bytes = |of: fn(&Prediction) -> u8| -> Vec<String> {
            let seed = |seed: &Vec<Option<&Prediction>>| {
                let all: Vec<u8> = self.shown.iter().map(|it| seed[*it].map_or(0, of)).collect();
                format::base64(&all)
            };
            panel.seeds.iter().map(seed).collect()
        };
        let shown = self.classes.len() <= MOST_CLASSES;
        let cells = if shown { panel.cells(self.classes.len()) } else { Vec::new() };
        let cells = cells.iter().map(|row| row.iter().map(|it| [it.answers, it.images]).collect());
        let style = Style(panel.position);
        json!({
            "label": panel.label,
            "swatch": format!("swatch c{} r{}", style.colour() + 1, style.round().min(2)),
            "cells": cells.collect::<Vec<Vec<_>>>(),
            "named": bytes(|it| it.predicted as u8),
            // Never 0 where there is an answer, since the class that is named is the most probable.
            "sure": bytes(|it| level(of_answer(it)).max(1)),
            "right": bytes(|it| level(of_truth(it))),
        })
    }
}

/// A probability as a byte.
fn level(share: f64) -> u8 {
    (share.clamp(0.0, 1.0) * 255.0).round() as u8
}
