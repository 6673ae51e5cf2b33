//! What `ferrite explain` leaves in a run's folder: where the network looks, as numbers.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The name of the numbers in a run's folder.
pub const MAPS: &str = "gradcam.json";

/// The name of the sheet in a run's folder.
pub const SHEET: &str = "plots/gradcam.png";

/// Version of the format.
pub const FORMAT: u32 = 1;

/// Grad-CAM of some images that a run was judged on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The key of the run whose weights were asked; the folder may hold another run since.
    pub key: String,
    /// The split that the images are of.
    pub split: String,
    /// Pixels a side of what the network sees.
    pub image_size: usize,
    /// The feature maps that were looked into.
    pub layer: Layer,
    /// Which images they are, in a whole sentence.
    pub chosen: String,
    /// The images, in the order of the sheet.
    pub images: Vec<Image>,
}

/// The feature maps that were looked into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// The block of the backbone whose output they are, by its name in the weight file.
    pub name: String,
    /// Their height.
    pub height: usize,
    /// Their width.
    pub width: usize,
    /// Whether it is the last block, which Grad-CAM is meant for.
    pub last: bool,
    /// The last block, and the height and width of its feature maps.
    pub last_name: String,
    /// Its height.
    pub last_height: usize,
    /// Its width.
    pub last_width: usize,
    /// Which layer was taken and why, in whole sentences.
    pub note: String,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// What identifies it in its source.
    pub id: String,
    /// Its class.
    pub truth: String,
    /// The class that it was taken for.
    pub predicted: String,
    /// The probability of that class in `predictions.csv`.
    pub probability: f64,
    /// The map of the class that it was taken for, and where that is wrong, the map of its class.
    pub maps: Vec<Map>,
}

/// Where the network sees what speaks for a class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The class.
    pub class: String,
    /// The largest value before the map was divided by it; 0 where nothing in the feature maps speaks for the class.
    pub largest: f32,
    /// Row by row, each from 0 to 1, rounded to 3 digits.
    pub rows: Vec<Vec<f32>>,
}

/// What lies in the `folder` of the run with this `key`; none if there is nothing, or it is of another run or format.
pub fn read(folder: &Path, key: &str) -> Option<Explained> {
    let text = std::fs::read(folder.join(MAPS)).ok()?;
    let explained: Explained = serde_json::from_slice(&text).ok()?;
    (explained.format == FORMAT && explained.key == key).then_some(explained)
}
