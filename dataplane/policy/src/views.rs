//! What compiled policy says by name or id: approval rules, mask rules, classes, issuers. Not for the hot path.

use crate::decision::{
    ApprovalRuleId, ClassId, Durability, Immutability, MaskPlanId, Reason, RoleId,
};
use crate::duty::Duty;
use crate::format::{
    RETENTION_FOREVER, Section, approvals, classes, conflict_rows, issuers, masks, roles,
};
use crate::immutable::{CreateRequirements, create_requirements};
use crate::role::{ClassMarks, ConflictOver, ConflictScope, TokenLength, TokenShape};
use crate::tables::Tables;

/// What the classes of a topic add up to: the strictest of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassView<'a> {
    /// The names of the classes, `a, b`; empty for the class of topics that no class matches.
    pub names: &'a str,
    /// Whether history may change.
    pub immutable: Immutability,
    /// The least retention of an immutable class; `None` keeps for ever.
    pub retention_min_ms: Option<u64>,
    /// The rule by which changes need approval.
    pub approval: Option<ApprovalRuleId>,
    /// How durable receipts must be.
    pub durability: Durability,
    /// Protected, personal.
    pub marks: ClassMarks,
}

impl ClassView<'_> {
    /// The settings that a topic of this class has to be created with, and keep; `None` if it is mutable.
    #[must_use]
    pub fn create_requirements(&self) -> Option<CreateRequirements> {
        match self.immutable {
            Immutability::Immutable => Some(create_requirements(self.retention_min_ms)),
            Immutability::Mutable => None,
        }
    }
}

/// An approval rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApprovalRuleView<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many people must say yes.
    pub quorum_count: u32,
    /// Whose yes counts.
    pub quorum_of: &'a str,
    /// How long a session holds a first request.
    pub hold_ms: u64,
    /// How long an approval request stays open.
    pub timeout_ms: u64,
    /// How long a grant lasts.
    pub lasts_ms: u64,
}

/// Where in a record a mask replaces something.
///
/// In compiled policy one text: a path, which starts with `$`, is one into the value; `key`; `key` and a path; `header:` and
/// a name. A gateway of before knows paths only, and refuses the others as paths that do not start at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskTarget<'a> {
    /// Fields of the value, by a field path as written.
    Value(&'a str),
    /// The whole key.
    Key,
    /// Fields of the key.
    KeyField(&'a str),
    /// The value of every header of this name.
    Header(&'a str),
}

impl<'a> MaskTarget<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        if text.starts_with('$') {
            return Some(Self::Value(text));
        }
        if let Some(name) = text.strip_prefix("header:") {
            return Some(Self::Header(name));
        }
        match text.strip_prefix("key")? {
            "" => Some(Self::Key),
            path => path.starts_with('$').then_some(Self::KeyField(path)),
        }
    }
}

impl std::fmt::Display for MaskTarget<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(path) => f.write_str(path),
            Self::Key => f.write_str("key"),
            Self::KeyField(path) => write!(f, "key{path}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// One part of a record to replace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaskRule<'a> {
    /// The mask's name.
    pub mask: &'a str,
    /// Where in a record.
    pub target: MaskTarget<'a>,
    /// The form of the token.
    pub shape: TokenShape,
    /// How long it is.
    pub length: TokenLength,
    /// The key domain.
    pub domain: &'a str,
}

/// An identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuerView<'a> {
    /// Its name, as bindings say it.
    pub name: &'a str,
    /// The `iss` claim.
    pub url: &'a str,
    /// The `aud` that a token must carry.
    pub audience: &'a str,
    /// The claim that names the principal.
    pub principal_claim: &'a str,
    /// The claim that lists groups.
    pub groups_claim: Option<&'a str>,
}

/// A conflict set that is looked at when duties are exercised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicConflictView<'a> {
    /// Its name.
    pub name: &'a str,
    /// The duties, each pair of which conflicts.
    pub duties: Vec<Duty>,
    /// Where they may not meet.
    pub over: ConflictOver,
    /// With whom.
    pub scope: ConflictScope,
}

