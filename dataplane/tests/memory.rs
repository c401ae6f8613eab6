//! What a connection that waits costs its shard: a real gateway on loopback, with an issuer and a broker made of threads.

mod support;
#[path = "support/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::Write;
use std::sync::atomic::{AtomicIsize, Ordering};

use kafka_protocol::messages::{ApiKey, FetchRequest};

use support::Watchdog;
use world::{Client, FETCH_VERSION, World, correlated, frames};

/// Without the kernel's part of it, which is the sockets.
const CONNECTION_BYTES_MAX: isize = 12 * 1024;
const CONNECTIONS: isize = 200;

/// Counts the bytes that threads named after a shard have taken and not given back.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
static SHARD_BYTES: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static IS_SHARD: Cell<Option<bool>> = const { Cell::new(None) };
}

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size.cast_signed() - layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn count(bytes: isize) {
    let is_shard = IS_SHARD.get().unwrap_or_else(|| {
        IS_SHARD.set(Some(false)); // asking for the name may come back here
        let is_shard = std::thread::current()
            .name()
            .is_some_and(|name| name.starts_with("shard-"));
        IS_SHARD.set(Some(is_shard));
        is_shard
    });
    if is_shard {
        SHARD_BYTES.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[test]
fn a_connection_that_waits_costs_its_shard_no_more_than_12_kib() {
    let _watchdog = Watchdog::start("memory of connections that wait");
    let world = World::start(
        |_| {},
        |stream, frame| {
            let (key, _, correlation_id) = frames::head(frame);
            assert_eq!(key, ApiKey::Fetch as i16);
            let answer = frames::fetched(&[("orders", vec![(0, Vec::new())])]);
            let answer = frames::response::<FetchRequest>(FETCH_VERSION, 0, &answer);
            let answer = correlated(&answer, correlation_id);
            stream.write_all(&answer).unwrap();
        },
    );
    let fetch = frames::fetch(&[("orders", vec![(0, 5)])]);
    let fetch = frames::request(FETCH_VERSION, 7, &fetch);
    let open = |count: isize| -> Vec<Client> {
        let one = |_| {
            let mut client = world.log_in();
            client.ask_often(&fetch, 3);
            client
        };
        (0..count).map(one).collect()
    };
    // What the shard makes once, and room in its lists, which double when they are full.
    let mut clients = open(300);
    let before = SHARD_BYTES.load(Ordering::Relaxed);
    clients.extend(open(CONNECTIONS));
    let each = (SHARD_BYTES.load(Ordering::Relaxed) - before) / CONNECTIONS;
    println!("{each} bytes for each connection that waits");
    assert!(each > 2_000, "nothing was counted");
    assert!(each <= CONNECTION_BYTES_MAX, "{each} bytes");
    drop(clients);
    world.end();
}
