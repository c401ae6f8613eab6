//! One byte stream to a target: TCP, plain or under TLS. Blocking while a session is set up, then not.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::credential::read_file;
use crate::{Error, Target};

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects and, if `tls` says so, makes the TLS handshake.
    pub(crate) fn connect(
        target: &Target,
        address: &str,
        tls: Option<&Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<Self, Error> {
        let unreachable = |source| Error::TargetUnreachable {
            target: target.name.clone(),
            address: address.to_owned(),
            source,
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for socket_address in address.to_socket_addrs().map_err(unreachable)? {
            match connect(&socket_address, timeout) {
                Ok(socket) => return Self::secure(socket, target, address, tls),
                Err(error) => last = error,
            }
        }
        Err(unreachable(last))
    }

    fn secure(
        mut socket: TcpStream,
        target: &Target,
        address: &str,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, Error> {
        let Some(config) = tls else {
            return Ok(Self::Plain(socket));
        };
        let failed = |fault: String| Error::TargetTlsFailed {
            target: target.name.clone(),
            address: address.to_owned(),
            fault,
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let host = target
            .tls_name
            .as_deref()
            .unwrap_or(host)
            .trim_matches(['[', ']']);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let mut session = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| failed(error.to_string()))?;
        while session.is_handshaking() {
            session
                .complete_io(&mut socket)
                .map_err(|error| failed(error.to_string()))?;
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    /// How long a read or a write may take from now on; not zero.
    pub(crate) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        let socket = self.socket();
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))
    }

    /// Ends the stream as a client does that has all it wanted.
    pub(crate) fn close(mut self) {
        if let Self::Tls(stream) = &mut self {
            stream.conn.send_close_notify();
            // Whoever does not take the farewell has left already.
            let _ = stream.flush();
        }
    }

    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        let socket = self.socket();
        socket.set_read_timeout(None)?;
        socket.set_write_timeout(None)?;
        socket.set_nonblocking(true)
    }

    /// Whether bytes that were taken by `write` still wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// Whether there are bytes to read that no news of the socket will tell of.
    pub(crate) fn holds_received(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => !stream.conn.wants_read(),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

/// Trust in the certificates of a PEM file and in nothing else.
pub(crate) fn tls_config(roots_file: &Path) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |fault: String| Error::OperatorFileUnusable {
        path: roots_file.to_owned(),
        fault,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(roots_file)? {
        roots
            .add(certificate)
            .map_err(|error| unusable(format!("a certificate that is no root: {error}")))?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .map_err(|error| unusable(error.to_string()))?
    .with_root_certificates(roots)
    .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What a sink shows to its clients, whom it asks for nothing.
pub(crate) fn server_tls_config(
    certificate_file: &Path,
    key_file: &Path,
) -> Result<Arc<ServerConfig>, Error> {
    let unusable = |fault: String| Error::OperatorFileUnusable {
        path: key_file.to_owned(),
        fault,
    };
    let chain = certificates(certificate_file)?;
    let key = PrivateKeyDer::from_pem_slice(&read_file(key_file)?)
        .map_err(|error| unusable(format!("no private key in PEM form: {error}")))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let built = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
    built
        .map(Arc::new)
        .map_err(|error| unusable(format!("a key that does not serve: {error}")))
}

/// The certificates of a PEM file, at least one.
pub(crate) fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |fault: String| Error::OperatorFileUnusable {
        path: file.to_owned(),
        fault,
    };
    let pem = read_file(file)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(format!("malformed PEM: {error}")))?;
    match certificates.is_empty() {
        true => Err(unusable("no certificate in PEM form".to_owned())),
        false => Ok(certificates),
    }
}

fn connect(address: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let socket = TcpStream::connect_timeout(address, timeout)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(timeout))?;
    socket.set_write_timeout(Some(timeout))?;
    Ok(socket)
}
