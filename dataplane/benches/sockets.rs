//! What glommio's own sockets cost beside the driver's: the same echo on shards that are made alike, each under the same load in
//! turns. `cargo bench -p sluice-dataplane --bench sockets`; `SLUICE_BENCH_ROUNDS` sets the rounds (default 9).
//!
//! The shards share the first CPU that this process may use, the client has the last. All that is asserted is that what was sent
//! comes back. CPU is that of the shard's thread, by which the load's own is left out.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use sluice_dataplane::net::{DriverOptions, Sock};
use sluice_dataplane::shard::{ExitCause, ShardContext, ShardOptions, Shards, spawn_shards};

const CONNECTIONS: usize = 32;
const MESSAGE_BYTES: usize = 1024;
/// The gateway's largest read, for both.
const READ_BYTES: usize = 256 * 1024;
const ROUND: Duration = Duration::from_millis(300);
const STREAM_BYTES: usize = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sockets {
    /// `glommio::net::TcpStream`.
    Stock,
    /// [`Sock`], whose driver polls for so long before it sleeps.
    Driver { hot_us: u64 },
}

/// In the order of the table's columns: the others are compared with the first.
const CONTESTANTS: [Sockets; 3] = [
    Sockets::Stock,
    Sockets::Driver { hot_us: 0 },
    Sockets::Driver { hot_us: 200 },
];

/// The rows of the table.
const MEASURES: [&str; 6] = [
    "ping, 1 connection: p50, us",
    "ping: CPU us per message",
    "32 connections at once: messages/s",
    "32 connections: CPU us per message",
    "stream, 1 connection: GB/s",
    "stream: CPU s per GB",
];

fn main() -> ExitCode {
    let rounds = std::env::var("SLUICE_BENCH_ROUNDS").ok();
    let rounds: usize = rounds.and_then(|text| text.parse().ok()).unwrap_or(9);
    let (shard_cpu, client_cpu) = cpus();
    // On a shard, because that is how a thread gets its CPU; those that it starts stay there.
    let client = spawn_shards(&ShardOptions::on_cpus([client_cpu]), move |_| async move {
        println!("{}", measure(rounds, shard_cpu));
    });
    let ends = client.expect("a thread for the client").join();
    match ends[..] {
        [ref end] if matches!(end.cause, ExitCause::Finished) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE, // what panicked has said why
    }
}

/// The first CPU that this process may use, and the last.
fn cpus() -> (usize, usize) {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux host");
    let (_, cpus) = status.split_once("Cpus_allowed_list:").expect("a list");
    let cpus = cpus.lines().next().unwrap_or_default();
    let mut numbers = cpus.split([',', '-']).map(|cpu| cpu.trim().parse());
    let first = numbers.next().expect("a CPU").expect("its number");
    let last = numbers
        .next_back()
        .map_or(first, |cpu| cpu.expect("its number"));
    (first, last)
}

/// Rounds of every load on every contestant, as a table.
fn measure(rounds: usize, shard_cpu: usize) -> String {
    let mut echoes = CONTESTANTS.map(|sockets| Echo::start(sockets, shard_cpu));
    // By contestant, measure and round.
    let mut found = CONTESTANTS.map(|_| MEASURES.map(|_| Vec::new()));
    for round in 0..=rounds {
        for place in 0..CONTESTANTS.len() {
            // So that nobody is always the first.
            let at = (round + place) % CONTESTANTS.len();
            let results = echoes[at].round();
            // The first round warms up.
            if round > 0 {
                for (all, result) in found[at].iter_mut().zip(results) {
                    all.push(result);
                }
            }
        }
    }
    render(&found)
}

fn render(found: &[[Vec<f64>; MEASURES.len()]; CONTESTANTS.len()]) -> String {
    let mut text = String::from(
        "| 1 KiB a message | glommio's TcpStream | Sock | Sock, hot 200 us | Sock / glommio's | hot / glommio's |\n|---|---|---|---|---|---|\n",
    );
    for (row, name) in MEASURES.iter().enumerate() {
        let [stock, ours, hot] = [0, 1, 2].map(|column: usize| &found[column][row]);
        let ratios = [ours, hot].map(|these| {
            let pairs = these.iter().zip(stock);
            spread(pairs.map(|(this, that)| this / that).collect(), 2)
        });
        let medians = [stock, ours, hot].map(|these| median(these.clone()));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {name} | {:.2} | {:.2} | {:.2} | {} | {} |",
            medians[0], medians[1], medians[2], ratios[0], ratios[1]
        );
    }
    let _ = writeln!(
        text,
        "\nMedian of {} rounds (least to most), ratios of one round each.",
        found[0][0].len()
    );
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn spread(values: Vec<f64>, digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let middle = median(values);
    format!("{middle:.digits$} ({least:.digits$} to {most:.digits$})")
}

/// A shard that sends back what comes on its connections, and their other ends.
struct Echo {
    _shards: Shards,
    /// The directory of its thread under `/proc`.
    thread: PathBuf,
    connections: Vec<TcpStream>,
}

