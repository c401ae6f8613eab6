//! The system calls that the standard library does not offer safely.
#![allow(unsafe_code)] // each call below passes only descriptors that it owns or borrows and memory that outlives it

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::AsyncRead;

/// Begins a TCP connection; it is made, or has failed, once the descriptor is writable (then ask `SO_ERROR`).
pub(super) fn connect_nonblocking(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let domain = if addr.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers; the result is checked.
    let fd = own(unsafe { libc::socket(domain, kind, 0) })?;
    let begun = match addr {
        SocketAddr::V4(v4) => connect_to(
            fd.as_fd(),
            &libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            },
        ),
        SocketAddr::V6(v6) => connect_to(
            fd.as_fd(),
            &libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            },
        ),
    };
    match begun {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(fd),
    }
}

fn connect_to<A>(fd: BorrowedFd<'_>, addr: &A) -> io::Result<()> {
    let length = mem::size_of::<A>() as libc::socklen_t;
    // SAFETY: `addr` is one of the two socket address types above, live for the call, and `length` is its size.
    check(unsafe { libc::connect(fd.as_raw_fd(), (&raw const *addr).cast(), length) }).map(drop)
}

/// Lets the kernel hold more not yet accepted connections than the standard library asks for.
pub(super) fn widen_backlog(listener: BorrowedFd<'_>, connections: i32) -> io::Result<()> {
    // SAFETY: a live descriptor and an integer.
    check(unsafe { libc::listen(listener.as_raw_fd(), connections) }).map(drop)
}

/// A counter in the kernel that becomes readable when it is not zero; nonblocking.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: plain integers; the result is checked.
    own(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
}

/// An epoll set whose members report edges only.
#[derive(Debug)]
pub(super) struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: a plain integer; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        Ok(Self { fd: own(fd)? })
    }

    pub(super) fn add(&self, fd: RawFd, events: u32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events | libc::EPOLLET as u32,
            u64: token,
        };
        self.control(libc::EPOLL_CTL_ADD, fd, &mut event)
    }

    pub(super) fn delete(&self, fd: RawFd) -> io::Result<()> {
        self.control(
            libc::EPOLL_CTL_DEL,
            fd,
            &mut libc::epoll_event { events: 0, u64: 0 },
        )
    }

    fn control(&self, operation: i32, fd: RawFd, event: &mut libc::epoll_event) -> io::Result<()> {
        // SAFETY: `event` is live for the call; a descriptor that is no longer open yields EBADF.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), operation, fd, event) }).map(drop)
    }

    /// Fills `events` with what is ready now, or becomes ready within `wait_ms`, and returns how many.
    pub(super) fn take(&self, events: &mut [libc::epoll_event], wait_ms: u16) -> io::Result<usize> {
        let room = i32::try_from(events.len()).unwrap_or(i32::MAX);
        let (fd, to) = (self.fd.as_raw_fd(), events.as_mut_ptr());
        // SAFETY: the kernel writes at most `room` events into `events`, which has at least that many.
        let taken = check(unsafe { libc::epoll_wait(fd, to, room, i32::from(wait_ms)) })?;
        Ok(taken.unsigned_abs() as usize)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Becomes ready when a readiness set (an epoll set or a ring) has something to report.
///
/// glommio has no public "wait for this descriptor". Its `TcpStream`, given a descriptor, arms a poll for
/// readability on glommio's ring and tries `recv` only after that poll has fired; on a readiness set the
/// `recv` then fails with ENOTSOCK, which is the signal. An instance serves once: used again it would not arm.
pub(super) struct SetWait {
    stream: glommio::net::TcpStream,
}

impl SetWait {
    /// Arms the poll. Must run on a glommio executor.
    pub(super) fn arm(set: BorrowedFd<'_>) -> io::Result<Self> {
        let own = set.try_clone_to_owned()?;
        // SAFETY: the descriptor is open and its ownership moves into the stream, which closes it on drop.
        let stream = unsafe { glommio::net::TcpStream::from_raw_fd(own.into_raw_fd()) };
        Ok(Self { stream })
    }

    pub(super) fn poll_fired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_read(cx, &mut [0]).map(drop)
    }
}

fn own(fd: RawFd) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: the kernel has just returned this descriptor to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn connects_to_both_families_of_addresses() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue;
            };
            let fd = connect_nonblocking(&listener.local_addr().unwrap()).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(std::net::TcpStream::from(fd).local_addr().unwrap(), peer);
        }
    }

    #[test]
    fn an_epoll_set_reports_an_edge_once_with_its_token() {
        let (set, counter) = (Epoll::new().unwrap(), eventfd().unwrap());
        set.add(counter.as_raw_fd(), libc::EPOLLIN as u32, 7)
            .unwrap();
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
        assert_eq!(set.take(&mut events, 0).unwrap(), 0);
        io::Write::write_all(
            &mut std::fs::File::from(counter.try_clone().unwrap()),
            &1_u64.to_ne_bytes(),
        )
        .unwrap();
        assert_eq!(set.take(&mut events, 0).unwrap(), 1);
        assert_eq!({ events[0].u64 }, 7);
        assert_eq!(
            set.take(&mut events, 0).unwrap(),
            0,
            "an edge is reported once"
        );
        set.delete(counter.as_raw_fd()).unwrap();
        assert!(set.delete(counter.as_raw_fd()).is_err());
    }
}
