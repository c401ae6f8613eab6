//! The read buffer of a connection, over a real socket.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::*;
use crate::buffers::{LARGE_BYTES, SMALL_BYTES};
use crate::net::{Driver, Sock};
use crate::shard::{ExitCause, ShardContext, ShardOptions, spawn_shards};

const FRAME_BYTES: usize = 100;
/// Several small buffers, in whole frames; no more than a socket takes while nobody reads.
const BURST_BYTES: usize = 490 * FRAME_BYTES;

fn on_one_shard<Fut>(main: impl Fn(ShardContext) -> Fut + Send + Sync + 'static)
where
    Fut: Future<Output = ()> + 'static,
{
    let shards = spawn_shards(&ShardOptions::unbound(1), main).unwrap();
    let exit = shards.next_exit(Duration::from_secs(60));
    let exit = exit.expect("the shard ends");
    assert!(matches!(exit.cause, ExitCause::Finished), "{exit:?}");
}

/// A buffer, the stream that it reads, and the other end.
struct Reading {
    driver: Rc<Driver>,
    ledger: Rc<ShardLedger>,
    buffer: Buffer,
    near: Stream,
    /// The near end once more, to look at what has arrived.
    look: TcpStream,
    far: TcpStream,
}

impl Reading {
    fn new(driver: &Rc<Driver>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, peer) = listener.accept().unwrap();
        let look = near.try_clone().unwrap();
        let near = Sock::from_accepted(driver, near.into(), peer).unwrap();
        let ledger = ShardLedger::new(usize::MAX);
        Self {
            driver: driver.clone(),
            buffer: Buffer::new(&Rc::default(), Ledger::new(&ledger).account()),
            ledger,
            near: Stream::Plain(near),
            look,
            far,
        }
    }

    /// Sends small frames and waits until they can be read.
    async fn arrive(&mut self, bytes: usize) {
        let mut frame = [0; FRAME_BYTES];
        frame[3] = (FRAME_BYTES - 4) as u8;
        self.far
            .write_all(&frame.repeat(bytes / FRAME_BYTES))
            .unwrap();
        let mut seen = vec![0; bytes];
        while self.look.peek(&mut seen).unwrap_or(0) < bytes {
            self.driver.turn().await;
        }
    }

    /// Reads once; returns how much that was, and the size of what it was read into.
    async fn fill(&mut self) -> (usize, usize) {
        let before = self.buffer.end;
        let filled = self.buffer.fill(&self.near, Close::ClientClosed).await;
        filled.unwrap();
        (self.buffer.end - before, self.buffer.bytes.len())
    }

    fn take_frames(&mut self) {
        while self.buffer.frame(FRAME_BYTES).unwrap().is_some() {}
        self.buffer.consume();
    }

    /// What the connection holds while its task waits for more.
    async fn held_bytes_in_wait(&mut self) -> usize {
        let fill = self.buffer.fill(&self.near, Close::ClientClosed);
        assert!(future::poll_once(fill).await.is_none(), "it waits");
        assert_eq!(self.buffer.bytes.capacity(), 0);
        self.ledger.held_bytes()
    }
}

#[test]
fn a_stream_of_small_frames_is_read_in_large_reads_once_it_has_filled_a_small_buffer() {
    on_one_shard(|shard| async move {
        let mut reading = Reading::new(shard.driver());
        reading.arrive(BURST_BYTES).await;
        assert_eq!(reading.fill().await, (SMALL_BYTES, SMALL_BYTES));
        reading.take_frames();
        assert!(reading.buffer.end > 0, "a frame is there in part");
        let rest = BURST_BYTES - SMALL_BYTES;
        assert_eq!(reading.fill().await, (rest, LARGE_BYTES));
        reading.take_frames();
        for _ in 0..3 {
            assert_eq!(reading.held_bytes_in_wait().await, 0);
            reading.arrive(BURST_BYTES).await;
            assert_eq!(reading.fill().await, (BURST_BYTES, LARGE_BYTES));
            reading.take_frames();
        }
        // Once more large, for nobody knew; then small again.
        for size in [LARGE_BYTES, SMALL_BYTES, SMALL_BYTES] {
            reading.arrive(FRAME_BYTES).await;
            assert_eq!(reading.fill().await, (FRAME_BYTES, size));
            reading.take_frames();
        }
    });
}

#[test]
fn what_a_long_frame_took_is_given_back_while_its_open_connection_waits() {
    on_one_shard(|shard| async move {
        let mut reading = Reading::new(shard.driver());
        let length = 3 * LARGE_BYTES;
        for _ in 0..2 {
            let mut frame = u32::try_from(length).unwrap().to_be_bytes().to_vec();
            frame.resize(4 + length, 7);
            let mut far = reading.far.try_clone().unwrap();
            let sender = std::thread::spawn(move || far.write_all(&frame).unwrap());
            while reading.buffer.frame(4 + length).unwrap().is_none() {
                reading.fill().await;
            }
            assert_eq!(reading.ledger.held_bytes(), reading.buffer.bytes.len());
            assert!(reading.ledger.held_bytes() > length);
            reading.buffer.consume();
            assert_eq!(reading.held_bytes_in_wait().await, 0);
            sender.join().unwrap();
        }
    });
}
