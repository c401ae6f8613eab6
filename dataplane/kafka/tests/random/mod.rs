//! A small seeded generator (xorshift64*), and what every test of hostile bytes does with it.
#![allow(dead_code, unreachable_pub)] // each test binary uses its own part

use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use sluice_kafka::views::TopicKey;
use uuid::Uuid;

/// Numbers that depend on nothing but the seed, which a failing test prints.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    pub fn text(&mut self, length_max: usize) -> String {
        const ALPHABET: [char; 8] = ['a', 'b', 'z', '0', '.', '-', '_', 'é'];
        (0..self.below(length_max + 1))
            .map(|_| ALPHABET[self.below(ALPHABET.len())])
            .collect()
    }
}

/// A topic's name and id as one version of a hot message carries them: the one or the other.
pub fn named(version: i16, name: &str) -> (TopicName, Uuid) {
    match version {
        ..13 => (
            TopicName(StrBytes::from_string(name.to_owned())),
            Uuid::nil(),
        ),
        _ => {
            let mut id = [0; 16];
            for (at, byte) in name.bytes().enumerate() {
                id[at % 16] ^= byte.rotate_left(at as u32 / 16);
            }
            (TopicName::default(), Uuid::from_bytes(id))
        }
    }
}

/// The same as the views show it.
pub fn key(version: i16, name: &TopicName, id: Uuid) -> TopicKey<'_> {
    match version {
        ..13 => TopicKey::Name(name),
        _ => TopicKey::Id(id.into_bytes()),
    }
}

/// Runs `read` on every truncation of `whole` and on thousands of mutations of it. That it returns is the test; `read` says
/// whether it accepted. The whole must be accepted, no truncation may be.
pub fn torture(
    random: &mut Random,
    whole: &[u8],
    mutations: usize,
    mut read: impl FnMut(&[u8]) -> bool,
) {
    assert!(read(whole), "the whole is accepted");
    for end in 0..whole.len() {
        assert!(!read(&whole[..end]), "cut at {end} of {}", whole.len());
    }
    for _ in 0..mutations {
        let mut mutated = whole.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(mutated.len());
            match random.below(5) {
                0 => mutated[at] = random.next() as u8,
                1 => mutated[at] = [0x00, 0x7f, 0x80, 0xff][random.below(4)],
                2 => mutated[at] ^= 1 << random.below(8),
                3 => {
                    mutated.remove(at);
                }
                _ => {
                    let count = 1 + random.below(6);
                    let filler = random.bytes(count);
                    mutated.splice(at..at, filler);
                }
            }
            if mutated.is_empty() {
                break;
            }
        }
        read(&mutated);
    }
}
