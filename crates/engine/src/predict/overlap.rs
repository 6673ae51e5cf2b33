//! Which rectangles are of one face: those that lie over each other, in pictures of a video or found by several detectors.

/// How much of their common area two rectangles of one face share at least, as in SORT (Bewley et al. 2016).
const LEAST: f32 = 0.3;

/// Which of the rectangles `now` (left, top, width, height) are of the face of one `before`: the numbers of both, the best pairs
/// first, each rectangle in at most one.
pub(super) fn pairs(before: &[[f32; 4]], now: &[[f32; 4]]) -> Vec<[usize; 2]> {
    let mut all = Vec::new();
    for (at, rectangle) in now.iter().enumerate() {
        let shared = before.iter().map(|it| common(*it, *rectangle));
        all.extend(shared.enumerate().map(|(earlier, share)| (share, [earlier, at])));
    }
    all.retain(|it| it.0 >= LEAST);
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut pairs: Vec<[usize; 2]> = Vec::new();
    for (_, [earlier, at]) in all {
        if !pairs.iter().any(|it| it[0] == earlier || it[1] == at) {
            pairs.push([earlier, at]);
        }
    }
    pairs
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
