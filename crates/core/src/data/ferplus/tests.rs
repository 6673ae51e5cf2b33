//! Votes and what they say, against Microsoft's `ferplus.py`; and files that do not fit.

use expect_test::{Expect, expect};

use super::*;
use crate::data::dataset::Dataset;
use crate::data::trial::Trial;

/// Votes, the column of their majority, and their distribution by column.
type Recorded = (Counts, Option<usize>, &'static [(usize, f32)]);

/// Votes and what `FERPlusReader._process_data` of Microsoft's ferplus.py makes of them: the class
/// that `majority` gives, and the distribution that `crossentropy` gives, both in this order of
/// columns. Recorded by calling it; nothing stands for its "unknown" and "NF".
const RECORDED: &[Recorded] = &[
    ([4, 0, 0, 1, 3, 2, 0, 0, 0, 0], None, &[(0, 0.5714), (4, 0.4286)]),
    ([6, 0, 1, 1, 0, 0, 0, 0, 2, 0], Some(0), &[(0, 1.0)]),
    ([5, 5, 0, 0, 0, 0, 0, 0, 0, 0], None, &[(0, 0.5), (1, 0.5)]),
    ([0, 0, 0, 3, 3, 2, 2, 0, 0, 0], None, &[]),
    ([4, 0, 0, 0, 0, 0, 0, 0, 4, 2], None, &[]),
    ([2, 2, 2, 2, 2, 0, 0, 0, 0, 0], None, &[]),
    ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None, &[]),
    ([3, 0, 0, 0, 0, 0, 0, 0, 6, 1], None, &[]),
    ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None, &[]),
    ([0, 0, 0, 0, 0, 0, 0, 8, 2, 0], Some(7), &[(7, 1.0)]),
    ([0, 0, 3, 0, 0, 0, 3, 0, 2, 2], None, &[(2, 0.5), (6, 0.5)]),
    ([5, 0, 0, 0, 2, 0, 0, 0, 3, 0], None, &[]),
    ([3, 3, 3, 0, 0, 0, 0, 0, 0, 0], None, &[(0, 0.3333), (1, 0.3333), (2, 0.3333)]),
    ([3, 0, 0, 3, 0, 0, 0, 0, 3, 0], None, &[(0, 0.5), (3, 0.5)]),
];

#[test]
fn votes_mean_what_microsoft_s_code_makes_of_them() {
    for (counts, majority, distribution) in RECORDED {
        let it = judge(*counts, Rule::Majority);
        let class = it.unfit.is_none().then(|| COLUMN_OF_CLASS[usize::from(it.class)]);
        assert_eq!((class, it.unfit), (*majority, it.unjudged), "{counts:?}");
        let it = judge(*counts, Rule::Probabilistic);
        assert_eq!(it.unjudged.is_none(), majority.is_some(), "{counts:?}");
        assert_eq!(it.unfit.is_none(), !distribution.is_empty(), "{counts:?}");
        for (share, column) in it.shares.iter().zip(COLUMN_OF_CLASS) {
            let recorded = distribution.iter().find(|it| it.0 == column).map_or(0.0, |it| it.1);
            assert!((share - recorded).abs() < 1e-4, "{counts:?}: {:?}", it.shares);
        }
        let first = distribution.iter().rev().max_by(|a, b| a.1.total_cmp(&b.1)).map(|it| it.0);
        let class = it.unfit.is_none().then(|| COLUMN_OF_CLASS[usize::from(it.class)]);
        assert_eq!(class, first, "{counts:?}");
    }
}

#[test]
fn an_image_that_is_left_out_says_why() {
    let why = |counts: Counts| judge(counts, Rule::Majority).unfit.map(Unfit::reason);
    assert_eq!(why([0, 0, 0, 0, 0, 0, 0, 0, 7, 3]), Some("the votes say unknown"));
    assert_eq!(why([0, 0, 0, 0, 0, 0, 0, 0, 3, 7]), Some("not a face"));
    assert_eq!(why([5, 5, 0, 0, 0, 0, 0, 0, 0, 0]), Some("the votes disagree"));
    assert_eq!(why([6, 4, 0, 0, 0, 0, 0, 0, 0, 0]), None);
}

const HEADER: &str = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,\
                      contempt,unknown,NF\n";

/// Votes of the tables below: all of them for the class's column, one column after another, but for
/// the last rows of each split, which disagree and are no face.
fn votes() -> String {
    let row = |row: usize| {
        let split = ["Training", "PublicTest"][row % 2];
        let votes = match row / 2 {
            8 => "0,0,0,0,4,6,0,0,0,0".to_owned(),
            9 => "0,0,0,0,4,4,0,0,2,0".to_owned(),
            10 => "0,0,0,0,0,0,0,0,0,10".to_owned(),
            column => (0..10)
                .map(|it| if it == column { "10" } else { "0" })
                .collect::<Vec<_>>()
                .join(","),
        };
        format!("{split},fer{row:07}.png,{votes}\n")
    };
    HEADER.to_owned() + &(0..22).map(row).collect::<String>()
}

/// 22 images that are all labelled angry, in turns for training and for validation.
fn images() -> String {
    let pixels =
        |row: usize| (0..2304).map(|it| ((it * 7 + row) % 256).to_string()).collect::<Vec<_>>();
    let row =
        |it: usize| format!("0,{},{}\n", pixels(it).join(" "), ["Training", "PublicTest"][it % 2]);
    "emotion,pixels,Usage\n".to_owned() + &(0..22).map(row).collect::<String>()
}

