//! Writes the seeds of all targets to `corpus/`: small inputs that are accepted, so that a mutation starts near one. Files
//! named `regression-*` are inputs that failed once; they are left alone.
//!
//!     cargo run --manifest-path tests/fuzz/Cargo.toml --example seeds

#[path = "../../../dataplane/session/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sluice_evidence::segment::frame_leaf;
use sluice_evidence::{
    Api, Item, ItemFlags, Kind, LogBuilder, RecordHead, RecordWriter, SessionId, SigningKey, Tiles,
    prove,
};
use sluice_fuzz::issuer::{AUDIENCE, Issuer, NOW_UNIX_S, URL};
use sluice_fuzz::policy::{OTHERS, SHOP};
use sluice_identity::{oauthbearer, plain};
use sluice_kafka::ErrorCode;
use sluice_kafka::api::{ApiRange, FETCH, PRODUCE, api};
use sluice_kafka::codec::Codec;
use sluice_kafka::local::{FeatureRange, Features, FinalizedFeatures, api_versions, sasl};
use sluice_policy::{Revision, Source, compile, validate};

use support::batch::BatchSpec;
use support::samples::{Sample, samples};

/// A file that already holds the same bytes is not written again.
fn seed(target: &str, name: &str, bytes: &[u8]) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&dir).expect("the corpus can be written");
    let file = dir.join(name);
    if std::fs::read(&file).ok().as_deref() != Some(bytes) {
        std::fs::write(file, bytes).expect("the corpus can be written");
    }
}

fn main() {
    let samples = samples();
    cold(&samples);
    hot(&samples);
    record_batches();
    local_frames();
    sasl_messages();
    tokens();
    values();
    policies();
    evidence_records();
    evidence_notes();
}

/// The name of an API as a file name.
fn name(sample: &Sample) -> String {
    let name = api(sample.api_key).expect("a spoken API").name;
    format!("{name}-{}", sample.version).to_lowercase()
}

fn framed_as(side: u8, frame: &[u8]) -> Vec<u8> {
    let content = &frame[4..];
    let length = u16::try_from(content.len()).expect("samples are small");
    [&[side], &length.to_be_bytes()[..], content].concat()
}

/// The newest version of each API.
fn cold(samples: &[Sample]) {
    let newest: BTreeMap<i16, &Sample> = samples
        .iter()
        .map(|sample| (sample.api_key, sample))
        .collect();
    for sample in newest.values() {
        let (key, version) = (sample.api_key, sample.version);
        let tag = |number: i16| u8::try_from(number).expect("keys and versions are small");
        seed("request_frame", &name(sample), &sample.request[4..]);
        let response = [&[tag(key), tag(version)], &sample.response[4..]].concat();
        seed("response_frame", &name(sample), &response);
        let subject = match sample.subject {
            "writer" => 1,
            "reader" => 2,
            "clear-reader" => 3,
            "admin" => 4,
            _ => 5,
        };
        let both = [
            &[subject],
            &framed_as(0, &sample.request)[..],
            &framed_as(1, &sample.response)[..],
        ];
        seed("session", &name(sample), &both.concat());
    }
}

/// The oldest, the newest and some between.
fn hot(samples: &[Sample]) {
    for sample in samples {
        let (requests, responses) = match sample.api_key {
            PRODUCE => ("produce_request", "produce_response"),
            FETCH => ("fetch_request", "fetch_response"),
            _ => continue,
        };
        let (oldest, newest) = api(sample.api_key).expect("a spoken API").versions;
        if [oldest, 9, 12, newest].contains(&sample.version) {
            let version = u8::try_from(sample.version - oldest).expect("versions are few");
            let behind = |at: usize, frame: &[u8]| [&[version], &frame[at..]].concat();
            seed(requests, &name(sample), &behind(12, &sample.request));
            seed(responses, &name(sample), &behind(4, &sample.response));
            if sample.api_key == FETCH {
                seed("fetch_stream", &name(sample), &behind(4, &sample.response));
            }
        }
    }
    // Masking in a session, in a version that names topics.
    let masked = samples
        .iter()
        .find(|sample| (sample.api_key, sample.version) == (FETCH, 12));
    let masked = masked.expect("a spoken version");
    let both = [
        &[2],
        &framed_as(0, &masked.request)[..],
        &framed_as(1, &masked.response)[..],
    ];
    seed("session", "masked-fetch-12", &both.concat());
}

