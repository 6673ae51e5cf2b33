//! Tables of a few faces: every layout, and every way to be broken.

use expect_test::{Expect, expect};

use super::*;
use crate::data::dataset::Dataset;
use crate::data::trial::Trial;

const NAMED: &str = r#"
    source = { fer2013 = { csv = "@/fer.csv" } }
    split = { train = "Training", valid = "PublicTest" }
"#;
const DRAWN: &str = r#"
    source = { fer2013 = { csv = "@/fer.csv" } }
    split = { train = 0.5, valid = 0.5 }
"#;

/// Pixels of face `n` as they stand in a table.
fn pixels(n: usize) -> String {
    (0..SIZE * SIZE).map(|it| ((it * 7 + n) % 256).to_string()).collect::<Vec<_>>().join(" ")
}

/// 14 rows, two of each class: one for training and one for validation.
fn table(header: &str, row: impl Fn(usize, &str, &str) -> String) -> String {
    let rows = (0..14).map(|it| row(it / 2, &pixels(it), ["Training", "PublicTest"][it % 2]));
    format!("{header}\n{}\n", rows.collect::<Vec<_>>().join("\n"))
}

fn usual() -> String {
    table("emotion,pixels,Usage", |label, pixels, usage| format!("{label},{pixels},{usage}"))
}

#[track_caller]
fn decoded(table: impl AsRef<[u8]>, settings: &str) -> Dataset {
    let trial = Trial::new();
    trial.write("fer.csv", table);
    trial.open(&trial.data(settings)).unwrap()
}

#[test]
fn the_published_layouts_hold_the_same_images() {
    let first = decoded(usual(), NAMED);
    assert_eq!((first.size, first.labels.len()), ([48, 48, 1], 14));
    assert_eq!(first.train, [0, 2, 4, 6, 8, 10, 12]);
    assert_eq!(first.image(3)[..4], [3, 10, 17, 24]);
    assert_eq!(first.ids[13], "13");
    let icml = table("emotion, Usage, pixels", |label, pixels, usage| {
        format!("{label}, {usage}, {pixels}")
    });
    let quoted = table("\"emotion\",\"pixels\",\"Usage\"", |label, pixels, usage| {
        format!("{label},\"{pixels}\",\"{usage}\"")
    });
    let windows = format!("\u{feff}{}\r\n", usual().trim().replace('\n', "\r\n"));
    for other in [icml, quoted, windows, usual().trim().to_owned()] {
        let other = decoded(other, NAMED);
        assert_eq!(other.pixels(), first.pixels());
        assert_eq!((&other.labels, &other.train), (&first.labels, &first.train));
    }
    let train = table("emotion,pixels", |label, pixels, _| format!("{label},{pixels}"));
    let train = decoded(train, DRAWN);
    assert_eq!((train.pixels(), &train.labels), (first.pixels(), &first.labels));
    assert_eq!(train.counts(&train.valid), [1; 7]);
}

#[test]
fn many_blocks_are_one_table() {
    let lines = usual().lines().skip(1).collect::<Vec<_>>().join("\n");
    let repeated = vec![lines; 30].join("\n");
    assert!(repeated.len() > BLOCK);
    let dataset = decoded(format!("emotion,pixels,Usage\n{repeated}"), NAMED);
    assert_eq!(dataset.ids.last().unwrap(), "419");
    assert_eq!(dataset.pixels()[14 * 2304..][..14 * 2304], dataset.pixels()[..14 * 2304]);
}

/// Checks what is said about the usual table with `from` replaced by `to` in its fifth line.
#[track_caller]
fn check_row(change: impl Fn(&str) -> Vec<u8>, expected: Expect) {
    let trial = Trial::new();
    let text = usual();
    let lines = text.lines().enumerate().map(|(position, line)| match position {
        4 => change(line),
        _ => line.as_bytes().to_vec(),
    });
    trial.write("fer.csv", lines.collect::<Vec<_>>().join(&b'\n'));
    let told = trial.told(&trial.open(&trial.data(NAMED)).unwrap_err());
    expected.assert_eq(told.lines().next().unwrap());
}

#[test]
fn every_kind_of_broken_row_is_named() {
    let with = |from: &'static str, to: &'static str| {
        move |line: &str| line.replacen(from, to, 1).into_bytes()
    };
    check_row(
        with(" 10 ", " "),
        expect!["cannot use `fer.csv`, row 5: has 2303 pixels, not 2304 (48x48)"],
    );
    check_row(
        with(" 10 ", " 10 10 "),
        expect!["cannot use `fer.csv`, row 5: has 2305 pixels, not 2304 (48x48)"],
    );
    check_row(
        with(" 10 ", " 256 "),
        expect!["cannot use `fer.csv`, row 5: has `256` as pixel 2, which is above 255"],
    );
    check_row(
        with(" 10 ", " 4294967306 "),
        expect!["cannot use `fer.csv`, row 5: has `4294967306` as pixel 2, which is above 255"],
    );
    check_row(
        with(" 10 ", " -1 "),
        expect!["cannot use `fer.csv`, row 5: has `-1` as pixel 2, which is not a whole number"],
    );
    check_row(
        with(" 10 ", " 10.5 "),
        expect!["cannot use `fer.csv`, row 5: has `10.5` as pixel 2, which is not a whole number"],
    );
    check_row(
        with("1,", "7,"),
        expect!["cannot use `fer.csv`, row 5: has the label `7`, not one of 0 to 6"],
    );
    check_row(
        with("1,", ","),
        expect!["cannot use `fer.csv`, row 5: has the label ``, not one of 0 to 6"],
    );
    check_row(
        with("1,", "angry,"),
        expect!["cannot use `fer.csv`, row 5: has the label `angry`, not one of 0 to 6"],
    );
    check_row(
        with("PublicTest", " "),
        expect!["cannot use `fer.csv`, row 5: has an empty `Usage`"],
    );
    check_row(
        with(",PublicTest", ""),
        expect!["cannot use `fer.csv`, row 5: has 2 columns, not 3"],
    );
    check_row(
        with("PublicTest", "PublicTest,"),
        expect!["cannot use `fer.csv`, row 5: has 4 columns, not 3"],
    );
    check_row(
        |_| b"1,\xff\xfe,Training".to_vec(),
        expect!["cannot use `fer.csv`, row 5: is not UTF-8 text"],
    );
}

