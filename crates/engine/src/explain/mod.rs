//! Where a trained network looks: Grad-CAM of images that its run was judged on.
//!
//! The images are those of `predictions.csv`, as they lie decoded below the runs, and the network sees them as it did when it
//! was judged, but from one view alone and in 32-bit floats. **Invariant:** the same run gives the same bytes.

mod choice;
mod sheet;

use std::ops::Range;
use std::path::Path;

use ferrite_core::data::dataset::{self, Dataset};
use ferrite_core::data::layout::Layout;
use ferrite_core::device::Device;
use ferrite_core::error::{Error, Result};
use ferrite_core::event::FINAL;
use ferrite_core::event::split::SplitName;
use ferrite_core::metrics::Prediction;
use ferrite_core::precision::{Precision, Precisions};
use ferrite_core::store::Store;
use ferrite_core::store::explained::{Explained, FORMAT, Image, Layer, Map};
use ferrite_torch::picture::resize;
use ferrite_torch::tensor::to_floats;

use crate::explain::choice::{choose, chosen};
use crate::explain::sheet::{Card, sheet};
use crate::forward::network::Network;
use crate::train::pictures::Pictures;
use crate::trained;
use crate::trained::Trained;

/// Which images of a run are explained, and by which layer.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The run's folder.
    pub folder: &'a Path,
    /// How many images are chosen.
    pub images: usize,
    /// These images instead, by what identifies them in `predictions.csv`.
    pub ids: &'a [String],
    /// Only images of this class.
    pub class: Option<&'a str>,
    /// The block whose feature maps are looked into; none for the deepest that is large enough.
    pub layer: Option<&'a str>,
}

/// What was found, and the same as a picture.
#[derive(Debug)]
pub struct Answer {
    /// The numbers.
    pub explained: Explained,
    /// A PNG.
    pub sheet: Vec<u8>,
}

/// The least positions a side of feature maps that say where something is.
const LEAST: usize = 4;

/// Images whose gradients are computed at once.
const AT_ONCE: usize = 16;

/// Explains images of a finished run. `progress` hears how many are done and says whether to go on.
///
/// # Errors
/// [`Error::Usage`] if the run is not finished, its images are not there any more, or what is asked for does not exist;
/// [`Error::Interrupted`]; whatever reading fails with.
pub fn explain(
    store: &Store,
    wanted: &Wanted<'_>,
    device: Device,
    progress: &mut dyn FnMut([usize; 2]) -> bool,
) -> Result<Answer> {
    let trained =
        trained::open(store, (wanted.folder, FINAL), device, |_| Precisions::all(Precision::F32))?;
    let size = trained.settings.data.image_size;
    let (layer, blocks) = layer(&trained.network, size, wanted.layer)?;
    let dataset = images(store, &trained, wanted.folder)?;
    let (split, rows) = judged(&dataset, &trained, wanted.folder)?;
    let places = choose(&trained.record.predictions, &dataset.classes, wanted)?;
    let subject = Subject { network: &trained.network, dataset: &dataset, size, device, blocks };
    let (mut images, mut cards) = (Vec::new(), Vec::new());
    for batch in places.chunks(AT_ONCE) {
        let predictions: Vec<&Prediction> =
            batch.iter().map(|it| &trained.record.predictions[*it]).collect();
        let rows: Vec<u32> = batch.iter().map(|it| rows[*it]).collect();
        for (image, card) in subject.explain(&rows, &predictions) {
            images.push(image);
            cards.push(card);
        }
        if !progress([images.len(), places.len()]) {
            return Err(Error::Interrupted);
        }
    }
    let key = trained.record.facts.start.map(|it| it.key).unwrap_or_default();
    let sheet = sheet(&images, &cards, &layer);
    let chosen = chosen(wanted, images.len(), split);
    let split = split.to_string();
    let explained =
        Explained { format: FORMAT, key, split, image_size: size, layer, chosen, images };
    Ok(Answer { explained, sheet })
}

