//! `sluice doctor`: looks for ways around the gateway, and at what would make tokens fail.
//!
//! Every broker address of the configuration is asked, without a credential, for its cluster. A broker that answers would
//! answer any client that goes there directly; the addresses that it names are asked too. A broker that keeps to itself
//! closes the connection.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{self, BrokerCredential, Config, Issuer, Planes, material};
use crate::failure::Failure;
use crate::limits::{ANSWER_TIMEOUT, BROKER_FRAME_BYTES_MAX, CLOCK_SKEW_S_MAX, CONNECT_TIMEOUT};
use crate::table::clean;
use crate::token::{discover, http_client};

/// Looks at brokers and issuers, prints one line for each.
///
/// # Errors
/// A refusal if any line is a problem.
pub(crate) fn doctor(path: &Path) -> Result<(), Failure> {
    // A configuration of either kind of process is welcome; mistakes are told as `up` would.
    let config =
        config::load(path, Planes::Gateway).or_else(|_| config::load(path, Planes::Both))?;
    let problems_count = crate::block_on_value(examine(&config))??;
    match problems_count {
        0 => Ok(()),
        1 => Err(Failure::refused("1 problem")),
        count => Err(Failure::refused(format!("{count} problems"))),
    }
}

async fn examine(config: &Config) -> Result<usize, Failure> {
    let mut lines = Vec::new();
    if let Some(gateway) = &config.gateway {
        if gateway.brokers.credential == BrokerCredential::DangerNone {
            lines.push(Line::problem("brokers: danger_no_credential is set: whoever reaches the brokers needs no gateway"));
        }
        let tls = gateway
            .brokers
            .tls
            .as_ref()
            .map(|tls| material::client_tls(&tls.roots))
            .transpose()?;
        let mut asked = BTreeSet::new();
        let mut next: Vec<String> = gateway.brokers.bootstrap.clone();
        while let Some(address) = next.pop() {
            if !asked.insert(address.clone()) || asked.len() > 100 {
                continue;
            }
            let found = look(&address, tls.as_ref()).await;
            lines.push(found.line(&address));
            if let Found::AnswersAnybody { brokers } = found {
                next.extend(brokers);
            }
        }
    }
    for issuer in &config.issuers {
        lines.push(look_at_issuer(issuer).await);
    }
    for line in &lines {
        println!(
            "{:<8} {}",
            if line.problem { "PROBLEM" } else { "ok" },
            clean(&line.text)
        );
    }
    Ok(lines.iter().filter(|line| line.problem).count())
}

struct Line {
    problem: bool,
    text: String,
}

impl Line {
    fn ok(text: impl Into<String>) -> Self {
        Self {
            problem: false,
            text: text.into(),
        }
    }

    fn problem(text: impl Into<String>) -> Self {
        Self {
            problem: true,
            text: text.into(),
        }
    }
}

/// What a broker does with somebody who has no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    AnswersAnybody {
        brokers: Vec<String>,
    },
    Closes,
    Unreachable {
        why: String,
    },
    /// It answers with a TLS record, so this question did not reach it.
    SpeaksTls,
    /// It neither answers nor closes.
    Silent,
}

impl Found {
    fn line(&self, address: &str) -> Line {
        match self {
            Self::AnswersAnybody { .. } => Line::problem(format!(
                "broker {address} answers without a credential, so anybody who reaches it goes around the gateway; make its listeners SASL only, and give ACLs to the gateway's principal alone"
            )),
            Self::Closes => Line::ok(format!(
                "broker {address} answers nobody without a credential"
            )),
            Self::Unreachable { why } => {
                Line::problem(format!("broker {address} cannot be reached: {why}"))
            }
            Self::SpeaksTls => Line::problem(format!(
                "broker {address} speaks TLS, so nobody can say whether it wants a credential; add `brokers.tls`"
            )),
            Self::Silent => Line::problem(format!(
                "broker {address} neither answers nor closes the connection; is it a Kafka listener?"
            )),
        }
    }
}

