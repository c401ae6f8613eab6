//! A verified token to a principal with its roles.

use crate::decision::RoleId;
use crate::error::BindError;
use crate::format::{Section, bindings};
use crate::principal::{Bound, ControlRole, PrincipalKind};
use crate::tables::Tables;

impl Tables {
    /// Who a verified token is, and what it holds. `claim(k, v)` says whether the token's claim `k` is `v`, or is a list
    /// that contains it; the caller has verified the token for `issuer`, which is the issuer's name in policy.
    ///
    /// Several bindings add up only if they state the same principal.
    ///
    /// # Errors
    /// If no binding matches, or bindings of several principals do.
    pub fn bind(
        &self,
        issuer: &str,
        claim: &dyn Fn(&str, &str) -> bool,
    ) -> Result<Bound, BindError> {
        let text = |row, column| self.text(Section::Bindings, row, column);
        let mut matched: Vec<u32> = self
            .bindings_of(issuer)
            .filter(|row| {
                let claims = self.range(Section::Bindings, *row, bindings::CLAIMS);
                // Checked on load: pairs, and at least one.
                !claims.is_empty()
                    && claims.step_by(2).all(|at| {
                        let value = self.text(Section::Strings, at.saturating_add(1), 0);
                        claim(self.text(Section::Strings, at, 0), value)
                    })
            })
            .collect();
        matched.sort_by_key(|row| text(*row, bindings::NAME));
        let Some(first) = matched.first().copied() else {
            return Err(BindError::ClientUnbound);
        };
        let principal = text(first, bindings::PRINCIPAL);
        let mut principals: Vec<String> = matched
            .iter()
            .map(|row| text(*row, bindings::PRINCIPAL).to_owned())
            .collect();
        principals.sort();
        principals.dedup();
        if principals.len() > 1 {
            return Err(BindError::OperatorBindingsAmbiguous(principals));
        }
        let mut bound = Bound {
            principal: format!("User:{principal}"),
            kind: match self.word(Section::Bindings, first, bindings::FLAGS) & bindings::HUMAN {
                0 => PrincipalKind::Service,
                _ => PrincipalKind::Human,
            },
            bindings: matched
                .iter()
                .map(|row| text(*row, bindings::NAME).to_owned())
                .collect(),
            owner: text(first, bindings::OWNER).to_owned(),
            team: Some(text(first, bindings::TEAM).to_owned()).filter(|team| !team.is_empty()),
            roles: Vec::new(),
            control_roles: Vec::new(),
            groups: Vec::new(),
        };
        for row in matched {
            let roles = self.range(Section::Bindings, row, bindings::ROLES);
            bound
                .roles
                .extend(roles.map(|at| RoleId(self.word(Section::Ids, at, 0))));
            let groups = self.range(Section::Bindings, row, bindings::GROUPS);
            bound
                .groups
                .extend(groups.map(|at| self.text(Section::Strings, at, 0).to_owned()));
            let control =
                self.word(Section::Bindings, row, bindings::FLAGS) >> bindings::CONTROL_ROLES_SHIFT;
            let held = (0_u32..)
                .zip(ControlRole::ALL)
                .filter(|(bit, _)| (control >> bit) & 1 == 1);
            bound.control_roles.extend(held.map(|(_, role)| role));
        }
        bound.roles.sort();
        bound.roles.dedup();
        bound.control_roles.sort();
        bound.control_roles.dedup();
        bound.groups.sort();
        bound.groups.dedup();
        Ok(bound)
    }

    /// The rows of one issuer's bindings, which stand together.
    fn bindings_of(&self, issuer: &str) -> std::ops::Range<u32> {
        let count = self.count(Section::Bindings);
        let first_where = |reached: &dyn Fn(&[u8]) -> bool| {
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = low.midpoint(high);
                if reached(self.text_bytes(Section::Bindings, middle, bindings::ISSUER)) {
                    high = middle;
                } else {
                    low = middle.saturating_add(1);
                }
            }
            low
        };
        first_where(&|other| other >= issuer.as_bytes())..first_where(&|other| {
            other > issuer.as_bytes()
        })
    }
}
