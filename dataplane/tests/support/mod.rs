//! What the shell's tests share.
#![allow(dead_code)] // each test binary uses its part

use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use sluice_dataplane::net::{Driver, DriverOptions, Readiness, Sock};
use sluice_dataplane::shard::{ExitCause, ShardContext, ShardOptions, spawn_shards};

/// Ends the whole test process if it is not dropped in time: a hang fails, and says where.
pub(crate) struct Watchdog(Sender<()>);

impl Watchdog {
    pub(crate) fn start(name: &'static str) -> Self {
        let (alive, gone) = channel();
        std::thread::spawn(move || {
            if gone.recv_timeout(Duration::from_secs(90)) == Err(RecvTimeoutError::Timeout) {
                // Not eprintln: the harness would capture it, and abort loses what was captured.
                let _ = writeln!(std::io::stderr(), "the test \"{name}\" hangs");
                std::process::abort();
            }
        });
        Self(alive)
    }
}

/// Runs `main` on a shard of its own to its end; a panic there fails the test, and so does one in a guarded task.
pub(crate) fn on_one_shard<F, Fut>(readiness: Readiness, main: F)
where
    F: Fn(ShardContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let options = ShardOptions {
        driver: DriverOptions {
            readiness,
            hot_us: 0,
        },
        ..ShardOptions::unbound(1)
    };
    let shards = spawn_shards(&options, main).unwrap();
    let exit = shards
        .next_exit(Duration::from_secs(600))
        .expect("the shard ends");
    assert!(
        matches!(exit.cause, ExitCause::Finished),
        "{readiness:?}: {exit:?}"
    );
    assert_eq!(
        shards.panics_count(),
        0,
        "{readiness:?}: a guarded task panicked"
    );
}

/// Two ends of one connection, both on this shard.
pub(crate) async fn sock_pair(shard: &ShardContext) -> (Sock, Sock) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let near = Sock::connect(shard.driver(), addr, Duration::from_secs(30))
        .await
        .unwrap();
    let (far, peer) = listener.accept().unwrap();
    (
        near,
        Sock::from_accepted(shard.driver(), far.into(), peer).unwrap(),
    )
}

/// One end of a connection on this shard, the other for a thread that waits where it reads.
pub(crate) fn socket_to_thread(driver: &Rc<Driver>) -> (Sock, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    far.set_nodelay(true).unwrap();
    let (near, peer) = listener.accept().unwrap();
    let near = Sock::from_accepted(driver, near.into(), peer).unwrap();
    (near, far)
}

/// Bytes that look random and can be made again.
pub(crate) fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A listener that takes no more connections.
pub(crate) struct FullListener {
    pub(crate) addr: SocketAddr,
    _listener: TcpListener,
    _held: Vec<TcpStream>,
}

pub(crate) fn full_listener() -> FullListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        held.push(stream);
        assert!(held.len() < 100_000, "the backlog has no end");
    }
    FullListener {
        addr,
        _listener: listener,
        _held: held,
    }
}
