//! SIGINT and SIGTERM ask for a drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::LOOK_EVERY;
use crate::failure::Failure;

/// Whether somebody asked this process to end. A second signal ends it at once.
#[derive(Debug)]
pub(super) struct Signals(Arc<AtomicBool>);

impl Signals {
    pub(super) fn watch(runtime: &Runtime) -> Result<Self, Failure> {
        let stopping = Arc::new(AtomicBool::new(false));
        let _entered = runtime.enter();
        let failed = |error| Failure::refused(format!("signals: {error}"));
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
        let set = stopping.clone();
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupts.recv() => {}
                    _ = terminations.recv() => {}
                }
                if set.swap(true, Ordering::SeqCst) {
                    tracing::warn!("second signal: ending without a drain");
                    std::process::exit(1);
                }
            }
        });
        Ok(Self(stopping))
    }

    pub(super) fn stopping(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn wait(&self) {
        while !self.stopping() {
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
