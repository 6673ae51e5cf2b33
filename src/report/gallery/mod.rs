//! Looking at faces: what networks get wrong, as images and not as numbers.
//!
//! [`album`] opens the images, [`choice`] says which are worth a look, [`sheets`] packs them, [`parts`] and [`tables`] are
//! the section of the page, [`script`] is what the page's script knows. Without the script the hardest images, the
//! doubtful labels and all tables are there; with it every cell of a confusion matrix opens its faces.
//!
//! **Invariant:** the page has an upper bound in size whatever the data set, and says what is left out.

pub(super) mod album;
mod choice;
pub(super) mod few;
mod parts;
mod script;
pub(super) mod sheets;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use ferrite_core::digits::{counted, thousands};
use maud::{Markup, html};

use crate::format;
use crate::report::gallery::album::{Album, Albums, Opened};
use crate::report::gallery::choice::{HARDEST, SUSPECTS, Suspects, hardest, order, suspects};
use crate::report::gallery::sheets::{Room, Sheets};
use crate::report::page::prose;
use crate::study::answers::{Answers, only_right};
use crate::study::{Run, Study};

/// How many of the best configurations are looked at.
const MOST_PANELS: usize = 8;
/// Bytes that the script's answers may take on the page of a study.
const MOST_ANSWERS: usize = 1_500_000;

/// What there may be on the page of a study, and of a run.
const OF_STUDY: Room = Room { bytes: 5_000_000, images: 20_000 };
const OF_RUN: Room = Room { bytes: 500_000, images: 256 };
/// Classes that a table has room for.
const MOST_CLASSES: usize = 40;
/// Images that are listed where there are no pictures.
const WITHOUT_PICTURES: usize = 4_000;

/// Everything that the section shows.
struct Gallery<'a> {
    answers: Answers<'a>,
    classes: Vec<String>,
    album: Option<Arc<Album>>,
    /// What is to be said about what is not shown.
    notes: Vec<String>,
    /// The row of each image in the album.
    rows: Vec<Option<u32>>,
    hardest: Vec<usize>,
    suspects: Suspects,
    /// How many images each configuration (outer) alone gets right beside each (inner).
    only: Vec<Vec<usize>>,
    /// The images that are on the page, in the order in which they lie on the sheets.
    shown: Vec<usize>,
    /// The place of each image in `shown`.
    places: Vec<Option<usize>>,
    sheets: Sheets,
    /// How many of `shown` are on the page without the script.
    first: usize,
    /// Where more of it is to be seen.
    more: Option<String>,
}

/// The section on the page of a study; none before something was tested.
pub(super) fn of_study(study: &Study<'_>, albums: &Albums) -> Option<Markup> {
    let answers = Answers::of_study(study, MOST_PANELS)?;
    let runs = answers.panels.iter().map(|it| it.seeds.len()).sum::<usize>().max(1);
    let room = Room { images: OF_STUDY.images.min(MOST_ANSWERS / 4 / runs), ..OF_STUDY };
    let best = study.ranked().find(|it| it.confusion().is_some())?;
    let classes = best.classes(answers.classes());
    let tested = study.ranked().filter_map(|it| Some((it, it.finished().next()?.record)));
    let mut opened = tested.take(MOST_PANELS).map(|(it, record)| (it, albums.of(record)));
    let first = opened.next()?.1;
    // Those that rank lower saw the same images, if perhaps otherwise cut: one whose images are still there will do.
    let other = if first.is_err() { opened.find(|it| it.1.is_ok()) } else { None };
    let note = other.as_ref().map(|(it, _)| {
        format!(
            "Pictures are those of {}: those of the best configuration were cleaned up.",
            it.label
        )
    });
    let mut gallery = Gallery::of(answers, classes, other.map_or(first, |it| it.1), room);
    gallery.notes.extend(note);
    Some(gallery.section())
}

/// The section on the page of `run`; none before it was tested.
pub(super) fn of_run(run: &Run<'_>, given: Option<&Opened>) -> Option<Markup> {
    let up: std::path::PathBuf = run.place.iter().map(|_| "..").collect();
    let more = format!("{}#gallery", format::link(&up.join("index.html")));
    let Some(opened) = given else {
        return (!run.record.predictions.is_empty()).then(|| {
            html! { p .lead { "In a study of so many runs only " a href=(more) { "the page of the study" } " shows faces." } }
        });
    };
    let answers = Answers::of_run(run)?;
    let classes = run.classes(answers.classes());
    let mut gallery = Gallery::of(answers, classes, opened.clone(), OF_RUN);
    gallery.more = Some(more);
    Some(gallery.section())
}

