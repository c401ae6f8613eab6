//! A small blocking Kafka client: whole frames, any API, any version, one request at a time.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, RequestHeader, ResponseHeader, SaslAuthenticateRequest,
    SaslAuthenticateResponse, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use serde_json::Value;
use sluice_identity::scram;
use sluice_tests::unique;

use super::tree;

/// Far longer than any answer takes here, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const CLIENT_ID: &str = "equivalence";
/// Where a request frame holds its correlation id: behind the size, the API key and the version.
const CORRELATION_ID_AT: std::ops::Range<usize> = 8..12;

/// What an exchange came to, as a tree.
const CLOSED: &str = "the connection was closed";
const LATE: &str = "no answer, and the connection is open";
const SILENCE: &str = "no answer, and the connection goes on";

/// How a connection says who it is.
pub(crate) enum Login {
    Plain { user: String, password: String },
    Scram { user: String, password: String },
    Token(String),
}

/// A request in bytes, and how its answer is read.
pub(crate) struct Exchange {
    frame: Vec<u8>,
    read: fn(Bytes, i16) -> Value,
    version: i16,
    answered: bool,
}

impl Exchange {
    /// # Panics
    /// When this version cannot express the request: a mistake in a case.
    pub(crate) fn new<R>(version: i16, request: &R) -> Self
    where
        R: Request,
        R::Response: Debug,
    {
        let frame = frame(version, request).unwrap_or_else(|error| {
            panic!("API {} version {version}: {error}", R::KEY);
        });
        Self {
            frame,
            read: read::<R>,
            version,
            answered: true,
        }
    }

    /// The request, its length included.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// An answer to it, as a tree; a text if it is none.
    pub(crate) fn tree(&self, answer: Bytes) -> Value {
        (self.read)(answer, self.version)
    }

    /// The same, for a request that is not answered.
    pub(super) fn unanswered(self) -> Self {
        Self {
            answered: false,
            ..self
        }
    }
}

fn frame<R: Request>(version: i16, request: &R) -> Result<Vec<u8>, String> {
    let mut bytes = BytesMut::from(&[0; 4][..]);
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_static_str(CLIENT_ID)));
    let text = |error| format!("{error}");
    header
        .encode(&mut bytes, R::header_version(version))
        .map_err(text)?;
    request.encode(&mut bytes, version).map_err(text)?;
    let mut frame = bytes.to_vec();
    let size = u32::try_from(frame.len() - 4).map_err(|error| error.to_string())?;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

fn read<R>(mut frame: Bytes, version: i16) -> Value
where
    R: Request,
    R::Response: Debug,
{
    match decode::<R>(&mut frame, version) {
        Ok(response) if frame.has_remaining() => Value::String(format!(
            "{} bytes behind the end of {response:?}",
            frame.remaining()
        )),
        Ok(response) => tree::of(&response),
        Err(error) => Value::String(format!("an answer that cannot be decoded: {error}")),
    }
}

fn decode<R: Request>(frame: &mut Bytes, version: i16) -> Result<R::Response, String> {
    let text = |error| format!("{error}");
    ResponseHeader::decode(frame, R::Response::header_version(version)).map_err(text)?;
    R::Response::decode(frame, version).map_err(text)
}

/// One authenticated connection, opened again when the other side has closed it.
pub(crate) struct Connection {
    address: String,
    login: Login,
    stream: Option<TcpStream>,
    correlation_id: i32,
    hidden: Vec<Vec<u8>>,
}

impl Connection {
    pub(crate) fn new(address: &str, login: Login) -> Self {
        Self {
            address: address.to_owned(),
            login,
            stream: None,
            correlation_id: 0,
            hidden: Vec::new(),
        }
    }

    /// The same, where no byte that comes back may tell of this address, whatever the API: neither as Kafka writes a
    /// host and a port (32 bits, and 16 in DescribeQuorum) nor as text.
    pub(super) fn hiding(mut self, (host, port): &(String, i64)) -> Self {
        let [.., high, low] = port.to_be_bytes();
        let bytes = |port: &[u8]| [host.as_bytes(), port].concat();
        self.hidden = vec![
            bytes(&[0, 0, high, low]),
            bytes(&[high, low]),
            format!("{host}:{port}").into_bytes(),
        ];
        self
    }

