//! Mask rules as policy carries them, compiled to plans: where policy and masking meet. The control plane compiles them too,
//! before it accepts what no gateway could take.

use sluice_masking::{KeyRing, MaskPlan, MaskRule, PlanError, Target, TokenLength, TokenShape};
use sluice_policy::{MaskPlanId, MaskTarget, Tables};

/// Masks that add up to no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("masks {masks}: {fault}")]
pub struct PlanRefused {
    /// The masks that bind together, by name.
    pub masks: String,
    /// Why they cannot.
    pub fault: PlanError,
}

/// Compiles every mask plan of the tables, in the order of their ids.
///
/// # Errors
/// [`PlanRefused`] of the first that cannot be.
pub fn mask_plans(tables: &Tables, keys: &KeyRing) -> Result<Vec<MaskPlan>, PlanRefused> {
    let plan = |id| {
        MaskPlan::compile(&rules(tables, id), keys).map_err(|fault| PlanRefused {
            masks: names(tables, id),
            fault,
        })
    };
    tables.mask_plans().map(plan).collect()
}

fn rules(tables: &Tables, id: MaskPlanId) -> Vec<MaskRule<'_>> {
    let rules = tables.mask_plan(id).map(|rule| MaskRule {
        target: match rule.target {
            MaskTarget::Value(path) => Target::Value(path),
            MaskTarget::Key => Target::Key,
            MaskTarget::KeyField(path) => Target::KeyField(path),
            MaskTarget::Header(name) => Target::Header(name),
        },
        shape: match rule.shape {
            sluice_policy::TokenShape::Opaque => TokenShape::Opaque,
            sluice_policy::TokenShape::Email => TokenShape::Email,
            sluice_policy::TokenShape::Digits => TokenShape::Digits,
        },
        length: match rule.length {
            sluice_policy::TokenLength::Own => TokenLength::Own,
            sluice_policy::TokenLength::Same => TokenLength::Same,
        },
        domain: rule.domain,
    });
    rules.collect()
}

/// Rules of one mask lie one after the other.
fn names(tables: &Tables, id: MaskPlanId) -> String {
    let mut names: Vec<&str> = tables.mask_plan(id).map(|rule| rule.mask).collect();
    names.dedup();
    names.join(", ")
}
