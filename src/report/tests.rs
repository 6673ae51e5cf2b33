//! The report as a whole: from records to files.

mod folds;
mod search;
pub(super) mod verdicts;

use std::fs;
use std::path::Path;

use ferrite_core::error::Error;
use ferrite_core::event::acts::{Clipped, Kept, Mixed, Norm, Orthogonalized, TechniqueEvidence};
use ferrite_core::event::{Evaluation, Scores};
use ferrite_core::store::record::{Record, State};

use super::example::{many, page, records, write_all};
use super::study_name;
use crate::report::board::Board;
use crate::report::gallery::album::Albums;
use crate::study::Study;
use crate::study::judged::Judged;

/// Five runs of four configurations, one of them failed.
fn some(runs: &Path) -> Vec<Record> {
    let of_interest = [0, 1, 3, 15, 21];
    let all = records(runs).into_iter().enumerate();
    all.filter(|it| of_interest.contains(&it.0)).map(|it| it.1).collect()
}

/// Writes the report of `records` into `runs` and gives back the study's page.
fn index(records: &[Record], runs: &Path) -> String {
    fs::read_to_string(write_all(records, &[], runs).unwrap()).unwrap()
}

pub(super) fn in_study<T>(test: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    test(&folder.path().join("faces").join("runs"))
}

#[test]
fn every_run_has_a_page_and_every_figure_is_there_as_png_and_svg() {
    in_study(|runs| {
        let records = some(runs);
        let index = index(&records, runs);
        assert!(index.contains("<h1 id=\"top\">faces</h1>"));
        for name in index.split("href=\"plots/").skip(1).map(|it| it.split('"').next().unwrap()) {
            let start: &[u8] = if Path::new(name).extension().is_some_and(|it| it == "svg") {
                b"<svg "
            } else {
                b"\x89PNG"
            };
            let file = fs::read(runs.join("plots").join(name)).unwrap();
            assert!(file.starts_with(start), "{name}");
        }
        for record in &records {
            let page = page(record);
            assert!(page.contains("../index.html"), "{}", record.trial);
        }
    });
}

#[test]
fn of_many_runs_the_best_are_drawn_and_the_others_told_in_numbers_until_figures_are_asked_for() {
    in_study(|runs| {
        let records = many(runs, super::MOST_DRAWN + 1);
        let (some, last) = (&records[..3], records.last().unwrap());
        write_all(some, &[], runs).unwrap();
        let beside = |record: &Record| {
            ["MODEL.md", "plots/loss.png", "plots/loss.svg"]
                .map(|it| record.folder.join(it).exists())
        };
        assert!(some.iter().all(|it| beside(it) == [true; 3]));

        write_all(&records, &[], runs).unwrap();
        let study = Study::of(&records, &[], runs);
        let drawn = super::extents(&study, false);
        let on_page = drawn.iter().filter(|it| it.1 == super::Extent::OnPage).count();
        assert_eq!((drawn.len(), on_page), (records.len(), super::BEST_DRAWN));
        for (run, extent) in drawn {
            let page = page(run.record);
            let has_figures = extent == super::Extent::OnPage;
            assert_eq!(page.contains("<figure "), has_figures, "{}", run.place.display());
            assert_eq!(page.contains("told in numbers"), !has_figures);
            // What an earlier report of fewer runs left is gone where this one does not vouch for it.
            assert_eq!(beside(run.record), [has_figures, false, false]);
            assert!(
                page.contains("Per class, in percent") && page.contains("Every epoch in numbers")
            );
        }

        let judged = Judged::new(&study);
        let all = super::Target { every_figure: true, ..super::Target::beside(runs) };
        super::Report::of(&judged, all).write().unwrap();
        assert_eq!(beside(last), [true; 3]);
    });
}

#[test]
fn names_are_escaped_and_nothing_is_loaded_from_elsewhere() {
    in_study(|runs| {
        let records = some(runs);
        let mut pages = vec![index(&records, runs)];
        pages.extend(records.iter().map(page));
        for page in pages {
            assert!(!page.contains("<script>alert") && !page.contains("<b>no</b>"));
            assert!(
                !page.contains("http:") && !page.contains("https:") && !page.contains("src=\"/")
            );
            assert!(!page.contains("@import") && !page.contains("url("));
        }
    });
}

