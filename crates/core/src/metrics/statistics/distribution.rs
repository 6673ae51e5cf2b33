//! Distributions: binomial and Student's t.

/// Logarithm of the gamma function of `x` > 0, by Lanczos' series with g = 7 and nine terms (Godfrey
/// 2001); good to 13 digits.
pub fn ln_gamma(x: f64) -> f64 {
    const SERIES: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        // The reflection formula.
        let sine = (std::f64::consts::PI * x).sin();
        return (std::f64::consts::PI / sine).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let terms = SERIES.iter().enumerate().map(|(at, it)| it / (x + at as f64 + 1.0));
    let sum = 0.999_999_999_999_809_9 + terms.sum::<f64>();
    let base = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * base.ln() - base + sum.ln()
}

/// The regularised incomplete beta function of `x` in 0..=1, by its continued fraction (Press et al.,
/// Numerical Recipes, 3rd edition, 6.4).
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges fast on this side of the mean only.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    front.exp() / (a * beta_fraction(a, b, x))
}

/// The continued fraction that the incomplete beta function is divided by, by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const MOST: usize = 10_000;
    let away = |it: f64| if it.abs() < TINY { TINY } else { it };
    let (mut value, mut above, mut below) = (1.0, 1.0, 0.0);
    for step in 1..MOST {
        let half = (step / 2) as f64;
        let at = a + 2.0 * half;
        let term = if step % 2 == 0 {
            half * (b - half) * x / ((at - 1.0) * at)
        } else {
            -(a + half) * (a + b + half) * x / (at * (at + 1.0))
        };
        below = 1.0 / away(1.0 + term * below);
        above = away(1.0 + term / above);
        value *= above * below;
        if (above * below - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// Chance that Student's t with `df` degrees of freedom is further from 0 than `t`.
pub fn t_two_sided(t: f64, df: f64) -> f64 {
    incomplete_beta(df / 2.0, 0.5, df / (df + t * t))
}

/// The t beyond which a share `tail` of Student's distribution lies, both ends together.
pub fn t_critical(tail: f64, df: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while t_two_sided(high, df) > tail && high < 1e12 {
        high *= 2.0;
    }
    // Halving what is left until two neighbouring numbers are.
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return high;
        }
        if t_two_sided(middle, df) > tail { low = middle } else { high = middle }
    }
}

/// Chance of at most `k` heads among `n` throws of a coin.
pub fn coin_at_most(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta((n - k) as f64, k as f64 + 1.0, 0.5) }
}

/// The binomial distribution of `n` trials with chance `p`: its first outcome that is not negligible,
/// and the chances from there on. What is left out is below 1e-16 together.
pub fn binomial(n: usize, p: f64) -> (usize, Vec<f64>) {
    const NEGLIGIBLE: f64 = 1e-22;
    let mode = (((n + 1) as f64 * p) as usize).min(n);
    if p <= 0.0 || p >= 1.0 {
        return (mode, vec![1.0]);
    }
    let odds = p / (1.0 - p);
    // From the most likely outcome to both sides, by the ratio of neighbours.
    let up = (mode..n).scan(1.0, |chance, k| {
        *chance *= odds * (n - k) as f64 / (k + 1) as f64;
        (*chance > NEGLIGIBLE).then_some(*chance)
    });
    let down = (1..=mode).rev().scan(1.0, |chance, k| {
        *chance *= k as f64 / (odds * (n + 1 - k) as f64);
        (*chance > NEGLIGIBLE).then_some(*chance)
    });
    let mut chances: Vec<f64> = down.collect();
    let first = mode - chances.len();
    chances.reverse();
    chances.push(1.0);
    chances.extend(up);
    let sum: f64 = chances.iter().sum();
    (first, chances.into_iter().map(|it| it / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(it: f64, expected: f64) {
        assert!((it / expected - 1.0).abs() < 1e-10, "{it} is not {expected}");
    }

    // All numbers below were recorded from SciPy 1.16.

    #[test]
    fn the_gamma_function_agrees_with_scipy() {
        close(ln_gamma(0.3), 1.095_797_994_818_075_6);
        close(ln_gamma(5.5), 3.957_813_967_618_716_5);
        close(ln_gamma(1794.5), 11_647.931_173_765_66);
    }

    #[test]
    fn students_t_agrees_with_scipy() {
        // 2 * t.sf(t, df)
        close(t_two_sided(2.0, 1.0), 0.295_167_235_300_866_5);
        close(t_two_sided(2.5, 2.7), 0.097_079_414_442_934_68);
        close(t_two_sided(-1.96, 3588.0), 0.050_073_080_801_457_36);
        close(t_two_sided(10.0, 4.0), 0.000_562_003_622_715_991);
        close(t_two_sided(0.3, 12.5), 0.769_107_743_968_534_7);
        assert_eq!(t_two_sided(0.0, 3.0), 1.0);
        // t.ppf(0.975, df)
        for (df, expected) in [
            (1.0, 12.706_204_736_174_694),
            (2.0, 4.302_652_729_749_462),
            (3.7, 2.867_520_707_191_189_5),
            (30.0, 2.042_272_456_301_237_8),
            (3588.0, 1.960_625_371_964_363_8),
        ] {
            close(t_critical(0.05, df), expected);
        }
    }

    #[test]
    fn binomial_chances_agree_with_scipy() {
        let (first, chances) = binomial(10, 0.3);
        assert_eq!((first, chances.len()), (0, 11));
        close(chances[0], 0.028_247_524_9);
        close(chances[3], 0.266_827_932);
        close(chances[10], 5.9049e-6);
        close(coin_at_most(3, 10), 0.171_875);
        let (first, chances) = binomial(1_000_000, 0.5);
        assert!(first > 490_000 && chances.len() < 20_000, "the ends are left out");
        assert_eq!((binomial(4, 0.0), binomial(4, 1.0)), ((0, vec![1.0]), (4, vec![1.0])));
    }
}
