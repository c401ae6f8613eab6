//! Roles with their permissions, and bindings, from YAML.

use crate::document::{Decoder, name, pairs};
use crate::fields::{Fields, Mistakes, Text, items, list, texts, truth, word};
use crate::kind::Kind;
use crate::operation::Operation;
use crate::patterns::{operations, patterns};
use crate::principal::{ControlRole, PrincipalKind};
use crate::resource::{Pattern, ResourceKind};
use crate::role::{Binding, Effect, Origin, Permission, Role};
use crate::yaml::Node;

impl Decoder<'_> {
    pub(crate) fn role(&mut self, spec: &Node<'_>) -> Option<Role> {
        let mut fields = Fields::of("a Role's spec", spec, self.mistakes);
        let permissions = fields.require("permissions", self.mistakes)?;
        let permissions = items("permissions", Some(permissions), self.mistakes)
            .iter()
            .map(|node| self.permission(node))
            .collect::<Vec<_>>();
        let clear = texts("clear", fields.take("clear"), self.mistakes);
        fields.finish(self.mistakes);
        Some(Role {
            name: self.name.clone(),
            origin: self.origin.clone(),
            permissions: permissions.into_iter().flatten().collect(),
            clear: self.refer(Kind::Mask, clear),
        })
    }

    fn permission(&mut self, node: &Node<'_>) -> Option<Permission> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("a permission", node, mistakes);
        let effect = |text: &str| match text {
            "allow" => Some(Effect::Allow),
            "deny" => Some(Effect::Deny),
            _ => None,
        };
        let effect = match fields.take("effect") {
            Some(node) => word("effect", node, &["allow", "deny"], effect, mistakes)?,
            None => Effect::Allow,
        };
        let operations = operations(fields.require("operations", mistakes), mistakes);
        let stated = ["topics", "groups", "transactional_ids"].map(|key| fields.take(key));
        let topics = patterns(ResourceKind::Topic, "topics", stated[0], mistakes);
        let groups = patterns(ResourceKind::Group, "groups", stated[1], mistakes);
        let transactional_ids = patterns(
            ResourceKind::TransactionalId,
            "transactional_ids",
            stated[2],
            mistakes,
        );
        let cluster = fields
            .take("cluster")
            .map(|node| truth("cluster", node, mistakes));
        // One mistake, one problem: a resource that is stated and wrong is not also missing.
        let missing = !fields.unreadable
            && stated.iter().all(Option::is_none)
            && matches!(cluster, None | Some(Some(false)));
        let clear_node = fields.take("clear");
        let clear = texts("clear", clear_node, mistakes);
        fields.finish(mistakes);

        let permission = Permission {
            origin: Origin {
                file: self.origin.file.clone(),
                line: node.place.line,
            },
            effect,
            operations: operations.iter().map(|(operation, _)| *operation).collect(),
            topics,
            groups,
            transactional_ids,
            cluster: (cluster == Some(Some(true))).then_some(Pattern::Any),
            clear: clear.iter().map(|text| text.text.clone()).collect(),
        };
        let kinds = [
            ResourceKind::Topic,
            ResourceKind::Group,
            ResourceKind::TransactionalId,
            ResourceKind::Cluster,
        ];
        let named: Vec<ResourceKind> = kinds
            .into_iter()
            .filter(|kind| !permission.patterns(*kind).is_empty())
            .collect();
        if missing {
            let message = "a permission names no resource; add topics, groups, transactional_ids or cluster: true";
            mistakes.push((node.place, message.into()));
        }
        for (operation, place) in operations {
            if !named.is_empty()
                && !named
                    .iter()
                    .any(|kind| kind.operations().contains(operation))
            {
                let on = list(named.iter().map(|kind| kind.name()));
                mistakes.push((
                    place,
                    format!(
                        "{operation} means nothing on: {on}; remove it, or name what it is for"
                    ),
                ));
            }
        }
        if let Some(node) = clear_node.filter(|_| {
            effect == Effect::Deny
                || permission.topics.is_empty()
                || !permission.operations.contains(Operation::Read)
        }) {
            let message = "clear stands on a permission that allows Read on topics; move it there, or to the role's spec";
            mistakes.push((node.place, message.into()));
        }
        self.refer(Kind::Mask, clear);
        Some(permission)
    }

    pub(crate) fn binding(&mut self, spec: &Node<'_>) -> Option<Binding> {
        let mistakes = &mut *self.mistakes;
        let mut fields = Fields::of("a Binding's spec", spec, mistakes);
        let matched = fields
            .require("match", mistakes)
            .map(|node| matching(node, mistakes));
        let owner = fields
            .take("owner")
            .and_then(|node| name("owner", node, mistakes));
        let team = fields
            .take("team")
            .and_then(|node| name("team", node, mistakes));
        let principal = fields
            .take("principal")
            .and_then(|node| name("principal", node, mistakes));
        let groups = fields.take("groups");
        let groups: Vec<_> = items("groups", groups, mistakes)
            .iter()
            .filter_map(|node| name("a group", node, mistakes))
            .map(|text| text.text)
            .collect();
        let roles = texts("roles", fields.take("roles"), mistakes);
        let kind = |text: &str| match text {
            "service" => Some(PrincipalKind::Service),
            "human" => Some(PrincipalKind::Human),
            _ => None,
        };
        let kind = match fields.take("kind") {
            Some(node) => word("kind", node, &["service", "human"], kind, mistakes)?,
            None if owner.is_some() => PrincipalKind::Service,
            None => PrincipalKind::Human,
        };
        let place = fields.place;
        fields.finish(mistakes);
        if kind == PrincipalKind::Service && owner.is_none() {
            mistakes.push((
                place,
                "a service has an owner; add `owner:` with the person who answers for it".into(),
            ));
        }
        if roles.is_empty() && groups.is_empty() {
            mistakes.push((
                place,
                "this binding gives nothing; add roles or groups, or remove it".into(),
            ));
        }
        let (control, data): (Vec<Text>, Vec<Text>) = roles
            .into_iter()
            .partition(|role| ControlRole::from_name(&role.text).is_some());
        let roles = self.refer(Kind::Role, data);
        let (issuer, claims) = matched??;
        let mut binding = Binding {
            name: self.name.clone(),
            origin: self.origin.clone(),
            principal: principal.map_or_else(|| self.name.clone(), |principal| principal.text),
            issuer,
            claims,
            kind,
            owner: owner.map(|owner| owner.text),
            team: team.map(|team| team.text),
            roles,
            control_roles: control
                .iter()
                .filter_map(|role| ControlRole::from_name(&role.text))
                .collect(),
            groups,
        };
        binding.roles.sort();
        binding.roles.dedup();
        binding.control_roles.sort();
        binding.control_roles.dedup();
        binding.groups.sort();
        binding.groups.dedup();
        Some(binding)
    }
}

fn matching(node: &Node<'_>, mistakes: &mut Mistakes) -> Option<(String, Vec<(String, String)>)> {
    let mut fields = Fields::of("match", node, mistakes);
    let issuer = fields
        .require("issuer", mistakes)
        .and_then(|node| name("issuer", node, mistakes));
    let claims_node = fields.require("claims", mistakes);
    let claims = claims_node.map(|node| pairs("claims", node, mistakes));
    fields.finish(mistakes);
    let mut claims = claims?;
    if claims.is_empty() {
        let message =
            "match states no claim, so every token of the issuer would match; add one, such as sub";
        mistakes.push((
            claims_node.map_or(node.place, |node| node.place),
            message.into(),
        ));
        return None;
    }
    claims.sort();
    Some((issuer?.text, claims))
}
