//! Which configuration the others are held against.

use crate::study::{Configuration, Study};

/// The configuration that the others are held against unless a reader chooses another: the one that most others extend, as
/// their authors had it in mind; of several, or where none is extended, the one that differs in the fewest settings from all
/// others. What is judged on other images is none. None without configurations.
///
/// Scores have no say in it, so that no baseline is one because it was lucky.
pub(crate) fn baseline<'s, 'a>(study: &'s Study<'a>) -> Option<&'s Configuration<'a>> {
    let all: Vec<_> = study.configurations.iter().filter(|it| it.comparable).collect();
    let extended = |it: &Configuration<'_>| {
        let names = |other: &&&Configuration<'_>| {
            other.extends().iter().any(|name| name == it.experiment())
        };
        all.iter().filter(names).count()
    };
    let most = all.iter().map(|it| extended(it)).max()?;
    let candidates = all.iter().filter(|it| extended(it) == most);
    candidates.min_by_key(|it| (apart(it, &all), &it.label)).copied()
}

/// In how many settings `it` differs from each of `all`, summed. Of a thousand configurations every tenth tells as much.
fn apart(it: &Configuration<'_>, all: &[&Configuration<'_>]) -> usize {
    const MOST: usize = 100;
    let others = all.iter().step_by(all.len().div_ceil(MOST));
    let differs = |other: &&Configuration<'_>| {
        let departing =
            it.settings.iter().filter(|(key, value)| other.settings.get(*key) != Some(value));
        let missing = other.settings.keys().filter(|key| !it.settings.contains_key(*key));
        departing.count() + missing.count()
    };
    others.map(differs).sum()
}
