//! Carrying on costs no allocation: none for a record, none for a frame of Produce or Fetch, once a session has seen its topics.

mod support;

use sluice_session::{BrokerStep, Outbox};

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
