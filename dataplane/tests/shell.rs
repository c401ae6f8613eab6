//! The shell under load and under fault: real executors, real sockets on loopback, both kinds of readiness set.
//! Nothing sleeps to synchronise; a watchdog ends a test that hangs.

#[path = "support/mod.rs"]
mod support;

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_lite::future::{or, zip};
use sluice_dataplane::accept::AcceptRoom;
use sluice_dataplane::net::{Bell, BellWatch, DriverOptions, Readiness, Sock, Stream};
use sluice_dataplane::shard::{ExitCause, ShardContext, ShardError, ShardOptions, spawn_shards};
use support::{Watchdog, on_one_shard, pattern, sock_pair};

const SETS: [Readiness; 2] = [Readiness::Uring, Readiness::Epoll];

/// Echoes until the client ends its direction, then ends the other one.
async fn echo(stream: &Stream) -> std::io::Result<()> {
    let mut buf = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buf).await? {
            0 => return stream.shutdown(Shutdown::Write).await,
            count => stream.write_all(&buf[..count]).await?,
        }
    }
}

/// A shard's main: echoes on every connection that it is given; panics on one that begins with `panic`.
async fn serve(shard: ShardContext, room: Arc<AcceptRoom>, served: Arc<[AtomicU64; 2]>) {
    let inbox = room.inbox(shard.id(), shard.driver()).unwrap();
    if shard.id().0 == 0 {
        let (room, acceptor) = (Arc::clone(&room), shard.clone());
        shard.spawn_guarded("acceptor", async move {
            room.run_acceptor(acceptor).await.unwrap()
        });
    }
    while let Some(accepted) = or(async { Some(inbox.next().await) }, async {
        shard.stopped().await;
        None
    })
    .await
    {
        let (driver, served, id) = (Rc::clone(shard.driver()), Arc::clone(&served), shard.id());
        shard.spawn_guarded("echo", async move {
            let _held = accepted.held;
            let sock = Sock::from_accepted(&driver, accepted.fd, accepted.peer).unwrap();
            let mut first = [0; 5];
            let count = sock.read(&mut first).await.unwrap();
            assert!(&first[..count] != b"panic", "the client asked for it");
            served[id.0].fetch_add(1, Ordering::Relaxed);
            sock.write_all(&first[..count]).await.unwrap();
            let _ = echo(&Stream::Plain(sock)).await;
        });
    }
    shard.guarded_ended().await;
}

struct Served {
    shards: sluice_dataplane::shard::Shards,
    room: Arc<AcceptRoom>,
    addr: SocketAddr,
    counts: Arc<[AtomicU64; 2]>,
}

fn two_serving_shards(readiness: Readiness, hot_us: u64) -> Served {
    let room = AcceptRoom::new(2).unwrap();
    let (_, addr) = room.open("127.0.0.1:0".parse().unwrap()).unwrap();
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let options = ShardOptions {
        driver: DriverOptions { readiness, hot_us },
        ..ShardOptions::unbound(2)
    };
    let (its_room, its_counts) = (Arc::clone(&room), Arc::clone(&counts));
    let shards = spawn_shards(&options, move |shard| {
        serve(shard, Arc::clone(&its_room), Arc::clone(&its_counts))
    })
    .unwrap();
    Served {
        shards,
        room,
        addr,
        counts,
    }
}

