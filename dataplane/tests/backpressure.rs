//! A whole gateway with one shard, between real sockets: who does not read holds nobody up but itself, and costs no more
//! memory than the way is long. Nothing sleeps to synchronise; a watchdog ends a test that hangs.

mod support;
#[path = "support/world.rs"]
mod world;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};

use kafka_protocol::messages::{ApiKey, FetchRequest, ProduceRequest};
use sluice_dataplane::config::GatewayConfig;

use support::{Watchdog, pattern};
use world::batch::BatchSpec;
use world::{DEADLINE, FETCH_VERSION, PRODUCE_VERSION, World, correlated, frames};

const MIB: usize = 1 << 20;

/// One gateway at a time: they share two cores and the names of their threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// On a CPU that this process may use.
fn on_one_shard(config: &mut GatewayConfig) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let cpus = status.split_once("Cpus_allowed_list:").unwrap().1.trim();
    let end = cpus.find(|end: char| !end.is_ascii_digit());
    config.shard_cpus = vec![cpus[..end.unwrap_or(cpus.len())].parse().unwrap()];
}

/// An answer to a Fetch of `orders` with a batch for each of these values.
fn fetched(values: &[Vec<u8>]) -> Vec<u8> {
    let batches = values.iter().zip(0..).map(|(value, base_offset)| {
        let spec = BatchSpec {
            base_offset,
            ..BatchSpec::default()
        };
        spec.of(&[value])
    });
    let records = batches.collect::<Vec<_>>().concat();
    let answer = frames::fetched(&[("orders", vec![(0, records)])]);
    frames::response::<FetchRequest>(FETCH_VERSION, 0, &answer)
}

fn fetch(correlation_id: i32) -> Vec<u8> {
    let request = frames::fetch(&[("orders", vec![(0, 0)])]);
    frames::request(FETCH_VERSION, correlation_id, &request)
}

fn produce(correlation_id: i32) -> Vec<u8> {
    let records = BatchSpec::default().of(&[&b"{}"[..]; 3]);
    let request = frames::produce(-1, &[("orders", vec![(0, records)])]);
    frames::request(PRODUCE_VERSION, correlation_id, &request)
}

fn produced() -> Vec<u8> {
    let answer = frames::produced(&[("orders", vec![(0, 10)])]);
    frames::response::<ProduceRequest>(PRODUCE_VERSION, 0, &answer)
}

/// Answers a Produce, and a Fetch as `fetched` does with the answer's bytes.
fn answering(
    fetch_answer: Vec<u8>,
    fetched: impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static,
) -> impl Fn(&mut TcpStream, &[u8]) + Send + Sync + 'static {
    let produced = produced();
    move |stream, frame| {
        let (key, _, correlation_id) = frames::head(frame);
        if key == ApiKey::Fetch as i16 {
            fetched(stream, &correlated(&fetch_answer, correlation_id));
        } else {
            let answer = correlated(&produced, correlation_id);
            stream.write_all(&answer).unwrap();
        }
    }
}

/// How far the broker has come with what it wants to send.
#[derive(Default)]
struct Progress {
    written_bytes: AtomicUsize,
    /// It waits for room in its socket.
    blocked: AtomicBool,
}

impl Progress {
    fn write(&self, stream: &mut TcpStream, bytes: &[u8]) {
        for chunk in bytes.chunks(16 * 1024) {
            let mut rest = chunk;
            while !rest.is_empty() {
                stream.set_nonblocking(true).unwrap();
                let written = stream.write(rest);
                stream.set_nonblocking(false).unwrap();
                let written = match written {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.blocked.store(true, Ordering::SeqCst);
                        let written = stream.write(rest);
                        self.blocked.store(false, Ordering::SeqCst);
                        written.unwrap()
                    }
                    written => written.unwrap(),
                };
                self.written_bytes.fetch_add(written, Ordering::SeqCst);
                rest = &rest[written..];
            }
        }
    }

    /// Where it stands, if it can get no further now.
    fn blocked_at(&self) -> Option<usize> {
        let written = self.written_bytes.load(Ordering::SeqCst);
        self.blocked.load(Ordering::SeqCst).then_some(written)
    }
}

