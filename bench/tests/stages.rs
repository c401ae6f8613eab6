//! The relays of `scripts/stages` forward what they claim to forward.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sluice_dataplane::shard::ShardOptions;
use sluice_dataplane::stages::{Relay, Stage};

/// A client's and a broker's end of one relayed connection.
fn relayed(stage: Stage) -> (Relay, TcpStream, TcpStream) {
    let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let listener = TcpListener::bind(loopback).unwrap();
    let broker = listener.local_addr().unwrap();
    let relay = Relay::start(stage, loopback, broker, &ShardOptions::unbound(1)).unwrap();
    let client = TcpStream::connect(relay.address()).unwrap();
    let (broker, _) = listener.accept().unwrap();
    for end in [&client, &broker] {
        // A hang fails; nothing waits that long otherwise.
        end.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    }
    (relay, client, broker)
}

/// Metadata v4 without a client id, of whose body nothing is looked at.
fn request(correlation_id: i32) -> Vec<u8> {
    let mut frame = 14_i32.to_be_bytes().to_vec();
    frame.extend(3_i16.to_be_bytes());
    frame.extend(4_i16.to_be_bytes());
    frame.extend(correlation_id.to_be_bytes());
    frame.extend((-1_i16).to_be_bytes());
    frame.extend(0_i32.to_be_bytes());
    frame
}

/// An answer of which only the header is looked at.
fn answer(correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (4 + body.len() as i32).to_be_bytes().to_vec();
    frame.extend(correlation_id.to_be_bytes());
    frame.extend(body);
    frame
}

fn arrives(at: &mut TcpStream, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    at.read_exact(&mut found).unwrap();
    assert!(found == expected, "other bytes than were sent");
}

fn has_ended(mut end: TcpStream) -> bool {
    match end.read(&mut [0]) {
        Ok(count) => count == 0,
        // It was closed with bytes unread.
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn pass_through_passes_bytes_of_any_kind_both_ways() {
    let (_relay, mut client, mut broker) = relayed(Stage::PassThrough);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| (&client).write_all(&bytes).unwrap());
        arrives(&mut broker, &bytes);
    });
    broker.write_all(b"?").unwrap();
    arrives(&mut client, b"?");
    drop(client);
    assert!(has_ended(broker));
}

#[test]
fn frame_forwards_whole_frames_and_nothing_of_a_part() {
    let (_relay, mut client, mut broker) = relayed(Stage::Frame);
    let (first, second) = (request(1), request(2));
    let (begun, rest) = second.split_at(9);
    client.write_all(&[&first, begun].concat()).unwrap();
    arrives(&mut broker, &first);
    let long = answer(1, &[7; 1_000_000]);
    std::thread::scope(|scope| {
        scope.spawn(|| (&broker).write_all(&long).unwrap());
        arrives(&mut client, &long);
    });
    // What was read together with the first frame would be here by now.
    broker.set_nonblocking(true).unwrap();
    let early = broker.read(&mut [0]).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    broker.set_nonblocking(false).unwrap();
    client.write_all(rest).unwrap();
    arrives(&mut broker, &second);
}

#[test]
fn frame_ends_a_connection_whose_request_it_cannot_walk() {
    let (_relay, mut client, broker) = relayed(Stage::Frame);
    let mut frame = request(1);
    frame[5] = 99; // no such API
    client.write_all(&frame).unwrap();
    assert!(has_ended(client) && has_ended(broker));
}

#[test]
fn frame_ends_a_connection_whose_answer_is_not_the_one_that_is_due() {
    let (_relay, mut client, mut broker) = relayed(Stage::Frame);
    let asked = request(1);
    client.write_all(&asked).unwrap();
    arrives(&mut broker, &asked);
    broker.write_all(&answer(2, &[])).unwrap();
    assert!(has_ended(client));
}