impl Echo {
    fn start(sockets: Sockets, cpu: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut options = ShardOptions::on_cpus([cpu]);
        if let Sockets::Driver { hot_us } = sockets {
            options.driver = DriverOptions {
                hot_us,
                ..options.driver
            };
        }
        let (started, thread) = channel();
        let shards = spawn_shards(&options, move |shard| {
            let started = started.clone();
            async move {
                let thread = std::fs::read_link("/proc/thread-self").expect("a Linux host");
                started.send(thread).expect("the client waits");
                for _ in 0..CONNECTIONS {
                    connect(&shard, sockets, address).await;
                }
                shard.stopped().await;
            }
        })
        .expect("a thread for the shard");
        let accepted = (0..CONNECTIONS).map(|_| {
            let (stream, _) = listener.accept().expect("the shard connects");
            stream.set_nodelay(true).expect("no delay");
            stream
        });
        let connections = accepted.collect();
        Self {
            _shards: shards,
            thread: Path::new("/proc").join(thread.recv().expect("the shard runs")),
            connections,
        }
    }

    /// One round of every load, as [`MEASURES`] names what is found.
    fn round(&mut self) -> [f64; MEASURES.len()] {
        let before = self.cpu_ns();
        let mut latencies = self.ping();
        let ping_cpu = self.cpu_ns() - before;
        let pings = latencies.len() as f64;
        latencies.sort_unstable();
        let p50 = latencies[latencies.len() / 2];

        let (before, began) = (self.cpu_ns(), Instant::now());
        let messages = self.all_at_once() as f64;
        let (all_s, all_cpu) = (began.elapsed().as_secs_f64(), self.cpu_ns() - before);

        let (before, began) = (self.cpu_ns(), Instant::now());
        self.stream();
        let (stream_s, stream_cpu) = (began.elapsed().as_secs_f64(), self.cpu_ns() - before);
        let gigabytes = STREAM_BYTES as f64 / 1e9;
        [
            p50.as_secs_f64() * 1e6,
            ping_cpu as f64 / 1e3 / pings,
            messages / all_s,
            all_cpu as f64 / 1e3 / messages,
            gigabytes / stream_s,
            stream_cpu as f64 / 1e9 / gigabytes,
        ]
    }

    fn ping(&mut self) -> Vec<Duration> {
        let (mut message, mut latencies) = ([7; MESSAGE_BYTES], Vec::new());
        let (began, connection) = (Instant::now(), &mut self.connections[0]);
        while began.elapsed() < ROUND {
            let sent = Instant::now();
            connection.write_all(&message).expect("it echoes");
            connection.read_exact(&mut message).expect("it echoes");
            latencies.push(sent.elapsed());
        }
        assert!(message == [7; MESSAGE_BYTES], "other bytes came back");
        latencies
    }

    /// A message on each connection, then the answers of all; how many there were.
    fn all_at_once(&mut self) -> usize {
        let (mut message, mut messages) = ([7; MESSAGE_BYTES], 0);
        let began = Instant::now();
        while began.elapsed() < ROUND {
            for connection in &mut self.connections {
                connection.write_all(&message).expect("it echoes");
            }
            for connection in &mut self.connections {
                connection.read_exact(&mut message).expect("it echoes");
            }
            messages += CONNECTIONS;
        }
        assert!(message == [7; MESSAGE_BYTES], "other bytes came back");
        messages
    }

    fn stream(&self) {
        let chunk = vec![7; READ_BYTES];
        let (mut near, mut far) = (&self.connections[0], &self.connections[0]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..STREAM_BYTES / READ_BYTES {
                    near.write_all(&chunk).expect("it echoes");
                }
            });
            let mut got = vec![0; READ_BYTES];
            for _ in 0..STREAM_BYTES / READ_BYTES {
                far.read_exact(&mut got).expect("it echoes");
            }
            assert!(got == chunk, "other bytes came back");
        });
    }

    /// What the shard's thread has run so far.
    fn cpu_ns(&self) -> u64 {
        let ran = std::fs::read_to_string(self.thread.join("schedstat"));
        let ran = ran.expect("this host counts what its threads run");
        let ran = ran.split_whitespace().next().map(str::parse);
        ran.expect("a number").expect("a number")
    }
}

/// One more connection of the shard, with a task that echoes on it.
async fn connect(shard: &ShardContext, sockets: Sockets, address: SocketAddr) {
    if sockets == Sockets::Stock {
        let socket = glommio::net::TcpStream::connect(address).await;
        let mut socket = socket.expect("the client listens");
        socket.set_nodelay(true).expect("no delay");
        shard.spawn_guarded("echo", async move {
            let mut bytes = vec![0; READ_BYTES];
            while let Ok(count @ 1..) = socket.read(&mut bytes).await {
                if socket.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        });
    } else {
        let socket = Sock::connect(shard.driver(), address, CONNECT_TIMEOUT).await;
        let socket = socket.expect("the client listens");
        shard.spawn_guarded("echo", async move {
            let mut bytes = vec![0; READ_BYTES];
            while let Ok(count @ 1..) = socket.read(&mut bytes).await {
                if socket.write_all(&bytes[..count]).await.is_err() {
                    return;
                }
            }
        });
    }
}
