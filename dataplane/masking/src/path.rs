//! Field paths: where in the payload. A subset of JSONPath (RFC 9535) that selects exactly what RFC 9535 selects, but
//! for keys, which are compared without regard to case.
//!
//! | written | selects |
//! |---|---|
//! | `$.customer.email` | the member `email` of the member `customer` |
//! | `$['odd key']`, `$["odd key"]` | a member whose name is not plain letters, digits and `_` |
//! | `$.items[*]`, `$.items.*` | every element of an array, every member of an object |
//! | `$..card_number` | every member of that name, at any depth |
//! | `$.payload.$json.email` | the member `email` of the JSON document that the string `payload` holds |
//!
//! `$json` is no part of RFC 9535: a step from a string to the document that it is the text of. An object or array, which is
//! no text of one, is that document itself, so that a producer who stops quoting does not stop being masked. `..` before it
//! does not reach into strings.

use crate::error::PathError;
use crate::fold;
use crate::limits::{JSON_STEPS_MAX, PATH_BYTES_MAX, STEPS_MAX};
use crate::scan;

/// A parsed field path; it has at least one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

/// One step from a value to some that it contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub reach: Reach,
    pub selector: Selector,
}

/// How far a step goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To the children of the value.
    Child,
    /// To the children of the value and of everything in it (`..`).
    AnyDepth,
}

/// What a step chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Members of this name, in folded form.
    Key(Box<str>),
    /// Every member and every element.
    Every,
    /// The document in a string. Never the first step nor the last one, nor behind another of its kind.
    Json,
}

impl Path {
    /// Reads a path as it stands in a policy.
    ///
    /// # Errors
    /// [`PathError`] says where the path goes wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Path, PathError> {
        let mut parser = Parser { text, rest: text };
        let steps = parser.steps()?;
        Ok(Path {
            text: text.to_owned(),
            steps,
        })
    }

    /// The path as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The steps from the root, at least one.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether it goes into a string.
    #[must_use]
    pub fn goes_into_strings(&self) -> bool {
        self.json_steps() > 0
    }

    /// How many strings in strings it goes into.
    pub(crate) fn json_steps(&self) -> usize {
        self.steps.iter().filter(|step| step.is_json()).count()
    }
}

impl Step {
    pub(crate) fn is_json(&self) -> bool {
        self.selector == Selector::Json
    }
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn steps(&mut self) -> Result<Vec<Step>, PathError> {
        if self.text.len() > PATH_BYTES_MAX {
            return Err(self.fault("is longer than 1024 bytes"));
        }
        if !self.eat("$") {
            return Err(self.fault("a path starts at the root: write `$.` before the first key"));
        }
        if self.rest.is_empty() {
            return Err(self.fault("`$` alone is the whole value: name a field, or write `$.*`"));
        }
        let mut steps: Vec<Step> = Vec::new();
        while !self.rest.is_empty() {
            if steps.len() == STEPS_MAX {
                return Err(self.fault("has more than 16 steps: `..` reaches any depth in one"));
            }
            let before = self.rest;
            let step = self.step()?;
            if step.is_json() {
                let fault = Self::json_fault(&steps, &step);
                if let Some(fault) = fault {
                    self.rest = before;
                    return Err(self.fault(fault));
                }
            }
            steps.push(step);
        }
        if steps.last().is_some_and(Step::is_json) {
            return Err(self.fault(
                "ends in `$json`, which is the whole string: name the field that holds it, or go on with `.*`",
            ));
        }
        Ok(steps)
    }

