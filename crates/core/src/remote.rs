//! Files of others: where they are published, and what they hold.

/// A file of someone else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote<'a> {
    /// Where it is published.
    pub url: &'a str,
    /// What its content is told by.
    pub checksum: Checksum<'a>,
    /// About how many bytes it has.
    pub bytes: u64,
}

/// What the content of a file is told by: as who publishes it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum<'a> {
    /// Its SHA-256 in hexadecimal digits, or the first of them where no more is published.
    Sha256(&'a str),
    /// Its MD5 in hexadecimal digits. It tells a file that was cut off or mixed up; who wants to can make another file with
    /// the same one.
    Md5(&'a str),
}

impl<'a> Checksum<'a> {
    /// What kind it is, as the programs that compute it are called without their `sum`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Md5(_) => "md5",
        }
    }

    /// The digits that are published.
    pub fn digits(self) -> &'a str {
        match self {
            Self::Sha256(digits) | Self::Md5(digits) => digits,
        }
    }
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
