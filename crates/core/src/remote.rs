//! Files of others: where they are published, and what they hold.

/// A file of someone else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote<'a> {
    /// Where it is published.
    pub url: &'a str,
    /// The digest of its content in hexadecimal digits, or the first of them where no more is published.
    pub sha256: &'a str,
    /// About how many bytes it has.
    pub bytes: u64,
}

impl Remote<'_> {
    /// The last part of its address.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }

    /// More bytes than these are not taken: `bytes` is about right, and a server that sends without an end would
    /// fill the disk.
    pub(crate) fn most_bytes(&self) -> u64 {
        self.bytes + self.bytes / 8 + (1 << 20)
    }
}
