//! Which faces of a video are one face: those that lie over each other from picture to picture.

use crate::predict::Guess;

/// How much of their common area two faces of one track share at least, as in SORT (Bewley et al. 2016).
const LEAST: f32 = 0.3;

/// In how many pictures a face may be missing before it counts as another one.
const MISSING: usize = 1;

/// The faces of a video that were seen so far.
#[derive(Debug, Default)]
pub struct Tracks {
    /// Those that may go on.
    open: Vec<Track>,
    count: usize,
}

#[derive(Debug)]
struct Track {
    number: usize,
    /// Where it was seen last: left, top, width, height.
    bounds: [f32; 4],
    /// In how many pictures it was missing since.
    missing: usize,
}

impl Tracks {
    /// Gives each face of the next picture the number of its track, from 1: that of the face before which it lies over most,
    /// the best pairs first, or a new one.
    pub(super) fn follow(&mut self, guesses: &mut [Guess]) {
        let mut pairs = Vec::new();
        for (at, guess) in guesses.iter().enumerate() {
            let Some(face) = &guess.face else { continue };
            let shared = self.open.iter().map(|it| common(it.bounds, face.bounds));
            pairs.extend(shared.enumerate().map(|(track, share)| (share, at, track)));
        }
        pairs.retain(|it| it.0 >= LEAST);
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.open.iter_mut().for_each(|it| it.missing += 1);
        for (_, at, track) in pairs {
            let (guess, track) = (&mut guesses[at], &mut self.open[track]);
            if guess.track.is_none() && track.missing > 0 {
                guess.track = Some(track.number);
                track.missing = 0;
                track.bounds = guess.face.as_ref().map_or(track.bounds, |it| it.bounds);
            }
        }
        self.open.retain(|it| it.missing <= MISSING);
        for guess in guesses.iter_mut().filter(|it| it.track.is_none()) {
            let Some(face) = &guess.face else { continue };
            self.count += 1;
            guess.track = Some(self.count);
            self.open.push(Track { number: self.count, bounds: face.bounds, missing: 0 });
        }
    }
}

/// The share of two rectangles' common area in the area that they cover together.
fn common(a: [f32; 4], b: [f32; 4]) -> f32 {
    let along = |at: usize| {
        let end = (a[at] + a[at + 2]).min(b[at] + b[at + 2]);
        (end - a[at].max(b[at])).max(0.0)
    };
    let both = along(0) * along(1);
    let [first, second] = [a, b].map(|it| it[2] * it[3]);
    both / (first + second - both).max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use ferrite_core::data::faces::found::{Face, Landmarks};

    use super::*;

    /// The numbers that faces of 10x10 pixels at these places get, picture by picture.
    fn followed(pictures: &[&[f32]]) -> Vec<Vec<usize>> {
        let mut tracks = Tracks::default();
        let numbers = pictures.iter().map(|lefts| {
            let face = |left: &f32| Face {
                bounds: [*left, 0.0, 10.0, 10.0],
                score: 1.0,
                landmarks: Landmarks::Unknown,
            };
            let guess = |it| Guess {
                face: Some(face(it)),
                track: None,
                class: 0,
                probabilities: Vec::new(),
            };
            let mut guesses: Vec<Guess> = lefts.iter().map(guess).collect();
            tracks.follow(&mut guesses);
            guesses.iter().map(|it| it.track.unwrap()).collect()
        });
        numbers.collect()
    }

    #[test]
    fn a_face_keeps_its_number_as_long_as_it_lies_over_where_it_was() {
        assert_eq!(
            followed(&[&[0.0, 50.0], &[52.0, 2.0], &[4.0]]),
            [vec![1, 2], vec![2, 1], vec![1]]
        );
        // 5 of 15 pixels are common, then 4 of 16.
        assert_eq!(followed(&[&[0.0], &[5.0], &[11.0]]), [vec![1], vec![1], vec![2]]);
        // It may be missing once.
        assert_eq!(followed(&[&[0.0], &[], &[0.0]]), [vec![1], vec![], vec![1]]);
        assert_eq!(followed(&[&[0.0], &[], &[], &[0.0]]), [vec![1], vec![], vec![], vec![2]]);
        // Of two that lie over one the nearer goes on.
        assert_eq!(followed(&[&[0.0], &[3.0, 1.0]]), [vec![1], vec![2, 1]]);
    }
}
