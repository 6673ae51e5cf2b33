//! A decoded source as an audit looks at it: all of it, split as the source itself is.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use memmap2::Mmap;

use crate::data::Data;
use crate::data::audit::{
    Subject, audit, audit_near, conflicts, different_pictures, exact_groups, groups, near_groups,
};
use crate::data::findings::{Findings, Pixels};
use crate::data::labelled::{Labelled, Wanted};
use crate::data::layout::Layout;
use crate::data::near::{Pair, near};
use crate::data::parts::Pool;
use crate::data::prepared::{self, Prepared};
use crate::error::Result;
use crate::event::audit::{Audit, Groups};

/// What the splits of a source without named ones are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// One split with everything.
    Whole,
    /// The fractions that the settings ask for.
    Drawn,
}

/// A decoded source with its labels and splits. `limit` and `leakage` make no difference.
#[derive(Debug)]
pub struct Inspected {
    /// Class names in label order.
    pub classes: Vec<String>,
    /// What identifies each image in its source.
    pub ids: Vec<String>,
    /// Label of each image; means nothing where an image is in no split.
    pub labels: Vec<u8>,
    /// Rows of each split, by its name.
    pub splits: Vec<(String, Vec<u32>)>,
    /// Rows or files left out, with the reason.
    pub skipped: Vec<String>,
    /// What lies beside the images and is none.
    pub beside: Vec<String>,
    /// Images that have no label under `data.labels`, by the reason.
    pub unlabelled: BTreeMap<String, usize>,
    /// Near twins among different pictures.
    pub pairs: Vec<Pair>,
    /// How many groups (persons, videos) there are, and how many of them have images in more than one split; none
    /// where the source tells no groups.
    pub groups: Option<Groups>,
    findings: Findings,
    layout: Layout,
    images: Mmap,
}

/// Images worth looking at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examples {
    /// What they have in common.
    pub title: &'static str,
    /// Rows that belong together.
    pub groups: Vec<Vec<u32>>,
    /// How many groups there are in all.
    pub of: usize,
}

/// Opens the decoded `folder` and looks for twins.
///
/// # Errors
/// As [`crate::data::dataset::open`], but a part or class may be empty.
pub fn inspect(data: &Data, folder: &Path, unnamed: Unnamed) -> Result<Inspected> {
    let prepared = prepared::read(folder)?;
    let pixels = Pixels::new(&prepared.images, &prepared.layout);
    let findings = Findings::remembered(folder, pixels);
    let labelled = Labelled::of(data, &prepared)?;
    let mut unlabelled = BTreeMap::new();
    let splits = match unnamed {
        Unnamed::Drawn if prepared.split_names.iter().all(String::is_empty) => {
            let pool = Pool { data, prepared: &prepared, labelled: &labelled };
            if let Some(count) = data.split.folds.filter(|_| data.split.fold.is_none()) {
                let folds = pool.folds(count, &mut unlabelled)?;
                (1..=count).map(|it| format!("fold {it}")).zip(folds).collect()
            } else {
                let parts = pool.parts(&mut unlabelled)?;
                data.split.keys().map(str::to_owned).zip(parts).collect()
            }
        }
        _ => own_splits(&prepared, &labelled, &mut unlabelled),
    };
    let Labelled { classes, labels, .. } = labelled;
    let groups = groups(&prepared.groups, splits.iter().map(|it| (it.0.as_str(), it.1.as_slice())));
    let Prepared { manifest, images, layout, ids, .. } = prepared;
    let (skipped, beside, pairs) = (manifest.skipped, manifest.beside, Vec::new());
    let mut inspected = Inspected {
        classes,
        ids,
        labels,
        splits,
        skipped,
        beside,
        unlabelled,
        pairs,
        groups,
        findings,
        layout,
        images,
    };
    let rows = inspected.with_subject(different_pictures);
    inspected.pairs = near(Pixels::new(&inspected.images, &inspected.layout), &rows);
    Ok(inspected)
}

