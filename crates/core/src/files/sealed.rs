//! JSON objects that vouch for themselves: their last member is a checksum of all that stands before it.

use crc32fast::hash;

/// What stands before the checksum at the end of an object, and behind it.
const BEFORE: &str = ",\"crc32\":\"";
const BEHIND: &str = "\"}";
const DIGITS: usize = 8;

/// The end of an object whose text before it, without its closing brace, has this checksum.
pub fn end(crc32: u32) -> String {
    format!("{BEFORE}{crc32:08x}{BEHIND}")
}

/// What the checksum at the end of `object` covers of it, and the checksum; all of it if there is none.
pub fn split(object: &[u8]) -> (&[u8], Option<u32>) {
    let checksum = || {
        let rest = object.strip_suffix(BEHIND.as_bytes())?;
        let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(DIGITS)?)?;
        let said = rest.strip_suffix(BEFORE.as_bytes())?;
        Some((said, u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?))
    };
    checksum().map_or((object, None), |(said, it)| (said, Some(it)))
}

/// The object in `json` with its checksum.
pub fn seal(mut json: String) -> String {
    let brace = json.pop();
    debug_assert_eq!(brace, Some('}'), "only an object can be sealed");
    json.push_str(&end(hash(json.as_bytes())));
    json
}

/// The object that was sealed, without its checksum; none if these are not the bytes that were.
pub fn opened(sealed: &[u8]) -> Option<Vec<u8>> {
    let (said, checksum) = split(sealed);
    (checksum? == hash(said)).then(|| [said, b"}"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_and_nothing_else_is() {
        let json = r#"{"a":1,"b":[2,3]}"#;
        let sealed = seal(json.to_owned());
        assert_eq!(opened(sealed.as_bytes()).unwrap(), json.as_bytes());
        assert!(serde_json::from_str::<serde_json::Value>(&sealed).is_ok());
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone().into_bytes();
                flipped[at] ^= 1 << bit;
                // Capital digits of the checksum are the same number.
                let opened = opened(&flipped);
                assert!(opened.is_none_or(|it| it == json.as_bytes()), "byte {at}");
            }
            assert_eq!(opened(&sealed.as_bytes()[..at]), None);
        }
        assert_eq!(opened(json.as_bytes()), None);
    }
}
