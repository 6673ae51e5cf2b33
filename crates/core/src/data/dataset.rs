//! A decoded source, split: what training and evaluation see of the data.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use memmap2::Mmap;
use rayon::prelude::*;

use crate::data::audit::{Subject, audit, groups};
use crate::data::faces::Missing;
use crate::data::faces::counted::{drop_faceless, faceless_class, faceless_part};
use crate::data::faces::placed::{self, Placed};
use crate::data::ferplus::Counts;
use crate::data::findings::{Findings, Pixels};
use crate::data::labelled::Labelled;
use crate::data::layout::Layout;
use crate::data::parts::Pool;
use crate::data::prepared::{self, Prepared};
use crate::data::{Data, Leakage, rows};
use crate::digits::counted;
use crate::error::{Error, Result};
use crate::event::Signal;
use crate::event::audit::Audit;
use crate::event::split::SplitName;

/// Decoded images with their labels, and which rows train, validate and test.
#[derive(Debug)]
pub struct Dataset {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// Height, width and channels of the largest stored image.
    pub size: [usize; 3],
    /// Where each image lies among the pixels, and its shape.
    pub layout: Layout,
    /// Label of each image; means nothing where an image is in no part.
    pub labels: Vec<u8>,
    /// Labels as distributions, `[images, classes]` row by row, where they are any.
    pub probabilities: Option<Vec<f32>>,
    /// What identifies each image in its source.
    pub ids: Vec<String>,
    /// The person, video or other thing that an image shares with others; empty where nothing is known of it.
    pub groups: Vec<String>,
    /// Whether images of one group were kept together when the splits were drawn.
    pub keeps_groups: bool,
    /// People's votes for each image under `labels = { ferplus = { … } }`.
    pub votes: Option<Vec<Counts>>,
    /// What identifies the picture that each image was made from, whatever size networks see it in; see
    /// [`crate::data::picture::content`].
    pub contents: Vec<u64>,
    /// Rows to learn from, ascending.
    pub train: Vec<u32>,
    /// Rows to choose epochs and settings by, ascending.
    pub valid: Vec<u32>,
    /// Rows to judge the final weights by, ascending; empty if there is no test split.
    pub test: Vec<u32>,
    /// Rows or files of the source that were left out, with the reason.
    pub skipped: Vec<String>,
    /// Images that have no label under `data.labels`, by the reason.
    pub unlabelled: BTreeMap<String, usize>,
    /// Training images taken out since they are exact twins of validation or test images.
    pub dropped: usize,
    /// What became of each picture's face; none where no faces are looked for.
    pub faces: Option<Vec<Placed>>,
    /// Rows of the splits that are left out because no face was found, in the order train, valid, test.
    pub faceless: Vec<Vec<u32>>,
    /// Equal and constant images of the source.
    pub findings: Findings,
    images: Mmap,
}

/// Opens the decoded `folder`, labels its images and splits them as `data` says.
///
/// Images without a label go first, then leaks, `limit` is applied to what is left, and those without a face go last where
/// they are dropped: which images are drawn does not depend on what is found in them.
///
/// # Errors
/// [`Error::Damaged`] if the folder does not hold what it should; [`Error::Data`] if a named split
/// does not occur, votes do not belong to the images, or a part or a class of the training images is
/// empty.
pub fn open(data: &Data, folder: &Path) -> Result<Dataset> {
    let prepared = prepared::read(folder)?;
    let pixels = Pixels::new(&prepared.images, &prepared.layout);
    let findings = Findings::remembered(folder, pixels);
    let labelled = Labelled::of(data, &prepared)?;
    let mut unlabelled = BTreeMap::new();
    let pool = Pool { data, prepared: &prepared, labelled: &labelled };
    let mut parts = pool.parts(&mut unlabelled)?;
    let faces = match &data.faces {
        Some(faces) => Some((placed::read(folder, prepared.ids.len())?, faces.missing)),
        None => None,
    };
    let dropped = match data.leakage {
        Leakage::Report => 0,
        Leakage::DropFromTrain => drop_leaks(&mut parts, &findings.originals()),
    };
    if let Some(limit) = data.limit {
        parts = rows::limited(labelled.drawn(data.split.seed), parts, limit);
    }
    let faceless = match &faces {
        Some((placed, Missing::Drop)) => drop_faceless(&mut parts, placed),
        _ => Vec::new(),
    };
    let mut parts = parts.into_iter();
    let mut next = || parts.next().unwrap_or_default();
    let (train, valid, test) = (next(), next(), next());
    let probabilities = labelled.probabilities(&train);
    let votes = labelled.counts();
    let Labelled { classes, labels, .. } = labelled;
    let contents = prepared.contents().into_owned();
    let Prepared { manifest, images, layout, ids, groups, .. } = prepared;
    let skipped = [manifest.skipped, manifest.beside].concat();
    let dataset = Dataset {
        classes,
        size: layout.largest(),
        layout,
        contents,
        labels,
        probabilities,
        ids,
        groups,
        keeps_groups: data.split.groups,
        votes,
        train,
        valid,
        test,
        skipped,
        unlabelled,
        dropped,
        faces: faces.map(|it| it.0),
        faceless,
        findings,
        images,
    };
    refuse_empty(data, &dataset)?;
    Ok(dataset)
}

