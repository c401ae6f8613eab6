//! Finds the tokens of a JSON text 64 bytes at a time: the only module with `unsafe`.
//!
//! A token is a byte at which a walk must look: outside strings one of `{}[]:,` or the first byte of anything else that is
//! no space; of a string both quotes, and in it each backslash that starts an escape and each byte that starts a run of
//! other than ASCII. What is between two tokens is space, the rest of a number or a literal, or plain text of a string. The
//! method is that of simdjson (Langdale and Lemire, 2019), with the closing quotes and what is odd in a string as tokens.
#![allow(unsafe_code)]
#![cfg_attr(
    not(target_arch = "x86_64"),
    allow(
        dead_code,
        reason = "no scan for this architecture: nothing makes an `Isa`"
    )
)]

/// Text looked at in one go.
pub(crate) const WINDOW_BYTES: usize = 4096;

/// Tokens that a walk may look at together.
pub(crate) const LOOKAHEAD: usize = 8;

const BLOCK: usize = 64;

/// A window can be all tokens; before it come some that were not yet walked, and behind it what a block's last store writes.
const CAPACITY: usize = LOOKAHEAD + WINDOW_BYTES + BLOCK;

/// The instructions that a scan uses. There is none but for those that this processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Avx512,
    Avx2,
}

impl Isa {
    /// The fastest first.
    pub(crate) fn available() -> impl Iterator<Item = Isa> {
        let (avx512, avx2) = detect();
        let found = [(avx512, Kind::Avx512), (avx2, Kind::Avx2)];
        found
            .into_iter()
            .filter_map(|(has, kind)| has.then_some(Isa(kind)))
    }
}

#[cfg(test)]
impl Isa {
    /// Those that tests can compare with the portable walk. Where there is none they compare nothing, and say so.
    pub(crate) fn tested() -> impl Iterator<Item = Isa> {
        let found: Vec<Isa> = Self::available().collect();
        #[cfg(target_arch = "x86_64")]
        assert_eq!(
            found.is_empty(),
            !is_x86_feature_detected!("avx2"),
            "AVX2 is there and not used, or the other way round: {found:?}"
        );
        if found.is_empty() {
            use std::io::Write;
            // Not by a macro, whose output is kept from view while a test passes.
            let said = std::io::stderr()
                .write_all(b"NOT TESTED: the masking scans, for this processor has no AVX2\n");
            said.expect("stderr is open");
        }
        found.into_iter()
    }
}

