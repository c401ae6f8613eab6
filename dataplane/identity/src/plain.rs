//! SASL/PLAIN (RFC 4616): `[authzid] NUL user name NUL password`, in one message.

use std::fmt;

use crate::limits::{CREDENTIAL_BYTES_MAX, PLAIN_BYTES_MAX};

/// The mechanism's name in SaslHandshake.
pub const MECHANISM: &str = "PLAIN";

/// What a client presents, borrowed from its message. Not yet compared with anything.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    /// The user name.
    pub username: &'a str,
    /// The password. Compare it in constant time.
    pub password: &'a str,
}

/// Why a message is not accepted, or cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlainError {
    /// Longer than [`PLAIN_BYTES_MAX`], or a part longer than [`CREDENTIAL_BYTES_MAX`].
    #[error("client sent a PLAIN message that is too long")]
    ClientMessageOversized,
    /// Not three parts of UTF-8 with a user name and a password.
    #[error("client sent a PLAIN message that does not follow the grammar")]
    ClientMessageMalformed,
    /// An authorization identity that is not the user name.
    #[error("client asked to act as somebody else")]
    ClientAuthzidDiffers,
    /// The configured user name or password is empty, too long, or holds a NUL.
    #[error("configured user name or password cannot be sent with PLAIN")]
    OperatorCredentialInvalid,
}

/// Reads a client's message, as strictly as Kafka does.
///
/// # Errors
/// One of the `Client..` variants of [`PlainError`].
pub fn parse(message: &[u8]) -> Result<Credential<'_>, PlainError> {
    if message.len() > PLAIN_BYTES_MAX {
        return Err(PlainError::ClientMessageOversized);
    }
    let message = std::str::from_utf8(message).map_err(|_| PlainError::ClientMessageMalformed)?;
    let mut parts = message.split('\0');
    let (Some(authzid), Some(username), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(PlainError::ClientMessageMalformed);
    };
    if username.is_empty() || password.is_empty() {
        return Err(PlainError::ClientMessageMalformed);
    }
    if username.len() > CREDENTIAL_BYTES_MAX || password.len() > CREDENTIAL_BYTES_MAX {
        return Err(PlainError::ClientMessageOversized);
    }
    if !authzid.is_empty() && authzid != username {
        return Err(PlainError::ClientAuthzidDiffers);
    }
    Ok(Credential { username, password })
}

/// Writes a client's message, without an authorization identity.
///
/// # Errors
/// [`PlainError::OperatorCredentialInvalid`].
pub fn encode(username: &str, password: &str) -> Result<Vec<u8>, PlainError> {
    let sendable =
        |part: &str| !part.is_empty() && part.len() <= CREDENTIAL_BYTES_MAX && !part.contains('\0');
    if !sendable(username) || !sendable(password) {
        return Err(PlainError::OperatorCredentialInvalid);
    }
    Ok(["", username, password].join("\0").into_bytes())
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::PlainError::*;
    use super::*;

    #[test]
    fn follows_kafkas_grammar() {
        type Row = (
            &'static [u8],
            Result<(&'static str, &'static str), PlainError>,
        );
        let table: &[Row] = &[
            (b"\0alice\0secret", Ok(("alice", "secret"))),
            (b"alice\0alice\0secret", Ok(("alice", "secret"))),
            (
                "\0ålice\0sécret, = \x01".as_bytes(),
                Ok(("ålice", "sécret, = \x01")),
            ),
            (b"bob\0alice\0secret", Err(ClientAuthzidDiffers)),
            (b"Alice\0alice\0secret", Err(ClientAuthzidDiffers)),
            (b"", Err(ClientMessageMalformed)),
            (b"alice", Err(ClientMessageMalformed)),
            (b"\0alice", Err(ClientMessageMalformed)),
            (b"\0alice\0", Err(ClientMessageMalformed)),
            (b"\0\0secret", Err(ClientMessageMalformed)),
            (b"\0alice\0secret\0", Err(ClientMessageMalformed)),
            (b"\0alice\0sec\0ret", Err(ClientMessageMalformed)),
            (b"\0alice\0\xff", Err(ClientMessageMalformed)),
        ];
        for (message, expected) in table {
            let found = parse(message).map(|read| (read.username, read.password));
            assert_eq!(found, *expected, "{message:?}");
        }
    }

    #[test]
    fn takes_credentials_up_to_the_limit() {
        let longest = "x".repeat(CREDENTIAL_BYTES_MAX);
        let message = encode(&longest, &longest).unwrap();
        assert_eq!(parse(&message).unwrap().password, longest);
        let too_long = format!("{longest}x");
        assert_eq!(encode("alice", &too_long), Err(OperatorCredentialInvalid));
        assert_eq!(
            parse(format!("\0alice\0{too_long}").as_bytes()).unwrap_err(),
            ClientMessageOversized
        );
        assert_eq!(
            parse(&vec![b'x'; PLAIN_BYTES_MAX + 1]).unwrap_err(),
            ClientMessageOversized
        );
    }

    #[test]
    fn refuses_to_write_what_would_read_as_something_else() {
        for (username, password) in [
            ("", "secret"),
            ("alice", ""),
            ("al\0ice", "secret"),
            ("alice", "sec\0ret"),
        ] {
            assert_eq!(encode(username, password), Err(OperatorCredentialInvalid));
        }
        assert_eq!(encode("alice", "secret").unwrap(), b"\0alice\0secret");
    }

    #[test]
    fn shows_no_password_when_printed() {
        let message = encode("alice", "hunter2").unwrap();
        let printed = format!("{:?}", parse(&message).unwrap());
        assert!(printed.contains("alice") && !printed.contains("hunter2"));
    }
}
