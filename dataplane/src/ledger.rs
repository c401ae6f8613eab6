//! Memory of connections: what each holds, and all of a shard together. Every byte of a buffer is in it before it is taken.

use std::cell::Cell;
use std::rc::Rc;

use sluice_session::{Close, limits::CONNECTION_BYTES_MAX};

/// What the connections of one shard hold.
#[derive(Debug)]
pub(crate) struct ShardLedger {
    held_bytes: Cell<usize>,
    bytes_max: usize,
}

impl ShardLedger {
    pub(crate) fn new(bytes_max: usize) -> Rc<Self> {
        Rc::new(Self {
            held_bytes: Cell::new(0),
            bytes_max,
        })
    }

    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }
}

/// What one connection holds. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct Ledger {
    shard: Rc<ShardLedger>,
    held_bytes: Cell<usize>,
}

impl Ledger {
    pub(crate) fn new(shard: &Rc<ShardLedger>) -> Rc<Self> {
        Rc::new(Self {
            shard: shard.clone(),
            held_bytes: Cell::new(0),
        })
    }

    /// An account of this connection that holds nothing yet.
    pub(crate) fn account(self: &Rc<Self>) -> Account {
        Account {
            ledger: self.clone(),
            held_bytes: 0,
        }
    }

    fn change(&self, from: usize, to: usize) -> Result<(), Close> {
        let held = (self.held_bytes.get() - from).saturating_add(to);
        let shard_held = (self.shard.held_bytes.get() - from).saturating_add(to);
        if to > from {
            if held > CONNECTION_BYTES_MAX {
                return Err(Close::ConnectionMemory {
                    bytes_max: CONNECTION_BYTES_MAX,
                });
            }
            if shard_held > self.shard.bytes_max {
                return Err(Close::ShardMemory);
            }
        }
        self.held_bytes.set(held);
        self.shard.held_bytes.set(shard_held);
        Ok(())
    }
}

/// One thing of a connection that takes memory: a buffer, or what the session holds.
#[derive(Debug)]
pub(crate) struct Account {
    ledger: Rc<Ledger>,
    held_bytes: usize,
}

impl Account {
    /// States what is held from now on. To be asked before the memory is taken.
    ///
    /// # Errors
    /// The connection, or its shard, would hold more than the limit: the reason to close the connection.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Close> {
        self.ledger.change(self.held_bytes, bytes)?;
        self.held_bytes = bytes;
        Ok(())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // Less is never refused.
        let _ = self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_holds_no_more_than_its_limit_in_all_its_accounts_together() {
        let shard = ShardLedger::new(usize::MAX);
        let ledger = Ledger::new(&shard);
        let (mut requests, mut answers) = (ledger.account(), ledger.account());
        requests.hold(CONNECTION_BYTES_MAX - 10).unwrap();
        answers.hold(10).unwrap();
        assert!(matches!(
            answers.hold(11),
            Err(Close::ConnectionMemory { .. })
        ));
        requests.hold(0).unwrap();
        answers.hold(11).unwrap();
        assert_eq!(shard.held_bytes(), 11);
        drop((requests, answers));
        assert_eq!((shard.held_bytes(), ledger.held_bytes.get()), (0, 0));
    }

    #[test]
    fn the_connections_of_a_shard_hold_no_more_than_its_limit() {
        let shard = ShardLedger::new(100);
        let (one, other) = (Ledger::new(&shard), Ledger::new(&shard));
        let (mut first, mut second) = (one.account(), other.account());
        first.hold(60).unwrap();
        assert_eq!(second.hold(41), Err(Close::ShardMemory));
        second.hold(40).unwrap();
        first.hold(59).unwrap();
        second.hold(41).unwrap();
    }
}
