//! How tensors are written: safetensors whose bytes follow from the tensors and the facts alone.
//!
//! The crate that reads the format puts the facts of a header in the order of a hash map, so equal weights
//! would get other bytes each time, and gives the file to its owner alone.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::Path;

use safetensors::tensor::View;
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::files::output::Output;

/// Under this name the header has the facts.
const FACTS: &str = "__metadata__";

/// A header is as long as a multiple of it, so that numbers lie where a processor likes them.
const ALIGNED: usize = 8;

/// Bytes that are gathered before the operating system is asked.
const BUFFER: usize = 1 << 20;

/// Writes `tensors` into a safetensors file in the order of their names, with `facts` in its header.
///
/// # Errors
/// [`Error::File`], e.g. where the disk is full.
pub fn write_tensors<V: View>(
    tensors: impl IntoIterator<Item = (String, V)>,
    facts: BTreeMap<String, String>,
    path: &Path,
) -> Result<()> {
    let tensors: BTreeMap<String, V> = tensors.into_iter().collect();
    let header = header(&tensors, facts);
    let write = || {
        let mut file = BufWriter::with_capacity(BUFFER, Output::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        for tensor in tensors.into_values() {
            file.write_all(&tensor.data())?;
        }
        file.flush()
    };
    write().map_err(Error::file("cannot write", path))
}

fn header<V: View>(tensors: &BTreeMap<String, V>, facts: BTreeMap<String, String>) -> Vec<u8> {
    let mut header = Map::new();
    header.insert(FACTS.into(), json!(facts));
    let mut from = 0;
    for (name, tensor) in tensors {
        let to = from + tensor.data_len();
        let place = json!({
            "dtype": tensor.dtype(), "shape": tensor.shape(), "data_offsets": [from, to],
        });
        header.insert(name.clone(), place);
        from = to;
    }
    // The bytes shall not depend on the order in which they are put together here.
    let mut header = Json::Object(header);
    header.sort_all_objects();
    let mut bytes = header.to_string().into_bytes();
    bytes.resize(bytes.len().next_multiple_of(ALIGNED), b' ');
    bytes
}

/// Values as little-endian bytes, as files hold them.
pub fn bytes_of(values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; 4 * values.len()];
    for (four, value) in bytes.chunks_exact_mut(4).zip(values) {
        four.copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use safetensors::SafeTensors;
    use safetensors::tensor::{Dtype, TensorView};

    use super::*;

    /// The bytes of a file with three tensors and many facts, all given in the order of `turn`.
    fn written(turn: usize) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let numbers = [7_u8; 8];
        let mut tensors: Vec<_> = ["b", "a.x", "c"]
            .into_iter()
            .map(|it| (it.to_owned(), TensorView::new(Dtype::F32, vec![2], &numbers).unwrap()))
            .collect();
        tensors.rotate_left(turn);
        let facts = (0..20).map(|it| (format!("fact {it}"), it.to_string()));
        write_tensors(tensors, facts.collect(), &path).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn equal_tensors_and_facts_give_equal_bytes_that_the_crate_reads() {
        let bytes = written(0);
        assert!(bytes == written(1) && bytes == written(2));
        let file = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.len(), 3);
        assert_eq!(file.tensor("a.x").unwrap().data(), [7; 8]);
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["fact 3"], "3");
    }
}
