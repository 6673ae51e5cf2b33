//! Two configurations of made-up studies: what is said of them, and the page.

use std::path::Path;

use ferrite_core::metrics::scores::Confusion;
use ferrite_core::store::record::Record;

use crate::report::gallery::album::Albums;
use crate::report::pair::{Links, default_path, page, write};
use crate::report::tests::{in_study, verdicts::study};
use crate::study::comparison::{Comparison, Comparisons, Verdict};
use crate::study::contrast::{Contrast, Obstacle};
use crate::study::judged::Judged;
use crate::study::{Configuration, Study};

/// What `test` finds when the second of two configurations is held against the first.
fn held<T>(records: &[Record], runs: &Path, test: impl Fn(&Contrast<'_, '_>) -> T) -> T {
    let study = Study::of(records, &[], runs);
    let judged = Judged::new(&study);
    let [a, b] = sides(&study);
    test(&Contrast::of(&judged, [a, b]))
}

/// The two configurations of the first and of the fourth record.
fn sides<'s, 'a>(study: &'s Study<'a>) -> [&'s Configuration<'a>; 2] {
    let of = |seed_of: usize| {
        let has = |it: &&Configuration<'_>| {
            it.settings.values().any(|it| it == &format!("{}", (seed_of + 1) as f64 * 1e-4))
        };
        study.configurations.iter().find(has).unwrap()
    };
    [of(0), of(1)]
}

fn html(it: &Contrast<'_, '_>) -> String {
    let links = Links::from(Path::new("runs/report/diff.html"), Path::new("runs"));
    page(it, "faces", &links).unwrap().render()
}

#[test]
fn the_difference_is_that_of_the_report() {
    in_study(|runs| {
        let records = study(runs, 8, |it| 0.6 + 0.02 * it as f64);
        let gathered = Study::of(&records, &[], runs);
        let judged = Judged::new(&gathered);
        let all = Comparisons::of(&gathered);
        assert_eq!((all.effects.len(), all.pairs.len()), (7, 15));
        let is_effect = |it: &Comparison<'_, '_>| {
            let sides = [it.from.position, it.to.position];
            all.effects.iter().any(|it| {
                let others = [it.from.position, it.to.position];
                others == sides || others == [sides[1], sides[0]]
            })
        };
        let pairs = all.pairs.iter().filter(|it| !is_effect(it));
        for (report, family) in all.effects.iter().map(|it| (it, 7)).chain(pairs.map(|it| (it, 15)))
        {
            let told = Contrast::of(&judged, [report.from, report.to]).matched.unwrap();
            let it = &told.comparison;
            assert_eq!(it.difference, report.difference);
            assert_eq!((it.p, it.verdict, told.family), (report.p, report.verdict, family));
            assert_eq!((it.images, it.seeds.len()), (report.images, report.seeds.len()));
            assert_eq!(it.accuracies, report.accuracies);
            // The other way round.
            let back = Contrast::of(&judged, [report.to, report.from]).matched.unwrap().comparison;
            assert_eq!((back.difference.mean, back.p), (-report.difference.mean, report.p));
            assert_eq!(back.verdict, report.verdict);
        }
    });
}

#[test]
fn alone_in_its_study_a_pair_has_the_p_value_of_one_comparison() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let (p, alone, words) = held(&records, runs, |it| {
            let it_ = &it.matched.as_ref().unwrap().comparison;
            (it_.p, it_.difference.p, it.in_words())
        });
        assert_eq!(p, alone);
        assert!(
            words.contains("is better than") && words.contains("The difference is real"),
            "{words}"
        );
    });
}

