//! What a file is that is no weight file of ours: told by its content, refused by its name.
//!
//! Whoever downloads weights gets a page of a web site instead, or the weights of another library. The
//! message says which, and what to do now.

use std::path::Path;

use crate::error::Error;
use crate::model::weights::pytorch::Archive;

/// Why a file is not read, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    message: String,
    help: String,
}

impl Refusal {
    pub(super) fn new(message: &str, help: &str) -> Self {
        Self { message: message.into(), help: help.into() }
    }

    /// The error about the file at `path`.
    pub(super) fn of(self, path: &Path) -> Error {
        let Self { message, help } = self;
        Error::Weights { path: path.to_owned(), message, help }
    }
}

/// A file that should be one of ours, and is damaged or not as it should be.
impl From<String> for Refusal {
    fn from(message: String) -> Self {
        Self { message, help: SAVE_ANEW.into() }
    }
}

impl From<&str> for Refusal {
    fn from(message: &str) -> Self {
        Self::new(message, SAVE_ANEW)
    }
}

const SAVE_ANEW: &str = "download it again, or save it anew: safetensors, or in PyTorch \
                         `torch.save(network.state_dict(), path)`";
const DOWNLOAD: &str = "download the file itself, and look at its size: weights are megabytes";
const UNPACK: &str = "unpack it, and name the weight file in it";
const TENSORFLOW: &str = "TensorFlow's weights are not read: build torchvision's network of the same name in \
                          PyTorch, copy the arrays into it, and save `network.state_dict()` with `torch.save`";
const ONNX: &str = "ONNX networks are not read: save the `state_dict()` of the network that it was exported from \
                    with `torch.save`";
const SCRIPT: &str = "in PyTorch, load it with `torch.jit.load(path)`, and save its `state_dict()` with \
                      `torch.save`";
const EXPORTED: &str = "in PyTorch, load it with `torch.export.load(path)`, and save its `state_dict` with \
                        `torch.save`";
const POINTER: &str = "get the file that it stands for: `git lfs pull`";
const PICKLED: &str = "save it with `torch.save` or as safetensors: tensors by torchvision's names";
const ARRAYS: &str =
    "save them as safetensors (`safetensors.numpy.save_file`) under torchvision's names";

/// What the index of a TensorFlow checkpoint ends with, as every table of LevelDB does.
const LEVELDB: &[u8] = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb";

/// How much of a text is looked at.
const LOOKED_AT: usize = 4096;

/// What a file is that holds `bytes`, if it is known and none of ours. `path` decides only where its content
/// says nothing.
pub(super) fn recognize(bytes: &[u8], path: &Path) -> Option<Refusal> {
    if bytes.is_empty() {
        return Some(Refusal::new("it is empty", DOWNLOAD));
    }
    binary(bytes).or_else(|| text(&bytes[..bytes.len().min(LOOKED_AT)])).or_else(|| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let part = name.contains(".data-0") && name.contains("-of-0");
        part.then(|| Refusal::new("it looks like a part of a TensorFlow checkpoint", TENSORFLOW))
    })
}

