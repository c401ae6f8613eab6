//! Carrying on costs no allocation in the shell either: a real gateway on loopback, with an issuer and a broker made of threads,
//! is asked for Produce and Fetch, and each allocation of its shards is traced to whose code it is.

mod support;
#[path = "support/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use kafka_protocol::messages::{ApiKey, FetchRequest, ProduceRequest};

use support::Watchdog;
use world::batch::BatchSpec;
use world::{FETCH_VERSION, PRODUCE_VERSION, World, correlated, frames};

/// Buffers have grown, and what is written in seven bits of a number is written in fourteen.
const WARM_UP: i32 = 300;
const COUNTED: i32 = 200;

/// Traces each allocation of a thread named after a shard, while it is told to.
struct Tracing;

#[global_allocator]
static ALLOCATOR: Tracing = Tracing;
static IS_TRACING: AtomicBool = AtomicBool::new(false);
static TRACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    /// Tracing allocates, too.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: it is the system's allocator.
unsafe impl GlobalAlloc for Tracing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        trace();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        trace();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        trace();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

fn trace() {
    if !IS_TRACING.load(Ordering::Acquire) || IS_BUSY.replace(true) {
        return;
    }
    let thread = std::thread::current();
    if thread.name().is_some_and(|name| name.starts_with("shard-")) {
        TRACES.lock().unwrap().push(Backtrace::force_capture());
    }
    IS_BUSY.set(false);
}

/// Function and count of what a shard allocates, by whose code is nearest to the allocation.
#[derive(Default, Debug)]
struct Allocations {
    own: BTreeMap<String, usize>,
    /// Buffers of rounds that the journal's thread has not given back yet: as many as it happens to be behind.
    journal_buffers: BTreeMap<String, usize>,
    /// Ours to ask for, glommio's to make: timers and parking.
    executor: BTreeMap<String, usize>,
}

/// Traces of a debug build name the gateway's files by the path from its package, here the current directory.
fn allocations(work: impl FnOnce()) -> Allocations {
    IS_TRACING.store(true, Ordering::Release);
    work();
    IS_TRACING.store(false, Ordering::Release);
    let mut allocations = Allocations::default();
    for trace in std::mem::take(&mut *TRACES.lock().unwrap()) {
        let trace = trace.to_string();
        // The sweep is by the clock, not by the frame. What is inlined has no full name, so it is told by the files it runs in.
        let runs_in = |file: &str| trace.contains(file);
        // One record in many is read again by another parser, which may allocate.
        if runs_in("masking/src/self_check.rs") {
            continue;
        }
        if runs_in("src/gateway.rs") && !runs_in("src/pump.rs") && !runs_in("src/journal.rs") {
            continue;
        }
        let mut function = "";
        let nearest = trace.lines().map(str::trim).find_map(|line| {
            let Some(place) = line.strip_prefix("at ") else {
                function = line.split_once(": ").map_or("", |(_, function)| function);
                return None;
            };
            let executor = place.split_once("/glommio-").map(|(_, place)| place);
            let own = place
                .strip_prefix("./")
                .filter(|place| !place.starts_with("tests/"));
            let place = executor.or(own)?;
            Some((format!("{function} at {place}"), executor.is_some()))
        });
        let (nearest, is_executor) =
            nearest.unwrap_or_else(|| (format!("nobody known: {trace}"), false));
        let counts = if is_executor {
            &mut allocations.executor
        } else if nearest.contains("append at src/journal.rs") {
            &mut allocations.journal_buffers
        } else {
            &mut allocations.own
        };
        *counts.entry(nearest).or_default() += 1;
    }
    allocations
}

/// To every Produce of `orders`, and to every Fetch of it or of `people`.
fn usual_answer(key: i16, frame: &[u8]) -> Vec<u8> {
    if frame.windows(6).any(|text| text == b"people") {
        let answer = frames::fetched(&[("people", vec![(0, personal()), (1, personal())])]);
        return frames::response::<FetchRequest>(FETCH_VERSION, 0, &answer);
    }
    if key == ApiKey::Produce as i16 {
        let answer = frames::produced(&[("orders", vec![(0, 10), (1, 11)])]);
        return frames::response::<ProduceRequest>(PRODUCE_VERSION, 0, &answer);
    }
    let answer = frames::fetched(&[("orders", vec![(0, records()), (1, records())])]);
    frames::response::<FetchRequest>(FETCH_VERSION, 0, &answer)
}

fn records() -> Vec<u8> {
    BatchSpec::default().of(&[&b"{}"[..]; 50])
}

fn personal() -> Vec<u8> {
    BatchSpec::default().of(&[&br#"{"email":"ada@example.com"}"#[..]; 50])
}

#[test]
fn a_shard_allocates_nothing_of_its_own_for_a_produce_and_a_fetch() {
    let _watchdog = Watchdog::start("allocations of a shard");
    let world = World::start(
        |_| {},
        |stream, frame| {
            let (key, _, correlation_id) = frames::head(frame);
            let answer = correlated(&usual_answer(key, frame), correlation_id);
            stream.write_all(&answer).unwrap();
        },
    );
    let mut client = world.log_in();

    let produce = frames::produce(-1, &[("orders", vec![(0, records()), (1, records())])]);
    let produce = frames::request(PRODUCE_VERSION, 7, &produce);
    let fetch = frames::fetch(&[("orders", vec![(0, 5), (1, 6)])]);
    let fetch = frames::request(FETCH_VERSION, 7, &fetch);
    let masked = frames::fetch(&[("people", vec![(0, 5), (1, 6)])]);
    let masked = frames::request(FETCH_VERSION, 7, &masked);
    for (name, request) in [
        ("Produce", produce),
        ("Fetch", fetch),
        ("masked Fetch", masked),
    ] {
        let answer = client.ask_often(&request, WARM_UP);
        if name == "Produce" {
            let (_, answer) = frames::decode_response::<ProduceRequest>(PRODUCE_VERSION, &answer);
            let results = frames::produce_results(&answer);
            assert!(
                results.iter().all(|(_, _, error, _)| *error == 0),
                "{results:?}"
            );
        } else {
            let (_, answer) = frames::decode_response::<FetchRequest>(FETCH_VERSION, &answer);
            let results = frames::fetch_results(&answer);
            assert!(results.iter().all(|(topic, _, error, got)| *error == 0
                && match topic.as_str() {
                    "orders" => *got == records(),
                    _ => got.len() > personal().len() && !got.windows(3).any(|it| it == b"ada"),
                }));
        }
        let counted = allocations(|| drop(client.ask_often(&request, COUNTED)));
        println!("{COUNTED} of {name}: {counted:#?}");
        // That shards are seen at all: they park, and their heart beats.
        assert!(!counted.executor.is_empty(), "nothing was traced");
        assert!(counted.own.is_empty(), "{name}: {:#?}", counted.own);
    }
    drop(client);
    world.end();
}
