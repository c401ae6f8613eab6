//! Client quotas: recorded by entity and key, and none that would throttle the gateway as a whole.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::alter_client_quotas_response as answered;
use kafka_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};
use sluice_evidence::{ItemFlags, Kind};

use crate::support::facts::CLUSTER;
use crate::support::frames::{self, text};
use crate::support::world::BROKER_USER;
use crate::support::{Rig, World, world::POLICY};

const INVALID_REQUEST: i16 = 42;
const POLICY_VIOLATION: i16 = 44;

/// Kinds and names of an entity; no name is the default.
type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

fn entry(entity: Entity<'_>, ops: &[(&str, Option<f64>)]) -> EntryData {
    let entity = entity.iter().map(|(kind, name)| {
        EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text))
    });
    let ops = ops.iter().map(|(key, value)| {
        OpData::default()
            .with_key(text(key))
            .with_value(value.unwrap_or_default())
            .with_remove(value.is_none())
    });
    EntryData::default()
        .with_entity(entity.collect())
        .with_ops(ops.collect())
}

fn alter(entries: Vec<EntryData>) -> AlterClientQuotasRequest {
    AlterClientQuotasRequest::default().with_entries(entries)
}

fn result(entity: Entity<'_>, error_code: i16) -> answered::EntryData {
    let entity = entity.iter().map(|(kind, name)| {
        answered::EntityData::default()
            .with_entity_type(text(kind))
            .with_entity_name(name.map(text))
    });
    answered::EntryData::default()
        .with_error_code(error_code)
        .with_error_message(None)
        .with_entity(entity.collect())
}

