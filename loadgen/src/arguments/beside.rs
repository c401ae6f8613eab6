//! Connections beside those that carry the load at its rate.

use clap::{Args, ValueEnum};

use super::load::ModeName;
use super::{argument, within};
use crate::Error;
use crate::limits::{CONNECTIONS_MAX, STORM_CONNECTIONS_MAX};
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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FromName {
    End,
    Start,
}

impl Beside {
    /// The mode with what is its own.
    pub(super) fn mode(&self, name: ModeName, connections: usize) -> Result<Mode, Error> {
        if name != ModeName::Mixed && (self.readers.is_some() || self.readers_from.is_some()) {
            return argument(
                "--readers and --readers-from: only --mode mixed has readers".to_owned(),
            );
        }
        Ok(match name {
            ModeName::Produce => Mode::Produce,
            ModeName::Consume => Mode::Consume,
            ModeName::Ping => Mode::Ping,
            ModeName::Storm => {
                within("--connections", connections, 1, STORM_CONNECTIONS_MAX)?;
                Mode::Storm
            }
            ModeName::Mixed => {
                let readers_count = self.readers.unwrap_or(1);
                let room = CONNECTIONS_MAX.saturating_sub(connections);
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
