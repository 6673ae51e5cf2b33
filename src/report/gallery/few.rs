//! A few images on a page that is about something else, each found by its id.

use std::collections::HashMap;

use ferrite_core::store::record::Record;
use maud::{Markup, html};

use crate::report::gallery::OF_RUN;
use crate::report::gallery::album::Albums;
use crate::report::gallery::sheets::Sheets;

/// Pictures of some images.
pub(in crate::report) struct Few {
    sheets: Sheets,
    /// The place of each image on the sheets.
    places: HashMap<String, usize>,
}

impl Few {
    /// Pictures of the images called `ids`, as the network of `record` was given them, as far as there is room for them.
    ///
    /// # Errors
    /// A sentence that says why there are none.
    pub(in crate::report) fn of(record: &Record, ids: &[&str]) -> Result<Self, String> {
        let album = Albums::default().of(record)?;
        let found = ids.iter().filter_map(|id| Some(((*id).to_owned(), album.row(id)?)));
        let (ids, rows): (Vec<String>, Vec<u32>) = found.unzip();
        let sheets = Sheets::of(&album, &rows, rows.len(), OF_RUN);
        let places = ids.into_iter().take(sheets.count()).enumerate();
        Ok(Self { places: places.map(|(place, id)| (id, place)).collect(), sheets })
    }

    /// The sheets, which stand once on the page, before the first image.
    pub(in crate::report) fn sheets(&self) -> Markup {
        self.sheets.markup(self.sheets.count())
    }

    /// The picture of the image called `id`; a box with words where there is none.
    pub(in crate::report) fn face(&self, id: &str) -> Markup {
        let view = self.places.get(id).and_then(|it| self.sheets.view(*it));
        html! {
            @match view {
                Some(view) => (view.drawn(id)),
                None => span .face.none { "no picture" },
            }
        }
    }
}
