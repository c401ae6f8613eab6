//! The walk of [`crate::walk`] over tokens that were found by SIMD.
//!
//! It has one outcome beside the fields: nothing. Then the text is not JSON, or is beyond a bound, and the portable walk says
//! what is wrong with it. So this one may be strict where that is simpler, but must never find less in a text than that.

use crate::automaton::{Automaton, Spelling, State};
use crate::scan;
use crate::simd::{Isa, Tokens};
use crate::token::Kind;
use crate::walk::{Container, Frame, Room, push};

/// Bytes of tokens, the first one lowest: a key, and a member that is a string.
const KEY: u64 = u64::from_le_bytes(*b"\"\":\0\0\0\0\0");
const KEY_MASK: u64 = 0xff_ffff;
const STRING_MEMBER: u64 = u64::from_le_bytes(*b"\"\":\"\"\0\0\0");
const STRING_MEMBER_MASK: u64 = 0xff_ffff_ffff;

/// What a token must be the start of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Key,
    Value,
    /// A comma or the end of the container.
    Rest,
}

/// Leaves the masked fields of `text` in `room.spans`. Of UTF-8 it is left open whether the text is that: see
/// [`Tokens::is_ascii`].
pub(crate) fn walk(
    automaton: &Automaton,
    start: State,
    text: &[u8],
    isa: Isa,
    room: &mut Room,
) -> Option<()> {
    let Room {
        spans,
        folded_key,
        frames,
        tokens,
    } = room;
    spans.clear();
    tokens.start();
    let mut at = tokens.fill(isa, text, 0)?;
    let mut open: usize = 0;
    // Of the innermost container.
    let mut frame = Frame::CLOSED;
    let mut row = automaton.row(State::DEAD);
    // Of the value that comes next.
    let mut state = start;
    let mut expected = Expected::Value;
    loop {
        let ahead = match tokens.ahead(at) {
            Some(ahead) => ahead,
            None => {
                at = tokens.fill(isa, text, at)?;
                tokens.ahead(at)?
            }
        };
        match expected {
            Expected::Key if ahead & KEY_MASK == KEY => {
                let start = tokens.position(at).wrapping_add(1);
                let end = tokens.position(at.wrapping_add(1));
                if row.ignores(end.wrapping_sub(start)) {
                    // Most members of most documents.
                    if ahead & STRING_MEMBER_MASK == STRING_MEMBER {
                        at = at.wrapping_add(5);
                        if ahead >> 40 & 0xff == u64::from(b',') {
                            at = at.wrapping_add(1);
                        } else {
                            expected = Expected::Rest;
                        }
                        continue;
                    }
                    state = row.another;
                } else {
                    state = automaton
                        .ascii_member(frame.state, text.get(start as usize..end as usize)?);
                }
                at = at.wrapping_add(3);
                expected = Expected::Value;
            }
            Expected::Key => {
                let (content, spelling, behind) = odd_string(tokens, isa, text, at)?;
                state = automaton.member(frame.state, content, spelling, folded_key);
                at = colon(tokens, isa, text, behind)?;
                expected = Expected::Value;
            }
            Expected::Value => {
                let first = ahead as u8;
                let start = tokens.position(at);
                let (kind, end) = match first {
                    b'"' if ahead >> 8 & 0xff == u64::from(b'"') => {
                        at = at.wrapping_add(2);
                        (
                            Kind::Text,
                            tokens.position(at.wrapping_sub(1)).wrapping_add(1),
                        )
                    }
                    b'{' | b'[' => {
                        frame = Frame::open(automaton, first, start, state);
                        *frames.get_mut(open)? = frame;
                        open = open.wrapping_add(1);
                        row = automaton.row(frame.state);
                        state = row.another;
                        at = at.wrapping_add(1);
                        expected = match (frame.container, (ahead >> 8) as u8) {
                            (Container::Object, b'}') | (Container::Array, b']') => Expected::Rest,
                            (Container::Object, _) => Expected::Key,
                            (Container::Array, _) => Expected::Value,
                        };
                        continue;
                    }
                    b'"' => {
                        let (content, _, behind) = odd_string(tokens, isa, text, at)?;
                        at = behind;
                        let bytes = (content.len() as u32).wrapping_add(2);
                        (Kind::Text, start.wrapping_add(bytes))
                    }
                    _ => {
                        at = at.wrapping_add(1);
                        let rest = text.get(start as usize..tokens.position(at) as usize)?;
                        let (kind, bytes) = scan::scalar(rest)?;
                        (kind, start.wrapping_add(bytes as u32))
                    }
                };
                if open == 0 {
                    return None;
                }
                if let Some(rule) = state.matched() {
                    push(spans, start, end, rule, kind).ok()?;
                }
                expected = Expected::Rest;
            }
            Expected::Rest => {
                at = at.wrapping_add(1);
                match (frame.container, ahead as u8) {
                    (Container::Object, b',') => expected = Expected::Key,
                    (Container::Array, b',') => {
                        state = row.another;
                        expected = Expected::Value;
                    }
                    (Container::Object, b'}') | (Container::Array, b']') => {
                        if let Some((start, rule)) = frame.matched {
                            let end = tokens.position(at.wrapping_sub(1)).wrapping_add(1);
                            push(spans, start, end, rule, frame.kind()).ok()?;
                        }
                        open = open.wrapping_sub(1);
                        let Some(outer) = open.checked_sub(1).and_then(|at| frames.get(at)) else {
                            break;
                        };
                        frame = *outer;
                        row = automaton.row(frame.state);
                    }
                    _ => return None,
                }
            }
        }
    }
    if tokens.ahead(at).is_none() {
        at = tokens.fill(isa, text, at)?;
    }
    tokens.is_end(at).then_some(())
}

/// Moves on if nothing is left of what was scanned.
fn reach(tokens: &mut Tokens, isa: Isa, text: &[u8], at: usize) -> Option<(u8, usize)> {
    match tokens.ahead(at) {
        Some(ahead) => Some((ahead as u8, at)),
        None => {
            let at = tokens.fill(isa, text, at)?;
            Some((tokens.ahead(at)? as u8, at))
        }
    }
}

fn colon(tokens: &mut Tokens, isa: Isa, text: &[u8], at: usize) -> Option<usize> {
    let (byte, at) = reach(tokens, isa, text, at)?;
    (byte == b':').then_some(at.wrapping_add(1))
}

/// A string that may hold escapes and other than ASCII; answers its content and the token behind it.
#[inline(never)]
fn odd_string<'a>(
    tokens: &mut Tokens,
    isa: Isa,
    text: &'a [u8],
    at: usize,
) -> Option<(&'a [u8], Spelling, usize)> {
    let (byte, mut at) = reach(tokens, isa, text, at)?;
    if byte != b'"' {
        return None;
    }
    let start = (tokens.position(at) as usize).wrapping_add(1);
    let mut spelling = Spelling::Plain;
    // Behind the last escape: one of a surrogate pair has a second backslash.
    let mut read = start;
    loop {
        let (byte, reached) = reach(tokens, isa, text, at.wrapping_add(1))?;
        at = reached;
        let position = tokens.position(at) as usize;
        match byte {
            b'"' => {
                let content = text.get(start..position)?;
                return Some((content, spelling, at.wrapping_add(1)));
            }
            b'\\' if position >= read => {
                spelling = Spelling::Escaped;
                let (_, rest) = scan::escape(text.get(position.wrapping_add(1)..)?)?;
                read = text.len().wrapping_sub(rest.len());
            }
            _ => {}
        }
    }
}
