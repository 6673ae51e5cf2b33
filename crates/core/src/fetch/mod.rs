//! Files of others, downloaded once into the user's cache folder, resumed where they broke off, and verified.
//!
//! A file that has its own name there is complete and was verified: its digest lies beside it as
//! `<name>.sha256`, or `<name>.md5` where its publisher says no other. Whoever puts a file there by hand has it verified the first time it is needed.

mod download;

use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::Md5;
use sha2::{Digest, Sha256};
use ureq::{Agent, Proxy};

use crate::digits::hex;
use crate::error::{Error, Result};
use crate::fetch::download::{Download, State};
use crate::files::{create_folder, rename, write_whole};
use crate::mapped;
use crate::remote::{Checksum, Remote};
use crate::store::artifact::of_file;
use crate::store::lock::lock;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are there.
    pub done: u64,
    /// Bytes of the whole file, if the server says so.
    pub of: Option<u64>,
    /// Whether what was there from an earlier time could not be gone on with, and all is fetched anew.
    pub anew: bool,
}

/// The folder of downloaded files.
#[derive(Debug, Clone)]
pub struct Cache {
    /// The folder.
    pub folder: PathBuf,
    /// Where files are fetched instead of from their own addresses.
    mirror: Option<String>,
    proxy: Option<Proxy>,
}

impl Cache {
    /// The user's: `$FERRITE_CACHE`, else `$XDG_CACHE_HOME/ferrite`, else `~/.cache/ferrite`, and in it
    /// `weights`. `$FERRITE_MIRROR` is an address that is asked for every file instead of its own.
    ///
    /// # Errors
    /// [`Error::Usage`] if no variable says where that is.
    pub fn of_user() -> Result<Self> {
        let path = |name: &str| {
            std::env::var_os(name).map(PathBuf::from).filter(|it| !it.as_os_str().is_empty())
        };
        let folder = path("FERRITE_CACHE")
            .or_else(|| path("XDG_CACHE_HOME").map(|it| it.join("ferrite")))
            .or_else(|| path("HOME").map(|it| it.join(".cache/ferrite")));
        let folder = folder.ok_or_else(|| Error::Usage {
            message: "there is no home folder to keep downloaded weights in".into(),
            help: "set FERRITE_CACHE to a folder".into(),
        })?;
        let folder = folder.join("weights");
        let mirror = std::env::var("FERRITE_MIRROR").ok().filter(|it| !it.is_empty());
        Ok(Self { folder, mirror, proxy: Proxy::try_from_env() })
    }

    /// Where `remote` lies once it is there.
    pub fn path(&self, remote: Remote<'_>) -> PathBuf {
        self.folder.join(remote.name())
    }

    /// Where `remote` lies if it is there and is what it should be.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it has another digest; [`Error::File`] if it cannot be read.
    pub fn find(&self, remote: Remote<'_>) -> Result<Option<PathBuf>> {
        let path = self.path(remote);
        if !path.is_file() {
            return Ok(None);
        }
        let (name, published) = (remote.checksum.name(), remote.checksum.digits());
        if known_digest(&path, name).is_some_and(|it| it.starts_with(published)) {
            return Ok(Some(path));
        }
        let digest = digest_like(remote.checksum, &path)?;
        if !digest.starts_with(published) {
            return Err(Error::Damaged {
                message: format!("its {name} is {digest}, but should be {published}"),
                help: "delete it: it is then downloaded again".into(),
                path,
            });
        }
        remember(&path, name, &digest);
        Ok(Some(path))
    }

