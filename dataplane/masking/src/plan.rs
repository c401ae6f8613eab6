//! Rules compiled for one topic and audience.

use std::fmt;

use crate::automaton::Automaton;
use crate::error::PlanError;
use crate::key_ring::KeyRing;
use crate::limits::RULES_MAX;
use crate::path::Path;
use crate::token::Tokeniser;

/// How a masked field looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenShape {
    /// `"tok_1_…"`: a keyed hash that says nothing of the value but equality.
    #[default]
    Opaque,
    /// `"tok_1_…@masked.invalid"` for every string, for consumers that take nothing but an address.
    Email,
    /// Other digits in the places of the digits, for strings of digits and separators and for whole numbers.
    Digits,
}

impl TokenShape {
    /// All of them.
    pub const ALL: [TokenShape; 3] = [TokenShape::Opaque, TokenShape::Email, TokenShape::Digits];

    /// Reads a shape by the name it has in policy documents.
    #[must_use]
    pub fn from_name(name: &str) -> Option<TokenShape> {
        TokenShape::ALL
            .into_iter()
            .find(|shape| shape.name() == name)
    }

    /// Its name in policy documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TokenShape::Opaque => "opaque",
            TokenShape::Email => "email",
            TokenShape::Digits => "digits",
        }
    }
}

/// How long a token is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenLength {
    /// As long as its shape makes it.
    #[default]
    Own,
    /// As long as what it stands for, in the bytes that the document has for it: cut, or filled up with asterisks. What is too
    /// short for four characters of token is asterisks alone. Both booleans are as long as `true`. Not for keys, which must
    /// not become equal.
    Same,
}

