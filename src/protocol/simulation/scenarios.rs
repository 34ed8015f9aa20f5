//! Histories that went wrong once, found by the random runs and cut to their core.

use std::time::Duration;

use super::{
    Does::{self, AskFor, Discover, Renew, Take},
    Network, Step,
    Step::{Admin, AdminFrees, ClockConfirmed, DiskFails, DiskHeals, DiskWrites, NodeHears, Restart, Wait},
    run,
};
use crate::protocol::seeds::Telling;

fn device(who: usize, does: Does) -> Step {
    Step::Device { who, does, network: Network::Delivers }
}

const ALL: Step = NodeHears { all: true };
/// Longer than an ARP probe.
const A_SECOND: Step = Wait(Duration::from_secs(1));

#[test]
fn a_late_ack_promises_no_more_than_is_on_record() {
    let two_seconds = Wait(Duration::from_secs(2));
    run(&[device(0, Discover), A_SECOND, device(0, Take), DiskWrites(1), two_seconds, ALL], Telling::Aloud);
}

#[test]
fn clones_that_start_together_get_an_address_each() {
    let first_has_its_lease = [Admin { settings: 2 }, device(3, Discover), A_SECOND, device(3, Take)];
    let second_asks = [device(4, Discover), A_SECOND, DiskWrites(9), ALL];
    run(&[&first_has_its_lease[..], &second_asks].concat(), Telling::Aloud);
}

#[test]
fn a_commit_refused_before_the_recovery_is_known_is_no_new_trouble() {
    let asks = [device(1, Discover), A_SECOND, Admin { settings: 1 }];
    run(&[&asks[..], &[DiskFails, DiskHeals, device(1, Take), ALL]].concat(), Telling::Aloud);
}

#[test]
fn a_shorter_renewal_leaves_the_longer_promise_on_record() {
    let long = [device(0, Discover), A_SECOND, device(0, Take), DiskWrites(1), ALL];
    let short = [Admin { settings: 1 }, DiskWrites(1), ALL, device(0, Renew)];
    run(&[&long[..], &short].concat(), Telling::Aloud);
}

#[test]
fn an_address_whose_ack_is_under_way_is_not_freed() {
    let asks = [Admin { settings: 1 }, DiskWrites(1), ALL, device(0, Discover), device(0, Take)];
    let freed = [AdminFrees { address: 10 }, DiskWrites(2), ALL, device(1, AskFor { address: 10 }), device(1, Take)];
    run(&[&asks[..], &freed].concat(), Telling::Aloud);
}

#[test]
fn nothing_is_confirmed_from_memory_while_the_time_off_is_unknown() {
    let leased = [device(0, Discover), A_SECOND, device(0, Take), DiskWrites(1), ALL];
    let back = [Restart { off: Duration::from_secs(30), is_known: false }, device(0, Renew), DiskFails, ALL];
    run(&[&leased[..], &back, &[ClockConfirmed]].concat(), Telling::Aloud);
}
