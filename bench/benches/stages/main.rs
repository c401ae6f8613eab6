//! What each pure stage of a request costs, beside other ways to do the same. `cargo bench -p sluice-bench`; arguments
//! that are part of a title choose tables, `SLUICE_BENCH_ROUNDS` sets the rounds (default 60).
//!
//! For scripts/counts: `--list` names the stages that are ours, `--repeat N STAGE` runs one of them N times and says nothing.
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
    // cargo adds options of its own, such as --bench.
    let mut arguments = std::env::args().skip(1).filter(|word| word != "--bench");
    let asked = match arguments.next().as_deref() {
        Some("--list") => Asked::List,
        Some("--repeat") => Asked::Repeat {
            iterations: arguments.next().unwrap().parse().unwrap(),
            stage: arguments.next().unwrap(),
        },
        _ => Asked::Tables {
            rounds: std::env::var("SLUICE_BENCH_ROUNDS")
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(60),
            words: std::env::args()
                .skip(1)
                .filter(|word| !word.starts_with('-'))
                .collect(),
        },
    };
    let mut is_found = false;
    let mut bench = |title: &str, fill: &mut dyn FnMut(Table<'static>) -> Table<'static>| {
        if !asked.wants(title) {
            return;
        }
        let mut table = fill(Table::new(String::leak(title.to_owned())));
        match &asked {
            Asked::Tables { rounds, .. } => println!("{}", table.run(*rounds)),
            Asked::List => table.stages().for_each(|stage| println!("{stage}")),
            Asked::Repeat { iterations, stage } => is_found |= table.repeat(stage, *iterations),
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
        "frame: Fetch v12, 10 topics x 10 partitions",
        &mut |table| frames::fetch(table, 10, 10),
    );
    bench(
        "frame: answer to Fetch v12, 10 topics x 10 partitions, 1 KiB each",
        &mut |table| frames::fetched(table, 10, 10),
    );
    bench(
        "decision: a topic this connection knows",
        &mut decision::topic,
    );
    bench(
        "masking: 1 KiB of JSON, 40 scalars, 4 fields",
        &mut masking::value,
    );
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
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
    if let Asked::Repeat { stage, .. } = &asked {
        assert!(is_found, "there is no stage {stage}");
    }
}

enum Asked {
    Tables { rounds: usize, words: Vec<String> },
    List,
    Repeat { iterations: u64, stage: String },
}

impl Asked {
    /// Whether a table need be filled, which can take longer than a measurement.
    fn wants(&self, title: &str) -> bool {
        match self {
            Self::Tables { words, .. } => {
                words.is_empty() || words.iter().any(|word| title.contains(word.as_str()))
            }
            Self::List => true,
            Self::Repeat { stage, .. } => stage.starts_with(title),
        }
    }
}
