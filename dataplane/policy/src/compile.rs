//! Policy set to the flat bytes that gateways hold. Equal input gives equal bytes.

use std::collections::{BTreeSet, HashMap};

use crate::decision::{Immutability, Revision};
use crate::error::CompileError;
use crate::format::{self, RETENTION_FOREVER, Section};
use crate::limits::CLASSES_COUNT_MAX;
use crate::mask_plans::{Plans, clear_patterns};
use crate::operation::OperationSet;
use crate::policy_set::PolicySet;
use crate::principal::{ControlRole, PrincipalKind};
use crate::resolve::{Join, Regions};
use crate::resource::{Pattern, ResourceKind};
use crate::role::{
    ConflictOver, ConflictScope, ConflictWhen, Effect, KeyMask, Mask, Role, TokenLength,
};
use crate::views::MaskTarget;
use crate::writer::{Rows, Writer, word};

/// Compiles `set` under `revision`. [`crate::Tables::load`] reads the bytes.
///
/// # Errors
/// When the set does not fit: masks or classes combine in too many ways, or the bytes would be too many.
pub fn compile(set: &PolicySet, revision: Revision) -> Result<Vec<u8>, CompileError> {
    let mut writer = Writer::of(set);
    let roles: HashMap<&str, u32> = (0..)
        .zip(set.roles())
        .map(|(id, role)| (role.name.as_str(), id))
        .collect();
    // The gateway-wide tables stand first, so that their rows are known by number.
    let (class_regions, class_sets) = classes(set)?;
    let plans = Plans::of(set)?;
    let fixed = [
        writer.rows(&Regions::<()>::of([]), |()| 0),
        writer.rows(&class_regions, |classes| {
            position_after_none(&class_sets, classes)
        }),
        writer.rows(&plans.regions, |masks| {
            plans.full(masks).map_or(0, |plan| plan.saturating_add(1))
        }),
    ];
    for rows in fixed {
        writer.write_rows(rows);
    }
    for role in set.roles() {
        writer.role(role, set);
    }
    writer.classes(set, &class_sets);
    writer.masks(set);
    writer.plans(&plans);
    writer.clears();
    writer.approval_rules(set);
    writer.issuers(set);
    writer.bindings(set, &roles);
    writer.conflicts(set);
    writer.finish(revision)
}

/// What a role says about one name: allowed in the low half, denied in the high half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Says {
    allowed: OperationSet,
    denied: OperationSet,
}

impl Says {
    fn word(self) -> u32 {
        u32::from(self.allowed.bits()) | (u32::from(self.denied.bits()) << 16)
    }

    fn of(role: &Role, kind: ResourceKind) -> impl Iterator<Item = (&Pattern, Self)> {
        role.permissions.iter().flat_map(move |permission| {
            let written = permission.operations.intersection(kind.operations());
            let says = match permission.effect {
                Effect::Allow => {
                    let allowed = written.with_implied().intersection(kind.operations());
                    Self {
                        allowed,
                        denied: OperationSet::EMPTY,
                    }
                }
                Effect::Deny => Self {
                    allowed: OperationSet::EMPTY,
                    denied: written,
                },
            };
            permission
                .patterns(kind)
                .iter()
                .map(move |pattern| (pattern, says))
        })
    }
}

impl Join for Says {
    fn join(&mut self, other: &Self) {
        self.allowed = self.allowed.union(other.allowed);
        self.denied = self.denied.union(other.denied);
    }
}

impl Join for () {
    fn join(&mut self, (): &Self) {}
}

/// Row numbers, sorted.
pub(crate) type Set = BTreeSet<u32>;

fn position_after_none(sets: &[Set], set: &Set) -> u32 {
    if set.is_empty() {
        0
    } else {
        sets.binary_search(set)
            .map_or(0, |at| word(at).saturating_add(1))
    }
}

