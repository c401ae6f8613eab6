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

/// One field of a mask, as policy states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskRule<'a> {
    /// A field path: see [`Path`].
    pub path: &'a str,
    pub shape: TokenShape,
    /// The key domain: fields of one domain can be joined by their tokens.
    pub domain: &'a str,
}

/// Rules and keys, ready to be applied. Immutable; compiling is for when policy is loaded, not for the hot path.
pub struct MaskPlan {
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
    /// nothing left to match.
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
        let mut paths = Vec::with_capacity(rules.len());
        let mut tokenisers = Vec::with_capacity(rules.len());
        for (
            rule,
            MaskRule {
                path,
                shape,
                domain,
            },
        ) in rules.iter().enumerate()
        {
            let path =
                Path::parse(path).map_err(|fault| PlanError::OperatorPath { rule, fault })?;
            let tokeniser = keys.newest(domain).map(|key| Tokeniser::new(key, *shape));
            paths.push(path);
            tokenisers.push(tokeniser.ok_or_else(|| PlanError::ControlKeyMissing {
                rule,
                domain: (*domain).to_owned(),
            })?);
        }
        Ok(MaskPlan {
            automaton: Automaton::compile(&paths)?,
            json_depth: paths.iter().map(Path::json_steps).max().unwrap_or(0),
            paths,
            tokenisers,
        })
    }

    /// The paths, in the order of the rules.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
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
        f.debug_struct("MaskPlan")
            .field("paths", &self.paths)
            .finish_non_exhaustive()
    }
}