/// Takes out of the first part what has a twin in another, and says how many that were.
fn drop_leaks(parts: &mut [Vec<u32>], originals: &[u32]) -> usize {
    let Some((train, others)) = parts.split_first_mut() else { return 0 };
    let judged: HashSet<u32> = others.iter().flatten().map(|it| originals[*it as usize]).collect();
    let before = train.len();
    train.retain(|it| !judged.contains(&originals[*it as usize]));
    before - train.len()
}

impl Dataset {
    /// The rows of a split, in its order.
    pub fn rows(&self, split: SplitName) -> &[u32] {
        match split {
            SplitName::Train => &self.train,
            SplitName::Valid => &self.valid,
            SplitName::Test => &self.test,
        }
    }

    /// The splits that hold images, with their rows.
    pub fn splits(&self) -> impl Iterator<Item = (SplitName, &[u32])> {
        let splits = SplitName::ALL.into_iter().map(|it| (it, self.rows(it)));
        splits.filter(|(_, rows)| !rows.is_empty())
    }

    /// Pixels of all images: image after image, row after row, channels together (NHWC).
    pub fn pixels(&self) -> &[u8] {
        &self.images
    }

    /// Pixels of the image at row `index` (HWC).
    pub fn image(&self, index: u32) -> &[u8] {
        &self.images[self.layout.range(index)]
    }

    /// What is wrong with the images of the parts; near twins are not looked for.
    pub fn audit(&self) -> Audit {
        let splits: Vec<_> = self.splits().map(|(name, rows)| (name.as_str(), rows)).collect();
        let counted = audit(Subject {
            splits: &splits,
            labels: &self.labels,
            classes: self.classes.len(),
            findings: &self.findings,
        });
        Audit { groups: groups(&self.groups, splits), ..counted }
    }

    /// Which of `rows` have an exact twin among the training images.
    pub fn leaks(&self, rows: &[u32]) -> Vec<bool> {
        let originals = self.findings.originals();
        let original = |row: &u32| originals[*row as usize];
        let trained: HashSet<u32> = self.train.iter().map(original).collect();
        rows.iter().map(|it| trained.contains(&original(it))).collect()
    }

    /// How many of `rows` are of each class.
    pub fn counts(&self, rows: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for row in rows {
            counts[usize::from(self.labels[*row as usize])] += 1;
        }
        counts
    }

    /// Mean and standard deviation of the pixels of `rows`, in gray levels (0-255). Every image counts alike, whatever
    /// its size and its channels.
    pub fn signal(&self, rows: &[u32]) -> Signal {
        let histogram = rows.par_chunks(256).map(|it| self.histogram(it)).reduce(
            || [0.0; 256],
            |mut all, part| {
                all.iter_mut().zip(part).for_each(|(sum, it)| *sum += it);
                all
            },
        );
        let levels = || histogram.iter().enumerate().map(|(it, count)| (it as f64, *count));
        let n = levels().map(|(_, count)| count).sum::<f64>().max(1.0);
        let mean = levels().map(|(level, count)| level * count).sum::<f64>() / n;
        let variance =
            levels().map(|(level, count)| (level - mean).powi(2) * count).sum::<f64>() / n;
        Signal { mean, std: variance.sqrt() }
    }