#[test]
fn classes_confusions_and_images_add_up() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        held(&records, runs, |it| {
            let matched = it.matched.as_ref().unwrap();
            let classes = it.classes.as_ref().unwrap();
            // Counted anew from the runs themselves.
            let whole = |side: usize| {
                let all = it.sides[side].runs.iter();
                let all = all.map(|it| Confusion::count(7, &it.record.predictions));
                all.reduce(|sum, it| sum.plus(&it)).unwrap()
            };
            assert_eq!(classes.confusions, [whole(0), whole(1)]);
            for change in &classes.changes {
                for (ratio, expected) in [
                    (change.recall, [0, 1].map(|it| whole(it).classes()[change.class].recall)),
                    (
                        change.precision,
                        [0, 1].map(|it| whole(it).classes()[change.class].precision),
                    ),
                    (change.f1, [0, 1].map(|it| whole(it).classes()[change.class].f1)),
                ] {
                    assert_eq!(ratio.values, expected);
                    let Some(estimate) = ratio.estimate else { continue };
                    let difference = ratio.difference().unwrap();
                    assert!(
                        (estimate.mean - difference).abs() < 1e-12,
                        "{estimate:?} {difference}"
                    );
                    assert!(
                        estimate.interval[0] <= difference && difference <= estimate.interval[1]
                    );
                }
            }
            let sizes: Vec<f64> =
                classes.changes.iter().filter_map(|it| it.f1.difference()).map(f64::abs).collect();
            assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
            let images = &matched.images;
            let sum = images.sum;
            assert_eq!(sum.both + sum.lost + sum.gained + sum.neither, 3000);
            let gain = (sum.gained as f64 - sum.lost as f64) / 3000.0;
            assert!((gain - matched.comparison.difference.mean).abs() < 1e-12);
            let most = images.majority;
            assert_eq!(most.both + most.lost + most.gained + most.neither, 1000);
            let changed = images.all.iter().filter(|it| it.changed_side(3)).count();
            assert_eq!(changed, most.lost + most.gained);
            let largest = classes.changed_most(5);
            assert!(largest.iter().all(|it| it.truth != it.taken_for) && !largest.is_empty());
        });
    });
}

#[test]
fn the_same_classes_with_other_probabilities_are_no_proof_of_no_effect() {
    in_study(|runs| {
        let mut records = study(runs, 2, |_| 0.6);
        let (first, second) = records.split_at_mut(3);
        for (it, other) in second.iter_mut().zip(first) {
            it.predictions.clone_from(&other.predictions);
        }
        let verdict = |records: &[Record]| {
            held(records, runs, |it| it.matched.as_ref().unwrap().comparison.verdict)
        };
        assert_eq!(verdict(&records), Verdict::Same);
        records[4].predictions[7].probabilities[0] += 1e-6;
        assert_eq!(verdict(&records), Verdict::NotShown);
    });
}

#[test]
fn equal_scores_share_a_rank_and_no_colour() {
    in_study(|runs| {
        let mut records = study(runs, 4, |_| 0.6);
        for (at, record) in records.iter_mut().enumerate() {
            for epoch in record.facts.stages.iter_mut().flat_map(|it| &mut it.epochs) {
                // The middle two have the same accuracies, under other seeds.
                let accuracies = [0.7, 0.7, 0.7, 0.61, 0.62, 0.63, 0.62, 0.63, 0.61, 0.5, 0.5, 0.5];
                epoch.valid.accuracy = accuracies[at];
            }
        }
        let study = Study::of(&records, &[], runs);
        let places: Vec<_> = study.configurations.iter().filter_map(Configuration::place).collect();
        assert_eq!(places, ["1", "=2", "=2", "4"]);
        let ranks: Vec<_> = study.configurations.iter().map(|it| it.rank).collect();
        assert_eq!(ranks, [Some(1), Some(2), Some(2), Some(4)]);
        let positions: Vec<_> = study.configurations.iter().map(|it| it.position).collect();
        assert_eq!(positions, [0, 1, 2, 3]);
        let page = crate::report::index::page(
            &Judged::new(&study),
            "faces",
            false,
            &Albums::default(),
            String::new(),
        );
        assert!(page.unwrap().0.render().contains("=2"));
    });
}

#[test]
fn what_cannot_be_compared_is_said_and_the_rest_is_there() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let obstacle = |change: &dyn Fn(usize, &mut Record)| {
            let mut records = records.clone();
            for (at, it) in records.iter_mut().enumerate() {
                change(at, it);
            }
            held(&records, runs, |it| {
                let page = html(it);
                assert!(page.contains("Nothing can be said of the difference"), "{page}");
                assert!(page.contains("id=\"scores\"") && page.contains("id=\"curves\""));
                it.matched.as_ref().err().cloned().unwrap()
            })
        };
        let second = |at: usize| at >= 3;
        let seeds = obstacle(&|at, it| {
            if second(at) {
                let seed = it.settings["seeds"][0].as_integer().unwrap() + 10;
                it.settings["seeds"] = vec![seed].into();
            }
        });
        assert_eq!(seeds, Obstacle::OtherSeeds);
        let images = obstacle(&|at, it| {
            if second(at) {
                it.settings["data"]["source"]["fer2013"]["csv"] = "other.csv".into();
            }
        });
        assert_eq!(images, Obstacle::OtherImages(vec!["data.source.fer2013.csv".into()]));
        assert!(images.words().ends_with("(data.source.fer2013.csv differs)"));
        let split = obstacle(&|at, it| {
            if second(at) {
                it.facts.evaluation.as_mut().unwrap().split = "valid".into();
            }
        });
        assert_eq!(split, Obstacle::OtherSplits);
        let labels = obstacle(&|at, it| {
            if second(at) {
                it.predictions[0].truth += 1;
            }
        });
        assert_eq!(labels, Obstacle::OtherLabels);
        let unfinished = obstacle(&|at, it| {
            if second(at) {
                it.predictions.clear();
            }
        });
        assert!(matches!(unfinished, Obstacle::Unfinished(_)));
    });
}

