//! All that a stage needs to go on after its last epoch, as one safetensors file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use ferrite_core::error::{Error, Result};
use ferrite_core::event::Epoch;
use ferrite_core::event::memory::Divided;
use ferrite_core::model::weights::output::write_tensors;
use ferrite_torch::numbers::Numbers;
use ferrite_torch::parameters::Snapshot;
use safetensors::tensor::{Dtype, SafeTensors, View};

/// A stage after some epochs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkpoint {
    /// The epochs so far.
    pub epochs: Vec<Epoch>,
    /// The weights now.
    pub current: Snapshot,
    /// The weights of the best epoch, where early stopping will restore them.
    pub best: Option<Snapshot>,
    /// The best weights under other metrics, by the metric's name.
    pub named: BTreeMap<String, Snapshot>,
    /// The moving average of what trains; empty where there is none.
    pub average: Numbers,
    /// What was done last about a batch that did not fit into memory.
    pub divided: Option<Divided>,
    /// How many of the epochs a shorter stage had trained.
    pub continued: usize,
    /// Steps of the optimizer.
    pub steps: u64,
    /// What the optimizer remembers.
    pub moments: Vec<Numbers>,
}

/// Before the names of [`Checkpoint::named`].
const NAMED: &str = "named.";
const AVERAGE: &str = "average";
const EPOCHS: &str = "epochs";
const STEPS: &str = "steps";
const DIVIDED: &str = "divided";
const CONTINUED: &str = "continued";
const CHECKSUM: &str = "crc32";

impl Checkpoint {
    /// Frees what the network and the optimizer hold as well.
    pub(in crate::train) fn forget_current(&mut self) {
        self.current = Snapshot::default();
        self.moments = Vec::new();
        self.average = Numbers::default();
    }

