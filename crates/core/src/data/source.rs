//! The `source` setting: what kinds of images there are to choose from.

use std::path::PathBuf;

use ferrite_faces::Synthetic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::fer2013;
use crate::data::folder::list::same;
use crate::data::manifest::Manifest;
use crate::data::synthetic;
use crate::error::{Problem, is_unprintable};

/// The most classes that fit the stored labels.
const MOST_CLASSES: usize = 256;

/// The `source` setting: where images and labels come from. It is exactly one of these tables.
///
/// ```toml
/// [data]
/// source = { folder = { path = "data/faces", classes = ["angry", "happy", "sad"] } }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Source {
    /// The FER2013 table, in any of its published layouts: `fer2013.csv`, `icml_face_data.csv`, or
    /// `train.csv`, which has no named splits.
    ///
    /// ```toml
    /// [data]
    /// source = { fer2013 = { csv = "data/fer2013.csv" } }
    /// split  = { train = "Training", valid = "PublicTest", test = "PrivateTest" }
    /// ```
    Fer2013 {
        /// The CSV file, relative to the folder you run `ferrite` in.
        csv: PathBuf,
    },
    /// Picture files in a folder for each class: `path/<split>/<class>/*` if `split` names splits, otherwise `path/<class>/*`.
    /// If `split` has fractions and the folder has splits, the pictures of all splits are taken together. Folders inside
    /// class folders, for example one for each person, are read too, and their names are the groups of the pictures. PNG,
    /// JPEG, WebP, TIFF, BMP, GIF (first frame), PGM and PPM are read; the content of a file tells its format, not its name.
    /// Other pictures are broken images (see `on_error`); files that are no pictures are counted and named. The images are
    /// gray if all pictures are gray, otherwise RGB; transparency is removed, and EXIF orientation is applied. Square
    /// pictures no larger than `image_size` keep their size, all others are resized to `image_size` with antialiasing.
    ///
    /// ```toml
    /// [data]
    /// source = { folder = { path = "data/faces", classes = ["angry", "happy", "sad"] } }
    /// split  = { train = "train", valid = 0.15, test = "test" }   # data/faces/train/angry/*, …
    /// ```
    Folder {
        /// The folder, relative to the folder you run `ferrite` in.
        path: PathBuf,
        /// The class folders in label order: the first one is label 0. Every class folder must be listed; if a class has no
        /// folder in a split, it has no pictures there. The order matters for weights that were trained elsewhere: Keras and
        /// torchvision number class folders alphabetically, FER2013 does not.
        #[serde(default)]
        classes: Vec<String>,
    },
    /// A table of pictures, as CSV or Parquet.
    Manifest(Manifest),
    /// Faces drawn by Ferrite, for trying things without any data set. No named splits.
    Synthetic(Synthetic),
}

impl Default for Source {
    fn default() -> Self {
        Self::Synthetic(Synthetic::default())
    }
}

impl Source {
    /// What cannot be right in this table alone.
    pub fn check(&self) -> Vec<Problem> {
        match self {
            Self::Fer2013 { csv } => {
                let named = !csv.as_os_str().is_empty();
                let problem =
                    Problem::unless(named, "fer2013.csv", "must name a file, like `fer2013.csv`");
                problem.into_iter().collect()
            }
            Self::Folder { path, classes } => {
                let named = !path.as_os_str().is_empty();
                let problem =
                    Problem::unless(named, "folder.path", "must name a folder, like `data/faces`");
                problem.into_iter().chain(check_classes("folder.classes", classes)).collect()
            }
            Self::Manifest(manifest) => {
                let own = manifest.check().into_iter().map(|it| it.within("manifest"));
                own.chain(check_classes("manifest.classes", &manifest.classes)).collect()
            }
            Self::Synthetic(table) => {
                synthetic::check(table).into_iter().map(|it| it.within("synthetic")).collect()
            }
        }
    }

    /// Whether it can say which images belong to one person or video.
    pub fn can_have_groups(&self) -> bool {
        match self {
            Self::Fer2013 { .. } => false,
            Self::Folder { .. } | Self::Manifest(_) => true,
            Self::Synthetic(it) => it.shown_by(0).is_some(),
        }
    }

    /// The file or folder, for messages.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::Fer2013 { csv } => csv.clone(),
            Self::Folder { path, .. } => path.clone(),
            Self::Manifest(it) => it.table.clone(),
            Self::Synthetic(_) => "synthetic faces".into(),
        }
    }

    /// The names of the classes in label order.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Self::Fer2013 { .. } => fer2013::CLASSES.map(str::to_owned).to_vec(),
            Self::Folder { classes, .. } => classes.clone(),
            Self::Manifest(it) => it.classes.clone(),
            Self::Synthetic(synthetic) => synthetic.classes(),
        }
    }

    /// Whether images have no names of their own, only rows of a table, so that nothing but the picture itself says which
    /// one it is.
    pub(super) fn names_no_images(&self) -> bool {
        matches!(self, Self::Fer2013 { .. } | Self::Manifest(_))
    }
}

fn check_classes(list: &str, classes: &[String]) -> Vec<Problem> {
    if !(2..=MOST_CLASSES).contains(&classes.len()) {
        let what = if list.starts_with("folder") { "class folders" } else { "classes" };
        let message = format!(
            "must list the {what} in label order, 2 to {MOST_CLASSES} of them, \
             like `[\"angry\", \"happy\"]`"
        );
        return vec![Problem::new(list, message)];
    }
    let judge = |(position, name): (usize, &String)| {
        let key = format!("{list}.{position}");
        if name.trim().is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            Some(Problem::new(key, format!("must be the name of a folder, not `{name}`")))
        } else if name.contains(is_unprintable) {
            Some(Problem::new(
                key,
                "must not hold characters that cannot be seen: rename the class",
            ))
        } else if classes[..position].iter().any(|it| same(it, name)) {
            Some(Problem::new(key, format!("lists `{name}` twice: take one of them out")))
        } else {
            None
        }
    };
    classes.iter().enumerate().filter_map(judge).collect()
}
