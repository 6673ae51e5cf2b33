//! The line beside a bar: as much of it as the terminal has room for.

use console::{measure_text_width, truncate_str};
use ferrite_core::digits::counted;
use ferrite_core::event::acts::Stop;
use ferrite_core::event::failure::Failure;
use ferrite_core::event::{Epoch, StageEnd};
use ferrite_core::plan::Trial;
use ferrite_core::store::Store;
use ferrite_core::store::read::head;
use ferrite_core::store::record::Facts;

use crate::format;
use crate::sweep::pace::Settled;

/// The scores of a run that is finished: validation accuracy of the weights that were kept, and what its test says.
fn scores(facts: &Facts) -> String {
    let valid = facts.kept_epoch().map(|it| ("valid", it.valid.accuracy));
    let test = facts.tested().map(|it| (it.split.as_str(), it.scores.accuracy));
    let said =
        |(split, accuracy): (&str, f64)| format!("  {split} {} %", format::percent(accuracy));
    valid.into_iter().chain(test).map(said).collect()
}

/// A run's name without the digits of its key, which its siblings in one sweep do not need to be told apart.
pub(super) fn short(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((rest, key)) if key.len() == 8 && key.bytes().all(|it| it.is_ascii_hexdigit()) => rest,
        _ => name,
    }
}

/// `name` and `parts` in `width` columns. Where they do not fit, the last parts are left out; where the first part alone is too
/// much, the name is cut, but for its first letters.
pub(super) fn fitted(name: &str, parts: &[String], width: usize) -> String {
    const LEAST: usize = 8;
    let mut shown = parts.len();
    let line = |shown: usize, name: &str| {
        let parts = parts[..shown].iter().map(String::as_str);
        std::iter::once(name).chain(parts).collect::<Vec<_>>().join("  ")
    };
    while shown > 1 && measure_text_width(&line(shown, name)) > width {
        shown -= 1;
    }
    let over = measure_text_width(&line(shown, name)).saturating_sub(width);
    let room = measure_text_width(name).saturating_sub(over).max(LEAST);
    truncate_str(&line(shown, &truncate_str(name, room, "…")), width, "…").into_owned()
}

/// How long something takes that takes so many seconds more; none where that is next to nothing.
pub(super) fn time_left(seconds: f64) -> Option<String> {
    if !seconds.is_finite() || seconds < 0.5 {
        return None;
    }
    let said = if seconds < 59.5 { format!("{seconds:.0} s") } else { format::duration(seconds) };
    Some(format!("{said} left"))
}

/// The scores of a trial that is finished, of which `facts` were heard. What another process made meanwhile was not heard, and is
/// read.
pub(super) fn scores_of(store: &Store, trial: &Trial, facts: &Facts) -> String {
    if facts.evaluation.is_some() {
        return scores(facts);
    }
    let read = head(store, &store.root.join(trial.name()));
    read.map_or_else(|_| scores(facts), |it| scores(&it.facts))
}

/// How a stage ended.
pub(super) fn ended(end: &StageEnd) -> String {
    let StageEnd { stage, why, epochs, kept_epoch, .. } = end;
    let all = counted(*epochs, "epoch");
    match why {
        Stop::Completed => {
            format!("{stage} ended after {all}; the weights of epoch {kept_epoch} are kept")
        }
        Stop::Early { monitor, patience, .. } => format!(
            "{stage} stopped early after {all}, since {monitor} did not improve for {patience}; the weights of epoch \
             {kept_epoch} are kept"
        ),
    }
}

/// That the worker of `trial` was called back, since it only waited for somebody else's.
pub(super) fn recalled(trial: &Trial) -> String {
    format!("{}  is left to the other process; another trial goes on meanwhile", trial.name())
}

/// Where a trial of a search stands that came to the end of a rung, behind what it is told after.
pub(super) fn reached(last: Option<&Epoch>) -> String {
    last.map_or_else(String::new, |it| {
        let after = counted(it.epoch, "epoch");
        format!(" after {after} of {}, valid loss {:.3}", it.stage, it.valid.loss)
    })
}

/// That a trial, which `what` tells, cannot go on, and why.
pub(super) fn cannot_go_on(what: &str, failure: &Failure) -> String {
    format!("{what}: {}\n      {}", failure.message, failure.help)
}

/// That `trial` ended so and is tried once more.
pub(super) fn again(trial: &Trial, failure: &Failure) -> String {
    format!(
        "{}  is tried once more, since it shares the GPU's server with others that may be at fault: {}",
        trial.name(),
        failure.message
    )
}

/// How many workers at once train the most.
pub(super) fn settled(Settled { at_once, gain }: Settled) -> String {
    match at_once {
        1 => "one trial at a time from now on: two at once train no more images together".into(),
        n => format!(
            "{n} at once from now on: together they train {gain:.2} times as many images as one alone"
        ),
    }
}

/// That so many trials in a row failed with the same words.
pub(super) fn no_use(failures: usize) -> String {
    format!(
        "the last {} to end failed with the same words, so the others most likely would: see above. \
         `--keep-going` goes on all the same",
        counted(failures, "trial")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_into_the_terminal_and_its_last_parts_are_left_out_first() {
        let name = "grid/stages.head.optimizer.adam.lr-0.001_seed-0";
        let parts = ["head 12/30", "valid 58.2 %", "1 min 20 s left"].map(str::to_owned);
        for (width, shown) in [(20, 1), (40, 1), (66, 1), (75, 2), (92, 3), (200, 3)] {
            let line = fitted(name, &parts, width);
            assert!(measure_text_width(&line) <= width, "{line}");
            let there = parts.iter().filter(|it| line.contains(it.as_str())).count();
            assert_eq!((there, line.starts_with("grid/")), (shown, true), "{line}");
        }
        assert_eq!(fitted("a", &["b".to_owned()], 80), "a  b");
        let told = [0.2, 1.4, 59.0, 80.0, f64::NAN].map(time_left);
        let told: Vec<_> = told.iter().flatten().map(String::as_str).collect();
        assert_eq!(told, ["1 s left", "59 s left", "1 min 20 s left"]);
    }

    #[test]
    fn a_name_in_a_bar_goes_without_its_key() {
        assert_eq!(short("frozen/seed-0-29311b3e"), "frozen/seed-0");
        assert_eq!(short("mine/seed-0"), "mine/seed-0");
    }
}
