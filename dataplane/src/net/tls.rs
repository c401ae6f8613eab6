//! TLS over a [`Sock`]: rustls holds all buffers and their order, the socket's readiness drives it.
//!
//! One task may read while another writes. Whoever finds ciphertext waiting sends it: rustls keeps its order,
//! so that needs no lock, only that no borrow lives across an await.

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::sock::Sock;
use crate::limits::{
    TLS_BUFFER_BYTES_MAX, TLS_READ_BYTES_MAX, TLS_READ_BYTES_MIN, TLS_WRITE_BYTES_MAX,
};

/// Which end of the handshake this is.
#[derive(Clone, Debug)]
pub enum TlsRole {
    /// The client side of the gateway.
    Server(Arc<ServerConfig>),
    /// The broker side: the name is checked against the broker's certificate.
    Client(Arc<ClientConfig>, ServerName<'static>),
}

/// TLS over a socket, after its handshake.
pub struct TlsSock {
    sock: Sock,
    tls: RefCell<Connection>,
    /// Ciphertext that was read before there was room for its plaintext. Nearly always empty, and then unallocated.
    carry: RefCell<Vec<u8>>,
}

impl TlsSock {
    /// Makes the handshake; the caller bounds its time.
    ///
    /// Errors: [`io::ErrorKind::InvalidData`] wraps rustls' error (the peer's fault, it has been sent the alert),
    /// [`io::ErrorKind::UnexpectedEof`] if the peer went away.
    pub async fn handshake(sock: Sock, role: TlsRole) -> io::Result<Self> {
        let mut tls: Connection = match role {
            TlsRole::Server(config) => ServerConnection::new(config).map_err(invalid)?.into(),
            TlsRole::Client(config, name) => {
                ClientConnection::new(config, name).map_err(invalid)?.into()
            }
        };
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES_MAX));
        let leg = Self {
            sock,
            tls: RefCell::new(tls),
            carry: RefCell::default(),
        };
        loop {
            leg.flush().await?;
            if !leg.tls.borrow().is_handshaking() {
                return Ok(leg);
            }
            poll_fn(|cx| leg.poll_decrypt(cx, &mut [])).await?;
        }
    }

    /// Reads plaintext into `buf`, which must not be empty; 0 means that the peer ended the stream with
    /// close_notify. A TCP end without it is truncation: [`io::ErrorKind::UnexpectedEof`] (RFC 8446, 6.1).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "0 would look like the end of the stream");
        loop {
            match self.tls.borrow_mut().reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            self.sock.take_turns().await;
            let count = poll_fn(|cx| self.poll_decrypt(cx, buf)).await?;
            if count > 0 {
                return Ok(count);
            }
        }
    }

    /// Encrypts all of `buf` and hands it to the kernel; parks while the peer does not take it.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let part = buf.get(..TLS_WRITE_BYTES_MAX).unwrap_or(buf);
            let taken = self.encrypt(|tls| tls.writer().write(part)).await?;
            buf = buf.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// [`Self::write_all`] for bytes in several places; neighbours share records. The slices are used up.
    pub async fn write_vectored_all(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let taken = self
                .encrypt(|tls| tls.writer().write_vectored(slices))
                .await?;
            IoSlice::advance_slices(&mut slices, taken);
        }
        Ok(())
    }

    /// Ends a direction. [`Shutdown::Write`] sends close_notify after all that was written, then FIN;
    /// [`Shutdown::Both`] tries the same but does not wait for a peer that takes nothing.
    pub async fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            self.tls.borrow_mut().send_close_notify();
        }
        match how {
            Shutdown::Read => {}
            Shutdown::Write => self.flush().await?,
            Shutdown::Both => drop(self.try_flush()),
        }
        self.sock.shutdown(how)
    }

    /// Ends both directions now: close_notify if the kernel takes it at once, then FIN.
    pub fn abort(&self) -> io::Result<()> {
        if let Ok(mut tls) = self.tls.try_borrow_mut() {
            tls.send_close_notify();
        }
        drop(self.try_flush());
        self.sock.shutdown(Shutdown::Both)
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.sock.peer_addr()
    }

    /// The peer's certificate chain, its own first; only if the peer was asked for one and gave it.
    pub fn peer_certificates(&self) -> Option<Vec<CertificateDer<'static>>> {
        let tls = self.tls.borrow();
        tls.peer_certificates().map(|chain| {
            chain
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect()
        })
    }

    /// The name that a client asked for (SNI); `None` on the client's own end.
    pub fn server_name(&self) -> Option<String> {
        match &*self.tls.borrow() {
            Connection::Server(tls) => tls.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        }
    }

    /// Runs one write into rustls between two flushes; returns how much plaintext it took, never 0.
    async fn encrypt(
        &self,
        write: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.flush().await?; // a write that was given up may have left the buffer full
        let taken = write(&mut self.tls.borrow_mut())?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.flush().await?;
        Ok(taken)
    }

    /// Sends what is encrypted; parks while the socket takes nothing.
    async fn flush(&self) -> io::Result<()> {
        while self.wants_write() {
            self.sock.writable().await;
            self.try_flush()?;
        }
        Ok(())
    }

    /// Sends what is encrypted as far as the socket takes it.
    fn try_flush(&self) -> io::Result<()> {
        let mut tls = self.tls.borrow_mut();
        while tls.wants_write() {
            match tls.write_tls(&mut Outlet(&self.sock)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wants_write(&self) -> bool {
        self.tls.borrow().wants_write()
    }

    /// Takes ciphertext (carried over, else from the socket) through rustls into `buf`. Ready with what came out,
    /// which may be nothing: part of a record, a handshake message, the end (which rustls' reader then tells).
    fn poll_decrypt(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut carry = self.carry.take();
        if !carry.is_empty() {
            let result = self.decrypt(&carry, buf).map(|(written, used)| {
                carry.drain(..used);
                written
            });
            if !carry.is_empty() {
                self.carry.replace(carry);
            }
            return Poll::Ready(result);
        }
        loop {
            // Something may be left to send (by a write that was given up, or an alert). It must leave, but must
            // not stop the reading: a peer that waits for us to read would never take it.
            while self.wants_write() && self.sock.poll_writable(cx).is_ready() {
                self.try_flush()?;
            }
            if self.sock.poll_readable(cx).is_pending() {
                return Poll::Pending;
            }
            let asked = buf.len().clamp(TLS_READ_BYTES_MIN, TLS_READ_BYTES_MAX);
            let result: io::Result<usize> = self.sock.driver().with_scratch(|scratch| {
                let room = scratch.get_mut(..asked).unwrap_or_default();
                let count = self.sock.try_read(room)?;
                let ciphertext = room.get(..count).unwrap_or_default();
                let (written, used) = self.decrypt(ciphertext, buf)?;
                if let Some(rest @ [_, ..]) = ciphertext.get(used..) {
                    self.carry.replace(rest.to_vec());
                }
                Ok(written)
            });
            match result {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Feeds `ciphertext` (empty: the TCP end) and fills `buf`; returns bytes written and ciphertext used.
    fn decrypt(&self, ciphertext: &[u8], buf: &mut [u8]) -> io::Result<(usize, usize)> {
        let mut rest = ciphertext;
        let mut written = 0;
        loop {
            let fed = self.tls.borrow_mut().read_tls(&mut rest)?;
            let processed = self.tls.borrow_mut().process_new_packets();
            let state = match processed {
                Ok(state) => state,
                Err(error) => {
                    drop(self.try_flush()); // the alert; if it does not fit now, the FIN must do
                    return Err(invalid(error));
                }
            };
            let room = buf.get_mut(written..).unwrap_or_default();
            let ready = state.plaintext_bytes_to_read();
            if ready > 0 && !room.is_empty() {
                written += self.tls.borrow_mut().reader().read(room)?;
            }
            // Stop before plaintext piles up beyond what the caller has room for.
            if rest.is_empty() || (ready > 0 && written == buf.len()) {
                break;
            }
            if fed == 0 {
                break; // after close_notify rustls takes no more
            }
        }
        if ciphertext.is_empty() && self.tls.borrow().is_handshaking() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((written, ciphertext.len() - rest.len()))
    }
}

impl fmt::Debug for TlsSock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSock")
            .field("sock", &self.sock)
            .finish_non_exhaustive()
    }
}

/// Where rustls writes its ciphertext, several records in one call.
struct Outlet<'a>(&'a Sock);

impl Write for Outlet<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.try_write(buf)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
