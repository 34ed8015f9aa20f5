//! Two servers that act as one, with real processes and clients in namespaces: what clients feel and hold when one is lost,
//! both are lost, they lose each other, forget, or have wrong clocks.
//!
//! Clients are the judges: a wait lasts from a client's first DISCOVER to its first OFFER, and an address is a duplicate when
//! two clients hold it at one moment by what each was told. Kea's pair goes the same way where it is there (scripts/peers).
//!
//! `TWINLEASE_FAILOVER_ROUNDS=10` repeats each round, `TWINLEASE_FAILOVER_KEA=1` takes Kea through the slow ones too;
//! `scripts/failover` sets both and writes the table.

#[path = "../crafted/mod.rs"]
mod crafted;
#[path = "../lab/mod.rs"]
mod lab;

use std::sync::{Condvar, Mutex, PoisonError};

mod cable;
mod crowd;
mod kea;
mod pair;
mod report;
mod twins;
mod watch;
mod world;

mod back;
mod clocks;
mod forget;
mod found;
mod impostor;
mod link;
mod loss;
mod split;

/// How a test stands the company of others: it measures times, and all share the processors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// It sleeps nearly all the time, and so may others beside it.
    Quiet,
    /// It works hard enough to disturb the measures of others.
    Everything,
}

/// Tests that need no more than quiet run beside each other so many at once. The test harness has to let them (`--test-threads`).
const QUIET_AT_ONCE: usize = 3;

/// A world for this test, once those that run allow it.
fn enter(test: &str, needs: Needs) -> Option<lab::Lab> {
    static RUNNING: Mutex<usize> = Mutex::new(0);
    static ONE_IS_OVER: Condvar = Condvar::new();
    /// Given back also when the test fails.
    struct Turn(usize);
    impl Drop for Turn {
        fn drop(&mut self) {
            *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
            ONE_IS_OVER.notify_all();
        }
    }
    let share = if needs == Needs::Everything { QUIET_AT_ONCE } else { 1 };
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = ONE_IS_OVER.wait_while(running, |running| *running + share > QUIET_AT_ONCE);
    *wait.unwrap_or_else(PoisonError::into_inner) += share;
    let _turn = Turn(share);
    lab::enter_or_skip(test)
}
