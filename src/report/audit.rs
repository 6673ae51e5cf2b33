//! Duplicates and leaks: a card for each data set, scores without leaks, and the page of an audit.

use ferrite_core::digits::{counted, thousands};
use ferrite_core::event::Dataset;
use ferrite_core::event::audit::{Audit, Duplicates, Groups, LeakFree, Shared, Split};
use ferrite_core::event::split::SplitName;
use maud::{Markup, PreEscaped, html};

use crate::format;
use crate::report::page::{Page, Section, lead, scroll, share_cell, swatch};
use crate::report::plot::Style;
use crate::study::{Run, Study};

/// One image of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The image.
    pub png: Vec<u8>,
    /// What identifies it in its source.
    pub id: String,
    /// Its split.
    pub split: String,
    /// Its class.
    pub class: String,
}

/// Images that have something in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examples {
    /// What that is.
    pub title: String,
    /// Images side by side.
    pub groups: Vec<Vec<Picture>>,
    /// How many groups there are in all.
    pub of: usize,
}

/// A page of its own about the images of `source`.
pub fn page(source: &str, audit: &Audit, classes: &[String], examples: &[Examples]) -> String {
    let mut sections = vec![
        Section { id: "classes", title: "Classes", body: class_counts(audit, classes) },
        Section { id: "findings", title: "Findings", body: whole(audit) },
    ];
    if !examples.is_empty() {
        let body = html! {
            (lead("Under each image: its row or file, its split and its label."))
            @for it in examples { (example(it)) }
        };
        sections.push(Section { id: "examples", title: "Examples", body });
    }
    let images: usize = audit.splits.iter().map(|it| it.images).sum();
    let page = Page {
        title: format!("Audit of {source} · Ferrite"),
        home: None,
        inputs: String::new(),
        plots: Vec::new(),
        header: html! {
            h1 id="top" { "Audit of " (source) }
            p .states { (counted(images, "image")) " in " (counted(audit.splits.len(), "split")) }
        },
        sections,
        footer: html! { p { "This page needs no network: images and styles are all in this file." } },
    };
    page.render()
}

fn class_counts(audit: &Audit, classes: &[String]) -> Markup {
    let table = html! {
        table .compact {
            thead { tr { th { "Class" } @for it in &audit.splits { th .num { (it.name) } } } }
            tbody { @for (at, class) in classes.iter().enumerate() { tr {
                th scope="row" { (class) }
                @for it in &audit.splits {
                    td .num { (thousands(it.classes.get(at).copied().unwrap_or_default())) }
                }
            } } }
            tfoot { tr {
                th scope="row" { "all" }
                @for it in &audit.splits { td .num { (thousands(it.images)) } }
            } }
        }
    };
    scroll("Images by class and split", table)
}

fn whole(audit: &Audit) -> Markup {
    html! {
        div .cards {
            div .card { h3 { "Equal images" } (equal(audit)) }
            @if let Some(near) = &audit.near { div .card {
                h3 { "Nearly equal images" }
                p .note {
                    "The same picture with another brightness or compression, with a watermark, moved a little or \
                    mirrored, as the correlation of thumbnails and of all pixels tells. Equal images are not counted here."
                }
                dl {
                    dt { "Pairs of pictures" }
                    dd { (thousands(near.pairs)) ", " (thousands(near.mirrored)) " of them mirrored" }
                    (groups(&near.groups, "Nearly equal"))
                    @for it in &near.shared { (leak(it, &audit.splits, " nearly")) }
                }
            } }
        }
    }
}

fn example(it: &Examples) -> Markup {
    html! {
        h3 { (it.title) span .tag {
            @if it.of > it.groups.len() { (it.groups.len()) " of " }
            (thousands(it.of))
        } }
        div .twins { @for group in &it.groups { div .group { @for it in group { div .picture {
            img alt={ "image " (it.id) }
                src={ "data:image/png;base64," (PreEscaped(format::base64(&it.png))) };
            (it.id) span { (it.split) } strong { (it.class) }
        } } } } }
    }
}

/// What is wrong with the images of a data set; nothing where nobody looked.
pub(super) fn card(it: &Dataset) -> Option<Markup> {
    let audit = it.audit.as_ref()?;
    Some(html! {
        div .card {
            h3 { "Duplicates and leaks" }
            (equal(audit))
            @if it.dropped > 0 || !it.unlabelled.is_empty() { dl {
                @if it.dropped > 0 {
                    dt { "Taken out" }
                    dd { (counted(it.dropped, "training image")) " that another split has too" }
                }
                @for (why, n) in &it.unlabelled {
                    dt { "Without a label" } dd { (counted(*n, "image")) ": " (why) }
                }
            } }
            @if let Some(groups) = &audit.groups { dl {
                dt { "Groups (persons, videos)" } dd { (kept_apart(groups)) }
            } }
        }
    })
}

/// How many groups of images each split has, and whether one is on two sides.
fn kept_apart(it: &Groups) -> String {
    let mut splits: Vec<_> = it.by_split.iter().collect();
    splits.sort_by_key(|it| SplitName::position(it.0));
    let splits: Vec<String> =
        splits.into_iter().map(|(name, n)| format!("{} in {name}", thousands(*n))).collect();
    let shared = match it.in_several_splits {
        0 => "none is in two splits".to_owned(),
        1 => "1 is in more than one split, so that its images may be known before they are judged"
            .into(),
        n => format!(
            "{} are in more than one split, so that their images may be known before they are judged",
            thousands(n)
        ),
    };
    format!("{}: {}; {shared}", thousands(it.count), splits.join(", "))
}

