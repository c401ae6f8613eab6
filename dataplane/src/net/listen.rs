//! Listening sockets on a shard.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use super::driver::Driver;
use super::registered::{READABLE, Registered};
use super::sys;
use crate::limits::ACCEPT_BACKLOG_CONNECTIONS;

/// Binds (with SO_REUSEADDR) before any shard exists, so that the port is known: 0 asks for a free one.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    sys::widen_backlog(listener.as_fd(), ACCEPT_BACKLOG_CONNECTIONS)?;
    Ok(listener)
}

/// A listening socket in a shard's readiness set.
#[derive(Debug)]
pub struct Listener {
    socket: Registered<TcpListener>,
}

impl Listener {
    /// Fails if the readiness set has no room. Takes what [`bind`] returned.
    pub fn new(driver: &Rc<Driver>, listener: TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: Registered::new(driver, listener, READABLE)?,
        })
    }

    /// The next connection. Errors are the host's (out of descriptors or memory) or of a connection that has
    /// already gone; in both cases the listener goes on.
    pub async fn accept(&self) -> io::Result<(OwnedFd, SocketAddr)> {
        loop {
            self.socket.readable().await;
            let mut accepted = None;
            let result = self.socket.try_read_with(0, |listener| {
                accepted = Some(listener.accept()?);
                Ok(0)
            });
            match (result, accepted) {
                (Ok(_), Some((stream, peer))) => return Ok((stream.into(), peer)),
                (Err(error), _) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// The address that is listened on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.io().local_addr()
    }
}