impl Served {
    fn round_trip(&self, client: &mut TcpStream, bytes: &[u8]) {
        client.write_all(bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        client.read_exact(&mut back).unwrap();
        assert_eq!(back, bytes);
    }

    fn end(self) {
        self.shards.stop();
        for exit in self.shards.join() {
            assert!(matches!(exit.cause, ExitCause::Finished), "{exit:?}");
        }
    }
}

fn completes_many_round_trips(readiness: Readiness, hot_us: u64) {
    let _watchdog = Watchdog::start("many round trips");
    let served = two_serving_shards(readiness, hot_us);
    let addr = served.addr;
    // Nobody leaves before all are served, or the places of those who left would be given again.
    let all_served = Arc::new(Barrier::new(24));
    let clients: Vec<_> = (0..24_u64)
        .map(|seed| {
            let all_served = Arc::clone(&all_served);
            std::thread::spawn(move || {
                let mut client = TcpStream::connect(addr).unwrap();
                client.set_nodelay(true).unwrap();
                client.write_all(b"hello").unwrap();
                client.read_exact(&mut [0; 5]).unwrap();
                all_served.wait();
                let big = pattern(seed, 1 << 20);
                for turn in 0..300_usize {
                    let length = if turn % 100 == 99 {
                        big.len()
                    } else {
                        1 + (turn * 37) % 2000
                    };
                    // Written by one thread and read by another: a big message is larger than all buffers on the way.
                    std::thread::scope(|scope| {
                        let mut writer = client.try_clone().unwrap();
                        let bytes = &big[..length];
                        if length > 64 * 1024 {
                            scope.spawn(move || writer.write_all(bytes).unwrap());
                        } else {
                            writer.write_all(bytes).unwrap();
                        }
                        let mut back = vec![0; length];
                        (&client).read_exact(&mut back).unwrap();
                        assert!(back == bytes);
                    });
                }
                client.shutdown(Shutdown::Write).unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 0, "the end comes back");
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    assert_eq!(
        served
            .counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed)),
        [12, 12]
    );
    assert_eq!(served.room.counts().accepted, 24);
    served.end();
}

#[test]
fn two_shards_complete_many_round_trips_on_the_ring() {
    completes_many_round_trips(Readiness::Uring, 0);
}

#[test]
fn two_shards_complete_many_round_trips_on_epoll() {
    completes_many_round_trips(Readiness::Epoll, 0);
}

#[test]
fn two_shards_complete_many_round_trips_when_polling_hot() {
    completes_many_round_trips(Readiness::Best, 200);
}

#[test]
fn a_panic_in_one_connection_leaves_both_shards_alive() {
    let _watchdog = Watchdog::start("panic");
    for readiness in SETS {
        let served = two_serving_shards(readiness, 0);
        // Held open, so that panics and round trips fall on both shards.
        let mut calm: Vec<_> = (0..4)
            .map(|_| TcpStream::connect(served.addr).unwrap())
            .collect();
        calm.iter_mut()
            .for_each(|client| served.round_trip(client, b"hello, shard"));
        for _ in 0..4 {
            let mut doomed = TcpStream::connect(served.addr).unwrap();
            doomed.write_all(b"panic").unwrap();
            assert!(
                matches!(doomed.read(&mut [0]), Ok(0) | Err(_)),
                "its connection is closed"
            );
        }
        calm.iter_mut()
            .for_each(|client| served.round_trip(client, b"still there?"));
        served.round_trip(
            &mut TcpStream::connect(served.addr).unwrap(),
            b"and for new ones",
        );
        assert_eq!(served.shards.panics_count(), 4);
        assert!(
            served.shards.next_exit(Duration::ZERO).is_none(),
            "no shard has ended"
        );
        drop(calm);
        served.end();
    }
}

#[test]
fn sequential_connections_spread_evenly_over_shards() {
    let _watchdog = Watchdog::start("balance");
    let served = two_serving_shards(Readiness::Best, 0);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(served.addr).unwrap();
        served.round_trip(&mut client, b"12345");
        clients.push(client);
    }
    assert_eq!(served.room.connections_counts(), [10, 10]);
    assert_eq!(
        served
            .counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed)),
        [10, 10]
    );
    // A listener added while running works like the first.
    let (second, addr) = served.room.open("127.0.0.1:0".parse().unwrap()).unwrap();
    served.round_trip(&mut TcpStream::connect(addr).unwrap(), b"second listener");
    served.room.close(second).unwrap();
    while TcpStream::connect(addr).is_ok() {
        std::thread::yield_now(); // until the acceptor has closed it
    }
    drop(clients);
    served.end();
}

#[test]
fn refuses_to_start_without_a_shard_or_on_a_cpu_that_is_not_there() {
    let _watchdog = Watchdog::start("refuses to start");
    let none = spawn_shards(&ShardOptions::unbound(0), |_| async {});
    assert!(matches!(none, Err(ShardError::OperatorAskedForNoShard)));
    let nowhere = spawn_shards(&ShardOptions::on_cpus([100_000]), |_| async {});
    assert!(
        matches!(nowhere, Err(ShardError::HostRefusedShard { .. })),
        "{nowhere:?}"
    );
}