/// What equal and blank images there are; a sentence where there are none.
fn equal(audit: &Audit) -> Markup {
    let blank = |it: &Split| it.constant + it.nearly_constant;
    let clean = audit.exact.groups == 0 && audit.splits.iter().all(|it| blank(it) == 0);
    let images: usize = audit.splits.iter().map(|it| it.images).sum();
    html! {
        @if clean {
            p .note { "No two of the " (counted(images, "image")) " are equal, and none is blank." }
        } @else {
            (split_table(&audit.splits))
            dl {
                (groups(&audit.exact, "Equal"))
                @for it in &audit.shared { (leak(it, &audit.splits, "")) }
                @if audit.shared.is_empty() { dt { "In two splits" } dd { "none" } }
            }
        }
    }
}

fn split_table(splits: &[Split]) -> Markup {
    let table = html! {
        table .compact {
            thead { tr {
                th { "Split" } th .num { "Images" }
                th .num title="images less different images" { "Duplicates" }
                th .num title="every pixel is the same" { "Blank" }
                th .num title="standard deviation below 8 of 255 gray levels" { "Nearly blank" }
            } }
            tbody { @for it in splits { tr {
                th scope="row" { (it.name) } td .num { (thousands(it.images)) }
                td .num { (thousands(it.redundant)) } td .num { (thousands(it.constant)) }
                td .num { (thousands(it.nearly_constant)) }
            } } }
        }
    };
    scroll("Duplicates and blank images by split", table)
}

/// A row of the images that are `alike`, and one of their labels if these differ.
fn groups(it: &Duplicates, alike: &str) -> Markup {
    html! {
        dt { (alike) " images" }
        @if it.groups == 0 { dd { "none" } } @else {
            dd { (counted(it.images, "image")) " in " (counted(it.groups, "group")) ", the largest of " (it.largest) }
            dt { "Different labels" }
            @if it.conflicting_groups == 0 { dd { "in none of these groups" } } @else { dd {
                "in " (thousands(it.conflicting_groups)) " of these groups, which have "
                (counted(it.conflicting_images, "image"))
            } }
        }
    }
}

fn leak(it: &Shared, splits: &[Split], nearly: &str) -> Markup {
    let all = splits.iter().find(|split| split.name == it.split).map_or(0, |it| it.images);
    html! {
        dt { (it.split) " in " (it.with) }
        dd {
            (thousands(it.images)) " of " (thousands(all)) " "
            (counted_only(all, "image")) " (" (format::small_percent(it.images as f64 / all as f64))
            ")" (nearly) ", " (thousands(it.same_label)) " with the same label"
        }
    }
}

fn counted_only(n: usize, noun: &str) -> String {
    if n == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// The score of `run` on images that neither it nor its first weights were trained on, where those are not all.
pub(super) fn differs(run: &Run<'_>) -> Option<LeakFree> {
    let evaluation = run.record.facts.evaluation.as_ref()?;
    evaluation.leak_free.filter(|it| it.images < evaluation.images)
}

/// Accuracy with and without leaked images, where there are any.
pub(super) fn leak_free(study: &Study<'_>) -> Option<Markup> {
    let clean = |run: &Run<'_>| differs(run)?.accuracy;
    let leaked = |run: &Run<'_>| {
        let images = run.record.facts.evaluation.as_ref()?.images;
        differs(run).map(|it| Leaked { images, known: images - it.images, inherited: it.inherited })
    };
    let rows: Vec<_> = study
        .configurations
        .iter()
        .filter_map(|it| Some((it, it.finished().find_map(leaked)?)))
        .collect();
    (!rows.is_empty()).then(|| {
        html! {
            p .lead {
                "Some of the images that judge the final weights are also training images, pixel by pixel, or were \
                training images of the weights that the run began with: a network can have memorised them. \
                The accuracies, in percent, are those on all images and on those that it cannot know."
            }
            (scroll("Accuracy with and without leaked images", html! { table .sortable #leak-free {
                thead { tr {
                    th { "Configuration" } th .num { "Images" } th .num { "Known from training" }
                    th .num title="of these, training images of the weights that the run began with" { "From first weights" }
                    th .num { "Accuracy, all" } th .num { "Accuracy, leak-free" }
                    th .num { "Difference" }
                } }
                tbody { @for (it, Leaked { images, known, inherited }) in rows {
                    @let difference = it.stat(|run| Some(clean(run)? - run.test_accuracy()?));
                    tr {
                        th scope="row" { div .label { (swatch(Style(it.position))) span { (it.label) } } }
                        td .num { (thousands(images)) } td .num { (thousands(known)) }
                        td .num { (thousands(inherited)) }
                        (share_cell(it.stat(Run::test_accuracy), "", None))
                        (share_cell(it.stat(clean), "", None))
                        (share_cell(difference, "", None))
                    }
                } }
            } }))
        }
    })
}

/// How many of the images that judge a run are known to it.
struct Leaked {
    images: usize,
    /// Known to the run or to its first weights.
    known: usize,
    /// Known to its first weights.
    inherited: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_looked_for_and_not_found_takes_a_line() {
        let split = |name: &str, constant| Split {
            name: name.into(),
            images: 30,
            classes: vec![],
            redundant: 0,
            constant,
            nearly_constant: 0,
        };
        let none = Duplicates {
            groups: 0,
            images: 0,
            redundant: 0,
            largest: 0,
            conflicting_groups: 0,
            conflicting_images: 0,
        };
        let splits = vec![split("train", 0), split("test", 0)];
        let mut audit = Audit { splits, exact: none, shared: vec![], near: None, groups: None };
        let said = "<p class=\"note\">No two of the 60 images are equal, and none is blank.</p>";
        assert_eq!(equal(&audit).into_string(), said);
        audit.splits[0].constant = 1;
        assert!(equal(&audit).into_string().contains("<dt>Equal images</dt><dd>none</dd>"));
    }
}
