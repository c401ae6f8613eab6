//! Who the client is, before and after; and what is not offered at all.

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest,
};
use serde_json::json;
use sluice_evidence::Kind;
use sluice_kafka::api::{self, Treatment};
use sluice_session::Close;

use crate::support::issuer::{AUDIENCE, Issuer, URL, encode};
use crate::support::world::{POLICY, TOKEN_LASTS_S};
use crate::support::{Rig, Round, batch, frames};

/// Byte that acknowledges a described failure (RFC 7628, section 3.2.3).
const ACKNOWLEDGEMENT: &[u8] = &[1];

fn metadata(correlation_id: i32) -> Vec<u8> {
    frames::request(
        12,
        correlation_id,
        &MetadataRequest::default().with_topics(Some(vec![])),
    )
}

#[test]
fn forwards_nothing_before_authentication() {
    for row in api::apis()
        .iter()
        .filter(|row| matches!(row.treatment, Treatment::Hot | Treatment::Cold))
    {
        for version in row.versions.0..=row.versions.1 {
            let mut rig = Rig::connected();
            let mut rest = vec![0, 1, b'c'];
            rest.extend([0; 40]);
            let round = rig.client(frames::raw(row.key, version, 7, &rest));
            assert_eq!(
                *round.close(),
                Close::ClientUnauthenticated { api_key: row.key },
                "{} v{version}",
                row.name
            );
            assert!(round.answers.is_empty());
            assert!(round.facts.is_empty(), "{:?}", round.facts);
        }
    }
}

#[test]
fn a_request_behind_the_handshake_is_not_forwarded_either() {
    let mut rig = Rig::connected();
    let produce = frames::produce(1, &[("orders", vec![(0, batch::plain(b"v"))])]);
    let round = rig.client_round(&[
        frames::handshake("OAUTHBEARER"),
        frames::request(9, 1, &produce),
    ]);
    assert_eq!(*round.close(), Close::ClientUnauthenticated { api_key: 0 });
    assert_eq!(round.answers.len(), 1, "the handshake is answered");
}

#[test]
fn closes_on_unknown_withheld_and_newer_apis() {
    let unsupported = |api_key, api_version| Close::ClientUnsupported {
        api_key,
        api_version,
    };
    for authenticated in [false, true] {
        let mut cases = vec![(95, 0), (-1, 0), (i16::MAX, 3), (i16::MIN, 0)];
        for row in api::apis() {
            let (min, max) = row.versions;
            if row.treatment == Treatment::Withheld {
                cases.extend((min..=max.max(min)).map(|version| (row.key, version)));
            } else if row.key != api::API_VERSIONS {
                cases.extend([
                    (row.key, max + 1),
                    (row.key, min - 1),
                    (row.key, i16::MAX),
                    (row.key, i16::MIN),
                ]);
            }
        }
        for (api_key, api_version) in cases {
            let mut rig = if authenticated {
                Rig::authenticated("reader")
            } else {
                Rig::connected()
            };
            let round = rig.client(frames::raw(
                api_key,
                api_version,
                7,
                &[0xff, 0xff, 0, 0, 0, 0, 0, 0],
            ));
            assert_eq!(*round.close(), unsupported(api_key, api_version));
            let facts = rig.closed(round.close());
            assert_eq!(facts[0].kind, Kind::Rejected);
        }
    }
}

#[test]
fn closes_on_every_api_that_is_withheld_in_every_version() {
    let withheld = |row: &&api::Api| row.treatment == Treatment::Withheld;
    for row in api::apis().iter().filter(withheld) {
        for version in row.versions.0..=row.versions.1.max(0) {
            let mut rig = Rig::authenticated("admin");
            let mut rest = vec![0xff, 0xff];
            rest.extend([0; 30]);
            let round = rig.client(frames::raw(row.key, version, 7, &rest));
            assert!(
                round.close().is_rejection(),
                "{}: {:?}",
                row.name,
                round.closed
            );
            assert!(round.forwarded.is_empty(), "{}", row.name);
        }
    }
}

#[test]
fn a_malformed_api_versions_is_answered_and_recorded() {
    let mut rig = Rig::connected();
    let whole = frames::request(3, 5, &ApiVersionsRequest::default());
    let mut cut = whole[..whole.len() - 2].to_vec();
    let length = u32::try_from(cut.len() - 4).unwrap();
    cut[..4].copy_from_slice(&length.to_be_bytes());
    let round = rig.client(cut);
    assert_eq!(round.fact(Kind::Rejected).reason_code, "client-malformed");
    let (_, answer) = frames::decode_response::<ApiVersionsRequest>(3, round.only_answer());
    assert_eq!(answer.error_code, 42);
}