    /// Why `$json` may not stand behind these steps.
    fn json_fault(before: &[Step], step: &Step) -> Option<&'static str> {
        let depth = before.iter().filter(|step| step.is_json()).count();
        if step.reach == Reach::AnyDepth {
            Some("`..` does not go with `$json`: name the field that holds the string")
        } else if before.last().is_none_or(Step::is_json) {
            Some("`$json` stands behind a field that holds a string: `$.payload.$json.email`")
        } else if depth >= JSON_STEPS_MAX {
            Some("has more than 4 steps `$json`: name the outer field instead")
        } else {
            None
        }
    }

    fn step(&mut self) -> Result<Step, PathError> {
        let reach = if self.eat("..") {
            Reach::AnyDepth
        } else {
            Reach::Child
        };
        let selector = if self.rest.starts_with('[') {
            self.bracket()?
        } else if reach == Reach::AnyDepth || self.eat(".") {
            self.name()?
        } else {
            return Err(self.fault("a step starts with `.`, `..` or `[`"));
        };
        Ok(Step { reach, selector })
    }

    fn name(&mut self) -> Result<Selector, PathError> {
        if self.eat("*") {
            return Ok(Selector::Every);
        }
        if let Some(rest) = self.rest.strip_prefix("$json")
            && (rest.is_empty() || rest.starts_with(['.', '[']))
        {
            self.rest = rest;
            return Ok(Selector::Json);
        }
        let end = self
            .rest
            .find(|c: char| !(c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii()))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at_checked(end).unwrap_or(("", self.rest));
        if name.is_empty() {
            return Err(self.fault(match self.rest.chars().next() {
                None => "ends where a key is due: write it, or leave the dot out",
                Some('.') => "has a dot too many: write `.` or `..` and a key",
                Some('[') => "write `[` without a dot before it",
                Some('\'' | '"') => "a quoted key stands in brackets: write `['key']`",
                Some(_) => "a key with this character is written in brackets: `['odd-key']`",
            }));
        }
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(
                self.fault("a key that starts with a digit is written in brackets: `['1st']`")
            );
        }
        self.rest = rest;
        if self.rest.starts_with(|c: char| !matches!(c, '.' | '[')) {
            return Err(
                self.fault("a key with this character is written in brackets: `['odd-key']`")
            );
        }
        Ok(Selector::Key(folded(name)))
    }

    fn bracket(&mut self) -> Result<Selector, PathError> {
        self.eat("[");
        let selector = if self.eat("*") {
            Selector::Every
        } else if self.eat("'") {
            Selector::Key(self.quoted('\'')?)
        } else if self.eat("\"") {
            Selector::Key(self.quoted('"')?)
        } else {
            return Err(self.fault(match self.rest.chars().next() {
                Some('0'..='9' | '-' | ':') => {
                    "an index or a slice would leave the other elements clear: write `[*]`"
                }
                Some('?' | '(') => "a filter is not possible: write `[*]` to mask in every element",
                Some(']') => "empty brackets: write `[*]` or `['key']`",
                _ => "write `[*]`, or a quoted key: `['key']`",
            }));
        };
        if self.eat("]") {
            return Ok(selector);
        }
        Err(self.fault(if self.rest.starts_with(',') {
            "one key per bracket: write one rule for each"
        } else {
            "`]` is missing here"
        }))
    }

    /// After the opening quote, to behind the closing one. Escapes as in RFC 9535, 2.3.1.1.
    fn quoted(&mut self, quote: char) -> Result<Box<str>, PathError> {
        let mut name = String::new();
        loop {
            let Some(next) = self.rest.chars().next() else {
                return Err(self.fault("the closing quote is missing"));
            };
            if next < ' ' {
                return Err(self.fault("a control character is written as an escape: `\\u0009`"));
            }
            self.eat(next.encode_utf8(&mut [0; 4]));
            if next == quote {
                return Ok(folded(&name));
            }
            if next != '\\' {
                name.push(next);
            } else if self.eat("'") {
                name.push('\'');
            } else {
                let decoded = scan::escape(self.rest.as_bytes());
                let Some((character, rest)) = decoded.and_then(|(character, rest)| {
                    Some((character, std::str::from_utf8(rest).ok()?))
                }) else {
                    return Err(
                        self.fault("this is no escape: a backslash itself is written `\\\\`")
                    );
                };
                name.push(character);
                self.rest = rest;
            }
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn fault(&self, fault: &'static str) -> PathError {
        let read_bytes = self.text.len().saturating_sub(self.rest.len());
        let read = self.text.get(..read_bytes).unwrap_or(self.text);
        let shown = self.text.floor_char_boundary(PATH_BYTES_MAX);
        PathError {
            path: self.text.get(..shown).unwrap_or_default().to_owned(),
            at: read.chars().count(),
            fault,
        }
    }
}

fn folded(name: &str) -> Box<str> {
    let mut out = Vec::new();
    fold::fold_text(name.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(Reach, String)> {
        Path::parse(text)
            .unwrap_or_else(|error| panic!("{error}"))
            .steps()
            .iter()
            .map(|step| {
                let selector = match &step.selector {
                    Selector::Key(key) => key.to_string(),
                    Selector::Every => "*".to_owned(),
                    Selector::Json => "$json".to_owned(),
                };
                (step.reach, selector)
            })
            .collect()
    }

    fn fault(text: &str) -> (usize, &'static str) {
        let error = Path::parse(text).expect_err(text);
        (error.at, error.fault)
    }

    #[test]
    fn reads_the_paths_that_policies_use() {
        use Reach::{AnyDepth, Child};
        let key = |reach, key: &str| (reach, key.to_owned());
        assert_eq!(
            steps("$.customer.email"),
            [key(Child, "customer"), key(Child, "email")]
        );
        assert_eq!(steps("$..card_number"), [key(AnyDepth, "card_number")]);
        assert_eq!(
            steps("$.items[*].recipient.ssn"),
            [
                key(Child, "items"),
                key(Child, "*"),
                key(Child, "recipient"),
                key(Child, "ssn")
            ]
        );
        assert_eq!(steps("$['odd key']"), [key(Child, "odd key")]);
        assert_eq!(
            steps(r#"$["a\"b"]..['\u0065\'']"#),
            [key(Child, "a\"b"), key(AnyDepth, "e'")]
        );
        assert_eq!(steps("$.*"), [key(Child, "*")]);
        assert_eq!(steps("$[*][*]"), [key(Child, "*"), key(Child, "*")]);
        assert_eq!(
            steps("$.Straße.日本"),
            [key(Child, "straße"), key(Child, "日本")]
        );
        assert_eq!(steps("$['']"), [key(Child, "")]);
        assert_eq!(
            steps("$.payload.$json[*].$json..email"),
            [
                key(Child, "payload"),
                key(Child, "$json"),
                key(Child, "*"),
                key(Child, "$json"),
                key(AnyDepth, "email")
            ]
        );
        let path = Path::parse("$['$json'].a").unwrap();
        assert_eq!(path.json_steps(), 0);
    }

    #[test]
    fn says_where_a_path_is_wrong_and_what_to_write() {
        for (text, at, hint) in [
            ("", 0, "starts at the root"),
            ("customer.email", 0, "`$.`"),
            ("$", 1, "`$.*`"),
            ("$.", 2, "ends where a key is due"),
            ("$..", 3, "ends where a key is due"),
            ("$...a", 3, "dot too many"),
            ("$.a.", 4, "ends where a key is due"),
            ("$a", 1, "a step starts with"),
            ("$.a b", 3, "['odd-key']"),
            ("$.card-number", 6, "['odd-key']"),
            ("$.1st", 2, "starts with a digit"),
            ("$.'a'", 2, "['key']"),
            ("$.[*]", 2, "without a dot"),
            ("$.items[0].ssn", 8, "write `[*]`"),
            ("$.items[1:2]", 8, "write `[*]`"),
            ("$.items[?@.a]", 8, "filter"),
            ("$.items[]", 8, "empty brackets"),
            ("$[a]", 2, "['key']"),
            ("$['a','b']", 5, "one rule for each"),
            ("$['a'", 5, "`]` is missing"),
            ("$['a", 4, "closing quote"),
            ("$['\\x41']", 4, "no escape"),
            ("$['a\tb']", 4, "control character"),
            ("$.$json.email", 1, "behind a field"),
            ("$.a.$json.$json.b", 9, "behind a field"),
            ("$.a..$json.b", 3, "`..` does not go with `$json`"),
            ("$.a.$json", 9, "ends in `$json`"),
            ("$.a.$jsonl", 4, "['odd-key']"),
            ("$.$JSON", 2, "['odd-key']"),
            ("$.é é", 3, "['odd-key']"),
        ] {
            let (found_at, found) = fault(text);
            assert_eq!(found_at, at, "{text}: {found}");
            assert!(found.contains(hint), "{text}: {found}");
        }
    }

    #[test]
    fn bounds_the_length_and_the_steps() {
        let long = format!("$.{}", "é".repeat(PATH_BYTES_MAX));
        let error = Path::parse(&long).unwrap_err();
        assert!(error.path.len() <= PATH_BYTES_MAX && error.fault.contains("1024"));
        assert_eq!(steps(&format!("${}", ".a".repeat(STEPS_MAX))).len(), 16);
        assert!(
            fault(&format!("${}", ".a".repeat(STEPS_MAX + 1)))
                .1
                .contains("16")
        );
        let nested = format!("${}", ".a.$json".repeat(JSON_STEPS_MAX + 1));
        assert!(fault(&format!("{nested}.b")).1.contains("more than 4"));
    }
}
