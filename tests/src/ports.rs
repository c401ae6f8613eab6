//! Ports that nobody listens on.

use std::net::TcpListener;
use std::process;
use std::sync::Mutex;

/// Below Linux's range for outgoing connections (32768 and up), or a client could take a port between the look and the
/// use.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

/// A port on loopback that is free now and that this process gives out once.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// The first of `count` such ports in a row.
pub fn free_ports(count: u16) -> u16 {
    static GIVEN: Mutex<u32> = Mutex::new(0);
    let mut given = GIVEN
        .lock()
        .expect("a test panicked while it looked for a port");
    // Test processes that run side by side start far apart.
    let start = process::id().wrapping_mul(389) % COUNT;
    while *given < COUNT {
        let candidate = FIRST + (start + *given) % COUNT;
        let port = u16::try_from(candidate).expect("the range is below 65536");
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if candidate + u32::from(count) <= FIRST + COUNT && (port..port + count).all(is_free) {
            *given += u32::from(count);
            return port;
        }
        *given += 1;
    }
    panic!("no {count} free ports in a row from {FIRST} on");
}
