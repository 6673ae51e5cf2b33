//! Videos that a trained model is asked about, as pictures at equal distances in time. The system's `ffmpeg` decodes them.
//!
//! **Invariant:** of a video no more is held than the picture that is read.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use crate::data::picture::{self, MOST_PIXELS, Picture};
use crate::error::{Error, Result};

/// The program that decodes videos.
const FFMPEG: &str = "ffmpeg";

/// A picture of a video.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// When it is shown, in seconds from the beginning.
    pub seconds: f64,
    /// What is shown then.
    pub picture: Picture,
}

/// The pictures of a video, from its beginning on. Where the video cannot be read, the last item says why.
#[derive(Debug)]
pub struct Frames {
    path: PathBuf,
    every: f64,
    count: u32,
    reader: Option<Reader>,
}

/// A program that decodes.
#[derive(Debug)]
struct Reader {
    child: Child,
    out: BufReader<ChildStdout>,
    /// The last line of what it complains of, once it has ended.
    complaint: JoinHandle<Option<String>>,
}

/// Whether the content of the file at `path` is a video of a kind that is known: MP4 and MOV, Matroska and `WebM`, AVI, Ogg,
/// FLV, MPEG.
pub fn is_video(path: &Path) -> bool {
    let mut start = [0; 12];
    let file = if path.is_file() { File::open(path).ok() } else { None };
    file.is_some_and(|mut it| it.read_exact(&mut start).is_ok()) && is_start_of_video(&start)
}

fn is_start_of_video(start: &[u8; 12]) -> bool {
    // What is no video among files of this family are pictures (AVIF, HEIC) and sounds.
    const OTHERS: [&[u8]; 9] =
        [b"avif", b"avis", b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"M4A "];
    match start {
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => !OTHERS.contains(&&brand[..]),
        [b'R', b'I', b'F', b'F', _, _, _, _, kind @ ..] => kind == b"AVI ",
        [_, _, _, _, b'm', b'o', b'o', b'v', ..]
        | [0x1a, 0x45, 0xdf, 0xa3, ..]
        | [b'O', b'g', b'g', b'S', ..]
        | [b'F', b'L', b'V', 1, ..]
        | [0, 0, 1, 0xba | 0xb3, ..] => true,
        _ => false,
    }
}

impl Frames {
    /// The pictures that the video at `path` shows at 0, `every`, 2 `every` … seconds.
    ///
    /// # Errors
    /// [`Error::Usage`] if `ffmpeg` is not there; [`Error::File`] if it cannot be started.
    pub fn open(path: &Path, every: f64) -> Result<Self> {
        // The name may look like an option or an address; and what shows at a moment began at or before it.
        let mut input = OsString::from("file:");
        input.push(path);
        let filter = format!("fps=fps=1/{every}:start_time=0:round=up");
        let mut command = Command::new(FFMPEG);
        command.args(["-nostdin", "-v", "error", "-protocol_whitelist", "file", "-i"]).arg(input);
        command.args(["-map", "0:v:0", "-vf", &filter, "-f", "image2pipe", "-c:v", "ppm", "-"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::Usage {
                message: format!("`{}` is a video, and `{FFMPEG}` is missing", path.display()),
                help: "install it (`sudo apt-get install ffmpeg`), or ask about pictures".into(),
            },
            _ => Error::file("cannot start", FFMPEG)(error),
        })?;
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let complaints = child.stderr.take().expect("it is piped");
        let complaint = std::thread::spawn(|| last_line(complaints));
        let reader = Some(Reader { child, out, complaint });
        Ok(Self { path: path.to_owned(), every, count: 0, reader })
    }

    fn refused(&self, message: String) -> Error {
        let help =
            "see whether a player shows all of it; `ffmpeg -i FILE OUT.mp4` may mend it".into();
        Error::Data { path: self.path.clone(), place: String::new(), message, help }
    }
}