#[test]
fn it_is_said_which_seeds_a_difference_is_over_where_one_side_has_more() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let gathered = Study::of(&records, &[], runs);
        let judged = Judged::new(&gathered);
        let mut narrowed = sides(&gathered).map(Clone::clone);
        let it = Contrast::of(&judged, [&narrowed[0], &narrowed[1]]);
        assert_eq!(it.over(), None);
        narrowed[0].runs.truncate(2);
        let it = Contrast::of(&judged, [&narrowed[0], &narrowed[1]]);
        assert!(it.over().unwrap().starts_with("B − A is over the seeds 0, 1, which both have"));
        narrowed[0].runs.truncate(1);
        let it = Contrast::of(&judged, [&narrowed[0], &narrowed[1]]);
        assert_eq!(it.common_seeds, ["0"]);
        let over = it.over().unwrap();
        assert!(over.starts_with("B − A is over the seed 0, which both have"), "{over}");
        assert!(html(&it).contains(&over));
    });
}

#[test]
fn two_runs_of_other_seeds_are_two_networks() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let gathered = Study::of(&records, &[], runs);
        let judged = Judged::new(&gathered);
        let mut narrowed = sides(&gathered).map(Clone::clone);
        narrowed[0].runs.truncate(1);
        narrowed[1].runs.remove(0);
        narrowed[1].runs.truncate(1);
        let it = Contrast::of(&judged, [&narrowed[0], &narrowed[1]]);
        let matched = it.matched.as_ref().unwrap();
        assert_eq!(matched.comparison.seeds[0].seed, "0 and 1");
        assert_eq!((matched.comparison.verdict, matched.family), (Verdict::OneSeed, 1));
        assert!(it.in_words().contains("With one seed nobody knows"));
    });
}

#[test]
fn names_are_shown_and_not_carried_out() {
    in_study(|runs| {
        let mut records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        let evil = "<script>alert(1)</script>\n\"'&\u{5d0}\u{5d1}\u{202e}x";
        for record in &mut records {
            record.experiment = format!("grid {evil}");
            record.description.about = evil.into();
            let dataset = record.facts.dataset.as_mut().unwrap();
            for class in &mut dataset.classes {
                class.push_str(evil);
            }
            for it in &mut record.predictions {
                it.id.push_str(evil);
            }
            record.settings["about"] = evil.into();
        }
        held(&records, runs, |it| {
            let page = html(it);
            assert!(!page.contains("<script>alert") && page.contains("&lt;script&gt;alert(1)"));
            assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
            assert!(page.contains("\u{5d0}\u{5d1}"), "other writing directions are kept");
            let name = default_path(it, Path::new("runs"));
            let name = name.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(name.starts_with("diff-grid-script-alert-1-script"), "{name}");
            assert!(
                name.chars().all(|it| it.is_ascii_alphanumeric() || "-._".contains(it)),
                "{name}"
            );
            assert_eq!(html(it), page, "the same twice");
        });
    });
}

#[test]
fn a_page_links_to_the_runs_from_where_it_lies() {
    let link = |page: &str| {
        Links::from(Path::new(page), Path::new("/w/runs")).to(Path::new("e/s/index.html"))
    };
    assert_eq!(link("/w/runs/report/diff-a-b.html"), "../e/s/index.html");
    assert_eq!(link("/w/here.html"), "runs/e/s/index.html");
    assert_eq!(link("/tmp/x/here.html"), "../../w/runs/e/s/index.html");
}

#[test]
fn a_page_replaces_its_like_and_nothing_else() {
    in_study(|runs| {
        let records = study(runs, 2, |it| 0.6 + 0.1 * it as f64);
        held(&records, runs, |it| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("two.html");
            let write = || write(it, runs, &path);
            write().unwrap();
            let page = std::fs::read(&path).unwrap();
            write().unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), page);
            let report = "<meta name=\"ferrite-inputs\" content=\"0\">";
            for other in ["id,truth\n", "", report] {
                std::fs::write(&path, other).unwrap();
                let error = write().unwrap_err().to_string();
                assert!(error.contains("is no page of `ferrite diff`"), "{error}");
                assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
            }
        });
    });
}
