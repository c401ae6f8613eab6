//! What each pure stage of a request costs, beside other ways to do the same. `cargo bench -p sluice-bench`; arguments
//! that are part of a title choose tables, `SLUICE_BENCH_ROUNDS` sets the rounds (default 60).
#![allow(
    clippy::unwrap_used,
    reason = "a benchmark without its input has nothing to measure"
)]

mod batches;
mod decision;
mod evidence;
mod frames;
mod masking;

use sluice_bench::Table;
use sluice_kafka::codec::Codec;

fn main() {
    let rounds = std::env::var("SLUICE_BENCH_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    // cargo adds options such as --bench; words choose.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let chosen =
        |title: &str| words.is_empty() || words.iter().any(|word| title.contains(word.as_str()));
    let bench = |title: &str, fill: &mut dyn FnMut(Table<'static>) -> Table<'static>| {
        if chosen(title) {
            println!(
                "{}",
                fill(Table::new(String::leak(title.to_owned()))).run(rounds)
            );
        }
    };
    bench(
        "frame: Produce v9, 1 topic x 1 partition, 1 KiB",
        &mut |table| frames::produce(table, 1, 1),
    );
    bench(
        "frame: Produce v9, 10 topics x 10 partitions, 1 KiB each",
        &mut |table| frames::produce(table, 10, 10),
    );
    bench(
        "decision: a topic this connection knows",
        &mut decision::topic,
    );
    bench(
        "masking: 1 KiB of JSON, 40 scalars, 4 fields",
        &mut masking::value,
    );
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd] {
        bench(
            &format!(
                "masking: a batch of 100 such documents, all different, {}",
                codec.name()
            ),
            &mut |table| batches::masked(table, codec),
        );
    }
    bench(
        "evidence: one intent with one topic-partition",
        &mut evidence::intent,
    );
}