#[test]
fn the_supervisor_learns_of_a_shard_that_dies() {
    let _watchdog = Watchdog::start("supervisor");
    let shards = spawn_shards(&ShardOptions::unbound(2), |shard| async move {
        if shard.id().0 == 1 {
            // A task that nobody guards: glommio lets its panic end the executor.
            glommio::spawn_local(async { panic!("on purpose") }).detach();
        }
        shard.stopped().await;
    })
    .unwrap();
    let exit = shards
        .next_exit(Duration::from_secs(30))
        .expect("an exit is reported");
    assert_eq!(exit.shard.0, 1);
    assert!(
        matches!(&exit.cause, ExitCause::Panicked(text) if text == "on purpose"),
        "{exit:?}"
    );
    shards.stop();
    assert!(matches!(shards.join()[..], [ref exit] if matches!(exit.cause, ExitCause::Finished)));
}

#[test]
fn connections_left_when_a_shard_ends_are_closed() {
    let _watchdog = Watchdog::start("left connections");
    for readiness in SETS {
        let listener = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let mut clients: Vec<_> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
        on_one_shard(readiness, move |shard| {
            let listener = Arc::clone(&listener);
            async move {
                for _ in 0..5 {
                    let (fd, peer) = listener.accept().unwrap();
                    let sock = Sock::from_accepted(shard.driver(), fd.into(), peer).unwrap();
                    shard.spawn_guarded("idle", async move { drop(sock.read(&mut [0; 8]).await) });
                }
                shard.driver().turn().await;
                assert_eq!(shard.guarded_count(), 5);
            }
        });
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    }
}

#[test]
fn an_always_ready_bulk_stream_starves_neither_ping_pong_nor_timers() {
    let _watchdog = Watchdog::start("bulk and ping-pong");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            let moved = Rc::new(Cell::new(0_u64));
            // Both ends of the bulk stream and of the ping-pong are on this shard: no read or write of the bulk
            // stream has to wait, since the kernel's buffers pass each chunk on at once.
            let (bulk_out, bulk_in) = sock_pair(&shard).await;
            let bulk = Rc::clone(&moved);
            shard.spawn_guarded("bulk", async move {
                let chunk = vec![7; 32 * 1024];
                let mut back = vec![0; 32 * 1024];
                loop {
                    bulk_out.write_all(&chunk).await.unwrap();
                    let mut left = chunk.len();
                    while left > 0 {
                        left -= bulk_in.read(&mut back[..left]).await.unwrap();
                    }
                    bulk.set(bulk.get() + chunk.len() as u64);
                }
            });
            let beats = Rc::new(Cell::new(0_u64));
            let beat = Rc::clone(&beats);
            shard.spawn_guarded("beat", async move {
                loop {
                    glommio::timer::sleep(Duration::from_millis(1)).await;
                    beat.set(beat.get() + 1);
                }
            });
            let (ping, pong) = sock_pair(&shard).await;
            shard.spawn_guarded("pong", async move {
                let mut buf = [0; 64];
                while let Ok(count @ 1..) = pong.read(&mut buf).await {
                    pong.write_all(&buf[..count]).await.unwrap();
                }
            });
            let (bulk_before, beats_before) = (moved.get(), beats.get());
            let mut buf = [0; 64];
            for _ in 0..1000 {
                ping.write_all(b"ping").await.unwrap();
                assert_eq!(ping.read(&mut buf).await.unwrap(), 4);
            }
            let bulk_meanwhile = moved.get() - bulk_before;
            // A few turns of the bulk stream per round trip, not glommio's 100 ms (which would be hundreds of MB).
            assert!(
                bulk_meanwhile < 1000 * 8 * 256 * 1024,
                "{bulk_meanwhile} bytes went before 1000 round trips"
            );
            assert!(
                bulk_meanwhile > 1000 * 1024,
                "the bulk stream went on too: {bulk_meanwhile}"
            );
            assert!(
                beats.get() - beats_before > 5,
                "timers ran: {}",
                beats.get() - beats_before
            );
        });
    }
}

