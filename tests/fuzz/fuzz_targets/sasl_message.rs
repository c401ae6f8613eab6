//! Messages inside SASL: a client's OAUTHBEARER or PLAIN message that is accepted is read the same after it was written
//! anew; a broker's SCRAM messages are taken only with the gateway's nonce, and only with the one right proof.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::{hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::choice;
use sluice_identity::scram::{self, AwaitsServerFinal, Bounds, Keys, Mechanism};
use sluice_identity::{limits, oauthbearer, plain};

const USERNAME: &str = "gateway";
const PASSWORD: &str = "pencil";
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
/// Salt "salt" and the least number of rounds.
const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa,s=c2FsdA==,i=4096";

struct Exchange {
    keys: Keys,
    /// What a broker that knows the password says last.
    server_final: String,
}

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| {
    let mut salted = [0; 32];
    let rounds = limits::SCRAM_ITERATIONS_MIN.try_into().expect("not zero");
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        b"salt",
        PASSWORD.as_bytes(),
        &mut salted,
    );
    let sign =
        |key: &[u8], message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message);
    let server_key = sign(&salted, b"Server Key");
    let auth_message =
        format!("n={USERNAME},r={NONCE},{SERVER_FIRST},c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa");
    let signature = sign(server_key.as_ref(), auth_message.as_bytes());
    let server_final = format!("v={}", STANDARD.encode(signature));
    let keys = awaits_final(None)
        .server_final(server_final.as_bytes())
        .expect("the right proof");
    Exchange { keys, server_final }
});

fn awaits_final(known: Option<&Keys>) -> AwaitsServerFinal {
    let (first, _) = scram::start(Mechanism::ScramSha256, USERNAME, NONCE).expect("a good nonce");
    let answered = first.server_first(SERVER_FIRST.as_bytes(), PASSWORD, known, Bounds::default());
    answered.expect("a good message").0
}

// What it is, then the message.
fuzz_target!(|input: &[u8]| {
    let Some((what, message)) = choice(input, 4) else {
        return;
    };
    match what {
        0 => read_oauthbearer(message),
        1 => read_plain(message),
        2 => read_server_first(message),
        _ => {
            if awaits_final(Some(&EXCHANGE.keys))
                .server_final(message)
                .is_ok()
            {
                let message = std::str::from_utf8(message).expect("what is accepted is text");
                assert_eq!(message.split(',').next(), Some(&*EXCHANGE.server_final));
            }
        }
    }
});

fn read_oauthbearer(message: &[u8]) {
    let failed = oauthbearer::parse_failure_read(message).is_ok();
    let Ok(read) = oauthbearer::parse(message) else {
        return;
    };
    assert!(!failed);
    let written = oauthbearer::encode(read.token(), read.authzid(), read.extensions());
    let written = written.expect("what was read can be written");
    let again = oauthbearer::parse(&written).expect("its own message");
    assert_eq!(
        (again.token(), again.authzid(), again.extensions()),
        (read.token(), read.authzid(), read.extensions()),
    );
    assert!(!format!("{read:?}").contains(&format!("{:?}", read.token())));
}

fn read_plain(message: &[u8]) {
    let Ok(read) = plain::parse(message) else {
        return;
    };
    let written =
        plain::encode(read.username, read.password).expect("what was read can be written");
    let again = plain::parse(&written).expect("its own message");
    assert_eq!(
        (again.username, again.password),
        (read.username, read.password)
    );
}

fn read_server_first(message: &[u8]) {
    let (first, _) = scram::start(Mechanism::ScramSha256, USERNAME, NONCE).expect("a good nonce");
    let bounds = Bounds::new(limits::SCRAM_ITERATIONS_MIN);
    if let Ok((_, answer)) = first.server_first(message, PASSWORD, None, bounds) {
        let nonce = message.strip_prefix(b"r=").expect("a nonce comes first");
        assert!(nonce.starts_with(NONCE.as_bytes()));
        let nonce = nonce.split(|byte| *byte == b',').next().unwrap_or_default();
        let expected = [b"c=biws,r=", nonce, b",p="].concat();
        assert!(answer.starts_with(&expected));
    }
}
