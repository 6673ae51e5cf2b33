//! `ferrite serve`: it says what `ferrite predict` says, to many at once, within its bounds, and ends in order.

use std::io::{Cursor, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use ferrite_core::store::record::Record;
use ferrite_testing::{Place, SMALL, Started};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

/// The folder that the tests which run now share.
static SHARED: Mutex<Weak<Place>> = Mutex::new(Weak::new());

/// A folder with the runs of two small networks, drawn faces, and the detector's file where it would have been downloaded to. It is
/// removed once no test uses it any more.
fn place() -> Arc<Place> {
    let mut shared = SHARED.lock().unwrap();
    if let Some(place) = shared.upgrade() {
        return place;
    }
    let other = SMALL.replace("image_size = 32", "image_size = 40");
    let place = Arc::new(Place::with(&[("small", SMALL), ("other", &other)]));
    let detector = PathBuf::from(std::env::var_os("FERRITE_DETECTOR").expect("cargo sets it"));
    let detector = std::fs::read(&detector).expect("`make detector` puts it there");
    place.write("cache/weights/face_detection_yunet_2023mar.onnx", detector);
    place.sweep_well();
    place.ferrite(&["data", "draw", "faces", "--each", "2", "--size", "160"]).ends_with(0);
    *shared = Arc::downgrade(&place);
    place
}

/// A server that runs.
struct Server {
    place: Arc<Place>,
    started: Started,
    url: String,
    agent: Agent,
}

/// What it answered: status, seconds after which to ask again, body.
#[derive(Debug, Clone, PartialEq)]
struct Answer {
    status: u16,
    retry_after: Option<u64>,
    body: String,
}

impl Answer {
    fn of(mut response: Response<ureq::Body>) -> Self {
        let retry = response.headers().get("retry-after");
        let retry_after = retry.map(|it| it.to_str().unwrap().parse().unwrap());
        let status = response.status().as_u16();
        Self { status, retry_after, body: response.body_mut().read_to_string().unwrap() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|it| panic!("{it}: {}", self.body))
    }

    /// Fails unless it is a refusal of this status in these words, with what to do.
    #[track_caller]
    fn refuses(&self, status: u16, words: &str) {
        let error = &self.json()["error"];
        assert_eq!((self.status, &error["status"]), (status, &status.into()), "{self:?}");
        assert!(error["message"].as_str().unwrap().contains(words), "`{words}` is not in {self:?}");
        assert!(!error["help"].as_str().unwrap().is_empty(), "{self:?}");
    }
}

impl Server {
    /// Starts it at a free port, and waits until it listens.
    fn start(arguments: &[&str]) -> Self {
        let all = ["serve", "small", "--port", "0", "--device", "cpu"];
        let place = place();
        let started = place.start(&[&all[..], arguments].concat());
        let since = Instant::now();
        let url = loop {
            let said = started.printed();
            if let Some(url) = said.lines().next().filter(|_| said.ends_with('\n')) {
                break url.to_owned();
            }
            assert!(since.elapsed() < Duration::from_mins(2), "{}", started.said());
            std::thread::sleep(Duration::from_millis(20));
        };
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).build();
        Self { place, started, url, agent: config.into() }
    }

    /// The bytes of a file in its folder.
    fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.place.path(path)).unwrap()
    }

    fn get(&self, path: &str) -> Answer {
        Answer::of(self.agent.get(format!("{}{path}", self.url)).call().unwrap())
    }

    /// Asks about the bytes of a picture.
    fn ask(&self, picture: &[u8]) -> Answer {
        self.send("image/png", picture)
    }

    fn send(&self, kind: &str, body: &[u8]) -> Answer {
        let request = self.agent.post(format!("{}predict", self.url)).content_type(kind);
        Answer::of(request.send(body).unwrap())
    }

    /// A connection without anything that has been sent.
    fn connection(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        TcpStream::connect(address).unwrap()
    }

    /// The most memory that it has had so far, in bytes.
    fn most_memory(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.started.id())).unwrap();
        let line = text.lines().find_map(|it| it.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Waits until `/health` says so.
    #[track_caller]
    fn wait_until(&self, wanted: impl Fn(&Value) -> bool) {
        let since = Instant::now();
        while !wanted(&self.get("health").json()) {
            assert!(since.elapsed() < Duration::from_mins(2), "{}", self.get("health").body);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it by Ctrl-C, and holds what it says at the end against what it should.
    #[track_caller]
    fn end(self, said: &str) {
        self.started.signal("INT");
        self.started.end().ends_with(0).says(said);
    }
}

/// The bytes of a picture's file.
fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A small file of a picture that takes a while to be decoded.
fn large(side: u32) -> Vec<u8> {
    file(GrayImage::from_pixel(side, side, image::Luma([90])), ImageFormat::Png)
}

fn form(name: &str, picture: &[u8]) -> Vec<u8> {
    let head = format!(
        "--bound\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.png\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    [head.as_bytes(), picture, b"\r\n--bound--\r\n"].concat()
}

const FORM: &str = "multipart/form-data; boundary=bound";

/// The line that `ferrite predict --json` prints about a picture alone, without its path.
fn predicted(place: &Place, path: &str, arguments: &[&str]) -> String {
    let all = ["predict", "small", path, "--json", "--device", "cpu"];
    let told = place.ferrite(&[&all[..], arguments].concat());
    told.ends_with(0);
    let (line, named) = told.out.rsplit_once(",\"path\":").unwrap();
    assert_eq!(named, format!("\"{path}\"}}\n"));
    format!("{line}}}\n")
}

#[test]
fn it_says_what_predict_says_to_the_last_digit() {
    let place = place();
    let colour = RgbImage::from_fn(70, 50, |x, y| image::Rgb([(3 * x) as u8, (5 * y) as u8, 40]));
    place.write("colour.jpg", file(colour.clone(), ImageFormat::Jpeg));
    place.write("colour.webp", file(colour.clone(), ImageFormat::WebP));
    place.write("none.png", file(GrayImage::new(64, 64), ImageFormat::Png));
    for arguments in [&[][..], &["--find-faces"]] {
        let server = Server::start(arguments);
        let paths =
            ["faces/happy/000.png", "faces/sad/001.png", "colour.jpg", "colour.webp", "none.png"];
        for path in paths {
            let picture = server.file(path);
            let expected = predicted(&place, path, arguments);
            for told in [server.ask(&picture), server.send(FORM, &form("file", &picture))] {
                assert_eq!((told.status, told.body), (200, expected.clone()), "{path}");
            }
        }
        let model = server.get("model").json();
        let run = place.run("small");
        assert_eq!(model["run"], run.name());
        assert_eq!(model["runs"][0]["run"], run.name());
        assert_eq!(model["key"], run.facts.start.unwrap().key);
        assert_eq!(model["judged"]["accuracy"], run.facts.evaluation.unwrap().scores.accuracy);
        assert_eq!(model["classes"].as_array().unwrap().len(), 7);
        assert_eq!((&model["image_size"], &model["weights"]), (&32.into(), &"final".into()));
        assert_eq!(model["finds_faces"], !arguments.is_empty());
        server.end("answered 10, refused 0");
    }
}

#[test]
fn several_runs_say_together_what_they_say_together_in_predict() {
    let place = place();
    let arguments = ["--with", "other", "--find-faces"];
    let server = Server::start(&arguments);
    let path = "faces/happy/000.png";
    let told = server.ask(&server.file(path));
    assert_eq!((told.status, &told.body), (200, &predicted(&place, path, &arguments)));
    let face = &told.json()["faces"][0];
    assert!(face["agree"].is_number() && face["runs"].as_array().unwrap().len() == 2, "{face}");
    let model = server.get("model").json();
    let runs = [place.run("small"), place.run("other")];
    let named: Vec<String> = runs.iter().map(Record::name).collect();
    for (told, run) in model["runs"].as_array().unwrap().iter().zip(runs) {
        assert_eq!(told["run"], run.name());
        assert_eq!(told["key"], run.facts.start.unwrap().key);
        assert_eq!(told["judged"]["accuracy"], run.facts.evaluation.unwrap().scores.accuracy);
    }
    assert_eq!(
        (&model["runs"][0]["image_size"], &model["runs"][1]["image_size"]),
        (&32.into(), &40.into())
    );
    // What is of one run is not said of several.
    assert!(model["run"].is_null() && model["image_size"].is_null(), "{model}");
    assert_eq!(
        (model["classes"].as_array().unwrap().len(), &model["finds_faces"]),
        (7, &true.into())
    );
    server.end(&format!("asks `{}`, `{}`", named[0], named[1]));
}

#[test]
fn two_hundred_who_ask_at_once_are_all_answered_as_if_each_had_asked_alone() {
    let server = Server::start(&[]);
    let paths: Vec<String> =
        ["happy", "sad", "angry", "fear"].iter().map(|it| format!("faces/{it}/000.png")).collect();
    let pictures: Vec<Vec<u8>> = paths.iter().map(|it| server.file(it)).collect();
    let alone: Vec<Answer> = pictures.iter().map(|it| server.ask(it)).collect();
    let answers: Vec<(usize, Answer)> = std::thread::scope(|scope| {
        let ask = |it: usize| (it, server.ask(&pictures[it]));
        let threads: Vec<_> = (0..200).map(|it| scope.spawn(move || ask(it % 4))).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (at, answer) in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
        let (told, expected) = (answer.json(), alone[at].json());
        assert_eq!(told["prediction"], expected["prediction"]);
        for (class, share) in expected["probabilities"].as_object().unwrap() {
            // LibTorch sums up in another order where more pictures go through the network at once.
            let apart = told["probabilities"][class].as_f64().unwrap() - share.as_f64().unwrap();
            assert!(apart.abs() < 1e-5, "{class}: {apart}");
        }
    }
    server.end("answered 204, refused 0");
}

#[test]
fn with_a_batch_of_one_no_digit_depends_on_who_else_asks() {
    let server = Server::start(&["--batch", "1"]);
    let picture = server.file("faces/happy/000.png");
    let expected = predicted(&server.place, "faces/happy/000.png", &[]);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24).map(|_| scope.spawn(|| server.ask(&picture))).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap().body, expected);
        }
    });
    server.end("answered 24, refused 0");
}