/// The layer that is looked into, and how many blocks end with it.
fn layer(network: &Network, size: usize, asked: Option<&str>) -> Result<(Layer, usize)> {
    let sides = network.sides(size);
    let names: Vec<&str> = (0..sides.len()).map(|it| network.block_name(it)).collect();
    let all = || {
        let all = names.iter().zip(&sides).map(|(name, it)| format!("{name} ({it}x{it})"));
        all.collect::<Vec<_>>().join(", ")
    };
    let last = sides.len() - 1;
    let index = match asked {
        Some(name) => names.iter().position(|it| *it == name).ok_or_else(|| Error::Usage {
            message: format!("the network has no block `{name}`"),
            help: format!("its blocks, with their feature maps at {size} pixels: {}", all()),
        })?,
        None => sides.iter().rposition(|it| *it >= LEAST).ok_or_else(|| Error::Usage {
            message: format!(
                "no block of the network has feature maps of at least {LEAST}x{LEAST} at {size} pixels, so none says where \
                 something is"
            ),
            help: format!("name one with `--layer` to see it all the same: {}", all()),
        })?,
    };
    let [name, last_name] = [index, last].map(|it| names[it].to_owned());
    // They are square, as the image is.
    let (height, last_height) = (sides[index], sides[last]);
    let taken = format!("the feature maps of block `{name}`, {height}x{height} positions");
    let note = match asked {
        _ if index == last && height >= LEAST => {
            format!("It looks into {taken}. That is the last convolutional block.")
        }
        Some(_) if index == last => format!(
            "It looks into {taken}, as asked. That is the last convolutional block; at {size} pixels so few positions hardly \
             say where something is."
        ),
        Some(_) => format!(
            "It looks into {taken}, as asked. The last convolutional block is `{last_name}`, with {last_height}x{last_height} \
             positions at {size} pixels."
        ),
        None => format!(
            "The last convolutional block, `{last_name}`, is only {last_height}x{last_height} at {size} pixels, too small to say \
             where something is. So it looks into {taken}: the deepest of at least {LEAST}x{LEAST}. What the later blocks \
             make of it is in the gradients alone."
        ),
    };
    let layer = Layer {
        name,
        height,
        width: height,
        last: index == last,
        last_name,
        last_height,
        last_width: last_height,
        note,
    };
    Ok((layer, index + 1))
}

/// The decoded images of a run, which must still lie below the runs.
fn images(store: &Store, trained: &Trained, folder: &Path) -> Result<Dataset> {
    let (kind, key) = match &trained.record.facts.faces {
        Some(faces) => ("faces", faces.key.as_str()),
        None => ("dataset", trained.dataset.key.as_str()),
    };
    let found = store.found(kind, key)?.ok_or_else(|| Error::Usage {
        message: format!(
            "the decoded images of the run are not there any more: no `{}`",
            store.step_folder(kind, key).display()
        ),
        help: format!(
            "move `{}` away and sweep its experiment again: the images are decoded again; the run is trained again too, \
             but for stages that are still below `.store`",
            folder.display()
        ),
    })?;
    dataset::open(&trained.settings.data, &found)
}

/// The split that judged the run, with its rows in the order of the run's predictions.
fn judged(dataset: &Dataset, trained: &Trained, folder: &Path) -> Result<(SplitName, Vec<u32>)> {
    let (split, rows) = match dataset.test.as_slice() {
        [] => (SplitName::Valid, &dataset.valid),
        _ => (SplitName::Test, &dataset.test),
    };
    let predictions = &trained.record.predictions;
    let same = |(row, it): (&u32, &Prediction)| {
        let row = *row as usize;
        dataset.ids[row] == it.id && usize::from(dataset.labels[row]) == it.truth
    };
    if rows.len() == predictions.len() && rows.iter().zip(predictions).all(same) {
        return Ok((split, rows.clone()));
    }
    Err(Error::Usage {
        message: format!(
            "the images that `{}` was judged on are not those that its settings lead to now",
            folder.display()
        ),
        help: "an older version of Ferrite drew other splits, or a file of labels has changed: sweep the experiment again"
            .into(),
    })
}

