//! A second opinion on masked values, for a sample of them in production: another parser, another matching of paths.

use std::fmt;
use std::slice::Iter;

use simd_json::{Buffers, Node, to_tape_with_buffers};

use crate::error::Survivor;
use crate::fold;
use crate::json::split_framing;
use crate::limits::DEPTH_MAX;
use crate::path::{Path, Reach, Selector};
use crate::token::is_token;

/// What a check found when it found no survivor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Every named field holds a token.
    NoSurvivor,
    /// The second parser is narrower than JSON (numbers beyond its types) and could not read the value. Not a fault, but
    /// worth a metric.
    Unreadable,
}

/// Memory that checks reuse.
pub struct SelfCheck {
    copy: Vec<u8>,
    buffers: Buffers,
}

impl SelfCheck {
    #[must_use]
    pub fn new() -> SelfCheck {
        SelfCheck {
            copy: Vec::new(),
            buffers: Buffers::with_max_depth(0, DEPTH_MAX.saturating_add(1)),
        }
    }

    /// Parses a value that was delivered (masked, or unchanged because nothing was to mask) and looks at every field that
    /// a path selects: each must be a token. Allocates; it is for a sample, not for every value.
    ///
    /// # Errors
    /// [`Survivor`]: a named field is delivered in clear. The caller closes the session and raises the alarm.
    pub fn surviving_field(&mut self, paths: &[Path], masked: &[u8]) -> Result<Checked, Survivor> {
        let (_, text) = split_framing(masked);
        self.copy.clear();
        self.copy.extend_from_slice(text);
        let Ok(tape) = to_tape_with_buffers(&mut self.copy, &mut self.buffers) else {
            return Ok(Checked::Unreadable);
        };
        let waiting = (0..paths.len()).map(|rule| Waiting { rule, step: 0 });
        check(
            paths,
            &mut tape.0.iter(),
            &waiting.collect::<Vec<_>>(),
            None,
        )?;
        Ok(Checked::NoSurvivor)
    }
}

impl Default for SelfCheck {
    fn default() -> Self {
        SelfCheck::new()
    }
}

impl fmt::Debug for SelfCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfCheck").finish_non_exhaustive()
    }
}

/// A rule that waits for one of its steps.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Waiting {
    rule: usize,
    step: usize,
}

/// Looks at one value and what is in it. Recurses as deep as the parser let the value be.
fn check(
    paths: &[Path],
    nodes: &mut Iter<'_, Node<'_>>,
    waiting: &[Waiting],
    matched: Option<usize>,
) -> Result<(), Survivor> {
    let node = nodes.next();
    if let Some(rule) = matched {
        return match node {
            Some(Node::String(text)) if is_token(text) => Ok(()),
            _ => Err(Survivor { rule }),
        };
    }
    match node {
        Some(Node::Object { len, .. }) => {
            let mut folded = Vec::new();
            for _ in 0..*len {
                let Some(Node::String(key)) = nodes.next() else {
                    return Ok(());
                };
                folded.clear();
                fold::fold_text(key.as_bytes(), &mut folded);
                let (below, matched) = follow(paths, waiting, Some(&folded));
                check(paths, nodes, &below, matched)?;
            }
        }
        Some(Node::Array { len, .. }) => {
            let (below, matched) = follow(paths, waiting, None);
            for _ in 0..*len {
                check(paths, nodes, &below, matched)?;
            }
        }
        Some(Node::String(_) | Node::Static(_)) | None => {}
    }
    Ok(())
}

/// What waits below a member of this folded name, or below an element, and whether a rule selects the child itself.
fn follow(
    paths: &[Path],
    waiting: &[Waiting],
    key: Option<&[u8]>,
) -> (Vec<Waiting>, Option<usize>) {
    let mut below = Vec::new();
    let mut matched = None;
    for Waiting { rule, step } in waiting.iter().copied() {
        let steps = paths.get(rule).map_or(&[][..], Path::steps);
        let Some(here) = steps.get(step) else {
            continue;
        };
        if here.reach == Reach::AnyDepth && !below.contains(&Waiting { rule, step }) {
            below.push(Waiting { rule, step });
        }
        let selects = match &here.selector {
            Selector::Key(name) => key == Some(name.as_bytes()),
            Selector::Every => true,
        };
        let next = Waiting {
            rule,
            step: step.saturating_add(1),
        };
        if !selects || below.contains(&next) {
            continue;
        }
        if next.step == steps.len() {
            matched = matched.or(Some(rule));
        } else {
            below.push(next);
        }
    }
    (below, matched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(paths: &[&str], value: &[u8]) -> Result<Checked, Survivor> {
        let paths: Vec<_> = paths
            .iter()
            .map(|text| Path::parse(text).unwrap())
            .collect();
        SelfCheck::new().surviving_field(&paths, value)
    }

    #[test]
    fn accepts_tokens_and_nothing_else_in_a_named_field() {
        let token = format!("tok_1_{}", "a".repeat(26));
        let masked = format!(r#"{{"x":1,"a":["{token}",{{"b":"{token}"}}]}}"#);
        let paths = ["$.c", "$..b", "$.a[*].b"];
        assert_eq!(check(&paths, masked.as_bytes()), Ok(Checked::NoSurvivor));
        for clear in ["\"x\"", "1", "null", "{}", "[]", "\"tok_1_\""] {
            let masked = format!(r#"{{"b":"{token}","a":[1,{{"B":{clear}}}]}}"#);
            let found = check(&paths, masked.as_bytes());
            assert_eq!(found, Err(Survivor { rule: 1 }), "{masked}");
        }
    }

    #[test]
    fn looks_at_duplicates_escaped_keys_and_framed_values() {
        let value = b"\0\0\0\0\x01{\"\\u0061\":1}";
        assert!(check(&["$.a"], value).is_err());
        let token = format!("tok_1_{}", "a".repeat(26));
        for value in [
            format!(r#"{{"a":"{token}","a":1}}"#),
            format!(r#"{{"a":1,"a":"{token}"}}"#),
        ] {
            assert!(check(&["$.a"], value.as_bytes()).is_err());
        }
    }

    #[test]
    fn reads_as_deep_as_masking_does_and_no_number_is_an_alarm() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(
            check(&["$..a"], deep(DEPTH_MAX).as_bytes()),
            Ok(Checked::NoSurvivor)
        );
        let wide = br#"{"n":1e999}"#;
        assert_eq!(check(&["$.a"], wide), Ok(Checked::Unreadable));
    }
}
