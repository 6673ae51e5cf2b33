//! Which values of lines an axis shows: where lines that are compared lie, rather than all that one bad line or the first epochs
//! reach.

use super::canvas::At;
use super::lines::Line;

/// The first share of a line's x that is not settled yet.
const WARMING: f64 = 0.3;
/// How many times further than the settled values all values must reach before the axis leaves some out: where whole lines lie
/// apart from the others, and where only the first epochs do.
const WORTH_CUTTING: [f64; 2] = [1.8, 6.0];
/// How many spreads of the middle half a line may lie outside it.
const APART: f64 = 3.0;
/// How much further on the bad side than the best line on the good one.
const WORSE: f64 = 2.0;
/// From how many lines on one can lie apart from the others.
const ENOUGH: usize = 4;

/// The lowest and the highest value that an axis should show; none if it should show all. Good lines are always shown, and
/// whether these are the high ones is `rising`.
pub(super) fn robust(lines: &[Line], rising: bool) -> Option<[f64; 2]> {
    let settled: Vec<Vec<f64>> = lines.iter().map(settled).filter(|it| !it.is_empty()).collect();
    let centres: Vec<f64> = settled.iter().filter_map(|it| quantile(it, 0.5)).collect();
    let (low, high) = fences(&centres, rising)?;
    let apart = |at: usize| !(low..=high).contains(&centres[at]);
    let some_apart = (0..centres.len()).any(apart);
    let together = (0..settled.len()).filter(|it| !apart(*it)).flat_map(|it| &settled[it]);
    let [low, high] = ends(together.copied())?;
    let [lowest, highest] = ends(lines.iter().flat_map(Line::values))?;
    let worth = WORTH_CUTTING[usize::from(!some_apart)];
    let room = ((high - low) * 0.06).max(high.abs() * 1e-3);
    (highest - lowest > worth * (high - low) && high > low)
        .then(|| [(low - room).max(lowest), (high + room).min(highest)])
}

/// Between which centres a line is one of the others.
fn fences(centres: &[f64], rising: bool) -> Option<(f64, f64)> {
    if centres.len() < ENOUGH {
        return Some((f64::MIN, f64::MAX));
    }
    let [first, middle, last] = [0.25, 0.5, 0.75].map(|it| quantile(centres, it));
    let (first, middle, last) = (first?, middle?, last?);
    let [lowest, highest] = ends(centres.iter().copied())?;
    let better = if rising { highest - middle } else { middle - lowest };
    let room = (APART * (last - first)).max(WORSE * better);
    Some(if rising { (first - room, f64::MAX) } else { (f64::MIN, last + room) })
}

/// The values of a line from where it has settled, and those that stand out.
fn settled(line: &Line) -> Vec<f64> {
    let all = || line.points.iter().chain(&line.tail);
    let last = all().map(|it| it.0).fold(1.0, f64::max);
    let late = |x: f64| x >= 1.0 + (last - 1.0) * WARMING;
    let means = all().filter(|it| late(it.0)).map(|it| it.1);
    let bands = line.band.iter().filter(|it| late(it.0)).flat_map(|it| [it.1, it.2]);
    let dots = line.dots.iter().map(|it| it.1);
    means.chain(bands).chain(dots).filter(|it| it.is_finite()).collect()
}

fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = share * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    Some(below + (above - below) * at.fract())
}

fn ends(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.filter(|it| it.is_finite()).fold(None, |ends, it| {
        let [low, high] = ends.unwrap_or([it, it]);
        Some([low.min(it), high.max(it)])
    })
}

/// The pieces of a polyline between the heights `top` and `bottom`, and a place at the edge for each stretch outside.
pub(super) fn clip(points: &[At], top: f64, bottom: f64) -> (Vec<Vec<At>>, Vec<At>) {
    let inside = |it: &At| (top - 1e-6..=bottom + 1e-6).contains(&it.1);
    let edge = |it: &At| (it.0, it.1.clamp(top, bottom));
    let (mut pieces, mut outs) = (vec![Vec::new()], Vec::new());
    for (at, point) in points.iter().enumerate() {
        let before = at.checked_sub(1).map(|it| points[it]);
        let crossing = before.and_then(|it| crossing(it, *point, top, bottom));
        match (inside(point), before.is_some_and(|it| inside(&it))) {
            (true, false) => {
                pieces.push(crossing.into_iter().chain([*point]).collect());
            }
            (true, true) => pieces.last_mut().into_iter().for_each(|it| it.push(*point)),
            (false, true) => {
                pieces.last_mut().into_iter().for_each(|it| it.extend(crossing));
                outs.push(crossing.unwrap_or_else(|| edge(point)));
            }
            (false, false) if before.is_none() => outs.push(edge(point)),
            (false, false) => {}
        }
    }
    pieces.retain(|it| !it.is_empty());
    (pieces, outs)
}

/// Where the way from `from` to `to`, of which one lies outside, crosses the edge.
fn crossing(from: At, to: At, top: f64, bottom: f64) -> Option<At> {
    let outer = if (top..=bottom).contains(&from.1) { to } else { from };
    let edge = outer.1.clamp(top, bottom);
    let share = (edge - from.1) / (to.1 - from.1);
    (0.0..=1.0).contains(&share).then_some((from.0 + (to.0 - from.0) * share, edge))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::Style;

    fn line(values: impl Fn(f64) -> f64) -> Line {
        let points = (1..=20).map(|it| (f64::from(it), values(f64::from(it)))).collect();
        Line { points, ..Line::new(Style(0)) }
    }

    #[test]
    fn one_bad_line_does_not_set_the_axis() {
        let mut lines: Vec<_> =
            (0..9).map(|at| line(move |_| 0.60 + 0.005 * f64::from(at))).collect();
        assert_eq!(robust(&lines, true), None, "all are together");
        lines.push(line(|_| 0.2));
        let [low, high] = robust(&lines, true).unwrap();
        assert!(low > 0.59 && low <= 0.6 && (0.64..0.65).contains(&high), "{low} {high}");
        lines.pop();
        lines.push(line(|_| 0.9));
        assert_eq!(robust(&lines, true), None, "the best is shown, however much better it is");
    }

    #[test]
    fn a_first_epoch_far_from_the_others_is_left_out_and_a_common_curve_is_not() {
        let wild = line(|x| if x < 3.0 { 40.0 / x } else { 1.0 + 0.01 * x });
        assert!(robust(&[wild], false).unwrap()[1] < 2.0);
        assert_eq!(robust(&[line(|x| 2.0 / x.sqrt())], false), None);
        assert_eq!(robust(&[], true), None);
        assert_eq!(robust(&[line(|_| f64::NAN)], true), None);
    }

    #[test]
    fn what_leaves_the_axis_is_cut_at_its_edge() {
        let points = [(0.0, 5.0), (1.0, 15.0), (2.0, 15.0), (3.0, 5.0), (4.0, -5.0)];
        let (pieces, outs) = clip(&points, 0.0, 10.0);
        assert_eq!(
            pieces,
            [vec![(0.0, 5.0), (0.5, 10.0)], vec![(2.5, 10.0), (3.0, 5.0), (3.5, 0.0)]]
        );
        assert_eq!(outs, [(0.5, 10.0), (3.5, 0.0)]);
        assert_eq!(clip(&[(0.0, 20.0), (1.0, 30.0)], 0.0, 10.0).1, [(0.0, 10.0)]);
    }
}