/// What is asked, and about which images.
struct Subject<'a> {
    network: &'a Network,
    dataset: &'a Dataset,
    size: usize,
    device: Device,
    /// How many blocks are before the feature maps.
    blocks: usize,
}

impl Subject<'_> {
    /// Explains the images at `rows`, of which `predictions` are the run's.
    fn explain(&self, rows: &[u32], predictions: &[&Prediction]) -> Vec<(Image, Card)> {
        let x = ferrite_torch::without_gradients(|| self.pictures(rows));
        let scaled = || ferrite_torch::without_gradients(|| self.network.scale_pixels(x.clone()));
        let looks = |of: &dyn Fn(&Prediction) -> usize| {
            let classes: Vec<usize> = predictions.iter().map(|it| of(it)).collect();
            let maps = self.network.grad_cam(scaled(), self.blocks, &classes);
            Looks::new(maps, self.size)
        };
        let (taken_for, true_class) = (looks(&|it| it.predicted), looks(&|it| it.truth));
        let pixels = to_floats(x.clone());
        let [_, channels, _, _] = x.dims();
        let of_image = channels * self.size * self.size;
        let class = |it: usize| self.dataset.classes[it].clone();
        let image = |(at, it): (usize, &&Prediction)| {
            let mut looks = vec![taken_for.at(at, class(it.predicted))];
            if it.truth != it.predicted {
                looks.push(true_class.at(at, class(it.truth)));
            }
            let (maps, overlays) = looks.into_iter().unzip();
            let card = Card {
                size: self.size,
                channels,
                pixels: pixels[range(at, of_image)].to_vec(),
                overlays,
            };
            let image = Image {
                id: it.id.clone(),
                truth: class(it.truth),
                predicted: class(it.predicted),
                probability: it.probabilities[it.predicted],
                maps,
            };
            (image, card)
        };
        predictions.iter().enumerate().map(image).collect()
    }

    /// The images at `rows` as the network sees them, gray levels 0-255.
    fn pictures(&self, rows: &[u32]) -> burn::tensor::Tensor<4> {
        let (mut bytes, mut layout) = (Vec::new(), Layout::default());
        let (all, pixels) = (&self.dataset.layout, self.dataset.pixels());
        for row in rows {
            layout.push(all.shape(*row)).expect("a decoded image has a shape");
            bytes.extend_from_slice(&pixels[all.range(*row)]);
        }
        let rows: Vec<u32> = (0..rows.len() as u32).collect();
        Pictures::new(&bytes, &layout, self.size, self.device).plain(&rows)
    }
}

/// The maps of a batch: as the layer has them, and at the size of the images.
struct Looks {
    /// Height and width.
    shape: [usize; 2],
    values: Vec<f32>,
    size: usize,
    enlarged: Vec<f32>,
}

impl Looks {
    fn new(maps: burn::tensor::Tensor<4>, size: usize) -> Self {
        let [_, _, height, width] = maps.dims();
        let enlarged = ferrite_torch::without_gradients(|| to_floats(resize(maps.clone(), size)));
        Self { shape: [height, width], values: to_floats(maps), size, enlarged }
    }

    /// The map of image `at`, which is of `class`, and the same at the size of the image, both with 1 as the largest value.
    fn at(&self, at: usize, class: String) -> (Map, Vec<f32>) {
        let [height, width] = self.shape;
        let values = &self.values[range(at, height * width)];
        let largest = values.iter().copied().fold(0.0, f32::max);
        let share = |it: &f32| if largest > 0.0 { it / largest } else { 0.0 };
        let rounded = |it: &f32| (share(it) * 1000.0).round() / 1000.0;
        let rows = values.chunks(width).map(|row| row.iter().map(rounded).collect());
        let enlarged = &self.enlarged[range(at, self.size * self.size)];
        let map = Map { class, largest, rows: rows.collect() };
        (map, enlarged.iter().map(share).collect())
    }
}

/// Where the values of the part at a place lie among those of parts of this length.
fn range(at: usize, length: usize) -> Range<usize> {
    at * length..(at + 1) * length
}