#[test]
fn broken_rows_stop_it_or_are_listed() {
    let trial = Trial::new();
    let text = usual().replacen("\n0,", "\n\n9,", 1) + "3,1 2 3";
    trial.write("fer.csv", text);
    trial.refuses(&DRAWN.replace("split", "on_error = \"error\"\nsplit"), expect![[r#"
        cannot use `fer.csv`, row 3: has the label `9`, not one of 0 to 6; 1 more is broken
        mend it or take it out, or write `data.on_error = "skip"` to leave broken images out and have them listed in the report
    "#]]);
    let skipping = DRAWN.replace("split", "on_error = \"skip\"\nlimit = 7\nsplit");
    trial.refuses(
        &skipping,
        expect![[r#"
            accepted, skipping [
                "row 3: has the label `9`, not one of 0 to 6",
                "row 17: has 3 pixels, not 2304 (48x48), and the file ends there: it was cut off",
            ]
        "#]],
    );
}

#[test]
fn a_row_cut_off_in_its_split_is_not_a_split() {
    let trial = Trial::new();
    trial.write("fer.csv", usual().trim().strip_suffix("Test").unwrap());
    // The only row of its name: `Public` does not pass for a split.
    trial.refuses(NAMED, expect![[r#"
        cannot use `fer.csv`, row 15: names the split `Public`, and the file ends there: it was cut off
        mend it or take it out, or write `data.on_error = "skip"` to leave broken images out and have them listed in the report
    "#]]);
}

#[test]
fn a_table_that_cannot_be_used_says_why() {
    let trial = Trial::new();
    trial.refuses(
        NAMED,
        expect![[r#"
        cannot use `fer.csv`: it does not exist
        check `data.source.fer2013.csv`; the path is relative to the folder you run `ferrite` in
    "#]],
    );
    std::fs::create_dir(trial.path("fer.csv")).unwrap();
    trial.refuses(
        NAMED,
        expect![[r#"
            cannot use `fer.csv`: it is a folder, not a file
            check `data.source.fer2013.csv`; the path is relative to the folder you run `ferrite` in
        "#]],
    );
    std::fs::remove_dir(trial.path("fer.csv")).unwrap();
    let check = |text: &[u8], expected: Expect| {
        trial.write("fer.csv", text);
        trial.refuses(NAMED, expected);
    };
    check(
        b"",
        expect![[r#"
        cannot use `fer.csv`: it is empty
        take a complete copy of the file
    "#]],
    );
    check(
        b"emotion,pixels,Usage\n",
        expect![[r#"
        cannot use `fer.csv`: it has a header and no row
        take a complete copy of the file
    "#]],
    );
    check(
        b"pixels\n1 2 3\n",
        expect![[r#"
        cannot use `fer.csv`: it has no labels: a column `emotion` is missing
        take `fer2013.csv`, `icml_face_data.csv` or `train.csv`; the `test.csv` of the challenge came without labels
    "#]],
    );
    check(
        b"\x1f\x8b\x08\x00\xff",
        expect![[r#"
        cannot use `fer.csv`: it is not UTF-8 text
        name the CSV file itself; if it lies in an archive, unpack it first
    "#]],
    );
    check(
        b"Usage,Image name,neutral\n",
        expect![[r#"
        cannot use `fer.csv`: its first line is not that of FER2013: `Usage,Image name,neutral`
        its first line must name the columns `emotion`, `pixels` and, for named splits, `Usage`, in any order
    "#]],
    );
    let train = table("emotion,pixels", |label, pixels, _| format!("{label},{pixels}"));
    check(
        train.as_bytes(),
        expect![[r#"
        cannot use `fer.csv`: it has no named splits
        write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`
    "#]],
    );
    check(
        usual().replace("PublicTest", "PrivateTest").as_bytes(),
        expect![[r#"
            cannot use `fer.csv`: it has no split `PublicTest`, only `Training` (7 images), `PrivateTest` (7 images)
            get the rest of the data, or take the validation images out of the training ones: `data.split.valid = 0.15`
        "#]],
    );
    check(
        usual().replace("\n6,", "\n5,").as_bytes(),
        expect![[r#"
        cannot use `fer.csv`: no training image shows the class `neutral`
        give `data.split.train` a larger fraction, or add images of it
    "#]],
    );
}

#[test]
fn commas_in_quotes_belong_to_their_field() {
    let names = ["\"Doe, Jane\"", "\"says \"\"a, b\"\"\"", "plain"];
    let table = table("emotion,name,pixels,Usage", |label, pixels, usage| {
        format!("{label}, {},\"{pixels}\",{usage}", names[label % names.len()])
    });
    let dataset = decoded(table, NAMED);
    assert_eq!((dataset.labels.len(), dataset.train.len()), (14, 7));
    assert_eq!(dataset.pixels(), decoded(usual(), NAMED).pixels());
}