/// Distinct combinations of classes, sorted; the class id is the position plus one.
fn classes(set: &PolicySet) -> Result<(Regions<'_, Set>, Vec<Set>), CompileError> {
    let numbered = (0..).zip(set.classes());
    let patterns = numbered.flat_map(|(id, class)| {
        class
            .topics
            .iter()
            .map(move |pattern| (pattern, Set::from([id])))
    });
    let regions = Regions::of(patterns);
    let sets: BTreeSet<Set> = regions
        .sums()
        .filter(|set| !set.is_empty())
        .cloned()
        .collect();
    if sets.len() >= CLASSES_COUNT_MAX {
        return Err(CompileError::OperatorClassesTooMany);
    }
    Ok((regions, sets.into_iter().collect()))
}

impl<'a> Writer<'a> {
    fn of(set: &'a PolicySet) -> Self {
        let mut writer = Self::default();
        let permissions = set.roles().iter().flat_map(|role| &role.permissions);
        let names: BTreeSet<&str> = permissions
            .flat_map(|permission| {
                permission
                    .topics
                    .iter()
                    .chain(&permission.groups)
                    .chain(&permission.transactional_ids)
            })
            .chain(set.classes().iter().flat_map(|class| &class.topics))
            .chain(set.masks().iter().flat_map(|mask| &mask.topics))
            .filter_map(|pattern| match pattern {
                Pattern::Literal(name) => Some(name.as_str()),
                Pattern::Any | Pattern::Prefix(_) => None,
            })
            .collect();
        for (id, name) in (0..).zip(names) {
            writer.text(Section::Names, name);
            writer.names.insert(name, id);
        }
        writer
    }

    fn role(&mut self, role: &'a Role, set: &'a PolicySet) {
        let regions = |kind| Regions::of(Says::of(role, kind));
        let topics = regions(ResourceKind::Topic);
        let some = topics.sums().fold(OperationSet::EMPTY, |some, says| {
            some.union(says.allowed.without(says.denied))
        });
        let some = Says {
            allowed: some,
            denied: topics.any.denied,
        };
        let rows = [
            self.patterns(&topics, |says| says.word()),
            self.patterns(&regions(ResourceKind::Group), |says| says.word()),
            self.patterns(&regions(ResourceKind::TransactionalId), |says| says.word()),
        ];
        let clears = Regions::of(clear_patterns(role, set));
        for cleared in clears.sums().filter(|cleared| !cleared.is_empty()) {
            if !self.clear_ids.contains_key(cleared) {
                self.clear_ids
                    .insert(cleared.clone(), word(self.clear_sets.len()));
                self.clear_sets.push(cleared.clone());
            }
        }
        let ids = std::mem::take(&mut self.clear_ids);
        let clears = self.patterns(&clears, |cleared| {
            ids.get(cleared).map_or(0, |id| id.saturating_add(1))
        });
        self.clear_ids = ids;
        let cluster = regions(ResourceKind::Cluster).any;
        self.text(Section::Roles, &role.name);
        self.words(Section::Roles, &rows);
        self.words(Section::Roles, &[clears, cluster.word(), some.word()]);
    }

    /// Writes a pattern table, or finds the equal one; returns its row.
    fn patterns<V: Join>(&mut self, regions: &Regions<'a, V>, value: impl Fn(&V) -> u32) -> u32 {
        let rows = self.rows(regions, value);
        match self.pattern_rows.get(&rows) {
            Some(row) => *row,
            None => self.write_rows(rows),
        }
    }

    fn rows<V: Join>(&mut self, regions: &Regions<'a, V>, value: impl Fn(&V) -> u32) -> Rows {
        let exact = regions
            .names
            .iter()
            .filter_map(|(name, sum)| Some((*self.names.get(name)?, value(sum))))
            .collect();
        let mut prefixes: Vec<(usize, u32, u32)> = Vec::with_capacity(regions.prefixes.len());
        for (prefix, sum) in &regions.prefixes {
            prefixes.push((prefix.len(), self.intern(prefix), value(sum)));
        }
        // A stable sort: within one length, the order of the map is the order of bytes.
        prefixes.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        (exact, prefixes, value(&regions.any))
    }