#[test]
fn sees_the_end_that_came_together_with_data() {
    let _watchdog = Watchdog::start("FIN with data");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            for turn in 0..300 {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let (near, peer) = listener.accept().unwrap();
                // Data and FIN are both there before the socket is watched, or come while it is: one event for both.
                let before = turn % 2 == 0;
                let send = |far: &mut TcpStream| {
                    far.write_all(b"last words").unwrap();
                    far.shutdown(Shutdown::Write).unwrap();
                };
                if before {
                    send(&mut far);
                }
                let near = Sock::from_accepted(shard.driver(), near.into(), peer).unwrap();
                if !before {
                    shard.driver().turn().await;
                    send(&mut far);
                }
                let mut buf = [0; 64];
                assert_eq!(near.read(&mut buf).await.unwrap(), 10);
                assert_eq!(near.read(&mut buf).await.unwrap(), 0, "the end is seen");
                // Half-closed: this direction still carries.
                near.write_all(b"answer").await.unwrap();
                drop(near);
                let mut answer = Vec::new();
                far.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"answer");
            }
        });
    }
}

#[test]
fn a_writer_parks_while_the_peer_does_not_read_and_then_resumes() {
    const TOTAL: usize = 24 << 20;
    let _watchdog = Watchdog::start("back-pressure");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            let (near, far) = sock_pair(&shard).await;
            let written = Rc::new(Cell::new(0));
            let progress = Rc::clone(&written);
            shard.spawn_guarded("writer", async move {
                let bytes = pattern(5, TOTAL);
                for (index, chunk) in bytes.chunks(100_000).enumerate() {
                    if index % 2 == 0 {
                        near.write_all(chunk).await.unwrap();
                    } else {
                        let (head, body) = chunk.split_at(13);
                        let mut slices =
                            [IoSlice::new(head), IoSlice::new(&[]), IoSlice::new(body)];
                        near.write_vectored_all(&mut slices).await.unwrap();
                    }
                    progress.set(progress.get() + chunk.len());
                }
            });
            // The writer gets as far as the kernel's buffers allow: from then on rounds bring no progress.
            let mut stuck_rounds = 0;
            while stuck_rounds < 200 {
                let before = written.get();
                shard.driver().turn().await;
                stuck_rounds = if written.get() == before {
                    stuck_rounds + 1
                } else {
                    0
                };
            }
            assert!(
                written.get() < TOTAL,
                "the kernel took all: nothing was held back"
            );
            let mut received = Vec::with_capacity(TOTAL);
            let mut buf = vec![0; 256 * 1024];
            loop {
                match far.read(&mut buf).await.unwrap() {
                    0 => break,
                    count => received.extend_from_slice(&buf[..count]),
                }
            }
            assert!(received == pattern(5, TOTAL), "every byte in order");
        });
    }
}

#[test]
fn one_task_reads_while_another_writes_the_same_socket() {
    let _watchdog = Watchdog::start("full duplex");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            let (a, b) = sock_pair(&shard).await;
            let exchange = |sock: Sock, seed: u64| async move {
                let bytes = pattern(seed, 4 << 20);
                let write = async {
                    sock.write_all(&bytes).await.unwrap();
                    sock.shutdown(Shutdown::Write).unwrap();
                };
                let read = async {
                    let (mut all, mut buf) = (Vec::new(), vec![0; 100_000]);
                    while let count @ 1.. = sock.read(&mut buf).await.unwrap() {
                        all.extend_from_slice(&buf[..count]);
                    }
                    all
                };
                zip(write, read).await.1
            };
            let (at_a, at_b) = zip(exchange(a, 1), exchange(b, 2)).await;
            assert!(at_a == pattern(2, 4 << 20) && at_b == pattern(1, 4 << 20));
        });
    }
}

#[test]
fn connect_tells_refusal_and_gives_up_in_time() {
    let _watchdog = Watchdog::start("connect");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            drop(listener);
            let refused = Sock::connect(shard.driver(), addr, Duration::from_secs(30))
                .await
                .unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            // A full backlog drops the SYN, so this connection is never made.
            let full = support::full_listener();
            let late = Sock::connect(shard.driver(), full.addr, Duration::from_millis(50))
                .await
                .unwrap_err();
            assert_eq!(late.kind(), ErrorKind::TimedOut);
            assert_eq!(
                shard.driver().watched_count(),
                1,
                "only the shard's own bell is still watched"
            );
        });
    }
}

