//! Every bound of the generator, in one place.

use std::time::Duration;

/// The longest frame taken from a target.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes that wait for a socket; past it no further request is encoded.
pub const OUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a connection's receive buffer starts with; it grows to the longest answer.
pub const IN_BYTES: usize = 256 * 1024;

/// Reads of one connection before the others get their turn.
pub const READS_PER_TURN_MAX: usize = 4;

/// Connections of one run.
pub const CONNECTIONS_MAX: usize = 8_192;

/// How often a command may run beside the load.
pub const CHURN_INTERVAL_MIN: Duration = Duration::from_millis(100);
pub const CHURN_INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);

/// The longest such command.
pub const CHURN_COMMAND_BYTES_MAX: usize = 64 * 1024;

/// How long after the command's end requests still count as touched by it, at most; never more than a quarter of its interval.
pub const CHURN_TAIL_MAX: Duration = Duration::from_secs(1);

/// How long a command may go on after the load has ended.
pub const CHURN_END_MAX: Duration = Duration::from_secs(10);

/// How often a running command is looked at.
pub const CHURN_LOOK: Duration = Duration::from_millis(10);

/// Bytes of answers that all slow consumers of a run may hold together.
pub const SLOW_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// The socket's receive buffer of a slow consumer, so that what it does not read stays with the target.
pub const SLOW_SOCKET_BYTES: usize = 64 * 1024;

/// Bytes a second that a slow consumer reads at most.
pub const READ_RATE_MAX: u64 = 1_000_000_000;

/// Handshakes under way at once in a storm; each has a thread.
pub const STORM_CONNECTIONS_MAX: usize = 1_024;

/// The stack of such a thread.
pub const STORM_STACK_BYTES: usize = 1024 * 1024;

/// Batches of one partition that were written and not seen yet, or seen and not yet answered for.
pub const TRACED_MAX: usize = 100_000;

/// Requests sent and not yet answered on one connection.
pub const IN_FLIGHT_MAX: usize = 10_000;

/// Requests per second of one run.
pub const RATE_MAX: u64 = 10_000_000;

/// Seconds of one run.
pub const SECONDS_MAX: u64 = 24 * 3600;

/// The longest request that a sink takes.
pub const SINK_FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Record bytes that a sink puts into one answer.
pub const SINK_FETCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of answers after which a sink writes before it reads the next request.
pub const SINK_OUT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Connections that a sink holds; one more is closed.
pub const SINK_CONNECTIONS_MAX: u32 = 8_192;

/// Closed connections that a sink speaks of.
pub const SINK_NOTES_MAX: u32 = 20;

/// The numbers of partitions that a run may choose are below this; ranges of them in one choice.
pub const PARTITIONS_MAX: i32 = 1_000_000;
pub const PARTITION_RANGES_MAX: usize = 10_000;

/// Partitions of one topic of a sink.
pub const SINK_PARTITIONS_MAX: i32 = 10_000;

/// One Produce batch, as it stands in the request.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of one record's value, of its key, and of the value of one of its headers.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
pub const KEY_BYTES_MAX: usize = 64 * 1024;
pub const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Headers of one record.
pub const HEADERS_MAX: usize = 100;

/// Digits of keys that come once: more than a run can use up.
pub const UNIQUE_KEY_BYTES_MIN: usize = 12;

/// Sizes with weights of one distribution, and the weight of one of them.
pub const SIZES_MAX: usize = 64;
pub const SIZE_WEIGHT_MAX: u64 = 1_000_000;

/// Letters of what a target says that reports repeat.
pub const TARGET_TEXT_MAX: usize = 300;

/// Of so many records the rarest size has one at least.
pub const SIZE_SHARE_MIN: u64 = 100;

/// Records that are prepared for one connection, if they differ; those of all connections; and the bytes of all, but for one
/// batch of each connection.
pub const POOL_RECORDS: usize = 1_024;
pub const POOL_RECORDS_MAX: usize = 256 * 1024;
pub const POOL_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Rounds of one comparison.
pub const ROUNDS_MAX: usize = 1_000;

/// Different error texts kept of one run; further ones are only counted.
pub const ERROR_TEXTS_MAX: usize = 16;

/// The longest answer of a token endpoint.
pub const TOKEN_ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// The longest credential or roots file.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How long connecting, logging in and asking for offsets may each take.
pub const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a topic that was just created may be without a leader.
pub const LEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Histograms count nanoseconds from 1 up to this; what is longer counts as this.
pub const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// The wait for sockets ends at least this often, so that an abandoned run ends.
pub const WAIT_MAX: Duration = Duration::from_millis(100);

const _: () = assert!(BATCH_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX + SINK_FETCH_BYTES_MAX < i32::MAX as usize);