impl Iterator for Frames {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = self.reader.take()?;
        let message = match read(&mut reader.out) {
            Ok(Some(picture)) => {
                let seconds = f64::from(self.count) * self.every;
                self.count += 1;
                self.reader = Some(reader);
                return Some(Ok(Frame { seconds, picture }));
            }
            Ok(None) => reader.end(),
            Err(message) => {
                reader.stop();
                Some(message)
            }
        };
        let message = message.or((self.count == 0).then(|| "it shows nothing".to_owned()));
        message.map(|it| Err(self.refused(it)))
    }
}

impl Reader {
    /// Waits for its end, and says what it complains of.
    fn end(mut self) -> Option<String> {
        let status = self.child.wait();
        // It has closed what is listened to.
        let complaint = self.complaint.join().ok().flatten();
        let failed = status
            .map_or_else(|it| Some(it.to_string()), |it| (!it.success()).then(|| it.to_string()));
        complaint.or(failed).map(|it| format!("{FFMPEG} says: {it}"))
    }

    /// Ends it, since nobody wants the rest.
    fn stop(mut self) {
        // A program that has ended by itself cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.stop();
        }
    }
}

fn last_line(stream: ChildStderr) -> Option<String> {
    let lines = BufReader::new(stream).lines().map_while(std::result::Result::ok);
    lines.filter(|it| !it.trim().is_empty()).last()
}

/// The next picture of a stream of PPM files; none at its end.
fn read(stream: &mut impl BufRead) -> std::result::Result<Option<Picture>, String> {
    let cannot = |it: std::io::Error| format!("its pictures cannot be read: {it}");
    let mut bytes = Vec::new();
    for _ in 0..3 {
        stream.by_ref().take(64).read_until(b'\n', &mut bytes).map_err(cannot)?;
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let numbers: Vec<u64> = head.split_whitespace().skip(1).flat_map(str::parse).collect();
    let [width, height, 255] = numbers[..] else {
        return Err("its pictures cannot be read: they have no head".into());
    };
    let pixels = width.saturating_mul(height);
    if pixels > MOST_PIXELS {
        return Err(format!("it is {width}x{height} pixels, and so many are not read"));
    }
    stream.take(3 * pixels).read_to_end(&mut bytes).map_err(cannot)?;
    picture::decode(&bytes).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_pictures_is_read_to_its_end_and_not_beyond() {
        let mut stream =
            &b"P6\n2 1\n255\n\x01\x01\x01\x02\x02\x02P6\n1 2\n255\n\x03\x04\x05\x06\x07\x08"[..];
        let first = read(&mut stream).unwrap().unwrap();
        assert_eq!((first.shape, &first.pixels[..]), ([1, 2, 1], &[1, 2][..]));
        let second = read(&mut stream).unwrap().unwrap();
        assert_eq!((second.shape, &second.pixels[..]), ([2, 1, 3], &[3, 4, 5, 6, 7, 8][..]));
        assert_eq!(read(&mut stream), Ok(None));
        for broken in [
            "P6\n2 1\n255\n12345",
            "P6\n2 1\n",
            "P6\n99999999 99999999\n255\n",
            "no\nhead\nat all\n",
        ] {
            assert!(read(&mut broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_video_is_known_by_its_content() {
        let videos: [&[u8; 12]; 6] = [
            b"\0\0\0\x20ftypisom",
            b"\0\0\0\x14ftypqt  ",
            b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81",
            b"RIFF\0\0\0\0AVI ",
            b"OggS\0\x02\0\0\0\0\0\0",
            b"\0\0\x01\xba\x44\0\x04\0\x04\x01\0\0",
        ];
        assert!(videos.iter().all(|it| is_start_of_video(it)));
        let others: [&[u8; 12]; 5] = [
            b"\0\0\0\x1cftypheic",
            b"\0\0\0\x1cftypavif",
            b"RIFF\0\0\0\0WEBP",
            b"\x89PNG\r\n\x1a\n\0\0\0\r",
            b"path,label\n1",
        ];
        assert!(!others.iter().any(|it| is_start_of_video(it)));
    }
}
