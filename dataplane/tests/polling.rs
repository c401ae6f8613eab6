//! How a shard waits: when it never sleeps, and what wakes it in any case. Real executors, both kinds of readiness set.
//! Nothing sleeps to synchronise; a watchdog ends a test that hangs.

mod support;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use sluice_dataplane::net::driver::DriverCounts;
use sluice_dataplane::net::{DriverOptions, Readiness};
use sluice_dataplane::shard::{ExitCause, ShardOptions, spawn_shards};
use support::{Watchdog, socket_to_thread};

const SETS: [Readiness; 2] = [Readiness::Uring, Readiness::Epoll];
const DEADLINE: Duration = Duration::from_secs(60);

/// What a driver did during round trips to another thread, in which its shard has nothing to do but wait for each answer.
fn counts_of_round_trips(
    readiness: Readiness,
    hot_us: u64,
    is_enough: fn(u64, DriverCounts) -> bool,
) -> DriverCounts {
    let options = ShardOptions {
        driver: DriverOptions { readiness, hot_us },
        ..ShardOptions::unbound(1)
    };
    let (counted, counts) = channel();
    let shards = spawn_shards(&options, move |shard| {
        let counted = counted.clone();
        async move {
            let driver = Rc::clone(shard.driver());
            let (near, mut far) = socket_to_thread(&driver);
            let echo = std::thread::spawn(move || {
                let mut ping = [0; 4];
                while far.read_exact(&mut ping).is_ok() {
                    far.write_all(&ping).unwrap();
                }
            });
            let mut trips = 0;
            while !is_enough(trips, driver.counts()) {
                trips += 1;
                near.write_all(b"ping").await.unwrap();
                let (mut got, mut pong) = (0, [0; 4]);
                while got < pong.len() {
                    got += near.read(&mut pong[got..]).await.unwrap();
                }
            }
            counted.send(driver.counts()).unwrap();
            drop(near);
            echo.join().unwrap();
        }
    })
    .unwrap();
    let exit = shards.next_exit(DEADLINE).expect("the shard ends");
    assert!(matches!(exit.cause, ExitCause::Finished), "{exit:?}");
    counts.recv().unwrap()
}

#[test]
fn a_hot_driver_polls_for_every_answer_and_another_one_rests() {
    let _watchdog = Watchdog::start("hot driver");
    for readiness in SETS {
        let hot = counts_of_round_trips(readiness, u64::MAX, |trips, _| trips == 1_000);
        assert_eq!((hot.naps, hot.parks), (0, 0), "{readiness:?}: {hot:?}");
        assert!(hot.reactor_passes > 0, "timers still run: {hot:?}");
        let cold = counts_of_round_trips(readiness, 0, |trips, counts| {
            counts.naps > 0 || trips == 100_000
        });
        assert!(cold.naps > 0, "{readiness:?}: {cold:?}");
    }
}

/// Times that a thread has gone to sleep of its own accord.
fn sleeps(thread: &Path) -> u64 {
    let status = std::fs::read_to_string(thread.join("status")).unwrap();
    let (_, sleeps) = status.split_once("\nvoluntary_ctxt_switches:").unwrap();
    sleeps.split_whitespace().next().unwrap().parse().unwrap()
}

/// glommio can go to sleep although a task of its own could run, and then sleeps until something else wakes it. The shard's beat
/// is that something: an executor whose tasks all wait goes on waking.
#[test]
fn a_shard_on_which_nothing_happens_wakes_all_the_same() {
    /// More than the shard has beside its beats, when it starts and comes to rest.
    const BEATS: u64 = 150;
    let _watchdog = Watchdog::start("heartbeat");
    let (started, thread) = channel();
    let shards = spawn_shards(&ShardOptions::unbound(1), move |shard| {
        let started = started.clone();
        async move {
            let thread = std::fs::read_link("/proc/thread-self").unwrap();
            started.send(thread).unwrap();
            shard.stopped().await;
        }
    })
    .unwrap();
    let thread: PathBuf = Path::new("/proc").join(thread.recv_timeout(DEADLINE).unwrap());
    let (before, end) = (sleeps(&thread), Instant::now() + DEADLINE);
    // So many that those of a shard which has been idle for long are among them.
    while sleeps(&thread) < before + BEATS {
        assert!(
            Instant::now() < end,
            "{} of {BEATS} beats",
            sleeps(&thread) - before
        );
        std::thread::yield_now();
    }
    shards.stop();
    assert!(matches!(
        shards.join()[..],
        [ref exit] if matches!(exit.cause, ExitCause::Finished)
    ));
}
