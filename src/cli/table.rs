//! Tables for people: columns of text beside each other, no wider than the terminal.

use console::{Alignment, Term, measure_text_width, pad_str, truncate_str};

/// Columns of a line of text.
pub(super) const WIDTH: usize = 80;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// What stands above it.
    title: &'static str,
    alignment: Alignment,
    /// How dear it is: where the terminal is too narrow for all, the cheapest is left out first.
    worth: u8,
}

/// No terminal is so narrow that a column of this worth is left out.
const ALWAYS: u8 = u8::MAX;

/// What stands between two columns.
const GAP: usize = 2;

/// A name is cut to no fewer columns than this.
const LEAST_NAME: usize = 12;

impl Column {
    /// A column of words.
    pub(super) fn words(title: &'static str, worth: u8) -> Self {
        Self { title, alignment: Alignment::Left, worth }
    }

    /// A column of numbers.
    pub(super) fn numbers(title: &'static str, worth: u8) -> Self {
        Self { title, alignment: Alignment::Right, worth }
    }

    /// The same, never left out.
    pub(super) fn always(self) -> Self {
        Self { worth: ALWAYS, ..self }
    }
}

/// Columns and rows of cells.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    /// The table as lines for the standard output: as wide as its terminal at most, and whole where there is none.
    pub(super) fn to_text(&self) -> String {
        self.to_text_within(usize::MAX)
    }

    /// The same, no wider than `most` columns.
    pub(super) fn to_text_within(&self, most: usize) -> String {
        let width = Term::stdout().size_checked().map(|(_, width)| usize::from(width));
        self.within(width.unwrap_or(usize::MAX).min(most))
    }

    /// The table as lines of at most `width` columns, if they can be made as short.
    fn within(&self, width: usize) -> String {
        let mut widths: Vec<usize> = (0..self.columns.len()).map(|it| self.width(it)).collect();
        // A column without a word in any cell says nothing.
        let mut shown: Vec<usize> = (0..widths.len())
            .filter(|it| {
                self.columns[*it].worth == ALWAYS
                    || self.rows.iter().any(|row| !row[*it].is_empty())
            })
            .collect();
        let total = |shown: &[usize], widths: &[usize]| {
            shown.iter().map(|it| widths[*it] + GAP).sum::<usize>().saturating_sub(GAP)
        };
        while total(&shown, &widths) > width {
            let cheapest = shown.iter().copied().min_by_key(|it| self.columns[*it].worth);
            match cheapest.filter(|it| self.columns[*it].worth < ALWAYS) {
                Some(cheapest) => shown.retain(|it| *it != cheapest),
                None => break,
            }
        }
        // What is still too wide is the longest name.
        let over = total(&shown, &widths).saturating_sub(width);
        let words = |it: &&usize| self.columns[**it].alignment == Alignment::Left;
        if let Some(longest) = shown.iter().filter(words).copied().max_by_key(|it| widths[*it]) {
            widths[longest] =
                widths[longest].saturating_sub(over).max(LEAST_NAME.min(widths[longest]));
        }
        let titles = self.columns.iter().map(|it| it.title.to_owned()).collect();
        let lines = std::iter::once(&titles).chain(&self.rows).map(|row: &Vec<String>| {
            let cell = |it: &usize| {
                let text = truncate_str(&row[*it], widths[*it], "…");
                pad_str(&text, widths[*it], self.columns[*it].alignment, None).into_owned()
            };
            let line = shown.iter().map(cell).collect::<Vec<_>>().join(&" ".repeat(GAP));
            format!("{}\n", line.trim_end())
        });
        lines.collect()
    }

    /// How wide a column is.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| measure_text_width(&row[column]));
        cells.chain([measure_text_width(self.columns[column].title)]).max().unwrap_or_default()
    }
}

/// `text` behind `begin`, as lines of at most `width` columns that break between words, the others below the first.
pub(super) fn wrapped(begin: &str, text: &str, width: usize) -> String {
    let indent = " ".repeat(measure_text_width(begin));
    let mut lines = vec![begin.to_owned()];
    let mut is_new = true;
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |it| measure_text_width(it));
        if !is_new && line + 1 + measure_text_width(word) > width {
            lines.push(indent.clone());
            is_new = true;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if is_new { "" } else { " " });
            line.push_str(word);
        }
        is_new = false;
    }
    lines.iter().map(|it| format!("{}\n", it.trim_end())).collect()
}

/// `values` as a line of bars, the lowest the lowest; of many the last of each few. What is not a number is a space.
pub(super) fn sparkline(values: &[f64], most: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let few = values.len().div_ceil(most.max(1)).max(1);
    let shown: Vec<f64> = values.chunks(few).filter_map(|it| it.last().copied()).collect();
    let finite = || shown.iter().copied().filter(|it| it.is_finite());
    let (low, high) =
        (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bar = |it: f64| {
        if !it.is_finite() {
            return ' ';
        }
        let share = if high > low { (it - low) / (high - low) } else { 0.0 };
        BARS[((share * BARS.len() as f64) as usize).min(BARS.len() - 1)]
    };
    shown.iter().map(|it| bar(*it)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = vec![
            Column::words("run", 0).always(),
            Column::numbers("valid", 2),
            Column::words("nothing", 3),
            Column::words("note", 1),
        ];
        let mut table = Table::new(columns);
        for (name, valid) in [("frozen/seed-0-29311b3e", "58.2"), ("größe", "7.1")] {
            table.row(vec![name.into(), valid.into(), String::new(), "some words".into()]);
        }
        table
    }

    #[test]
    fn cells_stand_below_each_other_and_an_empty_column_is_left_out() {
        let expected = "\
run                     valid  note
frozen/seed-0-29311b3e   58.2  some words
größe                     7.1  some words
";
        assert_eq!(table().within(usize::MAX), expected);
    }

    #[test]
    fn on_a_narrow_terminal_the_cheapest_columns_go_first_and_names_are_cut_last() {
        let widest = |width| {
            let text = table().within(width);
            (text.lines().map(measure_text_width).max().unwrap(), text)
        };
        let (width, text) = widest(40);
        assert!(width <= 40 && text.contains("58.2") && !text.contains("some words"), "{text}");
        let (width, text) = widest(16);
        assert!(width <= 16 && text.contains("frozen/seed-0-2…"), "{text}");
    }

    #[test]
    fn text_breaks_between_words_and_stands_below_its_beginning() {
        let text = wrapped("A  ", "one two  three four", 12);
        assert_eq!(text, "A  one two\n   three\n   four\n");
        assert_eq!(wrapped("", "averyverylongword and more", 8), "averyverylongword\nand more\n");
        assert_eq!(wrapped("note: ", "", 8), "note:\n");
    }

    #[test]
    fn a_sparkline_has_the_shape_of_its_values() {
        assert_eq!(sparkline(&[3.0, 2.0, 1.0, 1.5, f64::NAN], 16), "█▅▁▃ ");
        assert_eq!(sparkline(&[1.0; 3], 16), "▁▁▁");
        let many: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(sparkline(&many, 16).chars().count(), 15);
        assert_eq!(sparkline(&[], 16), "");
    }
}
