//! Random numbers as a function of (seed, use, epoch, item).
//!
//! There is no generator state to save: whoever knows the four numbers draws the same values again,
//! which is what makes a resumed run equal to an undisturbed one.
//!
//! **Invariant:** nothing here is shared or global.

/// What random numbers are drawn for. Two uses never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Use {
    /// Drawing a synthetic face.
    Face = 1,
    /// Choosing rows for splits and subsets.
    Split = 2,
    /// The order of training images in an epoch.
    Shuffle = 3,
    /// Augmenting one image.
    Augment = 4,
    /// Initial weights.
    Init = 5,
    /// Dropout masks, residuals that are left out, and noise layers, drawn on the device.
    Layers = 6,
    /// Telling the stages of a trial apart.
    Stage = 7,
    /// Mixing the images of a batch with one another.
    Mix = 8,
    /// Choosing the images of an epoch, where it is not each of them once.
    Sample = 9,
    /// Measuring what random layers do, beside training.
    Evidence = 10,
    /// Drawing the points of a search.
    Search = 11,
    /// Which images are mirrored in the first of the epochs that mirror them in turns.
    Flip = 12,
}

/// A stream of random numbers: `SplitMix64` (Steele, Lea, Flood 2014, <https://doi.org/10.1145/2714064.2660195>).
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    /// The stream that belongs to these four numbers.
    pub fn at(seed: u64, purpose: Use, epoch: u64, item: u64) -> Self {
        let state = [purpose as u64, epoch, item]
            .into_iter()
            .fold(mix(seed.wrapping_add(GOLDEN)), |state, it| {
                mix(state.wrapping_mul(GOLDEN).wrapping_add(it).wrapping_add(GOLDEN))
            });
        Self { state }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// Uniform in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Normal with mean 0 and standard deviation 1 (Box-Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// From the gamma distribution of this shape and scale 1 (Marsaglia & Tsang 2000,
    /// <https://doi.org/10.1145/358407.358414>).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let less = (1.0 - self.unit()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * less;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d * (1.0 - v + v.ln()) {
                return d * v;
            }
        }
    }

    /// From the beta distribution, in `0.0..=1.0`.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        // Tiny shapes can give two zeros: then it lies at one of its ends.
        if x + y > 0.0 { x / (x + y) } else { f64::from(u8::from(self.chance(a / (a + b)))) }
    }

    /// Uniform in `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Puts `items` into a random order (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_four_numbers_give_the_same_stream_and_others_do_not() {
        let draw = |seed, purpose, epoch, item| Random::at(seed, purpose, epoch, item).bits();
        let first = draw(1, Use::Shuffle, 2, 3);
        assert_eq!(first, draw(1, Use::Shuffle, 2, 3));
        for other in [
            draw(2, Use::Shuffle, 2, 3),
            draw(1, Use::Augment, 2, 3),
            draw(1, Use::Shuffle, 3, 2),
            draw(1, Use::Shuffle, 2, 4),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn uniform_and_normal_have_their_moments() {
        let mut random = Random::at(0, Use::Init, 0, 0);
        let n = 100_000;
        let uniform: f64 = (0..n).map(|_| random.unit()).sum::<f64>() / f64::from(n);
        let normals: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|it| it * it).sum::<f64>() / f64::from(n);
        assert!((uniform - 0.5).abs() < 0.005, "{uniform}");
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn beta_has_its_moments() {
        for (a, b) in [(0.2, 0.2), (1.0, 1.0), (0.5, 2.0), (4.0, 3.0)] {
            let mut random = Random::at(5, Use::Mix, 0, 0);
            let n = 50_000;
            let values: Vec<f64> = (0..n).map(|_| random.beta(a, b)).collect();
            assert!(values.iter().all(|it| (0.0..=1.0).contains(it)));
            let mean = values.iter().sum::<f64>() / f64::from(n);
            let variance = values.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / f64::from(n);
            let expected = [a / (a + b), a * b / ((a + b).powi(2) * (a + b + 1.0))];
            let off = [mean - expected[0], variance - expected[1]];
            assert!(off.iter().all(|it| it.abs() < 0.01), "{mean} {variance} {expected:?}");
        }
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<usize> = (0..100).collect();
        Random::at(3, Use::Shuffle, 0, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