/// Where a mask replaces something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The fields of the value that a path selects: see [`Path`].
    Value(&'a str),
    /// The whole key of a record.
    Key,
    /// The fields of the key that a path selects.
    KeyField(&'a str),
    /// The whole value of every header of this name, in any case.
    Header(&'a str),
}

/// One rule of a mask, as policy states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskRule<'a> {
    pub target: Target<'a>,
    pub shape: TokenShape,
    pub length: TokenLength,
    /// The key domain: fields of one domain can be joined by their tokens.
    pub domain: &'a str,
}

/// Rules and keys, ready to be applied. Immutable; compiling is for when policy is loaded, not for the hot path.
pub struct MaskPlan {
    value: Option<FieldPlan>,
    key: KeyPlan,
    headers: Vec<(Box<str>, Tokeniser)>,
}

enum KeyPlan {
    Clear,
    Whole(Tokeniser),
    /// What is no document is replaced whole, by the second: opaque in every shape, as others make different keys equal.
    Fields(FieldPlan, Tokeniser),
}

/// The rules for the fields of one kind of document.
pub(crate) struct FieldPlan {
    paths: Vec<Path>,
    automaton: Automaton,
    /// One per rule.
    tokenisers: Vec<Tokeniser>,
    /// Strings in strings that the deepest rule goes into.
    json_depth: usize,
}

impl MaskPlan {
    /// Compiles rules with the newest key of each domain.
    ///
    /// Where two rules match one field the first counts; where one matches a container, rules for what is in it have
    /// nothing left to match. A rule for the whole key wins over those for its fields.
    ///
    /// # Errors
    /// [`PlanError`]: no rules or too many, a path that is none, a domain without key, or rules whose combination
    /// needs more states than the limits allow.
    pub fn compile(rules: &[MaskRule<'_>], keys: &KeyRing) -> Result<MaskPlan, PlanError> {
        if rules.is_empty() {
            return Err(PlanError::OperatorRulesMissing);
        }
        if rules.len() > RULES_MAX {
            return Err(PlanError::OperatorRulesTooMany { count: rules.len() });
        }
        let (mut value, mut key_fields) = (Vec::new(), Vec::new());
        let (mut key, mut headers) = (None, Vec::new());
        let mut whole_of_fields = None;
        for (rule, given) in rules.iter().enumerate() {
            let MaskRule {
                target,
                shape,
                domain,
                ..
            } = given;
            let length = match target {
                Target::Key | Target::KeyField(_) => TokenLength::Own,
                Target::Value(_) | Target::Header(_) => given.length,
            };
            let path =
                |text| Path::parse(text).map_err(|fault| PlanError::OperatorPath { rule, fault });
            let missing = || PlanError::ControlKeyMissing {
                rule,
                domain: (*domain).to_owned(),
            };
            let domain_key = keys.newest(domain).ok_or_else(missing)?;
            let tokeniser = Tokeniser::new(domain_key, *shape, length);
            match target {
                Target::Value(text) => value.push((path(text)?, tokeniser)),
                Target::KeyField(text) => {
                    whole_of_fields.get_or_insert_with(|| {
                        Tokeniser::new(domain_key, TokenShape::Opaque, length)
                    });
                    key_fields.push((path(text)?, tokeniser));
                }
                Target::Key => key = key.or(Some(tokeniser)),
                Target::Header(name) => headers.push(((*name).into(), tokeniser)),
            }
        }
        let key = match (key, whole_of_fields) {
            (Some(whole), _) => KeyPlan::Whole(whole),
            (None, None) => KeyPlan::Clear,
            (None, Some(whole)) => KeyPlan::Fields(FieldPlan::compile(key_fields)?, whole),
        };
        let value = (!value.is_empty()).then(|| FieldPlan::compile(value));
        Ok(MaskPlan {
            value: value.transpose()?,
            key,
            headers,
        })
    }

    /// Whether a record's key is to be given to [`crate::mask_key`].
    #[must_use]
    pub fn masks_keys(&self) -> bool {
        !matches!(self.key, KeyPlan::Clear)
    }

    /// Whether a record's headers are to be given to [`crate::mask_header`].
    #[must_use]
    pub fn masks_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// Whether records are mostly as long masked as they were: whatever is masked has a token of its own length.
    #[must_use]
    pub fn keeps_lengths(&self) -> bool {
        let same = |tokeniser: &Tokeniser| tokeniser.length() == TokenLength::Same;
        let mut values = self
            .value()
            .into_iter()
            .flat_map(|fields| &fields.tokenisers);
        let mut headers = self.headers.iter();
        !self.masks_keys() && values.all(same) && headers.all(|(_, tokeniser)| same(tokeniser))
    }

    pub(crate) fn value(&self) -> Option<&FieldPlan> {
        self.value.as_ref()
    }

    /// The fields of the key to mask, and what is for a key as a whole.
    pub(crate) fn key(&self) -> Option<(Option<&FieldPlan>, &Tokeniser)> {
        match &self.key {
            KeyPlan::Clear => None,
            KeyPlan::Whole(whole) => Some((None, whole)),
            KeyPlan::Fields(fields, whole) => Some((Some(fields), whole)),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&Tokeniser> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, tokeniser)| tokeniser)
    }
}

impl FieldPlan {
    fn compile(rules: Vec<(Path, Tokeniser)>) -> Result<FieldPlan, PlanError> {
        let (paths, tokenisers): (Vec<Path>, Vec<Tokeniser>) = rules.into_iter().unzip();
        Ok(FieldPlan {
            automaton: Automaton::compile(&paths)?,
            json_depth: paths.iter().map(Path::json_steps).max().unwrap_or(0),
            paths,
            tokenisers,
        })
    }

    /// The paths, in the order of the rules.
    pub(crate) fn paths(&self) -> &[Path] {
        &self.paths
    }

    pub(crate) fn automaton(&self) -> &Automaton {
        &self.automaton
    }

    pub(crate) fn json_depth(&self) -> usize {
        self.json_depth
    }

    pub(crate) fn tokeniser(&self, rule: u16) -> Option<&Tokeniser> {
        // A rule that is none masks like the first: a plan has at least one, and a field is never passed for want of it.
        let found = self.tokenisers.get(usize::from(rule));
        found.or_else(|| self.tokenisers.first())
    }
}

impl fmt::Debug for MaskPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = |fields: Option<&FieldPlan>| -> Vec<String> {
            let paths = fields.map_or(&[][..], FieldPlan::paths).iter();
            paths.map(|path| path.as_str().to_owned()).collect()
        };
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("MaskPlan")
            .field("value", &paths(self.value()))
            .field("key", &self.key().map(|(fields, _)| paths(fields)))
            .field("headers", &headers)
            .finish_non_exhaustive()
    }
}