#[cfg(target_arch = "x86_64")]
fn detect() -> (bool, bool) {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("popcnt");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2");
    (avx2 && avx512, avx2)
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> (bool, bool) {
    (false, false)
}

/// A piece of the tokens of a text, in two columns, and how far the scan has come.
pub(crate) struct Tokens {
    /// The byte of each token.
    bytes: [u8; CAPACITY],
    /// Where it is in the text.
    positions: [u32; CAPACITY],
    /// Tokens in the columns. Behind the last one of a text there are `LOOKAHEAD` zero bytes at the position of its end.
    count: usize,
    /// Bytes of the text that were looked at, as whole blocks: a last one that is shorter counts like the others.
    scanned: usize,
    carry: Carry,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ahead,
    Reached,
}

/// What a block tells the next one.
#[derive(Clone, Copy, Debug, Default)]
struct Carry {
    /// All ones within a string.
    in_string: u64,
    /// 1 if an escape has started and its next byte is yet to come.
    escape: u64,
    /// 1 within a number, a literal or something that is none.
    scalar: u64,
    /// 1 within a run of other than ASCII.
    other: u64,
    /// Not zero: other than ASCII was seen.
    others: u64,
    /// Not zero: there is a control character in a string.
    faults: u64,
}

/// A block, one bit per byte, of its first byte the lowest.
#[derive(Clone, Copy)]
struct Masks {
    quote: u64,
    backslash: u64,
    /// Under 0x20.
    control: u64,
    /// Not ASCII.
    other: u64,
    space: u64,
    /// One of `{}[]:,`, 0x0c or 0x1a.
    operator: u64,
}

impl Carry {
    /// The quotes that are not escaped, and the escapes' backslashes.
    #[inline(always)]
    fn quotes(&mut self, masks: Masks) -> (u64, u64) {
        if masks.backslash | self.escape == 0 {
            return (masks.quote, 0);
        }
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        let before = self.escape;
        let candidates = masks.backslash & !before;
        // Of a run of backslashes every other one starts an escape: a subtraction carries through runs.
        let codes = ((candidates << 1 | ODD).wrapping_sub(candidates)) ^ ODD;
        let escaped = codes ^ (masks.backslash | before);
        let escapes = codes & masks.backslash;
        self.escape = escapes >> 63;
        (masks.quote & !escaped, escapes)
    }

    /// The tokens. `parity` has a bit for each byte with an odd number of quotes up to it, itself included.
    #[inline(always)]
    fn tokens(&mut self, masks: Masks, quotes: u64, escapes: u64, parity: u64) -> u64 {
        // From the opening quote to before the closing one.
        let in_string = parity ^ self.in_string;
        self.in_string = ((in_string as i64) >> 63) as u64;
        self.faults |= masks.control & in_string;
        let scalar = !(masks.operator | masks.space | in_string | quotes);
        let scalar_starts = scalar & !(scalar << 1 | self.scalar);
        self.scalar = scalar >> 63;
        let other_starts = masks.other & !(masks.other << 1 | self.other);
        self.other = masks.other >> 63;
        self.others |= masks.other;
        quotes
            | scalar_starts
            | (masks.operator & !in_string)
            | ((escapes | other_starts) & in_string)
    }
}

impl Tokens {
    pub(crate) fn new() -> Tokens {
        Tokens {
            bytes: [0; CAPACITY],
            positions: [0; CAPACITY],
            count: 0,
            scanned: 0,
            carry: Carry::default(),
            end: End::Reached,
        }
    }

    pub(crate) fn start(&mut self) {
        self.count = 0;
        self.scanned = 0;
        self.carry = Carry::default();
        self.end = End::Ahead;
    }

    /// `LOOKAHEAD` bytes, the first one lowest. Nothing: [`Tokens::fill`] must come first.
    #[inline(always)]
    pub(crate) fn ahead(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.wrapping_add(LOOKAHEAD))?;
        if at.wrapping_add(LOOKAHEAD) > self.count {
            return None;
        }
        bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    #[inline(always)]
    pub(crate) fn position(&self, at: usize) -> u32 {
        self.positions.get(at).copied().unwrap_or(u32::MAX)
    }

    /// Scans on, so that there is something ahead. Answers where the token `at` is now; nothing if there is none, or the text
    /// is known not to be JSON.
    #[cold]
    #[inline(never)]
    pub(crate) fn fill(&mut self, isa: Isa, text: &[u8], at: usize) -> Option<usize> {
        if self.end == End::Reached {
            return None;
        }
        let left = self
            .count
            .checked_sub(at)
            .filter(|left| *left < LOOKAHEAD)?;
        self.bytes.copy_within(at..self.count, 0);
        self.positions.copy_within(at..self.count, 0);
        self.count = left;
        while self.count < LOOKAHEAD {
            if self.scanned >= text.len() {
                return self.finish(text).then_some(0);
            }
            let before = self.scanned;
            self.scan_window(isa, text);
            if self.scanned == before {
                return None;
            }
        }
        if self.scanned >= text.len() {
            return self.finish(text).then_some(0);
        }
        Some(0)
    }

    /// Puts nothing behind the last token; says whether the text can be JSON.
    fn finish(&mut self, text: &[u8]) -> bool {
        self.end = End::Reached;
        for slot in self.bytes.iter_mut().skip(self.count).take(LOOKAHEAD) {
            *slot = 0;
        }
        for slot in self.positions.iter_mut().skip(self.count).take(LOOKAHEAD) {
            *slot = text.len() as u32;
        }
        self.count = self.count.wrapping_add(LOOKAHEAD);
        self.carry.in_string == 0 && self.carry.faults == 0
    }

    /// Whether `at` is behind the last token of the text.
    pub(crate) fn is_end(&self, at: usize) -> bool {
        self.end == End::Reached && at.wrapping_add(LOOKAHEAD) == self.count
    }

    /// Whether what was scanned is ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        self.carry.others == 0
    }

    /// Appends the tokens of the next window of `text`. Fewer than `LOOKAHEAD` are there.
    fn scan_window(&mut self, isa: Isa, text: &[u8]) {
        let rest = text.get(self.scanned..).unwrap_or_default();
        let window = rest.get(..WINDOW_BYTES).unwrap_or(rest);
        let (blocks, tail) = window.as_chunks::<BLOCK>();
        let mut last = [b' '; BLOCK];
        for (slot, byte) in last.iter_mut().zip(tail) {
            *slot = *byte;
        }
        let last: &[[u8; BLOCK]] = if tail.is_empty() { &[] } else { &[last] };
        for blocks in [blocks, last] {
            #[cfg(target_arch = "x86_64")]
            match isa.0 {
                // SAFETY: an `Isa` is made by `available` alone, after it has found the features that the function enables.
                Kind::Avx512 => unsafe { x86::scan_avx512(blocks, self) },
                // SAFETY: the same.
                Kind::Avx2 => unsafe { x86::scan_avx2(blocks, self) },
            }
            #[cfg(not(target_arch = "x86_64"))]
            let _ = (isa, blocks);
        }
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "offsets within a window"
)]
mod x86 {
    use std::arch::x86_64::*;