    fn write_rows(&mut self, rows: Rows) -> u32 {
        let (exact, prefixes, any) = &rows;
        let exact_range = [self.count(Section::Exact), word(exact.len())];
        for (name, value) in exact {
            self.words(Section::Exact, &[*name, *value]);
        }
        let bucket_first = self.count(Section::Buckets);
        for bucket in prefixes.chunk_by(|(a, ..), (b, ..)| a == b) {
            let first = self.count(Section::Prefixes);
            let length = bucket.first().map_or(0, |(length, ..)| word(*length));
            self.words(Section::Buckets, &[length, first, word(bucket.len())]);
            for (_, text, value) in bucket {
                self.words(Section::Prefixes, &[*text, *value]);
            }
        }
        let bucket_range = [
            bucket_first,
            self.count(Section::Buckets).saturating_sub(bucket_first),
        ];
        let row = self.count(Section::Patterns);
        self.words(Section::Patterns, &exact_range);
        self.words(Section::Patterns, &bucket_range);
        self.words(Section::Patterns, &[*any]);
        self.pattern_rows.entry(rows).or_insert(row);
        row
    }

    /// The strictest of all classes that match together.
    fn classes(&mut self, set: &'a PolicySet, sets: &[Set]) {
        let durability = |class: u32| class << format::classes::DURABILITY_SHIFT;
        self.words(Section::Classes, &[0, 0, durability(1), 0, 0, 0]);
        for ids in sets {
            let classes: Vec<_> = ids
                .iter()
                .filter_map(|id| set.classes().get(*id as usize))
                .collect();
            let immutable = || {
                classes
                    .iter()
                    .filter(|class| class.immutable == Immutability::Immutable)
            };
            let retention_ms = immutable()
                .map(|class| class.retention_min_ms.unwrap_or(RETENTION_FOREVER))
                .max();
            let mut flags = classes
                .iter()
                .map(|class| class.durability)
                .max()
                .unwrap_or_default() as u32;
            flags = durability(flags);
            if immutable().next().is_some() {
                flags |= format::classes::IMMUTABLE;
            }
            if classes.iter().any(|class| class.marks.protected) {
                flags |= format::classes::PROTECTED;
            }
            if classes.iter().any(|class| class.marks.personal) {
                flags |= format::classes::PERSONAL;
            }
            let rule = classes.iter().find_map(|class| class.approval.as_ref());
            let rule = rule.and_then(|rule| {
                set.approval_rules()
                    .binary_search_by(|r| r.name.cmp(rule))
                    .ok()
            });
            let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
            let names = names.join(", ");
            let offset = self.append_text(&names);
            self.words(Section::Classes, &[offset, word(names.len()), flags]);
            self.words(
                Section::Classes,
                &[rule.map_or(0, |rule| word(rule).saturating_add(1))],
            );
            self.long(Section::Classes, retention_ms.unwrap_or(0));
        }
    }

    fn masks(&mut self, set: &'a PolicySet) {
        for mask in set.masks() {
            self.text(Section::Masks, &mask.name);
            let length = match mask.token.length {
                TokenLength::Own => 0,
                TokenLength::Same => format::masks::LENGTH_SAME,
            };
            self.words(Section::Masks, &[mask.token.shape as u32 | length]);
            self.text(Section::Masks, &mask.token.domain);
            self.targets(mask);
        }
    }

    fn targets(&mut self, mask: &'a Mask) {
        let key = match &mask.key {
            None => Vec::new(),
            Some(KeyMask::Whole) => vec![MaskTarget::Key],
            Some(KeyMask::Fields(paths)) => paths
                .iter()
                .map(|path| MaskTarget::KeyField(path))
                .collect(),
        };
        let fields = mask.fields.iter().map(|path| MaskTarget::Value(path));
        let headers = mask.headers.iter().map(|name| MaskTarget::Header(name));
        let first = self.count(Section::Strings);
        for target in fields.chain(key).chain(headers) {
            match target {
                MaskTarget::Value(path) => self.text(Section::Strings, path),
                other => {
                    let text = other.to_string();
                    let offset = self.append_text(&text);
                    self.words(Section::Strings, &[offset, word(text.len())]);
                }
            }
        }
        let count = self.count(Section::Strings).saturating_sub(first);
        self.words(Section::Masks, &[first, count]);
    }

