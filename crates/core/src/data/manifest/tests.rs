//! Tables of a few pictures, as text and as Parquet.

use std::io::Cursor;
use std::sync::Arc;

use expect_test::expect;
use image::{DynamicImage, GrayImage, ImageFormat, Luma};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use crate::data::prepared;
use crate::data::trial::Trial;

const TABLE: &str = r#"
    source = { manifest = { table = "@/list.csv", classes = ["sad", "glad"] } }
    split = { train = "train", valid = 0.5, test = "test" }
"#;

/// A square picture as PNG.
fn png(side: u32, level: u8) -> Vec<u8> {
    let image: DynamicImage =
        GrayImage::from_fn(side, side, |x, y| Luma([level ^ (x * y) as u8])).into();
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A table of ten pictures and the pictures.
fn listed(table: &str) -> Trial {
    let trial = Trial::new();
    for it in 0..10 {
        trial.write(&format!("faces/{it}.png"), png(32, it));
    }
    trial.write("list.csv", table);
    trial
}

fn ten(header: &str, row: impl Fn(usize, &str, &str) -> String) -> String {
    let rows =
        (0..10).map(|it| row(it, ["sad", "glad"][it % 2], if it < 8 { "train" } else { "test" }));
    format!("{header}\n{}\n", rows.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_table_says_where_pictures_lie_and_what_they_are() {
    let trial = listed(&ten("path,label,split,group", |it, label, split| {
        format!("faces/{it}.png,{label},{split},person {}", it / 2)
    }));
    let dataset = trial.open(&trial.data(TABLE)).unwrap();
    assert_eq!(dataset.ids[3], "faces/3.png");
    assert_eq!(dataset.labels, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    assert_eq!(dataset.test, [8, 9]);
    assert_eq!(
        (dataset.counts(&dataset.train), dataset.counts(&dataset.valid)),
        (vec![2, 2], vec![2, 2])
    );
    let prepared = prepared::read(&trial.path("decoded")).unwrap();
    assert_eq!(prepared.groups[5], "person 2");
}

#[test]
fn columns_have_any_names_and_labels_may_be_numbers() {
    let trial = listed(&ten("\u{feff}Emotion;File;fold", |it, label, _| {
        format!("{}.0;{it}.png;a", usize::from(label == "glad"))
    }));
    let data = r#"
        source.manifest = { table = "@/list.csv", images = "@/faces", classes = ["sad", "glad"], columns = { path = "File", label = "Emotion" } }
        split = { train = 0.5, valid = 0.5 }
    "#;
    let dataset = trial.open(&trial.data(data)).unwrap();
    assert_eq!(dataset.labels, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]);
    trial.refuses(
        &data.replace("label = \"Emotion\"", "label = \"emotion\""),
        expect![[r#"
        cannot use `list.csv`: it has no column `emotion`, only `Emotion`, `File`, `fold`
        say which column it is: `data.source.manifest.columns.label = "…"`
    "#]],
    );
    trial.refuses(
        &data.replace("path = \"File\",", "path = \"File\", split = \"usage\","),
        expect![[r#"
        cannot use `list.csv`: it has no column `usage`, only `Emotion`, `File`, `fold`
        say which column it is: `data.source.manifest.columns.split = "…"`
    "#]],
    );
}

#[test]
fn a_table_without_rows_says_so() {
    for table in ["", "path,label\n"] {
        let trial = listed(table);
        let told = trial.open(&trial.data(TABLE)).unwrap_err().to_string();
        assert!(told.contains("it is empty") || told.contains("no row"), "{told}");
    }
}

#[test]
fn rows_in_another_order_are_drawn_alike() {
    let table = ten("path,label", |it, label, _| format!("faces/{it}.png,{label}"));
    let data = TABLE
        .replace("train = \"train\", valid = 0.5, test = \"test\"", "train = 0.6, valid = 0.4");
    let ids = |table: &str| {
        let trial = listed(table);
        let dataset = trial.open(&trial.data(&data)).unwrap();
        let mut ids: Vec<_> =
            dataset.valid.iter().map(|it| dataset.ids[*it as usize].clone()).collect();
        ids.sort();
        ids
    };
    let mut lines: Vec<&str> = table.lines().collect();
    lines[1..].reverse();
    assert_eq!(ids(&lines.join("\n")), ids(&table));
}

#[test]
fn rows_that_cannot_be_used_are_named() {
    let rows = "faces/0.png,sad\nfaces/1.png,glad\nfaces/nowhere.png,sad\nfaces/2.png,angry\nfaces/0.png,glad\n\
                ,sad\nfaces/3.png,\nfaces/4.png,sad\nfaces/5.png,glad\nfaces/6.png\nfaces/7.png,2\n";
    let trial = listed(&format!("path,label\n{rows}"));
    let data = TABLE
        .replace("train = \"train\", valid = 0.5, test = \"test\"", "train = 0.5, valid = 0.5");
    trial.refuses(&data, expect![[r#"
        cannot use `list.csv`, row 4: `faces/nowhere.png` cannot be used: it cannot be read: No such file or directory (os error 2); 6 more are broken
        mend it or take it out, or write `data.on_error = "skip"` to leave broken images out and have them listed in the report
    "#]]);
    trial.refuses(&data.replace("split =", "on_error = \"skip\"\nsplit ="), expect![[r#"
        accepted, skipping [
            "row 4, faces/nowhere.png: `faces/nowhere.png` cannot be used: it cannot be read: No such file or directory (os error 2)",
            "row 5, faces/2.png: its label `angry` is none of `data.source.manifest.classes`",
            "row 6, faces/0.png: `faces/0.png` stands in row 2 already",
            "row 7: it has no picture",
            "row 8, faces/3.png: it has no label",
            "row 11: it has 1 columns, not 2",
            "row 12, faces/7.png: its label `2` is no number from 0 to 1: the first of `data.source.manifest.classes` is 0",
        ]
    "#]]);
}

/// A Parquet file as model hubs have them: pictures as records of bytes and path, labels as numbers.
fn parquet(pictures: &[(Vec<u8>, i64)], names: &str) -> Vec<u8> {
    let schema = "message schema {
        OPTIONAL GROUP image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }
        OPTIONAL INT64 label;
    }";
    let facts = format!(
        r#"{{"info": {{"features": {{"label": {{"names": {names}, "_type": "ClassLabel"}}}}}}}}"#
    );
    let facts = vec![KeyValue::new("huggingface".to_owned(), facts)];
    let properties = WriterProperties::builder().set_key_value_metadata(Some(facts)).build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let data: Vec<ByteArray> = pictures.iter().map(|it| it.0.clone().into()).collect();
    let levels = vec![2; pictures.len()];
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&data, Some(&levels), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; pictures.len()]), None).unwrap();
    column.close().unwrap();
    let labels: Vec<i64> = pictures.iter().map(|it| it.1).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; labels.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn parquet_files_of_model_hubs_are_read_with_their_own_names_of_labels() {
    let trial = Trial::new();
    let pictures: Vec<_> = (0..10_u8).map(|it| (png(32, it), i64::from(it % 2))).collect();
    let names = r#"["glad", "sad"]"#;
    trial.write("hub/train-00000-of-00002.parquet", parquet(&pictures[..4], names));
    trial.write("hub/train-00001-of-00002.parquet", parquet(&pictures[4..8], names));
    trial.write("hub/test-00000-of-00001.parquet", parquet(&pictures[8..], names));
    let data = TABLE.replace("list.csv", "hub");
    let dataset = trial.open(&trial.data(&data)).unwrap();
    assert_eq!(dataset.ids[0], "test-00000-of-00001, row 1");
    assert_eq!(dataset.labels, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0]);
    assert_eq!((dataset.test.clone(), dataset.counts(&dataset.valid)), (vec![0, 1], vec![2, 2]));
    assert_eq!(dataset.image(2)[..3], [0, 0, 0]);
    trial.refuses(
        &data.replace("\"sad\", \"glad\"", "\"sad\", \"happy\""),
        expect![[r#"
        cannot use `hub/test-00000-of-00001.parquet`: it calls its labels "glad", "sad"
        list these in `data.source.manifest.classes`: `["glad", "sad"]`
    "#]],
    );
    trial.write("hub/test-00000-of-00001.parquet", "not Parquet at all");
    trial.refuses(&data, expect![[r#"
        cannot use `hub/test-00000-of-00001.parquet`: it cannot be read as Parquet: Parquet error: Invalid Parquet file. Corrupt footer
        take a whole copy of the file; columns may be compressed by snappy, gzip or zstd
    "#]]);
}

#[test]
fn a_parquet_file_over_which_its_crate_panics_is_told_as_damaged() {
    let trial = Trial::new();
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fuzz/seeds/parquet_table/dictionary-cut.parquet"
    );
    trial.write("list.parquet", std::fs::read(path).unwrap());
    let data = TABLE.replace("list.csv", "list.parquet");
    let told = trial.open(&trial.data(&data)).unwrap_err().to_string();
    assert!(told.contains("it cannot be read as Parquet: it is damaged ("), "{told}");
}
