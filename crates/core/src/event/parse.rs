//! Events read back from their lines.

use serde::Deserialize;

use crate::event::Event;

impl Event {
    /// The event in a line of JSON.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        struct When {
            at_ms: u64,
        }
        // Flattened, serde would hold all fields of the event twice before it makes one of them, which takes half as long again.
        let When { at_ms } = serde_json::from_slice(line)?;
        Ok(Self { at_ms, kind: serde_json::from_slice(line)? })
    }
}
