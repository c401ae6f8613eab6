//! A connection's bytes, plain or TLS, behind one surface.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};

use rustls::pki_types::CertificateDer;

use super::sock::Sock;
use super::tls::{TlsRole, TlsSock};

/// Shared as `Rc<Stream>` by the task that reads and the task that writes.
#[derive(Debug)]
pub enum Stream {
    Plain(Sock),
    Tls(Box<TlsSock>),
}

/// What [`Stream::arrived`] waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// A read will find something, or the end.
    Readable,
    /// So many bytes were read; 0 is the end.
    Bytes(usize),
}

impl Stream {
    /// Wraps a socket; with a role, makes the TLS handshake first (see [`TlsSock::handshake`]).
    pub async fn open(sock: Sock, role: Option<TlsRole>) -> io::Result<Self> {
        Ok(match role {
            None => Self::Plain(sock),
            Some(role) => Self::Tls(Box::new(TlsSock::handshake(sock, role).await?)),
        })
    }

    /// Reads into `buf`, which must not be empty; 0 is the end that the peer meant.
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sock) => sock.read(buf).await,
            Self::Tls(tls) => tls.read(buf).await,
        }
    }

    /// Hands all of `buf` to the kernel.
    pub async fn write_all(&self, buf: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(sock) => sock.write_all(buf).await,
            Self::Tls(tls) => tls.write_all(buf).await,
        }
    }

    /// Hands all slices to the kernel, in order; they are used up.
    pub async fn write_vectored_all(&self, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        match self {
            Self::Plain(sock) => sock.write_vectored_all(slices).await,
            Self::Tls(tls) => tls.write_vectored_all(slices).await,
        }
    }

    /// Ends one direction or both.
    pub async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        match self {
            Self::Plain(sock) => sock.shutdown(how),
            Self::Tls(tls) => tls.shutdown(how).await,
        }
    }

    /// Ends both directions now, without waiting for anything; pending reads and writes return.
    pub fn abort(&self) {
        // A socket that is already gone needs no end.
        let _ = match self {
            Self::Plain(sock) => sock.shutdown(Shutdown::Both),
            Self::Tls(tls) => tls.abort(),
        };
    }

    /// Waits for the next bytes without a buffer of any size: a plain socket says that it can be read, a TLS one decrypts
    /// the first bytes into `first`, which must not be empty.
    pub async fn arrived(&self, first: &mut [u8]) -> io::Result<Arrived> {
        match self {
            Self::Plain(sock) => {
                sock.readable().await;
                Ok(Arrived::Readable)
            }
            Self::Tls(tls) => tls.read(first).await.map(Arrived::Bytes),
        }
    }

    /// The name that a client stated in TLS (SNI), if it did.
    pub fn server_name(&self) -> Option<String> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.server_name(),
        }
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        match self {
            Self::Plain(sock) => sock.peer_addr(),
            Self::Tls(tls) => tls.peer_addr(),
        }
    }

    /// The peer's certificate chain, if TLS asked for one.
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => tls.peer_certificates(),
        }
    }
}
