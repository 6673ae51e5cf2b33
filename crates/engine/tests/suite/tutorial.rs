//! The tutorial (docs/tutorial.md), followed: every command on the page is carried out, and prints what the page says.
//!
//! Numbers, keys and verdicts depend on the machine, so only their places are compared; a line of three dots on the page
//! stands for any lines. Published weights cannot be had in a test, so the experiment begins with random ones and trains
//! for fewer epochs: it prints the same.

use ferrite_testing::{Place, Told, project};

/// A part of the page.
enum Block {
    /// A command, and the lines that it prints.
    Command(String, Vec<String>),
    /// A file to write, by its path.
    File(String, String),
}

/// The blocks of the page that a reader follows.
fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(kind) = line.strip_prefix("```").filter(|it| !it.is_empty()) else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|it| *it != "```").collect();
        match kind {
            "console" => {
                let command = body[0].strip_prefix("$ ").expect("a block begins with its command");
                let told = body[1..].iter().map(|it| (*it).to_owned()).collect();
                blocks.push(Block::Command(command.to_owned(), told));
            }
            "toml" => {
                let path = body[0].strip_prefix("# ").expect("a file begins with its path");
                blocks.push(Block::File(path.to_owned(), body.join("\n")));
            }
            _ => {}
        }
    }
    blocks
}

/// `line` without what differs from machine to machine.
fn plain(line: &str) -> String {
    let mut line = line.to_owned();
    for word in ["■ real", "◆ one seed", "○ not shown", "= no effect"] {
        line = line.replace(word, "VERDICT");
    }
    let word = |word: &str| {
        // What the network says of a picture.
        if ["happy", "sad", "surprise"].contains(&word.trim_end_matches(',')) {
            return "CLASS".to_owned();
        }
        // Keys at the end of a name.
        let word = match word.rsplit_once('-') {
            Some((rest, key)) if key.len() == 8 && key.bytes().all(|it| it.is_ascii_hexdigit()) => {
                rest
            }
            _ => word,
        };
        let digits = |it: char| if "0123456789.−+".contains(it) { '#' } else { it };
        let bars = |it: char| if "▁▂▃▄▅▆▇█".contains(it) { '▁' } else { it };
        let mut out: Vec<char> = word.chars().map(digits).map(bars).collect();
        out.dedup_by(|a, b| a == b && "#▁".contains(*a));
        out.into_iter().collect::<String>()
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Checks that the lines of the page are among what was told. Which of two experiments is better depends on the machine, and so
/// does their order.
#[track_caller]
fn compare(command: &str, page: &[String], told: &Told) {
    let whole = format!("{}{}", told.err, told.out);
    let lines: Vec<String> = whole.lines().map(plain).collect();
    for expected in page.iter().filter(|it| *it != "…" && !it.is_empty()) {
        let wanted = plain(expected);
        let begins = wanted.strip_suffix(" …");
        let is_it = |it: &String| begins.map_or(*it == wanted, |begin| it.starts_with(begin));
        assert!(lines.iter().any(is_it), "`{command}` does not print `{expected}`, but\n{whole}");
    }
}

#[test]
fn every_command_of_the_tutorial_prints_what_the_page_says() {
    let page = std::fs::read_to_string(project().join("docs/tutorial.md")).unwrap();
    let place = Place::with(&[]);
    let mut commands = 0;
    for block in blocks(&page) {
        match block {
            Block::File(path, text) => place.write(&path, text),
            Block::Command(command, expected) => {
                let arguments: Vec<&str> = command.split(' ').collect();
                assert_eq!(arguments[0], "ferrite", "{command}");
                let told = place.ferrite(&arguments[1..]);
                compare(&command, &expected, told.ends_with(0));
                commands += 1;
                if arguments[1] == "new" {
                    shorten(&place);
                }
            }
        }
    }
    assert!(commands >= 9, "{commands}");
}

/// Makes the new experiment one that a test can train.
fn shorten(place: &Place) {
    let path = place.path("experiments/faces.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let short = text
        .replace("weights  = \"imagenet\" ", "weights  = \"none\" ")
        .replace("image_size = 96 ", "image_size = 32 ")
        .replace("epochs         = 30", "epochs         = 2")
        .replace("epochs     = 5", "epochs     = 2");
    assert_eq!(text.lines().zip(short.lines()).filter(|(a, b)| a != b).count(), 4, "{text}");
    std::fs::write(path, short).unwrap();
}
