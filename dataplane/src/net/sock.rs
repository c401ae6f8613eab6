//! A TCP socket on a shard: reads until the kernel has no more, writes until it takes no more, then parks.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::driver::Driver;
use super::registered::{READABLE, Registered, WRITABLE};
use super::sys;

/// A connected TCP socket, nonblocking, without Nagle's delay. One task may read while another writes.
/// Dropping it sends FIN at once and closes it.
#[derive(Debug)]
pub struct Sock {
    socket: Registered<TcpStream>,
    peer: SocketAddr,
}

impl Sock {
    /// Takes over an accepted connection.
    pub fn from_accepted(driver: &Rc<Driver>, fd: OwnedFd, peer: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::from(fd);
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            socket: Registered::new(driver, stream, READABLE | WRITABLE)?,
            peer,
        })
    }

    /// Connects to `peer` (an address, not a name: resolving blocks). [`io::ErrorKind::TimedOut`] after `timeout`.
    pub async fn connect(
        driver: &Rc<Driver>,
        peer: SocketAddr,
        timeout: Duration,
    ) -> io::Result<Self> {
        let sock = Self::from_accepted(driver, sys::connect_nonblocking(&peer)?, peer)?;
        let made = async {
            sock.socket.writable().await;
            match sock.socket.io().take_error()? {
                Some(error) => Err(error),
                None => Ok(()),
            }
        };
        let late = async {
            glommio::timer::sleep(timeout).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        futures_lite::future::or(made, late).await?;
        Ok(sock)
    }

    /// Reads into `buf`, which must not be empty; 0 means that the peer has sent its last byte (FIN).
    pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.readable().await;
            match self.try_read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Reads what is there now, or [`io::ErrorKind::WouldBlock`].
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        debug_assert!(!buf.is_empty(), "0 would look like the end of the stream");
        self.socket
            .try_read_with(buf.len(), |mut stream| stream.read(buf))
    }

    /// Returns when a read is likely to find something. Lets others run first if this socket never had to wait.
    pub async fn readable(&self) {
        self.socket.take_turns().await;
        self.socket.readable().await;
    }

    /// Hands all of `buf` to the kernel; parks while the peer does not take it.
    pub async fn write_all(&self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            self.writable().await;
            match self.try_write(buf) {
                Ok(count) => buf = buf.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// [`Self::write_all`] for bytes in several places, with as few system calls as possible. The slices are
    /// used up.
    pub async fn write_vectored_all(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0); // skips empty ones, for a write of nothing looks like a failure
        while !slices.is_empty() {
            self.writable().await;
            match self.try_write_vectored(slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => IoSlice::advance_slices(&mut slices, count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends one direction or both, at once. After [`Shutdown::Write`] the peer reads its end and may still send.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.io().shutdown(how)
    }

    /// The other end.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.io().local_addr()
    }

    /// The driver that watches this socket.
    pub fn driver(&self) -> &Rc<Driver> {
        self.socket.driver()
    }

    pub(super) async fn writable(&self) {
        self.socket.take_turns().await;
        self.socket.writable().await;
    }

    pub(super) async fn take_turns(&self) {
        self.socket.take_turns().await;
    }

    pub(super) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_readable(cx)
    }

    pub(super) fn poll_writable(&self, cx: &Context<'_>) -> Poll<()> {
        self.socket.poll_writable(cx)
    }

    pub(super) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        match self.socket.try_write_with(|mut stream| stream.write(buf)) {
            Ok(0) if !buf.is_empty() => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        }
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.socket
            .try_write_with(|mut stream| stream.write_vectored(slices))
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        // A ring may hold the file a little longer than the descriptor; the peer must not have to wait for it.
        let _ = self.shutdown(Shutdown::Both);
    }
}
