//! Searches on the page of the study.

use ferrite_core::event::parts::Rung;
use ferrite_core::store::description::Searched;
use ferrite_core::store::record::{Record, State};

use crate::report::example::many;
use crate::report::tests::{in_study, index};
use crate::study::Study;
use crate::study::judged::Judged;

const SEARCH: &str = "points = 4\n[space]\n\"stages.head.optimizer.adam.lr\" = { log_uniform = [1e-5, 1e-2] }\n\
                      [halving]\nmin_epochs = 2\nreduction_factor = 2\n";

/// Four points of a search with three seeds each, over rungs of 2, 4 and 8 epochs; the first is finished, the last stopped
/// after 2 epochs.
fn searched(runs: &std::path::Path) -> Vec<Record> {
    let mut records = many(runs, 12);
    let names: Vec<Vec<String>> =
        records.chunks(3).map(|it| it.iter().map(|it| it.trial.clone()).collect()).collect();
    let searched: std::sync::Arc<_> =
        Searched { points: names, settings: SEARCH.parse().unwrap() }.into();
    let stages: toml::Table = "stages = [{ name = \"head\", epochs = 8 }]".parse().unwrap();
    for (at, it) in records.iter_mut().enumerate() {
        it.description.search = Some(searched.clone());
        let lr = it.settings["stages"][0]["optimizer"].clone();
        it.settings.insert("stages".into(), stages["stages"].clone());
        it.settings["stages"][0].as_table_mut().unwrap().insert("optimizer".into(), lr);
        let reached = [8, 4, 2, 2][at / 3];
        let stage = &mut it.facts.stages[0];
        stage.epochs.truncate(reached);
        for epoch in &mut stage.epochs {
            epoch.valid.loss = 0.5 + 0.1 * (at / 3) as f64;
        }
        if reached < 8 {
            stage.end = None;
            it.state = State::Stopped(Rung { stage: "head".into(), epochs: reached, seconds: 1.0 });
            it.predictions.clear();
            it.facts.evaluation = None;
        }
    }
    records
}

#[test]
fn the_page_says_who_was_stopped_where_and_what_that_saved() {
    in_study(|runs| {
        let page = index(&searched(runs), runs);
        for said in [
            "4 points drawn with seed 0",
            "4 for 2, 2 for 4, 1 for 8 epochs of head",
            "So far 48 of the 96 epochs were trained",
            "stopped at rung 1 of 3",
            "stopped at rung 2 of 3",
            "Best: point 1",
            "Rungs of grid",
            "plots/search.svg",
        ] {
            assert!(page.contains(said), "{said}");
        }
    });
}

#[test]
fn points_that_were_stopped_have_no_rank_and_no_point_has_a_verdict() {
    in_study(|runs| {
        let mut records = searched(runs);
        // Two whole points, so that there would be something to compare.
        let whole = many(runs, 12);
        for (it, whole) in records[3..6].iter_mut().zip(&whole[3..6]) {
            it.state = State::Finished;
            it.predictions.clone_from(&whole.predictions);
            it.facts = whole.facts.clone();
        }
        let study = Study::of(&records, &[], runs);
        assert_eq!(study.ranked().count(), 2);
        let judged = Judged::new(&study);
        let comparisons = judged.comparisons();
        assert!(comparisons.effects.is_empty() && comparisons.pairs.is_empty());
        // The same runs are compared where they are points of no search.
        for it in &mut records {
            it.description.search = None;
        }
        let study = Study::of(&records, &[], runs);
        assert!(!Judged::new(&study).comparisons().pairs.is_empty());
    });
}