#[test]
fn an_altered_quota_is_recorded_by_entity_and_key_and_with_the_brokers_answer() {
    for version in 0..=1 {
        let mut rig = Rig::authenticated("operator");
        let till: Entity<'_> = &[("client-id", Some("till"))];
        let bobs: Entity<'_> = &[("user", Some("bob")), ("client-id", None)];
        let request = alter(vec![
            entry(
                till,
                &[
                    ("producer_byte_rate", Some(1024.0)),
                    ("request_percentage", None),
                ],
            ),
            entry(bobs, &[("consumer_byte_rate", Some(0.5))]),
        ]);
        let round = rig.client(frames::request(version, 1, &request));
        let (_, sent) =
            frames::decode_request::<AlterClientQuotasRequest>(&round.only_forwarded().bytes);
        assert_eq!(sent, request);
        let changed = [
            r#"quota of client-id "till": producer_byte_rate = 1024"#,
            r#"quota of client-id "till": request_percentage removed"#,
            r#"quota of client-id <default>, user "bob": consumer_byte_rate = 0.5"#,
        ];
        let intent = round.fact(Kind::Intent);
        for resource in changed {
            assert_eq!(
                intent.partition(resource, -1).resource_kind,
                CLUSTER,
                "{intent:?}"
            );
        }
        let response = AlterClientQuotasResponse::default()
            .with_entries(vec![result(bobs, INVALID_REQUEST), result(till, 0)]);
        let round = rig.broker(frames::response::<AlterClientQuotasRequest>(
            version, 1, &response,
        ));
        let outcome = round.fact(Kind::Outcome);
        let errors = [
            (r#"quota of client-id "till""#, 0),
            (
                r#"quota of client-id <default>, user "bob""#,
                INVALID_REQUEST,
            ),
        ];
        for (resource, error) in errors {
            let item = outcome.partition(resource, -1);
            assert_eq!((item.resource_kind, item.error_code), (CLUSTER, error));
        }
        assert_eq!(outcome.items.len(), 2);
        let (_, read) =
            frames::decode_response::<AlterClientQuotasRequest>(version, &round.answers[0].bytes);
        assert_eq!(read.entries, response.entries);
    }
}

/// Names are the client's: a quoted one cannot pass for another entity, nor for another key.
#[test]
fn a_name_does_not_pass_for_another_entity() {
    let mut rig = Rig::authenticated("operator");
    let request = alter(vec![
        entry(
            &[("client-id", Some("a\", user \"b"))],
            &[("producer_byte_rate", Some(1.0))],
        ),
        entry(
            &[("client-id", Some("<default>"))],
            &[("x = 1\n", Some(2.0))],
        ),
    ]);
    let round = rig.client(frames::request(1, 1, &request));
    let intent = round.fact(Kind::Intent);
    intent.partition(
        r#"quota of client-id "a\", user \"b": producer_byte_rate = 1"#,
        -1,
    );
    intent.partition(r#"quota of client-id "<default>": x = 1\n = 2"#, -1);
}

#[test]
fn what_is_only_validated_is_recorded_so() {
    let mut rig = Rig::authenticated("operator");
    let request = alter(vec![entry(
        &[("client-id", None)],
        &[("producer_byte_rate", Some(1.0))],
    )])
    .with_validate_only(true);
    let round = rig.client(frames::request(1, 1, &request));
    round.fact(Kind::Intent).partition(
        "quota of client-id <default>: producer_byte_rate = 1, only validated",
        -1,
    );
}

#[test]
fn a_quota_that_would_throttle_the_gateway_as_a_whole_is_denied() {
    let own: Option<&str> = Some(BROKER_USER);
    let denied: [Entity<'_>; 9] = [
        &[("user", own)],
        &[("user", None)],
        &[("user", own), ("client-id", Some("till"))],
        &[("client-id", None), ("user", None)],
        // The last one counts for brokers; neither may be the gateway's.
        &[("user", own), ("user", Some("bob"))],
        &[("user", Some("bob")), ("user", own)],
        &[("ip", None)],
        &[("ip", Some("192.0.2.7"))],
        &[("client-id", Some("sluice-gateway"))],
    ];
    let till: Entity<'_> = &[("client-id", Some("till"))];
    for version in 0..=1 {
        for entity in denied {
            // Raising or removing one is as much as setting it: what applies instead may be less.
            for value in [Some(1.0), None] {
                let mut rig = Rig::authenticated("operator");
                let ops: &[_] = &[("producer_byte_rate", value)];
                let request = alter(vec![entry(entity, ops), entry(till, ops)]);
                let round = rig.client(frames::request(version, 1, &request));
                let (_, sent) = frames::decode_request::<AlterClientQuotasRequest>(
                    &round.only_forwarded().bytes,
                );
                assert_eq!(sent.entries, [entry(till, ops)], "{entity:?}");
                let fact = round.fact(Kind::Denied);
                assert!(fact.reason.contains("client id"), "{}", fact.reason);
                assert!(fact.items[0].resource.starts_with("quota of "), "{fact:?}");
                assert!(fact.items[0].flags.contains(ItemFlags::DENIED));
                assert!(
                    round
                        .fact(Kind::Intent)
                        .items
                        .iter()
                        .all(|item| !item.resource.contains("user")
                            && !item.resource.contains("ip "))
                );
                let response =
                    AlterClientQuotasResponse::default().with_entries(vec![result(till, 0)]);
                let round = rig.broker(frames::response::<AlterClientQuotasRequest>(
                    version, 1, &response,
                ));
                let (_, read) = frames::decode_response::<AlterClientQuotasRequest>(
                    version,
                    &round.answers[0].bytes,
                );
                assert_eq!(read.entries.len(), 2);
                assert_eq!(read.entries[1].error_code, POLICY_VIOLATION);
                assert_eq!(read.entries[1].entity, result(entity, 0).entity);
                let message = read.entries[1].error_message.as_ref().unwrap();
                assert!(message.contains(&fact.denial_id), "{message}");
            }
        }
    }
}

#[test]
fn a_request_of_which_nothing_is_left_is_answered_here() {
    let mut rig = Rig::authenticated("operator");
    let request = alter(vec![entry(
        &[("user", None)],
        &[("producer_byte_rate", Some(1.0))],
    )]);
    let round = rig.client(frames::request(1, 1, &request));
    let (_, read) = frames::decode_response::<AlterClientQuotasRequest>(1, round.only_answer());
    assert_eq!(read.entries[0].error_code, POLICY_VIOLATION);
    assert!(!round.has_fact(Kind::Intent));
}

#[test]
fn brokers_that_answer_anybody_know_the_gateway_as_anonymous() {
    let mut rig = Rig::on(World::new(POLICY));
    rig.world.topology.broker_user = "ANONYMOUS".into();
    rig.authenticate("operator");
    let request = alter(vec![entry(
        &[("user", Some("ANONYMOUS"))],
        &[("producer_byte_rate", Some(1.0))],
    )]);
    let round = rig.client(frames::request(1, 1, &request));
    round.only_answer();
}

/// Nothing that is altered may go unrecorded because its name is long.
#[test]
fn an_entity_too_long_to_be_recorded_is_denied() {
    let long = "x".repeat(5_000);
    let mut rig = Rig::authenticated("operator");
    let request = alter(vec![
        entry(&[("client-id", Some(&long))], &[("k", Some(1.0))]),
        entry(&[("client-id", Some("till"))], &[(&long, Some(1.0))]),
    ]);
    let round = rig.client(frames::request(1, 1, &request));
    let (_, read) = frames::decode_response::<AlterClientQuotasRequest>(1, round.only_answer());
    assert!(
        read.entries
            .iter()
            .all(|entry| entry.error_code == POLICY_VIOLATION)
    );
    assert_eq!(round.fact(Kind::Denied).items.len(), 2);
}
