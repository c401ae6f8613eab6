//! Which combinations of masks can come up, so that each has a plan before anybody reads.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::compile::Set;
use crate::error::CompileError;
use crate::limits::MASK_PLANS_COUNT_MAX;
use crate::policy_set::PolicySet;
use crate::resolve::{Join, Regions};
use crate::resource::Pattern;
use crate::role::Role;
use crate::writer::word;

/// Combinations of masks: first those that topics have, then those that are left where roles clear some.
pub(crate) struct Plans<'a> {
    /// What masks each topic has.
    pub(crate) regions: Regions<'a, Set>,
    /// By plan id.
    pub(crate) sets: Vec<Set>,
    ids: HashMap<Set, u32>,
    /// (full plan, kept masks as bits) to plan.
    pub(crate) derived: BTreeMap<(u32, u32), u32>,
}

impl<'a> Plans<'a> {
    pub(crate) fn of(set: &'a PolicySet) -> Result<Self, CompileError> {
        let regions = Regions::of(mask_patterns(set));
        let full: BTreeSet<Set> = regions
            .sums()
            .filter(|set| !set.is_empty())
            .cloned()
            .collect();
        let mut plans = Self {
            regions,
            sets: Vec::new(),
            ids: HashMap::new(),
            derived: BTreeMap::new(),
        };
        for masks in full {
            plans.id(&masks)?;
        }
        for roles in clearing_role_sets(set) {
            plans.derive(set, &roles)?;
        }
        Ok(plans)
    }

    /// The plan of a topic that has these masks, for who clears none.
    pub(crate) fn full(&self, masks: &Set) -> Option<u32> {
        self.ids.get(masks).copied()
    }

    fn id(&mut self, masks: &Set) -> Result<u32, CompileError> {
        if let Some(id) = self.ids.get(masks) {
            return Ok(*id);
        }
        if self.sets.len() >= MASK_PLANS_COUNT_MAX {
            return Err(CompileError::OperatorMaskPlansTooMany);
        }
        let id = word(self.sets.len());
        self.sets.push(masks.clone());
        self.ids.insert(masks.clone(), id);
        Ok(id)
    }

    /// Adds what is left of every topic's masks for who holds exactly these clearing roles.
    fn derive(&mut self, set: &PolicySet, roles: &[&Role]) -> Result<(), CompileError> {
        let masked = mask_patterns(set).map(|(pattern, masks)| {
            (
                pattern,
                Left {
                    masks,
                    cleared: Set::new(),
                },
            )
        });
        let cleared =
            roles
                .iter()
                .flat_map(|role| clear_patterns(role, set))
                .map(|(pattern, cleared)| {
                    (
                        pattern,
                        Left {
                            masks: Set::new(),
                            cleared,
                        },
                    )
                });
        for Left { masks, cleared } in Regions::of(masked.chain(cleared)).sums() {
            let kept: Set = masks.difference(cleared).copied().collect();
            if kept.is_empty() || kept.len() == masks.len() {
                continue;
            }
            let Some(full) = self.full(masks) else {
                continue;
            };
            let bits = (0..)
                .zip(masks)
                .filter(|(_, mask)| kept.contains(mask))
                .fold(0_u32, |bits, (i, _)| bits | (1 << i));
            let plan = self.id(&kept)?;
            self.derived.insert((full, bits), plan);
        }
        Ok(())
    }
}

/// The masks of a topic, and those of them and others that are cleared there.
#[derive(Clone, Default)]
struct Left {
    masks: Set,
    cleared: Set,
}

impl Join for Left {
    fn join(&mut self, other: &Self) {
        self.masks.join(&other.masks);
        self.cleared.join(&other.cleared);
    }
}

fn mask_patterns(set: &PolicySet) -> impl Iterator<Item = (&Pattern, Set)> {
    (0..).zip(set.masks()).flat_map(|(id, mask)| {
        mask.topics
            .iter()
            .map(move |pattern| (pattern, Set::from([id])))
    })
}

/// What a role clears: everywhere, and on the topics of single permissions.
pub(crate) fn clear_patterns<'a>(
    role: &'a Role,
    set: &'a PolicySet,
) -> impl Iterator<Item = (&'a Pattern, Set)> {
    let ids = |names: &[String]| -> Set {
        let position = |name: &String| {
            set.masks()
                .binary_search_by(|mask| mask.name.cmp(name))
                .ok()
        };
        names.iter().filter_map(position).map(word).collect()
    };
    let everywhere = ids(&role.clear);
    let somewhere = role
        .permissions
        .iter()
        .filter(|permission| !permission.clear.is_empty())
        .flat_map(move |permission| {
            let cleared = ids(&permission.clear);
            permission
                .topics
                .iter()
                .map(move |pattern| (pattern, cleared.clone()))
        });
    Some((&Pattern::Any, everywhere))
        .into_iter()
        .filter(|(_, set)| !set.is_empty())
        .chain(somewhere)
}

/// The sets of clearing roles that a principal can come to hold: through any of its bindings together.
fn clearing_role_sets(set: &PolicySet) -> BTreeSet<Vec<&Role>> {
    let clears = |role: &&Role| {
        !role.clear.is_empty() || role.permissions.iter().any(|p| !p.clear.is_empty())
    };
    let mut principals: BTreeMap<&str, BTreeSet<BTreeSet<&str>>> = BTreeMap::new();
    for binding in set.bindings() {
        let roles = binding
            .roles
            .iter()
            .filter_map(|name| set.role(name))
            .filter(clears);
        let roles: BTreeSet<&str> = roles.map(|role| role.name.as_str()).collect();
        if roles.is_empty() {
            continue;
        }
        let unions = principals.entry(&binding.principal).or_default();
        let with: Vec<_> = unions.iter().map(|union| union | &roles).collect();
        unions.extend(with);
        unions.insert(roles);
    }
    let roles = |names: BTreeSet<&str>| {
        names
            .into_iter()
            .filter_map(|name| set.role(name))
            .collect()
    };
    principals.into_values().flatten().map(roles).collect()
}