    /// How often each gray level occurs in `rows`: in whole numbers, which sum up to the same in any order, unless
    /// images have different sizes.
    fn histogram(&self, rows: &[u32]) -> [f64; 256] {
        let largest = self.size.iter().product::<usize>() as f64;
        let mut histogram = [0.0; 256];
        for image in rows.iter().map(|it| self.image(*it)) {
            let mut counts = [0_u32; 256];
            for pixel in image {
                counts[usize::from(*pixel)] += 1;
            }
            let weight = largest / image.len().max(1) as f64;
            for (sum, count) in histogram.iter_mut().zip(counts) {
                *sum += weight * f64::from(count);
            }
        }
        histogram
    }
}

fn refuse_empty(data: &Data, dataset: &Dataset) -> Result<()> {
    if dataset.labels.is_empty() {
        let help = "look at what was skipped with `data.on_error = \"error\"`";
        return Err(data.refused("no image in it can be used".into(), help));
    }
    let every: Vec<u32> = (0..dataset.labels.len() as u32).collect();
    for (key, rows) in data.split.keys().zip([&dataset.train, &dataset.valid, &dataset.test]) {
        if rows.is_empty() {
            if let Some(error) = faceless_part(data, dataset, key) {
                return Err(error);
            }
            return Err(empty_part(data, key, &dataset.counts(&every)));
        }
    }
    let counts = dataset.counts(&dataset.train);
    let Some(class) = counts.iter().position(|it| *it == 0) else { return Ok(()) };
    if let Some(error) = faceless_class(data, dataset, class) {
        return Err(error);
    }
    Err(empty_class(data, &dataset.classes[class]))
}

/// The error about a part of the split that no image is left for. `counts` are the images of each class in all of the
/// source: one that has none may be the reason.
pub(super) fn empty_part(data: &Data, key: &str, counts: &[usize]) -> Error {
    let classes = data.classes();
    let absent = classes.iter().zip(counts).filter(|it| *it.1 == 0);
    let absent: Vec<String> = absent.map(|(name, _)| format!("`{name}`")).collect();
    let all: usize = counts.iter().sum();
    let why = match absent.len() {
        0 => format!(" of the {}", counted(all, "image")),
        1 => format!(" of the {}; the class {} has none at all", counted(all, "image"), absent[0]),
        _ => format!(
            " of the {}; the classes {} have none at all",
            counted(all, "image"),
            absent.join(", ")
        ),
    };
    let message = format!("no image is left for `data.split.{key}`{why}");
    let help = if data.split.folds.is_some() {
        "write fewer `folds`, or add images"
    } else {
        "give it a larger fraction, or add images"
    };
    data.refused(message, help)
}