#[test]
fn what_cannot_be_answered_is_refused_with_what_to_do() {
    let server = Server::start(&["--largest", "1", "--most-pixels", "2"]);
    let picture = server.file("faces/happy/000.png");
    server.send("text/html", &picture).refuses(415, "the request brings `text/html`");
    server.ask(b"<html>").refuses(415, "it is no picture");
    server.ask(b"\0\0\0\x1cftypheic and more").refuses(415, "its format is HEIC");
    server.ask(&picture[..picture.len() / 2]).refuses(422, "it is not whole");
    server.ask(b"").refuses(400, "there is no picture in the request");
    server.send(FORM, &form("file", b"")).refuses(400, "there is no picture in the request");
    server.send(FORM, &form("picture", &picture)).refuses(400, "a field `picture`");
    server.send(FORM, &form("file", &picture)[..200]).refuses(400, "the form cannot be read");
    server.send("multipart/form-data", &picture).refuses(400, "the form cannot be read");
    // More than is taken, by its length, in pieces, and in a form.
    let more = vec![0; (1 << 20) + 1];
    server.ask(&more).refuses(413, "more than 1 MiB");
    server.send(FORM, &form("file", &more)).refuses(413, "more than 1 MiB");
    let pieces = ureq::SendBody::from_owned_reader(Cursor::new(more.repeat(40)));
    let request = server.agent.post(format!("{}predict", server.url)).content_type("image/png");
    Answer::of(request.send(pieces).unwrap()).refuses(413, "more than 1 MiB");
    server
        .ask(&file(GrayImage::new(2000, 1001), ImageFormat::Png))
        .refuses(413, "2000x1001 pixels, and more than 2 million are not read");
    server.get("predict").refuses(405, "`/predict` does not take this method");
    server.get("elsewhere").refuses(404, "there is nothing at `/elsewhere`");
    let posted = server.agent.post(format!("{}model", server.url)).send(&b"x"[..]).unwrap();
    assert_eq!(posted.headers()["allow"], "GET, HEAD");
    Answer::of(posted).refuses(405, "`/model`");
    for (name, value, words) in [
        ("host", "example.org", "the host `example.org`, which is not this machine"),
        ("origin", "http://example.org", "a page of another origin"),
    ] {
        let request = server.agent.get(format!("{}health", server.url)).header(name, value);
        Answer::of(request.call().unwrap()).refuses(403, words);
    }
    // And what can be is still answered.
    assert_eq!(server.ask(&picture).status, 200);
    server.end("answered 1, refused 18");
}

