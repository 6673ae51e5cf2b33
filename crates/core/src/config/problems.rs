//! What is wrong with experiment files, each problem at its place: the structs stay plain, and places are looked up
//! by dotted key.

use std::collections::HashSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{LabeledSpan, NamedSource};

use crate::config::places::{Place, Places};
use crate::error::{Error, FileProblems, Problem, Result, is_unprintable, printable};

/// So many problems of one file are shown; a list of thousands in one place is read by nobody.
const MOST_SHOWN: usize = 20;

/// Lines are shown up to so many characters.
const WIDEST: usize = 160;

/// Stands for what is left out.
const CUT: &str = "…";

/// Experiment files by number, and what is wrong with them so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    files: Vec<File>,
    told: Vec<Told>,
    known: HashSet<Told>,
}

#[derive(Debug)]
struct File {
    name: String,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Told {
    file: usize,
    span: Range<usize>,
    message: String,
}

impl Problems {
    /// The number of the file at `path` with this text. What is read twice is one file.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> usize {
        let name = printable(&path.to_string_lossy()).into_owned();
        if let Some(known) = self.files.iter().position(|it| it.name == name) {
            return known;
        }
        // Where there is no text, a problem of the whole file points at a space.
        let mut text = if text.is_empty() { " ".to_owned() } else { harmless(text) };
        // What is wrong at the very end can be pointed at only where a line ends.
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.files.push(File { name, text });
        self.files.len() - 1
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.told.len()
    }

    /// Tells `problem` at its place, or at the nearest table that is written down.
    pub(super) fn tell(&mut self, file: usize, places: &Places, problem: &Problem) {
        let mut key = problem.key.as_str();
        let mut exact = true;
        let place = loop {
            if let Some(place) = places.get(key) {
                break place.clone();
            }
            exact = false;
            match key.rsplit_once('.') {
                Some((outer, _)) => key = outer,
                None => break Place { file, key: 0..0, value: 0..0 },
            }
        };
        let span = if problem.of_key || !exact { place.key } else { place.value };
        let message = match (exact, problem.key.as_str()) {
            (true, _) | (_, "") => problem.message.clone(),
            (false, key) => format!("`{key}` {}", problem.message),
        };
        self.tell_span(place.file, span, &message);
    }

    /// Tells what is wrong with the characters in `span`, once.
    pub(super) fn tell_span(&mut self, file: usize, span: Range<usize>, message: &str) {
        let told = Told { file, span, message: shortened(&printable(message)) };
        if self.known.insert(told.clone()) {
            self.told.push(told);
        }
    }

    /// All of them, if there are any.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub(super) fn finish(self) -> Result<()> {
        let mut order: Vec<usize> = Vec::new();
        let mut by_file: Vec<Vec<Told>> = self.files.iter().map(|_| Vec::new()).collect();
        for told in self.told {
            if by_file[told.file].is_empty() {
                order.push(told.file);
            }
            by_file[told.file].push(told);
        }
        if order.is_empty() {
            return Ok(());
        }
        let files = order.into_iter().map(|at| {
            let mut told = std::mem::take(&mut by_file[at]);
            told.sort_by_key(|it| it.span.start);
            let left_out = told.len().saturating_sub(MOST_SHOWN);
            told.truncate(MOST_SHOWN);
            let File { name, text } = &self.files[at];
            let clipped = Clipped::new(text, &told);
            let problems = told.into_iter().map(|it| clipped.label(it)).collect();
            let source = NamedSource::new(name, clipped.text).with_language("TOML");
            FileProblems { source: Arc::new(source), problems, left_out }
        });
        Err(Error::Config { files: files.collect() })
    }
}

/// A text whose long lines are cut, around what is wrong in them.
struct Clipped {
    text: String,
    lines: Vec<Line>,
}

/// Where a line lies in a text and what is kept of it.
struct Line {
    start: usize,
    /// What is kept, from the line's start on.
    kept: Range<usize>,
    /// Where what is kept begins in the clipped text.
    new_start: usize,
}

impl Clipped {
    fn new(text: &str, told: &[Told]) -> Self {
        /// What stands in front of a problem in a line that is cut there.
        const BEFORE: usize = 60;
        let mut clipped = Self { text: String::new(), lines: Vec::new() };
        let mut start = 0;
        for line in text.split('\n') {
            let here = start..=start + line.len();
            let first = told.iter().find(|it| here.contains(&it.span.start));
            let first = first.map_or(0, |it| it.span.start - start);
            let from = if line.len() <= WIDEST || first < WIDEST / 2 { 0 } else { first - BEFORE };
            let from = line.floor_char_boundary(from);
            let to = line.floor_char_boundary(from + WIDEST).min(line.len());
            if start > 0 {
                clipped.text.push('\n');
            }
            clipped.text.push_str(if from > 0 { CUT } else { "" });
            clipped.lines.push(Line { start, kept: from..to, new_start: clipped.text.len() });
            clipped.text.push_str(&line[from..to]);
            clipped.text.push_str(if to < line.len() { CUT } else { "" });
            start += line.len() + 1;
        }
        clipped
    }