fn settings(rule: &str) -> String {
    format!(
        r#"
        source = {{ fer2013 = {{ csv = "@/fer.csv" }} }}
        split = {{ train = "Training", valid = "PublicTest" }}
        labels = {{ ferplus = {{ votes = "@/votes.csv", rule = "{rule}" }} }}
        "#
    )
}

#[track_caller]
fn opened(settings: &str) -> Dataset {
    let trial = Trial::new();
    trial.write("fer.csv", images());
    trial.write("votes.csv", votes());
    trial.open(&trial.data(settings)).unwrap()
}

#[test]
fn images_get_the_labels_of_the_votes_and_those_without_are_counted() {
    let dataset = opened(&settings("majority"));
    assert_eq!((dataset.classes.len(), dataset.classes[7].as_str()), (8, "contempt"));
    // One of each class, and a second disgust: 6 of 10 votes are a majority, 4 of 10 are none.
    assert_eq!(dataset.counts(&dataset.train), [1, 2, 1, 1, 1, 1, 1, 1]);
    assert_eq!(dataset.counts(&dataset.valid), dataset.counts(&dataset.train));
    assert_eq!(dataset.labels[0], 6, "all votes of row 0 are for neutral");
    let votes = dataset.votes.as_ref().unwrap();
    assert_eq!((votes.len(), votes[16]), (22, [0, 0, 0, 0, 4, 6, 0, 0, 0, 0]));
    assert_eq!(dataset.probabilities, None);
    let left: Vec<_> = dataset.unlabelled.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    assert_eq!(left, [("not a face", 2), ("the votes disagree", 2)]);
}

#[test]
fn distributions_train_and_majorities_judge() {
    let dataset = opened(&settings("probabilistic"));
    assert_eq!((dataset.train.len(), dataset.valid.len()), (10, 9));
    let all = dataset.probabilities.as_ref().unwrap();
    let of_row = |row: usize| &all[row * 8..][..8];
    assert_eq!(of_row(16), [0.4, 0.6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(of_row(17), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    // Equal votes: the first in Microsoft's order counts as right, anger.
    assert_eq!((of_row(18)[..2].to_vec(), dataset.labels[18]), (vec![0.5, 0.5], 0));
    let left: Vec<_> = dataset.unlabelled.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    assert_eq!(left, [("not a face", 2), ("the votes disagree", 1)]);
}

#[test]
fn fractions_are_drawn_from_images_with_labels() {
    let drawn = settings("probabilistic")
        .replace(r#"{ train = "Training", valid = "PublicTest" }"#, "{ train = 0.5, valid = 0.5 }");
    let dataset = opened(&drawn);
    let unlabelled: usize = dataset.unlabelled.values().sum();
    assert_eq!(dataset.train.len() + dataset.valid.len() + unlabelled, 22);
    assert!(dataset.valid.iter().all(|it| !matches!(it, 18..)));
}

/// Checks what is said about the usual votes after `change`.
#[track_caller]
fn check(change: impl Fn(String) -> String, expected: Expect) {
    let trial = Trial::new();
    trial.write("fer.csv", images());
    trial.write("votes.csv", change(votes()));
    let error = trial.open(&trial.data(&settings("majority"))).unwrap_err();
    let told = trial.told(&error);
    expected.assert_eq(told.lines().next().unwrap());
}

#[test]
fn votes_that_do_not_belong_to_the_images_are_refused() {
    check(
        |it| it.lines().take(20).collect::<Vec<_>>().join("\n"),
        expect!["cannot use `votes.csv`: it has 19 rows, but the table of images has 22"],
    );
    check(
        |it| it.replacen("PublicTest", "PrivateTest", 1),
        expect![
            "cannot use `votes.csv`, row 3: it says `PrivateTest`, but the image is one of `PublicTest`"
        ],
    );
    check(
        |it| it.replacen("10,0", "ten,0", 1),
        expect![
            "cannot use `votes.csv`, row 2: has `ten` as votes for `neutral`, not a whole number"
        ],
    );
    check(
        |it| it.replace(",NF", ""),
        expect!["cannot use `votes.csv`: its first line has no column `nf`"],
    );
    check(
        |_| String::new(),
        expect!["cannot use `votes.csv`: its first line has no column `Usage`"],
    );
    let trial = Trial::new();
    trial.write("fer.csv", images());
    trial.refuses(
        &settings("majority"),
        expect![[r#"
            cannot use `votes.csv`: it does not exist
            check `data.labels.ferplus.votes`; the path is relative to the folder you run `ferrite` in
        "#]],
    );
}

#[test]
fn rows_without_a_name_are_no_faces_and_skipped_rows_keep_their_place() {
    let trial = Trial::new();
    trial.write("fer.csv", images().replacen("0,0 7", "9,0 7", 1));
    trial.write("votes.csv", votes().replacen("fer0000002.png", "", 1));
    let dataset =
        trial.open(&trial.data(&(settings("majority") + "on_error = 'skip'"))).unwrap_err();
    // Row 0 was the one neutral training image, row 2 the one happy.
    assert!(dataset.to_string().contains("no training image shows the class `happy`"), "{dataset}");
}
