//! A new address is asked for by ARP before it is offered (§4.3.1, §2.2).

use std::time::Duration;

use twinlease::protocol::explain::{Outcome, Silence, Step};

use super::{
    net::{ALICE, BOB, Disk, HOME, Net, STRANGER, ip},
    packet::Packet,
};

#[test]
fn a_new_address_is_probed_before_it_is_offered() {
    let mut net = Net::home();
    net.waits_for_probes = false;
    net.discover(ALICE).expect_silence();
    assert_eq!(net.probed, [ip("192.0.2.10")]);
    net.at_ms(199);
    net.send(&Packet::discover(BOB)).expect_silence();
    let at_200 = net.at_ms(200).hears_arp(STRANGER, ip("192.0.2.99"));
    at_200.expect_offer(ip("192.0.2.10"));
}

#[test]
fn an_address_that_the_client_holds_is_not_probed() {
    let mut net = Net::home();
    let address = net.lease(ALICE);
    net.probed.clear();
    net.at(3600).discover(ALICE).expect_offer(address);
    net.renew(ALICE, address).expect_ack(address);
    assert!(net.probed.is_empty());
}

#[test]
fn a_stranger_who_answers_keeps_the_address_and_the_client_gets_another() {
    let mut net = Net::home();
    net.uses(STRANGER, ip("192.0.2.10"));
    net.discover(ALICE).expect_offer(ip("192.0.2.11"));
    let decision = net.last_decision(ALICE);
    assert!(decision.steps.contains(&Step::ProbeAnswered { address: ip("192.0.2.10"), mac: STRANGER }), "{:?}", decision.steps);
    // Left alone for a while, for everybody, without asking anew each time.
    net.discover(BOB).expect_offer(ip("192.0.2.12"));
    assert_eq!(net.probed, [ip("192.0.2.10"), ip("192.0.2.11"), ip("192.0.2.12")]);
}

#[test]
fn a_stranger_on_an_address_that_was_asked_for_keeps_it() {
    let mut net = Net::home();
    net.uses(STRANGER, ip("192.0.2.15"));
    net.send(&Packet::discover(ALICE).option(50, &[192, 0, 2, 15])).expect_offer(ip("192.0.2.10"));
}

#[test]
fn a_stranger_on_a_reserved_address_keeps_it_for_now() {
    let toml = format!("{HOME}\n[[reservation]]\nmac = \"00:16:3e:00:00:a1\"\naddress = \"192.0.2.50\"");
    let mut net = Net::with(&toml);
    net.uses(STRANGER, ip("192.0.2.50"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    assert!(net.why(ALICE).contains("192.0.2.50 is kept for it but cannot be given now"), "{}", net.why(ALICE));
}

#[test]
fn a_pool_full_of_strangers_ends_in_silence() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10-192.0.2.12\"]");
    for last in 10..=12 {
        net.uses(STRANGER, ip(&format!("192.0.2.{last}")));
    }
    net.discover(ALICE).expect_silence();
    assert!(matches!(net.outcome(ALICE), Outcome::Silent { why: Silence::PoolFull { .. } }));
}

#[test]
fn the_client_itself_may_answer_under_the_address_it_returns_to() {
    let mut net = Net::home();
    net.uses(ALICE, ip("192.0.2.10"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
}

#[test]
fn the_result_of_a_probe_is_cached_for_30_seconds() {
    let mut net = Net::home();
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(15).discover(ALICE).expect_offer(ip("192.0.2.10"));
    assert_eq!(net.probed.len(), 1);
    net.at(40).discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(80).discover(ALICE).expect_offer(ip("192.0.2.10"));
    assert_eq!(net.probed.len(), 3);
}

#[test]
fn an_impatient_client_is_answered_in_its_latest_transaction() {
    let mut net = Net::home();
    net.waits_for_probes = false;
    net.discover(ALICE).expect_silence();
    net.at_ms(100).send(&Packet { xid: 7, ..Packet::discover(ALICE) }).expect_silence();
    let offer = net.at_ms(250).hears_arp(STRANGER, ip("192.0.2.99")).expect_offer(ip("192.0.2.10"));
    assert_eq!(offer.bytes()[4..8], [0, 0, 0, 7]);
    assert_eq!(net.probed.len(), 1);
}

#[test]
fn probing_can_be_switched_off() {
    let mut net = Net::home_and("[server]\nprobe = false");
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    assert!(net.probed.is_empty());
}

#[test]
fn a_relayed_client_is_not_kept_waiting_for_a_probe_that_cannot_reach_it() {
    let mut net = Net::home_and("[[subnet]]\nnetwork = \"198.51.100.0/24\"\npools = [\"198.51.100.10-198.51.100.19\"]");
    net.send(&Packet::discover(ALICE).relayed(ip("198.51.100.1"), super::net::SERVER)).expect_offer(ip("198.51.100.10"));
    assert!(net.probed.is_empty());
}

/// Two devices under one client-id ask at one time, while the address of the third is being asked for.
#[test]
fn a_second_device_does_not_take_the_probe_of_the_first() {
    let mut net = Net::home();
    net.lease_by(&Packet::discover(STRANGER).id(b"\0clone"));
    net.waits_for_probes = false;
    net.disk = Disk::Quick;
    net.at(60).send(&Packet::discover(ALICE).id(b"\0clone")).expect_silence();
    net.send(&Packet::discover(BOB).id(b"\0clone")).expect_silence();
    net.later(Duration::from_millis(1));
    let answer = net.hears_arp(STRANGER, ip("192.0.2.10"));
    answer.expect_silence();
    net.later(Duration::from_millis(300));
    let offer = net.hears_arp(STRANGER, ip("192.0.2.99")).offer();
    assert_eq!(offer.mac(), ALICE);
    assert!(matches!(net.outcome(BOB), Outcome::Silent { why: Silence::ProbePending { .. } }));
}

/// Found by reading: what answered for its own offer, and never took it up, is a stranger to everybody else.
#[test]
fn an_address_under_which_a_device_answered_itself_is_offered_to_nobody_else() {
    let mut net = Net::with("[[subnet]]\nnetwork = \"192.0.2.0/24\"\npools = [\"192.0.2.10\"]\n");
    net.uses(ALICE, ip("192.0.2.10"));
    net.discover(ALICE).expect_offer(ip("192.0.2.10"));
    net.at(6).discover(BOB).expect_silence();
    assert!(net.last_decision(BOB).steps.contains(&Step::ProbeAnswered { address: ip("192.0.2.10"), mac: ALICE }));
}
