//! Numbers, times and paths as a reader wants them.

use std::path::{Component, Path};

use chrono::DateTime;
use ferrite_core::error::printable;
use ferrite_core::metrics::scores::Stat;

/// What stands where nothing is known.
pub(crate) const NOTHING: &str = "–";

/// `share` in percent with one digit, without the sign.
pub(crate) fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1}", share * 100.0) } else { "NaN".into() }
}

/// Percent with one digit, or three significant ones below 1 %.
pub(crate) fn small_percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent != 0.0 && percent.abs() < 1.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// The ends of an interval of shares in percent.
pub(crate) fn interval([low, high]: [f64; 2]) -> String {
    format!("{} to {}", percent(low), percent(high))
}

/// A difference of shares in percentage points with one digit and its sign.
pub(crate) fn points(difference: f64) -> String {
    let text = format!("{:+.1}", difference * 100.0);
    if text == "-0.0" || text == "+0.0" { "0.0".into() } else { text.replace('-', "−") }
}

/// A difference of scores with three digits and its sign.
pub(crate) fn signed(difference: f64) -> String {
    let text = format!("{difference:+.3}");
    if text == "-0.000" || text == "+0.000" { "0.000".into() } else { text.replace('-', "−") }
}

/// A p value as precise as it matters.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        _ if p.is_nan() => NOTHING.into(),
        ..0.001 => "< 0.001".into(),
        ..0.1 => format!("{p:.3}"),
        _ => format!("{p:.2}"),
    }
}

/// Mean of a share in percent and, with more than one seed, its standard deviation.
pub(crate) fn percent_stat(stat: &Stat) -> (String, Option<String>) {
    (percent(stat.mean), stat.sd.map(percent))
}

/// A score with three decimals.
pub(crate) fn score(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "NaN".into() }
}

/// A count rounded to three digits: `14.7 M`.
pub(crate) fn short_count(n: usize) -> String {
    match n {
        0..1_000 => n.to_string(),
        1_000..1_000_000 => format!("{:.1} K", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} M", n as f64 / 1e6),
        _ => format!("{:.2} G", n as f64 / 1e9),
    }
}

/// A learning rate with two digits: `4.8e-4`.
pub(crate) fn rate(value: f64) -> String {
    format!("{value:.1e}").replace(".0e", "e")
}

/// A time in the two units that matter.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return NOTHING.into();
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours} h {minutes:02} min")
    } else {
        format!("{minutes} min {rest:02} s")
    }
}

/// An energy, given in joules, in watt-hours, in which it is paid for.
pub(crate) fn energy(joules: f64) -> String {
    let hours = joules / 3600.0;
    match hours {
        _ if !hours.is_finite() || hours < 0.0 => NOTHING.into(),
        ..0.9995 => format!("{:.0} mWh", hours * 1000.0),
        ..9.995 => format!("{hours:.2} Wh"),
        ..99.95 => format!("{hours:.1} Wh"),
        ..999.5 => format!("{hours:.0} Wh"),
        _ => format!("{:.2} kWh", hours / 1000.0),
    }
}

/// A time that is a forecast, no more precise than it can be: `about 40 s`, `about 3 min`, `about 2 h 10 min`.
pub(crate) fn about(seconds: f64) -> String {
    let rounded = |each: f64| (seconds / each).round() * each;
    match seconds {
        _ if !seconds.is_finite() || seconds < 0.0 => NOTHING.into(),
        ..0.95 => "under 1 s".into(),
        ..9.5 => format!("about {seconds:.0} s"),
        ..57.5 => format!("about {:.0} s", rounded(5.0)),
        ..570.0 => {
            let whole = rounded(10.0) as u64;
            match (whole / 60, whole % 60) {
                (minutes, 0) => format!("about {minutes} min"),
                (minutes, rest) => format!("about {minutes} min {rest} s"),
            }
        }
        ..3570.0 => format!("about {:.0} min", seconds / 60.0),
        _ => {
            let whole = rounded(300.0) as u64 / 60;
            match (whole / 60, whole % 60) {
                (hours, 0) => format!("about {hours} h"),
                (hours, minutes) => format!("about {hours} h {minutes} min"),
            }
        }
    }
}

/// A number of bytes in the unit that fits, as disks are sold: `9.8 MB`.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// A moment in UTC to the minute; empty if it is none.
pub(crate) fn moment(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
    at.map_or_else(String::new, |it| it.format("%Y-%m-%d %H:%M UTC").to_string())
}

/// A moment in UTC to the millisecond, as ISO 8601 has it; empty if it is none.
pub(crate) fn iso_moment(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(DateTime::from_timestamp_millis);
    at.map_or_else(String::new, |it| it.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// `text` in a line of Markdown: shown as it is, whatever it holds.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in printable(text).chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' => out.extend(['\\', it]),
            it => out.push(it),
        }
    }
    out
}

/// `path` as a relative link: slashes between percent-encoded names.
pub(crate) fn link(path: &Path) -> String {
    let names = path.components().filter_map(|it| match it {
        Component::Normal(name) => Some(encode(&name.to_string_lossy())),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect::<Vec<_>>().join("/")
}

fn encode(name: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.~=,+@".contains(&it);
    let letter = |it| if plain(it) { char::from(it).to_string() } else { format!("%{it:02X}") };
    name.bytes().map(letter).collect()
}

/// `bytes` in base 64 with padding (RFC 4648), for data URIs.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |it: usize| u32::from(chunk.get(it).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit > chunk.len() { '=' } else { char::from(DIGITS[index]) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(short_count(14_714_688), "14.71 M");
        assert_eq!([0.000_482_244, 1e-3, 0.0].map(rate), ["4.8e-4", "1e-3", "0e0"]);
        assert_eq!(duration(59.0), "59.0 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(7260.0), "2 h 01 min");
        assert_eq!(duration(f64::NAN), NOTHING);
        assert_eq!(
            [45.0, 3597.0, 3600.0, 54_000.0, 3.5e6, 9e6].map(energy),
            ["12 mWh", "999 mWh", "1.00 Wh", "15.0 Wh", "972 Wh", "2.50 kWh"]
        );
        assert_eq!(percent(f64::NAN), "NaN");
        assert_eq!([0.0123, -0.02, -0.0001].map(points), ["+1.2", "−2.0", "0.0"]);
        assert_eq!([1e-9, 0.049, 0.5, 1.0].map(p_value), ["< 0.001", "0.049", "0.50", "1.00"]);
        assert_eq!(moment(1_700_000_000_000), "2023-11-14 22:13 UTC");
        assert_eq!(iso_moment(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn links_are_encoded_name_by_name() {
        assert_eq!(link(Path::new("a b/<x>#?/index.html")), "a%20b/%3Cx%3E%23%3F/index.html");
    }

    #[test]
    fn base64_agrees_with_the_standard() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