/// The error about a class that no training image shows.
pub(super) fn empty_class(data: &Data, class: &str) -> Error {
    let message = format!("no training image shows the class `{class}`");
    match data.split.fold {
        None => {
            let help = "give `data.split.train` a larger fraction, or add images of it";
            data.refused(message, help)
        }
        Some(fold) => {
            let help = "write more `folds`, so that more images train, or add images of it";
            data.refused(format!("{message} while fold {fold} is tested"), help)
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::data::picture::content;
    use crate::data::prepared::{Item, Notes, Writer};
    use crate::data::trial::Trial;
    use crate::event::audit::Shared;

    /// A decoded folder of 400 small images, most of them of the first class.
    fn decoded() -> Trial {
        let trial = Trial::new();
        trial.write("decoded/images.bin", "");
        let mut writer = Writer::create(&trial.path("decoded")).unwrap();
        for row in 0..400_u32 {
            let label = if row % 4 == 0 { (row / 4 % 7) as u8 } else { 0 };
            let pixels = [0, 1, 2, 3, 4, 5].map(|it| (row * 31 + it * 7) as u8);
            let item = Item { id: &row.to_string(), split: "", group: "", label, content: 0 };
            writer.push(item, [2, 3, 1], &pixels).unwrap();
        }
        let classes = (0..7).map(|it| format!("class {it}")).collect();
        writer.finish("synthetic", classes, Notes::default()).unwrap();
        trial
    }

    #[track_caller]
    fn opened(trial: &Trial, settings: &str) -> Dataset {
        open(&trial.data(settings), &trial.path("decoded")).unwrap()
    }

    #[test]
    fn images_are_split_within_their_classes() {
        let dataset = opened(&decoded(), "");
        assert_eq!(dataset.train.len() + dataset.valid.len() + dataset.test.len(), 400);
        let all = dataset.counts(&(0..400).collect::<Vec<_>>());
        for (train, all) in dataset.counts(&dataset.train).iter().zip(all) {
            assert!((*train as f64 - 0.7 * all as f64).abs() <= 0.5);
        }
        assert_eq!((dataset.ids[7].as_str(), dataset.size), ("7", [2, 3, 1]));
        assert_eq!(dataset.image(7), [217, 224, 231, 238, 245, 252]);
    }

    #[test]
    fn a_limit_and_the_seed_choose_the_same_rows_every_time() {
        let trial = decoded();
        let open = |more: &str| opened(&trial, more);
        let first = open("limit = 70");
        assert_eq!((first.train.len(), first.labels.len()), (70, 400));
        assert!(first.valid.len().abs_diff(15) <= 1 && first.train.is_sorted());
        assert_eq!(open("limit = 70").train, first.train);
        assert_ne!(open("limit = 70\nsplit.seed = 1").train, first.train);
    }

    #[test]
    fn the_signal_is_mean_and_deviation_of_the_pixels() {
        let dataset = opened(&decoded(), "");
        let pixels =
            || [3, 9].into_iter().flat_map(|it| dataset.image(it)).map(|it| f64::from(*it));
        let mean = pixels().sum::<f64>() / 12.0;
        let variance = pixels().map(|it| (it - mean).powi(2)).sum::<f64>() / 12.0;
        let signal = dataset.signal(&[3, 9]);
        assert!((signal.mean - mean).abs() < 1e-9 && (signal.std - variance.sqrt()).abs() < 1e-9);
        assert_eq!(dataset.signal(&[]), Signal { mean: 0.0, std: 0.0 });
    }

    /// 60 images of two classes in named splits; every fifth test image has its twin in training, and
    /// so has one validation image, under another label.
    fn leaking() -> (Trial, &'static str) {
        let trial = Trial::new();
        trial.write("decoded/images.bin", "");
        let mut writer = Writer::create(&trial.path("decoded")).unwrap();
        for row in 0..60_u8 {
            let split = ["a", "b", "c"][usize::from(row / 20)];
            let shown = match row {
                40.. if row % 5 == 0 => row - 40,
                21 => 1,
                _ => row,
            };
            let label = u8::from(row == 21) ^ (row % 2);
            let item = Item { id: &row.to_string(), split, group: "", label, content: 0 };
            writer.push(item, [1, 2, 1], &[shown, 7]).unwrap();
        }
        writer.finish("folder", vec!["x".into(), "y".into()], Notes::default()).unwrap();
        let settings = "source.folder = { path = 'f', classes = ['x', 'y'] }\n\
                        split = { train = 'a', valid = 'b', test = 'c' }\n";
        (trial, settings)
    }

    #[test]
    fn leaks_are_counted_and_taken_out_of_training_only_if_asked() {
        let (trial, settings) = leaking();
        let open = |more: &str| opened(&trial, &format!("{settings}{more}"));
        let told = open("");
        assert_eq!((told.train.len(), told.dropped), (20, 0));
        let leaks = told.leaks(&told.test);
        assert_eq!(leaks.iter().filter(|it| **it).count(), 4);
        assert!(leaks[0] && leaks[5] && !leaks[1]);
        let shared = |split: &str, with: &str, images, same_label| {
            let (split, with) = (split.to_owned(), with.to_owned());
            Shared { split, with, images, same_label }
        };
        let all = [
            shared("valid", "train", 1, 0),
            shared("test", "train", 4, 4),
            shared("train", "valid", 1, 0),
            shared("train", "test", 4, 4),
        ];
        assert_eq!(told.audit().shared, all);
        assert_eq!(told.audit().exact.conflicting_groups, 1);

        let clean = open("leakage = 'drop-from-train'");
        assert_eq!((clean.dropped, clean.train.len()), (5, 15));
        assert_eq!((&clean.valid, &clean.test), (&told.valid, &told.test));
        assert!(clean.train.iter().all(|it| ![0, 1, 5, 10, 15].contains(it)));
        assert_eq!(clean.leaks(&clean.test), [false; 20]);
        assert_eq!(clean.audit().shared, []);

        // The limit counts what is left, so it is still reached.
        let few = open("leakage = 'drop-from-train'\nlimit = 12");
        assert_eq!((few.train.len(), few.dropped), (12, 5));
        assert!(few.train.iter().all(|it| clean.train.contains(it)));
    }

    #[test]
    fn what_is_left_empty_is_named() {
        let trial = decoded();
        let check = |text: &str, expected: Expect| {
            let error = open(&trial.data(text), &trial.path("decoded")).unwrap_err();
            expected.assert_eq(&trial.told(&error));
        };
        check(
            "split = { train = 0.5, valid = 1e-5 }",
            expect![[r#"
                cannot use `synthetic faces`: no image is left for `data.split.valid` of the 400 images
                give it a larger fraction, or add images
            "#]],
        );
        check(
            "split = { train = 0.01, valid = 0.5 }",
            expect![[r#"
            cannot use `synthetic faces`: no training image shows the class `class 1`
            give `data.split.train` a larger fraction, or add images of it
        "#]],
        );
        check(
            "split = { train = 'Training', valid = 'PublicTest' }",
            expect![[r#"
            cannot use `synthetic faces`: it has no named splits
            write fractions: `split = { train = 0.7, valid = 0.15, test = 0.15 }`
        "#]],
        );
    }

    /// Checks what is said about a decoded folder after `harm` was done to its file `name`.
    #[track_caller]
    fn check_damage(name: &str, harm: impl Fn(Vec<u8>) -> Vec<u8>, expected: Expect) {
        let trial = decoded();
        let name = format!("decoded/{name}");
        trial.write(&name, harm(std::fs::read(trial.path(&name)).unwrap()));
        let error = open(&trial.data(""), &trial.path("decoded")).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }));
        expected.assert_eq(&trial.told(&error));
    }

    #[test]
    fn a_damaged_folder_is_named() {
        let half = |it: Vec<u8>| it[..it.len() / 2].to_vec();
        check_damage(
            "images.bin",
            half,
            expect![[r#"
                `decoded/images.bin` is damaged: it has 1200 bytes, not 2400
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "items.csv",
            half,
            expect![[r#"
                `decoded/items.csv` is damaged: CSV error: record 202 (line: 203, byte: 6156): found record with 3 fields, but the previous record has 6 fields
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "items.csv",
            |_| b"id,split,label\n0,,7\n".to_vec(),
            expect![[r#"
                `decoded/items.csv` is damaged: line 2 is no image
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "items.csv",
            |_| b"id,split,label\n0,,1\n".to_vec(),
            expect![[r#"
                `decoded/items.csv` is damaged: line 2 is no image
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        check_damage(
            "dataset.json",
            half,
            expect![[r#"
                `decoded/dataset.json` is damaged: EOF while parsing a value at line 12 column 1
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        let other = |it| String::from_utf8(it).unwrap().replace("\"format\": 2", "\"format\": 0");
        check_damage(
            "dataset.json",
            |it| other(it).into_bytes(),
            expect![[r#"
                `decoded/dataset.json` is damaged: it has the format 0, not 2
                delete the folder `decoded`; the next sweep decodes the images again
            "#]],
        );
        let trial = Trial::new();
        let error = open(&trial.data(""), &trial.path("decoded")).unwrap_err();
        expect![[r#"
            `decoded/dataset.json` is damaged: it is missing
            delete the folder `decoded`; the next sweep decodes the images again
        "#]]
        .assert_eq(&trial.told(&error));
    }

    #[test]
    fn a_folder_of_the_first_format_is_read_as_before() {
        let trial = decoded();
        let dataset = opened(&trial, "limit = 70");
        let items = std::fs::read_to_string(trial.path("decoded/items.csv")).unwrap();
        let first_columns = |it: &str| it.split(',').take(3).collect::<Vec<_>>().join(",");
        let items: Vec<_> = items.lines().map(first_columns).collect();
        trial.write("decoded/items.csv", items.join("\n") + "\n");
        let manifest = std::fs::read_to_string(trial.path("decoded/dataset.json")).unwrap();
        let manifest = manifest.replace("\"format\": 2", "\"format\": 1");
        trial.write("decoded/dataset.json", manifest.replace(",\n  \"beside\": []", ""));
        let old = opened(&trial, "limit = 70");
        assert_eq!(
            (&old.train, &old.valid, &old.test),
            (&dataset.train, &dataset.valid, &dataset.test)
        );
        assert_eq!((&old.layout, old.pixels()), (&dataset.layout, dataset.pixels()));
        assert_eq!(old.contents[7], content(dataset.image(7), [2, 3, 1]));
    }
}
