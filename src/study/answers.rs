//! What several networks say of the same images, side by side: the ground of everything that is shown image by image.
//!
//! Images are matched by their id; an answer about an image that has another label there is none.
//!
//! **Invariant:** pure; memory grows with the configurations that are asked for, not with all runs of a study.

use std::collections::HashMap;

use ferrite_core::metrics::Prediction;

use crate::study::{Configuration, Run, Study};

/// The least probability that six decimals of `predictions.csv` tell from 0: losses end at about 14.5.
const LEAST: f64 = 5e-7;

/// One image by which networks are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image<'a> {
    /// What identifies it in its source.
    pub(crate) id: &'a str,
    /// Its label.
    pub(crate) truth: usize,
}

/// What the networks of one configuration say of every image.
pub(crate) struct Panel<'a> {
    /// What the configuration is called.
    pub(crate) label: String,
    /// Its place among all, by which its colour is chosen.
    pub(crate) position: usize,
    /// For each seed, its answer about each image; none where it gave none.
    pub(crate) seeds: Vec<Vec<Option<&'a Prediction>>>,
}

/// The answers of several configurations about the same images.
pub(crate) struct Answers<'a> {
    /// The images, in the order of the first table.
    pub(crate) images: Vec<Image<'a>>,
    /// The configurations that are looked at, the best first.
    pub(crate) panels: Vec<Panel<'a>>,
    /// Mean cross-entropy loss of each image over every run that was compared, those of other configurations included.
    pub(crate) loss: Vec<f64>,
    /// Whether one of these runs took the image for another class.
    pub(crate) missed: Vec<bool>,
    /// How many runs that were.
    pub(crate) runs: usize,
    /// The panel that the best one is first held against: what its experiment extends, or else the next; the best itself
    /// where it is alone.
    pub(crate) rival: usize,
    /// The split that the images are of.
    pub(crate) split: &'a str,
}

impl<'a> Answers<'a> {
    /// The answers of the `most` best configurations of `study`; none where nobody answered yet.
    pub(crate) fn of_study(study: &Study<'a>, most: usize) -> Option<Self> {
        let first = study.ranked().find_map(|it| judged(it).next())?;
        let same_split = |it: &&Run<'a>| it.split() == first.split();
        let ranked = study.ranked().filter(|it| judged(it).any(|it| same_split(&it)));
        let ranked: Vec<_> = ranked.collect();
        let mut all = Self::about(&first.record.predictions, judging(first));
        for (at, configuration) in ranked.iter().enumerate() {
            let tables = judged(configuration).filter(same_split);
            let tables = tables.map(|it| it.record.predictions.as_slice());
            let (label, position) = (configuration.label.clone(), configuration.position);
            let panel = all.add(tables, at < most);
            all.panels.extend(panel.map(|seeds| Panel { label, position, seeds }));
        }
        all.rival = rival(&ranked[..all.panels.len()]);
        all.average();
        Some(all)
    }

    /// The answers of one run; none before it is tested.
    pub(crate) fn of_run(run: &Run<'a>) -> Option<Self> {
        let predictions = run.record.predictions.as_slice();
        if predictions.is_empty() {
            return None;
        }
        let mut all = Self::about(predictions, judging(run));
        let seeds = all.add([predictions].into_iter(), true)?;
        all.panels.push(Panel { label: "this run".into(), position: 0, seeds });
        all.average();
        Some(all)
    }

    /// Nobody's answers about the images of `table`, which are those of `split`.
    fn about(table: &'a [Prediction], split: &'a str) -> Self {
        let images: Vec<_> = table.iter().map(|it| Image { id: &it.id, truth: it.truth }).collect();
        Self {
            loss: vec![0.0; images.len()],
            missed: vec![false; images.len()],
            images,
            panels: Vec::new(),
            runs: 0,
            rival: 0,
            split,
        }
    }

