//! The faces that are on the page without a script: the hardest, and those whose label is doubtful.

use ferrite_core::digits::counted;
use maud::{Markup, html};

use crate::report::gallery::choice::{SUSPECTS, Suspect};
use crate::report::gallery::sheets::View;
use crate::report::gallery::{Gallery, heading_of_the_hardest, probability, shown_of};
use crate::study::answers::{Panel, of_answer, of_truth};

/// How many ids a list to copy has at most.
const MOST_COPIED: usize = 1_000;

/// What a configuration says of one image.
struct Said {
    /// The class that most of its seeds name, the surest of equals.
    class: usize,
    seeds: usize,
    /// Mean probability of the class, over the seeds that name it.
    probability: f64,
    /// Mean probability of the true class, over all seeds.
    of_truth: f64,
}

impl Gallery<'_> {
    /// The sheets that the page needs without a script.
    pub(super) fn static_sheets(&self) -> Markup {
        self.sheets.markup(self.first)
    }

    /// One image with `caption`; a box with words where there is no picture of it.
    fn face(&self, image: usize, caption: &Markup) -> Markup {
        let id = self.answers.images[image].id;
        html! {
            li {
                @match self.place(image) {
                    Some(view) => (view.drawn(id)),
                    None => span .face.none { "no picture" },
                }
                span .id { (id) }
                (caption)
            }
        }
    }

    /// Where an image is seen, if its sheet is one of those that need no script.
    fn place(&self, image: usize) -> Option<View> {
        let place = self.places[image].filter(|it| *it < self.first.min(self.sheets.count()))?;
        self.sheets.view(place)
    }

    pub(super) fn hardest(&self) -> Markup {
        let Some(panel) = self.answers.panels.first() else { return html! {} };
        let several = panel.seeds.len() > 1;
        html! {
            h3 .look { (heading_of_the_hardest(self.hardest.len())) }
            p .lead {
                "The images on which "
                @if self.answers.panels.len() > 1 { strong { (panel.label) } ", the best configuration," }
                @else { (panel.label) }
                " has the highest cross-entropy loss"
                @if several { ", averaged over its " (panel.seeds.len()) " seeds" }
                ". Below each image: its id, its label, and what it is taken for, with probabilities"
                @if several { ", that of the label as the mean of all seeds, that of the answer as the mean of the seeds that give it" }
                ". Many of these \
                faces are mislabelled, no face at all, or hard for people as well."
            }
            ol .faces { @for image in &self.hardest { (self.face(*image, &self.mistake(panel, *image))) } }
        }
    }

    /// Label and answer, each with its probability.
    fn mistake(&self, panel: &Panel<'_>, image: usize) -> Markup {
        let truth = self.answers.images[image].truth;
        let Some(said) = said(panel, image) else { return html! {} };
        let all = panel.of(image).count();
        html! {
            span .label { (self.class(truth)) " " small { (probability(said.of_truth)) } }
            @if said.class == truth { span .answer { "rightly named" } }
            @else {
                span .answer { "taken for " (self.class(said.class)) " " small { (probability(said.probability)) } }
            }
            @if all > 1 { span .by { "by " (said.seeds) " of " (all) " seeds" } }
        }
    }

    pub(super) fn doubtful(&self) -> Markup {
        let all = &self.suspects;
        let shown = &all.found[..all.found.len().min(SUSPECTS)];
        let thresholds = all.thresholds.iter().enumerate();
        let thresholds = thresholds.filter_map(|(class, it)| Some((class, (*it)?)));
        let thresholds: Vec<_> = thresholds
            .map(|(class, it)| format!("{} {}", self.class(class), probability(it)))
            .collect();
        html! {
            h3 .look { "Probably mislabelled" span .tag { (shown_of(shown.len(), all.found.len())) } }
            p .lead {
                "Images that " (self.who()) " for one other class, with a mean probability of at least what is usual for \
                that class: the mean over the images that are labelled so, which is the threshold of confident learning \
                (Northcutt et al. 2021, arXiv 1911.00068), but at least one half (" (thresholds.join(", "))
                "). The surest come first. This is a list of candidates and no verdict: networks that \
                learned from wrong labels share their mistakes, so look at each face."
            }
            @if shown.is_empty() { p { "No image is doubtful in this sense." } }
            @else {
                ol .faces { @for it in shown { (self.face(it.image, &self.doubt(it))) } }
                (self.copied(&all.found))
            }
        }
    }

    /// The networks that agree, as the subject of a sentence that goes on with "for one other class".
    fn who(&self) -> Markup {
        let Some(best) = self.answers.panels.first() else { return html! {} };
        let n = self.suspects.networks;
        html! {
            @if self.answers.panels.len() == 1 && n == 1 {
                "this network takes (one network alone, so chance has more of a part in it than where several agree)"
            } @else if self.suspects.of_one {
                "all " (n) " seeds of " strong { (best.label) } " take"
            } @else {
                "all " (n) " networks that are compared here take (" strong { (best.label) }
                ", the best configuration, has one seed only)"
            }
        }
    }

    fn doubt(&self, it: &Suspect) -> Markup {
        let truth = self.answers.images[it.image].truth;
        html! {
            span .label { (self.class(truth)) }
            span .answer { (self.class(it.said)) "? " small { (probability(it.confidence)) } }
            @if let Some(votes) = self.votes(it.image) { span .votes { (votes) } }
        }
    }

    /// People's votes for an image, in words.
    pub(super) fn votes(&self, image: usize) -> Option<String> {
        let votes = self.album.as_ref()?.votes(self.rows[image]?)?;
        Some(votes.words()).filter(|it| !it.is_empty())
    }

    /// The list as a table to copy.
    fn copied(&self, all: &[Suspect]) -> Markup {
        let with_votes = all.iter().any(|it| self.votes(it.image).is_some());
        let row = |it: &Suspect| {
            let image = self.answers.images[it.image];
            let names = [image.id, self.class(image.truth), self.class(it.said)].map(field);
            let votes = self.votes(it.image).unwrap_or_default();
            let votes = if with_votes { format!(",{}", field(&votes)) } else { String::new() };
            format!("{},{:.3}{votes}\n", names.join(","), it.confidence)
        };
        let rows: String = all.iter().take(MOST_COPIED).map(row).collect();
        let votes = if with_votes { ",votes" } else { "" };
        html! {
            details .copy {
                summary { (counted(all.len().min(MOST_COPIED), "row")) " as CSV, to copy" }
                textarea readonly rows="8" spellcheck="false" aria-label="Doubtful labels as CSV" {
                    "id,label,suggested,confidence" (votes) "\n" (rows)
                }
            }
        }
    }
}

/// A field of CSV (RFC 4180).
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn said(panel: &Panel<'_>, image: usize) -> Option<Said> {
    let all: Vec<_> = panel.of(image).collect();
    let mut classes: Vec<usize> = all.iter().map(|it| it.predicted).collect();
    classes.sort_unstable();
    classes.dedup();
    let candidates = classes.into_iter().map(|class| {
        let named = all.iter().filter(|it| it.predicted == class);
        let (seeds, sum) = (named.clone().count(), named.map(|it| of_answer(it)).sum::<f64>());
        (class, seeds, sum / seeds as f64)
    });
    let (class, seeds, probability) =
        candidates.max_by(|a, b| a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)))?;
    let of_truth = all.iter().map(|it| of_truth(it)).sum::<f64>() / all.len() as f64;
    Some(Said { class, seeds, probability, of_truth })
}