#[test]
fn answers_api_versions_locally_in_every_version() {
    for version in 0..=4 {
        let mut rig = Rig::connected();
        let mut ask = ApiVersionsRequest::default();
        if version >= 3 {
            ask = ask
                .with_client_software_name(frames::text("t"))
                .with_client_software_version(frames::text("1"));
        }
        let round = rig.client(frames::request(version, 5, &ask));
        let (correlation_id, answer) =
            frames::decode_response::<ApiVersionsRequest>(version, round.only_answer());
        assert_eq!((correlation_id, answer.error_code), (5, 0));
        let range = |key: ApiKey| {
            let found = answer
                .api_keys
                .iter()
                .find(|range| range.api_key == key as i16);
            found.map(|range| (range.min_version, range.max_version))
        };
        assert_eq!(
            range(ApiKey::Produce),
            Some((0, 13)),
            "older clients look for version 0"
        );
        assert_eq!(range(ApiKey::Fetch), Some((4, 18)));
        assert_eq!(range(ApiKey::SaslHandshake), Some((0, 1)));
        for hidden in [
            ApiKey::ShareFetch,
            ApiKey::CreateAcls,
            ApiKey::WriteTxnMarkers,
            ApiKey::CreateDelegationToken,
        ] {
            assert_eq!(range(hidden), None, "{hidden:?}");
        }
        assert!(!round.has_fact(Kind::Intent));
    }
}

#[test]
fn answers_an_unknown_version_of_api_versions_in_version_0_with_35() {
    for version in [5, 6, 99, i16::MAX, -1] {
        let mut rig = Rig::connected();
        let round = rig.client(frames::raw(18, version, 6, &[0, 1, b'x', 9, 9, 9, 9, 9, 9]));
        let (correlation_id, answer) =
            frames::decode_response::<ApiVersionsRequest>(0, round.only_answer());
        assert_eq!((correlation_id, answer.error_code), (6, 35));
        let own = answer
            .api_keys
            .iter()
            .find(|range| range.api_key == 18)
            .expect("names the versions it speaks");
        assert_eq!((own.min_version, own.max_version), (0, 4));
        // And the client may ask again.
        let round = rig.client(frames::request(0, 7, &ApiVersionsRequest::default()));
        assert_eq!(
            frames::decode_response::<ApiVersionsRequest>(0, round.only_answer())
                .1
                .error_code,
            0
        );
    }
}

#[test]
fn a_good_token_authenticates_for_as_long_as_it_holds() {
    let mut rig = Rig::connected();
    let round = rig.present(&rig.world.token("writer"));
    let answer = frames::sasl_answer(round.only_answer());
    assert_eq!(
        (answer.error_code, answer.session_lifetime_ms),
        (0, TOKEN_LASTS_S * 1_000)
    );
    let fact = round.fact(Kind::Authenticated);
    assert_eq!(fact.principal, "User:writer");
    assert!(fact.reason.contains("jti t-1"), "{}", fact.reason);
    rig.client(metadata(1)).only_forwarded();
}

#[test]
fn other_mechanisms_and_handshake_version_0_are_told_what_is_offered_and_closed() {
    for frame in [
        frames::handshake("PLAIN"),
        frames::handshake("SCRAM-SHA-512"),
    ] {
        let mut rig = Rig::connected();
        let round = rig.client(frame);
        assert!(matches!(
            round.close(),
            Close::ClientAuthenticationFailed(_)
        ));
        let answer = frames::handshake_answer(&round.answers[0].bytes);
        assert_eq!(answer.error_code, 33);
        assert_eq!(answer.mechanisms, [frames::text("OAUTHBEARER")]);
    }
}

#[test]
fn a_token_without_a_handshake_is_an_illegal_state() {
    let mut rig = Rig::connected();
    let message =
        sluice_identity::oauthbearer::encode(&rig.world.token("writer"), None, &[]).unwrap();
    let round = rig.client(frames::authenticate(&message));
    assert!(matches!(
        round.close(),
        Close::ClientAuthenticationFailed(_)
    ));
    assert_eq!(frames::sasl_answer(&round.answers[0].bytes).error_code, 34);
    assert!(!rig.session.is_authenticated());
}

