//! Frames of `TFRecord` files, in which event files keep their records: length, checksum of the length, bytes, checksum of
//! the bytes, all with the lowest byte first.

use prost::Message as _;

use crate::export::tensorboard::message::Event;

/// Appends `event` to the file in `bytes`.
pub(super) fn push(bytes: &mut Vec<u8>, event: &Event) {
    let record = event.encode_to_vec();
    let length = (record.len() as u64).to_le_bytes();
    bytes.extend(length);
    bytes.extend(masked(&length).to_le_bytes());
    bytes.extend(&record);
    bytes.extend(masked(&record).to_le_bytes());
}

/// The CRC-32C of `bytes`, turned and shifted so that checksums of bytes that hold checksums stay good ones.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::tensorboard::message::What;

    #[test]
    fn a_frame_is_what_tensorflow_writes() {
        // `RecordWriter` of TensorBoard 2.21 wrote it, of an event at 1 second.
        let what = Some(What::FileVersion("brain.Event:2".into()));
        let mut bytes = Vec::new();
        push(&mut bytes, &Event { wall_time: 1.0, step: 0, what });
        let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
        assert_eq!(hex, REFERENCE);
    }

    const REFERENCE: &str =
        "1800000000000000a37f4b2209000000000000f03f1a0d627261696e2e4576656e743a3286bf577a";
}
