use serde_json::json;

use super::*;
use crate::record::Revision;

/// xorshift64*: the same numbers on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Often nothing, often an edge, of any magnitude otherwise.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << 63,
            _ => self.next() >> self.below(64),
        }
    }

    fn text(&mut self, bytes_max: u64) -> String {
        let length = if self.below(3) == 0 {
            0
        } else {
            self.below(bytes_max + 1)
        };
        (0..length)
            .map(|_| char::from(b' ' + self.below(90) as u8))
            .collect()
    }
}

struct Texts([String; 6]);

fn head<'a>(random: &mut Random, texts: &'a Texts) -> RecordHead<'a> {
    let [principal, client_id, peer, reason_code, reason, denial_id] = &texts.0;
    RecordHead {
        kind: Kind::ALL[random.below(17) as usize],
        part: random.number() as u32,
        time_unix_ns: random.number(),
        session: SessionId(u128::from(random.number()) << 64 | u128::from(random.number())),
        sequence: random.number(),
        answers: (random.below(2) == 0).then(|| random.number()),
        principal,
        client_id,
        peer,
        api: (random.below(2) == 0).then(|| Api {
            key: random.number() as i16,
            version: random.number() as i16,
        }),
        revision: Revision {
            incarnation: random.number(),
            number: random.number(),
        },
        reason_code,
        reason,
        denial_id,
    }
}

fn item<'a>(random: &mut Random, resource: &'a str, plan: &'a str) -> Item<'a> {
    if random.below(4) == 0 {
        return Item::default();
    }
    Item {
        operation: random.number() as u8,
        resource_kind: random.number() as u8,
        resource,
        topic_id: (random.below(2) == 0).then(|| u128::from(random.next()).to_be_bytes()),
        partition: random.number() as i32,
        first_offset: random.number() as i64,
        last_offset: random.number() as i64,
        records_count: random.number() as u32,
        error_code: random.number() as i16,
        producer_id: random.number() as i64,
        producer_epoch: random.number() as i16,
        base_sequence: random.number() as i32,
        batch_crc: (random.below(2) == 0).then(|| random.number() as u32),
        mask_plan: plan,
        masked_fields_count: random.number() as u32,
        reason_code: plan,
        flags: ItemFlags::from_bits(random.number() as u32),
    }
}

fn encode(head: &RecordHead<'_>, items: &[Item<'_>]) -> Vec<u8> {
    let mut leaf = Vec::new();
    let mut writer = RecordWriter::begin(&mut leaf, head).unwrap();
    items.iter().for_each(|item| writer.item(item).unwrap());
    let bytes = writer.finish();
    assert_eq!(bytes, leaf.len());
    leaf
}

fn sample() -> Vec<u8> {
    let head = RecordHead {
        kind: Kind::Outcome,
        time_unix_ns: 1_700_000_000_000_000_000,
        session: SessionId(0xabc),
        sequence: 7,
        answers: Some(6),
        principal: "User:analytics",
        client_id: "app",
        peer: "10.0.0.1:5555",
        api: Some(Api {
            key: 1,
            version: 16,
        }),
        revision: Revision {
            incarnation: 1,
            number: 42,
        },
        ..RecordHead::default()
    };
    let item = Item {
        operation: 3,
        resource_kind: 2,
        resource: "orders",
        partition: 0,
        first_offset: 100,
        last_offset: 199,
        records_count: 100,
        mask_plan: "personal-data",
        masked_fields_count: 300,
        flags: ItemFlags::DELIVERED,
        ..Item::default()
    };
    encode(
        &head,
        &[
            item,
            Item {
                partition: 1,
                ..item
            },
        ],
    )
}

#[test]
fn records_come_back_as_they_went_in() {
    let seed = 0x5eed_0001;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for _ in 0..3_000 {
        let texts = Texts(std::array::from_fn(|_| random.text(200)));
        let resources: Vec<_> = (0..random.below(5))
            .map(|_| (random.text(300), random.text(60)))
            .collect();
        let head = head(&mut random, &texts);
        let items: Vec<_> = resources
            .iter()
            .map(|(name, plan)| item(&mut random, name, plan))
            .collect();
        let leaf = encode(&head, &items);
        let record = Record::decode(&leaf).unwrap();
        assert_eq!(record.head, head);
        assert_eq!(record.items().collect::<Vec<_>>(), items);
    }
}

#[test]
fn items_of_every_length_are_measured_right() {
    for bytes in [
        0, 1, 100, 120, 126, 127, 128, 129, 16_370, 16_383, 16_384, 16_390, 32_767,
    ] {
        let name = "n".repeat(bytes);
        let items = [
            Item {
                resource: &name,
                ..Item::default()
            },
            Item {
                partition: 3,
                ..Item::default()
            },
        ];
        let leaf = encode(&RecordHead::default(), &items);
        assert_eq!(
            Record::decode(&leaf).unwrap().items().collect::<Vec<_>>(),
            items,
            "{bytes} bytes"
        );
    }
}

#[test]
fn refuses_every_cut_of_a_record_that_is_not_a_record_itself() {
    let leaf = sample();
    for cut in 0..leaf.len() {
        if let Ok(record) = Record::decode(&leaf[..cut]) {
            let items: Vec<_> = record.items().collect();
            assert_eq!(encode(&record.head, &items), leaf[..cut], "cut at {cut}");
        }
    }
}

