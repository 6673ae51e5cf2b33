//! The images that judge made-up runs, drawn and laid where a sweep leaves what it decoded.

use std::fs;
use std::path::Path;

use ferrite_core::store::record::Record;
use serde_json::json;

/// Images of each of the two splits that do not judge.
const OTHERS: usize = 14;

/// Lays the images of `record` below `runs`: an image of 8x8 pixels for each prediction, the first of which are training
/// images too. `splits` names training, validation and test as the source does.
pub(crate) fn decode(record: &Record, runs: &Path, splits: [&str; 3]) {
    let dataset = record.facts.dataset.as_ref().unwrap();
    let folder = runs.join(".store/dataset").join(&dataset.key);
    fs::create_dir_all(&folder).unwrap();
    let mut items = vec!["id,split,label,group,shape,content".to_owned()];
    let mut pixels = Vec::new();
    let mut push = |id: &str, split: usize, label: usize, group: usize, seed: usize| {
        let (id, split) = (id.replace('"', "\"\""), splits[split]);
        items.push(format!("\"{id}\",{split},{label},person {group},8x8x1,{seed:016x}"));
        let gray = |at: usize| (40 + seed * 7 % 150 + at * (seed % 5 + 1) % 60) as u8;
        // The number of the image lies in its first pixels: no two are equal.
        pixels.extend([(seed % 251) as u8, (seed / 251) as u8]);
        pixels.extend((2..64).map(gray));
    };
    for (at, it) in record.predictions.iter().enumerate() {
        push(&it.id, 2, it.truth, at % 3, at);
    }
    for at in 0..OTHERS {
        push(&format!("train {at}"), 0, at % 7, 0, at * 3);
        push(&format!("valid {at}"), 1, at % 7, 0, 9000 + at);
    }
    let (count, classes) = (items.len() - 1, &dataset.classes);
    let manifest = json!({
        "format": 2, "source": "manifest", "count": count, "size": [8, 8, 1], "classes": classes, "skipped": [],
    });
    fs::write(folder.join("items.csv"), items.join("\n")).unwrap();
    fs::write(folder.join("images.bin"), pixels).unwrap();
    fs::write(folder.join("dataset.json"), manifest.to_string()).unwrap();
}
