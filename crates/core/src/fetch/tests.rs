//! Downloads from a server on this machine that answers well, badly, and not at all.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::download::TRIES;
use super::*;

/// How the server answers one request.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// What is asked for.
    Well,
    /// Everything, whatever range is asked for.
    Whole,
    /// As `Well`, but the connection ends after so many bytes.
    Break(usize),
    /// As `Well`, but of a file that has other bytes.
    Other,
    /// As `Whole` without saying how long it is, and then so many bytes more.
    Endless(usize),
    /// A file of so many bytes, which never come.
    Long(usize),
    /// Another part than was asked for.
    Elsewhere,
    /// A status without a body.
    Status(&'static str),
}

/// A server that gives its answers in order, the last one for ever, and remembers what it was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(content: &[u8], answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (content, answers) = (content.to_vec(), answers.to_vec());
        let heard = Arc::clone(&asked);
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().enumerate() {
                let answer = answers[count.min(answers.len() - 1)];
                // A client that went away has no need of an answer.
                let _ = respond(&mut stream.unwrap(), answer, &content, &heard);
            }
        });
        Self { address, asked }
    }

    /// The ranges that were asked for; empty for the whole.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn respond(
    stream: &mut TcpStream,
    answer: Answer,
    content: &[u8],
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(&*stream).lines() {
        let line = line?.to_lowercase();
        if let Some(said) = line.strip_prefix("range: ") {
            said.clone_into(&mut range);
        }
        if line.is_empty() {
            break;
        }
    }
    asked.lock().unwrap().push(range.clone());
    let from = range.strip_prefix("bytes=").and_then(|it| it.strip_suffix('-'));
    let from = from.map(|it| it.parse::<usize>().unwrap());
    let whole = matches!(answer, Answer::Whole | Answer::Endless(_) | Answer::Long(_));
    let from = if whole { None } else { from };
    let other: Vec<u8> = content.iter().map(|it| !it).collect();
    let content = if matches!(answer, Answer::Other) { &other } else { content };
    let end = "connection: close\r\n\r\n";
    let (head, body) = match (answer, from) {
        (Answer::Status(status), _) => (format!("{status}\r\ncontent-length: 0\r\n"), &[][..]),
        (Answer::Endless(_), _) => ("200 OK\r\n".into(), content),
        (Answer::Long(bytes), _) => (format!("200 OK\r\ncontent-length: {bytes}\r\n"), &[][..]),
        (Answer::Elsewhere, Some(_)) => (
            "206 Partial Content\r\ncontent-range: bytes 7-8/9\r\ncontent-length: 2\r\n".into(),
            &content[7..9],
        ),
        (_, Some(from)) if from >= content.len() => {
            ("416 Range Not Satisfiable\r\ncontent-length: 0\r\n".into(), &[][..])
        }
        (_, Some(from)) => {
            let (last, all) = (content.len() - 1, content.len());
            let range = format!("content-range: bytes {from}-{last}/{all}");
            (
                format!("206 Partial Content\r\n{range}\r\ncontent-length: {}\r\n", all - from),
                &content[from..],
            )
        }
        (_, None) => (format!("200 OK\r\ncontent-length: {}\r\n", content.len()), content),
    };
    write!(stream, "HTTP/1.1 {head}{end}")?;
    let body =
        if let Answer::Break(after) = answer { &body[..after.min(body.len())] } else { body };
    stream.write_all(body)?;
    let more = if let Answer::Endless(more) = answer { more } else { 0 };
    // The client goes away before all of it is sent.
    (0..more / 4096).try_for_each(|_| stream.write_all(&[7; 4096]))
}

/// A megabyte that is no repetition.
fn content() -> Vec<u8> {
    (0..1_u32 << 18).flat_map(|it| it.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect()
}

/// A cache that asks `server` for everything.
fn cache(server: &Server) -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let mirror = Some(server.address.clone());
    let cache = Cache { folder: folder.path().join("weights"), mirror, proxy: None };
    (folder, cache)
}

const URL: &str = "https://example.invalid/models/net-0123.pth";

/// A megabyte with this digest.
fn remote(sha256: &str) -> Remote<'_> {
    Remote { url: URL, checksum: Checksum::Sha256(sha256), bytes: 1 << 20 }
}

fn fetch(cache: &Cache, sha256: &str) -> Result<PathBuf> {
    cache.fetch(remote(sha256), &mut |_| {}, &|| false)
}

/// Names of the files in the cache.
fn files(cache: &Cache) -> Vec<String> {
    let entries = cache.folder.read_dir().unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|it| it.into_string().unwrap()).collect();
    names.sort();
    names
}

