//! Folders on disk: `runs/<experiment>/<trial>/` and `runs/.store/<step>/<key>/`.

pub mod record;