    /// Writes the file, number by number as they lie in memory.
    ///
    /// # Errors
    /// [`Error::File`], e.g. where the disk is full.
    pub fn write(&self, path: &Path) -> Result<()> {
        let named = self.named.iter().map(|(name, it)| (format!("{NAMED}{name}"), it));
        let best = self.best.iter().map(|it| ("best".to_owned(), it));
        let snapshots = [("current".to_owned(), &self.current)].into_iter().chain(best);
        let mut blobs: Vec<(String, Blob<'_>)> = snapshots
            .chain(named)
            .flat_map(|(name, Snapshot { flat, buffers })| {
                let flat = (format!("{name}.flat"), Blob::new(flat));
                [flat, (format!("{name}.buffers"), Blob::new(buffers))]
            })
            .collect();
        blobs.push((AVERAGE.to_owned(), Blob::new(&self.average)));
        let moments = self.moments.iter().enumerate();
        blobs.extend(moments.map(|(index, it)| (format!("moments.{index}"), Blob::new(it))));
        let epochs = serde_json::to_string(&self.epochs).expect("epochs are plain JSON");
        let facts = [
            (EPOCHS, epochs),
            (STEPS, self.steps.to_string()),
            (CONTINUED, self.continued.to_string()),
        ];
        let mut facts: BTreeMap<String, String> =
            facts.into_iter().map(|(name, it)| (name.to_owned(), it)).collect();
        if let Some(divided) = &self.divided {
            let text = serde_json::to_string(divided).expect("names and counts are plain JSON");
            facts.insert(DIVIDED.to_owned(), text);
        }
        blobs.sort_by(|(a, _), (b, _)| a.cmp(b));
        let all = blobs.iter().map(|(name, it)| (name.as_str(), it.numbers.bytes()));
        facts.insert(CHECKSUM.to_owned(), checksum(all, &facts));
        write_tensors(blobs, facts, path)
    }

    /// Reads back what [`Checkpoint::write`] wrote; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the bytes are no complete checkpoint.
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self> {
        let broken = |message: &str| damaged(path, message);
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|it| broken(&it.to_string()))?;
        let facts = header.metadata().clone().unwrap_or_default();
        let fact = |name: &str| facts.get(name).ok_or_else(|| broken("its header is incomplete"));
        let file = SafeTensors::deserialize(bytes).map_err(|it| broken(&it.to_string()))?;
        let floats = |name: &str| {
            let tensor = file.tensor(name).map_err(|it| broken(&it.to_string()))?;
            Ok(Numbers::from_bytes(tensor.data()))
        };
        let snapshot = |name: &str| {
            let flat = floats(&format!("{name}.flat"))?;
            Ok::<_, Error>(Snapshot { flat, buffers: floats(&format!("{name}.buffers"))? })
        };
        // Older versions wrote none.
        if let Some(written) = facts.get(CHECKSUM) {
            let mut tensors = file.tensors();
            tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
            let tensors = tensors.iter().map(|(name, it)| (name.as_str(), it.data().into()));
            let others = facts.iter().filter(|(name, _)| *name != CHECKSUM);
            let others = others.map(|(name, it)| (name.clone(), it.clone())).collect();
            if checksum(tensors, &others) != *written {
                return Err(broken("its bytes are not those that were written"));
            }
        }
        let has = |name: &str| file.tensor(name).is_ok();
        let moments: Vec<String> =
            (0..file.len()).map(|it| format!("moments.{it}")).take_while(|it| has(it)).collect();
        let tensors = file.names().into_iter();
        let named = tensors.filter_map(|it| it.strip_prefix(NAMED)?.strip_suffix(".flat"));
        let named = named.map(|it| Ok((it.to_owned(), snapshot(&format!("{NAMED}{it}"))?)));
        Ok(Self {
            epochs: serde_json::from_str(fact(EPOCHS)?).map_err(|it| broken(&it.to_string()))?,
            current: snapshot("current")?,
            best: has("best.flat").then(|| snapshot("best")).transpose()?,
            named: named.collect::<Result<_>>()?,
            divided: facts
                .get(DIVIDED)
                .map(|it| serde_json::from_str(it).map_err(|it| broken(&it.to_string())))
                .transpose()?,
            average: if has(AVERAGE) { floats(AVERAGE)? } else { Numbers::default() },
            // Older versions wrote none, and went on from nothing.
            continued: facts.get(CONTINUED).and_then(|it| it.parse().ok()).unwrap_or(0),
            steps: fact(STEPS)?.parse().map_err(|_| broken("its number of steps is unreadable"))?,
            moments: moments.iter().map(|it| floats(it)).collect::<Result<_>>()?,
        })
    }
}

/// A checksum of all that a checkpoint holds: names and bytes of its tensors, sorted by name, and its facts.
///
/// It is taken from memory before the file is written, since the header comes first in it.
fn checksum<'a>(
    tensors: impl Iterator<Item = (&'a str, Cow<'a, [u8]>)>,
    facts: &BTreeMap<String, String>,
) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in tensors {
        hasher.update(format!("{name} {}\n", bytes.len()).as_bytes());
        hasher.update(&bytes);
    }
    hasher.update(format!("{facts:?}").as_bytes());
    format!("{:08x}", hasher.finalize())
}

/// Numbers as a tensor of the file.
struct Blob<'a> {
    numbers: &'a Numbers,
    shape: [usize; 1],
}

impl<'a> Blob<'a> {
    fn new(numbers: &'a Numbers) -> Self {
        Self { numbers, shape: [numbers.len()] }
    }
}

impl View for Blob<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.numbers.bytes()
    }

    fn data_len(&self) -> usize {
        4 * self.numbers.len()
    }
}

fn damaged(path: &Path, message: &str) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        message: message.to_owned(),
        help: "delete it; the stage then begins again from its first epoch".into(),
    }
}

#[cfg(test)]
mod tests {
    use ferrite_core::event::Scores;
    use ferrite_core::event::acts::TechniqueEvidence;
    use ferrite_core::event::gradient::Gradient;