#[test]
fn hostile_bytes_are_refused_or_mean_exactly_one_record() {
    let seed = 0x5eed_0002;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let leaf = sample();
    let mut accepted_count = 0;
    for _ in 0..200_000 {
        let mut damaged = leaf.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(damaged.len() as u64) as usize;
            damaged[at] = random.next() as u8;
        }
        if let Ok(record) = Record::decode(&damaged) {
            accepted_count += 1;
            let items: Vec<_> = record.items().collect();
            let again = encode(&record.head, &items);
            // Shorter: a tag that this version does not know was passed over.
            assert!(
                again == damaged || again.len() < damaged.len(),
                "{damaged:?}"
            );
        }
    }
    assert!(accepted_count > 1_000);
}

#[test]
fn passes_over_fields_that_a_later_writer_adds() {
    let mut leaf = encode(
        &RecordHead {
            sequence: 5,
            ..RecordHead::default()
        },
        &[],
    );
    leaf.extend_from_slice(&[40 << 1, 9, 41 << 1 | 1, 2, b'h', b'i']);
    assert_eq!(Record::decode(&leaf).unwrap().head.sequence, 5);
    leaf[0] = VERSION + 1;
    assert!(Record::decode(&leaf).is_err());
}

#[test]
fn a_full_record_says_so_stays_as_it_was_and_another_goes_on() {
    let name = "t".repeat(1_000);
    let mut out = Vec::new();
    let (mut written, mut part) = (0_usize, 0);
    let items_count = 500;
    while written < items_count {
        let head = RecordHead {
            part,
            principal: "User:a",
            ..RecordHead::default()
        };
        let mut writer = RecordWriter::begin_framed(&mut out, &head).unwrap();
        while written < items_count {
            let before = writer.leaf_bytes();
            match writer.item(&Item {
                resource: &name,
                partition: written as i32,
                ..Item::default()
            }) {
                Ok(()) => written += 1,
                Err(Error::RecordFull) => {
                    assert_eq!(writer.leaf_bytes(), before);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(writer.finish() <= LEAF_BYTES_MAX);
        part += 1;
    }
    let partitions: Vec<i32> = segment::segment_leaves(&out)
        .flat_map(|leaf| {
            Record::decode(leaf)
                .unwrap()
                .items()
                .map(|item| item.partition)
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(partitions, (0..items_count as i32).collect::<Vec<_>>());
    assert!(part > 5);
}

#[test]
fn one_item_of_the_largest_size_always_fits_behind_the_largest_head() {
    let text = "x".repeat(HEAD_TEXT_BYTES_MAX);
    let texts = Texts(std::array::from_fn(|_| text.clone()));
    let seed = 0x5eed_0003;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for _ in 0..100 {
        let head = head(&mut random, &texts);
        let (name, plan) = (
            "r".repeat(RESOURCE_BYTES_MAX),
            "p".repeat(ITEM_TEXT_BYTES_MAX),
        );
        let leaf = encode(&head, &[item(&mut random, &name, &plan)]);
        assert!(Record::decode(&leaf).is_ok());
    }
}

#[test]
fn an_oversized_text_is_refused_and_leaves_nothing_behind() {
    let text = "x".repeat(HEAD_TEXT_BYTES_MAX + 1);
    let mut out = vec![1, 2, 3];
    let head = RecordHead {
        client_id: &text,
        ..RecordHead::default()
    };
    assert!(matches!(
        RecordWriter::begin_framed(&mut out, &head),
        Err(Error::RecordTextOversized {
            field: "client_id",
            ..
        })
    ));
    assert_eq!(out, [1, 2, 3]);
    let mut writer = RecordWriter::begin(&mut out, &RecordHead::default()).unwrap();
    let resource = "r".repeat(RESOURCE_BYTES_MAX + 1);
    assert!(
        writer
            .item(&Item {
                resource: &resource,
                ..Item::default()
            })
            .is_err()
    );
    writer.abandon();
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn the_bytes_of_a_record_do_not_change_between_versions_of_this_crate() {
    let leaf = encode(
        &RecordHead {
            kind: Kind::Heartbeat,
            time_unix_ns: 1,
            ..RecordHead::default()
        },
        &[],
    );
    assert_eq!(
        leaf,
        [
            1, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    let head = RecordHead {
        answers: Some(3),
        principal: "User:a",
        api: Some(Api { key: 0, version: 9 }),
        ..RecordHead::default()
    };
    let item = Item {
        operation: 4,
        resource: "t",
        partition: 0,
        first_offset: 5,
        ..Item::default()
    };
    let leaf = encode(&head, &[item]);
    assert_eq!(
        leaf[FIXED_BYTES..],
        [
            &[6, 3, 9, 6][..],
            b"User:a",
            &[14, 0, 16, 18],
            &[127, 9, 2, 4, 7, 1, b't', 10, 2, 12, 12],
        ]
        .concat()
    );
}

#[test]
fn json_says_what_was_set_and_nothing_else() {
    let json = Record::decode(&sample()).unwrap().to_json();
    assert_eq!(
        json,
        json!({
            "kind": "Outcome",
            "time_unix_ns": 1_700_000_000_000_000_000_u64,
            "session": "00000000000000000000000000000abc",
            "sequence": 7,
            "answers": 6,
            "principal": "User:analytics",
            "client_id": "app",
            "peer": "10.0.0.1:5555",
            "api_key": 1,
            "api_version": 16,
            "revision": {"incarnation": 1, "number": 42},
            "items": [
                {"operation": "Read", "resource_kind": "Topic", "resource": "orders", "partition": 0, "first_offset": 100,
                 "last_offset": 199, "records_count": 100, "mask_plan": "personal-data", "masked_fields_count": 300,
                 "flags": ["delivered"]},
                {"operation": "Read", "resource_kind": "Topic", "resource": "orders", "partition": 1, "first_offset": 100,
                 "last_offset": 199, "records_count": 100, "mask_plan": "personal-data", "masked_fields_count": 300,
                 "flags": ["delivered"]}
            ]
        })
    );
}