    /// A typed exchange, for preparations.
    ///
    /// # Panics
    /// When it is not answered.
    pub(crate) fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.open();
        let sent = frame(version, request).unwrap_or_else(|error| panic!("{error}"));
        let stream = self.stream.as_mut().expect("it was opened");
        stream.write_all(&sent).expect("the other side reads");
        let mut answer = read_frame(stream).expect("an answer");
        decode::<R>(&mut answer, version).expect("an answer that can be read")
    }

    /// Sends bytes that need not be a request, and reads what comes back; `None` if the other side closes instead.
    ///
    /// # Panics
    /// When it does neither.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Option<Bytes> {
        self.open();
        let stream = self.stream.as_mut().expect("it was opened");
        // A connection that was closed meanwhile shows when it is read.
        let _ = stream.write_all(bytes);
        match read_frame(stream) {
            Ok(answer) => Some(answer),
            Err(error) => {
                let waited = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!waited, "{LATE}");
                self.stream = None;
                None
            }
        }
    }

    /// The socket of the connection, which has said who it is.
    pub(crate) fn into_stream(mut self) -> TcpStream {
        self.open();
        self.stream.expect("it was opened")
    }

    /// Sends; the answer is read by [`Self::receive`], so that two sides can work at the same time.
    pub(crate) fn send(&mut self, exchange: &Exchange) {
        self.open();
        self.correlation_id += 1;
        let mut sent = exchange.frame.clone();
        sent[CORRELATION_ID_AT].copy_from_slice(&self.correlation_id.to_be_bytes());
        if !exchange.answered {
            // What is answered next tells whether the request was swallowed or has ended the connection.
            let probe = frame(0, &ApiVersionsRequest::default()).expect("it can be expressed");
            sent.extend(probe);
        }
        let stream = self.stream.as_mut().expect("it was opened");
        // A connection that was closed meanwhile shows when it is read.
        let _ = stream.write_all(&sent);
    }

    /// The answer to what was sent, as a tree.
    pub(crate) fn receive(&mut self, exchange: &Exchange) -> Value {
        let stream = self.stream.as_mut().expect("something was sent");
        let answer = match read_frame(stream) {
            Ok(answer) => answer,
            Err(error) => {
                self.stream = None;
                let waited = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                return Value::String(if waited { LATE } else { CLOSED }.to_owned());
            }
        };
        let tells = |hidden: &Vec<u8>| {
            let mut windows = answer.windows(hidden.len());
            windows.any(|window| window == hidden)
        };
        if self.hidden.iter().any(tells) {
            return Value::String("an answer that tells the broker's address".to_owned());
        }
        if !exchange.answered {
            return Value::String(SILENCE.to_owned());
        }
        let mut correlation_id = answer.clone();
        if correlation_id.remaining() < 4 || correlation_id.get_i32() != self.correlation_id {
            return Value::String("an answer with another correlation id".to_owned());
        }
        exchange.tree(answer)
    }

    fn open(&mut self) {
        if self.stream.is_some() {
            return;
        }
        let stream = TcpStream::connect(&self.address).expect("the other side accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("an option");
        self.stream = Some(stream);
        match &self.login {
            Login::Plain { user, password } => {
                let message = format!("\0{user}\0{password}");
                self.handshake("PLAIN");
                self.authenticate(message.into());
            }
            Login::Token(token) => {
                let message = format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}");
                self.handshake("OAUTHBEARER");
                self.authenticate(message.into());
            }
            Login::Scram { user, password } => {
                let (user, password) = (user.clone(), password.clone());
                let nonce = unique("0123456789abcdef");
                let mechanism = scram::Mechanism::ScramSha512;
                let (state, first) =
                    scram::start(mechanism, &user, &nonce).expect("a user that can log in");
                self.handshake(mechanism.name());
                let answer = self.authenticate(first);
                let bounds = scram::Bounds::default();
                let (state, proof) = state
                    .server_first(&answer, &password, None, bounds)
                    .expect("a salt");
                let answer = self.authenticate(proof);
                state.server_final(&answer).expect("the broker's proof");
            }
        }
    }

    fn handshake(&mut self, mechanism: &'static str) {
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism.into());
        let answer = self.call(1, &request);
        assert_eq!(answer.error_code, 0, "{mechanism} at {}", self.address);
    }

    fn authenticate(&mut self, message: Vec<u8>) -> Bytes {
        let request = SaslAuthenticateRequest::default().with_auth_bytes(message.into());
        let answer: SaslAuthenticateResponse = self.call(1, &request);
        assert_eq!(answer.error_code, 0, "{answer:?} at {}", self.address);
        answer.auth_bytes
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Bytes> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let mut frame = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut frame)?;
    Ok(frame.into())
}