/// The splits of the source itself with their rows that have a label to train with.
fn own_splits(
    prepared: &Prepared,
    labelled: &Labelled,
    unlabelled: &mut BTreeMap<String, usize>,
) -> Vec<(String, Vec<u32>)> {
    let name = |it: &String| if it.is_empty() { "all".to_owned() } else { it.clone() };
    let mut splits: Vec<_> = prepared.split_names.iter().map(|it| (name(it), Vec::new())).collect();
    for (row, split) in prepared.splits.iter().enumerate() {
        splits[usize::from(*split)].1.push(row as u32);
    }
    for (_, rows) in &mut splits {
        *rows = labelled.fit(std::mem::take(rows), Wanted::Training, unlabelled);
    }
    splits
}

impl Inspected {
    /// Everything counted.
    pub fn audit(&self) -> Audit {
        self.with_subject(|it| {
            let near = Some(audit_near(it, &self.pairs));
            Audit { near, ..audit(it) }
        })
    }

    /// The name of the split that `row` is in.
    pub fn split_of(&self, row: u32) -> &str {
        let found = self.splits.iter().find(|it| it.1.binary_search(&row).is_ok());
        found.map_or("", |it| &it.0)
    }

    /// The image at `row` as PNG.
    pub fn png(&self, row: u32) -> Vec<u8> {
        let [height, width, channels] = self.layout.shape(row);
        let kind = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut png = Cursor::new(Vec::new());
        let image = Pixels::new(&self.images, &self.layout).image(row);
        PngEncoder::new(&mut png)
            .write_image(image, width as u32, height as u32, kind)
            .expect("a picture in memory can be written");
        png.into_inner()
    }

    /// The largest groups of each kind of finding, `most` at most.
    pub fn examples(&self, most: usize) -> Vec<Examples> {
        self.with_subject(|subject| {
            let exact = exact_groups(subject);
            let near = near_groups(subject, &self.pairs);
            let across =
                |it: &&Vec<u32>| it.iter().any(|row| self.split_of(*row) != self.split_of(it[0]));
            let at_odds = |it: &&Vec<u32>| conflicts(it, &self.labels);
            let mirrored = self.pairs.iter().filter(|it| it.mirrored).map(|it| it.rows.to_vec());
            let used = |it: &&u32| !self.split_of(**it).is_empty();
            let alone = |all: &[u32]| all.iter().filter(used).map(|it| vec![*it]).collect();
            [
                ("In more than one split", exact.iter().filter(across).cloned().collect()),
                (
                    "Equal images with different labels",
                    exact.iter().filter(at_odds).cloned().collect(),
                ),
                ("Equal images", exact.clone()),
                ("Nearly equal images", near),
                ("Mirrored images", mirrored.collect()),
                ("Constant images", alone(&self.findings.constant)),
                ("Nearly constant images", alone(&self.findings.nearly_constant)),
            ]
            .map(|(title, groups)| largest(title, groups, most))
            .into_iter()
            .filter(|it| it.of > 0)
            .collect()
        })
    }

