//! The bytes of a pickle, taken from the front, and the numbers and texts in them.

use crate::model::weights::pickle::Value;

/// Bytes that are read from the front.
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|it| *it <= self.bytes.len());
        let end = end.ok_or_else(|| "it ends in the middle of its list of tensors".to_owned())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of `width` bytes without a sign.
    pub(super) fn number(&mut self, width: usize) -> Result<usize, String> {
        let bytes = self.take(width)?;
        let number = bytes.iter().rev().fold(0_u64, |number, it| number << 8 | u64::from(*it));
        usize::try_from(number).map_err(|_| "it holds a size that cannot be".to_owned())
    }

    /// Bytes behind their count, which takes `width` bytes.
    pub(super) fn counted(&mut self, width: usize) -> Result<&'a [u8], String> {
        let count = self.number(width)?;
        self.take(count)
    }

    /// A text; what is none, such as the name of a file from another system, is a plain value.
    pub(super) fn text(&mut self, width: usize) -> Result<Value<'a>, String> {
        Ok(std::str::from_utf8(self.counted(width)?).map_or(Value::Plain, Value::Text))
    }

    pub(super) fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
        let line = self.take(length)?;
        self.take(1)?;
        utf8(line)
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "it holds a name that is no text".to_owned())
}

/// A little-endian number with a sign, as wide as its bytes; one too wide to be a size is a plain value.
pub(super) fn signed(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 16 {
        return Value::Plain;
    }
    let fill = if bytes.last().is_some_and(|it| *it >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i128::from_le_bytes(wide))
}

/// A number without a sign.
pub(super) fn unsigned<'a>(number: usize) -> Value<'a> {
    Value::Int(number as i128)
}
