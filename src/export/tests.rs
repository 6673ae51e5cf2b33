//! The data of a study, read back as others read it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ferrite_core::store::record::{Record, State};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::export::paper::latex;
use crate::export::write;
use crate::report::example::records;
use crate::study::Study;
use crate::study::comparison::accuracy_interval;
use crate::study::judged::Judged;
use crate::study::{Configuration, Run};

/// What somebody could call an experiment.
const AWKWARD: &str = "a \"b\", c_d\\e & 50% #1 ${x}^2 ~ [y] <b>|</b>\nnew\u{202e}line";

fn in_study<T>(test: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    test(&folder.path().join("faces").join("runs"))
}

fn export(records: &[Record], runs: &Path, inputs: &str) {
    let study = Study::of(records, &[], runs);
    write(&Judged::new(&study), &runs.join("index.html"), inputs).unwrap();
}

fn text(runs: &Path, name: &str) -> String {
    fs::read_to_string(runs.join("report").join(name)).unwrap()
}

/// The rows of a table, each by the names of its columns.
fn csv(runs: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let text = text(runs, name);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let row = |it: csv::StringRecord| {
        header.iter().map(str::to_owned).zip(it.iter().map(str::to_owned)).collect()
    };
    reader.records().map(|it| row(it.unwrap())).collect()
}

fn rows(runs: &Path, name: &str) -> Vec<Row> {
    let file = fs::File::open(runs.join("report").join(name)).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    reader.get_row_iter(None).unwrap().map(|it| it.unwrap()).collect()
}

fn field<'r>(row: &'r Row, name: &str) -> &'r Field {
    row.get_column_iter().find(|it| it.0 == name).unwrap().1
}

fn string(row: &Row, name: &str) -> String {
    let Field::Str(it) = field(row, name) else { panic!("{name} is no text: {row}") };
    it.clone()
}

fn number(row: &Row, name: &str) -> Option<f64> {
    match field(row, name) {
        Field::Double(it) => Some(*it),
        Field::Long(it) => Some(*it as f64),
        Field::Null => None,
        other => panic!("{name} is no number: {other}"),
    }
}

/// What a cell says, to the last bit.
#[track_caller]
fn says(row: &BTreeMap<String, String>, column: &str, value: Option<f64>) {
    let said = row[column].parse::<f64>().ok();
    assert_eq!(said.map(f64::to_bits), value.map(f64::to_bits), "{column}: {row:?}");
}

