//! Real parts for end-to-end tests: Kafka, an OpenID provider, etcd, the gateway, and clients to talk to them.
//!
//! Everything runs on loopback, as child processes that cannot outlive the test that started them ([`Daemon`]). What
//! they need is installed by `scripts/test`; a part that is missing fails the test and says so. The harness panics
//! with the end of the part's log where a test could do nothing but fail.
//!
//! ```no_run
//! use sluice_tests::{Driver, Kafka, Records};
//!
//! let kafka = Kafka::shared();
//! let topic = kafka.create_topic("orders", 1);
//! let java = Driver::java();
//! let written = java.produce(&kafka.client("harness"), &topic, &Records::numbered(3));
//! assert_eq!(written.offsets(), [0, 1, 2]);
//! ```

#![forbid(unsafe_code)]

mod client;
mod daemon;
mod driver;
mod etcd;
mod gateway;
mod http;
mod kafka;
mod oidc;
mod place;
mod ports;
mod tls;
mod tools;

pub use client::{Client, Login};
pub use daemon::{Daemon, wait_for};
pub use driver::{Answer, Driver, Records};
pub use etcd::Etcd;
pub use gateway::{Sluice, SluiceOptions, cli, json_lines, spawn, start};
pub use http::{HttpResponse, http_get, http_post};
pub use kafka::{Kafka, KafkaOptions};
pub use oidc::{Oidc, claims};
pub use place::{run_dir, unique};
pub use ports::{free_port, free_ports};
pub use tls::{Authority, Certificate};
pub use tools::{console_consumer, console_producer, kcat, kcat_command, kcat_running};