/// The token is refused in words that say no more than that; then the client acknowledges and the session ends.
#[track_caller]
fn assert_refused(rig: &mut Rig, token: &str) -> Round {
    let round = rig.present(token);
    let answer = frames::sasl_answer(round.only_answer());
    assert_eq!(answer.error_code, 0, "first the failure is described");
    assert_eq!(&*answer.auth_bytes, br#"{"status":"invalid_token"}"#);
    assert!(round.has_fact(Kind::AuthenticationFailed));
    let end = rig.client(frames::authenticate(ACKNOWLEDGEMENT));
    assert!(
        matches!(end.close(), Close::ClientAuthenticationFailed(_)),
        "{end:?}"
    );
    assert_eq!(frames::sasl_answer(&end.answers[0].bytes).error_code, 58);
    round
}

#[test]
fn refuses_expired_forged_foreign_and_unbound_tokens() {
    let mut rig = Rig::connected();
    let now = rig.world.now_unix_s;
    let good = rig.world.token("writer");
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let claims =
        |subject: &str| json!({"iss": URL, "aud": AUDIENCE, "sub": subject, "exp": now + 60});
    let tampered = format!(
        "{header}.{}.{signature}",
        encode(claims("admin").to_string().as_bytes())
    );
    let unsigned = format!(
        "{}.{}.",
        encode(br#"{"alg":"none"}"#),
        encode(claims("writer").to_string().as_bytes())
    );
    let impostor = Issuer::new("k1");
    let issuer = &rig.world.issuer;
    let cases = [
        ("expired an hour ago", issuer.token("writer", now - 3_600)),
        ("expired this second", issuer.token("writer", now)),
        ("tampered", tampered),
        ("unsigned", unsigned),
        ("another key of the same id", impostor.token("writer", now + 60)),
        ("another audience", issuer.sign(&json!({"iss": URL, "aud": "x", "sub": "writer", "exp": now + 60}))),
        ("another issuer", issuer.sign(&json!({"iss": "https://x", "aud": AUDIENCE, "sub": "writer", "exp": now + 60}))),
        ("not yet valid", issuer.sign(&json!({"iss": URL, "aud": AUDIENCE, "sub": "writer", "exp": now + 9_999, "nbf": now + 3_600}))),
        ("without an end", issuer.sign(&json!({"iss": URL, "aud": AUDIENCE, "sub": "writer"}))),
        ("nobody's binding", issuer.token("stranger", now + 60)),
    ];
    for (what, token) in cases {
        println!("{what}");
        let world = std::mem::replace(&mut rig.world, crate::support::World::new(POLICY));
        rig = Rig::on(world);
        assert_refused(&mut rig, &token);
        assert!(!rig.session.is_authenticated(), "{what}");
        assert_eq!(rig.world.shared.unknown_keys_count.get(), 0, "{what}");
    }
}

#[test]
fn an_unknown_key_id_asks_for_the_keys_again() {
    let mut rig = Rig::connected();
    let rotated = Issuer::new("k2");
    let token = rotated.token("writer", rig.world.now_unix_s + 60);
    assert_refused(&mut rig, &token);
    assert_eq!(rig.world.shared.unknown_keys_count.get(), 1);
    rig.world.issuers = vec![rotated.trusted()];
    let mut rig = Rig::on(rig.world);
    let round = rig.present(&token);
    assert_eq!(
        frames::sasl_answer(round.only_answer()).auth_bytes.len(),
        0,
        "after the keys came it is accepted"
    );
    assert!(rig.session.is_authenticated());
}

#[test]
fn acting_as_somebody_else_is_refused() {
    let mut rig = Rig::connected();
    rig.client(frames::handshake("OAUTHBEARER")).only_answer();
    let message =
        sluice_identity::oauthbearer::encode(&rig.world.token("writer"), Some("admin"), &[])
            .unwrap();
    let round = rig.client(frames::authenticate(&message));
    assert_eq!(
        &*frames::sasl_answer(round.only_answer()).auth_bytes,
        br#"{"status":"invalid_token"}"#
    );
    assert!(!rig.session.is_authenticated());
}

#[test]
fn without_policy_nobody_authenticates() {
    let mut world = crate::support::World::new(POLICY);
    world.snapshot = None;
    let mut rig = Rig::on(world);
    let token = rig.world.token("writer");
    assert_refused(&mut rig, &token);
}

#[test]
fn re_authentication_keeps_the_principal_and_prolongs_the_session() {
    let mut rig = Rig::authenticated("writer");
    rig.world.now_unix_s += TOKEN_LASTS_S - 1;
    rig.authenticate("writer");
    rig.world.now_unix_s += TOKEN_LASTS_S - 1;
    let round = rig.client(metadata(3));
    assert_eq!(round.fact(Kind::Intent).principal, "User:writer");
    round.only_forwarded();
}

#[test]
fn re_authentication_as_another_principal_is_refused_and_ends_the_session() {
    let mut rig = Rig::authenticated("writer");
    let token = rig.world.token("other-writer");
    let round = assert_refused(&mut rig, &token);
    assert!(
        round
            .fact(Kind::AuthenticationFailed)
            .reason
            .contains("principal")
    );
}

#[test]
fn an_expired_token_closes_at_the_next_frame() {
    let mut rig = Rig::authenticated("reader");
    rig.world.now_unix_s += TOKEN_LASTS_S - 1;
    rig.client(metadata(1)).only_forwarded();
    rig.world.now_unix_s += 1;
    assert_eq!(*rig.client(metadata(2)).close(), Close::ClientTokenExpired);
    // Nor does an answer that comes late still reach the client.
    let late = frames::response::<MetadataRequest>(12, 1, &Default::default());
    let round = rig.broker(late);
    assert_eq!(round.closed, Some(Close::ClientTokenExpired));
    assert!(round.answers.is_empty());
}

#[test]
fn a_change_of_policy_re_decides_the_next_request_and_the_session_stays() {
    let mut rig = Rig::authenticated("reader");
    let fetch = frames::request(12, 1, &frames::fetch(&[("orders", vec![(0, 0)])]));
    rig.client(fetch.clone()).only_forwarded();
    rig.world.apply(&POLICY.replace(
        "topics: [orders, clicks, masked, masked-too]",
        "topics: [clicks]",
    ));
    let round = rig.client(frames::request(
        12,
        2,
        &frames::fetch(&[("clicks", vec![(0, 0)])]),
    ));
    assert_eq!(round.fact(Kind::Intent).revision, rig.world.revision());
    round.only_forwarded();
    let round = rig.client(frames::request(
        12,
        3,
        &frames::fetch(&[("orders", vec![(0, 0)])]),
    ));
    assert!(round.forwarded.is_empty());
    assert_eq!(
        round.fact(Kind::Denied).items[0].reason_code,
        "not-permitted"
    );
}

#[test]
fn a_lost_binding_closes_and_so_does_one_to_another_principal() {
    let mut rig = Rig::authenticated("reader");
    rig.world
        .apply(&POLICY.replace("claims: {sub: reader}", "claims: {sub: gone}"));
    assert_eq!(*rig.client(metadata(1)).close(), Close::PolicyUnbound);

    let mut rig = Rig::authenticated("reader");
    rig.client(metadata(1)).only_forwarded();
    let moved = "match: {issuer: demo, claims: {sub: reader}}, principal: somebody";
    rig.world
        .apply(&POLICY.replace("match: {issuer: demo, claims: {sub: reader}}", moved));
    let round = rig.broker(frames::response::<MetadataRequest>(
        12,
        1,
        &Default::default(),
    ));
    assert_eq!(
        round.closed,
        Some(Close::PolicyUnbound),
        "not even the answer passes"
    );
    assert!(round.answers.is_empty());
}

#[test]
fn a_snapshot_that_goes_away_forwards_nothing() {
    let mut rig = Rig::authenticated("reader");
    rig.world.snapshot = None;
    let round = rig.client(frames::request(
        12,
        2,
        &frames::fetch(&[("orders", vec![(0, 0)])]),
    ));
    round.close();
    assert!(round.answers.is_empty());
}

#[test]
fn a_broker_that_became_narrower_ends_the_session() {
    use crate::support::world::broker_offer;
    let rig = Rig::authenticated("reader");
    assert_eq!(
        rig.session
            .broker_opened(&rig.world.environment(), &broker_offer()),
        Ok(())
    );
    for key in [
        ProduceRequest::default().api_key(),
        FetchRequest::default().api_key(),
    ] {
        let mut narrower = broker_offer();
        narrower
            .ranges
            .iter_mut()
            .filter(|range| range.key == key)
            .for_each(|range| range.version_max = 11);
        let opened = rig
            .session
            .broker_opened(&rig.world.environment(), &narrower);
        assert_eq!(opened, Err(Close::BrokerNarrowed));
        narrower.ranges.retain(|range| range.key != key);
        let opened = rig
            .session
            .broker_opened(&rig.world.environment(), &narrower);
        assert_eq!(opened, Err(Close::BrokerNarrowed));
    }
}

trait Keyed: kafka_protocol::protocol::Request {
    fn api_key(&self) -> i16 {
        Self::KEY
    }
}

impl<R: kafka_protocol::protocol::Request> Keyed for R {}