#[test]
fn the_tables_say_what_the_board_says_to_the_last_bit() {
    in_study(|runs| {
        let records = records(runs);
        export(&records, runs, "");
        let study = Study::of(&records, &[], runs);
        let judged = Judged::new(&study);
        let table = csv(runs, "configurations.csv");
        assert_eq!(table.len(), study.configurations.len());
        for (row, it) in table.iter().zip(&study.configurations) {
            assert_eq!(row["configuration"], it.label);
            assert_eq!(row["rank"].parse().ok(), it.rank);
            let stats = [
                ("accuracy", it.stat(Run::test_accuracy)),
                ("valid_accuracy", it.stat(Run::valid_accuracy)),
                ("macro_f1", it.stat(Run::macro_f1)),
                ("roc_auc", it.stat(Run::roc_auc)),
                ("loss", it.stat(Run::test_loss)),
            ];
            for (name, stat) in stats {
                says(row, &format!("{name}_mean"), stat.map(|it| it.mean));
                says(row, &format!("{name}_sd"), stat.and_then(|it| it.sd));
            }
            let interval = accuracy_interval(it);
            says(row, "accuracy_low", interval.map(|it| it[0]));
            says(row, "accuracy_high", interval.map(|it| it[1]));
            assert_eq!(row["model.backbone"], it.settings["model.backbone"].trim_matches('"'));
        }
        assert!(
            !table[0].contains_key("data.image_size") || table[0].contains_key("model.backbone")
        );
        let table = csv(runs, "runs.csv");
        assert_eq!(table.len(), records.len());
        for (row, run) in table.iter().zip(study.runs()) {
            assert_eq!(row["run"], run.record.name());
            assert_eq!(row["state"], run.record.state.word());
            says(row, "accuracy", run.test_accuracy());
            says(row, "macro_f1", run.macro_f1());
            assert!(row["began"].ends_with('Z') && row["began"].starts_with("2025-"), "{row:?}");
            let failed = matches!(run.record.state, State::Failed(_));
            assert_eq!(row["failure"].contains("diverged"), failed);
        }
        let table = csv(runs, "comparisons.csv");
        let comparisons = judged.comparisons();
        let all: Vec<_> = comparisons.effects.iter().chain(&comparisons.pairs).collect();
        assert_eq!((table.len(), all.is_empty()), (all.len(), false));
        for (row, it) in table.iter().zip(all) {
            assert_eq!((&row["from"], &row["to"]), (&it.from.label, &it.to.label));
            says(row, "difference", Some(it.difference.mean));
            says(row, "low", Some(it.difference.interval[0]));
            says(row, "p", Some(it.difference.p));
            says(row, "p_holm", Some(it.p));
            assert_eq!(row["verdict"], it.verdict.words());
        }
        let table = csv(runs, "classes.csv");
        let best = study.configurations[0].confusion().unwrap().classes();
        for (row, it) in table.iter().zip(&best) {
            assert_eq!(row["configuration"], study.configurations[0].label);
            says(row, "recall", it.recall);
            says(row, "f1", it.f1);
        }
    });
}

#[test]
fn every_prediction_and_every_epoch_is_in_the_parquet_files() {
    in_study(|runs| {
        let records: Vec<_> = records(runs).into_iter().skip(9).collect();
        export(&records, runs, "");
        let study = Study::of(&records, &[], runs);
        let table = rows(runs, "predictions.parquet");
        let written =
            study.runs().flat_map(|run| run.record.predictions.iter().map(move |it| (run, it)));
        let written: Vec<_> = written.collect();
        assert_eq!(table.len(), written.len());
        for (row, (run, it)) in table.iter().zip(written) {
            assert_eq!(string(row, "run"), run.record.name());
            assert_eq!(string(row, "id"), it.id);
            assert_eq!(number(row, "seed").map(|it| it.to_string()), Some(run.seed.clone()));
            assert_eq!(number(row, "truth"), Some(it.truth as f64));
            assert_eq!(string(row, "truth_class"), run.classes(0)[it.truth]);
            assert_eq!(string(row, "predicted_class"), run.classes(0)[it.predicted]);
            let Field::ListInternal(list) = field(row, "probabilities") else { panic!("{row}") };
            let probabilities: Vec<_> =
                it.probabilities.iter().map(|it| Field::Double(*it)).collect();
            assert_eq!(list.elements(), probabilities);
            let Field::ListInternal(list) = field(row, "classes") else { panic!("{row}") };
            assert_eq!(list.elements()[3], Field::Str("happy".into()));
            assert_eq!(number(row, "loss"), Some(-it.probabilities[it.truth].ln()));
        }
        // The accuracies of the configurations follow from the rows alone.
        let mut by_run = BTreeMap::<(String, String), (f64, f64)>::new();
        for row in &table {
            let run = by_run.entry((string(row, "configuration"), string(row, "run"))).or_default();
            run.0 += f64::from(u8::from(field(row, "correct") == &Field::Bool(true)));
            run.1 += 1.0;
        }
        let mut checked = 0;
        for row in csv(runs, "configurations.csv") {
            let all: Vec<f64> = by_run
                .iter()
                .filter(|it| it.0.0 == row["configuration"])
                .map(|it| it.1.0 / it.1.1)
                .collect();
            if let Ok(said) = row["accuracy_mean"].parse::<f64>() {
                let mean = all.iter().sum::<f64>() / all.len() as f64;
                assert!((mean - said).abs() < 1e-12, "{row:?}");
                checked += 1;
            }
        }
        assert!(checked > 3, "{checked}");
        let table = rows(runs, "epochs.parquet");
        let epochs = study.runs().flat_map(|run| {
            run.record
                .facts
                .stages
                .iter()
                .flat_map(|it| it.epochs.iter().map(move |epoch| (it, epoch)))
        });
        let epochs: Vec<_> = epochs.collect();
        assert_eq!(table.len(), epochs.len());
        for (row, (stage, it)) in table.iter().zip(epochs) {
            assert_eq!(
                (string(row, "stage"), number(row, "epoch")),
                (it.stage.clone(), Some(it.epoch as f64))
            );
            let same = |name: &str, value: f64| {
                assert_eq!(number(row, name).unwrap().to_bits(), value.to_bits(), "{name}: {row}");
            };
            same("valid_accuracy", it.valid.accuracy);
            same("train_loss", it.train.loss);
            same("learning_rate", it.lr);
            let kept = stage.kept().is_some_and(|kept| kept.epoch == it.epoch);
            assert_eq!(field(row, "kept"), &Field::Bool(kept));
        }
        let last = table.iter().rfind(|it| string(it, "run") == string(&table[0], "run"));
        assert_eq!(
            number(last.unwrap(), "global_epoch"),
            Some(study.runs().next().unwrap().epochs() as f64)
        );
    });
}