    fn with_subject<T>(&self, ask: impl FnOnce(Subject<'_>) -> T) -> T {
        let splits: Vec<_> =
            self.splits.iter().map(|(name, rows)| (name.as_str(), rows.as_slice())).collect();
        ask(Subject {
            splits: &splits,
            labels: &self.labels,
            classes: self.classes.len(),
            findings: &self.findings,
        })
    }
}

/// The `most` largest of `groups`, the first of equals first.
fn largest(title: &'static str, mut groups: Vec<Vec<u32>>, most: usize) -> Examples {
    let of = groups.len();
    groups.sort_by_key(|it| std::cmp::Reverse(it.len()));
    groups.truncate(most);
    Examples { title, groups, of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::decode;
    use crate::data::trial::Trial;

    /// 8x8 images in named folders: a wave for each number, and what is made of it.
    fn trial() -> Trial {
        let trial = Trial::new();
        let write = |name: &str, wave: u32, change: &dyn Fn(u8) -> u8| {
            let pixel = |x: u32, y: u32| {
                let value = f64::from(x * (wave + 1) + y * (7 * wave % 5 + 1)).sin() * 90.0 + 120.0;
                image::Luma([change(value as u8)])
            };
            let mut png = Cursor::new(Vec::new());
            let image = image::GrayImage::from_fn(32, 32, pixel);
            image.write_to(&mut png, image::ImageFormat::Png).unwrap();
            trial.write(&format!("faces/{name}.png"), png.into_inner());
        };
        let same = |it| it;
        for wave in 0..6 {
            write(&format!("train/a/{wave}"), wave, &same);
        }
        write("train/b/odd", 0, &same);
        write("train/b/flat", 0, &|_| 7);
        write("test/a/leak", 1, &same);
        write("test/b/near", 2, &|it| it / 2 + 30);
        write("test/b/dull", 3, &|it| it / 50 + 100);
        trial
    }

    fn inspected(trial: &Trial) -> Inspected {
        let data = trial.data(
            "source.folder = { path = '@/faces', classes = ['a', 'b'] }\n\
             split = { train = 'train', valid = 'test' }",
        );
        let folder = trial.path("decoded");
        std::fs::create_dir_all(&folder).unwrap();
        decode::decode(&data, &folder, &|_, _| ()).unwrap();
        inspect(&data, &folder, Unnamed::Drawn).unwrap()
    }

    #[test]
    fn everything_is_counted_once_by_the_source_s_own_splits() {
        let trial = trial();
        let audit = inspected(&trial).audit();
        expect_test::expect![[r#"
            {"splits":[{"name":"test","images":3,"classes":[1,2],"redundant":0,"constant":0,"nearly_constant":1},
            {"name":"train","images":8,"classes":[6,2],"redundant":1,"constant":1,"nearly_constant":0}],"exact":{"groups":2,"images":4,"redundant":2,"largest":2,"conflicting_groups":1,"conflicting_images":2},
            "shared":[{"split":"train","with":"test","images":1,"same_label":1},
            {"split":"test","with":"train","images":1,"same_label":1}],"near":{"pairs":1,"mirrored":0,"groups":{"groups":1,"images":2,"redundant":1,"largest":2,"conflicting_groups":1,"conflicting_images":2},
            "shared":[{"split":"train","with":"test","images":1,"same_label":0},
            {"split":"test","with":"train","images":1,"same_label":0}]}}"#]]
            .assert_eq(&serde_json::to_string(&audit).unwrap().replace("},", "},\n"));
    }

    #[test]
    fn examples_are_the_images_themselves() {
        let trial = trial();
        let it = inspected(&trial);
        let named = |rows: &Vec<u32>| {
            rows.iter().map(|row| it.ids[*row as usize].as_str()).collect::<Vec<_>>().join(" = ")
        };
        let told: Vec<String> = it
            .examples(1)
            .iter()
            .map(|it| format!("{} ({}): {}", it.title, it.of, named(&it.groups[0])))
            .collect();
        expect_test::expect![[r#"
            In more than one split (1): test/a/leak.png = train/a/1.png
            Equal images with different labels (1): train/a/0.png = train/b/odd.png
            Equal images (2): test/a/leak.png = train/a/1.png
            Nearly equal images (1): test/b/near.png = train/a/2.png
            Constant images (1): train/b/flat.png
            Nearly constant images (1): test/b/dull.png"#]]
        .assert_eq(&told.join("\n"));
        let png = image::load_from_memory(&it.png(0)).unwrap().into_luma8().into_raw();
        assert_eq!(png, Pixels::new(&it.images, &it.layout).image(0));
    }
}