    /// Where what lies at `offset` of the whole text is seen in this one, or how far off it is cut.
    fn seen(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|it| it.start <= offset).saturating_sub(1);
        let line = &self.lines[line];
        let at = offset - line.start;
        let kept = at.clamp(line.kept.start, line.kept.end);
        (line.new_start + kept - line.kept.start, at.saturating_sub(kept))
    }

    fn label(&self, told: Told) -> LabeledSpan {
        let Told { span, message, .. } = told;
        let ((start, cut), (end, _)) = (self.seen(span.start), self.seen(span.end));
        let message =
            if cut > 0 { format!("{cut} characters further on: {message}") } else { message };
        LabeledSpan::new_with_span(Some(message), start..end.max(start))
    }
}

/// A message that repeats no more of a long name than tells which it is.
fn shortened(message: &str) -> String {
    /// The longest that lists choices is shorter.
    const LONGEST: usize = 1000;
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let (from, to) = (LONGEST / 2, message.len() - LONGEST / 2);
    let (from, to) = (message.floor_char_boundary(from), message.ceil_char_boundary(to));
    format!("{}{CUT}{}", &message[..from], &message[to..])
}

/// `text` for showing parts of it: as long as it is, byte by byte, without what a terminal would carry out.
fn harmless(text: &str) -> String {
    let text = text.replace("\r\n", " \n");
    let shown = |it: char| match it {
        '\n' | '\t' => it.to_string(),
        it if is_unprintable(it) => "?".repeat(it.len_utf8()),
        it => it.to_string(),
    };
    if text.contains(is_unprintable) { text.chars().map(shown).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what is shown of `text` and pointed at when its `part` is wrong.
    #[track_caller]
    fn check(text: &str, part: &str, lines: &[usize], says: &str) {
        let mut problems = Problems::default();
        let file = problems.file(Path::new("a.toml"), text);
        let start = text.find(part).unwrap();
        problems.tell_span(file, start..start + part.len(), "is wrong");
        let Err(Error::Config { files }) = problems.finish() else { panic!("no problem") };
        let (shown, label) = (files[0].source.inner(), &files[0].problems[0]);
        assert_eq!(shown.lines().map(|it| it.chars().count()).collect::<Vec<_>>(), lines);
        assert_eq!(&shown[label.offset()..label.offset() + label.len()], part);
        assert_eq!(label.label(), Some(says));
    }

    #[test]
    fn of_a_long_line_what_is_wrong_in_it_is_shown() {
        check("a = [1, 2]\nb = 3\n", "2", &[10, 5], "is wrong");
        let long = format!("a = 1\nb = [{}7{}]\nc = 3", "0, ".repeat(5000), ", 0".repeat(5000));
        check(&long, "7", &[5, WIDEST + 2, 5], "is wrong");
        check(&long, "a", &[5, WIDEST + 1, 5], "is wrong");
        check(&long, "c", &[5, WIDEST + 1, 5], "is wrong");
        check(&format!("{}x", "ü".repeat(5000)), "x", &[61 / 2 + 2], "is wrong");
    }

    #[test]
    fn what_is_cut_off_is_told_where_it_is() {
        let mut problems = Problems::default();
        let file = problems.file(Path::new("a.toml"), &format!("a{}b", " ".repeat(5000)));
        problems.tell_span(file, 0..1, "one");
        problems.tell_span(file, 5001..5002, "two");
        let Err(Error::Config { files }) = problems.finish() else { panic!("no problem") };
        let told: Vec<_> = files[0].problems.iter().filter_map(LabeledSpan::label).collect();
        assert_eq!(told, ["one", "4841 characters further on: two"]);
    }

    #[test]
    fn a_message_is_no_longer_than_a_reader_is_patient() {
        let message = shortened(&format!("unknown key `{}`; there is `b`", "ä".repeat(100_000)));
        assert!(message.len() < 1100 && message.ends_with("ä`; there is `b`"), "{message}");
    }

    #[test]
    fn a_text_is_shown_without_control_characters_and_its_places_stay() {
        for text in ["a\u{1b}[2J\tb\n", "\u{feff}é\u{9b}\u{202e}x\r\ny\r", "plain"] {
            let shown = harmless(text);
            assert_eq!(shown.len(), text.len());
            assert!(!shown.contains(|it| is_unprintable(it) && !"\n\t".contains(it)), "{shown:?}");
        }
    }
}
