//! Carrying on costs no allocation: none for a record, none for a frame of Produce or Fetch, masked or not, once a session has
//! seen its topics; but for the one masked record in 251 that another parser reads again, and for codecs that make their
//! tables anew.

mod support;

use kafka_protocol::messages::FetchRequest;
use sluice_kafka::codec::Codec;
use sluice_session::{BrokerStep, MaskScratch, Outbox, limits};

use support::Rig;
use support::batch::BatchSpec;
use support::frames::{self, fetch, fetched, produce, produced};

/// A batch of so many records.
fn batch(records: usize) -> Vec<u8> {
    BatchSpec::default().of(&vec![&b"{}"[..]; records])
}

/// Allocations of so many requests and their answers, one after the other, after a first few that are not counted.
fn allocations(rig: &mut Rig, request: &[u8], response: &[u8]) -> u64 {
    const WARM_UP: i32 = 3;
    const COUNTED: i32 = 50;
    let mut out = Outbox::default();
    let mut counted = 0;
    for id in 0..WARM_UP + COUNTED {
        let (mut request, mut response) = (request.to_vec(), response.to_vec());
        // The correlation id, behind length, API key and version; of an answer behind the length alone.
        request[8..12].copy_from_slice(&id.to_be_bytes());
        response[4..8].copy_from_slice(&id.to_be_bytes());
        let environment = rig.world.environment();
        let session = &mut rig.session;
        let measured = allocation_counter::measure(|| {
            session
                .client_frame(&environment, 0, &mut request, &mut out)
                .unwrap();
            session.release(&mut out).unwrap();
            assert_eq!(out.pieces().len(), 1, "forwarded");
            out.clear();
            let step = session.broker_frame(&environment, 0, &mut response, &mut out);
            assert!(matches!(step, Ok(BrokerStep::Done)));
            session.release(&mut out).unwrap();
            assert_eq!(out.pieces().len(), 1, "answered");
            out.clear();
        });
        if id >= WARM_UP {
            counted += measured.count_total;
        }
    }
    counted
}

#[test]
fn a_produce_allocates_nothing_however_many_records_and_partitions() {
    for version in [9, 13] {
        for records in [1, 500] {
            let mut rig = Rig::authenticated("writer");
            let records = batch(records);
            let batches = |first: i32| vec![(first, records.clone()), (first + 1, records.clone())];
            let request = produce(1, &[("orders", batches(0)), ("clicks", batches(3))]);
            let answer = produced(&[
                ("orders", vec![(0, 10), (1, 11)]),
                ("clicks", vec![(3, 12), (4, 13)]),
            ]);
            let request = frames::request(version, 0, &request);
            let answer =
                frames::response::<kafka_protocol::messages::ProduceRequest>(version, 0, &answer);
            assert_eq!(
                allocations(&mut rig, &request, &answer),
                0,
                "version {version}"
            );
        }
    }
}

#[test]
fn a_fetch_in_the_clear_allocates_nothing_however_many_records_and_partitions() {
    for version in [12, 13] {
        for records in [0, 1, 500] {
            let mut rig = Rig::authenticated("reader");
            let asked = fetch(&[("orders", vec![(0, 5), (1, 6)]), ("clicks", vec![(0, 7)])]);
            let records = if records == 0 {
                Vec::new()
            } else {
                batch(records)
            };
            let answer = fetched(&[
                ("orders", vec![(0, records.clone()), (1, records.clone())]),
                ("clicks", vec![(0, records)]),
            ]);
            let request = frames::request(version, 0, &asked);
            let answer =
                frames::response::<kafka_protocol::messages::FetchRequest>(version, 0, &answer);
            assert_eq!(
                allocations(&mut rig, &request, &answer),
                0,
                "version {version}"
            );
        }
    }
}

/// Allocations of several masked Fetches of one partition, by what was done: the request, the start of the answer, its masking,
/// its end. Without those of self-checks, which are counted, too.
fn masked_allocations(records_count: usize, codec: Codec) -> [u64; 4] {
    const WARM_UP: i32 = 4;
    const COUNTED: i32 = 20;
    let values: Vec<String> = (0..records_count)
        .map(|number| format!(r#"{{"id":{number},"email":"ada.{number}@example.com"}}"#))
        .collect();
    let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
    let batch = BatchSpec {
        codec,
        ..BatchSpec::default()
    }
    .of(&values);
    let asked = fetch(&[("masked", vec![(0, 0)])]);
    let mut rig = Rig::authenticated("reader");
    let (mut scratch, mut out) = (MaskScratch::default(), Outbox::default());
    let (mut counted, mut self_checks) = ([0; 4], 0);
    for id in 0..WARM_UP + COUNTED {
        let mut request = frames::request(12, id, &asked);
        let answer = fetched(&[("masked", vec![(0, batch.clone())])]);
        let mut answer = frames::response::<FetchRequest>(12, id, &answer);
        let environment = rig.world.environment();
        let session = &mut rig.session;
        let (mut started, mut checks) = (None, 0);
        let request = allocation_counter::measure(|| {
            session
                .client_frame(&environment, 0, &mut request, &mut out)
                .unwrap();
            session.release(&mut out).unwrap();
            out.clear();
        });
        let start = allocation_counter::measure(|| {
            started = Some(session.broker_frame(&environment, 0, &mut answer, &mut out));
        });
        let Some(Ok(BrokerStep::Mask(mut job))) = started else {
            panic!("not masked: {started:?}");
        };
        let mask = allocation_counter::measure(|| {
            while !job.step(&mut answer, limits::MASK_STEP_BYTES, &mut scratch) {}
        });
        let end = allocation_counter::measure(|| {
            session
                .masked(&environment, job, &mut answer, &mut scratch, &mut out)
                .unwrap();
            session.release(&mut out).unwrap();
            assert!(out.pieces().len() >= 3, "answered");
            checks = out.counts().self_checks;
            scratch.give_back(&mut out);
            out.clear();
        });
        if id >= WARM_UP {
            let measured = [request, start, mask, end].map(|measured| measured.count_total);
            for (counted, measured) in counted.iter_mut().zip(measured) {
                *counted += measured;
            }
            self_checks += checks;
        }
    }
    assert!(self_checks > 0 || records_count * (COUNTED as usize) < 251);
    counted[2] -= SELF_CHECK * self_checks;
    counted
}

/// For each value that is parsed again: the parser, and the self-check's lists of fields and paths.
const SELF_CHECK: u64 = 6;

#[test]
fn a_masked_fetch_allocates_nothing_however_many_records() {
    for codec in [Codec::None, Codec::Zstd] {
        for records_count in [1, 10, 256, 1_000] {
            assert_eq!(
                masked_allocations(records_count, codec),
                [0; 4],
                "{records_count} records, {codec:?}"
            );
        }
    }
}

/// These codecs make their tables anew: gzip for each batch, snappy and lz4 for each block of 64 KiB.
#[test]
fn the_other_codecs_allocate_for_batches_and_blocks_and_for_no_record() {
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4] {
        let masked = |records_count| {
            let [request, start, mask, end] = masked_allocations(records_count, codec);
            assert_eq!((request, start, end), (0, 0, 0), "{codec:?}");
            mask / 20
        };
        let (few, many) = (masked(10), masked(1_000));
        assert!(few <= 4, "{few}, {codec:?}");
        // Of the thousand records two blocks are made.
        assert!(many <= few + 1, "{many} instead of {few}, {codec:?}");
    }
}
