//! What `ferrite explain` leaves in a run's folder: where the network looks, as numbers.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::event::disk::Artifact;
use crate::files::sealed::{self, seal};
use crate::store::artifact::{Care, check, of_bytes};

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

impl Explained {
    /// The content of [`MAPS`], which vouches for itself and for `sheet`.
    pub fn to_json(&self, sheet: &[u8]) -> String {
        let mut value = serde_json::to_value(self).expect("names and numbers are plain JSON");
        value["sheet"] = serde_json::to_value(of_bytes(sheet)).expect("counts are plain JSON");
        seal(value.to_string())
    }
}

/// What lies in the `folder` of the run with this `key`, and the sheet; none if there is nothing, or it is of another run or
/// format.
///
/// # Errors
/// [`Error::Damaged`] if it is not what was written. Older versions wrote nothing that tells.
pub fn read(folder: &Path, key: &str) -> Result<Option<(Explained, Vec<u8>)>> {
    /// What is needed of [`MAPS`] to vouch for the sheet.
    #[derive(Deserialize)]
    struct Vouched {
        sheet: Artifact,
    }
    let path = folder.join(MAPS);
    let Ok(text) = std::fs::read(&path) else { return Ok(None) };
    let wrong = |message: &str| Error::Damaged {
        path: path.clone(),
        message: message.to_owned(),
        help: "`ferrite explain` with the name of the run makes it again".into(),
    };
    let explained: Explained = match serde_json::from_slice(&text) {
        Ok(it) => it,
        Err(error) => return Err(wrong(&error.to_string())),
    };
    if explained.format != FORMAT || explained.key != key {
        return Ok(None);
    }
    let sheet = folder.join(SHEET);
    if sealed::split(&text).1.is_some() {
        let whole = sealed::opened(&text);
        let whole = whole.ok_or_else(|| wrong("its bytes are not those that were written"))?;
        let Vouched { sheet: written } =
            serde_json::from_slice(&whole).map_err(|it| wrong(&it.to_string()))?;
        check(&sheet, &written, Care::Content)?;
    }
    Ok(std::fs::read(sheet).ok().map(|sheet| (explained, sheet)))
}
