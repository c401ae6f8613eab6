//! A second opinion on masked values, for a sample of them in production: another parser, another matching of paths.

use std::collections::HashSet;
use std::fmt;
use std::slice::Iter;

use simd_json::{Buffers, Node, StaticNode, to_tape_with_buffers};

use crate::error::Survivor;
use crate::fold;
use crate::json::{is_placeholder, split_framing};
use crate::limits::{DEPTH_MAX, SELF_CHECK_BYTES_MAX};
use crate::path::{Path, Reach, Selector, Step};
use crate::plan::{FieldPlan, MaskPlan, TokenLength, TokenShape};
use crate::token::{Kind, Tokeniser, is_email_token, is_same_length_token, is_token};

/// What a check found when it found no survivor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Every named field holds a token.
    NoSurvivor,
    /// The second parser is narrower than JSON (numbers beyond its types) and could not read the value. Not a fault, but
    /// worth a metric.
    Unreadable,
    /// The value, or what masking made of it, is longer than [`SELF_CHECK_BYTES_MAX`] and was not looked at.
    TooLong,
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

    /// Gives memory back that a value of more than `bytes_max` bytes left behind.
    pub fn shrink(&mut self, bytes_max: usize) {
        if self.copy.capacity() > bytes_max {
            *self = SelfCheck::new();
        }
    }

    /// Parses a value that was delivered (masked, or unchanged because nothing was to mask) and looks at every field that
    /// a path selects: each must be a token. A token of digits looks like what it stands for, so for these `value`, as it was
    /// before, is parsed too, and the field must be the token of one of its fields. Allocates; it is for a sample, and leaves
    /// out what is longer than [`SELF_CHECK_BYTES_MAX`], so that what it allocates is bounded.
    ///
    /// # Errors
    /// [`Survivor`]: a named field is delivered in clear. The caller closes the session and raises the alarm.
    pub fn surviving_field(
        &mut self,
        plan: &MaskPlan,
        value: &[u8],
        masked: &[u8],
    ) -> Result<Checked, Survivor> {
        match plan.value() {
            Some(fields) => self.survivor(fields, value, masked),
            None => Ok(Checked::NoSurvivor),
        }
    }

    /// The same for a key of which fields are masked. One that was replaced whole is no document: unreadable.
    ///
    /// # Errors
    /// [`Survivor`].
    pub fn surviving_key_field(
        &mut self,
        plan: &MaskPlan,
        key: &[u8],
        masked: &[u8],
    ) -> Result<Checked, Survivor> {
        match plan.key() {
            Some((Some(fields), _)) => self.survivor(fields, key, masked),
            _ => Ok(Checked::NoSurvivor),
        }
    }

    fn survivor(
        &mut self,
        plan: &FieldPlan,
        value: &[u8],
        masked: &[u8],
    ) -> Result<Checked, Survivor> {
        if value.len().max(masked.len()) > SELF_CHECK_BYTES_MAX {
            return Ok(Checked::TooLong);
        }
        let Some(found) = self.fields(plan, masked) else {
            return Ok(Checked::Unreadable);
        };
        let doubtful: Vec<Field> = found
            .into_iter()
            .filter(|field| !field.is_token(plan))
            .collect();
        let survivor = |field: &Field| Survivor { rule: field.rule };
        if let Some(clear) = doubtful.iter().find(|field| !field.is_digits(plan)) {
            return Err(survivor(clear));
        }
        if doubtful.is_empty() {
            return Ok(Checked::NoSurvivor);
        }
        let Some(before) = self.fields(plan, value) else {
            return Ok(Checked::Unreadable);
        };
        let tokens: HashSet<Field> = before
            .iter()
            .filter_map(|field| field.token(plan))
            .collect();
        match doubtful.iter().find(|field| !tokens.contains(*field)) {
            Some(clear) => Err(survivor(clear)),
            None => Ok(Checked::NoSurvivor),
        }
    }

    /// Every field that a path selects, or nothing if the parser cannot read the value.
    fn fields(&mut self, plan: &FieldPlan, value: &[u8]) -> Option<Vec<Field>> {
        let (_, text) = split_framing(value);
        self.copy.clear();
        self.copy.extend_from_slice(text);
        let tape = to_tape_with_buffers(&mut self.copy, &mut self.buffers).ok()?;
        let waiting = (0..plan.paths().len()).map(|rule| Waiting { rule, step: 0 });
        let mut found = Vec::new();
        collect(
            plan.paths(),
            &mut tape.0.iter(),
            &waiting.collect::<Vec<_>>(),
            None,
            &mut found,
        )?;
        Some(found)
    }
}