/// Bytes that the sockets of one connection through the gateway may hold: two senders and two receivers.
fn sockets_bytes_max() -> usize {
    let most = |name: &str| -> usize {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        sizes.split_whitespace().last().unwrap().parse().unwrap()
    };
    2 * (most("tcp_wmem") + most("tcp_rmem"))
}

#[test]
fn a_client_that_does_not_read_stops_its_broker_and_nobody_else() {
    const ROUND_TRIPS: i32 = 300;
    let (_alone, _watchdog) = (alone(), Watchdog::start("slow consumer"));
    let answer = fetched(&[pattern(1, MIB)]);
    // The gateway's part: a buffer that the answer fits into, and one that it grew out of.
    let way_bytes_max = sockets_bytes_max() + 4 * MIB;
    let answers_count = way_bytes_max * 3 / 2 / MIB;
    let progress = Arc::new(Progress::default());
    let its_progress = progress.clone();
    let world = World::start(
        on_one_shard,
        answering(answer.clone(), move |stream, answer| {
            its_progress.write(stream, answer);
        }),
    );
    let (mut slow, mut other) = (world.log_in(), world.log_in());
    let answers_count = i32::try_from(answers_count).unwrap();
    let requests: Vec<u8> = (0..answers_count).flat_map(fetch).collect();
    slow.0.write_all(&requests).unwrap();

    // The broker stands where it stood while the shard has served the other client hundreds of times.
    let (mut still, mut stood_at) = (0, None);
    let all_bytes = answer.len() * requests.len() / fetch(0).len();
    while still < ROUND_TRIPS && progress.written_bytes.load(Ordering::SeqCst) < all_bytes {
        assert_eq!(other.ask(&produce(7)), correlated(&produced(), 7));
        let stands_at = progress.blocked_at();
        still = if stands_at.is_some() && stands_at == stood_at {
            still + 1
        } else {
            0
        };
        stood_at = stands_at;
    }
    let written = progress.written_bytes.load(Ordering::SeqCst);
    assert!(
        written <= way_bytes_max,
        "{written} of {all_bytes} bytes left the broker, and nobody reads them"
    );
    println!("{written} bytes left the broker; the way holds {way_bytes_max}");

    for correlation_id in 0..answers_count {
        let got = slow.answer();
        assert!(
            got == correlated(&answer, correlation_id),
            "answer {correlation_id} of {answers_count} came changed"
        );
    }
    drop((slow, other));
    world.end();
}

#[test]
fn a_connection_that_is_idle_holds_nothing_of_what_its_answers_took() {
    const CONNECTIONS: i32 = 16;
    let (_alone, _watchdog) = (alone(), Watchdog::start("idle connections"));
    // Room for what a few answers take on their way: with what each was read into, most of the connections would be closed.
    const SHARD_BYTES_MAX: usize = 8 * MIB;
    let answer = fetched(&[pattern(2, MIB)]);
    assert!(answer.len() * CONNECTIONS as usize > SHARD_BYTES_MAX);
    let world = World::start(
        |config| {
            on_one_shard(config);
            config.connections_bytes_max = SHARD_BYTES_MAX;
        },
        answering(answer.clone(), |stream, answer| {
            stream.write_all(answer).unwrap();
        }),
    );
    let mut idle = Vec::new();
    for correlation_id in 0..CONNECTIONS {
        let mut client = world.log_in();
        let got = client.ask(&fetch(correlation_id));
        assert!(got == correlated(&answer, correlation_id));
        idle.push(client);
    }
    for (client, correlation_id) in idle.iter_mut().zip(0..) {
        let got = client.ask(&produce(correlation_id));
        assert_eq!(got, correlated(&produced(), correlation_id));
    }
    drop(idle);
    world.end();
}

