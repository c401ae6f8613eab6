//! Every bound of the control plane.

use std::time::Duration;

/// A chunk of a snapshot on the control link.
pub const SNAPSHOT_CHUNK_BYTES: usize = 512 * 1024;
/// gRPC's default limit for one message.
pub const GRPC_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// One stored value; etcd refuses requests above 1.5 MiB by default, and the key and the envelope need room too.
pub const STORED_VALUE_BYTES_MAX: usize = 1_500_000;
/// Documents in one Apply.
pub const APPLIED_DOCUMENTS_MAX: usize = 10_000;
/// How often an Apply or an approval is tried again when the store moved under it.
pub const STORE_ATTEMPTS_MAX: u32 = 8;

/// How long a gateway that asks again is told that nobody answered in time.
pub const APPROVAL_TIME_OUT_TOLD_MS: i64 = 10_000;

/// Leaves in one evidence batch.
pub const EVIDENCE_LEAVES_PER_BATCH_MAX: usize = 4096;
/// One leaf: the entry limit of C2SP tlog-tiles.
pub const EVIDENCE_LEAF_BYTES_MAX: usize = 65_535;
/// A signed checkpoint with its cosignatures.
pub const EVIDENCE_CHECKPOINT_BYTES_MAX: usize = 64 * 1024;
/// Names that a gateway gives: its own, a log's origin.
pub const LINK_NAME_BYTES_MAX: usize = 256;
/// Leaves indexed in one transaction.
pub const INDEX_LEAVES_PER_STEP: usize = 2048;
/// Rows of one search.
pub const SEARCH_ROWS_MAX: u32 = 10_000;
/// Rows of a search that names no limit.
pub const SEARCH_ROWS_DEFAULT: u32 = 100;

/// Approval requests that stand open at once, over all principals.
pub const APPROVALS_OPEN_MAX: usize = 1_000;
/// The text that a person or a client gives with an approval.
pub const APPROVAL_TEXT_BYTES_MAX: usize = 1_024;
/// Decided approvals stay listed this long; evidence keeps them for ever.
pub const APPROVALS_KEPT_MS: i64 = 7 * 24 * 3600 * 1000;
/// How often open approvals are looked through for those that timed out.
pub const APPROVALS_SWEEP: Duration = Duration::from_millis(500);

/// Notices that wait for the webhook; further ones are dropped, and said so in the log.
pub const WEBHOOK_QUEUE_MAX: usize = 256;
/// Tries per notice.
pub const WEBHOOK_ATTEMPTS_MAX: u32 = 4;
/// One try.
pub const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Before the second try; doubled for each further one.
pub const WEBHOOK_BACKOFF: Duration = Duration::from_millis(250);

/// Fetching a discovery document or a JWKS; `sluice_identity::limits` bounds their size.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys of an issuer are not fetched more often than this, whatever key ids tokens name.
pub const ISSUER_REFRESH_MS_MIN: i64 = 10_000;
/// The same for an issuer that never answered yet.
pub const ISSUER_RETRY_MS_MIN: i64 = 1_000;
/// Keys of an issuer are fetched again after this, so that a withdrawn key ends.
pub const ISSUER_REFRESH_MS_MAX: i64 = 15 * 60 * 1000;

/// Dashboard logins at once; the oldest goes first.
pub const WEB_LOGINS_MAX: usize = 1_000;
/// The body of a form.
pub const WEB_FORM_BYTES_MAX: usize = 64 * 1024;

const _: () = {
    assert!(SNAPSHOT_CHUNK_BYTES < GRPC_MESSAGE_BYTES_MAX);
    assert!(STORED_VALUE_BYTES_MAX < 1_536 * 1024);
    assert!(SEARCH_ROWS_DEFAULT <= SEARCH_ROWS_MAX);
    assert!(ISSUER_RETRY_MS_MIN <= ISSUER_REFRESH_MS_MIN);
    assert!(ISSUER_REFRESH_MS_MIN < ISSUER_REFRESH_MS_MAX);
};