impl Tables {
    /// What the classes of a topic add up to.
    #[must_use]
    pub fn class(&self, id: ClassId) -> ClassView<'_> {
        let row = u32::from(id.get());
        let flags = self.word(Section::Classes, row, classes::FLAGS);
        let retention = self.long(Section::Classes, row, classes::RETENTION);
        let on = |flag| flags & flag != 0;
        ClassView {
            names: self.text(Section::Classes, row, classes::NAMES),
            immutable: if on(classes::IMMUTABLE) {
                Immutability::Immutable
            } else {
                Immutability::Mutable
            },
            retention_min_ms: (on(classes::IMMUTABLE) && retention != RETENTION_FOREVER)
                .then_some(retention),
            approval: approval(self.word(Section::Classes, row, classes::APPROVAL)),
            durability: match flags >> classes::DURABILITY_SHIFT {
                0 => Durability::Queued,
                1 => Durability::Written,
                _ => Durability::Synced,
            },
            marks: ClassMarks {
                protected: on(classes::PROTECTED),
                personal: on(classes::PERSONAL),
            },
        }
    }

    /// The rule with this id; ids come from these tables only.
    #[must_use]
    pub fn approval_rule(&self, id: ApprovalRuleId) -> ApprovalRuleView<'_> {
        let row = u32::from(id.get());
        ApprovalRuleView {
            name: self.text(Section::ApprovalRules, row, approvals::NAME),
            quorum_count: self.word(Section::ApprovalRules, row, approvals::QUORUM_COUNT),
            quorum_of: self.text(Section::ApprovalRules, row, approvals::QUORUM_OF),
            hold_ms: self.long(Section::ApprovalRules, row, approvals::HOLD),
            timeout_ms: self.long(Section::ApprovalRules, row, approvals::TIMEOUT),
            lasts_ms: self.long(Section::ApprovalRules, row, approvals::LASTS),
        }
    }

    /// How many mask plans there are; their ids count from 0.
    #[must_use]
    pub fn mask_plans_count(&self) -> u16 {
        u16::try_from(self.count(Section::Plans)).unwrap_or(u16::MAX)
    }

    /// Every mask plan's id, in order.
    pub fn mask_plans(&self) -> impl Iterator<Item = MaskPlanId> {
        (0..self.mask_plans_count()).filter_map(MaskPlanId::new)
    }

    /// The rules of one plan: masks in the order of their names, of each the fields, the key and the headers as written.
    pub fn mask_plan(&self, id: MaskPlanId) -> impl Iterator<Item = MaskRule<'_>> {
        self.range(Section::Plans, u32::from(id.get()), 0)
            .flat_map(move |at| {
                let mask = self.word(Section::Ids, at, 0);
                let token = token(self.word(Section::Masks, mask, masks::SHAPE));
                let (shape, length) = token.unwrap_or_default();
                self.range(Section::Masks, mask, masks::TARGETS)
                    .map(move |target| MaskRule {
                        mask: self.text(Section::Masks, mask, masks::NAME),
                        // A load refuses what is no target; were there one, it is no path either, and no plan is made.
                        target: MaskTarget::read(self.text(Section::Strings, target, 0))
                            .unwrap_or(MaskTarget::Value("")),
                        // A load refuses what is none.
                        shape,
                        length,
                        domain: self.text(Section::Masks, mask, masks::DOMAIN),
                    })
            })
    }

    /// Every key domain that a mask names, sorted.
    #[must_use]
    pub fn mask_domains(&self) -> Vec<&str> {
        let mut domains: Vec<_> = (0..self.count(Section::Masks))
            .map(|row| self.text(Section::Masks, row, masks::DOMAIN))
            .collect();
        domains.sort_unstable();
        domains.dedup();
        domains
    }

    /// The issuers that policy names.
    pub fn issuers(&self) -> impl Iterator<Item = IssuerView<'_>> {
        (0..self.count(Section::Issuers)).map(|row| {
            let text = |column| self.text(Section::Issuers, row, column);
            IssuerView {
                name: text(issuers::NAME),
                url: text(issuers::URL),
                audience: text(issuers::AUDIENCE),
                principal_claim: text(issuers::PRINCIPAL_CLAIM),
                groups_claim: Some(text(issuers::GROUPS_CLAIM)).filter(|claim| !claim.is_empty()),
            }
        })
    }

    /// The conflict sets that are looked at when duties are exercised.
    pub fn dynamic_conflicts(&self) -> impl Iterator<Item = DynamicConflictView<'_>> {
        (0..self.count(Section::Conflicts)).map(|row| {
            let word = |column| self.word(Section::Conflicts, row, column);
            let duties = word(conflict_rows::DUTIES);
            let held = |duty: &Duty| (duties >> (*duty as u32)) & 1 == 1;
            DynamicConflictView {
                name: self.text(Section::Conflicts, row, conflict_rows::NAME),
                duties: Duty::ALL.into_iter().filter(held).collect(),
                over: if word(conflict_rows::OVER) == 0 {
                    ConflictOver::SameTopic
                } else {
                    ConflictOver::Anywhere
                },
                scope: match word(conflict_rows::SCOPE) {
                    0 => ConflictScope::Principal,
                    1 => ConflictScope::Person,
                    _ => ConflictScope::Team,
                },
            }
        })
    }

    /// How many roles there are.
    #[must_use]
    pub fn roles_count(&self) -> u32 {
        self.count(Section::Roles)
    }

    /// The role's name.
    #[must_use]
    pub fn role_name(&self, id: RoleId) -> &str {
        self.text(Section::Roles, id.get(), roles::NAME)
    }

    /// The role with this name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<RoleId> {
        // Cold, and there are at most some ten thousand; the rows are sorted, but a scan is the plainer.
        (0..self.roles_count())
            .map(RoleId)
            .find(|id| self.role_name(*id) == name)
    }

    /// The name of the role or of the classes behind a Deny, for evidence.
    #[must_use]
    pub fn rule_of(&self, reason: Reason) -> Option<&str> {
        match reason {
            Reason::DeniedByRule(role) => Some(self.role_name(role)),
            Reason::Immutable(class, _) => Some(self.class(class).names),
            _ => None,
        }
    }
}

pub(crate) fn approval(word: u32) -> Option<ApprovalRuleId> {
    word.checked_sub(1)
        .and_then(|row| u16::try_from(row).ok())
        .map(ApprovalRuleId)
}

pub(crate) fn token(word: u32) -> Option<(TokenShape, TokenLength)> {
    let length = match word & masks::LENGTH_SAME {
        0 => TokenLength::Own,
        _ => TokenLength::Same,
    };
    let shape = (word & !masks::LENGTH_SAME) as usize;
    Some((*TokenShape::ALL.get(shape)?, length))
}