#[test]
fn equal_studies_are_equal_bytes_and_what_is_as_it_was_written_is_left_alone() {
    in_study(|runs| {
        let records: Vec<_> = records(runs).into_iter().take(4).collect();
        let folder = runs.join("report");
        let bytes = || -> BTreeMap<_, _> {
            let files = fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
            files.map(|it| (it.clone(), fs::read(&it).unwrap())).collect()
        };
        export(&records, runs, "one");
        let first = bytes();
        assert_eq!(first.len(), 10);
        let changed = || fs::metadata(folder.join("runs.csv")).unwrap().modified().unwrap();
        let before = changed();
        export(&records, runs, "one");
        assert_eq!(changed(), before);
        fs::write(folder.join("epochs.parquet"), "damaged").unwrap();
        export(&records, runs, "one");
        assert_eq!(bytes(), first);
        export(&records[..3], runs, "two");
        assert_eq!(csv(runs, "runs.csv").len(), 3);
    });
}

#[test]
fn a_study_without_scores_has_all_files_and_their_columns() {
    in_study(|runs| {
        export(&[], runs, "");
        assert_eq!(csv(runs, "configurations.csv").len(), 0);
        assert_eq!(rows(runs, "predictions.parquet").len(), 0);
        assert!(text(runs, "table.tex").contains("\\end{table}"));
    });
}

/// The lines of a table of LaTeX that hold rows.
fn latex_rows(table: &str) -> Vec<&str> {
    table.lines().filter(|it| it.ends_with("\\\\")).collect()
}

