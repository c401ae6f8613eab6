//! Wakes one waiting task of the same shard.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// One bit that a task waits for. A notice that comes before the wait is not lost; several are one.
#[derive(Debug, Default)]
pub(crate) struct Kick {
    noticed: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Kick {
    pub(crate) fn notify(&self) {
        self.noticed.set(true);
        if let Some(waker) = self.waiter.borrow_mut().take() {
            waker.wake();
        }
    }

    pub(crate) async fn notified(&self) {
        poll_fn(|context| {
            if self.noticed.replace(false) {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