/// A field that a rule selects, and what it holds if that is a text or a whole number.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Field {
    rule: usize,
    content: Content,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Content {
    Text(String),
    Whole(u64),
    Other,
}

impl Field {
    fn new(rule: usize, node: Option<&Node<'_>>) -> Field {
        let content = match node {
            Some(Node::String(text)) => Content::Text((*text).to_owned()),
            Some(Node::Static(StaticNode::U64(number))) => Content::Whole(*number),
            Some(Node::Static(StaticNode::I64(number))) => {
                u64::try_from(*number).map_or(Content::Other, Content::Whole)
            }
            _ => Content::Other,
        };
        Field { rule, content }
    }

    fn tokeniser<'a>(&self, plan: &'a FieldPlan) -> Option<&'a Tokeniser> {
        plan.tokeniser(self.rule as u16)
    }

    fn shape(&self, plan: &FieldPlan) -> TokenShape {
        self.tokeniser(plan)
            .map_or(TokenShape::Opaque, Tokeniser::shape)
    }

    fn length(&self, plan: &FieldPlan) -> TokenLength {
        self.tokeniser(plan)
            .map_or(TokenLength::Own, Tokeniser::length)
    }

    /// Whether this cannot be anything but a token, or something that a producer made to look like one.
    fn is_token(&self, plan: &FieldPlan) -> bool {
        let same = self.length(plan) == TokenLength::Same;
        match &self.content {
            Content::Text(text) if same => is_same_length_token(text),
            // What a digit becomes that has no room for quotes.
            Content::Whole(0) => same,
            Content::Text(text) if self.shape(plan) == TokenShape::Email => {
                is_email_token(text) || is_token(text)
            }
            Content::Text(text) => is_token(text),
            Content::Whole(_) | Content::Other => false,
        }
    }

    fn is_digits(&self, plan: &FieldPlan) -> bool {
        self.shape(plan) == TokenShape::Digits && self.content != Content::Other
    }

    /// What masking makes of this field, if it can be a token of digits.
    fn token(&self, plan: &FieldPlan) -> Option<Field> {
        let mut token = Vec::new();
        let content = match &self.content {
            Content::Text(text) if !text.contains(['"', '\\']) => {
                let raw = format!("\"{text}\"");
                self.tokeniser(plan)?
                    .append(Kind::Text, raw.as_bytes(), &mut token);
                let token = String::from_utf8(token).ok()?;
                Content::Text(token.strip_prefix('"')?.strip_suffix('"')?.to_owned())
            }
            Content::Whole(number) => {
                let raw = number.to_string();
                self.tokeniser(plan)?
                    .append(Kind::Number, raw.as_bytes(), &mut token);
                Content::Whole(std::str::from_utf8(&token).ok()?.parse().ok()?)
            }
            Content::Text(_) | Content::Other => return None,
        };
        Some(Field {
            rule: self.rule,
            content,
        })
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

impl Waiting {
    fn step(self, paths: &[Path]) -> Option<&Step> {
        paths.get(self.rule)?.steps().get(self.step)
    }

    fn next(self) -> Waiting {
        Waiting {
            rule: self.rule,
            step: self.step.saturating_add(1),
        }
    }
}

/// Looks at one value and what is in it. Recurses as deep as the parser let the value be. Nothing: a document in a string
/// cannot be read.
fn collect(
    paths: &[Path],
    nodes: &mut Iter<'_, Node<'_>>,
    waiting: &[Waiting],
    matched: Option<usize>,
    found: &mut Vec<Field>,
) -> Option<()> {
    let node = nodes.next();
    if let Some(rule) = matched {
        found.push(Field::new(rule, node));
        if let Some(Node::Object { count, .. } | Node::Array { count, .. }) = node
            && let Some(last) = count.checked_sub(1)
        {
            nodes.nth(last);
        }
        return Some(());
    }
    let (into_strings, mut waiting): (Vec<Waiting>, Vec<Waiting>) = waiting
        .iter()
        .partition(|waiting| waiting.step(paths).is_some_and(Step::is_json));
    let behind: Vec<Waiting> = into_strings.into_iter().map(Waiting::next).collect();
    match node {
        Some(Node::Object { len, .. }) => {
            waiting.extend(behind);
            let mut folded = Vec::new();
            for _ in 0..*len {
                let Some(Node::String(key)) = nodes.next() else {
                    return Some(());
                };
                folded.clear();
                fold::fold_text(key.as_bytes(), &mut folded);
                let (below, matched) = follow(paths, &waiting, Some(&folded));
                collect(paths, nodes, &below, matched, found)?;
            }
        }
        Some(Node::Array { len, .. }) => {
            waiting.extend(behind);
            let (below, matched) = follow(paths, &waiting, None);
            for _ in 0..*len {
                collect(paths, nodes, &below, matched, found)?;
            }
        }
        Some(Node::String(text)) if !behind.is_empty() && !is_placeholder(text) => {
            let mut copy = text.as_bytes().to_vec();
            let mut buffers = Buffers::with_max_depth(0, DEPTH_MAX.saturating_add(1));
            let tape = to_tape_with_buffers(&mut copy, &mut buffers).ok()?;
            collect(paths, &mut tape.0.iter(), &behind, None, found)?;
        }
        Some(Node::String(_) | Node::Static(_)) | None => {}
    }
    Some(())
}

/// What waits below a member of this folded name, or below an element, and whether a rule selects the child itself.
fn follow(
    paths: &[Path],
    waiting: &[Waiting],
    key: Option<&[u8]>,
) -> (Vec<Waiting>, Option<usize>) {
    let mut below = Vec::new();
    let mut matched = None;
    for here in waiting.iter().copied() {
        let Some(step) = here.step(paths) else {
            continue;
        };
        if step.reach == Reach::AnyDepth && !below.contains(&here) {
            below.push(here);
        }
        let selects = match &step.selector {
            Selector::Key(name) => key == Some(name.as_bytes()),
            Selector::Every => true,
            Selector::Json => false,
        };
        let next = here.next();
        if !selects || below.contains(&next) {
            continue;
        }
        if next.step(paths).is_none() {
            matched = Some(matched.map_or(here.rule, |first| here.rule.min(first)));
        } else {
            below.push(next);
        }
    }
    (below, matched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DomainKey, KeyRing, MaskRule, Scratch, Target, mask_value};

    fn plan(paths: &[&str], shape: TokenShape) -> MaskPlan {
        let mut ring = KeyRing::new();
        ring.insert("d", DomainKey::derive(&[7; 32], "d", 1))
            .unwrap();
        let rules = paths.iter().map(|path| MaskRule {
            target: Target::Value(path),
            shape,
            length: TokenLength::Own,
            domain: "d",
        });
        MaskPlan::compile(&rules.collect::<Vec<_>>(), &ring).unwrap()
    }

    fn check(paths: &[&str], masked: &[u8]) -> Result<Checked, Survivor> {
        SelfCheck::new().surviving_field(&plan(paths, TokenShape::Opaque), b"{}", masked)
    }

    #[test]
    fn tells_a_token_of_digits_from_digits_in_clear() {
        let plan = plan(&["$..a", "$.c"], TokenShape::Digits);
        let value = br#"{"x":{"a":"4111-1111\u002f1111"},"a":[1],"c":41111111,"b":"5"}"#;
        let mut masked = Vec::new();
        mask_value(&plan, value, &mut Scratch::new(), &mut masked).unwrap();
        let check = |masked: &[u8]| SelfCheck::new().surviving_field(&plan, value, masked);
        assert_eq!(check(&masked), Ok(Checked::NoSurvivor));
        let masked = String::from_utf8(masked).unwrap();
        let number = masked.split("\"c\":").nth(1).unwrap();
        let number = number.split(',').next().unwrap();
        let clear = masked.replace(number, "41111111");
        assert_ne!(clear, masked);
        assert_eq!(check(clear.as_bytes()), Err(Survivor { rule: 1 }));
        // The token of another field, or of a value that was not there.
        for text in [number, "4111-1111/1111", "0000-0000/0000", "5"] {
            let forged = format!(r#"{{"a":"{text}"}}"#);
            assert_eq!(check(forged.as_bytes()), Err(Survivor { rule: 0 }));
        }
        assert!(check(br#"{"a":[1]}"#).is_err());
    }

    #[test]
    fn takes_an_address_of_ours_for_a_token_in_that_shape_only() {
        let address = format!("tok_1_{}@masked.invalid", "a".repeat(26));
        let masked = format!(r#"{{"a":"{address}"}}"#);
        let check = |shape, masked: &str| {
            SelfCheck::new().surviving_field(&plan(&["$.a"], shape), b"{}", masked.as_bytes())
        };
        assert!(check(TokenShape::Email, &masked).is_ok());
        assert!(check(TokenShape::Opaque, &masked).is_err());
        assert!(check(TokenShape::Email, r#"{"a":"ada@masked.invalid"}"#).is_err());
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
    fn leaves_out_what_is_too_long_and_gives_memory_back() {
        let plan = plan(&["$.a"], TokenShape::Opaque);
        let of_bytes = |bytes: usize| {
            let mut value = br#"{"a":1}"#.to_vec();
            value.resize(bytes, b' ');
            value
        };
        let longest = of_bytes(SELF_CHECK_BYTES_MAX);
        let longer = of_bytes(SELF_CHECK_BYTES_MAX + 1);
        let mut check = SelfCheck::new();
        for (value, masked) in [(&longest, &longer), (&longer, &longest), (&longer, &longer)] {
            let checked = check.surviving_field(&plan, value, masked);
            assert_eq!(checked, Ok(Checked::TooLong));
        }
        assert_eq!(check.copy.capacity(), 0);
        assert!(check.surviving_field(&plan, &longest, &longest).is_err());
        check.shrink(1000);
        assert!(check.copy.capacity() <= 1000);
    }

    #[test]
    fn looks_into_strings_where_a_rule_does() {
        let plan = plan(&["$.p.$json.a"], TokenShape::Opaque);
        let token = format!("tok_1_{}", "a".repeat(26));
        let check =
            |masked: &str| SelfCheck::new().surviving_field(&plan, b"{}", masked.as_bytes());
        let (good, clear) = (format!(r#"{{\"a\":\"{token}\"}}"#), r#"{\"a\":1}"#);
        let placeholder = r#"{\"sluice\":{\"masked\":\"unparsable\"}}"#;
        for masked in [
            format!(r#"{{"p":"{good}","a":1}}"#),
            format!(r#"{{"q":"{clear}"}}"#),
            format!(r#"{{"p":{{"a":"{token}"}}}}"#),
            format!(r#"{{"p":["{clear}"]}}"#),
            format!(r#"{{"p":"{placeholder}"}}"#),
            r#"{"p":7}"#.to_owned(),
        ] {
            assert_eq!(check(&masked), Ok(Checked::NoSurvivor), "{masked}");
        }
        for masked in [
            format!(r#"{{"p":"{clear}"}}"#),
            format!(r#"{{"p":"{good}","p":"{clear}"}}"#),
            r#"{"p":{"A":1}}"#.to_owned(),
        ] {
            assert_eq!(check(&masked), Err(Survivor { rule: 0 }), "{masked}");
        }
        assert_eq!(check(r#"{"p":"not JSON"}"#), Ok(Checked::Unreadable));
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
