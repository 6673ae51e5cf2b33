//! Images that two configurations see differently.

use ferrite_core::metrics::Prediction;

/// What became of the images that two configurations have in common.
pub(crate) struct Images<'a> {
    /// Under each seed, by its name.
    pub(crate) seeds: Vec<(String, Sides)>,
    /// The same of all seeds together: an image counts once under each.
    pub(crate) sum: Sides,
    /// An image is right here if it is under more than half of the seeds.
    pub(crate) majority: Sides,
    /// Every image, the one whose true class gained or lost most probability first.
    pub(crate) all: Vec<Seen<'a>>,
}

/// How many images are right on which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sides {
    /// Right under both.
    pub(crate) both: usize,
    /// Right under the first, wrong under the second.
    pub(crate) lost: usize,
    /// Wrong under the first, right under the second.
    pub(crate) gained: usize,
    /// Wrong under both.
    pub(crate) neither: usize,
}

/// One image as both see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen<'a> {
    pub(crate) id: &'a str,
    /// Number of its class.
    pub(crate) truth: usize,
    /// What each took it for under most seeds.
    pub(crate) said: [usize; 2],
    /// Under how many seeds each was right.
    pub(crate) right: [usize; 2],
    /// Probability of its class, on average over the seeds; none without probabilities.
    pub(crate) probability: Option<[f64; 2]>,
}

impl Sides {
    fn count(&mut self, first: bool, second: bool) {
        let place = match (first, second) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.lost,
            (false, true) => &mut self.gained,
            (false, false) => &mut self.neither,
        };
        *place += 1;
    }

    fn plus(self, other: Self) -> Self {
        Self {
            both: self.both + other.both,
            lost: self.lost + other.lost,
            gained: self.gained + other.gained,
            neither: self.neither + other.neither,
        }
    }
}

impl Seen<'_> {
    /// How much more probable the second finds its class; none without probabilities.
    pub(crate) fn change(&self) -> Option<f64> {
        self.probability.map(|[first, second]| second - first)
    }

    /// Whether most seeds are right on one side and not on the other.
    pub(crate) fn changed_side(&self, seeds: usize) -> bool {
        let [first, second] = self.right.map(|it| 2 * it > seeds);
        first != second
    }
}

/// What became of the images of `tables`: predictions of the first and of the second under each of `seeds`.
pub(super) fn images<'a>(seeds: &[&str], tables: &[Vec<&'a Prediction>]) -> Images<'a> {
    let of_seed = |(seed, pair): (&&str, &[Vec<&Prediction>])| {
        let mut sides = Sides::default();
        for (first, second) in pair[0].iter().zip(&pair[1]) {
            sides.count(first.is_right(), second.is_right());
        }
        ((*seed).to_owned(), sides)
    };
    let by_seed: Vec<_> = seeds.iter().zip(tables.chunks_exact(2)).map(of_seed).collect();
    let n = tables.first().map_or(0, Vec::len);
    let mut all: Vec<Seen<'a>> = (0..n).map(|image| seen(image, tables)).collect();
    let mut majority = Sides::default();
    for it in &all {
        let [first, second] = it.right.map(|it| 2 * it > seeds.len());
        majority.count(first, second);
    }
    let size = |it: &Seen<'_>| it.change().filter(|it| it.is_finite()).map_or(-1.0, f64::abs);
    all.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.id.cmp(b.id)));
    let sum = by_seed.iter().fold(Sides::default(), |sum, it| sum.plus(it.1));
    Images { seeds: by_seed, sum, majority, all }
}

fn seen<'a>(image: usize, tables: &[Vec<&'a Prediction>]) -> Seen<'a> {
    let of_side = |side: usize| tables.iter().skip(side).step_by(2).map(move |it| it[image]);
    let said = |side: usize| {
        let votes = |class: usize| of_side(side).filter(|it| it.predicted == class).count();
        // Of several that were said as often it is the one of the first seed.
        let mut most = tables[side][image].predicted;
        for it in of_side(side) {
            if votes(it.predicted) > votes(most) {
                most = it.predicted;
            }
        }
        most
    };
    let probability = |side: usize| {
        let all: Option<Vec<f64>> =
            of_side(side).map(|it| it.probabilities.get(it.truth).copied()).collect();
        all.map(|it| it.iter().sum::<f64>() / it.len() as f64)
    };
    let first = tables[0][image];
    Seen {
        id: &first.id,
        truth: first.truth,
        said: [said(0), said(1)],
        right: [0, 1].map(|side| of_side(side).filter(|it| it.is_right()).count()),
        probability: probability(0).zip(probability(1)).map(|(a, b)| [a, b]),
    }
}