    use super::*;

    /// Epochs with these validation losses.
    fn epochs(losses: &[f64]) -> Vec<Epoch> {
        let epoch = |(index, loss): (usize, &f64)| {
            let scores = Scores { loss: *loss, accuracy: 1.0 - loss };
            Epoch {
                stage: "s".into(),
                epoch: index + 1,
                lr: 0.1,
                train: scores,
                valid: scores,
                seconds: 1.0,
                images_per_second: 1.0,
                acts: TechniqueEvidence::default(),
                confusion: vec![3, 1, 0, 2],
                gradient: Some(Gradient { norm: 0.5, groups: vec![0.3, 0.4] }),
                energy: None,
            }
        };
        losses.iter().enumerate().map(epoch).collect()
    }

    fn example() -> Checkpoint {
        let numbers = |it: f32, count| Numbers::of(&vec![it; count]);
        let snapshot = |it: f32| Snapshot { flat: numbers(it, 3), buffers: numbers(-it, 2) };
        Checkpoint {
            epochs: epochs(&[0.5, 0.25]),
            current: snapshot(1.0),
            best: Some(snapshot(2.0)),
            named: [("valid_accuracy".to_owned(), snapshot(3.0))].into(),
            divided: Some(Divided {
                stage: "s".into(),
                epoch: 1,
                step: 2,
                batch: 64,
                at_once: 32,
                norms: true,
                message: "no \"memory\"".into(),
            }),
            average: numbers(4.0, 3),
            continued: 1,
            steps: 7,
            moments: vec![numbers(0.5, 3), numbers(0.25, 3)],
        }
    }

    /// The bytes of `checkpoint`'s file.
    fn written(checkpoint: &Checkpoint) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        checkpoint.write(&path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn a_checkpoint_comes_back_equal() {
        let there = written(&example());
        assert_eq!(Checkpoint::from_bytes(&there, Path::new("c")).unwrap(), example());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let error = example().write(Path::new("/no/such/folder/checkpoint")).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder/checkpoint"), "{error}");
    }

    #[test]
    fn every_number_of_a_checkpoint_comes_back_with_the_same_bits() {
        let thirds: Vec<f32> = (1..200).map(|it| 1.0 / (3.0 * it as f32).powi(it % 40)).collect();
        let odd = [f32::MIN_POSITIVE, 1e-45, -0.0, f32::MAX, f32::INFINITY];
        let current = Snapshot { flat: Numbers::of(&thirds), buffers: Numbers::of(&odd) };
        let mut epochs = epochs(&[4.0 / 17.0, 5e-324, f64::INFINITY, 0.1 + 0.2]);
        for it in &mut epochs {
            it.lr = it.valid.loss / 3.0;
        }
        let checkpoint = Checkpoint { epochs, current, ..Checkpoint::default() };
        let there = Checkpoint::from_bytes(&written(&checkpoint), Path::new("c")).unwrap();
        assert_eq!(there.epochs, checkpoint.epochs);
        let bits = |it: &Numbers| it.to_vec().iter().map(|it| it.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&there.current.flat), bits(&checkpoint.current.flat));
        assert_eq!(bits(&there.current.buffers), bits(&checkpoint.current.buffers));
    }

    #[test]
    fn no_byte_of_a_checkpoint_can_be_flipped_and_be_believed() {
        let bytes = written(&example());
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            // Spaces and the order of names in the header say nothing.
            if let Ok(it) = Checkpoint::from_bytes(&flipped, Path::new("c")) {
                assert_eq!(it, example(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_truncated_checkpoint_is_named_and_never_believed() {
        let bytes = written(&example());
        for length in [0, 4, 9, bytes.len() / 2, bytes.len() - 1] {
            let error = Checkpoint::from_bytes(&bytes[..length], Path::new("c")).unwrap_err();
            assert!(error.to_string().starts_with("`c` is damaged"), "{error}");
        }
    }
}
