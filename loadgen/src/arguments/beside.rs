//! Connections beside those that carry the load at its rate.

use clap::{Args, ValueEnum};

use super::load::ModeName;
use super::{argument, within};
use crate::Error;
use crate::limits::{CONNECTIONS_MAX, READ_RATE_MAX, SLOW_BYTES_MAX, STORM_CONNECTIONS_MAX};
use crate::plan::{Mode, ReadFrom};

#[derive(Debug, Default, Clone, Args)]
pub struct Beside {
    /// mixed: connections that read, beside --connections that write; 1 unless stated. They are spread over the partitions
    /// in turn, so as many as there are partitions see every batch. Each asks for more as soon as it has an answer.
    #[arg(long, value_name = "COUNT")]
    pub readers: Option<usize>,
    /// mixed: whether readers follow what is written, which gives the latency from end to end, or read what was there from
    /// its start, over and over, as a consumer does that catches up. A sink keeps nothing to follow: there say `start`.
    #[arg(long, value_name = "WHERE", value_enum)]
    pub readers_from: Option<FromName>,
    /// mixed: the login of readers, where those that write may not read: an option from sasl to tls-name, such as
    /// client-id=analytics. What is not given is as for the writers. May be given several times. compare: with a target's
    /// name before it, such as direct.username=bob, it is for the readers of that target, without one for those of all.
    #[arg(long, value_name = "[NAME.]KEY=VALUE")]
    pub readers_as: Vec<String>,
    /// slow-consumer: connections that fetch and read their answers slowly, beside --connections that consume at the rate;
    /// 1 unless stated. The normal ones run twice for --seconds: alone, then beside the slow ones.
    #[arg(long, value_name = "COUNT")]
    pub slow: Option<usize>,
    /// slow-consumer: how fast each slow one reads; 16384 unless stated. With a small --fetch-bytes answers come to an end.
    #[arg(long, value_name = "BYTES_PER_SECOND")]
    pub read_rate: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FromName {
    End,
    Start,
}

impl Beside {
    /// The mode with what is its own.
    pub(super) fn mode(
        &self,
        name: ModeName,
        connections: usize,
        fetch_bytes: usize,
    ) -> Result<Mode, Error> {
        let for_readers =
            self.readers.is_some() || self.readers_from.is_some() || !self.readers_as.is_empty();
        if name != ModeName::Mixed && for_readers {
            return argument(
                "--readers, --readers-from and --readers-as: only --mode mixed has readers"
                    .to_owned(),
            );
        }
        if name != ModeName::SlowConsumer && (self.slow.is_some() || self.read_rate.is_some()) {
            let text = "--slow and --read-rate: only --mode slow-consumer has slow ones";
            return argument(text.to_owned());
        }
        let room = CONNECTIONS_MAX.saturating_sub(connections);
        Ok(match name {
            ModeName::Produce => Mode::Produce,
            ModeName::Consume => Mode::Consume,
            ModeName::Ping => Mode::Ping,
            ModeName::Storm => {
                within("--connections", connections, 1, STORM_CONNECTIONS_MAX)?;
                Mode::Storm
            }
            ModeName::SlowConsumer => {
                let slow_count = self.slow.unwrap_or(1);
                within("--slow", slow_count, 1, room)?;
                let bytes_per_second = self.read_rate.unwrap_or(16 * 1024);
                within("--read-rate", bytes_per_second, 1, READ_RATE_MAX)?;
                if slow_count.saturating_mul(fetch_bytes) > SLOW_BYTES_MAX {
                    return argument(format!(
                        "--slow {slow_count}: with --fetch-bytes {fetch_bytes} they could hold more than {SLOW_BYTES_MAX} bytes; lower either"
                    ));
                }
                Mode::SlowConsumer {
                    slow_count,
                    bytes_per_second,
                }
            }
            ModeName::Mixed => {
                let readers_count = self.readers.unwrap_or(1);
                within("--readers", readers_count, 1, room)?;
                let from = match self.readers_from.unwrap_or(FromName::End) {
                    FromName::End => ReadFrom::End,
                    FromName::Start => ReadFrom::Start,
                };
                Mode::Mixed {
                    readers_count,
                    from,
                }
            }
        })
    }
}
