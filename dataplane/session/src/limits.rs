//! Every bound of a session, in one place.

/// The longest request frame taken before a session is authenticated (as Kafka's `sasl.server.max.receive.size`).
pub const UNAUTHENTICATED_FRAME_BYTES_MAX: usize = 512 * 1024;

/// The longest request frame taken from an authenticated client, and the longest response taken from a broker.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Requests forwarded and not yet answered on one session; past it nothing more is read from the client.
pub const IN_FLIGHT_COUNT_MAX: usize = 1_000;

/// Memory that waits for answers on one session; past it nothing more is read from the client. One request more may be over.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Memory that one connection may hold in the gateway, all of it together: frames that arrive, what waits for answers, and
/// answers that are masked or on their way. Past it the connection is closed.
///
/// It leaves room for the longest request and the longest answer at once. An ordinary connection holds 512 KiB while it is
/// active, and nothing of this while it is idle.
pub const CONNECTION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What a Fetch may ask of the broker at once. Kafka's limits are soft, so a smaller one only means more rounds.
pub const FETCH_BYTES_MAX: i32 = 8 * 1024 * 1024;

/// The same for a Fetch that touches a masked topic: its answer is buffered whole while values are rewritten.
pub const MASKED_FETCH_BYTES_MAX: i32 = 4 * 1024 * 1024;

/// Partitions of a Fetch whose answer may go on as it arrives. The outcome is recorded before its last part leaves, when others
/// have left, so it is small.
pub const RELAYED_PARTITIONS_MAX: usize = 256;

/// How large one masked batch may become when it is decompressed.
pub const DECOMPRESSED_BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How much of a compressed batch, decompressed and masked, may be kept between two turns of masking. With more it is masked to
/// its end in one, so that not every connection keeps such memory.
pub const HELD_BATCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Refused producer sequences that the order gate remembers, process-wide.
pub const ORDER_GATE_ENTRIES_MAX: usize = 100_000;

/// Producer ids whose owner is remembered, process-wide.
pub const PRODUCER_IDS_MAX: usize = 1_000_000;

/// Of these, those that one principal may claim although no broker was seen to give them to it.
pub const PRODUCER_IDS_CLAIMED_MAX: usize = 10_000;

/// How long a session goes on under a producer id without telling the table that it is in use.
pub const PRODUCER_ID_CLAIM_MS: i64 = 3_600_000;

/// Idle for so long, an owner may be forgotten where there is no room: the day after which brokers have forgotten the
/// producer too (`producer.id.expiration.ms`), and as long as the table may be behind.
pub const PRODUCER_ID_MEMORY_MS: i64 = 86_400_000 + PRODUCER_ID_CLAIM_MS;

/// Topic ids whose name is remembered, and topics of a cluster whose names are kept, process-wide.
pub const TOPIC_IDS_MAX: usize = 200_000;

/// Topics that one session remembers with what policy says about them, so that a request costs no look into tables: at most
/// some 100 KB, for names longer than Kafka's are not remembered.
pub const SESSION_TOPICS_MAX: usize = 256;

/// The most topics of a cluster that patterns are resolved against. Past it no pattern is resolved.
pub const TOPIC_NAMES_MAX: usize = 100_000;

/// The longest name that Kafka gives a topic.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// The longest pattern of a subscription.
pub const PATTERN_BYTES_MAX: usize = 1_024;

/// How deep groups may nest in it.
pub const PATTERN_DEPTH_MAX: u32 = 50;

/// The most that RE2/J repeats.
pub const PATTERN_REPETITIONS_MAX: u32 = 1_000;

/// Memory of the automaton that a pattern is parsed to, before it is made deterministic.
pub const PATTERN_NFA_BYTES_MAX: usize = 128 * 1024;

/// Memory of the deterministic automaton, and again of what makes it: about 1,000 states. A name then costs a table look-up
/// a byte, whatever the pattern.
pub const PATTERN_DFA_BYTES_MAX: usize = 256 * 1024;

/// Topics of one subscription with a pattern: those named and those matched.
pub const SUBSCRIPTION_TOPICS_MAX: usize = 10_000;