#[test]
fn a_hook_runs_after_the_tasks_of_its_round_and_when_asked_for() {
    let _watchdog = Watchdog::start("hook");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            // A journal in small: tasks add, the hook takes all that is there and lets them go on.
            let waiting: Rc<RefCell<Vec<Rc<sluice_dataplane::shard::Signal>>>> = Rc::default();
            let batches = Rc::new(RefCell::new(Vec::new()));
            let (hook_waiting, hook_batches) = (Rc::clone(&waiting), Rc::clone(&batches));
            shard.driver().after_round(Box::new(move || {
                let taken = std::mem::take(&mut *hook_waiting.borrow_mut());
                if !taken.is_empty() {
                    hook_batches.borrow_mut().push(taken.len());
                }
                taken.iter().for_each(|signal| signal.raise());
            }));
            let mut far_ends = Vec::new();
            for _ in 0..8 {
                let (near, far) = sock_pair(&shard).await;
                far_ends.push(far);
                let (waiting, driver) = (Rc::clone(&waiting), Rc::clone(shard.driver()));
                shard.spawn_guarded("recorder", async move {
                    near.read(&mut [0; 8]).await.unwrap();
                    let signal = Rc::new(sluice_dataplane::shard::Signal::default());
                    waiting.borrow_mut().push(Rc::clone(&signal));
                    driver.request_round();
                    signal.raised().await;
                    near.write_all(b"recorded").await.unwrap();
                });
            }
            shard.driver().turn().await; // all eight are parked in read now
            for far in &far_ends {
                far.write_all(b"x").await.unwrap();
            }
            for far in &far_ends {
                assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 8);
            }
            assert_eq!(batches.borrow().iter().sum::<usize>(), 8);
            assert!(
                batches.borrow().len() <= 2,
                "a round's records share one flush: {batches:?}"
            );

            // Work that no event brings, while the driver sleeps: a timer's task asks for a round itself.
            glommio::timer::sleep(Duration::from_millis(5)).await;
            let signal = Rc::new(sluice_dataplane::shard::Signal::default());
            waiting.borrow_mut().push(Rc::clone(&signal));
            shard.driver().request_round();
            signal.raised().await;
        });
    }
}

#[test]
fn a_closed_socket_is_watched_no_longer_and_its_peer_sees_the_end() {
    let _watchdog = Watchdog::start("close");
    for readiness in SETS {
        on_one_shard(readiness, move |shard| async move {
            assert_eq!(shard.driver().readiness(), readiness);
            let before = shard.driver().watched_count();
            for _ in 0..500 {
                let (near, far) = sock_pair(&shard).await;
                drop(near);
                assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 0);
            }
            assert_eq!(shard.driver().watched_count(), before);
        });
    }
}

#[test]
fn a_shard_naps_in_its_readiness_set_before_it_sleeps_and_a_bell_ends_both() {
    let _watchdog = Watchdog::start("naps");
    for readiness in SETS {
        on_one_shard(readiness, |shard| async move {
            let driver = Rc::clone(shard.driver());
            let bell = Bell::new().unwrap();
            let watch = BellWatch::new(&driver, Arc::clone(&bell)).unwrap();
            for _ in 0..50 {
                let before = driver.counts();
                let ringer = {
                    let bell = Arc::clone(&bell);
                    std::thread::spawn(move || bell.ring())
                };
                watch.rung().await;
                ringer.join().unwrap();
                let after = driver.counts();
                let (naps, parks) = (after.naps - before.naps, after.parks - before.parks);
                assert!(naps >= parks, "{naps} naps, {parks} parks");
            }
            // A longer pause is slept in glommio, whose timers pass.
            let before = driver.counts();
            bell.ring();
            watch.rung().await;
            while driver.counts().parks == before.parks {
                glommio::timer::sleep(Duration::from_millis(1)).await;
            }
            assert!(driver.counts().naps > before.naps);
        });
    }
}