/// Writes (`write` and `writev`) so far of the only shard, and of the threads that its executor has started.
fn shard_writes() -> u64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let counts = threads.filter_map(|thread| {
        let thread = thread.unwrap().path();
        let name = std::fs::read_to_string(thread.join("comm")).ok()?;
        let counts = std::fs::read_to_string(thread.join("io")).ok()?;
        (name.trim() == "shard-0").then_some(counts)
    });
    let counts: Vec<String> = counts.collect();
    assert!(!counts.is_empty(), "this host counts no writes");
    let writes = counts.iter().map(|counts| -> u64 {
        let (_, writes) = counts.split_once("syscw: ").unwrap();
        writes.split_whitespace().next().unwrap().parse().unwrap()
    });
    writes.sum()
}

#[test]
fn requests_that_came_together_go_on_with_one_write() {
    const REQUESTS: i32 = 50;
    let (_alone, _watchdog) = (alone(), Watchdog::start("one write"));
    let (arrived, has_arrived) = channel();
    let (arrived, waiting) = (Mutex::new(arrived), AtomicUsize::new(0));
    let may_answer = Arc::new(Barrier::new(2));
    let its_may_answer = may_answer.clone();
    let answer = produced();
    let world = World::start(on_one_shard, move |stream, frame| {
        let (_, _, correlation_id) = frames::head(frame);
        // The first is alone: it opens the connection to the broker. Those after it are answered when all are there.
        if correlation_id > 0 && waiting.fetch_add(1, Ordering::SeqCst) + 1 < REQUESTS as usize {
            return;
        }
        if correlation_id > 0 {
            arrived.lock().unwrap().send(()).unwrap();
            its_may_answer.wait();
        }
        let first = (correlation_id - REQUESTS + 1).max(0);
        for correlation_id in first..=correlation_id {
            stream
                .write_all(&correlated(&answer, correlation_id))
                .unwrap();
        }
    });
    let mut client = world.log_in();
    client.ask(&produce(0));
    let requests: Vec<u8> = (1..=REQUESTS).flat_map(produce).collect();
    // So that one read takes them all.
    assert!(requests.len() <= 16 * 1024);
    let before = shard_writes();
    client.0.write_all(&requests).unwrap();
    has_arrived.recv_timeout(DEADLINE).expect("all arrive");
    assert_eq!(shard_writes() - before, 1);
    may_answer.wait();
    for correlation_id in 1..=REQUESTS {
        let got = client.answer();
        assert_eq!(got, correlated(&produced(), correlation_id));
    }
    drop(client);
    world.end();
}

#[test]
fn a_long_answer_reaches_the_client_while_the_broker_withholds_its_end() {
    const FIRST_BYTES: usize = 5 * MIB / 2;
    let (_alone, _watchdog) = (alone(), Watchdog::start("long answer"));
    let values: Vec<_> = (0..6).map(|seed| pattern(seed, MIB)).collect();
    let answer = fetched(&values);
    let (received, is_received) = channel();
    let is_received = Mutex::new(is_received);
    let world = World::start(
        on_one_shard,
        answering(answer.clone(), move |stream, answer| {
            let (first, rest) = answer.split_at(FIRST_BYTES);
            stream.write_all(first).unwrap();
            // Nothing more, until the client has what came first. If it does not come, the connection ends here.
            let waited = is_received.lock().unwrap().recv_timeout(DEADLINE / 2);
            waited.expect("the first part goes on");
            stream.write_all(rest).unwrap();
        }),
    );
    let mut client = world.log_in();
    for correlation_id in 1..3 {
        client.0.write_all(&fetch(correlation_id)).unwrap();
        // A part goes on once it is as long as the gateway's smallest; what follows it may wait for more.
        let mut got = vec![0; 2 * MIB];
        client.0.read_exact(&mut got).unwrap();
        received.send(()).unwrap();
        got.resize(answer.len(), 0);
        client.0.read_exact(&mut got[2 * MIB..]).unwrap();
        assert!(got == correlated(&answer, correlation_id));
    }
    drop(client);
    world.end();
}