    fn plans(&mut self, plans: &Plans<'_>) {
        for masks in &plans.sets {
            self.ids(Section::Plans, masks.iter().copied());
        }
        for ((full, kept), plan) in &plans.derived {
            self.words(Section::Derived, &[*full, *kept, *plan]);
        }
    }

    fn clears(&mut self) {
        for cleared in std::mem::take(&mut self.clear_sets) {
            self.ids(Section::Clears, cleared.into_iter());
        }
    }

    fn approval_rules(&mut self, set: &'a PolicySet) {
        for rule in set.approval_rules() {
            self.text(Section::ApprovalRules, &rule.name);
            self.text(Section::ApprovalRules, &rule.quorum_of);
            self.words(Section::ApprovalRules, &[rule.quorum_count]);
            for ms in [rule.hold_ms, rule.timeout_ms, rule.lasts_ms] {
                self.long(Section::ApprovalRules, ms);
            }
        }
    }

    fn issuers(&mut self, set: &'a PolicySet) {
        for issuer in set.issuers() {
            let groups = issuer.groups_claim.as_deref().unwrap_or_default();
            for text in [
                &issuer.name,
                &issuer.url,
                &issuer.audience,
                &issuer.principal_claim,
                groups,
            ] {
                self.text(Section::Issuers, text);
            }
        }
    }

    fn bindings(&mut self, set: &'a PolicySet, roles: &HashMap<&str, u32>) {
        let mut bindings: Vec<_> = set.bindings().iter().collect();
        bindings.sort_by_key(|binding| &binding.issuer);
        for binding in bindings {
            let team = binding.team.as_deref().unwrap_or_default();
            for text in [
                &binding.issuer,
                &binding.name,
                &binding.principal,
                binding.person(),
                team,
            ] {
                self.text(Section::Bindings, text);
            }
            let human = if binding.kind == PrincipalKind::Human {
                format::bindings::HUMAN
            } else {
                0
            };
            let control = (0_u32..)
                .zip(ControlRole::ALL)
                .filter(|(_, role)| binding.control_roles.contains(role));
            let control = control.fold(0, |bits, (bit, _)| bits | 1 << bit);
            self.words(
                Section::Bindings,
                &[human | control << format::bindings::CONTROL_ROLES_SHIFT],
            );
            let claims = binding
                .claims
                .iter()
                .flat_map(|(key, value)| [key.as_str(), value.as_str()]);
            self.strings(Section::Bindings, claims);
            self.strings(Section::Bindings, binding.groups.iter().map(String::as_str));
            let held = binding
                .roles
                .iter()
                .filter_map(|name| roles.get(name.as_str()).copied());
            self.ids(Section::Bindings, held);
        }
    }

    fn conflicts(&mut self, set: &'a PolicySet) {
        for conflict in set
            .conflict_sets()
            .iter()
            .filter(|conflict| conflict.when == ConflictWhen::Dynamic)
        {
            let duties = conflict
                .duties
                .iter()
                .fold(0_u32, |bits, duty| bits | 1 << *duty as u32);
            let over = match conflict.over {
                ConflictOver::SameTopic => 0,
                ConflictOver::Anywhere => 1,
            };
            let scope = match conflict.scope {
                ConflictScope::Principal => 0,
                ConflictScope::Person => 1,
                ConflictScope::Team => 2,
            };
            self.text(Section::Conflicts, &conflict.name);
            self.words(Section::Conflicts, &[duties, over, scope]);
        }
    }
}
