//! From a lit canvas to the pixels of a picture: blur, contrast, noise, 8 bits.

use ferrite_random::Random;

use crate::scene::Scene;

/// Takes the picture, which has as many rows as columns.
pub(super) fn expose(picture: Vec<f32>, scene: &Scene, random: &mut Random) -> Vec<u8> {
    let blurred = if scene.blur > 0.1 { blur(&picture, scene.blur) } else { picture };
    let mut expose = |light: f32| {
        let level = 0.47 + (light - 0.47) * scene.contrast + scene.exposure;
        let noisy = level + scene.noise * grain(random);
        (noisy.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    blurred.into_iter().map(&mut expose).collect()
}

/// A blur with a Gaussian of `radius` pixels, first along rows, then along columns.
fn blur(picture: &[f32], radius: f32) -> Vec<f32> {
    let size = picture.len().isqrt();
    let weights: [f32; 4] = std::array::from_fn(|away| {
        let away = away as f32 / radius;
        (-0.5 * away * away).exp()
    });
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    let smear = |from: &[f32], stride: usize| -> Vec<f32> {
        let pixel = |at: usize| {
            let place = at / stride % size;
            let first = at - place * stride;
            let pick = |index: usize| from[first + index.min(size - 1) * stride];
            let sides: f32 = (1..4)
                .map(|away| weights[away] * (pick(place + away) + pick(place.saturating_sub(away))))
                .sum();
            (weights[0] * from[at] + sides) / total
        };
        (0..from.len()).map(pixel).collect()
    };
    smear(&smear(picture, 1), size)
}

/// Close to normal with standard deviation 1: four uniform numbers from one draw, summed.
fn grain(random: &mut Random) -> f32 {
    let bits = random.bits();
    let sum: u64 = (0..4).map(|part| (bits >> (16 * part)) & 0xffff).sum();
    (sum as f32 / 65_536.0 - 2.0) * 3.0f32.sqrt()
}