/// Checks that a fetch from a server with these answers ends well, and which ranges it asked for.
#[track_caller]
fn check_fetched(answers: &[Answer], asked: &[&str]) {
    let content = content();
    let server = Server::new(&content, answers);
    let (_folder, cache) = cache(&server);
    let digest = sha256(&content);
    let path = fetch(&cache, &digest[..9]).unwrap();
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(server.asked(), asked);
    assert_eq!(files(&cache), ["net-0123.pth", "net-0123.pth.sha256"]);
    assert_eq!(known_digest(&path, "sha256"), Some(digest.clone()));
    assert_eq!(fetch(&cache, &digest).unwrap(), path);
    assert_eq!(server.asked().len(), asked.len(), "what is there is not asked for again");
}

#[test]
fn a_file_comes_whole_once() {
    check_fetched(&[Answer::Well], &[""]);
}

#[test]
fn a_broken_download_goes_on_where_it_broke_off() {
    check_fetched(&[Answer::Break(300_000), Answer::Well], &["", "bytes=300000-"]);
    let asked = ["", "bytes=1000-", "bytes=2000-", "bytes=3000-", "bytes=4000-"];
    let broken = [Answer::Break(1000); 4];
    check_fetched(&[&broken[..], &[Answer::Well]].concat(), &asked);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    check_fetched(&[Answer::Break(300_000), Answer::Whole], &["", "bytes=300000-"]);
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    check_fetched(&[Answer::Status("503 Service Unavailable"), Answer::Well], &["", ""]);
}

#[test]
fn a_download_that_was_complete_but_not_yet_verified_is_taken() {
    let content = content();
    let server = Server::new(&content, &[Answer::Well]);
    let (_folder, cache) = cache(&server);
    std::fs::create_dir_all(&cache.folder).unwrap();
    std::fs::write(cache.folder.join("net-0123.pth.part"), &content).unwrap();
    fetch(&cache, &sha256(&content)).unwrap();
    assert_eq!(server.asked(), ["bytes=1048576-"]);
}

/// Checks what is said when nothing comes, and what stays in the cache.
#[track_caller]
fn check_failure(server: &Server, says: &str, kept: &[&str]) {
    let (_folder, cache) = cache(server);
    let error = fetch(&cache, "0123").unwrap_err();
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(error.exit_code(), 7);
    let help = miette::Diagnostic::help(&error).unwrap().to_string();
    let path = cache.folder.join("net-0123.pth").display().to_string();
    assert!([&*path, URL, "0123"].iter().all(|it| help.contains(it)), "{help}");
    let mut left = files(&cache);
    left.retain(|it| it != "net-0123.pth.lock");
    assert_eq!(left, kept);
}

#[test]
fn what_has_another_digest_is_thrown_away() {
    let server = Server::new(b"something else", &[Answer::Well]);
    check_failure(&server, "but it should be 0123; it was thrown away", &[]);
}

#[test]
fn a_file_that_is_not_there_is_not_asked_for_twice() {
    let server = Server::new(b"", &[Answer::Status("404 Not Found")]);
    check_failure(&server, "the server says 404 Not Found", &[]);
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn what_came_before_a_server_gave_up_is_kept() {
    let answers = [Answer::Break(1000), Answer::Break(0)];
    let server = Server::new(&content(), &answers);
    check_failure(&server, "the connection", &["net-0123.pth.part"]);
    assert_eq!(server.asked().len(), 1 + TRIES as usize - 1);
}

#[test]
fn a_server_that_is_not_there_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    check_failure(&Server { address, asked: Arc::default() }, "refused", &[]);
}

