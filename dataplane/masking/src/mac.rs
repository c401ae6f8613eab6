//! HMAC-SHA-256 (FIPS 198-1) with what depends on the key alone computed once, and no copy of more than it needs: a short
//! message costs two compressions.

use sha2::block_api::compress256;
use zeroize::Zeroizing;

const BLOCK_BYTES: usize = 64;
/// Where the length of the whole message stands in its last block.
const LENGTH_AT: usize = 56;

type State = [u32; 8];

/// FIPS 180-4, 5.3.3.
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key, as the states after its inner and its outer block. Erased from memory when dropped.
#[derive(Clone)]
pub(crate) struct Keyed {
    inner: Zeroizing<State>,
    outer: Zeroizing<State>,
}

impl Keyed {
    pub(crate) fn new(key: &[u8; 32]) -> Keyed {
        let state = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
            for (slot, byte) in block.iter_mut().zip(key) {
                *slot ^= *byte;
            }
            let mut state = Zeroizing::new(INITIAL);
            compress256(&mut state, std::slice::from_ref(&*block));
            state
        };
        Keyed {
            inner: state(0x36),
            outer: state(0x5c),
        }
    }

    #[inline]
    pub(crate) fn start(&self) -> Mac<'_> {
        Mac {
            keyed: self,
            state: *self.inner,
            block: [0; BLOCK_BYTES],
            filled: 0,
            // The inner block of the key.
            bytes: BLOCK_BYTES as u64,
        }
    }
}

/// A message authentication code in the making.
pub(crate) struct Mac<'a> {
    keyed: &'a Keyed,
    state: State,
    block: [u8; BLOCK_BYTES],
    /// Less than a block.
    filled: usize,
    bytes: u64,
}

impl Mac<'_> {
    #[inline]
    pub(crate) fn update(&mut self, message: &[u8]) {
        self.bytes = self.bytes.wrapping_add(message.len() as u64);
        let mut rest = message;
        loop {
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            let Some((now, later)) = rest.split_at_checked(room.len()) else {
                if let Some(slot) = room.get_mut(..rest.len()) {
                    slot.copy_from_slice(rest);
                }
                self.filled = self.filled.wrapping_add(rest.len());
                return;
            };
            room.copy_from_slice(now);
            compress256(&mut self.state, std::slice::from_ref(&self.block));
            self.filled = 0;
            rest = later;
        }
    }

    /// The first 16 bytes of the code, as a number.
    #[inline]
    pub(crate) fn finish(mut self) -> u128 {
        finish(&mut self.state, &mut self.block, self.filled, self.bytes);
        let mut outer = [0; BLOCK_BYTES];
        for (slot, word) in outer.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *slot = word.to_be_bytes();
        }
        self.state = *self.keyed.outer;
        finish(&mut self.state, &mut outer, 32, 64 + 32);
        let [a, b, c, d, ..] = self.state.map(u128::from);
        a << 96 | b << 64 | c << 32 | d
    }
}

/// Pads and compresses what stands in the first `filled` bytes of `block`, the end of `bytes` bytes.
#[inline]
fn finish(state: &mut State, block: &mut [u8; BLOCK_BYTES], filled: usize, bytes: u64) {
    let mut padding = block.iter_mut().skip(filled);
    if let Some(first) = padding.next() {
        *first = 0x80;
    }
    padding.for_each(|byte| *byte = 0);
    if filled >= LENGTH_AT {
        compress256(state, std::slice::from_ref(block));
        *block = [0; BLOCK_BYTES];
    }
    if let Some(length) = block.last_chunk_mut::<8>() {
        *length = bytes.wrapping_mul(8).to_be_bytes();
    }
    compress256(state, std::slice::from_ref(block));
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac as _};
    use sha2::Sha256;

    use super::*;

    #[test]
    fn is_the_code_of_another_implementation_for_every_length_and_cut() {
        let message: Vec<u8> = (0..200_u8).map(|n| n.wrapping_mul(7)).collect();
        let key = [0xa5; 32];
        let keyed = Keyed::new(&key);
        for length in 0..message.len() {
            let mut other = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            other.update(&message[..length]);
            let other: [u8; 32] = other.finalize().into_bytes().into();
            let expected = u128::from_be_bytes(*other.first_chunk().unwrap());
            for cut in [0, 1, 7, 63, 64, 65, length] {
                let (first, second) = message[..length].split_at(cut.min(length));
                let mut mac = keyed.start();
                mac.update(first);
                mac.update(second);
                assert_eq!(mac.finish(), expected, "{length} {cut}");
            }
        }
    }
}