#[test]
fn pages_of_origins_that_were_named_may_ask_and_read() {
    let page = "http://localhost:5173";
    let server =
        Server::start(&["--allow-origin", page, "--allow-origin", "https://Example.org:443"]);
    let picture = server.file("faces/happy/000.png");
    let header = |answer: &Response<ureq::Body>, name: &str| {
        answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned())
    };
    // What a browser asks before a page may send a picture.
    let leave = |path: &str, origin: &str| {
        let request =
            server.agent.options(format!("{}{path}", server.url)).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "content-type").call().unwrap()
    };
    for origin in [page, "https://example.org"] {
        let answer = leave("predict", origin);
        assert_eq!(answer.status(), 204);
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "POST"),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "600"),
            ("vary", "origin"),
        ] {
            assert_eq!(header(&answer, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
        let methods = header(&leave("model", origin), "access-control-allow-methods");
        assert_eq!(methods.as_deref(), Some("GET, HEAD"));
    }
    let ask = |origin: Option<&str>, body: &[u8]| {
        let request = server.agent.post(format!("{}predict", server.url)).content_type("image/png");
        let request = origin.into_iter().fold(request, |it, origin| it.header("origin", origin));
        request.send(body).unwrap()
    };
    let allowed = |it: &Response<ureq::Body>| header(it, "access-control-allow-origin");
    let answer = ask(Some(page), &picture);
    assert_eq!((answer.status().as_u16(), allowed(&answer).as_deref()), (200, Some(page)));
    assert_eq!(Answer::of(answer).body, predicted(&server.place, "faces/happy/000.png", &[]));
    // A page may read why it is refused, too; a program gets none of this, and other pages nothing.
    let answer = ask(Some(page), b"<html>");
    assert_eq!((answer.status().as_u16(), allowed(&answer).as_deref()), (415, Some(page)));
    let answer = ask(None, &picture);
    assert_eq!((answer.status().as_u16(), allowed(&answer)), (200, None));
    for other in ["http://localhost:5174", "http://example.org", "null"] {
        for answer in [ask(Some(other), &picture), leave("predict", other)] {
            assert_eq!(allowed(&answer), None);
            Answer::of(answer).refuses(403, "a page of another origin");
        }
    }
    Answer::of(leave("elsewhere", page)).refuses(404, "there is nothing at `/elsewhere`");
    for everybody in ["*", "null"] {
        let told = server.place.ferrite(&["serve", "small", "--allow-origin", everybody]);
        told.ends_with(2).says("name each origin");
    }
    server.end("answered 2, refused 8");
}

#[test]
fn a_picture_of_a_hundred_megapixels_is_refused_before_memory_is_asked_for() {
    let server = Server::start(&[]);
    let picture = server.file("faces/happy/000.png");
    assert_eq!(server.ask(&picture).status, 200);
    let huge = file(GrayImage::new(10_000, 10_000), ImageFormat::Png);
    let before = server.most_memory();
    for _ in 0..3 {
        server.ask(&huge).refuses(413, "10000x10000 pixels, and more than 50 million");
    }
    // Its pixels alone are 100 MB.
    let grown = server.most_memory() - before;
    assert!(grown < 20 << 20, "{grown} bytes");
    assert_eq!(server.ask(&picture).status, 200);
    server.end("answered 2, refused 3");
}

#[test]
fn who_sends_slowly_is_cut_off_while_others_are_answered() {
    let server = Server::start(&["--send-timeout", "1"]);
    let picture = server.file("faces/happy/000.png");
    let head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n";
    let sent = |bytes: &str| {
        let mut connection = server.connection();
        connection.write_all(bytes.as_bytes()).unwrap();
        connection
    };
    // Nothing at all, half a head, half a picture; and one that keeps coming, a byte at a time.
    let whole = format!("{head}Content-Length: 100\r\n\r\n");
    let mut slow = [sent(""), sent(head), sent(&format!("{whole}half")), sent(&whole)];
    let since = Instant::now();
    let mut answered = 0;
    while since.elapsed() < Duration::from_millis(2500) {
        assert_eq!(server.ask(&picture).status, 200);
        answered += 1;
        // The last one fails once it is cut off.
        let _ = slow[3].write(b"x");
    }
    let [mut nothing, mut half, mut picture, mut trickle] = slow;
    let said = |it: &mut TcpStream| {
        let mut bytes = Vec::new();
        // Who was cut off while sending may get a reset for an answer.
        let _ = it.read_to_end(&mut bytes);
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!([said(&mut nothing), said(&mut half)], ["", ""]);
    let told = said(&mut picture);
    assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("within 1 s"), "{told}");
    let told = said(&mut trickle);
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 408 "), "{told}");
    server.end(&format!("answered {answered}, refused 2"));
}

#[test]
fn when_the_queue_is_full_who_asks_again_is_answered() {
    let server = Server::start(&["--queue", "1", "--batch", "1"]);
    let picture = large(2500);
    let refused: usize = std::thread::scope(|scope| {
        let ask = || {
            let mut refused = 0;
            loop {
                let answer = server.ask(&picture);
                if answer.status == 200 {
                    return refused;
                }
                answer.refuses(503, "as many pictures wait for the network as may: 1");
                assert_eq!(answer.retry_after, Some(1));
                refused += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert!(refused > 0, "the queue was never full");
    server.end(&format!("answered 12, refused {refused}"));
}

#[test]
fn files_that_wait_have_a_bound_in_bytes_too() {
    let server = Server::start(&["--largest", "1", "--memory", "1"]);
    let half = vec![b'x'; 600 << 10];
    let head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 614401\r\n\r\n";
    let since = Instant::now();
    // Whose bytes come first gets the room, so it is tried until that is who does not finish.
    let (waits, refused) = loop {
        let mut waits = server.connection();
        waits.write_all(head.as_bytes()).unwrap();
        waits.write_all(&half).unwrap();
        let answer = server.ask(&half);
        if answer.status != 415 || since.elapsed() > Duration::from_secs(20) {
            break (waits, answer);
        }
    };
    refused.refuses(503, "take all the memory that they may");
    assert_eq!(refused.retry_after, Some(1));
    drop(waits);
    let picture = server.file("faces/happy/000.png");
    assert_eq!(server.ask(&picture).status, 200);
    server.end("answered 1, refused");
}

#[test]
fn many_large_files_at_once_take_no_more_memory_than_they_may() {
    let server = Server::start(&["--largest", "8", "--memory", "32"]);
    let picture = server.file("faces/happy/000.png");
    assert_eq!(server.ask(&picture).status, 200);
    let file = vec![b'x'; 8 << 20];
    let before = server.most_memory();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..24).map(|_| scope.spawn(|| server.ask(&file).status)).collect();
        for thread in threads {
            assert!([415, 503].contains(&thread.join().unwrap()));
        }
    });
    // Together they are 192 MiB. Each connection has a buffer besides.
    let grown = server.most_memory() - before;
    assert!(grown < 64 << 20, "{grown} bytes");
    assert_eq!(server.ask(&picture).status, 200);
    server.end("answered 2, refused 24");
}

#[test]
fn who_waits_too_long_is_told_so_and_the_network_is_not_asked_for_nobody() {
    let server = Server::start(&["--wait-timeout", "1", "--batch", "1", "--queue", "64"]);
    let picture = large(6000);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40).map(|_| scope.spawn(|| server.ask(&picture))).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (answered, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
    assert!(!refused.is_empty(), "the network is too fast for this test");
    for it in &refused {
        it.refuses(503, "the picture has waited 1 s for the network");
        assert_eq!(it.retry_after, Some(1));
    }
    let (answered, refused) = (answered.len(), refused.len());
    // What nobody waits for is passed over, so that it ends at once.
    let since = Instant::now();
    server.end(&format!("answered {answered}, refused {refused}"));
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_interrupt_lets_everyone_have_their_answer_who_has_asked() {
    for signal in ["INT", "TERM"] {
        let server = Server::start(&["--batch", "1"]);
        let picture = large(2500);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| server.ask(&picture))).collect();
            server.wait_until(|it| it["taken"] == 8);
            server.started.signal(signal);
            for thread in threads {
                assert_eq!(thread.join().unwrap().status, 200);
            }
        });
        let url = server.url.clone();
        server
            .started
            .end()
            .ends_with(0)
            .says("answered 8, refused 0")
            .says("answers what it has taken");
        assert!(ureq::get(url).call().is_err(), "something still listens");
    }
}

#[test]
fn what_cannot_be_served_is_told_before_anything_is_loaded() {
    let server = Server::start(&["--json"]);
    let told: Value = serde_json::from_str(&server.url).unwrap();
    let port =
        told["url"].as_str().unwrap().trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    assert_eq!((&told["version"], &told["limits"]["queue"]), (&1.into(), &256.into()));
    server
        .place
        .ferrite(&["serve", "small", "--port", &port])
        .ends_with(2)
        .says("cannot listen at `127.0.0.1`, port")
        .says("--port");
    server
        .place
        .ferrite(&["serve", "small", "--host", "nowhere.invalid"])
        .ends_with(2)
        .says("--host");
    server
        .place
        .ferrite(&["serve", "nothing", "--port", "0"])
        .ends_with(2)
        .says("there is no run `nothing`");
    let told = server.place.ferrite(&["serve", "small", "--with", "small", "--port", "0"]);
    told.ends_with(2).says("is named twice");
    server
        .place
        .ferrite(&["serve", "small", "--port", "0", "--largest", "9", "--memory", "8"])
        .ends_with(2)
        .says("a picture of 9 MiB does not fit into the 8 MiB");
    server.started.signal("INT");
    server.started.end().ends_with(0);
}
