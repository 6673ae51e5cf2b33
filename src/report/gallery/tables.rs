//! The tables of the section: what is taken for what, where two configurations disagree, parts of the images.

use std::cmp::Ordering;

use ferrite_core::digits::{counted, thousands};
use maud::{Markup, html};

use crate::format;
use crate::report::gallery::{Gallery, MOST_CLASSES};
use crate::report::page::{heat, scroll, swatch};
use crate::report::plot::Style;
use crate::study::answers::{Cell, Panel};
use crate::study::slices::{
    FEW, Partition, Score, Slice, by_agreement, by_brightness, by_class, by_group, by_whether,
    overall, slices,
};

/// How many of the commonest mistakes are named.
const COMMONEST: usize = 3;

impl Gallery<'_> {
    /// What the best configuration takes each class for; the script shows the others, and the faces of a cell.
    pub(super) fn confusion(&self) -> Markup {
        let Some(panel) = self.answers.panels.first() else { return html! {} };
        if self.classes.len() > MOST_CLASSES {
            return html! {};
        }
        html! {
            h3 .look { "What is taken for what" }
            p .lead {
                "Rows are labels, columns what the images are taken for. Large: percent of the row's answers"
                @if panel.seeds.len() > 1 { " of all seeds" }
                "; small: images that "
                @if panel.seeds.len() > 1 { "at least one seed takes so." } @else { "are taken so." }
                @if self.sheets.count() > 0 {
                    span .with-script hidden { " Choose a cell to see its faces." }
                }
            }
            div #gallery-models .controls hidden {}
            p #gallery-common { "Commonest mistakes: " (self.commonest(panel)) "." }
            div .side-by-side {
                div #gallery-confusion .scroll role="region" aria-label="Confusion matrix with faces" tabindex="0" { (self.matrix(panel)) }
                div #gallery-cell .opened hidden {}
            }
        }
    }

    /// The cells beside the diagonal with the most answers; the script makes buttons of them.
    fn commonest(&self, panel: &Panel<'_>) -> String {
        let cells = panel.cells(self.classes.len());
        let of_row = |(truth, row): (usize, &Vec<Cell>)| {
            let cells =
                row.iter().enumerate().filter(move |(named, it)| *named != truth && it.answers > 0);
            cells.map(|(named, it)| (truth, named, *it)).collect::<Vec<_>>()
        };
        let mut wrong: Vec<_> = cells.iter().enumerate().flat_map(of_row).collect();
        wrong.sort_by_key(|it| (std::cmp::Reverse(it.2.answers), it.0, it.1));
        let words = |(truth, named, it): &(usize, usize, Cell)| {
            let images = counted(it.images, "image");
            format!("{} taken for {}, {images}", self.class(*truth), self.class(*named))
        };
        let words: Vec<_> = wrong.iter().take(COMMONEST).map(words).collect();
        if words.is_empty() { "none".into() } else { words.join("; ") }
    }

    fn matrix(&self, panel: &Panel<'_>) -> Markup {
        let cells = panel.cells(self.classes.len());
        html! {
            table .confusion {
                caption { (swatch(Style(panel.position))) bdi { (panel.label) } }
                thead { tr {
                    th { "label" }
                    @for it in &self.classes { th scope="col" { (it) } }
                } }
                tbody { @for (truth, row) in cells.iter().enumerate() {
                    @let all: usize = row.iter().map(|it| it.answers).sum();
                    tr {
                        th scope="row" { (self.class(truth)) }
                        @for cell in row {
                            @let share = cell.answers as f64 / all.max(1) as f64;
                            td style=(heat(share)) {
                                @if cell.answers > 0 {
                                    (format!("{:.0} %", share * 100.0))
                                    small { (thousands(cell.images)) }
                                }
                            }
                        }
                    }
                } }
            }
        }
    }

    /// How often each of two configurations alone is right.
    pub(super) fn disagreements(&self) -> Markup {
        let panels = &self.answers.panels;
        let [first, second] = [0, self.answers.rival];
        let images = self.answers.images.len();
        let [gained, lost] = [self.only[first][second], self.only[second][first]];
        let seeds = panels.iter().any(|it| it.seeds.len() > 1);
        html! {
            h3 .look { "Where two configurations disagree" }
            p .lead {
                "A configuration is right about an image if "
                @if seeds { "more than half of its seeds are" } @else { "its network is" }
                ". Of " (counted(images, "image")) " only " strong { (panels[first].label) } " gets "
                strong { (thousands(gained)) } " right, and only " strong { (panels[second].label) } " "
                strong { (thousands(lost)) } "; with one seed each these are the two counts of McNemar's test."
            }
            div #gallery-pair .controls hidden {}
            div #gallery-sides hidden {}
            details .copy {
                summary { "All pairs" }
                (self.pairs())
            }
        }
    }

    fn pairs(&self) -> Markup {
        let panels = &self.answers.panels;
        html! {
            p .lead { "Images that the row's configuration gets right and the column's does not." }
            (scroll("Disagreements", html! { table .compact {
                thead { tr {
                    th { "only right" }
                    @for it in panels { th .num scope="col" { (it.label) } }
                } }
                tbody { @for (at, row) in panels.iter().enumerate() { tr {
                    th scope="row" { (swatch(Style(row.position))) (row.label) }
                    @for (other, only) in self.only[at].iter().enumerate() {
                        td .num {
                            @if at == other { span .none { (format::NOTHING) } } @else { (thousands(*only)) }
                        }
                    }
                } } }
            } }))
        }
    }

    /// Accuracy on parts of the images.
    pub(super) fn parts(&self) -> Markup {
        let partitions = self.partitions();
        let whole = overall(&self.answers);
        let row = |name: &str, images: usize, scores: &[Option<Score>]| {
            html! {
                tr .few[images < FEW] {
                    th scope="row" { (name) } td .num { (thousands(images)) }
                    @for it in scores { (score(*it)) }
                }
            }
        };
        html! {
            h3 .look { "Parts of the images" }
            p .lead {
                "Accuracy in percent on parts of the images, with its 95 % interval (over seeds and images; over images alone \
                where there is one seed). ▲ and ▼ mark parts whose interval lies above or below the accuracy on all images. \
                Of twenty parts that are like all others one is marked by chance, so look for what several configurations \
                share. Parts of fewer than " (FEW) " images are pale."
            }
            (scroll("Parts of the images", html! { table .slices {
                thead { tr {
                    th { "Part" } th .num { "Images" }
                    @for it in &self.answers.panels {
                        th .num scope="col" { div .label { (swatch(Style(it.position))) span { (it.label) } } }
                    }
                } }
                tbody { (row("all images", self.answers.images.len(), &whole)) }
                @for it in &partitions {
                    tbody {
                        tr .kind { th scope="rowgroup" colspan=(self.answers.panels.len() + 2) { (it.name) } }
                        @for Slice { name, images, scores } in slices(&self.answers, it) {
                            (row(&name, images, &scores))
                        }
                    }
                }
            } }))
        }
    }

    /// All ways to part the images that something is known for.
    fn partitions(&self) -> Vec<Partition> {
        let mut all = vec![by_class(&self.answers, &self.classes)];
        let Some(album) = self.album.as_ref() else { return all };
        let rows = || self.rows.iter().copied();
        let agreement: Vec<_> = rows().map(|it| album.votes(it?)?.agreement()).collect();
        if agreement.iter().any(Option::is_some) {
            all.push(by_agreement(&agreement));
        }
        let twins: Vec<_> = rows().map(|it| album.has_twin(it?)).collect();
        if twins.contains(&Some(true)) {
            let parts = ["has an equal training image", "has none"];
            all.push(by_whether("Exact twin in training", parts, &twins));
        }
        let levels: Vec<_> = rows().map(|it| album.brightness(it?)).collect();
        all.extend(by_brightness(&levels));
        let faces: Vec<_> = rows().map(|it| album.has_face(it?)).collect();
        if faces.iter().any(Option::is_some) {
            all.push(by_whether("Face found", ["a face was found", "none was found"], &faces));
        }
        let groups: Vec<_> = rows().map(|it| Some(album.group(it?))).collect();
        all.extend(by_group(&groups));
        all
    }
}

fn score(it: Option<Score>) -> Markup {
    let Some(it) = it else { return html! { td .num { span .none { (format::NOTHING) } } } };
    html! {
        td .num {
            @match it.apart {
                Some(Ordering::Greater) => span .above title="above all images" { "▲ " },
                Some(Ordering::Less) => span .below title="below all images" { "▼ " },
                _ => "",
            }
            (format::percent(it.accuracy))
            @if let Some(it) = it.interval { div .interval { (format::interval(it)) } }
        }
    }
}
