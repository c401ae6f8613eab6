//! The key names of a plan, and the label of each.

use crate::automaton::ANOTHER_CHILD;
use crate::fold;

/// The key names. Most keys of a document are told apart from all of them by one bit of their signature.
#[derive(Debug)]
pub(crate) struct KeyTable {
    /// Bit n: some name has the signature n.
    signatures: u64,
    by_signature: Box<[Vec<Name>]>,
    longest_bytes: usize,
}

#[derive(Clone, Debug)]
struct Name {
    label: u16,
    /// The first bytes.
    head: Word,
    /// The last bytes; of a short name all of it, again.
    tail: Word,
    folded: Box<[u8]>,
}

/// Up to eight bytes of a name, compared at once.
#[derive(Clone, Copy, Debug)]
struct Word {
    folded: u64,
    /// The bits that count: all but those that only tell the case of a letter, and none beyond the name.
    mask: u64,
}

impl Word {
    fn new(folded: &[u8]) -> Word {
        let (mut word, mut mask) = ([0; 8], [0; 8]);
        for ((word, mask), byte) in word.iter_mut().zip(&mut mask).zip(folded) {
            *word = *byte;
            *mask = if byte.is_ascii_lowercase() {
                !0x20
            } else {
                0xff
            };
        }
        Word {
            folded: u64::from_le_bytes(word),
            mask: u64::from_le_bytes(mask),
        }
    }

    #[inline]
    fn is(self, word: u64) -> bool {
        (self.folded ^ word) & self.mask == 0
    }
}

impl KeyTable {
    /// Takes folded names, and gives them the labels 1, 2, …
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> KeyTable {
        let mut table = KeyTable {
            signatures: 0,
            by_signature: vec![Vec::new(); 64].into(),
            longest_bytes: 0,
        };
        for (name, label) in names.map(str::as_bytes).zip(1_u16..) {
            table.longest_bytes = table.longest_bytes.max(name.len());
            let signature = signature(name);
            table.signatures |= 1_u64.wrapping_shl(signature);
            if let Some(alike) = table.by_signature.get_mut(signature as usize) {
                alike.push(Name {
                    label,
                    head: Word::new(name.first_chunk::<8>().map_or(name, |head| head)),
                    tail: Word::new(name.last_chunk::<8>().map_or(name, |tail| tail)),
                    folded: name.into(),
                });
            }
        }
        table
    }

    /// What is longer as it is written between its quotes is no name of this table, however it folds.
    #[inline]
    pub(crate) fn content_bytes_max(&self) -> usize {
        self.longest_bytes
            .saturating_mul(fold::SPELLED_BYTES_PER_FOLDED_MAX)
    }

    /// The label of a name that is either ASCII in any case, or folded.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> u16 {
        let signature = signature(name);
        if self.signatures.wrapping_shr(signature) & 1 == 0 {
            return ANOTHER_CHILD;
        }
        let alike = self.by_signature.get(signature as usize);
        let (head, tail) = words(name);
        let is = |known: &&Name| {
            known.head.is(head)
                && known.tail.is(tail)
                && known.folded.len() == name.len()
                && (name.len() <= 16 || known.folded.eq_ignore_ascii_case(name))
        };
        let mut alike = alike.map_or(&[][..], Vec::as_slice).iter();
        alike.find(is).map_or(ANOTHER_CHILD, |known| known.label)
    }
}

/// The first and the last eight bytes, which are all bytes of a name of up to 16.
#[inline]
fn words(name: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    let short = match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (Some(head), Some(tail)) => {
            let shift = (name.len() as u32).wrapping_sub(4).wrapping_mul(8);
            u64::from(u32::from_le_bytes(*head))
                | u64::from(u32::from_le_bytes(*tail)).wrapping_shl(shift)
        }
        _ => {
            let bytes = name.iter().rev();
            bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
        }
    };
    (short, short)
}

/// 0 to 63, the same for every case of an ASCII name: of its length and its last byte.
#[inline]
fn signature(name: &[u8]) -> u32 {
    let last = name.last().copied().unwrap_or_default() | 0x20;
    (name.len() as u32).wrapping_add(u32::from(last).wrapping_mul(7)) & 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_names_of_every_length_without_regard_to_the_case_of_letters_only() {
        let text = "the_quick-brown@fox[jumps`over{lazy}dogs~09";
        for length in 0..text.len() {
            let name = &text[..length];
            let table = KeyTable::new([name].into_iter());
            assert_eq!(table.find(name.to_ascii_uppercase().as_bytes()), 1);
            for at in 0..length {
                for bit in 0..8 {
                    let mut other = name.as_bytes().to_vec();
                    other[at] ^= 1 << bit;
                    let same = other.eq_ignore_ascii_case(name.as_bytes());
                    assert_eq!(table.find(&other) == 1, same, "{name} {at} {bit}");
                }
            }
            assert_eq!(table.find(text.as_bytes()), 0);
        }
    }
}