    /// `remote` as a file: found, or downloaded by one process at a time. `say` hears how far it is,
    /// `interrupted` whether the user wants to stop; what is there by then is kept for the next time.
    ///
    /// # Errors
    /// [`Error::Download`] if it cannot be had, with where to put it by hand; [`Error::Interrupted`].
    pub fn fetch(
        &self,
        remote: Remote<'_>,
        say: &mut dyn FnMut(Progress),
        interrupted: &dyn Fn() -> bool,
    ) -> Result<PathBuf> {
        if let Some(found) = self.find(remote)? {
            return Ok(found);
        }
        create_folder(&self.folder)?;
        let path = self.path(remote);
        let part = beside(&path, "part");
        let lock = lock(&beside(&path, "lock"), &mut |_| {
            // What the other process has of it by now.
            say(Progress { done: length(&part), of: None, anew: false });
            if interrupted() { Err(Error::Interrupted) } else { Ok(()) }
        })?;
        // Another process may have fetched it while this one waited.
        if let Some(found) = self.find(remote)? {
            return Ok(found);
        }
        let state = State::Fresh;
        let mut download = Download { cache: self, remote, part: &part, say, interrupted, state };
        let digest = download.verified()?;
        rename(&part, &path)?;
        remember(&path, remote.checksum.name(), &digest);
        lock.discard();
        Ok(path)
    }

    fn address(&self, remote: Remote<'_>) -> String {
        match &self.mirror {
            Some(mirror) => format!("{}/{}", mirror.trim_end_matches('/'), remote.name()),
            None => remote.url.to_owned(),
        }
    }

    fn cannot(&self, remote: Remote<'_>, message: String) -> Error {
        let Remote { url, checksum, .. } = remote;
        let (name, digits) = (checksum.name(), checksum.digits());
        let path = self.path(remote);
        let path = std::path::absolute(&path).unwrap_or(path);
        let short = matches!(checksum, Checksum::Sha256(it) if it.len() < 64);
        let is = if short { "begins with" } else { "is" };
        Error::Download {
            url: self.address(remote),
            message,
            help: format!(
                "without a network, put the file at `{}`; it is published at {url}, and its {name} {is} \
                 {digits}. A proxy is taken from HTTPS_PROXY, another server from FERRITE_MIRROR",
                path.display()
            ),
        }
    }
}

/// What asks servers, by `proxy`, and waits for `patience` at most where one says nothing. Every answer is one, whatever its
/// status.
pub fn agent(proxy: Option<Proxy>, patience: Duration) -> Agent {
    Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .timeout_resolve(Some(patience))
        .timeout_connect(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .user_agent(concat!("ferrite/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |it| it.len())
}

/// The file `path` with another ending behind its own.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

/// The digest of this kind beside a file, unless the file has changed since. That it has not, a CRC-32 beside the digest says,
/// which is many times as fast.
fn known_digest(path: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(beside(path, name)).ok()?;
    let (digest, crc32) = text.trim().split_once(' ')?;
    let same = of_file(path).is_ok_and(|it| format!("{:08x}", it.crc32) == crc32);
    same.then(|| digest.to_owned())
}

fn remember(path: &Path, name: &str, digest: &str) {
    // Where it cannot be written, the file is verified again the next time.
    if let Ok(it) = of_file(path) {
        let text = format!("{digest} {:08x}\n", it.crc32);
        let _ = write_whole(&beside(path, name), text.as_bytes());
    }
}

/// The digest of a file by which `checksum` tells it, in hexadecimal digits.
fn digest_like(checksum: Checksum<'_>, path: &Path) -> Result<String> {
    match checksum {
        Checksum::Sha256(_) => digest(path),
        Checksum::Md5(_) => {
            let bytes = mapped::map(path).map_err(Error::file("cannot read", path))?;
            Ok(hex(&Md5::digest(&bytes)))
        }
    }
}

/// The sha256 of a file in hexadecimal digits.
///
/// # Errors
/// [`Error::File`] if it cannot be read.
pub fn digest(path: &Path) -> Result<String> {
    let bytes = mapped::map(path).map_err(Error::file("cannot read", path))?;
    Ok(hex(&Sha256::digest(&bytes)))
}

#[cfg(test)]
mod tests;
