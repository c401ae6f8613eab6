//! Requests that wait for their answers, or for their turn to be answered: responses leave in the order of requests.

use std::collections::VecDeque;

use sluice_policy::Durability;

use crate::apis::{ColdAnswer, PendingFetch, PendingProduce};
use crate::record::RequestRef;

/// A request that was taken and not yet answered.
pub(crate) struct InFlight {
    number: u64,
    pub(crate) correlation_id: i32,
    pub(crate) request: RequestRef,
    pub(crate) durability: Durability,
    /// Memory that waits with it.
    bytes: usize,
    pub(crate) state: InFlightState,
}

pub(crate) enum InFlightState {
    /// Answered here; may leave once its evidence is written.
    Answered {
        bytes: Vec<u8>,
        ready: bool,
    },
    Produce(PendingProduce),
    Fetch(PendingFetch),
    Cold {
        pending: Box<dyn ColdAnswer>,
        /// What the request took in memory; what is left of it waits here.
        bytes: usize,
    },
}

impl InFlightState {
    fn bytes(&self) -> usize {
        match self {
            Self::Answered { bytes, .. } => bytes.capacity(),
            Self::Produce(pending) => pending.bytes(),
            Self::Fetch(pending) => pending.bytes(),
            Self::Cold { bytes, .. } => *bytes,
        }
    }
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight")
            .field("number", &self.number)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// All of a session's, the oldest first. Numbers are consecutive.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: VecDeque<InFlight>,
    next_number: u64,
    /// Of all that wait.
    bytes: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Memory of all that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one behind the others, and answers its number.
    pub(crate) fn push(
        &mut self,
        correlation_id: i32,
        request: RequestRef,
        durability: Durability,
        state: InFlightState,
    ) -> u64 {
        let number = self.next_number;
        self.next_number = number.wrapping_add(1);
        let bytes = state.bytes();
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push_back(InFlight {
            number,
            correlation_id,
            request,
            durability,
            bytes,
            state,
        });
        number
    }

    pub(crate) fn first(&self) -> Option<&InFlight> {
        self.waiting.front()
    }

    pub(crate) fn take_first(&mut self) -> Option<InFlight> {
        let first = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(first.bytes);
        Some(first)
    }

    /// The evidence of an answer that was made here is written.
    pub(crate) fn ready(&mut self, number: u64) {
        let first = self.waiting.front().map_or(0, |entry| entry.number);
        let place = usize::try_from(number.wrapping_sub(first)).unwrap_or(usize::MAX);
        if let Some(InFlight {
            state: InFlightState::Answered { ready, .. },
            ..
        }) = self.waiting.get_mut(place)
        {
            *ready = true;
        }
    }

    /// Whether the first was answered here and may leave.
    pub(crate) fn is_first_ready(&self) -> bool {
        let first = self.waiting.front().map(|first| &first.state);
        matches!(first, Some(InFlightState::Answered { ready: true, .. }))
    }

    /// The first, if it was answered here and may leave.
    pub(crate) fn take_ready(&mut self) -> Option<(RequestRef, Vec<u8>)> {
        if !self.is_first_ready() {
            return None;
        }
        match self.take_first()? {
            InFlight {
                request,
                state: InFlightState::Answered { bytes, .. },
                ..
            } => Some((request, bytes)),
            _ => None,
        }
    }
}
