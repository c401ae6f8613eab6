//! The other end of SCRAM: the slow, obvious way, with other code for the hashes than the client has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};

const SALT: &[u8] = b"salt of the test";
const ROUNDS: u32 = 4096;

/// One exchange.
#[derive(Debug, Clone)]
pub(crate) struct ScramServer {
    mechanism: &'static str,
    username: &'static str,
    password: &'static str,
    /// Signs with something else than the password.
    lies: bool,
    asked: Option<(String, String)>,
}

impl ScramServer {
    pub(crate) fn new(
        mechanism: &'static str,
        username: &'static str,
        password: &'static str,
        lies: bool,
    ) -> Self {
        Self {
            mechanism,
            username,
            password,
            lies,
            asked: None,
        }
    }

    /// What to answer, and whether that ends the exchange well; `None`: it is refused.
    pub(crate) fn answer(&mut self, message: &[u8]) -> Option<(String, bool)> {
        let message = std::str::from_utf8(message).unwrap();
        let Some((bare, challenge)) = self.asked.take() else {
            let bare = message.strip_prefix("n,,").unwrap();
            let (name, nonce) = bare.split_once(",r=").unwrap();
            let salt = STANDARD.encode(SALT);
            let challenge = format!("r={nonce}server,s={salt},i={ROUNDS}");
            self.asked = Some((bare.to_owned(), challenge.clone()));
            return (name == format!("n={}", self.username)).then_some((challenge, false));
        };
        let (without_proof, proof) = message.split_once(",p=").unwrap();
        let nonce = challenge.split(',').next().unwrap();
        assert_eq!(without_proof, format!("c=biws,{nonce}"));
        let auth_message = format!("{bare},{challenge},{without_proof}");
        let salted = self.salted();
        let stored_key = self.hash(&self.hmac(&salted, b"Client Key"));
        let signature = self.hmac(&stored_key, auth_message.as_bytes());
        let proof = STANDARD.decode(proof).unwrap();
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if self.hash(&client_key) != stored_key {
            return None;
        }
        let key: &[u8] = match self.lies {
            true => b"Another Key",
            false => b"Server Key",
        };
        let server_key = self.hmac(&salted, key);
        let signature = self.hmac(&server_key, auth_message.as_bytes());
        Some((format!("v={}", STANDARD.encode(signature)), true))
    }

    /// PBKDF2 of one block (RFC 8018, section 5.2).
    fn salted(&self) -> Vec<u8> {
        let password = self.password.as_bytes();
        let mut block = self.hmac(password, &[SALT, &[0, 0, 0, 1]].concat());
        let mut salted = block.clone();
        for _ in 1..ROUNDS {
            block = self.hmac(password, &block);
            salted
                .iter_mut()
                .zip(&block)
                .for_each(|(sum, byte)| *sum ^= byte);
        }
        salted
    }

    fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self.mechanism {
            "SCRAM-SHA-256" => Hmac::<Sha256>::new_from_slice(key)
                .unwrap()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
            _ => Hmac::<Sha512>::new_from_slice(key)
                .unwrap()
                .chain_update(message)
                .finalize()
                .into_bytes()
                .to_vec(),
        }
    }

    fn hash(&self, message: &[u8]) -> Vec<u8> {
        match self.mechanism {
            "SCRAM-SHA-256" => Sha256::digest(message).to_vec(),
            _ => Sha512::digest(message).to_vec(),
        }
    }
}