/// Members of consumer groups whose subscription one session remembers. A client has one for each of its consumers, on a
/// connection of its own.
pub const SESSION_SUBSCRIPTIONS_MAX: usize = 8;

/// The longest pause asked of a client whose write waits for an approval (contract: at most one second).
pub const APPROVAL_THROTTLE_MS_MAX: u32 = 1_000;

/// Memory for evidence that a connection keeps from step to step; what a request of very many partitions took is given back.
pub const EVIDENCE_BYTES_KEPT: usize = 64 * 1024;

/// Memory of the subscriptions that one session remembers, their compiled patterns included. A member whose own does not fit
/// says it with each heartbeat.
pub const SESSION_SUBSCRIPTION_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one text (client id, reason) kept in evidence; the rest is cut.
pub const EVIDENCE_TEXT_BYTES_MAX: usize = 1_024;

/// Memory that each of a shard's masking buffers keeps from batch to batch; what a larger batch took is given back.
pub const MASK_SCRATCH_BYTES_KEPT: usize = 1024 * 1024;

/// Memory of buffers of masked answers that a shard keeps for the next ones.
pub const SPARE_BUFFERS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The smallest buffer that counts there; of smaller ones a few are kept beside.
pub const SPARE_BUFFER_BYTES_MIN: usize = 256 * 1024;

/// Masked partitions of an answer that goes on in pieces, with no copy of it and no allocation; one with more is copied.
pub const SPLICED_PARTITIONS_MAX: usize = 16;

/// Buffers of masked answers below [`SPARE_BUFFER_BYTES_MIN`], kept for the next.
pub const SPARE_SMALL_BUFFERS_MAX: usize = 16;

/// The smallest of these.
pub const SPARE_SMALL_BYTES_MIN: usize = 1024;

/// Partitions of one hot request, not named in order, that are told apart without an allocation.
pub const DISTINCT_AT_ONCE_MAX: usize = 128;

/// Partitions of a request among which one of its answer is looked for before they are sorted.
pub const PLACES_AT_ONCE_MAX: usize = 64;

/// Roles that a denial may be compared with before others have a turn.
pub const ROLES_AT_ONCE_MAX: u32 = 64;

/// Lists of one kind that a session keeps for its next requests.
pub const POOL_LISTS_MAX: usize = 8;

/// Room in items of the longest list that is kept.
pub const POOL_ITEMS_MAX: usize = 64;

/// Payload bytes masked before a session lets the shard serve others.
pub const MASK_STEP_BYTES: usize = 128 * 1024;

/// What making one token counts against that.
pub const MASK_TOKEN_COST_BYTES: usize = 256;

/// Fields of one batch that get tokens: a batch is masked in one turn. What holds more is replaced whole.
pub const MASKED_FIELDS_BATCH_MAX: u32 = 1 << 20;

// It takes a hundred principals to fill the table with ids that no broker gave.
const _: () = assert!(100 * PRODUCER_IDS_CLAIMED_MAX <= PRODUCER_IDS_MAX);
const _: () = assert!(UNAUTHENTICATED_FRAME_BYTES_MAX < FRAME_BYTES_MAX);
const _: () =
    assert!(SUBSCRIPTION_TOPICS_MAX <= TOPIC_NAMES_MAX && TOPIC_NAMES_MAX <= TOPIC_IDS_MAX);
const _: () = assert!(
    SESSION_SUBSCRIPTIONS_MAX * (PATTERN_DFA_BYTES_MAX + PATTERN_BYTES_MAX)
        < SESSION_SUBSCRIPTION_BYTES_MAX
);
const _: () = assert!((MASKED_FETCH_BYTES_MAX as usize) < FRAME_BYTES_MAX);
const _: () = assert!(MASKED_FETCH_BYTES_MAX <= FETCH_BYTES_MAX);
const _: () = assert!(2 * MASKED_FETCH_BYTES_MAX as usize <= SPARE_BUFFERS_BYTES_MAX);
const _: () = assert!(DECOMPRESSED_BATCH_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(2 * FRAME_BYTES_MAX + IN_FLIGHT_BYTES_MAX <= CONNECTION_BYTES_MAX);