    use super::{BLOCK, CAPACITY, Masks, Tokens};

    /// By the low half of a byte: the space with it, else a byte that has another low half.
    const SPACES: [u8; 16] = [
        b' ', 100, 100, 100, 17, 100, 113, 2, 100, b'\t', b'\n', 112, 100, b'\r', 100, 100,
    ];
    /// By the low half of a byte: the operator with it after `| 0x20`.
    const OPERATORS: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, b':', b'{', b',', b'}', 0, 0];

    const INDEXES: [u8; BLOCK] = {
        let mut indexes = [0; BLOCK];
        let mut at = 0;
        while at < BLOCK {
            indexes[at] = at as u8;
            at += 1;
        }
        indexes
    };

    #[inline]
    #[target_feature(enable = "pclmulqdq")]
    fn parity(bits: u64) -> u64 {
        // A product without carries by all ones is the sum of all lower bits.
        let product = _mm_clmulepi64_si128(_mm_set_epi64x(0, bits as i64), _mm_set1_epi8(-1), 0);
        _mm_cvtsi128_si64(product) as u64
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,avx2,pclmulqdq,bmi1,popcnt")]
    pub(super) fn scan_avx512(blocks: &[[u8; BLOCK]], tokens: &mut Tokens) {
        // SAFETY: both constants are as long as what is loaded, and no alignment is asked for.
        let (spaces, operators, indexes) = unsafe {
            (
                _mm_loadu_si128(SPACES.as_ptr().cast()),
                _mm_loadu_si128(OPERATORS.as_ptr().cast()),
                _mm512_loadu_si512(INDEXES.as_ptr().cast()),
            )
        };
        let spaces = _mm512_broadcast_i32x4(spaces);
        let operators = _mm512_broadcast_i32x4(operators);
        let mut carry = tokens.carry;
        let mut count = tokens.count;
        let mut base = tokens.scanned;
        for block in blocks {
            // SAFETY: a block is 64 bytes, and no alignment is asked for.
            let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
            let lowered = _mm512_or_si512(bytes, _mm512_set1_epi8(0x20));
            let masks = Masks {
                quote: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'"' as i8)),
                backslash: _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(b'\\' as i8)),
                control: _mm512_cmplt_epu8_mask(bytes, _mm512_set1_epi8(0x20)),
                other: _mm512_movepi8_mask(bytes),
                space: _mm512_cmpeq_epi8_mask(bytes, _mm512_shuffle_epi8(spaces, bytes)),
                operator: _mm512_cmpeq_epi8_mask(lowered, _mm512_shuffle_epi8(operators, bytes)),
            };
            let (quotes, escapes) = carry.quotes(masks);
            let found = carry.tokens(masks, quotes, escapes, parity(quotes));
            let found_count = found.count_ones() as usize;
            assert!(count + BLOCK <= CAPACITY);
            let at = _mm512_maskz_compress_epi8(found, indexes);
            let start = _mm512_set1_epi32(base as i32);
            // SAFETY: 64 bytes and 64 positions fit from `count` on, as was just asserted; no store asks for alignment.
            unsafe {
                let column = tokens.bytes.as_mut_ptr().add(count);
                _mm512_storeu_si512(column.cast(), _mm512_maskz_compress_epi8(found, bytes));
                let column = tokens.positions.as_mut_ptr().add(count);
                let widened = |quarter| _mm512_add_epi32(_mm512_cvtepu8_epi32(quarter), start);
                let first = widened(_mm512_castsi512_si128(at));
                _mm512_storeu_si512(column.cast(), first);
                if found_count > 16 {
                    let second = widened(_mm512_extracti32x4_epi32::<1>(at));
                    _mm512_storeu_si512(column.add(16).cast(), second);
                }
                if found_count > 32 {
                    let third = widened(_mm512_extracti32x4_epi32::<2>(at));
                    _mm512_storeu_si512(column.add(32).cast(), third);
                    let fourth = widened(_mm512_extracti32x4_epi32::<3>(at));
                    _mm512_storeu_si512(column.add(48).cast(), fourth);
                }
            }
            count += found_count;
            base += BLOCK;
        }
        tokens.carry = carry;
        tokens.count = count;
        tokens.scanned = base;
    }

    #[target_feature(enable = "avx2,pclmulqdq,bmi1,popcnt")]
    pub(super) fn scan_avx2(blocks: &[[u8; BLOCK]], tokens: &mut Tokens) {
        // SAFETY: both constants are 16 bytes, and no alignment is asked for.
        let (spaces, operators) = unsafe {
            (
                _mm_loadu_si128(SPACES.as_ptr().cast()),
                _mm_loadu_si128(OPERATORS.as_ptr().cast()),
            )
        };
        let spaces = _mm256_broadcastsi128_si256(spaces);
        let operators = _mm256_broadcastsi128_si256(operators);
        let mut carry = tokens.carry;
        let mut count = tokens.count;
        let mut base = tokens.scanned;
        for block in blocks {
            // SAFETY: a block is 64 bytes, two loads of 32, and no alignment is asked for.
            let halves = unsafe {
                [
                    _mm256_loadu_si256(block.as_ptr().cast()),
                    _mm256_loadu_si256(block.as_ptr().add(32).cast()),
                ]
            };
            let [low, high] = halves.map(|bytes| {
                let mask = |equal| u64::from(_mm256_movemask_epi8(equal) as u32);
                let lowered = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
                let clipped = _mm256_min_epu8(bytes, _mm256_set1_epi8(0x1f));
                Masks {
                    quote: mask(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8))),
                    backslash: mask(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8))),
                    control: mask(_mm256_cmpeq_epi8(bytes, clipped)),
                    other: mask(bytes),
                    space: mask(_mm256_cmpeq_epi8(bytes, _mm256_shuffle_epi8(spaces, bytes))),
                    operator: mask(_mm256_cmpeq_epi8(
                        lowered,
                        _mm256_shuffle_epi8(operators, bytes),
                    )),
                }
            });
            let masks = Masks {
                quote: low.quote | high.quote << 32,
                backslash: low.backslash | high.backslash << 32,
                control: low.control | high.control << 32,
                other: low.other | high.other << 32,
                space: low.space | high.space << 32,
                operator: low.operator | high.operator << 32,
            };
            let (quotes, escapes) = carry.quotes(masks);
            let mut found = carry.tokens(masks, quotes, escapes, parity(quotes));
            let found_count = found.count_ones() as usize;
            let bytes = tokens.bytes.get_mut(count..count + BLOCK);
            let positions = tokens.positions.get_mut(count..count + BLOCK);
            // A window has at most as many tokens as bytes.
            let (Some(bytes), Some(positions)) = (bytes, positions) else {
                return;
            };
            for (byte, position) in bytes.iter_mut().zip(positions).take(found_count) {
                let at = found.trailing_zeros() as usize & (BLOCK - 1);
                *byte = block[at];
                *position = (base + at) as u32;
                found &= found.wrapping_sub(1);
            }
            count += found_count;
            base += BLOCK;
        }
        tokens.carry = carry;
        tokens.count = count;
        tokens.scanned = base;
    }
}
