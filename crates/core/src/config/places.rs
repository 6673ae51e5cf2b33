//! Where the settings of a file stand in its text: what a problem points at.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::path::{joined, quoted};

/// A place in one of several files.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which file.
    pub file: usize,
    /// The characters of the key.
    pub key: Range<usize>,
    /// The characters of the value.
    pub value: Range<usize>,
}

/// Places by dotted key; list items by position.
pub type Places = BTreeMap<String, Place>;

/// The place of everything in `table`, which is the whole of `file`.
pub fn places(table: &DeTable<'_>, file: usize) -> Places {
    let mut places = Places::new();
    note_table(table, file, "", &mut places);
    places
}

fn note_table(table: &DeTable<'_>, file: usize, key: &str, places: &mut Places) {
    for (name, value) in table {
        let here = joined(key, &quoted(name.get_ref()));
        let place = Place { file, key: name.span(), value: value.span() };
        note_value(value, &here, &place, places);
    }
}

fn note_value(value: &Spanned<DeValue<'_>>, key: &str, place: &Place, places: &mut Places) {
    places.insert(key.to_owned(), place.clone());
    match value.get_ref() {
        DeValue::Table(inner) => note_table(inner, place.file, key, places),
        DeValue::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = Place { file: place.file, key: item.span(), value: item.span() };
                note_value(item, &joined(key, &index.to_string()), &place, places);
            }
        }
        _ => {}
    }
}
