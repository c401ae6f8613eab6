//! Secrets from their files, as logins.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sluice_identity::{oauthbearer, plain};

use crate::limits::FILE_BYTES_MAX;
use crate::login::{Login, Scram};
use crate::token::fetch_token;
use crate::{Credential, Error, Target};

/// Makes the login of a target, asking the token endpoint if that is what its credential says.
pub(crate) fn login(target: &Target) -> Result<Option<Login>, Error> {
    let unusable = |fault: String| Error::OperatorCredentialUnusable {
        target: target.name.clone(),
        fault,
    };
    let bearer = |token: &str| {
        let message =
            oauthbearer::encode(token, None, &[]).map_err(|error| unusable(error.to_string()))?;
        Ok(Some(Login::Once {
            mechanism: oauthbearer::MECHANISM,
            message,
        }))
    };
    match &target.credential {
        Credential::None => Ok(None),
        Credential::Plain {
            username,
            password_file,
        } => {
            let password = read_secret(password_file)?;
            let message =
                plain::encode(username, &password).map_err(|error| unusable(error.to_string()))?;
            Ok(Some(Login::Once {
                mechanism: plain::MECHANISM,
                message,
            }))
        }
        Credential::Scram {
            mechanism,
            username,
            password_file,
        } => {
            let password = read_secret(password_file)?;
            Ok(Some(Login::Scram(Scram::new(
                *mechanism,
                username.clone(),
                password,
            ))))
        }
        Credential::TokenFile(path) => bearer(&read_secret(path)?),
        Credential::ClientCredentials {
            url,
            client_id,
            secret_file,
            roots,
        } => {
            let secret = read_secret(secret_file)?;
            bearer(&fetch_token(url, client_id, &secret, roots.as_deref())?)
        }
    }
}

/// A whole file, if it is not too long.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::OperatorFileUnreadable {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let fault = format!("more than {FILE_BYTES_MAX} bytes");
        return Err(Error::OperatorFileUnusable {
            path: path.to_owned(),
            fault,
        });
    }
    Ok(bytes)
}

/// One line of text; editors end it with a newline that is no part of it.
fn read_secret(path: &Path) -> Result<String, Error> {
    let unusable = |fault: &str| Error::OperatorFileUnusable {
        path: path.to_owned(),
        fault: fault.to_owned(),
    };
    let text =
        String::from_utf8(read_file(path)?).map_err(|_| unusable("bytes that are not UTF-8"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret.is_empty() || secret.contains('\n') {
        true => Err(unusable("not exactly one line")),
        false => Ok(secret.to_owned()),
    }
}
