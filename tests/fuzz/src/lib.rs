//! What the fuzz targets and the writer of their seeds share.

pub mod apis;
pub mod issuer;
pub mod policy;
pub mod sealed;

/// A complete frame: the length, then `content`.
pub fn framed(content: &[u8]) -> Vec<u8> {
    let length = i32::try_from(content.len()).expect("inputs are small");
    [&length.to_be_bytes(), content].concat()
}

/// The first byte chooses, the rest is what is chosen for.
pub fn choice(input: &[u8], choices_count: u8) -> Option<(u8, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((first % choices_count, rest))
}