    /// Counts the answers of each of `tables`, and gives them back if they are to be kept.
    fn add(
        &mut self,
        tables: impl Iterator<Item = &'a [Prediction]>,
        keep: bool,
    ) -> Option<Vec<Vec<Option<&'a Prediction>>>> {
        let mut kept = Vec::new();
        for table in tables {
            let answers = aligned(&self.images, table);
            self.runs += 1;
            for (at, it) in answers.iter().enumerate().filter_map(|(at, it)| Some((at, (*it)?))) {
                self.loss[at] += loss(it);
                self.missed[at] |= it.predicted != it.truth;
            }
            if keep {
                kept.push(answers);
            }
        }
        (!kept.is_empty()).then_some(kept)
    }

    fn average(&mut self) {
        for it in &mut self.loss {
            *it /= self.runs.max(1) as f64;
        }
    }

    /// How many classes are named in labels or answers.
    pub(crate) fn classes(&self) -> usize {
        let seeds = self.panels.iter().flat_map(|it| &it.seeds).flatten().flatten();
        let named = seeds.map(|it| it.predicted.max(it.truth) + 1).max();
        named.unwrap_or(0)
    }
}

impl Panel<'_> {
    /// What its seeds say of `image`.
    pub(crate) fn of(&self, image: usize) -> impl Iterator<Item = &Prediction> {
        self.seeds.iter().filter_map(move |it| it[image])
    }

    /// Mean cross-entropy loss of `image` over its seeds; none where no seed saw it.
    pub(crate) fn loss(&self, image: usize) -> Option<f64> {
        let all: Vec<f64> = self.of(image).map(loss).collect();
        (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
    }

    /// Whether more than half of its seeds are right about `image`; none where no seed saw it.
    pub(crate) fn is_right(&self, image: usize) -> Option<bool> {
        let right = self.of(image).filter(|it| it.predicted == it.truth).count();
        let all = self.of(image).count();
        (all > 0).then_some(2 * right > all)
    }

    /// For each true and each predicted class, how many answers there are, and how many images at least one seed
    /// takes so.
    pub(crate) fn cells(&self, classes: usize) -> Vec<Vec<Cell>> {
        let mut cells = vec![vec![Cell::default(); classes]; classes];
        for image in 0..self.seeds.first().map_or(0, Vec::len) {
            let mut counted = Vec::with_capacity(self.seeds.len());
            for it in self.of(image) {
                let cell = &mut cells[it.truth][it.predicted];
                cell.answers += 1;
                cell.images += usize::from(!counted.contains(&it.predicted));
                counted.push(it.predicted);
            }
        }
        cells
    }
}

/// One cell of a confusion matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    /// Answers of all seeds.
    pub(crate) answers: usize,
    /// Images that at least one seed takes so.
    pub(crate) images: usize,
}

