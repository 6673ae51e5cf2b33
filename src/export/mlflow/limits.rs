//! What a tracking server of MLflow takes, and what is sent so that it takes it.
//!
//! A request that is too large is refused whole; a value that is too long is cut off by the server without a word, so it is
//! cut here, and ends in `…` then.

use ferrite_core::digits::hex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::export::history::Point;

/// The most of each in one request, and the most of all together.
const METRICS: usize = 1000;
const PARAMS: usize = 100;
const TAGS: usize = 100;

/// The most characters of the value of a parameter, of a tag, and of any key.
const PARAM_LENGTH: usize = 6000;
const TAG_LENGTH: usize = 8000;
const KEY_LENGTH: usize = 250;

/// The metrics of one request: as many as it may have beside one tag.
pub(super) fn batches(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    points.chunks(METRICS - 1)
}

/// Parameters as the server takes them, as many at once as it takes.
pub(super) fn params<'a>(
    all: impl Iterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = Vec<Value>> {
    in_batches(all, PARAMS, PARAM_LENGTH)
}

/// Tags as the server takes them, as many at once as it takes.
pub(super) fn tags<'a>(
    all: impl Iterator<Item = (&'a String, &'a String)>,
) -> impl Iterator<Item = Vec<Value>> {
    in_batches(all, TAGS, TAG_LENGTH)
}

fn in_batches<'a>(
    all: impl Iterator<Item = (&'a String, &'a String)>,
    most: usize,
    longest: usize,
) -> impl Iterator<Item = Vec<Value>> {
    let all: Vec<Value> = all
        .map(|(name, value)| json!({ "key": key(name), "value": cut(value, longest) }))
        .collect();
    let batches: Vec<Vec<Value>> = all.chunks(most).map(<[Value]>::to_vec).collect();
    batches.into_iter()
}

/// The value of a tag as the server keeps it.
pub(super) fn tag_value(value: &str) -> String {
    cut(value, TAG_LENGTH)
}

/// A metric as the server takes it.
pub(super) fn metric(point: &Point) -> Value {
    json!({
        "key": key(&point.name),
        "value": number(point.value),
        "timestamp": point.at_ms,
        "step": point.step,
    })
}

/// `name` as a key: letters, digits, `_`, `-`, `.`, `/` and blanks; any other character by its number, and a name that is
/// too long with digits of a digest in the place of its end. Servers take a key for a path, which must be no other one's.
pub(super) fn key(name: &str) -> String {
    let is_path = name.split('/').all(|it| !matches!(it, "" | "." | ".."));
    let fits = |it: char| match it {
        '/' | '.' => is_path,
        _ => it.is_alphanumeric() || matches!(it, '_' | '-' | ' '),
    };
    let written = |it: char| if fits(it) { it.to_string() } else { format!("_{:04x}_", it as u32) };
    let key: String = name.chars().map(written).collect();
    if key.chars().count() <= KEY_LENGTH {
        return key;
    }
    let digest = hex(&Sha256::digest(name)[..8]);
    let begin: String = key.chars().take(KEY_LENGTH - digest.len() - 1).collect();
    format!("{begin}-{digest}")
}

/// A number as the server takes it: JSON has no word for what is none, and a bare `NaN` would be stored as 0.
fn number(value: f64) -> Value {
    match value {
        _ if value.is_nan() => json!("NaN"),
        f64::INFINITY => json!("Infinity"),
        f64::NEG_INFINITY => json!("-Infinity"),
        _ => json!(value),
    }
}

fn cut(value: &str, longest: usize) -> String {
    if value.chars().count() <= longest {
        return value.to_owned();
    }
    value.chars().take(longest - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_never_holds_more_than_the_server_takes() {
        let point = |step| Point { name: "loss/train".into(), step, at_ms: 1, value: 0.5 };
        let points: Vec<Point> = (0..2500).map(point).collect();
        let sizes: Vec<usize> = batches(&points).map(<[Point]>::len).collect();
        assert_eq!(sizes, [999, 999, 502]);
        let settings: Vec<(String, String)> =
            (0..250).map(|it| (format!("key.{it}"), "ä".repeat(9000))).collect();
        let pairs = || settings.iter().map(|(key, value)| (key, value));
        let length = |it: &Value| it["value"].as_str().unwrap().chars().count();
        for (batches, longest) in
            [(params(pairs()).collect::<Vec<_>>(), 6000), (tags(pairs()).collect(), 8000)]
        {
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
            assert!(batches.iter().flatten().all(|it| length(it) == longest));
            assert!(batches[0][0]["value"].as_str().unwrap().ends_with("ä…"));
        }
    }

    #[test]
    fn what_is_no_number_is_a_word_that_the_server_knows() {
        let value = |value| {
            metric(&Point { name: "a".into(), step: 1, at_ms: 2, value })["value"].to_string()
        };
        let words = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(value);
        assert_eq!(words, ["\"NaN\"", "\"Infinity\"", "\"-Infinity\""]);
        assert_eq!(value(0.1), "0.1");
    }

    #[test]
    fn a_key_has_only_what_a_key_may_have_and_different_names_stay_different() {
        assert_eq!(key("loss/train"), "loss/train");
        assert_eq!(key("gradient_norm/fc*1"), "gradient_norm/fc_002a_1");
        assert_eq!(["a//b", "..", "a:b"].map(key), ["a_002f__002f_b", "_002e__002e_", "a_003a_b"]);
        let long = ["a", "b"].map(|end| key(&("x".repeat(400) + end)));
        assert!(long.iter().all(|it| it.chars().count() == 250) && long[0] != long[1], "{long:?}");
    }
}
