//! Files among pictures that are none: counted and named, so that nobody has to wonder about them.

use std::collections::BTreeMap;
use std::path::Path;

/// How many files of a kind are named.
const NAMED: usize = 3;

/// Files that are no pictures, by the ending of their names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beside(BTreeMap<String, Vec<String>>);

impl Beside {
    /// Takes note of the file called `name`.
    pub fn add(&mut self, name: &str) {
        let ending = Path::new(name).extension().map(|it| it.to_string_lossy().to_lowercase());
        self.0.entry(ending.unwrap_or_default()).or_default().push(name.to_owned());
    }

    /// A sentence for each kind of file, without a full stop.
    pub fn lines(&self) -> Vec<String> {
        let line = |(ending, names): (&String, &Vec<String>)| {
            let mut names = names.clone();
            names.sort();
            let what = match (names.len(), ending.as_str()) {
                (1, _) => return format!("{}: it is no picture", names[0]),
                (n, "") => format!("{n} files without an ending are no pictures"),
                (n, ending) => format!("{n} files ending in `.{ending}` are no pictures"),
            };
            let more = if names.len() > NAMED { ", …" } else { "" };
            names.truncate(NAMED);
            format!("{what}: {}{more}", names.join(", "))
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_by_their_ending_and_named() {
        let mut beside = Beside::default();
        for name in ["b/x.txt", "a/notes", "b/w.TXT", "b/z.txt", "b/y.txt", "a/list.csv"] {
            beside.add(name);
        }
        let expected = [
            "a/notes: it is no picture",
            "a/list.csv: it is no picture",
            "4 files ending in `.txt` are no pictures: b/w.TXT, b/x.txt, b/y.txt, …",
        ];
        assert_eq!(beside.lines(), expected);
    }
}
