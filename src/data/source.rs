//! The `source` setting: what kinds of images there are to choose from.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::fer2013;
use crate::data::synthetic::Synthetic;
use crate::error::Problem;

/// The most classes that fit the stored labels.
const MOST_CLASSES: usize = 256;

/// The `source` setting: where images and labels come from. Exactly one of these tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Source {
    /// The FER2013 table, in any of its published layouts: `fer2013.csv`, `icml_face_data.csv`, or
    /// `train.csv`, which has no named splits.
    Fer2013 {
        /// The CSV file, relative to the folder you run `ferrite` in.
        csv: PathBuf,
    },
    /// Image files (PNG, JPEG) in a folder for each class: `path/<split>/<class>/*` where `split`
    /// names splits, `path/<class>/*` where it gives fractions. Gray if every image is gray, else
    /// RGB, without transparency; at their own size if that is the same for all, else scaled to
    /// `image_size` squared.
    Folder {
        /// The folder, relative to the folder you run `ferrite` in.
        path: PathBuf,
        /// The class folders in label order: the first one is label 0. Every class folder must be
        /// listed. The order matters for weights trained elsewhere: many programs number class
        /// folders alphabetically, FER2013 does not.
        #[serde(default)]
        classes: Vec<String>,
    },
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
                problem.into_iter().chain(check_classes(classes)).collect()
            }
            Self::Synthetic(synthetic) => {
                synthetic.check().into_iter().map(|it| it.within("synthetic")).collect()
            }
        }
    }

    /// The file or folder, for messages.
    pub fn place(&self) -> PathBuf {
        match self {
            Self::Fer2013 { csv } => csv.clone(),
            Self::Folder { path, .. } => path.clone(),
            Self::Synthetic(_) => "synthetic faces".into(),
        }
    }

    /// The names of the classes in label order.
    pub fn classes(&self) -> Vec<String> {
        match self {
            Self::Fer2013 { .. } => fer2013::CLASSES.map(str::to_owned).to_vec(),
            Self::Folder { classes, .. } => classes.clone(),
            Self::Synthetic(synthetic) => synthetic.classes(),
        }
    }
}

fn check_classes(classes: &[String]) -> Vec<Problem> {
    const KEY: &str = "folder.classes";
    if !(2..=MOST_CLASSES).contains(&classes.len()) {
        let message = format!(
            "must list the class folders in label order, 2 to {MOST_CLASSES} of them, \
             like `[\"angry\", \"happy\"]`"
        );
        return vec![Problem::new(KEY, message)];
    }
    let judge = |(position, name): (usize, &String)| {
        let key = format!("{KEY}.{position}");
        if name.trim().is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            Some(Problem::new(key, format!("must be the name of a folder, not `{name}`")))
        } else if classes[..position].contains(name) {
            Some(Problem::new(key, format!("lists `{name}` twice: take one of them out")))
        } else {
            None
        }
    };
    classes.iter().enumerate().filter_map(judge).collect()
}
