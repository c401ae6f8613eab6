//! One connection of a sink: frames in, answers out in the same order.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sluice_dataplane::accept::Accepted;
use sluice_dataplane::net::{Driver, Sock, Stream, TlsRole};
use sluice_kafka::frame::frame_length;

use super::Shared;
use super::answer::answer;
use super::outgoing::{Close, Outgoing};
use crate::limits::{
    IN_BYTES, SINK_CONNECTIONS_MAX, SINK_FRAME_BYTES_MAX, SINK_NOTES_MAX, SINK_OUT_BYTES_MAX,
};

static CONNECTIONS: AtomicU32 = AtomicU32::new(0);
static NOTES: AtomicU32 = AtomicU32::new(0);

/// Serves until the client leaves or sends what cannot be read.
pub(super) async fn serve(accepted: Accepted, driver: &Rc<Driver>, shared: &Shared) {
    let peer = accepted.peer;
    let _counted = Counted::new();
    if CONNECTIONS.load(Ordering::Relaxed) > SINK_CONNECTIONS_MAX {
        return note(&format!(
            "closed {peer}: more than {SINK_CONNECTIONS_MAX} connections"
        ));
    }
    let entrance = shared.entrances.get(&accepted.listener);
    let (Ok(sock), Some(entrance)) = (Sock::from_accepted(driver, accepted.fd, peer), entrance)
    else {
        return;
    };
    let role = entrance.tls.as_ref().map(Arc::clone).map(TlsRole::Server);
    let stream = match Stream::open(sock, role).await {
        Ok(stream) => stream,
        Err(error) => return note(&format!("closed {peer}: no TLS handshake: {error}")),
    };
    match exchange(&stream, shared, &entrance.advertised).await {
        Ok(()) | Err(Close::Io(_)) => {}
        Err(close) => note(&format!("closed {peer}: {close}")),
    }
}

async fn exchange(
    stream: &Stream,
    shared: &Shared,
    advertised: &(String, u16),
) -> Result<(), Close> {
    let mut input = vec![0; IN_BYTES];
    let (mut from, mut to) = (0, 0);
    let mut outgoing = Outgoing::new(shared.log.tail().clone());
    loop {
        let read = stream.read(&mut input[to..]).await?;
        if read == 0 {
            return Ok(());
        }
        to += read;
        let frame_bytes = loop {
            let pending = &input[from..to];
            let frame_bytes = frame_length(pending, SINK_FRAME_BYTES_MAX)
                .map_err(Close::Frame)?
                .unwrap_or(0);
            let Some(frame) = pending.get(..frame_bytes).filter(|frame| !frame.is_empty()) else {
                break frame_bytes;
            };
            answer(frame, shared, advertised, &mut outgoing)?;
            from += frame_bytes;
            if outgoing.waiting_bytes() > SINK_OUT_BYTES_MAX {
                outgoing.flush(stream).await?;
            }
        };
        outgoing.flush(stream).await?;
        make_room(&mut input, &mut from, &mut to, frame_bytes);
    }
}

/// Room for the rest of a frame of `frame_bytes` of which `input[from..to]` is there. The buffer doubles while bytes arrive
/// instead of believing a length at once, and shrinks when a long frame is through.
fn make_room(input: &mut Vec<u8>, from: &mut usize, to: &mut usize, frame_bytes: usize) {
    if from == to {
        (*from, *to) = (0, 0);
        if input.len() > IN_BYTES && frame_bytes == 0 {
            *input = vec![0; IN_BYTES];
        }
    } else if *from > 0 && (*to == input.len() || *from + frame_bytes > input.len()) {
        input.copy_within(*from..*to, 0);
        (*from, *to) = (0, *to - *from);
    }
    if *to == input.len() {
        let doubled = input.len().saturating_mul(2);
        input.resize(doubled.min(frame_bytes.max(input.len() + 1)), 0);
    }
}

/// On standard error, the first of many only: a faulty client must not fill a disk.
fn note(text: &str) {
    let number = NOTES.fetch_add(1, Ordering::Relaxed);
    if number < SINK_NOTES_MAX {
        eprintln!("sink: {text}");
    } else if number == SINK_NOTES_MAX {
        eprintln!("sink: further connections are closed without a note");
    }
}

struct Counted;

impl Counted {
    fn new() -> Self {
        CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        CONNECTIONS.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_grows_with_what_arrives_and_shrinks_afterwards() {
        let (mut input, mut from, mut to) = (vec![0; IN_BYTES], 0, IN_BYTES);
        make_room(&mut input, &mut from, &mut to, 100 * IN_BYTES);
        assert_eq!((input.len(), to), (2 * IN_BYTES, IN_BYTES));
        (from, to) = (input.len(), input.len());
        make_room(&mut input, &mut from, &mut to, 0);
        assert_eq!((input.len(), from, to), (IN_BYTES, 0, 0));
    }

    #[test]
    fn a_frame_that_has_begun_moves_to_the_front_if_its_end_has_no_room() {
        let (mut input, mut from, mut to) = (vec![0; IN_BYTES], IN_BYTES - 3, IN_BYTES);
        input[from..].copy_from_slice(b"abc");
        make_room(&mut input, &mut from, &mut to, 100);
        assert_eq!((from, to, &input[..3]), (0, 3, &b"abc"[..]));
        assert_eq!(input.len(), IN_BYTES);
    }
}
