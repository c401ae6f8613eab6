//! Randomness from the operating system.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

use crate::error::Error;

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    SystemRandom::new()
        .fill(&mut out)
        .map_err(|_| Error::BrokenInvariant("the system gives no randomness".to_owned()))?;
    Ok(out)
}

/// Random bytes as text of twice that length.
pub(crate) fn hexadecimal(bytes_count: usize) -> Result<String, Error> {
    let random = bytes::<32>()?;
    Ok(random
        .iter()
        .take(bytes_count)
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
