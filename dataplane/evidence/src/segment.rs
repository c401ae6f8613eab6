//! Segments: the write-ahead of a log. A leaf in a segment survives the death of the process; the tree is built later.
//!
//! A segment is a file that was filled with zeros when it was made, and frames from its start:
//! ```text
//! frame = length of the leaf (4, little endian) | CRC-32C of the leaf (4, little endian) | leaf
//! ```
//! A length of zero ends the segment. The checksum finds the torn tail of a crash, not tampering: the tree does that.

use crate::error::Error;
use crate::limits::{FRAME_HEADER_BYTES, LEAF_BYTES_MAX};

/// Appends one leaf with its frame.
///
/// # Errors
/// [`Error::RecordLeafLength`].
pub fn frame_leaf(leaf: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    if leaf.is_empty() || leaf.len() > LEAF_BYTES_MAX {
        return Err(Error::RecordLeafLength { bytes: leaf.len() });
    }
    out.extend_from_slice(&(leaf.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(leaf).to_le_bytes());
    out.extend_from_slice(leaf);
    Ok(())
}

/// The leaves at the start of a segment, or of any run of frames.
#[must_use]
pub fn segment_leaves(bytes: &[u8]) -> SegmentLeaves<'_> {
    SegmentLeaves {
        bytes,
        at: 0,
        end: None,
    }
}

/// Iterates over leaves; afterwards [`Self::end`] says why it stopped.
#[derive(Debug, Clone)]
pub struct SegmentLeaves<'a> {
    bytes: &'a [u8],
    at: usize,
    end: Option<SegmentEnd>,
}

/// How a run of frames ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentEnd {
    /// With the file, or with zeros up to its end.
    Clean,
    /// With bytes that are no whole frame: a write that was cut short, or damage.
    Torn,
}

impl SegmentLeaves<'_> {
    /// Bytes of whole frames so far: where the next frame belongs.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Why the iteration stopped; `None` while it has not.
    #[must_use]
    pub fn end(&self) -> Option<SegmentEnd> {
        self.end
    }

    fn stop(&mut self) {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let clean = rest.iter().all(|byte| *byte == 0);
        self.end = Some(if clean {
            SegmentEnd::Clean
        } else {
            SegmentEnd::Torn
        });
    }
}

impl<'a> Iterator for SegmentLeaves<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.end.is_some() {
            return None;
        }
        let frame = self.bytes.get(self.at..).and_then(whole_frame);
        match frame {
            Some(leaf) => {
                self.at = self
                    .at
                    .saturating_add(FRAME_HEADER_BYTES)
                    .saturating_add(leaf.len());
                Some(leaf)
            }
            None => {
                self.stop();
                None
            }
        }
    }
}

fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length == 0 || length > LEAF_BYTES_MAX {
        return None;
    }
    let leaf = rest.get(..length)?;
    (crc32c::crc32c(leaf) == u32::from_le_bytes(*crc)).then_some(leaf)
}

/// Fills in the header of a frame whose header bytes and leaf are the end of `out`, from `start` on.
pub(crate) fn seal_frame(out: &mut [u8], start: usize) {
    let Some((header, leaf)) = out
        .get_mut(start..)
        .and_then(|frame| frame.split_first_chunk_mut::<FRAME_HEADER_BYTES>())
    else {
        return;
    };
    let length = (leaf.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c(leaf).to_le_bytes();
    *header = [
        length[0], length[1], length[2], length[3], crc[0], crc[1], crc[2], crc[3],
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_leaves() -> Vec<u8> {
        let mut bytes = Vec::new();
        for leaf in [&b"one"[..], b"two", b"three"] {
            frame_leaf(leaf, &mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn gives_back_the_leaves_before_zero_filling() {
        let mut bytes = three_leaves();
        let written = bytes.len();
        bytes.resize(4096, 0);
        let mut leaves = segment_leaves(&bytes);
        assert_eq!(
            leaves.by_ref().collect::<Vec<_>>(),
            [&b"one"[..], b"two", b"three"]
        );
        assert_eq!(
            (leaves.offset(), leaves.end()),
            (written, Some(SegmentEnd::Clean))
        );
    }

    #[test]
    fn every_cut_is_clean_at_a_frame_and_torn_inside_one() {
        let bytes = three_leaves();
        let ends = [0, 11, 22, bytes.len()];
        for cut in 0..=bytes.len() {
            let mut leaves = segment_leaves(&bytes[..cut]);
            let count = leaves.by_ref().count();
            assert_eq!(
                count,
                ends.iter().filter(|end| **end > 0 && **end <= cut).count(),
                "cut at {cut}"
            );
            let expected = if ends.contains(&cut) {
                SegmentEnd::Clean
            } else {
                SegmentEnd::Torn
            };
            assert_eq!(leaves.end(), Some(expected), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_ends_the_leaves_there() {
        let bytes = three_leaves();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let mut leaves = segment_leaves(&damaged);
            assert!(leaves.by_ref().count() < 3, "flip at {at}");
            assert_eq!(leaves.end(), Some(SegmentEnd::Torn), "flip at {at}");
        }
    }

    #[test]
    fn bytes_after_the_zeros_are_not_clean() {
        let mut bytes = three_leaves();
        bytes.resize(4096, 0);
        bytes[4000] = 1;
        let mut leaves = segment_leaves(&bytes);
        assert_eq!(leaves.by_ref().count(), 3);
        assert_eq!(leaves.end(), Some(SegmentEnd::Torn));
    }

    #[test]
    fn refuses_a_leaf_that_no_bundle_could_hold() {
        let mut bytes = Vec::new();
        assert!(frame_leaf(&[], &mut bytes).is_err());
        assert!(frame_leaf(&vec![1; LEAF_BYTES_MAX + 1], &mut bytes).is_err());
        assert!(frame_leaf(&vec![1; LEAF_BYTES_MAX], &mut bytes).is_ok());
    }
}
