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
mod link;
mod loss;
mod split;

/// One world at a time: these tests measure times, and share the processors.
fn enter(test: &str) -> Option<lab::Lab> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lab::enter_or_skip(test)
}