#[test]
fn an_interrupted_download_keeps_what_came() {
    let content = content();
    let server = Server::new(&content, &[Answer::Well]);
    let (_folder, cache) = cache(&server);
    let digest = sha256(&content);
    let remote = remote(&digest);
    let mut said = Vec::new();
    let error = cache.fetch(remote, &mut |it| said.push(it), &|| true).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert!(said[0].done > 0 && said[0].of == Some(1 << 20), "{said:?}");
    assert!(length(&cache.folder.join("net-0123.pth.part")) > 0);
    fetch(&cache, &digest).unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_server_that_sends_more_than_the_file_has_is_cut_off() {
    // Ten times as much as is taken: were it all read, the sockets would not hold it.
    let server = Server::new(&content(), &[Answer::Endless(25 << 20)]);
    check_failure(&server, "sends more than 2228224 bytes, and the file has about 1048576", &[]);
    assert_eq!(server.asked().len(), 1);
    let server = Server::new(&content(), &[Answer::Long(1 << 40)]);
    check_failure(&server, "sends more than 2228224 bytes, and the file has about 1048576", &[]);
    assert_eq!(server.asked().len(), 1);
}

/// Checks that a fetch goes on with `there`, gives it up, fetches all and says so.
#[track_caller]
fn check_anew(there: &[u8], answers: &[Answer], asked: &[&str]) {
    let content = content();
    let server = Server::new(&content, answers);
    let (_folder, cache) = cache(&server);
    std::fs::create_dir_all(&cache.folder).unwrap();
    std::fs::write(cache.folder.join("net-0123.pth.part"), there).unwrap();
    let mut said = Vec::new();
    let digest = sha256(&content);
    let path = cache.fetch(remote(&digest), &mut |it| said.push(it.anew), &|| false).unwrap();
    assert!(std::fs::read(path).unwrap() == content);
    assert_eq!(server.asked(), asked);
    assert_eq!(said.last(), Some(&true));
    assert_eq!(files(&cache), ["net-0123.pth", "net-0123.pth.sha256"]);
}

#[test]
fn what_cannot_be_gone_on_with_is_fetched_anew() {
    let content = content();
    let well = [Answer::Well];
    // Of another file: shorter than the whole, as long, longer, and longer than anything that is taken.
    check_anew(&[7; 1000], &well, &["bytes=1000-", ""]);
    check_anew(&vec![7; content.len()], &well, &["bytes=1048576-", ""]);
    check_anew(&[&content[..], &[7]].concat(), &well, &["bytes=1048577-", ""]);
    check_anew(&vec![7; 3 << 20], &well, &[""]);
    let elsewhere = [Answer::Elsewhere, Answer::Well];
    check_anew(&content[..1000], &elsewhere, &["bytes=1000-", ""]);
    // The server has another file in the meantime, or the one it should have again.
    check_anew(&content[..1000], &[Answer::Other, Answer::Well], &["bytes=1000-", ""]);
}

#[test]
fn it_is_fetched_anew_only_once() {
    let server = Server::new(&content(), &[Answer::Break(1000), Answer::Other]);
    check_failure(&server, "but it should be 0123; it was thrown away", &[]);
    assert_eq!(server.asked(), ["", "bytes=1000-", ""]);
}

#[test]
fn two_at_once_download_once() {
    let content = content();
    let server = Server::new(&content, &[Answer::Well]);
    let (_folder, cache) = cache(&server);
    let digest = sha256(&content);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| fetch(&cache, &digest).unwrap());
        }
    });
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_file_put_there_by_hand_is_verified() {
    let server = Server::new(b"", &[Answer::Status("404 Not Found")]);
    let (_folder, cache) = cache(&server);
    std::fs::create_dir_all(&cache.folder).unwrap();
    let path = cache.folder.join("net-0123.pth");
    std::fs::write(&path, b"mine").unwrap();
    fetch(&cache, &sha256(b"mine")).unwrap();
    assert_eq!(known_digest(&path, "sha256"), Some(sha256(b"mine")));
    let error = fetch(&cache, "0123").unwrap_err();
    let says = format!("its sha256 is {}, but should be 0123", sha256(b"mine"));
    assert!(error.to_string().contains(&says), "{error}");
    assert!(path.exists());
}

#[test]
fn a_bit_that_changes_after_a_file_was_verified_is_noticed_whatever_its_time_says() {
    let server = Server::new(b"", &[]);
    let (_folder, cache) = cache(&server);
    std::fs::create_dir_all(&cache.folder).unwrap();
    let path = cache.folder.join("net-0123.pth");
    std::fs::write(&path, b"mine").unwrap();
    let changed = path.metadata().unwrap().modified().unwrap();
    let digest = sha256(b"mine");
    fetch(&cache, &digest).unwrap();
    std::fs::write(&path, b"mind").unwrap();
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(changed).unwrap();
    let error = fetch(&cache, &digest).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// Keras publishes MD5 sums, and no others. This one is that of `printf mine | md5sum`.
#[test]
fn a_file_that_is_published_with_its_md5_is_held_against_that() {
    const MINE: &str = "918b81db5e91d031548b963c93845e5b";
    let server = Server::new(b"mine", &[Answer::Whole, Answer::Whole]);
    let (_folder, cache) = cache(&server);
    let fetch = |md5| {
        let remote = Remote { url: URL, checksum: Checksum::Md5(md5), bytes: 1 << 20 };
        cache.fetch(remote, &mut |_| {}, &|| false)
    };
    let error = fetch("0123").unwrap_err();
    assert!(error.to_string().contains(&format!("has the md5 {MINE}")), "{error}");
    let Error::Download { help, .. } = error else { panic!("{error}") };
    assert!(help.contains("its md5 is 0123"), "{help}");
    fetch(MINE).unwrap();
    assert_eq!(files(&cache), ["net-0123.pth", "net-0123.pth.md5"]);
}
