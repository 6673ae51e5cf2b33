//! Where the network of a run looks, as `ferrite explain` found it.

use ferrite_core::store::explained::{Explained, Image, Map};
use ferrite_core::store::record::{Record, State};
use maud::{Markup, PreEscaped, html};

use crate::format;
use crate::report::faces::width;
use crate::report::page::{lead, prose, scroll};
use crate::report::trial::Files;

/// What a run's page says of it, or how one gets it; none for a run that is not finished.
pub(super) fn section(record: &Record, files: &Files) -> Option<Markup> {
    let finished = record.state == State::Finished;
    match &files.explained {
        Some(Ok((explained, sheet))) => Some(shown(explained, sheet)),
        Some(Err(error)) => Some(html! {
            p .lead { (error) ". " code { "ferrite explain " (record.name()) } " makes it again." }
        }),
        None if finished => Some(html! {
            p .lead {
                "Nothing here yet. " code { "ferrite explain " (record.name()) }
                " shows where in the images the network sees what speaks for a class (Grad-CAM)."
            }
        }),
        None => None,
    }
}

fn shown(explained: &Explained, sheet: &[u8]) -> Markup {
    let Explained { layer, chosen, images, .. } = explained;
    let caption = "On the left an image as the network sees it, then where it sees what speaks for the class that it took the \
                   image for, and on the right, where that is wrong, for the class of the image. Light yellow speaks for the \
                   class most, dark violet does not; each map is drawn on a scale of its own.";
    html! {
        (lead(&layer.note))
        div .card { figure .sheet {
            img style=[width(sheet)] alt="Grad-CAM of the images that are listed in the table below"
                src={ "data:image/png;base64," (PreEscaped(format::base64(sheet))) };
            figcaption { (prose(chosen)) " " (caption) }
        } }
        details .card {
            summary { "The same in words: where each map is largest" }
            (scroll("Where each map is largest", html! { table .compact {
                thead { tr {
                    th { "Image" } th { "Class" } th { "Taken for" } th .num { "Probability" }
                    th { "Speaks for that class" } th { "Speaks for its own class" }
                } }
                tbody { @for it in images { (row(it)) } }
            } }))
        }
        p { (prose("A map says where the evidence lies that this layer passes on, not what it is, nor that the network would be \
                    wrong without it. It is as coarse as the layer: edges in it are drawn by enlarging. Where two maps of an \
                    image look alike, both classes are judged by the same place.")) }
    }
}

fn row(it: &Image) -> Markup {
    let own = it.maps.get(1);
    html! { tr {
        th scope="row" { (it.id) } td { (it.truth) } td { (it.predicted) }
        td .num { (format::percent(it.probability)) " %" }
        td { @if let Some(map) = it.maps.first() { (place(map)) } }
        td { @if let Some(map) = own { (place(map)) } @else { (format::NOTHING) } }
    } }
}

/// Where a map is largest, in words.
fn place(map: &Map) -> String {
    let all = map.rows.iter().enumerate();
    let cells =
        all.flat_map(|(row, it)| it.iter().enumerate().map(move |(at, it)| ([row, at], *it)));
    let largest = cells.reduce(|best, it| if it.1 > best.1 { it } else { best });
    let Some(([row, column], _)) = largest.filter(|_| map.largest > 0.0) else {
        return "nowhere".into();
    };
    let width = map.rows.first().map_or(0, Vec::len);
    let third = |at: usize, of: usize| (2 * at + 1) * 3 / (2 * of.max(1));
    let [down, along] = [third(row, map.rows.len()), third(column, width)];
    match (down, along) {
        (1, 1) => "in the middle".into(),
        (down, along) => {
            let down = ["at the top", "halfway down", "at the bottom"][down.min(2)];
            let along = ["on the left", "in the middle", "on the right"][along.min(2)];
            format!("{down}, {along}")
        }
    }
}

#[cfg(test)]
mod tests {
    use ferrite_core::store::explained::{FORMAT, Layer, MAPS, SHEET};

    use super::*;
    use crate::report::example::many;
    use crate::report::example::page;
    use crate::report::example::write_all;
    use crate::report::tests::in_study;

    fn explained(key: &str) -> Explained {
        let map = |class: &str, largest: f32| Map {
            class: class.into(),
            largest,
            rows: vec![vec![0.0, 0.0, 0.0], vec![0.0, 0.25, 0.0], vec![0.0, 0.0, 1.0]],
        };
        Explained {
            format: FORMAT,
            key: key.into(),
            split: "test".into(),
            image_size: 48,
            layer: Layer {
                name: "features.6".into(),
                height: 6,
                width: 6,
                last: false,
                last_name: "features.18".into(),
                last_height: 2,
                last_width: 2,
                note: "The last block, `features.18`, is only 2x2.".into(),
            },
            chosen: "1 of the test images, which were asked for one by one.".into(),
            images: vec![Image {
                id: "<b>7".into(),
                truth: "sad".into(),
                predicted: "glad".into(),
                probability: 0.875,
                maps: vec![map("glad", 2.0), map("sad", 0.0)],
            }],
        }
    }

    #[test]
    fn the_page_shows_what_was_explained_or_says_how_to_get_it() {
        in_study(|runs| {
            let records = many(runs, 1);
            let record = &records[0];
            write_all(&records, &[], runs).unwrap();
            let command = format!("ferrite explain {}", record.name());
            assert!(page(record).contains(&command));
            let key = record.facts.start.as_ref().map_or("", |it| it.key.as_str());
            let write = |key: &str, sheet: &[u8]| {
                let text = serde_json::to_vec(&explained(key)).unwrap();
                std::fs::write(record.folder.join(MAPS), text).unwrap();
                std::fs::write(record.folder.join(SHEET), sheet).unwrap();
                write_all(&records, &[], runs).unwrap();
                page(record)
            };
            let found = write(key, b"sheet");
            let sheet = "data:image/png;base64,c2hlZXQ=";
            for it in [sheet, "is only 2x2", "&lt;b&gt;7", "at the bottom, on the right", "nowhere"]
            {
                assert!(found.contains(it), "{it}");
            }
            assert!(!found.contains(&command) && !found.contains("<b>7"));
            // A sheet that has changed makes a new page, and what is of another run is not shown.
            assert!(write(key, b"others").contains("data:image/png;base64,b3RoZXJz"));
            assert!(write("another", b"others").contains(&command));
            // One that vouches for itself is not shown when a bit of it has changed.
            let sealed = explained(key).to_json(b"sealed");
            let write = |text: &str, sheet: &[u8]| {
                std::fs::write(record.folder.join(MAPS), text).unwrap();
                std::fs::write(record.folder.join(SHEET), sheet).unwrap();
                write_all(&records, &[], runs).unwrap();
                page(record)
            };
            assert!(write(&sealed, b"sealed").contains("base64,c2VhbGVk"));
            let flipped = sealed.replace("0.875", "0.975");
            for (text, sheet) in [(flipped.as_str(), &b"sealed"[..]), (&sealed, b"sealee.")] {
                let found = write(text, sheet);
                assert!(found.contains("is damaged") && found.contains(&command), "{text}");
                assert!(!found.contains("data:image/png;base64,c2Vh"));
            }
        });
    }
}