async fn look(address: &str, tls: Option<&Arc<rustls::ClientConfig>>) -> Found {
    // A listener may be open in plain text although the gateway is told to use TLS.
    let plain = look_plain(address).await;
    let (Found::Closes | Found::SpeaksTls | Found::Silent, Some(tls)) = (&plain, tls) else {
        return plain;
    };
    let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let Ok(Ok(tcp)) = connected else {
        return Found::Unreachable {
            why: "it answered before, and does not now".into(),
        };
    };
    let host = address
        .rsplit_once(':')
        .map_or(address, |(host, _)| host)
        .trim_matches(['[', ']'])
        .to_owned();
    let name = match rustls::pki_types::ServerName::try_from(host) {
        Ok(name) => name,
        Err(error) => {
            return Found::Unreachable {
                why: error.to_string(),
            };
        }
    };
    let connector = tokio_rustls::TlsConnector::from(tls.clone());
    match timeout(ANSWER_TIMEOUT, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => ask(stream).await,
        Ok(Err(error)) => Found::Unreachable {
            why: format!("TLS: {error}"),
        },
        Err(_) => Found::Silent,
    }
}

async fn look_plain(address: &str) -> Found {
    match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(tcp)) => ask(tcp).await,
        Ok(Err(error)) => Found::Unreachable {
            why: error.to_string(),
        },
        Err(_) => Found::Unreachable {
            why: format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        },
    }
}

/// How the alert of a TLS server begins that was spoken to in plain text (RFC 8446 section 5.1).
const TLS_RECORD: [u8; 2] = [21, 3];

const CORRELATION_ID: i32 = 0x51_0c_e0;

/// Asks for Metadata in a version that every broker speaks (KIP-896 kept all of them) and that is simple to read.
async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Found {
    let exchange = async {
        stream.write_all(&metadata_request()).await.ok()?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.ok()?;
        if length.starts_with(&TLS_RECORD) {
            return Some(Found::SpeaksTls);
        }
        let length = usize::try_from(i32::from_be_bytes(length)).ok()?;
        if length > BROKER_FRAME_BYTES_MAX {
            return None;
        }
        let mut answer = Vec::new();
        stream
            .take(length as u64)
            .read_to_end(&mut answer)
            .await
            .ok()?;
        brokers_of(&answer).map(|brokers| Found::AnswersAnybody { brokers })
    };
    match timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(found) => found.unwrap_or(Found::Closes),
        Err(_) => Found::Silent,
    }
}

/// Metadata v1, header v1: no client id, an empty list of topics.
fn metadata_request() -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&3_i16.to_be_bytes());
    body.extend_from_slice(&1_i16.to_be_bytes());
    body.extend_from_slice(&CORRELATION_ID.to_be_bytes());
    body.extend_from_slice(&(-1_i16).to_be_bytes());
    body.extend_from_slice(&0_i32.to_be_bytes());
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&body);
    frame
}

