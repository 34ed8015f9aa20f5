//! A sign of life: whoever must go on moves it, and the watchdog sees whether it moves.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Alive(Arc<AtomicU64>);

impl Alive {
    pub fn beat(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
