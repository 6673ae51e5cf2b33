//! Which images of a run are explained.

use ferrite_core::error::{Error, Result};
use ferrite_core::event::split::SplitName;
use ferrite_core::metrics::Prediction;

use crate::explain::Wanted;

/// Places of the chosen images among `predictions`, class by class.
///
/// Of each class in turn: two of its hardest images, which are those that its probability is lowest for, then one of those
/// that it is surest of and right.
///
/// # Errors
/// [`Error::Usage`] if there is no such class or image, or none at all.
pub(super) fn choose(
    predictions: &[Prediction],
    classes: &[String],
    wanted: &Wanted<'_>,
) -> Result<Vec<usize>> {
    if !wanted.ids.is_empty() {
        return wanted.ids.iter().map(|id| place(predictions, id)).collect();
    }
    let only = wanted.class.map(|name| class_called(name, classes)).transpose()?;
    let chosen = (0..classes.len()).filter(|it| only.is_none_or(|only| only == *it));
    let mut queues: Vec<_> =
        chosen.map(|it| queue(predictions, it, wanted.images).into_iter()).collect();
    let mut of_classes: Vec<Vec<usize>> = vec![Vec::new(); queues.len()];
    let mut left = wanted.images;
    while left > 0 {
        let before = left;
        for (queue, chosen) in queues.iter_mut().zip(&mut of_classes) {
            if let Some(it) = queue.next().filter(|_| left > 0) {
                chosen.push(it);
                left -= 1;
            }
        }
        if left == before {
            break;
        }
    }
    let places = of_classes.concat();
    if places.is_empty() {
        return Err(Error::Usage {
            message: "there is no image to explain".into(),
            help: "ask for another class, or for more than 0 `--images`".into(),
        });
    }
    Ok(places)
}

/// Which `images` of a split these are, as a sentence.
pub(super) fn chosen(wanted: &Wanted<'_>, images: usize, split: SplitName) -> String {
    const HOW: &str = "two of the hardest, those that the network gives the lowest probability to their class, then one that \
                       it is right and surest of, and so on";
    match wanted.class {
        _ if !wanted.ids.is_empty() => {
            format!("{images} of the {split} images, which were asked for one by one.")
        }
        Some(class) => format!("{images} of the {split} images of class `{class}`: {HOW}."),
        None => format!("{images} of the {split} images, from each class in turn: {HOW}."),
    }
}

fn place(predictions: &[Prediction], id: &str) -> Result<usize> {
    predictions.iter().position(|it| it.id == id).ok_or_else(|| Error::Usage {
        message: format!("the run was not judged on an image `{id}`"),
        help: "`predictions.csv` in its folder has the images in its first column, `id`".into(),
    })
}

fn class_called(name: &str, classes: &[String]) -> Result<usize> {
    classes.iter().position(|it| it == name).ok_or_else(|| Error::Usage {
        message: format!("there is no class `{name}`"),
        help: format!("the run has {}", classes.join(", ")),
    })
}

/// The images of `class` in the order in which they are chosen, as many as `most`.
fn queue(predictions: &[Prediction], class: usize, most: usize) -> Vec<usize> {
    let of_class = predictions.iter().enumerate().filter(|(_, it)| it.truth == class);
    let mut hardest: Vec<usize> = of_class.map(|(place, _)| place).collect();
    let probability = |it: &usize| predictions[*it].probabilities[class];
    hardest.sort_by(|a, b| probability(a).total_cmp(&probability(b)));
    let right = |it: &&usize| predictions[**it].predicted == class;
    let mut surest: Vec<usize> = hardest.iter().filter(right).copied().collect();
    surest.sort_by(|a, b| probability(b).total_cmp(&probability(a)));
    let (mut hardest, mut surest) = (hardest.into_iter(), surest.into_iter());
    let mut queue = Vec::new();
    loop {
        let before = queue.len();
        for turn in 0..3 {
            let from = if turn < 2 { &mut hardest } else { &mut surest };
            let next = from.find(|it| !queue.contains(it));
            queue.extend(next);
        }
        if queue.len() == before || queue.len() >= most {
            return queue;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Images with this class and this probability of it, the rest being that of the other class.
    fn predictions(all: &[(usize, f64)]) -> Vec<Prediction> {
        let prediction = |(at, (truth, probability)): (usize, &(usize, f64))| {
            let mut probabilities = vec![1.0 - probability; 2];
            probabilities[*truth] = *probability;
            let predicted = if *probability >= 0.5 { *truth } else { 1 - truth };
            Prediction {
                id: format!("row {at}"),
                truth: *truth,
                predicted,
                probabilities,
                group: String::new(),
            }
        };
        all.iter().enumerate().map(prediction).collect()
    }

    fn wanted(images: usize) -> Wanted<'static> {
        Wanted { folder: Path::new("r"), images, ids: &[], class: None, layer: None }
    }

    #[test]
    fn the_hardest_and_the_surest_of_each_class_are_chosen() {
        let all = predictions(&[(0, 0.9), (1, 0.2), (0, 0.1), (0, 0.6), (0, 0.3), (1, 0.7)]);
        let classes = ["sad", "glad"].map(str::to_owned);
        let chosen = |wanted: &Wanted<'_>| choose(&all, &classes, wanted).unwrap();
        // Two hard ones of the first class, one that it is sure of, then what is left; the second class has two images.
        assert_eq!(chosen(&wanted(99)), [2, 4, 0, 3, 1, 5]);
        assert_eq!(chosen(&wanted(4)), [2, 4, 1, 5]);
        assert_eq!(chosen(&wanted(3)), [2, 4, 1]);
        let glad = Wanted { class: Some("glad"), ..wanted(99) };
        assert_eq!(chosen(&glad), [1, 5]);
        let ids = ["row 5", "row 0"].map(str::to_owned);
        assert_eq!(chosen(&Wanted { ids: &ids, ..wanted(1) }), [5, 0]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let all = predictions(&[(0, 0.9)]);
        let classes = ["sad", "glad"].map(str::to_owned);
        let fails = |wanted: &Wanted<'_>| choose(&all, &classes, wanted).unwrap_err().to_string();
        assert!(fails(&Wanted { class: Some("mad"), ..wanted(1) }).contains("no class `mad`"));
        assert!(fails(&Wanted { class: Some("glad"), ..wanted(1) }).contains("no image to"));
        let ids = ["row 7".to_owned()];
        assert!(fails(&Wanted { ids: &ids, ..wanted(1) }).contains("image `row 7`"));
    }
}
