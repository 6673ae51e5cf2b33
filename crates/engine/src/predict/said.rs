//! What a model says: answers about pictures, and guesses about the faces in them.

use std::path::PathBuf;

use ferrite_core::data::faces::found::Face;
use ferrite_core::largest::first_largest;

/// What a model says about a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The picture, or the video that it is of.
    pub path: PathBuf,
    /// When the video shows it, in seconds from the beginning; none for a picture of its own.
    pub seconds: Option<f64>,
    /// What it says of each face, those with the highest scores first, or of the whole picture; empty where no face was
    /// found.
    pub guesses: Vec<Guess>,
}

/// What a model says about a face or a whole picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    /// The face; none for the whole picture.
    pub face: Option<Face>,
    /// Of a video, the number of the face: it is the same in all pictures through which the face was followed.
    pub track: Option<usize>,
    /// Index of the most probable class.
    pub class: usize,
    /// Probability of each class: the mean of what the runs say.
    pub probabilities: Vec<f64>,
    /// Probability of each class by each run alone, in their order; none of a run whose detector did not find this face.
    pub alone: Vec<Option<Vec<f64>>>,
}

impl Guess {
    /// What runs say together about a face, or the whole picture, of which each says this `alone`.
    pub(super) fn of(face: Option<Face>, alone: Vec<Option<Vec<f64>>>) -> Self {
        let mut probabilities = Vec::new();
        for said in alone.iter().flatten() {
            probabilities.resize(said.len(), 0.0);
            probabilities.iter_mut().zip(said).for_each(|(sum, it)| *sum += it);
        }
        let answered = alone.iter().flatten().count() as f64;
        for it in &mut probabilities {
            *it /= answered;
        }
        Self { face, track: None, class: first_largest(&probabilities), probabilities, alone }
    }

    /// How many runs say something of it.
    pub fn answered(&self) -> usize {
        self.alone.iter().flatten().count()
    }

    /// How many of them would say this class alone.
    pub fn agree(&self) -> usize {
        self.alone.iter().flatten().filter(|it| first_largest(it) == self.class).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_those_who_answer_decides_and_who_agrees_is_counted() {
        // Two are slightly for the first class, and the third, which is sure, for the second.
        let alone = [[0.6, 0.4], [0.55, 0.45], [0.05, 0.95]].map(|it| Some(it.to_vec()));
        let guess = Guess::of(None, alone.to_vec());
        assert_eq!((guess.class, guess.answered(), guess.agree()), (1, 3, 1));
        assert!((guess.probabilities[1] - 0.6).abs() < 1e-12, "{guess:?}");
        let [first, second, _] = alone;
        let guess = Guess::of(None, vec![first, None, second]);
        assert_eq!((guess.class, guess.answered(), guess.agree()), (0, 2, 2));
        assert!((guess.probabilities[0] - 0.575).abs() < 1e-12, "{guess:?}");
    }
}