impl<'a> Gallery<'a> {
    fn of(answers: Answers<'a>, classes: Vec<String>, opened: Opened, room: Room) -> Self {
        let (album, note) = match opened {
            Ok(it) => (Some(it), None),
            Err(why) => (None, Some(why)),
        };
        let rows: Vec<_> = answers.images.iter().map(|it| album.as_ref()?.row(it.id)).collect();
        let count = answers.images.len();
        let hardest = answers.panels.first().map_or_else(Vec::new, |it| hardest(it, count));
        let suspects = suspects(&answers, classes.len());
        let doubted = suspects.found.iter().take(SUSPECTS).map(|it| it.image);
        let mut shown = order(&answers, hardest.iter().copied().chain(doubted));
        // Images without pictures come last.
        shown.sort_by_key(|it| album.is_some() && rows[*it].is_none());
        let pictured: Vec<u32> = shown.iter().map_while(|it| rows[*it]).collect();
        let doubted = suspects.found.iter().take(SUSPECTS).map(|it| it.image);
        let mut alone: Vec<usize> = hardest.iter().copied().chain(doubted).collect();
        alone.sort_unstable();
        alone.dedup();
        let first = alone.iter().filter(|it| rows[**it].is_some()).count();
        let sheets =
            album.as_ref().map(|it| Sheets::of(it, &pictured, first, room)).unwrap_or_default();
        let known = if sheets.count() == pictured.len() { room.images } else { sheets.count() };
        let most = if album.is_some() { known } else { WITHOUT_PICTURES.min(room.images) };
        shown.truncate(most);
        let mut places = vec![None; count];
        for (place, image) in shown.iter().enumerate() {
            places[*image] = Some(place);
        }
        let only = only_right(&answers.panels);
        let notes = note.into_iter().chain(album.as_ref().and_then(|it| it.missing.clone()));
        let notes = notes.filter(|it| !it.is_empty()).collect();
        Self {
            answers,
            classes,
            album,
            notes,
            rows,
            hardest,
            suspects,
            only,
            shown,
            places,
            sheets,
            first,
            more: None,
        }
    }

    /// The name of a class.
    fn class(&self, class: usize) -> &str {
        self.classes.get(class).map_or("?", String::as_str)
    }

    fn section(&self) -> Markup {
        html! {
            (self.lead())
            (self.static_sheets())
            (self.confusion())
            (self.hardest())
            (self.doubtful())
            @if self.answers.panels.len() > 1 { (self.disagreements()) }
            (self.parts())
            (self.data())
        }
    }

    fn lead(&self) -> Markup {
        let Answers { images, split, panels, .. } = &self.answers;
        let lost = self.rows.iter().filter(|it| it.is_none()).count();
        let pictures = self.sheets.count();
        html! {
            p .lead {
                "What the networks get wrong, as images: " (counted(images.len(), "image")) " of the "
                (split) " split"
                @if panels.len() > 1 { ", and the answers of the best " (panels.len()) " configurations" }
                "."
                @if self.album.is_some() {
                    " Pictures are shown as the networks were given them"
                    @if panels.len() > 1 { " in the best configuration" }
                    "."
                }
                @if self.album.is_some() && pictures + lost < images.len() {
                    " " (thousands(pictures)) " of " (counted(images.len(), "image"))
                    @if pictures == 1 { " is" } @else { " are" } " on this page: first those that "
                    @if self.answers.runs > 1 { "some network gets wrong" } @else { "it gets wrong" }
                    ", those with the highest loss before the others."
                    @if let Some(link) = &self.more {
                        " " a href=(link) { "The page of the study" } " has more of them."
                    }
                }
                @if self.album.is_some() && lost > 0 {
                    " " (counted(lost, "image")) @if lost == 1 { " is" } @else { " are" }
                    " not among the decoded images and shown without a picture."
                }
            }
            @for it in &self.notes { p .warning { (prose(it)) } }
        }
    }
}

/// A probability as it is said of an image.
fn probability(it: f64) -> String {
    format!("{it:.2}")
}

/// Says how many faces are shown, of how many.
fn shown_of(shown: usize, all: usize) -> String {
    if shown < all { format!("{} of {}", thousands(shown), thousands(all)) } else { thousands(all) }
}

/// The heading of the hardest images.
fn heading_of_the_hardest(shown: usize) -> String {
    if shown == HARDEST { "The hardest fifty".into() } else { "The hardest images".into() }
}
