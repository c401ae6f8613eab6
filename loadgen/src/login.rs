//! SASL exchanges of a connection: what is said, and what the target has to answer.

use std::fmt;
use std::sync::Mutex;

use sluice_identity::scram::{self, Bounds, Keys, ScramError};
use sluice_kafka::{ErrorCode, api, local};
use uuid::Uuid;

use crate::Error;
use crate::error::{code_text, printable};
use crate::session::{CLIENT_ID, Session};

/// How the connections of a run log in.
pub(crate) enum Login {
    /// Mechanisms of one message from the client.
    Once {
        mechanism: &'static str,
        message: Vec<u8>,
    },
    Scram(Scram),
}

/// SCRAM proves both sides: the client knows the password, and the target knows it, too.
pub(crate) struct Scram {
    mechanism: scram::Mechanism,
    username: String,
    password: String,
    /// Derived on the first connection: the rounds take milliseconds that no other one of the run needs to spend.
    keys: Mutex<Option<Keys>>,
}

impl Login {
    fn mechanism(&self) -> &'static str {
        match self {
            Self::Once { mechanism, .. } => mechanism,
            Self::Scram(scram) => scram.mechanism.name(),
        }
    }
}

impl Scram {
    pub(crate) fn new(mechanism: scram::Mechanism, username: String, password: String) -> Self {
        Self {
            mechanism,
            username,
            password,
            keys: Mutex::new(None),
        }
    }

    /// The exchange; `say` takes a message to the target and brings its answer back.
    fn exchange(
        &self,
        nonce: &str,
        mut say: impl FnMut(&[u8]) -> Result<Vec<u8>, Error>,
    ) -> Result<Result<(), ScramError>, Error> {
        let (client, message) = match scram::start(self.mechanism, &self.username, nonce) {
            Ok(started) => started,
            Err(error) => return Ok(Err(error)),
        };
        let answer = say(&message)?;
        let known = self.keys().clone();
        let proved =
            client.server_first(&answer, &self.password, known.as_ref(), Bounds::default());
        let (client, proof) = match proved {
            Ok(proved) => proved,
            Err(error) => return Ok(Err(error)),
        };
        let answer = say(&proof)?;
        Ok(client.server_final(&answer).map(|keys| {
            *self.keys() = Some(keys);
        }))
    }

    /// A thread that panicked leaves keys that are whole, or none.
    fn keys(&self) -> std::sync::MutexGuard<'_, Option<Keys>> {
        self.keys
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").finish_non_exhaustive()
    }
}

impl Session<'_> {
    pub(crate) fn log_in(&mut self, login: &Login) -> Result<(), Error> {
        let mechanism = login.mechanism();
        let (target, name) = (self.target_name(), mechanism);
        let refused = |fault: String| Error::TargetLoginRefused {
            target: target.clone(),
            mechanism: name,
            fault: printable(&fault),
        };
        let mut frame = Vec::new();
        let id = self.next_correlation_id();
        local::sasl::encode_handshake_request(id, CLIENT_ID, mechanism, &mut frame);
        let answer = self.exchange("SaslHandshake", &frame)?;
        let answer = local::sasl::decode_handshake_response(&answer)
            .map_err(|error| self.malformed("SaslHandshake", error.to_string()))?;
        if answer.error != ErrorCode::NONE {
            let offered = answer.mechanisms.join(", ");
            return Err(refused(format!("the mechanisms there are: {offered}")));
        }
        match login {
            Login::Once { message, .. } => {
                let answer = self.authenticate(message, refused)?;
                // A failed OAUTHBEARER exchange is told by a challenge (RFC 7628, section 3.2.2).
                match answer.is_empty() {
                    true => Ok(()),
                    false => Err(refused(String::from_utf8_lossy(&answer).into_owned())),
                }
            }
            Login::Scram(scram) => {
                let nonce = Uuid::new_v4().simple().to_string();
                let proved =
                    scram.exchange(&nonce, |message| self.authenticate(message, refused))?;
                proved.map_err(|error| refused(fault(error)))
            }
        }
    }

    fn authenticate(
        &mut self,
        message: &[u8],
        refused: impl Fn(String) -> Error,
    ) -> Result<Vec<u8>, Error> {
        let version = self.version("SaslAuthenticate", api::SASL_AUTHENTICATE, 0, 2)?;
        let mut frame = Vec::new();
        let id = self.next_correlation_id();
        local::sasl::encode_authenticate_request(version, id, CLIENT_ID, message, &mut frame);
        let answer = self.exchange("SaslAuthenticate", &frame)?;
        let answer = local::sasl::decode_authenticate_response(&answer, version)
            .map_err(|error| self.malformed("SaslAuthenticate", error.to_string()))?;
        match answer.error {
            ErrorCode::NONE => Ok(answer.auth_bytes.to_vec()),
            error => Err(refused(
                answer.error_message.unwrap_or_else(|| code_text(error)),
            )),
        }
    }
}

/// The errors are worded for a gateway and its brokers; these two are what an operator meets.
fn fault(error: ScramError) -> String {
    match error {
        ScramError::BrokerRefusedProof => {
            "it does not take the proof: the user name or the password is another".to_owned()
        }
        ScramError::BrokerSignatureInvalid => {
            "it does not prove that it knows the password, so it is not the one that the credential is for".to_owned()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677, section 3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SAID: [&str; 2] = [
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    ];
    const SALT: &str =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn exchange(scram: &Scram, answers: [&str; 2]) -> (Vec<String>, Result<(), ScramError>) {
        let mut said = Vec::new();
        let mut answers = answers.into_iter();
        let ended = scram.exchange(NONCE, |message| {
            said.push(String::from_utf8(message.to_vec()).unwrap());
            Ok(answers.next().unwrap().as_bytes().to_vec())
        });
        (said, ended.unwrap())
    }

    fn scram(password: &str) -> Scram {
        let mechanism = scram::Mechanism::ScramSha256;
        Scram::new(mechanism, "user".to_owned(), password.to_owned())
    }

    #[test]
    fn the_exchange_is_that_of_the_rfc_and_its_keys_serve_the_next_connection() {
        let mut scram = scram("pencil");
        assert!(scram.keys().is_none());
        // The second time the password is another: nothing is derived from it.
        for password in ["pencil", "other"] {
            scram.password = password.to_owned();
            let (said, ended) = exchange(&scram, [SALT, SIGNATURE]);
            assert_eq!(
                (said.as_slice(), ended),
                (&SAID.map(str::to_owned)[..], Ok(()))
            );
            assert!(scram.keys().is_some());
        }
    }

    #[test]
    fn a_target_that_does_not_prove_itself_gets_no_further() {
        let scram = scram("pencil");
        let other = "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        for (answers, expected, words) in [
            (
                [SALT, other],
                ScramError::BrokerSignatureInvalid,
                "not the one",
            ),
            (
                [SALT, "e=invalid-proof"],
                ScramError::BrokerRefusedProof,
                "password",
            ),
            ([SALT, ""], ScramError::BrokerMessageMalformed, "grammar"),
        ] {
            let (_, ended) = exchange(&scram, answers);
            assert_eq!(ended, Err(expected));
            assert!(fault(expected).contains(words));
            assert!(scram.keys().is_none());
        }
    }
}