#[test]
fn what_failed_or_is_not_a_number_never_ranks() {
    in_study(|runs| {
        let mut records = records(runs);
        for record in records.iter_mut().filter(|it| it.experiment == "vgg16-frozen") {
            for epoch in record.facts.stages.iter_mut().flat_map(|it| &mut it.epochs) {
                epoch.valid.accuracy = f64::NAN;
            }
        }
        let failed = records.iter_mut().filter(|it| it.experiment == "resnet50-finetune");
        for record in failed {
            record.state = State::Interrupted;
            record.facts.stages[1].epochs.iter_mut().for_each(|it| it.valid.accuracy = 0.99);
        }
        let study = Study::of(&records, &[], runs);
        super::index::page(&Judged::new(&study), "faces", false, &Albums::default(), String::new())
            .unwrap();
        let board: Vec<_> =
            study.configurations.iter().map(|it| (it.rank, it.label.as_str())).collect();
        assert_eq!(board[0], (Some(1), "vgg16-finetune · lr 0.01"));
        let unranked: Vec<_> = board.iter().filter(|it| it.0.is_none()).map(|it| it.1).collect();
        assert_eq!(unranked, ["resnet50-finetune", "vgg16-frozen", "xception/diverges"]);
    });
}

#[test]
fn seeds_are_one_configuration_and_what_differs_names_it() {
    in_study(|runs| {
        let records = records(runs);
        let study = Study::of(&records, &[], runs);
        assert_eq!(study.configurations.len(), 8);
        let best = &study.configurations[0];
        assert_eq!(
            best.runs.iter().map(|it| it.seed.as_str()).collect::<Vec<_>>(),
            ["0", "1", "2"]
        );
        let stat = best.stat(crate::study::Run::test_accuracy).unwrap();
        assert!(stat.n == 3 && stat.sd.unwrap() > 0.0);
        let rows = Board::new(&study).differences().unwrap().into_string();
        assert!(rows.contains("image_size") && !rows.contains("dropout"), "{rows}");
    });
}

#[test]
fn whatever_is_missing_leaves_the_rest_standing() {
    in_study(|runs| {
        assert!(index(&[], runs).contains("No run has finished yet"));
        let mut records = some(runs);
        for record in &mut records {
            record.predictions.clear();
        }
        records[0].facts.evaluation = None;
        records[1].facts.dataset = None;
        records[2].facts.stages.clear();
        records[3].facts = ferrite_core::store::record::Facts::default();
        assert!(index(&records, runs).contains("Leaderboard"));
        assert!(page(&records[3]).contains("id=\"settings\""));
    });
}

#[test]
fn the_same_records_give_the_same_bytes_and_are_not_written_twice() {
    let written = |seed_last: bool| {
        in_study(|runs| {
            let mut records = some(runs);
            if seed_last {
                records.reverse();
            }
            let pages = (index(&records, runs), page(&records[2]).len());
            (pages, fs::read(runs.join("plots/accuracy.png")).unwrap())
        })
    };
    assert!(written(false) == written(false));
    assert_eq!(written(false).0.0, written(true).0.0, "the order of records does not matter");
    in_study(|runs| {
        let mut records = some(runs);
        let when =
            |it: &Record| fs::metadata(it.folder.join("index.html")).unwrap().modified().unwrap();
        write_all(&records, &[], runs).unwrap();
        let before: Vec<_> = records.iter().map(when).collect();
        records[0].seconds += 1.0;
        fs::remove_file(records[1].folder.join("plots/loss.png")).unwrap();
        write_all(&records, &[], runs).unwrap();
        let changed = (0..records.len()).filter(|it| when(&records[*it]) != before[*it]);
        assert_eq!(changed.collect::<Vec<_>>(), [0, 1]);
        assert!(records[1].folder.join("plots/loss.png").exists());
    });
}

#[test]
fn a_page_or_an_image_that_was_damaged_is_written_again_and_the_others_are_not() {
    in_study(|runs| {
        let records = some(runs);
        write_all(&records, &[], runs).unwrap();
        let [page, image] = ["index.html", "plots/loss.png"].map(|it| records[1].folder.join(it));
        let other = records[2].folder.join("index.html");
        let [whole, drawn] = [&page, &image].map(|it| fs::read(it).unwrap());
        let when = fs::metadata(&other).unwrap().modified().unwrap();
        for (path, bytes) in [(&page, &whole), (&image, &drawn)] {
            let mut flipped = bytes.clone();
            *flipped.last_mut().unwrap() ^= 1;
            for damaged in [&flipped, &bytes[..bytes.len() / 2].to_vec()] {
                fs::write(path, damaged).unwrap();
                write_all(&records, &[], runs).unwrap();
                assert!(fs::read(path).unwrap() == *bytes, "{} stays damaged", path.display());
            }
        }
        assert_eq!(fs::metadata(&other).unwrap().modified().unwrap(), when);
    });
}