/// Fails unless `text` is balanced and every character that LaTeX reads as a command is escaped; gives back how often `&`
/// ends a cell.
#[track_caller]
fn cells(text: &str) -> usize {
    let mut depth = 0_i32;
    let mut ends = 0;
    let mut math = false;
    let mut characters = text.chars().peekable();
    while let Some(it) = characters.next() {
        match it {
            '\\' => {
                let next = characters.next().unwrap();
                assert!(
                    next.is_ascii_alphabetic() || "\\_%&#${}, ".contains(next),
                    "\\{next} in {text}"
                );
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            '$' => math = !math,
            '&' => ends += 1,
            '%' | '#' | '_' | '^' | '~' => panic!("{it} stands by itself in {text}"),
            _ => {}
        }
        assert!(depth >= 0, "{text}");
    }
    assert!(depth == 0 && !math, "{text}");
    ends + 1
}

#[test]
fn names_with_commas_quotes_lines_and_commands_are_shown_as_they_are() {
    in_study(|runs| {
        let mut records: Vec<_> = records(runs).into_iter().take(6).collect();
        for record in records.iter_mut().skip(3) {
            record.experiment = AWKWARD.into();
            record.description.about = AWKWARD.into();
        }
        export(&records, runs, "");
        let named = |row: &BTreeMap<String, String>| row["experiment"] == AWKWARD;
        assert_eq!(csv(runs, "configurations.csv").iter().filter(|it| named(it)).count(), 1);
        assert_eq!(csv(runs, "runs.csv").iter().filter(|it| named(it)).count(), 3);
        let predictions = rows(runs, "predictions.parquet");
        assert!(predictions.iter().any(|it| string(it, "experiment") == AWKWARD));
        for (name, columns) in [("table.tex", 7), ("comparisons.tex", 8)] {
            let table = text(runs, name);
            assert!(!table.contains('\u{202e}'));
            let rows = latex_rows(&table);
            assert!(rows.len() >= 2, "{table}");
            for row in rows {
                assert_eq!(cells(row.trim_end_matches("\\\\")), columns, "{row}");
            }
            let caption = table.split("\\caption").nth(1).unwrap().lines().next().unwrap();
            cells(caption);
            let outside: Vec<_> = table.lines().filter(|it| it.starts_with('%')).collect();
            let named = outside.iter().filter(|it| it.contains("/lr=")).count();
            assert_eq!(named, 2, "the runs of both are named: {table}");
        }
        let table = text(runs, "table.md");
        let rows: Vec<_> = table.lines().filter(|it| it.starts_with('|')).collect();
        for row in &rows {
            let bars = row.replace("\\|", "").matches('|').count();
            assert_eq!(bars, 9, "{row}");
            assert!(!row.contains("<b>"), "{row}");
        }
        assert_eq!(rows.len(), 2 + 2);
        assert!(table.contains("3,589 images") && table.contains("3 seeds each"), "{table}");
    });
}

#[test]
fn the_best_of_a_column_is_bold_and_the_caption_names_split_images_and_interval() {
    in_study(|runs| {
        let mut records = records(runs);
        records.truncate(9);
        for it in &mut records {
            let split =
                "train = 'Training'\nvalid = 'PrivateTest'\ntest = 'PublicTest'".parse().unwrap();
            let data = it.settings.get_mut("data").unwrap().as_table_mut().unwrap();
            data.insert("split".into(), toml::Value::Table(split));
        }
        export(&records, runs, "");
        let study = Study::of(&records, &[], runs);
        let mean = |it: &Configuration<'_>| it.stat(Run::test_accuracy).unwrap().mean;
        let best = study.ranked().map(mean).fold(0.0, f64::max);
        let bold = format!("\\textbf{{{:.1}}} $\\pm$", best * 100.0);
        let table = text(runs, "table.tex");
        assert!(table.contains(&bold), "{bold} in {table}");
        for said in [
            "test split (PublicTest)",
            "3,589 images",
            "95 \\% interval",
            "sample standard deviation",
        ] {
            assert!(table.contains(said), "{said} in {table}");
        }
        let row = &csv(runs, "runs.csv")[0];
        assert_eq!((&*row["split"], &*row["split_in_source"]), ("test", "PublicTest"));
        assert_eq!(string(&rows(runs, "predictions.parquet")[0], "split_in_source"), "PublicTest");
    });
}

#[test]
fn what_latex_reads_as_a_command_is_escaped() {
    assert_eq!(latex("a_b 50% {x} #1 $2 & 3"), "a\\_b 50\\% \\{x\\} \\#1 \\$2 \\& 3");
    assert_eq!(latex("~^\\"), "\\textasciitilde{}\\textasciicircum{}\\textbackslash{}");
    assert_eq!(latex("a--b · ±1 [c]*"), "a-{}-b $\\cdot$ $\\pm$1 {[}c{]}{*}");
    assert_eq!(latex("a\nb"), "a\\textbackslash{}u\\{a\\}b");
}