fn binary(bytes: &[u8]) -> Option<Refusal> {
    let at =
        |place: usize, magic: &[u8]| bytes.get(place..).is_some_and(|it| it.starts_with(magic));
    let refuse = |message, help| Some(Refusal::new(message, help));
    if bytes.ends_with(LEVELDB) {
        return refuse("it is the index of a TensorFlow checkpoint", TENSORFLOW);
    }
    if at(4, b"TFL3") {
        return refuse("it is a TensorFlow Lite model", TENSORFLOW);
    }
    if at(0, b"GGUF") {
        return refuse("it is a GGUF file", SAVE_ANEW);
    }
    if at(0, b"\x93NUMPY") {
        return refuse("it is an array of NumPy (`.npy`)", ARRAYS);
    }
    let packed =
        [&b"\x1f\x8b"[..], b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"Rar!"];
    if packed.iter().any(|it| at(0, it)) || at(257, b"ustar") {
        return refuse("it is a packed archive", UNPACK);
    }
    // Messages of Protocol Buffers: the first field is a version. That of SavedModels is 1 for ever, that of ONNX
    // has been above it since there were others to read it.
    match bytes {
        [0x08, 0x01, 0x12, ..] => refuse("it is a TensorFlow SavedModel", TENSORFLOW),
        [0x08, 2..=0x20, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => {
            refuse("it is an ONNX network", ONNX)
        }
        [0x80, 2..=5, ..] => {
            refuse("it is a pickle of Python, but none that `torch.save` wrote", PICKLED)
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Option<Refusal> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let refuse = |message, help| Some(Refusal::new(message, help));
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with));
    if begins("version https://git-lfs") || begins("version https://hawser") {
        return refuse("it is a pointer of Git LFS, not the file itself", POINTER);
    }
    if begins("<!doctype html") || begins("<html") || begins("<head") || begins("<!--") {
        return refuse("it is a page of a web site (HTML), saved instead of the file", DOWNLOAD);
    }
    if begins("<?xml") {
        return refuse("it is an XML text, as servers answer with instead of a file", DOWNLOAD);
    }
    if begins("model_checkpoint_path:") {
        return refuse("it is the list of a folder's TensorFlow checkpoints", TENSORFLOW);
    }
    if begins("{") || begins("[") {
        let list = text.contains("\"weight_map\"");
        return if list {
            refuse("it is the list of a model in several files, not weights", ONE_FILE)
        } else {
            refuse("it is a JSON text, not weights", DOWNLOAD)
        };
    }
    // A weight file begins with numbers, in which some byte is no letter.
    let plain = |it: char| !it.is_control() || it.is_whitespace();
    (text.len() >= 16
        && text.chars().take(256).all(|it| plain(it) && it != char::REPLACEMENT_CHARACTER))
    .then(|| Refusal::new("it is a text, not weights", DOWNLOAD))
}

const ONE_FILE: &str = "save the model as one file: in PyTorch, \
                        `torch.save(network.state_dict(), path)`";

/// What a zip archive is that `torch.save` did not write.
pub(super) fn recognize_archive(archive: &Archive) -> Refusal {
    let has = |test: &dyn Fn(&str) -> bool| {
        archive.file_names().any(|it| it.is_ok_and(|name| test(&name)))
    };
    let ends = |ends: &'static [&'static str]| {
        has(&|it: &str| ends.iter().any(|end| it.to_ascii_lowercase().ends_with(end)))
    };
    if ends(&["/archive_format", "serialized_exported_program.json"]) {
        return Refusal::new("it is a program that `torch.export` wrote", EXPORTED);
    }
    if ends(&["saved_model.pb"]) {
        return Refusal::new("it is a zip archive with a TensorFlow SavedModel in it", TENSORFLOW);
    }
    if ends(&[".npy"]) {
        return Refusal::new("it is an archive of NumPy (`.npz`)", ARRAYS);
    }
    if ends(&[".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".h5", ".keras"]) {
        return Refusal::new("it is a zip archive with a weight file in it", UNPACK);
    }
    "it is a zip archive, but none that `torch.save` wrote".into()
}

/// A TorchScript program, which holds code beside its tensors.
pub(super) fn script() -> Refusal {
    Refusal::new("it is a TorchScript program, not the weights of one", SCRIPT)
}

/// Something that was saved whole, as an object of the class `class`, instead of its tensors.
pub(super) fn whole_object(class: &str) -> Refusal {
    let message = format!(
        "what it holds is no dictionary of tensors but one `{class}`; nothing of it was carried out"
    );
    Refusal {
        message,
        help: "in PyTorch, load it where its class is known, and save its tensors: \
               `torch.save(network.state_dict(), path)`"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], says: &str) {
        let refusal = recognize(bytes, Path::new("w.pth")).expect("it is known");
        assert!(refusal.message.contains(says), "{refusal:?}");
        assert!(refusal.help.len() > 20, "{refusal:?}");
    }

    #[test]
    fn files_of_others_are_called_by_their_name() {
        check(b"", "empty");
        check(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n", "Git LFS");
        check(b"\n <!DOCTYPE html><html><head>", "HTML");
        check(b"\xef\xbb\xbf<HTML>", "HTML");
        check(b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML");
        check(b"{\"error\": \"gated\"}", "JSON");
        check(b"{\"weight_map\": {}}", "several files");
        check(b"Entry not found, sorry", "a text");
        check(b"\x08\x0a\x12\x07pytorch\x1a\x052.1.0", "ONNX");
        check(b"\x08\x01\x12\x80\x02\x0a", "SavedModel");
        check(b"model_checkpoint_path: \"ckpt-1\"\n", "TensorFlow");
        check(&[&b"\0\0\x01"[..], LEVELDB].concat(), "index of a TensorFlow");
        check(b"\x1c\0\0\0TFL3\x14\0", "Lite");
        check(b"\x80\x04\x95\x10\0\0\0\0\0\0\0", "pickle");
        check(b"\x1f\x8b\x08\0", "packed");
        check(b"\x93NUMPY\x01\0", "NumPy");
    }

    #[test]
    fn a_name_counts_only_where_the_content_says_nothing() {
        let part = Path::new("variables.data-00000-of-00001");
        let refusal = recognize(&[0, 0, 128, 63, 1, 2], part).unwrap();
        assert!(refusal.message.contains("TensorFlow"), "{refusal:?}");
        assert!(recognize(b"{}", part).unwrap().message.contains("JSON"));
        assert_eq!(recognize(&[0, 0, 128, 63, 1, 2], Path::new("w.pth")), None);
        // The length of a header, then the header.
        let ours = [&64_u64.to_le_bytes()[..], b"{\"a\":{}}"].concat();
        assert_eq!(recognize(&ours, Path::new("w.safetensors")), None);
    }
}
