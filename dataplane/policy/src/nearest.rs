//! What somebody would have to be given: the role that would allow a denied access and allows least besides.

use crate::decide::says;
use crate::decision::{RoleId, name_hash};
use crate::format::{Section, roles};
use crate::limits::NEAREST_ROLES_COUNT_MAX;
use crate::operation::{Operation, OperationSet};
use crate::resource::{ResourceKind, ResourceRef, is_internal_topic};
use crate::tables::Tables;

impl Tables {
    /// Of the roles that would allow this, the one that allows the fewest operations on the same resource; the first by
    /// name among equals. `None` where no role would, or where no role can.
    ///
    /// Cold: one look-up for each role, of at most [`NEAREST_ROLES_COUNT_MAX`] of them.
    #[must_use]
    pub fn nearest(&self, operation: Operation, resource: ResourceRef<'_>) -> Option<&str> {
        let name = resource.name();
        let row = self.name_row(name, name_hash(name));
        if resource.kind() == ResourceKind::Topic
            && (is_internal_topic(name) || self.never(operation, row, name))
        {
            return None;
        }
        let named = |role, column| {
            let table = self.word(Section::Roles, role, column);
            says(self.lookup(table, row, name.as_bytes()))
        };
        let allowed = |role| -> OperationSet {
            let (granted, denied) = match resource {
                ResourceRef::Topic(_) => named(role, roles::TOPICS),
                ResourceRef::Group(_) => named(role, roles::GROUPS),
                ResourceRef::TransactionalId(_) => named(role, roles::TRANSACTIONAL_IDS),
                ResourceRef::Cluster => says(self.word(Section::Roles, role, roles::CLUSTER)),
            };
            granted.without(denied)
        };
        (0..self.roles_count().min(NEAREST_ROLES_COUNT_MAX))
            .map(|role| (allowed(role), role))
            .filter(|(operations, _)| operations.contains(operation))
            .min_by_key(|(operations, role)| (operations.count(), *role))
            .map(|(_, role)| self.role_name(RoleId(role)))
    }
}