/// `host:port` of the brokers in an answer; `None` if it is no answer to [`metadata_request`].
fn brokers_of(answer: &[u8]) -> Option<Vec<String>> {
    let mut rest = answer.strip_prefix(&CORRELATION_ID.to_be_bytes())?;
    let count = i32::from_be_bytes(take(&mut rest)?);
    let mut brokers = Vec::new();
    for _ in 0..count {
        let _node: [u8; 4] = take(&mut rest)?;
        let host = text(&mut rest)?.unwrap_or_default();
        let port = i32::from_be_bytes(take(&mut rest)?);
        text(&mut rest)?;
        brokers.push(format!("{host}:{port}"));
    }
    Some(brokers)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

#[allow(clippy::option_option)]
fn text<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a str>> {
    let length = i16::from_be_bytes(take(rest)?);
    let Ok(length) = usize::try_from(length) else {
        return Some(None);
    };
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    std::str::from_utf8(taken).ok().map(Some)
}

async fn look_at_issuer(issuer: &Issuer) -> Line {
    let Issuer {
        name, url, roots, ..
    } = issuer;
    let found = match http_client(roots.as_deref()) {
        Ok(client) => discover(&client, url).await,
        Err(failure) => Err(failure),
    };
    let date = match found {
        Ok((_, date)) => date,
        Err(failure) => return Line::problem(format!("issuer {name}: {failure}")),
    };
    let Some(skew_s) = date
        .as_deref()
        .and_then(|date| skew_s(date, crate::time::now_unix_s()))
    else {
        return Line::ok(format!(
            "issuer {name} answers; it does not say what time it is"
        ));
    };
    if skew_s.abs() > CLOCK_SKEW_S_MAX {
        let ahead = if skew_s > 0 { "ahead of" } else { "behind" };
        let skew_s = skew_s.abs();
        return Line::problem(format!(
            "issuer {name} is {skew_s} s {ahead} this machine's clock: its tokens will look expired or not yet valid; synchronise the clocks"
        ));
    }
    Line::ok(format!("issuer {name} answers, and its clock agrees"))
}

/// Seconds by which an HTTP date is ahead.
fn skew_s(date: &str, now_unix_s: i64) -> Option<i64> {
    let theirs = httpdate::parse_http_date(date)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    i64::try_from(theirs.as_secs())
        .ok()?
        .checked_sub(now_unix_s)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A listener that answers each connection's first frame with these bytes, or closes it.
    async fn broker(answer: Option<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut frame = vec![0; metadata_request().len()];
                stream.read_exact(&mut frame).await.unwrap();
                assert_eq!(frame, metadata_request());
                if let Some(answer) = &answer {
                    stream.write_all(answer).await.unwrap();
                }
            }
        });
        address
    }

    fn metadata_answer(port: i32) -> Vec<u8> {
        let mut body = CORRELATION_ID.to_be_bytes().to_vec();
        body.extend_from_slice(&1_i32.to_be_bytes());
        body.extend_from_slice(&1_i32.to_be_bytes());
        body.extend_from_slice(&9_i16.to_be_bytes());
        body.extend_from_slice(b"127.0.0.1");
        body.extend_from_slice(&port.to_be_bytes());
        body.extend_from_slice(&(-1_i16).to_be_bytes());
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        frame
    }

    #[tokio::test]
    async fn a_broker_that_answers_anybody_is_a_problem_and_one_that_closes_is_not() {
        let open = broker(Some(metadata_answer(9_092))).await;
        let found = look(&open, None).await;
        assert_eq!(
            found,
            Found::AnswersAnybody {
                brokers: vec!["127.0.0.1:9092".to_owned()]
            }
        );
        assert!(found.line(&open).problem);
        let closed = broker(None).await;
        let found = look(&closed, None).await;
        assert_eq!(found, Found::Closes);
        assert!(!found.line(&closed).problem);
    }

    #[tokio::test]
    async fn a_broker_that_speaks_tls_is_not_called_closed() {
        let broker = broker(Some(vec![21, 3, 3, 0, 2, 2, 10])).await;
        let found = look(&broker, None).await;
        assert_eq!(found, Found::SpeaksTls);
        assert!(found.line(&broker).problem);
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_a_problem() {
        assert!(look("127.0.0.1:1", None).await.line("127.0.0.1:1").problem);
    }

    #[test]
    fn cut_and_hostile_answers_are_no_answers() {
        let whole = metadata_answer(9_092)[4..].to_vec();
        assert_eq!(brokers_of(&whole).unwrap().len(), 1);
        for end in 0..whole.len() {
            assert_eq!(brokers_of(&whole[..end]), None, "{end}");
        }
        let mut endless = CORRELATION_ID.to_be_bytes().to_vec();
        endless.extend_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(brokers_of(&endless), None);
    }

    #[test]
    fn clocks_are_compared_in_whole_seconds() {
        assert_eq!(
            skew_s("Mon, 23 Nov 2026 23:34:39 GMT", 1_795_476_800),
            Some(79)
        );
        assert_eq!(skew_s("yesterday", 0), None);
    }
}
