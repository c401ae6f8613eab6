//! Every bound of the data plane's shell.

/// Bytes that one socket may move without ever parking before its task gives the core to the others.
/// Smaller is fairer, larger saves a turn: 256 KiB is about 0.1 ms of copying.
pub const SOCK_TURN_BYTES: usize = 256 * 1024;

/// What a system call counts against [`SOCK_TURN_BYTES`] beside its bytes, so that tiny messages yield too.
pub const SOCK_CALL_COST_BYTES: usize = 2 * 1024;

/// Readiness rounds with events after which a driver lets glommio's own reactor (timers) run.
pub const DRIVER_ROUNDS_PER_REACTOR_PASS_MAX: u32 = 16;

/// Time after which a driver lets glommio's own reactor run, however few the rounds.
pub const DRIVER_REACTOR_PASS_INTERVAL_US: u64 = 1_000;

/// Rounds without an event that a driver makes before it rests: one for each link of the longest chain of tasks that wake
/// one another after an event (request, journal, request, answer).
pub const DRIVER_EMPTY_ROUNDS_BEFORE_REST: u32 = 4;

/// Longest nap of a shard: a wait in its own readiness set, by which glommio's timers may be late. A longer pause is slept
/// in glommio.
pub const DRIVER_NAP_US: u32 = 1_000;

/// Events taken from an epoll set in one readiness round; a ring gives all that it has.
pub const DRIVER_EVENTS_PER_ROUND_MAX: usize = 1024;

/// Submission entries of a shard's private ring; its completion queue is eight times that.
pub const DRIVER_RING_ENTRIES: u32 = 512;

/// Beat of the task that bounds a lost wake-up of glommio's executor.
pub const SHARD_HEARTBEAT_MS: u64 = 3;

/// Beats without any event after which a shard counts as idle: 0.3 s.
pub const SHARD_QUIET_BEATS: u32 = 100;

/// Beat of an idle shard: the longest that the first event after a pause can be held by a lost wake-up.
pub const SHARD_IDLE_HEARTBEAT_MS: u64 = 50;

/// glommio's registered memory per executor: only DMA files use it, and this shell has none.
pub const SHARD_IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of each of glommio's own rings.
pub const SHARD_RING_DEPTH: usize = 256;

/// Accepted connections that may wait for one shard; one more is refused (closed and counted).
pub const ACCEPT_QUEUE_CONNECTIONS_MAX: usize = 1024;

/// Connections that the kernel may hold for a listener before the gateway accepts them.
pub const ACCEPT_BACKLOG_CONNECTIONS: i32 = 4096;

/// Connections accepted from one listener before its task gives the core to the others.
pub const ACCEPT_BURST_CONNECTIONS_MAX: usize = 64;

/// Changes to the set of listeners (opened or closed) that may wait for the acceptor.
pub const ACCEPT_CHANGES_MAX: usize = 256;

/// Pause after the host refused to accept for want of descriptors or memory.
pub const ACCEPT_EXHAUSTED_PAUSE_MS: u64 = 20;

/// Ciphertext that a TLS leg reads in one system call.
pub const TLS_READ_BYTES_MAX: usize = 256 * 1024;

/// Least ciphertext asked for in one read, so that a small plaintext buffer still takes a whole record.
pub const TLS_READ_BYTES_MIN: usize = 18 * 1024;

/// Plaintext, and then ciphertext, that rustls may hold for one TLS leg on its way out.
pub const TLS_BUFFER_BYTES_MAX: usize = 512 * 1024;

/// Plaintext encrypted before the next write to the socket.
pub const TLS_WRITE_BYTES_MAX: usize = 128 * 1024;

/// Bytes of answers that the gateway wrote itself, and that leave before more frames of the broker are looked at.
pub const ANSWER_ROUND_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Answers longer than this go on in parts of it as they arrive, where nothing in them has to change: what a connection reads
/// into stays this small.
pub const RELAY_PART_BYTES: usize = 2 * 1024 * 1024;

const _: () = {
    assert!(SOCK_CALL_COST_BYTES < SOCK_TURN_BYTES);
    assert!(TLS_READ_BYTES_MIN <= TLS_READ_BYTES_MAX);
    assert!(TLS_WRITE_BYTES_MAX <= TLS_BUFFER_BYTES_MAX);
    // What an outbox keeps does not count as an answer.
    assert!(sluice_session::limits::EVIDENCE_BYTES_KEPT < ANSWER_ROUND_BYTES_MAX);
    assert!(SHARD_HEARTBEAT_MS >= 2 && SHARD_HEARTBEAT_MS <= 5);
};
