// `super::*` brings the client's own `hmac`; this is the other one.
use ::hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

use super::Mechanism::{ScramSha256, ScramSha512};
use super::*;
use crate::testing::Random;

const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

/// One exchange with fixed messages: the client's last message, and the outcome of the server's.
fn exchange(mechanism: Mechanism, server_final: &str) -> (String, Result<Keys, ScramError>) {
    let (state, first) = start(mechanism, "user", NONCE).unwrap();
    assert_eq!(first, format!("n,,n=user,r={NONCE}").as_bytes());
    let (state, last) = state
        .server_first(SERVER_FIRST.as_bytes(), "pencil", None, Bounds::default())
        .unwrap();
    (
        String::from_utf8(last).unwrap(),
        state.server_final(server_final.as_bytes()),
    )
}

/// What a client that has sent its first message makes of this answer.
fn server_first(message: &[u8]) -> Result<(), ScramError> {
    let (state, _) = start(ScramSha256, "user", NONCE).unwrap();
    state
        .server_first(message, "pencil", None, Bounds::default())
        .map(drop)
}

#[test]
fn follows_the_example_of_rfc_7677() {
    let (last, keys) = exchange(
        ScramSha256,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
    let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(last, expected);
    assert!(keys.is_ok());
}

/// The same exchange with SHA-512; the values were computed with another implementation (Python's hashlib and hmac).
#[test]
fn follows_the_same_example_with_sha_512() {
    let verifier = "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";
    let (last, keys) = exchange(ScramSha512, verifier);
    let proof =
        "gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
    assert_eq!(last.split_once(",p=").unwrap().1, proof);
    assert!(keys.is_ok());
}

#[test]
fn proves_itself_to_the_server_twin_with_random_credentials() {
    let mut random = Random::new(0x5C2A_4D01);
    let mut text = |characters_max: usize| -> String {
        let pool: Vec<char> = "abcXYZ019=,=2C=3D \"\\%äß€\u{1F600}".chars().collect();
        (0..=random.below(characters_max))
            .map(|_| pool[random.below(pool.len())])
            .collect()
    };
    for mechanism in [ScramSha256, ScramSha512, ScramSha256, ScramSha512] {
        let server = Twin {
            mechanism,
            username: text(20),
            password: text(40),
            salt: text(20).into_bytes(),
        };
        let (state, first) = start(mechanism, &server.username, "0123456789abcdef+/=").unwrap();
        let challenge = server.challenge(&first, "server's.own");
        let (state, last) = state
            .server_first(
                challenge.as_bytes(),
                &server.password,
                None,
                Bounds::default(),
            )
            .unwrap();
        let verifier = server
            .verify(&first, &challenge, &last)
            .expect("the twin accepts the proof");
        let keys = state.server_final(verifier.as_bytes()).unwrap();

        // Known keys give a good proof for a new nonce, and are not used for another salt.
        let (state, first) = start(mechanism, &server.username, "another-nonce-16").unwrap();
        let challenge = server.challenge(&first, "x");
        let wrong = "a wrong password shows that nothing is derived";
        let (state, last) = state
            .server_first(challenge.as_bytes(), wrong, Some(&keys), Bounds::default())
            .unwrap();
        let verifier = server
            .verify(&first, &challenge, &last)
            .expect("the twin accepts the proof of known keys");
        assert!(state.server_final(verifier.as_bytes()).is_ok());

        let salted_anew = Twin {
            salt: b"another".to_vec(),
            ..server
        };
        let (state, first) = start(mechanism, &salted_anew.username, "another-nonce-17").unwrap();
        let challenge = salted_anew.challenge(&first, "x");
        let password = &salted_anew.password;
        let (_, last) = state
            .server_first(
                challenge.as_bytes(),
                password,
                Some(&keys),
                Bounds::default(),
            )
            .unwrap();
        assert!(salted_anew.verify(&first, &challenge, &last).is_some());
    }
}

#[test]
fn the_server_twin_refuses_a_wrong_password() {
    let server = Twin {
        mechanism: ScramSha256,
        username: "u".into(),
        password: "right".into(),
        salt: b"salt".to_vec(),
    };
    let (state, first) = start(ScramSha256, "u", NONCE).unwrap();
    let challenge = server.challenge(&first, "x");
    let (_, last) = state
        .server_first(challenge.as_bytes(), "wrong", None, Bounds::default())
        .unwrap();
    assert_eq!(server.verify(&first, &challenge, &last), None);
}

#[test]
fn refuses_a_broker_that_does_not_know_the_keys() {
    let one_bit_off = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=";
    let same_bits_spelled_otherwise = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=";
    let table = [
        (one_bit_off, ScramError::BrokerSignatureInvalid),
        (
            same_bits_spelled_otherwise,
            ScramError::BrokerMessageMalformed,
        ),
        (
            "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ScramError::BrokerSignatureInvalid,
        ),
        (
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
            ScramError::BrokerSignatureInvalid,
        ),
        ("v=", ScramError::BrokerSignatureInvalid),
        ("v=*", ScramError::BrokerMessageMalformed),
        ("", ScramError::BrokerMessageMalformed),
        ("x=1", ScramError::BrokerMessageMalformed),
        ("e=invalid-proof", ScramError::BrokerRefusedProof),
    ];
    for (server_final, expected) in table {
        assert_eq!(
            exchange(ScramSha256, server_final).1.unwrap_err(),
            expected,
            "{server_final}"
        );
    }
}

#[test]
fn ignores_optional_extensions_of_the_broker() {
    let (_, keys) = exchange(
        ScramSha256,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,x=1",
    );
    assert!(keys.is_ok());
    assert_eq!(
        server_first(format!("{SERVER_FIRST},x=1").as_bytes()),
        Ok(())
    );
}

#[test]
fn refuses_a_nonce_that_does_not_continue_its_own() {
    for nonce in [
        NONCE,
        "rOprNGfwEbeRWgbNEkqP%x",
        "xrOprNGfwEbeRWgbNEkqO%x",
        "other",
    ] {
        let message = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        assert_eq!(
            server_first(message.as_bytes()),
            Err(ScramError::BrokerNonceDiffers),
            "{nonce}"
        );
    }
}

#[test]
fn does_neither_too_few_rounds_nor_too_many() {
    let asking = |iterations: &str, bounds: Bounds| {
        let (state, _) = start(ScramSha256, "user", NONCE).unwrap();
        let message = format!("r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={iterations}");
        state
            .server_first(message.as_bytes(), "pencil", None, bounds)
            .map(drop)
    };
    let bounds = Bounds::default();
    assert_eq!(asking("4096", bounds), Ok(()));
    assert_eq!(asking("16384", bounds), Ok(()));
    assert_eq!(
        asking("4095", bounds),
        Err(ScramError::BrokerIterationsTooFew { iterations: 4095 })
    );
    assert_eq!(
        asking("0", bounds),
        Err(ScramError::BrokerIterationsTooFew { iterations: 0 })
    );
    let too_many = |iterations, iterations_max| {
        Err(ScramError::BrokerIterationsTooMany {
            iterations,
            iterations_max,
        })
    };
    assert_eq!(asking("16385", bounds), too_many(16_385, 16_384));
    assert_eq!(asking("4294967295", bounds), too_many(u32::MAX, 16_384));
    assert_eq!(asking("5000", Bounds::new(4_999)), too_many(5_000, 4_999));
    assert_eq!(asking("4096", Bounds::new(0)), Ok(()));
    assert_eq!(asking("20000", Bounds::new(20_000)), Ok(()));
    for malformed in ["", "+4096", "-1", "4096 ", "4294967296", "0x1000"] {
        assert_eq!(
            asking(malformed, bounds),
            Err(ScramError::BrokerMessageMalformed),
            "{malformed}"
        );
    }
}

#[test]
fn refuses_first_answers_outside_of_the_grammar() {
    use ScramError::{BrokerExtensionMandatory, BrokerMessageMalformed, BrokerRefusedProof};
    let large_salt = format!(
        "r={NONCE}x,s={},i=4096",
        STANDARD.encode([1; SCRAM_SALT_BYTES_MAX + 1])
    );
    let table: &[(&[u8], ScramError)] = &[
        (b"", BrokerMessageMalformed),
        (b"r=rOprNGfwEbeRWgbNEkqOx", BrokerMessageMalformed),
        (b"r=rOprNGfwEbeRWgbNEkqOx,s=W22Z", BrokerMessageMalformed),
        (
            b"s=W22Z,r=rOprNGfwEbeRWgbNEkqOx,i=4096",
            BrokerMessageMalformed,
        ),
        (
            b"r=rOprNGfwEbeRWgbNEkqOx,i=4096,s=W22Z",
            BrokerMessageMalformed,
        ),
        (b"r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", BrokerMessageMalformed),
        (
            b"r=rOprNGfwEbeRWgbNEkqOx,s=W2,i=4096",
            BrokerMessageMalformed,
        ),
        (
            b"r=rOprNGfwEbeRWgbNEkqO x,s=W22Z,i=4096",
            BrokerMessageMalformed,
        ),
        (
            b"r=rOprNGfwEbeRWgbNEkqO\xc3\xa4,s=W22Z,i=4096",
            BrokerMessageMalformed,
        ),
        (
            b"r=rOprNGfwEbeRWgbNEkqO\xff,s=W22Z,i=4096",
            BrokerMessageMalformed,
        ),
        (
            b"m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096",
            BrokerExtensionMandatory,
        ),
        (b"e=unknown-user", BrokerRefusedProof),
        (large_salt.as_bytes(), BrokerMessageMalformed),
    ];
    for (message, expected) in table {
        assert_eq!(
            server_first(message),
            Err(*expected),
            "{:?}",
            String::from_utf8_lossy(message)
        );
    }
    let message_bytes = SCRAM_BYTES_MAX + 1;
    assert_eq!(
        server_first(&vec![b'r'; message_bytes]),
        Err(ScramError::BrokerMessageOversized { message_bytes })
    );
}

#[test]
fn refuses_unusable_credentials_and_nonces() {
    let longest = "x".repeat(CREDENTIAL_BYTES_MAX + 1);
    for username in ["", "a\0b", &longest] {
        assert_eq!(
            start(ScramSha256, username, NONCE).unwrap_err(),
            ScramError::OperatorCredentialInvalid
        );
    }
    for nonce in [
        "",
        "fifteen-letters",
        "has,a,comma,inside",
        "has a space inside",
        "hat-ein-ä-zeichen",
    ] {
        assert_eq!(
            start(ScramSha256, "user", nonce).unwrap_err(),
            ScramError::NonceInvalid,
            "{nonce}"
        );
    }
    assert_eq!(
        start(ScramSha256, "user", &"n".repeat(257)).unwrap_err(),
        ScramError::NonceInvalid
    );
    let (state, _) = start(ScramSha256, "user", NONCE).unwrap();
    let outcome = state.server_first(SERVER_FIRST.as_bytes(), "", None, Bounds::default());
    assert_eq!(outcome.unwrap_err(), ScramError::OperatorCredentialInvalid);
}

#[test]
fn mutated_broker_messages_never_panic_and_never_prove_anything() {
    let verifier = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec();
    let (state, _) = start(ScramSha256, "user", NONCE).unwrap();
    let known = state
        .server_first(SERVER_FIRST.as_bytes(), "pencil", None, Bounds::default())
        .and_then(|(state, _)| state.server_final(&verifier))
        .unwrap();
    let mut random = Random::new(0x7363_7261_6D00);
    for _ in 0..2_000 {
        let (mut first, mut last) = (SERVER_FIRST.as_bytes().to_vec(), verifier.clone());
        random.mutate(&mut first);
        random.mutate(&mut last);
        let begin = || start(ScramSha256, "user", NONCE).unwrap().0;
        // With known keys and few rounds, so that two thousand runs stay quick.
        let bounds = Bounds::new(SCRAM_ITERATIONS_MIN);
        if let Ok((state, _)) = begin().server_first(&first, "pencil", Some(&known), bounds)
            && first != SERVER_FIRST.as_bytes()
        {
            assert!(
                state.server_final(&verifier).is_err(),
                "{:?}",
                String::from_utf8_lossy(&first)
            );
        }
        let (state, _) = begin()
            .server_first(SERVER_FIRST.as_bytes(), "pencil", Some(&known), bounds)
            .unwrap();
        // What follows a comma is an extension and may be anything.
        let same = last == verifier || last.starts_with(&[&verifier[..], b","].concat());
        assert_eq!(
            state.server_final(&last).is_ok(),
            same,
            "{:?}",
            String::from_utf8_lossy(&last)
        );
    }
}

#[test]
fn shows_no_secret_when_printed() {
    let (_, keys) = exchange(
        ScramSha256,
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    );
    assert_eq!(
        format!("{:?}", keys.unwrap()),
        "Keys { mechanism: ScramSha256, .. }"
    );
}

/// The slow, obvious server: another implementation of the hashes, PBKDF2 as RFC 8018 writes it.
struct Twin {
    mechanism: Mechanism,
    username: String,
    password: String,
    salt: Vec<u8>,
}

impl Twin {
    fn challenge(&self, first: &[u8], nonce: &str) -> String {
        let first = std::str::from_utf8(first).unwrap();
        let bare = first.strip_prefix("n,,").unwrap();
        let (name, client_nonce) = bare.split_once(",r=").unwrap();
        let name = name
            .strip_prefix("n=")
            .unwrap()
            .replace("=2C", ",")
            .replace("=3D", "=");
        assert_eq!(name, self.username);
        format!(
            "r={client_nonce}{nonce},s={},i=4096",
            STANDARD.encode(&self.salt)
        )
    }

    /// The server's last message, if the proof is right.
    fn verify(&self, first: &[u8], challenge: &str, last: &[u8]) -> Option<String> {
        let last = std::str::from_utf8(last).unwrap();
        let (without_proof, proof) = last.split_once(",p=").unwrap();
        let proof = STANDARD.decode(proof).unwrap();
        let bare = std::str::from_utf8(first)
            .unwrap()
            .strip_prefix("n,,")
            .unwrap();
        let auth_message = format!("{bare},{challenge},{without_proof}");

        let mut block = self.hmac(
            self.password.as_bytes(),
            &[&self.salt[..], &[0, 0, 0, 1]].concat(),
        );
        let mut salted_password = block.clone();
        for _ in 1..4096 {
            block = self.hmac(self.password.as_bytes(), &block);
            salted_password
                .iter_mut()
                .zip(&block)
                .for_each(|(sum, byte)| *sum ^= byte);
        }
        let stored_key = self.hash(&self.hmac(&salted_password, b"Client Key"));
        let client_signature = self.hmac(&stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = proof
            .iter()
            .zip(&client_signature)
            .map(|(proof, sign)| proof ^ sign)
            .collect();
        if proof.len() != stored_key.len() || self.hash(&client_key) != stored_key {
            return None;
        }
        let server_key = self.hmac(&salted_password, b"Server Key");
        Some(format!(
            "v={}",
            STANDARD.encode(self.hmac(&server_key, auth_message.as_bytes()))
        ))
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self.mechanism {
            ScramSha256 => Hmac::<Sha256>::new_from_slice(key)
                .unwrap()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
            ScramSha512 => Hmac::<Sha512>::new_from_slice(key)
                .unwrap()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    fn hash(&self, message: &[u8]) -> Vec<u8> {
        match self.mechanism {
            ScramSha256 => Sha256::digest(message).to_vec(),
            ScramSha512 => Sha512::digest(message).to_vec(),
        }
    }
}
