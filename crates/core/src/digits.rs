//! Numbers and bytes as the digits that files and people read.

use std::fmt::Write;

/// Bytes as hexadecimal digits, two each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// A count with its thousands set apart: `14,714,688`.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count of things, in the singular or the plural: `1 run`, `2 runs`.
pub fn counted(n: usize, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_complete_and_thousands_apart() {
        assert_eq!(hex(&[0, 9, 171, 255]), "0009abff");
        for (count, expected) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (14_714_688, "14,714,688")]
        {
            assert_eq!(thousands(count), expected);
        }
        assert_eq!([0, 1, 2000].map(|it| counted(it, "run")), ["0 runs", "1 run", "2,000 runs"]);
    }
}
