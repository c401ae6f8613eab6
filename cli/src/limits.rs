//! Every bound of the command line and of the development provider.

use std::time::Duration;

/// A configuration file.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;
/// All policy files of one `apply`; a gRPC message holds 4 MiB.
pub(crate) const APPLY_BYTES_MAX: usize = 3 << 20;
/// A gRPC answer: evidence rows carry whole records.
pub(crate) const ANSWER_BYTES_MAX: usize = 64 << 20;
/// A secret or token read from a file.
pub(crate) const SECRET_BYTES_MAX: u64 = 64 << 10;
/// One call to the control plane.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Connecting to the control plane, to an issuer, or to a broker that the doctor looks at.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One answer of an issuer or of a broker that the doctor looks at.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// What a broker may answer to the doctor.
pub(crate) const BROKER_FRAME_BYTES_MAX: usize = 8 << 20;
/// A clock that differs by more makes tokens look expired or not yet valid.
pub(crate) const CLOCK_SKEW_S_MAX: i64 = 30;
/// A token request to the development provider.
pub(crate) const TOKEN_REQUEST_BYTES_MAX: usize = 16 << 10;
/// Clients of the development provider.
pub(crate) const PROVIDER_CLIENTS_COUNT_MAX: usize = 1_000;
/// Life of a development token, unless its client says otherwise.
pub(crate) const TOKEN_TTL_S_DEFAULT: u32 = 3_600;
/// The longest life of a development token.
pub(crate) const TOKEN_TTL_S_MAX: u32 = 86_400;

const _: () = assert!(TOKEN_TTL_S_DEFAULT <= TOKEN_TTL_S_MAX);
const _: () = assert!(APPLY_BYTES_MAX < 4 << 20);
