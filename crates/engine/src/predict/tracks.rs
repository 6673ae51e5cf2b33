//! Which faces of a video are one face: those that lie over each other from picture to picture.

use crate::predict::overlap::pairs;
use crate::predict::said::Guess;

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
        let bounds = guesses.iter().map(|it| it.face.as_ref().map(|it| it.bounds));
        let Some(bounds) = bounds.collect::<Option<Vec<_>>>() else { return };
        let before: Vec<[f32; 4]> = self.open.iter().map(|it| it.bounds).collect();
        self.open.iter_mut().for_each(|it| it.missing += 1);
        for [track, at] in pairs(&before, &bounds) {
            let track = &mut self.open[track];
            guesses[at].track = Some(track.number);
            (track.bounds, track.missing) = (bounds[at], 0);
        }
        self.open.retain(|it| it.missing <= MISSING);
        for (guess, bounds) in guesses.iter_mut().zip(bounds) {
            if guess.track.is_none() {
                self.count += 1;
                guess.track = Some(self.count);
                self.open.push(Track { number: self.count, bounds, missing: 0 });
            }
        }
    }
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
            let guess = |it| Guess::of(Some(face(it)), vec![Some(vec![1.0])]);
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