#[test]
fn evidence_of_a_run_is_on_its_page() {
    in_study(|runs| {
        let records = some(runs);
        fs::create_dir_all(records[0].folder.join("plots")).unwrap();
        fs::write(records[0].folder.join("plots/augmented-fine-tune.png"), b"sheet").unwrap();
        fs::write(records[0].folder.join("environment.json"), r#"{"git":{"commit":"c0ffee"}}"#)
            .unwrap();
        write_all(&records, &[], runs).unwrap();
        let page = page(&records[0]);
        for evidence in [
            "data:image/png;base64,c2hlZXQ=",
            "c0ffee",
            "below 1 %",
            "9,180,000",
            "computed once per image",
            "did not get better than",
            "49.8 % of images",
        ] {
            assert!(page.contains(evidence), "{evidence}");
        }
    });
}

#[test]
fn techniques_of_a_stage_and_weights_kept_beside_the_last_are_on_its_page() {
    in_study(|runs| {
        let mut records = many(runs, 1);
        let record = &mut records[0];
        let stage = record.facts.stages.last_mut().unwrap();
        for epoch in &mut stage.epochs {
            epoch.acts = TechniqueEvidence {
                clipped: Some(Clipped { share: 0.125, norm: 1.5 }),
                mixed: Some(Mixed { other: 0.375, cut: 0.5 }),
                drawn: Some(vec![101; 7]),
                dropped: Some(0.5),
                least_loss: Some(0.456),
                orthogonalized: Some(Orthogonalized { matrices: 2, values: 61_440, others: 1_287 }),
                norm: Some(Norm { before: 12.5, after: 11.25 }),
                ..TechniqueEvidence::default()
            };
        }
        let kept = Kept { monitor: "valid_accuracy".into(), epoch: 3, value: 0.5 };
        stage.end.as_mut().unwrap().checkpoints = vec![kept];
        let scores = Scores { loss: 1.25, accuracy: 0.4321 };
        let tested = record.facts.evaluation.clone().unwrap();
        let weights = "valid_accuracy".into();
        record.facts.others =
            vec![Evaluation { weights, images: 70, scores, leak_free: None, ..tested }];
        record.settings = format!(
            "[model.head]\ndropout = 0.5\n[[stages]]\nname = \"{}\"\nmixup = 0.25\ncutmix = 0.0\n\
             sampling = \"balanced\"\nclip = {{ norm = 1.0 }}\n\
             optimizer = {{ adamw = {{ lr = 0.001, weight_decay = 0.01 }} }}\n\
             loss = {{ label_smoothing = 0.1, class_weights = \"none\" }}",
            record.facts.stages.last().unwrap().start.stage
        )
        .parse()
        .unwrap();
        write_all(&records, &[], runs).unwrap();
        let page = page(&records[0]);
        let row =
            |name: &str| page.split(&format!("<dt>{name}</dt>")).nth(1)?.split("</dd>").next();
        for (name, written, did) in [
            ("Sampling", "sampling = &quot;balanced&quot;", "angry 101"),
            ("Mixup", "mixup = 0.25", "37.5 % of an image"),
            ("Clipping", "clip.norm = 1.0", "12.5 % of the gradients"),
            ("Dropout", "model.head.dropout = 0.5", "50.0 % of the head's values"),
            ("Label smoothing", "loss.label_smoothing = 0.1", "cannot fall below 0.456"),
            ("Weight decay", "optimizer.adamw.weight_decay = 0.01", "from 12.500 to 11.250"),
        ] {
            let row = row(name).unwrap_or("no row");
            assert!(row.contains(written) && row.contains(did), "{name}: {row}");
        }
        assert_eq!([row("Cutmix"), row("Class weights")], [None; 2]);
        assert!(page.contains("valid_accuracy") && page.contains("43.2"));
    });
}

#[test]
fn a_folder_that_cannot_be_written_is_named_and_hides_no_other_page() {
    in_study(|runs| {
        let records = many(runs, 4);
        fs::create_dir_all(records[0].folder.parent().unwrap()).unwrap();
        fs::write(&records[0].folder, "not a folder").unwrap();
        let error = write_all(&records, &[], runs).unwrap_err().to_string();
        assert!(error.contains(&records[0].trial), "{error}");
        assert!(runs.join("index.html").exists() && records[3].folder.join("index.html").exists());
    });
}

#[test]
fn a_damaged_folder_is_named_on_the_page() {
    in_study(|runs| {
        let (path, help) = (runs.join("a/<b>/events.jsonl"), "delete the folder".to_owned());
        let damaged = [Error::Damaged { path, message: "line 3 is cut off".into(), help }];
        let page = fs::read_to_string(write_all(&[], &damaged, runs).unwrap()).unwrap();
        for part in ["/a/&lt;b&gt;/events.jsonl", "line 3 is cut off", "delete the folder"] {
            assert!(page.contains(part), "{part}");
        }
    });
}

#[test]
fn forty_configurations_fit() {
    in_study(|runs| {
        let records = many(runs, 40 * 3);
        let study = Study::of(&records, &[], runs);
        let page = super::index::page(
            &Judged::new(&study),
            "grid",
            false,
            &Albums::default(),
            String::new(),
        )
        .unwrap()
        .0
        .render();
        assert!(page.contains("The first 20 of 40 configurations"));
    });
}

#[test]
fn a_study_is_named_after_the_folder_that_holds_its_runs() {
    assert_eq!(study_name(Path::new("/home/me/faces/runs")), "faces");
}
