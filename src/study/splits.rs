//! What the splits of a run are called by the source of its images, so that `PublicTest` and `PrivateTest` of FER2013 are
//! never confused.

use ferrite_core::store::record::Record;

/// What the source calls the images that are the `split` (`train`, `valid`, `test`) of `record`; none where they were drawn
/// from all images, and have no name there.
pub(crate) fn in_source<'a>(record: &'a Record, split: &str) -> Option<&'a str> {
    record.settings.get("data")?.get("split")?.get(split)?.as_str()
}
