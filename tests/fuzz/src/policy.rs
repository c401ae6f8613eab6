//! Policies with documents of every kind.

/// Policy of a small shop.
pub const SHOP: &str = r#"kind: Role
metadata: {name: orders-writer, labels: {team: shop}}
spec: {permissions: [{operations: [Write, Describe], topics: [orders]}, {effect: deny, operations: [Write], topics: [{prefix: orders-}]}]}
---
kind: Role
metadata: {name: analytics-reader}
spec: {permissions: [{operations: [Read, Describe], topics: [orders, payments], groups: [{prefix: analytics-}]}]}
---
kind: Role
metadata: {name: support}
spec: {permissions: [{operations: [Read], topics: [orders]}], clear: [personal-data]}
---
kind: Role
metadata: {name: topic-admin}
spec: {permissions: [{operations: [Create, Delete, AlterConfigs, Describe], topics: [{prefix: ""}]}]}
---
kind: Mask
metadata: {name: personal-data}
spec: {topics: [orders, payments], fields: ["$.customer.email", "$..card_number"], token: {shape: opaque, domain: customers}}
---
kind: TopicClass
metadata: {name: ledger}
spec: {topics: [ledger], immutable: true, retention_min: 7y}
---
kind: TopicClass
metadata: {name: high-value}
spec: {topics: [payments], approval: one-owner}
---
kind: ApprovalRule
metadata: {name: one-owner}
spec: {quorum: {count: 1, of: payments-owners}, hold: 1s, timeout: 60s, grant: {lasts: 10m}}
---
kind: Conflict
metadata: {name: no-one-writes-and-deletes}
spec: {duties: [produce, administer], over: same-topic, scope: person, when: static}
---
kind: Binding
metadata: {name: svc-orders}
spec: {match: {issuer: demo, claims: {sub: svc-orders}}, owner: alice, team: shop, roles: [orders-writer]}
---
kind: Binding
metadata: {name: analyst}
spec: {match: {issuer: demo, claims: {groups: analysts}}, roles: [analytics-reader, support]}
---
kind: Binding
metadata: {name: bob}
spec: {match: {issuer: demo, claims: {sub: bob}}, roles: [approver, auditor], groups: [payments-owners]}
"#;

/// The kinds that the shop does not have.
pub const OTHERS: &str = r#"apiVersion: sluice/v1alpha1
kind: Issuer
metadata: {name: demo, labels: {a: b}}
spec: {url: "https://idp.example", audience: kafka, groups_claim: groups}
---
kind: Cluster
metadata: {name: local}
spec: {brokers: ["127.0.0.1:9092"]}
---
kind: Conflict
metadata: {name: later}
spec: {duties: [approve, audit, author], over: anywhere, scope: team, when: dynamic}
"#;
