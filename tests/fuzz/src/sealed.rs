//! Checksums and lengths made right, so that a mutation reaches what stands behind them.

/// Bytes of a record batch before its first record.
const BATCH_HEADER_BYTES: usize = 61;

/// Makes `bytes` one batch: length, magic and CRC-32C are those of the bytes. `None` if there is no whole header.
pub fn batch(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = i32::try_from(bytes.len()).ok()? - 12;
    if bytes.len() < BATCH_HEADER_BYTES {
        return None;
    }
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Some(bytes)
}

/// Makes `bytes` compiled tables, as far as length and checksum say so. `None` if they are too short for both.
pub fn tables(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let length = u64::try_from(bytes.len()).ok()?;
    if length < 24 {
        return None;
    }
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Some(bytes)
}