/// How many images each of `panels` (outer) gets right that each of them (inner) does not, by the majority of the seeds of
/// each. With one seed each these are McNemar's two counts.
pub(crate) fn only_right(panels: &[Panel<'_>]) -> Vec<Vec<usize>> {
    let right: Vec<Vec<_>> = panels
        .iter()
        .map(|it| (0..it.seeds.first().map_or(0, Vec::len)).map(|at| it.is_right(at)).collect())
        .collect();
    let only = |a: &Vec<Option<bool>>, b: &Vec<Option<bool>>| {
        a.iter().zip(b).filter(|it| *it == (&Some(true), &Some(false))).count()
    };
    right.iter().map(|a| right.iter().map(|b| only(a, b)).collect()).collect()
}

/// The probability that an answer gives to the true class.
pub(crate) fn of_truth(it: &Prediction) -> f64 {
    let without = f64::from(u8::from(it.truth == it.predicted));
    it.probabilities.get(it.truth).copied().filter(|it| it.is_finite()).unwrap_or(without)
}

/// The probability that an answer gives to the class that it names.
pub(crate) fn of_answer(it: &Prediction) -> f64 {
    it.probabilities.get(it.predicted).copied().filter(|it| it.is_finite()).unwrap_or(1.0)
}

/// Cross-entropy loss of an answer.
fn loss(it: &Prediction) -> f64 {
    -of_truth(it).max(LEAST).ln()
}

/// The place of the first of `shown` that the experiment of the best extends.
fn rival(shown: &[&Configuration<'_>]) -> usize {
    let Some((best, others)) = shown.split_first() else { return 0 };
    let of = |name: &String| others.iter().position(|it| it.experiment() == name);
    let extended = best.extends().iter().find_map(of).unwrap_or(0);
    if others.is_empty() { 0 } else { extended + 1 }
}

/// The finished runs that have been tested.
fn judged<'s, 'a>(it: &'s Configuration<'a>) -> impl Iterator<Item = &'s Run<'a>> {
    it.finished().filter(|it| !it.record.predictions.is_empty())
}

/// The answers of `table` in the order of `images`.
fn aligned<'a>(images: &[Image<'_>], table: &'a [Prediction]) -> Vec<Option<&'a Prediction>> {
    let fits = |it: &Prediction, image: &Image<'_>| it.id == image.id && it.truth == image.truth;
    if table.len() == images.len() && table.iter().zip(images).all(|(it, image)| fits(it, image)) {
        return table.iter().map(Some).collect();
    }
    let by_id: HashMap<&str, &Prediction> = table.iter().map(|it| (it.id.as_str(), it)).collect();
    images.iter().map(|image| by_id.get(image.id).copied().filter(|it| fits(it, image))).collect()
}

/// The split that judges `run`, in a word.
fn judging<'a>(run: &Run<'a>) -> &'a str {
    run.split().unwrap_or("held-out")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An answer of a network with three classes that gives `probability` to `predicted`.
    pub(crate) fn answer(id: &str, truth: usize, predicted: usize, probability: f64) -> Prediction {
        let mut probabilities = vec![(1.0 - probability) / 2.0; 3];
        probabilities[predicted] = probability;
        Prediction { id: id.into(), truth, predicted, probabilities, group: String::new() }
    }

    /// The answers of `configurations`, each a list of seeds' tables.
    pub(crate) fn answers(configurations: &[Vec<Vec<Prediction>>]) -> Answers<'_> {
        let mut all = Answers::about(&configurations[0][0], "test");
        for (position, seeds) in configurations.iter().enumerate() {
            let seeds = all.add(seeds.iter().map(Vec::as_slice), true).unwrap();
            all.panels.push(Panel { label: format!("c{position}"), position, seeds });
        }
        all.average();
        all
    }

    #[test]
    fn answers_are_matched_by_id_and_label_and_averaged_over_all_runs() {
        let tables = [
            vec![vec![answer("a", 0, 0, 0.8), answer("b", 1, 2, 0.6)]],
            vec![
                vec![answer("b", 1, 1, 0.5), answer("a", 0, 0, 0.4)],
                vec![answer("a", 2, 2, 0.9), answer("b", 1, 1, 0.5)],
            ],
        ];
        let all = answers(&tables);
        assert_eq!((all.runs, all.classes(), all.missed.as_slice()), (3, 3, &[false, true][..]));
        assert_eq!(all.panels[1].of(0).count(), 1, "another label is another question");
        let expected = -(0.2_f64.ln() + 0.5_f64.ln() + 0.5_f64.ln()) / 3.0;
        assert!((all.loss[1] - expected).abs() < 1e-12);
        assert!((all.panels[0].loss(0).unwrap() + 0.8_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn what_only_one_side_gets_right_is_what_mcnemars_test_counts() {
        use ferrite_core::metrics::statistics::paired::Discordant;
        let table = |salt: usize| -> Vec<Prediction> {
            let one = |it: usize| {
                let predicted = if (it * 7 + salt * 5) % 11 < 6 { it % 3 } else { (it + salt) % 3 };
                answer(&it.to_string(), it % 3, predicted, 0.7)
            };
            (0..200).map(one).collect()
        };
        let tables = [vec![table(1)], vec![table(2)]];
        let all = answers(&tables);
        let gain = |it: usize| {
            let right = |side: usize| i8::from(tables[side][0][it].predicted == it % 3);
            right(1) - right(0)
        };
        let counts = Discordant::of(&(0..200).map(gain).collect::<Vec<_>>());
        assert_eq!(only_right(&all.panels), [[0, counts.lost], [counts.gained, 0]]);
        assert!(counts.lost > 0 && counts.gained > 0);
    }

    #[test]
    fn a_cell_counts_answers_and_the_images_behind_them() {
        let tables = [vec![
            vec![answer("a", 0, 1, 0.8), answer("b", 0, 0, 0.6)],
            vec![answer("a", 0, 1, 0.8), answer("b", 0, 1, 0.6)],
        ]];
        let all = answers(&tables);
        let cells = all.panels[0].cells(2);
        assert_eq!(cells[0][1], Cell { answers: 3, images: 2 });
        assert_eq!(cells[0][0], Cell { answers: 1, images: 1 });
        assert_eq!(all.panels[0].is_right(1), Some(false), "one of two seeds is no majority");
    }
}