fn record_batches() {
    let values: [&[u8]; 5] = [br#"{"email":"a@b.c"}"#, b"", b"text", &[b'x'; 100], b"{}"];
    for (bits, codec) in (0..).zip([
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ]) {
        let spec = BatchSpec {
            codec,
            base_offset: 7,
            producer_id: 5,
            base_sequence: 1,
            ..BatchSpec::default()
        };
        seed(
            "record_batch",
            codec.name(),
            &[&[bits], &spec.of(&values)[..]].concat(),
        );
        let plain = BatchSpec {
            codec: Codec::None,
            ..spec
        };
        seed(
            "record_batch",
            &format!("{}-anew", codec.name()),
            &[&[bits | 0x08], &plain.of(&values)[..]].concat(),
        );
    }
    let one = BatchSpec::default().of(&[b"v"]);
    seed(
        "record_batch",
        "walk",
        &[&[0x10], &one[..], &one[..], &one[..40]].concat(),
    );
}

fn local_frames() {
    let put = |what: u8, name: &str, frame: &[u8]| {
        seed("local_frame", name, &[&[what], &frame[4..]].concat());
    };
    for version in [0, 4] {
        let mut frame = Vec::new();
        api_versions::encode_request(
            version,
            1,
            "client",
            "apache-kafka-java",
            "4.4.0",
            &mut frame,
        );
        put(0, &format!("apiversions-{version}"), &frame);
    }
    let mut frame = Vec::new();
    sasl::encode_handshake_request(1, "client", "OAUTHBEARER", &mut frame);
    put(0, "saslhandshake", &frame);
    for version in [0, 2] {
        let mut frame = Vec::new();
        sasl::encode_authenticate_request(
            version,
            1,
            "client",
            b"n,,\x01auth=Bearer x\x01\x01",
            &mut frame,
        );
        put(0, &format!("saslauthenticate-{version}"), &frame);
    }
    let mut frame = Vec::new();
    sasl::encode_handshake_response(1, ErrorCode(33), &["PLAIN", "OAUTHBEARER"], &mut frame);
    put(1, "saslhandshake-answer", &frame);
    for version in [0, 1, 2] {
        let mut frame = Vec::new();
        sasl::encode_authenticate_response(
            i16::from(version),
            1,
            ErrorCode(58),
            Some("no"),
            b"x",
            1000,
            &mut frame,
        );
        put(
            2 + version,
            &format!("saslauthenticate-answer-{version}"),
            &frame,
        );
    }
    let range = ApiRange {
        key: 3,
        version_min: 0,
        version_max: 13,
    };
    let feature = |level_min| FeatureRange {
        name: "group.version".into(),
        level_min,
        level_max: 1,
    };
    let features = Features {
        supported: vec![feature(0), feature(1)],
        finalized: Some(FinalizedFeatures {
            epoch: 9,
            features: vec![feature(1)],
        }),
    };
    for version in [0, 3, 4] {
        let mut frame = Vec::new();
        api_versions::encode_response(
            i16::from(version),
            1,
            ErrorCode(0),
            0,
            &[range],
            &features,
            &mut frame,
        );
        put(
            5 + version,
            &format!("apiversions-answer-{version}"),
            &frame,
        );
    }
}

fn sasl_messages() {
    let put = |what: u8, name: &str, message: &[u8]| {
        seed("sasl_message", name, &[&[what], message].concat());
    };
    let plainly = oauthbearer::encode("eyJ.eyJ.sig", None, &[]).expect("a good message");
    put(0, "oauthbearer", &plainly);
    let extended = oauthbearer::encode(
        "eyJ.eyJ.sig",
        Some("a,b=c"),
        &[("traceId", "1"), ("x", "y z")],
    );
    put(
        0,
        "oauthbearer-extended",
        &extended.expect("a good message"),
    );
    put(0, "oauthbearer-failure-read", &oauthbearer::FAILURE_READ);
    put(
        1,
        "plain",
        &plain::encode("alice", "secret").expect("a good credential"),
    );
    put(1, "plain-authzid", b"alice\0alice\0secret");
    put(
        2,
        "scram-server-first",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa,s=c2FsdA==,i=4096",
    );
    put(
        2,
        "scram-mandatory",
        b"m=ext,r=rOprNGfwEbeRWgbNEkqO1,s=c2FsdA==,i=4096,x=y",
    );
    put(
        3,
        "scram-server-final",
        format!("v={}", STANDARD.encode([7; 32])).as_bytes(),
    );
    put(3, "scram-refused", b"e=invalid-proof");
}

fn tokens() {
    let put = |what: u8, name: &str, text: &str| {
        seed("token", name, &[&[what], text.as_bytes()].concat());
    };
    let issuer = Issuer::new();
    let expires = NOW_UNIX_S + 3_600;
    let header = r#"{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}"#;
    let claims = format!(
        r#"{{"iss":"{URL}","aud":"{AUDIENCE}","sub":"alice","exp":{expires},"jti":"t-1"}}"#
    );
    put(
        0,
        "good",
        &issuer.token(header.as_bytes(), claims.as_bytes()),
    );
    put(1, "good-parts", &format!("{header}\n{claims}"));
    let several = format!(
        r#"{{"iss":"{URL}","aud":["x","{AUDIENCE}"],"sub":"bob","exp":{expires}.5,"nbf":{NOW_UNIX_S},"iat":1,"groups":["a"]}}"#
    );
    put(
        1,
        "several-audiences",
        &format!("{{\"alg\":\"EdDSA\"}}\n{several}"),
    );
    put(2, "keys", &issuer.jwks());
    // RFC 7517, appendix A.1, and what is skipped.
    let x = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    let y = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";
    let ec = format!(
        r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","use":"sig","kid":"1","alg":"ES256"}}"#
    );
    put(
        2,
        "keys-of-all-kinds",
        &format!(
            r#"{{"keys":[{ec},{{"kty":"oct","k":"AA"}},{{"kty":"RSA","n":"AQAB","e":"AQAB","key_ops":["verify"]}},{ec}]}}"#
        ),
    );
    put(
        3,
        "discovery",
        &format!(r#"{{"issuer":"{URL}","jwks_uri":"{URL}/jwks","token_endpoint":"{URL}/token"}}"#),
    );
    put(
        3,
        "discovery-loopback",
        r#"{"issuer":"http://127.0.0.1:7081","jwks_uri":"http://localhost:7081/jwks","sluice_development_provider":true}"#,
    );
}

fn values() {
    let put = |plan: u8, name: &str, value: &[u8]| {
        seed("mask_value", name, &[&[plan], value].concat());
    };
    put(0, "order", br#"{"customer":{"email":"a@b.c","name":"A"},"items":[{"recipient":{"ssn":1}},{"card_number":"4111"}],"n":-1.5e3}"#);
    put(
        1,
        "spellings",
        "{\"\\u00c9\":1,\"odd key\":[true,null],\"\":{},\"ODD KEY\":\"\\ud83d\\ude00 é\"}"
            .as_bytes(),
    );
    put(2, "array", b"[1, \"x\", {\"a\": [2]}, [ ]]");
    put(
        3,
        "framed",
        b"\0\0\0\0\x01{\"x\":{\"EMAIL\":\"y\"},\"items\":[{\"ssn\":false}]}",
    );
    put(
        4,
        "nested",
        br#"{"a":[[{"k":1,"K":2}]],"b":{"\u0061":{"k":"\u212a"}},"k":3}"#,
    );
    put(0, "number", br#"{"card_number":1e999}"#);
}

fn policies() {
    let documents: Vec<&str> = SHOP.split("---\n").collect();
    seed("policy_documents", "shop", SHOP.as_bytes());
    for (name, kind) in [
        ("role", 0),
        ("mask", 4),
        ("class", 5),
        ("conflict", 8),
        ("binding", 11),
    ] {
        seed("policy_documents", name, documents[kind].as_bytes());
    }
    seed("policy_documents", "others", OTHERS.as_bytes());
    for (name, text) in [
        ("shop", SHOP),
        ("others", OTHERS),
        ("empty", ""),
        ("role", documents[0]),
    ] {
        let set = validate(&[Source {
            file: "policy.yaml",
            text,
        }])
        .expect("a good policy");
        let bytes = compile(
            &set,
            Revision {
                incarnation: 1,
                number: 7,
            },
        )
        .expect("a small policy");
        seed("policy_tables", name, &[&[0], &bytes[..]].concat());
    }
}

fn leaf() -> Vec<u8> {
    let head = RecordHead {
        kind: Kind::Outcome,
        time_unix_ns: 1_700_000_000_000_000_000,
        session: SessionId(0xabc),
        sequence: 7,
        answers: Some(6),
        principal: "User:analytics",
        client_id: "app",
        peer: "192.0.2.1:5555",
        api: Some(Api {
            key: 1,
            version: 12,
        }),
        revision: sluice_evidence::Revision {
            incarnation: 1,
            number: 42,
        },
        reason_code: "none",
        reason: "because",
        denial_id: "a-1",
        ..RecordHead::default()
    };
    let item = Item {
        operation: 3,
        resource_kind: 2,
        resource: "orders",
        topic_id: Some([3; 16]),
        partition: 0,
        first_offset: 100,
        last_offset: 199,
        records_count: 100,
        error_code: 2,
        producer_id: 5,
        producer_epoch: 0,
        base_sequence: 3,
        batch_crc: Some(1 << 31),
        mask_plan: "personal-data",
        masked_fields_count: 300,
        reason_code: "x",
        flags: ItemFlags::DELIVERED.with(ItemFlags::CLEAR),
    };
    let mut leaf = Vec::new();
    let mut writer = RecordWriter::begin(&mut leaf, &head).expect("short texts");
    for item in [
        item,
        Item::default(),
        Item {
            resource: "clicks",
            ..item
        },
    ] {
        writer.item(&item).expect("a short item");
    }
    writer.finish();
    leaf
}

fn evidence_records() {
    let full = leaf();
    let mut small = Vec::new();
    RecordWriter::begin(&mut small, &RecordHead::default())
        .expect("no text")
        .finish();
    let mut segment = Vec::new();
    frame_leaf(&small, &mut segment).expect("a short leaf");
    frame_leaf(&full, &mut segment).expect("a short leaf");
    segment.extend_from_slice(&[0; 16]);
    seed("evidence_record", "full", &[&[0], &full[..]].concat());
    seed("evidence_record", "small", &[&[0], &small[..]].concat());
    seed("evidence_record", "framed", b"\x01leaf");
    seed("evidence_record", "segment", &[&[2], &segment[..]].concat());
}

fn evidence_notes() {
    let put = |what: u8, name: &str, bytes: &[u8]| {
        seed("evidence_note", name, &[&[what], bytes].concat());
    };
    let key = SigningKey::from_seed("sluice.example/log", &[42; 32]).expect("a good name");
    let (mut log, mut tiles) = (LogBuilder::new(), Tiles::default());
    for number in 0..3 {
        log.append(format!("leaf {number}").as_bytes(), &mut tiles)
            .expect("a tile in memory");
    }
    log.flush(&mut tiles).expect("a tile in memory");
    let checkpoint = log.checkpoint(&key, 5);
    put(0, "checkpoint", &checkpoint.note);
    put(0, "example", "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n".as_bytes());
    put(
        1,
        "checkpoint-text",
        checkpoint.checkpoint.to_text().as_bytes(),
    );
    put(2, "key", key.verifier().to_string().as_bytes());
    let proof = prove(1, &checkpoint, &tiles).expect("a leaf of the log");
    put(3, "proof", proof.to_text().as_bytes());
    put(
        4,
        "path",
        &[&1_u64.to_be_bytes()[..], &3_u64.to_be_bytes(), &[7; 96]].concat(),
    );
}
