//! Frames: a signed big-endian 32-bit length, then that many bytes.

use crate::FrameError;
use crate::writer::set_i32;

/// Bytes of the length that precedes every frame.
pub const LENGTH_BYTES: usize = 4;

/// Total length in bytes of the frame that `buf` starts with, its length field included, once that field has arrived.
///
/// The frame is complete if and only if `buf.len()` is at least this. `frame_bytes_max` bounds the same total.
/// An error means that the boundaries of this connection are lost: nothing after it can be read.
pub fn frame_length(buf: &[u8], frame_bytes_max: usize) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = buf.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*prefix);
    let Ok(body_bytes) = usize::try_from(length) else {
        return Err(FrameError::LengthNegative { length });
    };
    let frame_bytes = body_bytes.saturating_add(LENGTH_BYTES);
    if frame_bytes > frame_bytes_max {
        return Err(FrameError::Oversized {
            frame_bytes,
            frame_bytes_max,
        });
    }
    Ok(Some(frame_bytes))
}

/// Overwrites the length of the frame that `buf` starts with; `frame_bytes` counts the length field, too.
pub fn set_frame_length(buf: &mut [u8], frame_bytes: usize) {
    let body_bytes = frame_bytes.saturating_sub(LENGTH_BYTES);
    set_i32(buf, 0, i32::try_from(body_bytes).unwrap_or(i32::MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_length_field() {
        assert_eq!(frame_length(&[], 100), Ok(None));
        assert_eq!(frame_length(&[0, 0, 0], 100), Ok(None));
    }

    #[test]
    fn counts_the_length_field() {
        assert_eq!(frame_length(&[0, 0, 0, 10], 14), Ok(Some(14)));
    }

    #[test]
    fn a_length_that_was_set_is_read() {
        let mut frame = [0xff; 9];
        set_frame_length(&mut frame, 9);
        assert_eq!(frame_length(&frame, 9), Ok(Some(9)));
        assert_eq!(frame[LENGTH_BYTES..], [0xff; 5]);
    }

    #[test]
    fn rejects_lengths_that_lose_the_boundary() {
        assert_eq!(
            frame_length(&[0xff, 0xff, 0xff, 0xff], 100),
            Err(FrameError::LengthNegative { length: -1 })
        );
        assert_eq!(
            frame_length(&[0, 0, 0, 11], 14),
            Err(FrameError::Oversized {
                frame_bytes: 15,
                frame_bytes_max: 14
            })
        );
    }
}
